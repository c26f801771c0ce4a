"""The conversation in a transcript: prompts, results, messages, ends of turns (formats.md C.3-C.5).

Every reader takes the line at hand and adds to its events and facts; False: it is unknown.
"""

from agentmon.core.events import (
    Notice,
    Prompt,
    Retry,
    Told,
    ToldBlock,
    ToolResults,
    TurnAborted,
    TurnStop,
)
from agentmon.sources import transcript_records as records
from agentmon.sources.decoding import Record, mapping
from agentmon.sources.payloads import compact, usage
from agentmon.sources.transcript_memory import OpenMessage, Row
from agentmon.sources.transcript_records import count_field, number_field, text_field
from agentmon.sources.transcript_tasks import notified, read_call, read_outcome

_WRITES_DETAILS = (2, 1, 330)
"""From this version on every complete message has `stop_details`, and one that was cut off has
none, though a stop_reason stands there too (measured)."""

_QUIET_SYSTEM = frozenset(
    {
        "away_summary",
        "bridge_status",
        "informational",
        "local_command",
        "memory_saved",
        "microcompact_boundary",
        "model_consent_fallback",
        "model_refusal_fallback",
        "scheduled_task_fire",
        "thinking",
    }
)


def user(row: Row) -> bool:
    record, known = row.record, row.known
    row.say_text("permission_mode", record.get("permissionMode"))
    blocks = records.content_blocks(record)
    said = records.read_user(record, blocks)
    results = records.results_of(blocks)
    if results:
        row.events.append(ToolResults(*row.base, results))
        known.answered = None
        if known.message is not None:
            returned = {result.tool_use_id for result in results}
            known.message.calls = [call for call in known.message.calls if call not in returned]
        parent = results[0].tool_use_id if len(results) == 1 else None
        read_outcome(row, mapping(record.get("toolUseResult")), parent)
    if said.what == "interrupt":
        _interrupt(row)
    elif results:
        pass
    elif row.agent_id is not None:
        if said.prompt and row.is_turn and not known.is_begun:
            known.is_begun = True
            row.say_agent(row.agent_id, description=records.first_line(said.prompt))
        has_task = said.prompt is not None
        row.other("task" if has_task else said.what, is_alive=has_task or said.is_alive)
    elif said.prompt is not None:
        _prompt(row, said.prompt)
    else:
        notified(row, "\n".join(records.block_texts(blocks)))
        row.other(said.what, is_alive=said.is_alive)
    return True


def _prompt(row: Row, text: str) -> None:
    """A prompt begins a round; where the turn before it had an answer, that one is over."""
    record, known = row.record, row.known
    ended, known.answered = known.answered, None
    row.close_message()
    if ended is not None:
        stop = TurnStop(*row.at(known.round, ended), "turn_end", False, list(known.running))
        row.events.append(stop)
    uuid = row.uuid
    own = text_field(record, "promptId")
    known.round = own or (f"syn:{row.base[0]}:{uuid}" if uuid else None)
    known.is_warmup = False
    is_queued = record.get("promptSource") == "queued"
    row.events.append(Prompt(*row.at(own, row.time), text, uuid, is_queued))


def _interrupt(row: Row) -> None:
    """A person stopped the turn: the message that came last was broken off."""
    row.known.answered = row.known.message = None
    if row.agent_id is None:
        row.events.append(TurnAborted(*row.base, reason="interrupted"))
    elif row.is_turn:
        row.say_agent(row.agent_id, status="stopped")
        row.stop("stop")


def assistant(row: Row) -> bool:
    record, known = row.record, row.known
    message = mapping(record.get("message"))
    if not message:
        return False
    blocks = records.content_blocks(record)
    row.say_text("effort", record.get("effort"))
    if message.get("model") == records.SYNTHETIC_MODEL:
        _made_up(row, message, blocks)
        return True
    if "rate_limit" in known.facts:
        row.say("rate_limit", None)
    request_id = text_field(record, "requestId")
    message_id = text_field(message, "id") or ""
    group = "" if message_id else request_id or row.item_id
    stop_reason = text_field(message, "stop_reason")
    is_cut = record.get("isAbortedMidStream") is True
    if "stop_details" in message:
        known.has_details = True
    elif stop_reason and (known.has_details or _writes_details(known.version)):
        stop_reason, is_cut = None, True
    if row.is_turn:
        _follow(row, message_id, group, request_id)
    told = _told_blocks(row, blocks)
    if told and record.get("isAbortedMidStream") is True:
        told[-1].is_cut = True
    row.events.append(
        Told(
            *row.base,
            request_id,
            message_id,
            group,
            text_field(message, "role"),
            text_field(message, "model"),
            stop_reason,
            usage(message.get("usage")),
            told,
            is_done=stop_reason is not None,
        )
    )
    if row.is_turn:
        _remember(row, told, is_settled=is_cut or stop_reason is not None)
    if stop_reason in records.TURN_ENDS:
        row.stop("turn_end")
    return True


