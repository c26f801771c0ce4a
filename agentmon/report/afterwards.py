"""What is found once all of a session was read: what is open, what was judged, rounds that have no
stop, and what only notices tell."""

from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from agentmon.core.landmarks import Kind, Landmark, Place, call_text
from agentmon.report import board
from agentmon.report.roundreading import EVERY
from agentmon.report.signs import NEAR, round_at
from agentmon.report.silences import stall_text
from agentmon.report.tracing import Trace
from agentmon.report.words import tokens
from agentmon.store import read
from agentmon.store.read_landmarks import prompts_in_time
from agentmon.store.read_rounds import Unended, unended


def add(trace: Trace) -> None:
    """Adds all of it to what a trace found."""
    _compactions(trace)
    _asked_elsewhere(trace)
    _judged(trace)
    _open(trace)
    _without_stop(trace)


# -- what only notices tell


class _Compaction(Struct, rename="camel"):
    trigger: str | None = None
    pre_tokens: int | None = None
    post_tokens: int | None = None


def _compactions(trace: Trace) -> None:
    """From the hook before to what tells that it is over; either may be missing."""
    told: list[tuple[float, bool, read.NoticeRow]] = []
    for name in ("pre_compact", "post_compact", "compact_boundary"):
        for row in read.notices(trace.conn, trace.sid, name=name, limit=EVERY):
            told.append((row.time, name == "pre_compact", row))
    told.sort(key=lambda one: one[:2])
    open_at: dict[str, int] = {}
    last: dict[str, float] = {}
    for time, is_start, row in told:
        agent = row.agent_id or ""
        said = _decoded(row.data, _Compaction)
        if is_start:
            text = said.trigger or ""
            open_at[agent] = trace.add("compaction", time, None, text, Place(agent))
        elif agent in open_at:
            place = open_at.pop(agent)
            known = trace.found[place]
            text = _compacted(replace(said, trigger=said.trigger or known.text or None))
            trace.found[place] = replace(known, end=time, text=text)
            last[agent] = time
        elif time - last.get(agent, float("-inf")) > NEAR:
            trace.add("compaction", time, None, _compacted(said), Place(agent))
            last[agent] = time
    if not told:
        _counted_compactions(trace)


def _compacted(said: _Compaction) -> str:
    parts = [said.trigger or ""]
    if said.pre_tokens is not None and said.post_tokens is not None:
        parts.append(f"{tokens(said.pre_tokens)} to {tokens(said.post_tokens)} tokens")
    return ", ".join(part for part in parts if part)


def _counted_compactions(trace: Trace) -> None:
    """Rollouts only count them: when the last one was is known."""
    for (sid, agent, name), fact in read.facts_of(
        trace.conn, [trace.sid], ("compactions",)
    ).items():
        if sid == trace.sid and name == "compactions" and isinstance(fact.value, int):
            text = "" if fact.value == 1 else f"the last of {fact.value}"
            evidence = {"count": fact.value}
            trace.add("compaction", fact.time, None, text, Place(agent), evidence)


class _Status(Struct, rename="camel"):
    status: str | None = None
    waiting_for: str | None = None


def _asked_elsewhere(trace: Trace) -> None:
    """Waits for a person that no call in the store goes with."""
    known = [one for one in trace.found if one.kind == "permission"]
    for time, agent, tool in trace.askings_without_call:
        if not any(_covers(one, time) for one in known):
            known.append(trace.found[trace.add("permission", time, None, tool or "", Place(agent))])
    rows = read.notices(trace.conn, trace.sid, name="status", limit=EVERY)[::-1]
    said = [(row.time, row.agent_id or "", _decoded(row.data, _Status)) for row in rows]
    for place, (time, agent, status) in enumerate(said):
        if status.status != "waiting" or any(_covers(one, time) for one in known):
            continue
        after = (at for at, _, later in said[place + 1 :] if later.status != "waiting")
        text = status.waiting_for or ""
        known.append(
            trace.found[trace.add("permission", time, next(after, None), text, Place(agent))]
        )


def _covers(landmark: Landmark, time: float) -> bool:
    end = float("inf") if landmark.end is None else landmark.end
    return landmark.time - NEAR <= time <= end + NEAR


# -- what was judged while it ran

_KIND_OF: dict[str, Kind] = {"stalled": "stall", "overdue": "overdue", "orphaned": "kill"}


def _judged(trace: Trace) -> None:
    """Verdicts as stored: they know what the process did. What they judged is told once."""
    for row in read.verdicts(trace.conn, trace.sid, limit=EVERY):
        kind = _KIND_OF.get(row.verdict)
        if kind is None:
            continue
        evidence = _decoded_mapping(row.evidence)
        at = next(_same(trace, kind, row), None)
        if at is not None:
            known = trace.found[at]
            trace.found[at] = replace(known, evidence={**evidence, **known.evidence})
            continue
        round_id = _round_at(trace, row.since)
        turn = trace.turns.get(round_id or "") if not row.agent_id else None
        flow_id = None if turn is None else turn.flow_id
        place = Place(row.agent_id, round_id, flow_id, row.tool_use_id or None)
        text = _judged_text(kind, evidence)
        trace.add(kind, row.since, row.until, text, place, evidence)


