"""The recording behind --demo: made by its generator, in the exact wire form, and lively."""

import itertools
import json
from datetime import datetime, timedelta
from typing import Any

import msgspec
import pytest

from agentmon.assets import asset
from agentmon.core.events import Delta, Malformed, ToolResults, Unknown
from agentmon.sources.sse_lines import Decoder
from tests.tools import demo_tape, make_demo

KEYS = ["event", "t", "line", "round", "metadata", "flow_id", "data_count", "sid"]


class Row(msgspec.Struct):
    """A line of the recording, both JSON levels read."""

    event: str
    seconds: float
    local: datetime
    sid: str
    flow: str
    count: int
    agent: str | None
    cwd: str
    payload: dict[str, Any]


def read(line: bytes) -> Row:
    envelope = json.loads(line)
    inner = json.loads(envelope["line"].removeprefix("data: "))
    meta = json.loads(envelope["metadata"])
    stamp = datetime.fromisoformat(inner["timestamp"])
    return Row(
        envelope["event"].removeprefix("claude."),
        (stamp - demo_tape.START).total_seconds(),
        datetime.fromisoformat(envelope["t"]),
        envelope["sid"],
        envelope["flow_id"],
        envelope["data_count"],
        meta.get("agent"),
        meta["cwd"],
        inner["payload"],
    )


@pytest.fixture(scope="module")
def lines() -> list[bytes]:
    return asset("demo.jsonl").read_bytes().splitlines()


@pytest.fixture(scope="module")
def rows(lines: list[bytes]) -> list[Row]:
    return [read(line) for line in lines]


def of(rows: list[Row], event: str) -> list[Row]:
    return [row for row in rows if row.event == event]


def test_the_file_is_what_the_generator_writes(lines: list[bytes]) -> None:
    assert make_demo.build() == asset("demo.jsonl").read_bytes()
    assert asset("demo.jsonl") == make_demo.TARGET


def test_size_length_and_order(lines: list[bytes], rows: list[Row]) -> None:
    assert sum(map(len, lines)) < 700_000
    assert 240 <= rows[-1].seconds <= 360
    assert rows[0].seconds == 0
    times = [row.seconds for row in rows]
    assert times == sorted(times)


def test_every_line_has_the_form_of_the_wire_log(lines: list[bytes]) -> None:
    for line in lines:
        envelope = json.loads(line)
        assert list(envelope) == KEYS
        assert envelope["line"].startswith('data: {"timestamp":"2026-11-20T14:')
        inner = json.loads(envelope["line"].removeprefix("data: "))
        assert list(inner) == ["timestamp", "type", "payload"]
        assert inner["type"] == "event_msg"
        assert envelope["event"] == f"claude.{inner['payload']['type']}"


def test_local_time_is_seven_hours_ahead(rows: list[Row]) -> None:
    start = (demo_tape.START + timedelta(hours=7)).replace(tzinfo=None)
    for row in rows:
        assert abs((row.local - start).total_seconds() - row.seconds) < 0.001


def test_the_decoder_knows_every_line(lines: list[bytes]) -> None:
    decoder = Decoder()
    events = [event for line in lines for event in decoder.decode(line)]
    assert len(events) == len(lines)
    assert not [event for event in events if isinstance(event, Malformed | Unknown)]
    assert sum(isinstance(event, Delta) for event in events) > 800


def test_counters_run_per_flow(rows: list[Row]) -> None:
    expected: dict[tuple[str, str], int] = {}
    for row in rows:
        key = (row.sid, row.flow)
        assert row.count == expected.get(key, 0)
        expected[key] = row.count + 1


def deltas(rows: list[Row]) -> dict[tuple[str, int], list[str]]:
    found: dict[tuple[str, int], list[str]] = {}
    for row in of(rows, "content_block_delta"):
        delta = row.payload["delta"]
        if delta["type"] != "signature_delta":
            text = next(value for key, value in delta.items() if key != "type")
            found.setdefault((row.flow, row.payload["index"]), []).append(text)
    return found


