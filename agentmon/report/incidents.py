"""A run looked back on: what happened, in order, with what it rests on; the slowest rounds; where
the time went. For `agentmon incidents` and the screen of the same name."""

import sqlite3
from collections import Counter
from collections.abc import Sequence
from heapq import nlargest
from pathlib import Path
from typing import cast

from msgspec import Struct
from msgspec.structs import asdict

from agentmon.core.landmarks import KINDS, Kind, Landmark
from agentmon.core.spending import Spent
from agentmon.report.landmarks import RoundCost, Terms, survey
from agentmon.report.naming import board_name
from agentmon.report.render import Look
from agentmon.report.words import UNKNOWN, brief, clock_text, counted, span
from agentmon.store import read

TOP = 5
"""How many of the slowest rounds."""

CONTEXT = frozenset({"prompt", "message"})
"""Landmarks that are no incidents."""

WORDS: dict[Kind, str] = {
    "prompt": "prompt",
    "error": "error",
    "retry": "retry",
    "stall": "stall",
    "permission": "permission",
    "slow": "slow tool",
    "overdue": "overdue tool",
    "failed": "failed tool",
    "interrupt": "given up",
    "kill": "no stop",
    "compaction": "compaction",
    "loop": "loop",
    "message": "message",
}

MANY: dict[Kind, str] = {
    "error": "errors",
    "retry": "retries",
    "stall": "stalls",
    "permission": "permissions",
    "slow": "slow tools",
    "overdue": "overdue tools",
    "failed": "failed tools",
    "interrupt": "given up",
    "kill": "without a stop",
    "compaction": "compactions",
    "loop": "loops",
}
"""The same of several."""

LOOKS: dict[Kind, Look] = {
    "prompt": Look("›", ">", "text-muted"),
    "error": Look("✕", "x", "error"),
    "retry": Look("↻", "~", "warning"),
    "stall": Look("✕", "x", "error"),
    "permission": Look("◆", "?", "warning", bold=True),
    "slow": Look("⚙", "%", "accent"),
    "overdue": Look("▲", "^", "error"),
    "failed": Look("✕", "x", "error"),
    "interrupt": Look("■", "#", "warning"),
    "kill": Look("†", "+", "error"),
    "compaction": Look("↻", "~", "warning"),
    "loop": Look("∞", "8", "error"),
    "message": Look("✉", "m", "text-muted"),
}

USES = ("thinking", "writing", "tools", "person", "api", "other")

USE_WORDS = {
    "thinking": "thinking",
    "writing": "writing",
    "tools": "tools",
    "person": "waiting for a person",
    "api": "waiting for the API",
    "other": "other",
}


class Incidents(Struct):
    """All that is said of a run. `names` are those of the board, by sid."""

    sessions: list[read.SessionRow]
    names: dict[str, str]
    landmarks: list[Landmark]
    numbers: dict[tuple[str, str], int]
    """Of rounds, by (sid, round_id)."""
    round_count: int
    slowest: list[RoundCost]
    spent: Spent
    """Of all rounds."""
    start: float | None
    end: float | None

    @property
    def incidents(self) -> list[Landmark]:
        return [one for one in self.landmarks if one.kind not in CONTEXT]

    def number(self, landmark: Landmark) -> int | None:
        """Of its round."""
        return self.numbers.get((landmark.sid, landmark.round_id or ""))


def load(
    conn: sqlite3.Connection, data_dir: Path, terms: Terms, *, sid: str | None = None
) -> Incidents:
    """Of one session, or of all that a store has."""
    found = survey(conn, data_dir, terms, sid=sid)
    numbers = {(one.line.sid, one.line.round_id): one.line.round_number for one in found.rounds}
    total = Spent()
    for one in found.rounds:
        total.add(one.spent)
    starts = [one.first_time for one in found.sessions if one.first_time is not None]
    ends = [one.last_time for one in found.sessions if one.last_time is not None]
    return Incidents(
        found.sessions[::-1],
        _names(conn, found.sessions),
        found.landmarks,
        numbers,
        len(found.rounds),
        nlargest(TOP, found.rounds, key=lambda one: one.seconds),
        total,
        min(starts, default=None),
        max(ends, default=None),
    )


def _names(conn: sqlite3.Connection, sessions: Sequence[read.SessionRow]) -> dict[str, str]:
    """Those of the board; where two are the same, with the start of their ids."""
    names = {one.sid: board_name(conn, one) or one.sid[:8] for one in sessions}
    known = Counter(names.values())
    return {sid: f"{name} {sid[:4]}" if known[name] > 1 else name for sid, name in names.items()}


def counts(found: Incidents) -> dict[Kind, int]:
    """How often each kind is there."""
    known = Counter(one.kind for one in found.landmarks)
    return {kind: known[kind] for kind in KINDS}


# -- what an incident rests on, in words


