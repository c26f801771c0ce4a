"""The oracle: `dump` of whole `sse_lines.jsonl` inputs (claude variant), computed the plain way.

It reads everything, sorts everything and only then says what there was: no streaming, no state, no
store, nothing shared with the program. It serves the differential tests as the other opinion.

Readings, where the contract leaves room:

Counts
- A record (a row, an undecodable stretch, a non-object) is new or a duplicate. `lines` are the
  non-blank lines that held a new record, `duplicates` the records that were not new: equal rows,
  repeated `message_start` and prompts, and a second result for an id (whose line still counts).
- `events` are all rows that are not bad, `unknown_events` those among them that say nothing here.
  Known are formats.md A.2 and the hooks of G; a known name without a payload is unknown.
- An `event:` row of the two-line form is a line and no event.
- Records without a sid are told apart by place and content, so a copy of a file adds nothing.
- An undecodable stretch reaches until where the next record seems to begin (formats.md 0.3).
- An object without `sid` is unknown like `{}`; any `sid` that is not a UUID makes a bad line.
- `torn` are inputs whose last line has no newline; what is in it is not looked at.
- Reattributed are `message_start`, block events, `message_delta`, `message_stop` and `error`.

Order and identity
- Rounds by start, then id and sid; results by time, then id.
- "Last seen" and "next" go by payload time, arrival decides between equal times. An empty version
  or cwd (events that hooks wrote) was not seen. Unknown events say nothing about a session.
- A request whose start was never seen goes to the first flow id it was written under that is no
  started message's and no earlier such request's; without one, to its request id.
  Only block events, `message_delta` and `message_stop` make a message; `ping` and `error` do not.
- Of several starts on one request the last before an event is its message (spliced streams).
- A counter value repeats within the deltas of one block and one written flow id, in arrival order.

Messages, blocks, results
- Tokens are the maximum per field over `message_start` and `message_delta`.
- A block whose start was not seen has no type. The next block is the next higher index.
- Only blocks with an `id` of their own have a `tool_use_id`; a server's result block has none.
- An input given with the block's start is its text when its deltas have none.
- The result for an id is the one with the earliest time.

Rounds
- The next `message_start` is the next one that names a round (side traffic says "");
  a `claude.message` is none.
- "New" means that no earlier prompt has it; "running": begun last, no stop since, not closed.
- The running round of an event without one: that of the latest prompt, stopped or not, unless the
  session ended or was resumed since. An unanswered prompt without one joins a running real round.
- A resume is a `session_start` with source `resume`. Queued is a prompt whose text was enqueued
  after the round began; such a prompt does not close it, what comes later does.
"""

from collections.abc import Sequence
from pathlib import Path

from tests.oracle_lines import Entry, Reading, read
from tests.oracle_messages import Message, Row, digest, messages_of, results_of, scalar
from tests.oracle_rounds import Rounds


def dump_of(files: Sequence[bytes | Path]) -> list[Row]:
    """The canonical dump (design.md 6) of these inputs, ingested one after the other."""
    reading = read(files)
    by_sid: dict[str, list[Entry]] = {}
    for entry in reading.entries:
        by_sid.setdefault(entry.sid, []).append(entry)
    rounds = {sid: Rounds(sid, entries) for sid, entries in by_sid.items()}
    messages = [m for sid, entries in by_sid.items() for m in messages_of(sid, entries)]
    messages.sort(key=lambda message: (message.start, message.flow))
    results, ignored = results_of(reading.entries, messages)
    rows = [
        *_sorted([_session(sid, entries) for sid, entries in by_sid.items()], "sid"),
        *_sorted([row for each in rounds.values() for row in each.rows()], "round_id"),
        *[_message(message, rounds[message.sid]) for message in messages],
        *[row for message in messages for row in _blocks(message)],
        *results,
        _counts(reading, ignored, sum(message.reattributed for message in messages)),
    ]
    return [{name: scalar(value) for name, value in row.items()} for row in rows]


def _sorted(rows: list[Row], id_field: str) -> list[Row]:
    return sorted(rows, key=lambda row: (row["start_time"], str(row[id_field]), str(row["sid"])))


def _session(sid: str, entries: list[Entry]) -> Row:
    entries = sorted(entries, key=lambda entry: entry.key)
    last = entries[-1] if entries[-1].name == "session_end" else None
    return {
        "kind": "session",
        "sid": sid,
        "agent": "claude",
        "pid": _last([entry.pid for entry in entries]),
        "cwd": _last([entry.cwd for entry in entries]),
        "version": _last([entry.version for entry in entries]),
        "start_time": entries[0].time / 1000,
        "end_time": last.time / 1000 if last else None,
        "end_reason": last.payload.get("reason") if last else None,
    }


def _last(values: Sequence[object]) -> object:
    return next((value for value in reversed(values) if value is not None), None)


def _message(message: Message, rounds: Rounds) -> Row:
    round_id = rounds.written(message.first)
    end = message.end
    return {
        "kind": "message",
        "flow_id": message.flow,
        "request_id": message.request,
        "sid": message.sid,
        "round_id": round_id if rounds.is_known(round_id) else None,
        "agent_id": message.agent,
        "role": message.body.get("role"),
        "model": message.body.get("model"),
        "stop_reason": message.stop_reason,
        "start_time": message.start / 1000,
        "end_time": None if end is None else end / 1000,
        "is_complete": end is not None or message.stop_reason is not None,
        "input_tokens": message.tokens("input_tokens"),
        "output_tokens": message.tokens("output_tokens"),
        "cache_read_tokens": message.tokens("cache_read_input_tokens"),
        "cache_write_tokens": message.tokens("cache_creation_input_tokens"),
    }


def _blocks(message: Message) -> list[Row]:
    rows: list[Row] = []
    for block in message.blocks():
        text = block.text()
        rows.append(
            {
                "kind": "block",
                "flow_id": message.flow,
                "index": block.index,
                "block_type": block.value.get("type"),
                "tool_use_id": block.value.get("id"),
                "tool_name": block.value.get("name"),
                "delta_count": len(block.deltas),
                "total_bytes": len(text),
                "sha256": digest(text),
                "is_complete": block.complete is not None,
                "start_time": block.start / 1000,
                "complete_time": None if block.complete is None else block.complete / 1000,
            }
        )
    return rows


def _counts(reading: Reading, ignored: int, reattributed: int) -> Row:
    return {
        "kind": "counts",
        "lines": reading.lines,
        "events": reading.events,
        "bad_lines": reading.bad_lines,
        "torn": reading.torn,
        "duplicates": reading.duplicates + ignored,
        "reattributed": reattributed,
        "unknown_events": reading.unknown_events,
    }