def test_deltas_are_like_tokens_and_calls_are_whole_json(rows: list[Row]) -> None:
    texts = deltas(rows)
    assert max(len(piece) for pieces in texts.values() for piece in pieces) <= 15
    finished = {(row.flow, row.payload["index"]) for row in of(rows, "content_block_stop")}
    for row in of(rows, "content_block_start"):
        where = (row.flow, row.payload["index"])
        if row.payload["content_block"]["type"] == "tool_use" and where in finished:
            assert isinstance(json.loads("".join(texts[where])), dict)


@pytest.mark.parametrize("text", ["", "a", "one two\n\n  three", "x" * 100, "end  ", "  \n" * 20])
def test_pieces_lose_nothing(text: str) -> None:
    pieces = list(demo_tape.pieces(text, demo_tape.Tape(7).random))
    assert "".join(pieces) == text
    assert all(len(piece) <= 15 for piece in pieces)


def test_five_sessions_one_ends_one_starts_late(rows: list[Row]) -> None:
    assert len({row.sid for row in rows}) == 5
    assert len({row.cwd for row in rows}) == 5
    (end,) = of(rows, "session_end")
    assert end.payload["reason"] == "prompt_input_exit"
    starts = {row.sid: row.seconds for row in reversed(of(rows, "session_start"))}
    assert max(starts.values()) > 60


def calls(rows: list[Row]) -> dict[str, Row]:
    """Tool calls by id, as the row that completes them."""
    stops = {(row.flow, row.payload["index"]): row for row in of(rows, "content_block_stop")}
    return {
        row.payload["content_block"]["id"]: stops[row.flow, row.payload["index"]]
        for row in of(rows, "content_block_start")
        if row.payload["content_block"]["type"] == "tool_use"
        and (row.flow, row.payload["index"]) in stops
    }


def test_every_finished_call_has_its_result_and_some_fail(rows: list[Row]) -> None:
    results = {row.payload["tool_use_id"]: row for row in of(rows, "tool_result")}
    called = calls(rows)
    assert results.keys() == called.keys()
    assert all(results[call].seconds >= called[call].seconds for call in called)
    assert sum(row.payload.get("is_error", False) for row in results.values()) >= 3
    names = {
        row.payload["content_block"].get("name") for row in of(rows, "content_block_start")
    } - {None}
    assert names >= {"Bash", "Read", "Edit", "Grep", "Write", "Agent"}


def test_parallel_tools_and_a_long_one(rows: list[Row]) -> None:
    called = calls(rows)
    per_message = [row.flow for row in called.values()]
    assert max(map(per_message.count, per_message)) == 3
    results = {row.payload["tool_use_id"]: row.seconds for row in of(rows, "tool_result")}
    assert max(results[call] - row.seconds for call, row in called.items()) > 60


def test_a_subagent_works_inside_its_parents_round(rows: list[Row]) -> None:
    inside = [row for row in rows if row.agent]
    assert {row.agent for row in inside} == {"a13c6e66ae3d44867"}
    assert {row.event for row in inside} >= {"message_start", "tool_result", "subagent_stop"}
    (start,) = [
        row
        for row in of(rows, "content_block_start")
        if row.payload["content_block"].get("name") == "Agent"
    ]
    (result,) = [
        row
        for row in of(rows, "tool_result")
        if row.payload["tool_use_id"] == start.payload["content_block"]["id"]
    ]
    assert start.sid == inside[0].sid
    assert start.seconds < inside[0].seconds < inside[-1].seconds < result.seconds


def test_one_text_stalls_and_recovers(rows: list[Row]) -> None:
    longest = 0.0
    for _, flow in itertools.groupby(sorted(rows, key=lambda row: row.flow), lambda row: row.flow):
        times = [row.seconds for row in flow if row.event == "content_block_delta"]
        longest = max([longest, *(after - before for before, after in itertools.pairwise(times))])
    assert longest > 45