def evidence_text(one: Landmark) -> str:
    """One sentence; "" where there is nothing to add."""
    said = one.evidence
    match one.kind:
        case "stall" | "overdue":
            return _limit_text(one)
        case "error":
            return _again(one)
        case "retry":
            delay = _number(said.get("delay"))
            due = "" if delay is None else f"due after {span(delay)}, "
            return due + _again(one)
        case "permission":
            return "not answered" if one.end is None else f"answered at {clock_text(one.end)}"
        case "failed":
            return str(said.get("result") or "")
        case "loop":
            outcome = "failed in the same way" if said.get("is_error") else "the same result"
            return f"the same arguments, {outcome} each time"
        case "kill" | "interrupt":
            return _last_text(one)
        case _:
            return ""


def _again(one: Landmark) -> str:
    """Whether and when the next request came."""
    return "not asked again" if one.end is None else f"asked again after {brief(one.seconds)}"


def _limit_text(one: Landmark) -> str:
    said = one.evidence
    limit, usual = _number(said.get("threshold")), _number(said.get("usual"))
    first = "no byte" if one.kind == "stall" else "no result"
    since = said.get("heard_at") or one.time
    parts = [f"{first} since {precise(_number(since))}"]
    parts[0] += f" until {precise(one.end)}" if one.end is not None else ", and still none"
    if limit is not None:
        parts.append(f"limit {span(limit)}")
    if usual is not None:
        parts.append(f"usual at most {brief(usual)} of {said.get('usual_count')}")
    between = said.get("lines_between")
    if isinstance(between, int) and between:
        parts.append(f"but {counted(between, 'line')} without text")
    process = said.get("process_info")
    if isinstance(process, dict):
        parts.append(_process_text(cast("dict[str, object]", process)))
    return ", ".join(parts)


def _process_text(process: dict[str, object]) -> str:
    words = [f"process {process.get('pid')}", str(process.get("status") or "")]
    cpu = _number(process.get("cpu_percent"))
    words += [f"{cpu:.0f}% CPU"] if cpu is not None else []
    return " ".join(word for word in words if word)


def _last_text(one: Landmark) -> str:
    parts: list[str] = []
    pid, phase, last = (one.evidence.get(name) for name in ("pid", "phase", "last_sign"))
    if pid is not None:
        parts.append(f"process {pid}")
    if phase is not None:
        parts.append(f"it was {phase}")
    if isinstance(last, float):
        parts.append(f"last heard at {precise(last)}")
    gone = _number(one.evidence.get("gone_since"))
    if gone is not None:
        parts.append(f"gone since {precise(gone)}")
    return ", ".join(parts)


def precise(time: float | None) -> str:
    """A time of day to the millisecond."""
    if time is None:
        return UNKNOWN
    millis = round(time * 1000)
    return f"{clock_text(millis // 1000)}.{millis % 1000:03}"


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None


# -- plain values


def as_json(found: Incidents, *, everything: bool = False) -> dict[str, object]:
    """Times are epoch seconds, lengths seconds; with `everything` prompts and messages too."""
    rows = found.landmarks if everything else found.incidents
    return {
        "sessions": [_session_json(found, one) for one in found.sessions],
        "start_time": found.start,
        "end_time": found.end,
        "counts": counts(found),
        "incidents": [_incident_json(found, one) for one in rows],
        "rounds": found.round_count,
        "slowest_rounds": [_round_json(found, one) for one in found.slowest],
        "time": _spent_json(found.spent),
    }


def _session_json(found: Incidents, row: read.SessionRow) -> dict[str, object]:
    return {
        "sid": row.sid,
        "name": found.names[row.sid],
        "agent": row.agent,
        "cwd": row.cwd,
        "start_time": row.first_time,
        "end_time": row.last_time,
        "rounds": row.round_count,
    }


def _incident_json(found: Incidents, one: Landmark) -> dict[str, object]:
    return {
        "kind": one.kind,
        "time": one.time,
        "end_time": one.end,
        "seconds": one.seconds,
        "session": found.names.get(one.sid),
        "sid": one.sid or None,
        "agent_id": one.agent_id or None,
        "round_number": found.number(one),
        "round_id": one.round_id,
        "flow_id": one.flow_id,
        "index": one.index,
        "tool_use_id": one.tool_use_id,
        "text": one.text,
        "evidence": dict(one.evidence),
    }


def _round_json(found: Incidents, one: RoundCost) -> dict[str, object]:
    line = one.line
    return {
        "session": found.names.get(line.sid),
        "sid": line.sid,
        "round_id": line.round_id,
        "round_number": line.round_number,
        "user_prompt": line.user_prompt,
        "start_time": line.start_time,
        "end_time": line.end_time,
        "seconds": one.seconds,
        "time": _spent_json(one.spent),
    }


def _spent_json(spent: Spent) -> dict[str, float]:
    return {**asdict(spent), "total": round(spent.total, 6)}


def shares(spent: Spent) -> Sequence[tuple[str, float, float | None]]:
    """(use, seconds, share of all); no share of nothing."""
    total = spent.total
    values = [(use, float(getattr(spent, use))) for use in USES]
    return [(use, value, value / total if total > 0 else None) for use, value in values]