def _remember(row: Row, told: list[ToldBlock], *, is_settled: bool) -> None:
    """What the next records need to know of this one."""
    known = row.known
    if known.message is not None:
        calls = (one.tool_use_id for one in told if one.block_type == "tool_use")
        known.message.calls += [call for call in calls if call]
        known.message.is_settled |= is_settled
    is_answer = bool(told) and told[-1].block_type == "text" and not is_settled
    known.answered = row.time if is_answer and row.agent_id is None else None


def _writes_details(version: str | None) -> bool:
    parts = (version or "").split(".")
    if len(parts) != 3 or not all(part.isdecimal() and len(part) < 9 for part in parts):
        return False
    return tuple(int(part) for part in parts) >= _WRITES_DETAILS


def _follow(row: Row, message_id: str, group: str, request_id: str | None) -> None:
    """Notes whose records come now; those of one message need not be adjacent, but a thread has
    one message at a time."""
    known = row.known
    current = known.message
    if current is None or (current.message_id, current.group) != (message_id, group):
        row.close_message()
        current = OpenMessage(message_id, group, request_id, row.base[4])
        known.message = current
    current.time = row.time


def _told_blocks(row: Row, blocks: list[Record]) -> list[ToldBlock]:
    found = [(block, records.told_block(block)) for block in blocks]
    told = [one for _, one in found if one is not None]
    index = count_field(row.record, "apiBlockIndex")
    for number, one in enumerate(told):
        one.index = index if len(told) == 1 and index is not None and index < 2**31 else None
        row.name_block(one, f"#{number}" if len(told) > 1 else "")
    for block, one in found:
        if one is not None and one.tool_use_id:
            read_call(row, one.tool_use_id, one.tool_name, mapping(block.get("input")))
    return told


def _made_up(row: Row, message: Record, blocks: list[Record]) -> None:
    """A message that the client wrote: an error in place of an answer, or that there is none."""
    text = "\n".join(records.block_texts(blocks))
    if text.strip() == records.NOTHING_SAID:
        row.other("nothing said")
        return
    if text.strip() in records.INTERRUPTS:
        _interrupt(row)
        return
    row.close_message()
    row.known.answered = None
    is_error = row.record.get("isApiErrorMessage") is True
    kind = text_field(row.record, "error")
    if kind == "rate_limit":
        row.say("rate_limit", {"status": "rejected", "text": records.first_line(text)})
    message_id = text_field(message, "id") or ""
    row.events.append(
        Told(
            *row.base,
            None,
            message_id,
            "" if message_id else row.item_id,
            text_field(message, "role"),
            None,
            None,
            {},
            _told_blocks(row, blocks),
            is_done=True,
            error=(text or kind or "error") if is_error else None,
        )
    )
    row.stop("turn_end")


def system(row: Row) -> bool:
    record = row.record
    subtype = record.get("subtype")
    if subtype == "stop_hook_summary":
        row.close_message()
        row.stop("stop")
    elif subtype == "turn_duration":
        pending = count_field(record, "pendingBackgroundAgentCount")
        if pending is None and row.known.has_details:
            pending = 0
        row.close_message()
        row.stop("turn_end", pending)
    elif subtype == "api_error":
        wait = number_field(record, "retryInMs")
        row.events.append(
            Retry(
                *row.base,
                *records.api_error(record.get("error")),
                wait / 1000 if wait is not None else None,
                count_field(record, "retryAttempt"),
                count_field(record, "maxRetries"),
            )
        )
    elif subtype == "compact_boundary":
        _compacted(row)
    elif not isinstance(subtype, str):
        row.other("system")
    elif subtype in _QUIET_SYSTEM:
        row.other(subtype)
    else:
        return False
    return True


def _compacted(row: Row) -> None:
    details = mapping(row.record.get("compactMetadata"))
    trigger = text_field(details, "trigger")
    row.known.compactions += 1
    row.say(
        "compactions",
        {
            "count": row.known.compactions,
            "trigger": trigger,
            "pre_tokens": count_field(details, "preTokens"),
            "post_tokens": count_field(details, "postTokens"),
        },
    )
    row.events.append(Notice(*row.base, "post_compact", compact(details), kind=trigger))