def test_overload_is_tried_again_in_a_new_flow(rows: list[Row]) -> None:
    errors = of(rows, "error")
    assert [row.payload["error"]["type"] for row in errors] == ["overloaded_error"] * 2
    ended = {row.flow for row in of(rows, "message_stop")}
    for error in errors:
        later = [row for row in of(rows, "message_start") if row.seconds > error.seconds]
        again = next(row for row in later if row.sid == error.sid)
        assert error.flow not in ended
        assert again.flow != error.flow


def test_a_call_waits_for_a_person(rows: list[Row]) -> None:
    (asked,) = of(rows, "permission_request")
    (reminded,) = of(rows, "notification")
    assert reminded.payload["notification_type"] == "permission_prompt"
    result = next(
        row
        for row in of(rows, "tool_result")
        if row.sid == asked.sid and row.seconds > asked.seconds
    )
    assert 5 < reminded.seconds - asked.seconds < 7
    assert 15 < result.seconds - asked.seconds < 25
    busy = [row for row in rows if row.sid == asked.sid and asked.seconds < row.seconds]
    assert busy[0] is reminded
    assert busy[1] is result


def test_a_queued_prompt_becomes_the_next_round(rows: list[Row]) -> None:
    enqueue, dequeue = of(rows, "queue_operation")
    assert (enqueue.payload["operation"], dequeue.payload["operation"]) == ("enqueue", "dequeue")
    prompt = next(
        row
        for row in of(rows, "user_prompt")
        if row.payload["prompt"] == enqueue.payload["content"]
    )
    stop = next(row for row in of(rows, "stop") if row.sid == enqueue.sid)
    assert enqueue.seconds < stop.seconds < dequeue.seconds < prompt.seconds


def test_a_compaction_runs_for_a_while(rows: list[Row]) -> None:
    (before,), (after,) = of(rows, "pre_compact"), of(rows, "post_compact")
    assert before.sid == after.sid
    assert after.seconds - before.seconds > 10


def test_every_round_stops_but_the_killed_one(rows: list[Row]) -> None:
    prompts, stops = of(rows, "user_prompt"), of(rows, "stop")
    assert len(prompts) == len(stops) + 1
    assert len(of(rows, "turn_end")) == len(stops)
    killed = [row for row in rows if row.cwd.endswith("importer")]
    assert killed[-1].event == "content_block_delta"
    assert killed[-1].seconds < rows[-1].seconds - 60


def test_tokens_are_plausible(rows: list[Row]) -> None:
    first = {row.flow: row.payload["message"]["usage"] for row in of(rows, "message_start")}
    for row in of(rows, "message_delta"):
        usage = row.payload["usage"]
        before = first[row.flow]
        assert usage["output_tokens"] > before["output_tokens"] > 0
        for kind in ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens"):
            assert usage[kind] == before[kind] > 0
        assert usage["cache_read_input_tokens"] < 200_000


def test_something_happens_at_nearly_all_times(rows: list[Row]) -> None:
    """No twelve seconds without an event, and two agents in a round nearly always."""
    gaps = [b.seconds - a.seconds for a, b in itertools.pairwise(rows)]
    assert max(gaps) < 12
    spans: list[tuple[float, float]] = []
    for prompt in of(rows, "user_prompt"):
        ends = [row.seconds for row in of(rows, "stop") if row.sid == prompt.sid]
        spans.append(
            (prompt.seconds, min([end for end in ends if end > prompt.seconds], default=1e9))
        )
    busy = [
        sum(start <= second < end for start, end in spans)
        for second in range(6, int(rows[-1].seconds))
    ]
    assert min(busy) >= 1
    assert sum(count >= 2 for count in busy) / len(busy) > 0.9


def test_results_decode_as_results(lines: list[bytes], rows: list[Row]) -> None:
    decoder = Decoder()
    results = [event for line in lines for event in decoder.decode(line)]
    assert sum(isinstance(event, ToolResults) for event in results) == len(of(rows, "tool_result"))