def _judged_text(kind: Kind, evidence: dict[str, object]) -> str:
    if kind == "stall":
        return f"silent while {evidence.get('phase', 'working')}"
    if kind == "kill":
        return f"no stop: {evidence.get('process', 'its process is gone')}"
    return str(evidence.get("tool_name") or "")


def _same(trace: Trace, kind: Kind, row: read.VerdictRow) -> Iterator[int]:
    """Where what a verdict judged stands already: the same call, or a silence at the same time."""
    until = float("inf") if row.until is None else row.until
    for place, one in enumerate(trace.found):
        if (one.kind, one.agent_id) != (kind, row.agent_id):
            continue
        is_call = kind == "overdue" and one.tool_use_id == row.tool_use_id
        end = float("inf") if one.end is None else one.end
        if is_call or (kind == "stall" and max(one.time, row.since) < min(end, until)):
            yield place


def _round_at(trace: Trace, time: float) -> str | None:
    return round_at(prompts_in_time(trace.conn, trace.sid), time)


# -- what is open


def _open(trace: Trace) -> None:
    """Judged as the board would at the end."""
    horizon = trace.end if trace.now is None else trace.now
    pending = read.pending(trace.conn, sid=trace.sid)
    for thread in board.of_sessions(trace.conn, [trace.session], pending).threads:
        verdict = thread.suspicion(horizon, trace.limits)
        kind = _KIND_OF.get(verdict.word)
        if kind is None or _is_known(trace, kind, thread.row.agent_id, verdict.since):
            continue
        call = str(verdict.evidence.get("tool_use_id") or "") or None
        row = next((one for one in thread.pending if one.tool_use_id == call), None)
        text = stall_text(thread.row.phase, verdict.since, None)
        if row is not None:
            text = call_text(row.tool_name, row.input_preview)
        flow_id, round_id = thread.row.flow_id, _round_at(trace, verdict.since)
        if row is not None:
            flow_id, round_id = row.flow_id, row.round_id
        index = None if row is None else row.index
        place = Place(thread.row.agent_id, round_id, flow_id, call, index)
        trace.add(kind, verdict.since, None, text, place, verdict.evidence)


def _is_known(trace: Trace, kind: Kind, agent_id: str, since: float) -> bool:
    return any(
        one.kind == kind and one.agent_id == agent_id and abs(one.time - since) <= NEAR
        for one in trace.found
    )


# -- rounds without a stop


def _without_stop(trace: Trace) -> None:
    given_up = {one.round_id for one in trace.found if one.kind == "interrupt"}
    is_killed = any(one.kind == "kill" and not one.agent_id for one in trace.found)
    for round_ in unended(trace.conn, sid=trace.sid):
        turn = trace.turns.get(round_.round_id)
        is_open = turn is None or turn.is_open
        last = round_.start_time if turn is None else turn.last
        flow_id = None if turn is None else turn.flow_id
        kind, text = _why(trace, round_, last, is_open=is_open)
        known = given_up if kind == "interrupt" else is_killed and {round_.round_id}
        if kind is None or (known and round_.round_id in known):
            continue
        time = last if round_.aborted_at is None else round_.aborted_at
        evidence: dict[str, object] = {"why": round_.why, "last_sign": last}
        if kind == "kill":
            evidence |= {
                "pid": trace.session.pid,
                "phase": round_.phase,
                "record_end": trace.end if trace.now is None else None,
            }
        trace.add(kind, time, None, text, Place("", round_.round_id, flow_id), evidence)


def _why(trace: Trace, round_: Unended, last: float, *, is_open: bool) -> tuple[Kind | None, str]:
    match round_.why:
        case "aborted":
            return "interrupt", "given up"
        case "orphaned":
            return "kill", "no stop: its process is gone"
        case "resume" if is_open:
            return "kill", "no stop: the session was taken up again later"
        case "next_prompt" if is_open:
            return "interrupt", "no stop before the next prompt"
        case "session_end" if is_open:
            return "interrupt", "no stop before the end of the session"
        case "running" if is_open and trace.now is None:
            rest = max(0.0, trace.end - last)
            return "kill", f"no stop: the record says no more of it, and goes on for {rest:.1f} s"
        case _:
            return None, ""


def _decoded(data: str, type_: type[Any]) -> Any:
    try:
        return msgspec.json.decode(data, type=type_)
    except (msgspec.DecodeError, ValueError):
        return type_()


def _decoded_mapping(data: str) -> dict[str, object]:
    try:
        return msgspec.json.decode(data, type=dict[str, object])
    except (msgspec.DecodeError, ValueError):
        return {}
