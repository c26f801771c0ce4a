"""Why an agent has its state, as labelled lines: the `i` overlay. Reads and words, no drawing."""

import json
import sqlite3
from collections.abc import Mapping, Sequence
from typing import cast

from msgspec import Struct, field

from agentmon.core.health import WORKING
from agentmon.core.names import gist
from agentmon.core.text import one_line
from agentmon.report import render, seeing
from agentmon.report.board import Thread
from agentmon.report.known import details
from agentmon.store import read
from agentmon.ui.widgets.rounds import span
from agentmon.ui.widgets.sessions import View, clock_text


class Fact(Struct, frozen=True):
    """A line of the overlay. Without a label it goes on with the one above."""

    label: str
    text: str
    role: str = ""


class Looked(Struct):
    """What the process table says of an agent at this moment."""

    process: Mapping[str, object] | None = None
    children: Sequence[Mapping[str, object]] = ()
    problem: str = ""
    """Why there is nothing to say; "": nobody looked."""


class Answer(Struct, frozen=True):
    """What the overlay shows: a question, and the facts that answer it."""

    question: str
    facts: list[Fact]


SPACE = Fact("", "")
"""Between two subjects."""


class Records(Struct):
    """What the store knows about a thread besides the board."""

    verdicts: list[read.VerdictRow] = field(default_factory=list[read.VerdictRow])
    block: read.BlockRow | None = None
    open_blocks: int = 0
    notices: list[read.NoticeRow] = field(default_factory=list[read.NoticeRow])
    testimony: list[read.Testimony] = field(default_factory=list[read.Testimony])
    known: dict[str, object] = field(default_factory=dict[str, object])


def load(conn: sqlite3.Connection, thread: Thread) -> Records:
    """Verdicts as they were judged, the newest block, what each source said last."""
    row = thread.row
    blocks = read.blocks(conn, row.flow_id) if row.flow_id else []
    facts = read.facts(conn, row.sid).items()
    return Records(
        verdicts=[v for v in read.verdicts(conn, row.sid) if v.agent_id == row.agent_id],
        block=blocks[-1] if blocks else None,
        open_blocks=sum(not block.is_complete for block in blocks),
        notices=read.notices(conn, row.sid, limit=4),
        testimony=[t for t in read.testimony(conn, row.sid) if t.agent_id == row.agent_id],
        known={name: fact.value for (agent_id, name), fact in facts if agent_id == row.agent_id},
    )


def heading(thread: Thread, view: View) -> str:
    """The question that the overlay answers."""
    word = render.state(thread, view.now, view.limits).word
    return f'Why "{word}"?'


def thread_facts(
    thread: Thread, records: Records, view: View, looked: Looked | None = None
) -> list[Fact]:
    """Why a thread has its state, as judged now and as stored; then what else is known of it."""
    shown = render.state(thread, view.now, view.limits, ascii=view.ascii_only)
    verdict = thread.verdict(view.now, view.limits)
    looked, session = looked or Looked(), thread.session
    facts = [
        Fact(
            "state", f"{shown.glyph} {shown.label}  ({_phase(thread.row, view)})", shown.color_role
        ),
        Fact("last byte", _last_byte(thread, records.block, view)),
        _usual(thread, verdict.evidence, view),
        Fact("process", _process(thread, verdict.evidence, looked, view)),
        *_children(verdict.evidence, looked, view),
        Fact("sources", sources_text(records.testimony, view)),
        Fact("seen by", seeing.explained(session.kinds, session.agent)),
        *_disagreements(thread.row.phase, records.testimony),
        Fact("open", _open(thread, records)),
        *_tools(thread, view),
    ]
    if verdict.word != "ok":
        facts.append(Fact("verdict", f"{verdict.word}: {evidence_text(verdict.evidence)}", "error"))
    facts += [Fact(label, text) for label, text in details(thread, records.known, view.now)]
    facts.append(Fact("session", _text(session.sid)))
    facts.append(Fact("cwd", _text(session.cwd)))
    if thread.row.agent_id:
        facts.append(Fact("subagent", _text(thread.row.agent_id)))
    return [*facts, *_stored(records), *_said(records)]


def _text(value: str | None) -> str:
    return one_line(value, 200) if value else render.UNKNOWN


def _ago(time: float | None, view: View) -> str:
    if time is None:
        return render.UNKNOWN
    return f"{span(max(0.0, view.now - time))} ago, {clock_text(time)}"


def _phase(row: read.AgentRow, view: View) -> str:
    detail = f" ({one_line(row.phase_detail, 80)})" if row.phase_detail else ""
    since = f", since {_ago(row.phase_since, view)}" if row.phase_since is not None else ""
    return f"{_text(row.phase)}{detail}{since}"


def _last_byte(thread: Thread, block: read.BlockRow | None, view: View) -> str:
    row = thread.row
    text = _ago(row.last_byte, view)
    if row.last_byte is not None:
        text += f"{row.last_byte % 1:.3f}"[1:]
    if row.last_told is not None and row.last_told > (row.last_byte or 0.0):
        text = f"{_ago(row.last_told, view)}, told when it was over"
    if block is not None:
        text += f" (block {block.index} of {_text(block.flow_id)}, {_text(block.block_type)})"
    return text


_SHOWN_ELSEWHERE = frozenset(
    {"phase", "phase_since", "last_byte", "last_told", "threshold", "usual", "usual_count"}
    | {"pid", "process", "version", "sampled_at", "setting"}
)
"""Parts of the evidence that have a line of their own."""


def _usual(thread: Thread, evidence: Mapping[str, object], view: View) -> Fact:
    """What is normal for this agent, as far as it was learned, and where patience ends."""
    first = thread.row.phase in ("prompting", "retrying")
    usual = thread.first_byte if first else thread.gap
    label = "threshold" if usual is None else "usual gap"
    parts: list[str] = []
    if usual is not None:
        what = "waits for a first byte" if first else "gaps of this agent"
        short = f"{1000 * usual.p99:.0f} ms" if usual.p99 < 1 else span(usual.p99)
        parts.append(f"p99 {short} over {usual.count:,} {what}")
    limit = _seconds(evidence, "threshold") if "last_told" in evidence else None
    limit = limit if limit is not None else view.limits.stall_limit(usual)
    parts.append(f"stalled after {span(limit)} without a due byte")
    return Fact(label, " · ".join(parts))


def _tools(thread: Thread, view: View) -> list[Fact]:
    """Each pending call with what is usual for such calls."""
    facts: list[Fact] = []
    for number, call in enumerate(thread.pending[:4]):
        late = render.overdue_limit(call, thread, view.limits)
        usual = thread.calls.get(call.tool_use_id)
        words = [f"{_text(call.tool_name)} {render.timer(view.now - call.called_at)}"]
        about = one_line(gist(call.input_preview), 60)
        words += [about] if about else []
        if usual is not None:
            words.append(f"usual p99 {span(usual.p99)} of {usual.count:,} such calls")
        words.append(f"overdue after {render.timer(late)}")
        facts.append(Fact("" if number else "tools", ", ".join(words)))
    return facts


def _seconds(evidence: Mapping[str, object], *names: str) -> float | None:
    for name in names:
        value = evidence.get(name)
        if isinstance(value, int | float) and not isinstance(value, bool):
            return float(value)
    return None


def _process(thread: Thread, evidence: Mapping[str, object], looked: Looked, view: View) -> str:
    """The process of a session: as it is now where it could be looked at, else as it was."""
    session, gone = thread.session, thread.process
    name = f"{_text(session.agent)} {one_line(session.version or '', 24)}".strip()
    if session.host is not None:
        return f"{name}, on {one_line(session.host, 40)}: its processes are not seen from here"
    if gone is not None:
        seen = f", last seen alive {clock_text(gone.alive_at)}" if gone.alive_at else ""
        since = clock_text(gone.gone_since)
        return f"{name}, pid {gone.pid}: {one_line(gone.reason, 80)} (since {since}{seen})"
    if session.pid is None:
        return f"{name}, pid not known"
    info = looked.process or _table(evidence.get("process_info"))
    if info is not None:
        return f"{name}, alive, {process_text(info, view, named=False)}"
    if looked.problem:
        return f"{name}, pid {session.pid}: {looked.problem}"
    return f"{name}, pid {session.pid}; nothing says that it is gone"


def _children(evidence: Mapping[str, object], looked: Looked, view: View) -> list[Fact]:
    """The processes below the agent's: what hangs, what works, what it left behind."""
    left = _tables(evidence.get("left_running"))
    running = looked.children if looked.process is not None else _tables(evidence.get("children"))
    facts: list[Fact] = []
    for label, tables in (("children", running), ("left behind", left)):
        for number, child in enumerate(tables[:8]):
            facts.append(Fact("" if number else label, process_text(child, view)))
        if len(tables) > 8:
            facts.append(Fact("", f"and {len(tables) - 8} more"))
    return facts


def _table(value: object) -> Mapping[str, object] | None:
    return cast("dict[str, object]", value) if isinstance(value, dict) else None


def _tables(value: object) -> Sequence[Mapping[str, object]]:
    rows = cast("list[object]", value) if isinstance(value, list) else []
    return [table for table in map(_table, rows) if table is not None]


def process_text(process: Mapping[str, object], view: View, *, named: bool = True) -> str:
    """ "pytest -x tests/, pid 4711, sleeping, cpu 0 %, since 13:10:02 (1m30s)"."""
    command, pid, status = process.get("command"), process.get("pid"), process.get("status")
    words = [one_line(command if isinstance(command, str) else "", 80) or render.UNKNOWN]
    words = words if named else []
    if isinstance(pid, int):
        words.append(f"pid {pid}")
    if isinstance(status, str) and status:
        words.append(one_line(status, 20))
    cpu, since = _seconds(process, "cpu_percent"), _seconds(process, "started")
    if cpu is not None:
        words.append(f"cpu {cpu:.0f} %")
    if since is not None and abs(since) < 1e11:
        words.append(f"since {clock_text(since)} ({span(max(0.0, view.now - since))})")
    return ", ".join(words)


FRESH = 3.0
"""Seconds for which what a source said needs no age."""


def sources_text(testimony: Sequence[read.Testimony], view: View) -> str:
    """ "wire: text · registry: busy (38s old)"."""
    said: list[str] = []
    for one in sorted(testimony, key=lambda one: -one.time):
        old = view.now - one.time
        age = f" ({render.age(old)} old)" if old >= FRESH else ""
        said.append(f"{_text(one.kind)}: {one_line(one.said, 40)}{age}")
    return " · ".join(said) or "none tells of this agent besides its messages"


_MEANINGS = {"busy": WORKING, "idle": frozenset({"idle", "ended"}), "waiting": {"permission"}}
"""Phases that go with what the registry of Claude Code says of a session."""


def _disagreements(phase: str, testimony: Sequence[read.Testimony]) -> list[Fact]:
    facts: list[Fact] = []
    for one in testimony:
        if one.kind != "registry":
            continue
        word = next((word for word in one.said.split() if word.strip(":,") in _MEANINGS), "")
        expected = _MEANINGS.get(word.strip(":,"))
        if expected is not None and phase not in expected:
            said = f"{_text(one.kind)} says {one_line(one.said, 40)}, the other sources {phase}"
            facts.append(Fact("disagree", said, "warning"))
    return facts


def _open(thread: Thread, records: Records) -> str:
    blocks, calls = records.open_blocks, thread.pending
    text = f"{blocks or 'no'} block{'' if blocks == 1 else 's'}, "
    return text + f"{len(calls) or 'no'} tool{'' if len(calls) == 1 else 's'} pending"


def _stored(records: Records) -> list[Fact]:
    facts: list[Fact] = []
    for number, verdict in enumerate(records.verdicts[:5]):
        until = "now" if verdict.until is None else clock_text(verdict.until)
        text = f"{clock_text(verdict.since)}–{until}  {_text(verdict.verdict)}: "
        text += _stored_evidence(verdict.evidence)
        facts.append(Fact("" if number else "recorded", text))
    return facts


def _stored_evidence(text: str) -> str:
    try:
        found = json.loads(text)
    except ValueError:
        return one_line(text, 200)
    if not isinstance(found, dict):
        return one_line(text, 200)
    return evidence_text(cast("dict[str, object]", found))


def evidence_text(evidence: Mapping[str, object]) -> str:
    """Evidence in words; times of day for times."""
    words: list[str] = []
    for name, value in evidence.items():
        if name in _SHOWN_ELSEWHERE or value is None or isinstance(value, list | dict):
            continue
        if isinstance(value, float) and value > 1e8:
            shown = clock_text(value)
        elif isinstance(value, float):
            shown = f"{value:g}"
        else:
            shown = one_line(str(value), 60)
        words.append(f"{one_line(name, 24).replace('_', ' ')} {shown}")
    return ", ".join(words)


def _said(records: Records) -> list[Fact]:
    facts: list[Fact] = []
    for number, notice in enumerate(records.notices):
        words = " ".join(filter(None, (_text(notice.name), _notice_words(notice.data))))
        facts.append(Fact("" if number else "notices", f"{clock_text(notice.time)}  {words}"))
    return facts


_TELLING = ("message", "tool_name", "error", "error_type", "operation", "reason", "trigger", "text")
"""Fields of a notice that say what it was about."""


def _notice_words(data: str) -> str:
    try:
        found = _table(json.loads(data))
    except ValueError:
        return one_line(data, 80)
    values = [found.get(name) for name in _TELLING] if found is not None else []
    return one_line(" · ".join(value for value in values if isinstance(value, str)), 80)
