"""What a state rests on, as labelled lines: the `i` overlay. Reads and words, no drawing."""

import json
import sqlite3
from typing import cast

from msgspec import Struct, field

from agentmon.core.text import clean, one_line
from agentmon.report import render
from agentmon.report.board import Thread
from agentmon.store import read
from agentmon.ui.tree import Node
from agentmon.ui.widgets.rounds import span
from agentmon.ui.widgets.sessions import View, clock_text


class Fact(Struct, frozen=True):
    """A line of the overlay. Without a label it goes on with the one above."""

    label: str
    text: str
    role: str = ""


class Records(Struct):
    """What the store knows about a thread besides the board."""

    verdicts: list[read.VerdictRow] = field(default_factory=list[read.VerdictRow])
    block: read.BlockRow | None = None
    notices: list[read.NoticeRow] = field(default_factory=list[read.NoticeRow])


def load(conn: sqlite3.Connection, thread: Thread) -> Records:
    """Verdicts as they were judged, the newest block, what else was said."""
    row = thread.row
    block = read.latest_block(conn, row.flow_id) if row.flow_id else None
    verdicts = [v for v in read.verdicts(conn, row.sid) if v.agent_id == row.agent_id]
    return Records(verdicts, block, read.notices(conn, row.sid, limit=4))


def thread_facts(thread: Thread, records: Records, view: View) -> list[Fact]:
    """Why a thread has its state, as judged now and as stored."""
    shown = render.state(thread, view.now, view.limits, ascii=view.ascii_only)
    session, row = thread.session, thread.row
    facts = [
        Fact("state", f"{shown.glyph} {shown.label}", shown.color_role),
        Fact("phase", _phase(row, view)),
        Fact("last byte", _last_byte(thread, records.block, view)),
        Fact("threshold", _threshold(thread, view)),
        Fact("process", _process(thread)),
        Fact("open", _open(thread, records.block, view)),
        Fact("agent", f"{_text(session.agent)} {_text(session.version)}  in {_text(session.cwd)}"),
        Fact("session", _text(session.sid)),
    ]
    if row.agent_id:
        facts.append(Fact("subagent", _text(row.agent_id)))
    return [*facts, *_judged(thread, view), *_stored(records, view), *_said(records, view)]


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
    text = _ago(thread.row.last_byte, view)
    if block is not None:
        text += f" (block {block.index} of {_text(block.flow_id)}, {_text(block.block_type)})"
    return text


def _threshold(thread: Thread, view: View) -> str:
    limits = view.limits
    text = f"stalled after {limits.stalled_after:g} s without a byte that is due"
    for call in thread.pending[:3]:
        limit = limits.overdue_limit(call.tool_name)
        text += f" · {_text(call.tool_name)} overdue after {render.timer(limit)}"
    return text


def _process(thread: Thread) -> str:
    session, process = thread.session, thread.process
    if process is not None:
        gone = clock_text(process.gone_since)
        return f"pid {process.pid}: {one_line(process.reason, 80)} (since {gone})"
    if session.pid is None:
        return "pid not known"
    return f"pid {session.pid}; nothing says that it is gone"


def _open(thread: Thread, block: read.BlockRow | None, view: View) -> str:
    open_blocks = 1 if block is not None and not block.is_complete else 0
    plural = "" if len(thread.pending) == 1 else "s"
    blocks = "1 block" if open_blocks else "no block"
    text = f"{blocks}, {len(thread.pending)} tool{plural} pending"
    for call in thread.pending[:4]:
        text += f" · {_text(call.tool_name)} {render.timer(view.now - call.called_at)}"
    return text


def _judged(thread: Thread, view: View) -> list[Fact]:
    """The evidence of the verdict that holds now."""
    verdict = thread.verdict(view.now, view.limits)
    if verdict.word == "ok":
        return []
    return [Fact("verdict", f"{verdict.word}: {evidence_text(verdict.evidence)}", "error")]


def _stored(records: Records, view: View) -> list[Fact]:
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


def evidence_text(evidence: dict[str, object]) -> str:
    """Evidence in words; times of day for times."""
    words: list[str] = []
    for name, value in evidence.items():
        if isinstance(value, float) and value > 1e8:
            shown = clock_text(value)
        elif isinstance(value, float):
            shown = f"{value:g}"
        else:
            shown = render.UNKNOWN if value is None else one_line(str(value), 60)
        words.append(f"{one_line(name, 24).replace('_', ' ')} {shown}")
    return ", ".join(words)


def _said(records: Records, view: View) -> list[Fact]:
    facts: list[Fact] = []
    for number, notice in enumerate(records.notices):
        text = f"{clock_text(notice.time)}  {_text(notice.name)}  {one_line(notice.data, 100)}"
        facts.append(Fact("" if number else "notices", text))
    return facts


def node_facts(node: Node, view: View) -> list[Fact]:
    """What is known of a chosen round, message or block."""
    if node.block is not None:
        return _block_facts(node.block)
    if node.message is not None:
        return _message_facts(node.message)
    if node.round is not None:
        row = node.round
        times = f"{clock_text(row.start_time)} – {clock_text(row.end_time)}"
        return [
            Fact("round", f"#{row.round_number}  {_text(row.round_id)}"),
            Fact("times", times),
            Fact("prompt", clean(row.user_prompt or render.UNKNOWN, newline=False)[:400]),
        ]
    return []


def _message_facts(row: read.MessageRow) -> list[Fact]:
    spent = (
        ("in", row.input_tokens),
        ("out", row.output_tokens),
        ("cache read", row.cache_read_tokens),
        ("cache write", row.cache_write_tokens),
    )
    facts = [
        Fact("message", f"{_text(row.flow_id)}  request {_text(row.request_id)}"),
        Fact("model", _text(row.model)),
        Fact("times", f"{clock_text(row.start_time)} – {clock_text(row.end_time)}"),
        Fact("stop", _text(row.stop_reason)),
        Fact("tokens", " · ".join(f"{name} {render.tokens(count)}" for name, count in spent)),
    ]
    if row.error:
        facts.append(Fact("error", clean(row.error, newline=False)[:400], "error"))
    return facts


def _block_facts(row: read.BlockRow) -> list[Fact]:
    times = f"{clock_text(row.start_time)} – {clock_text(row.complete_time)}"
    facts = [
        Fact("block", f"{row.index} of {_text(row.flow_id)}  {_text(row.block_type)}"),
        Fact("text", f"{render.size(row.total_bytes)} in {row.delta_count} deltas"),
        Fact("times", f"{times}, last byte {clock_text(row.last_time)}"),
    ]
    if row.tool_use_id:
        facts.append(Fact("call", f"{_text(row.tool_name)}  {_text(row.tool_use_id)}"))
        result = "failed " if row.result_is_error else ""
        facts.append(Fact("result", result + clock_text(row.result_time)))
    if row.is_cut:
        facts.append(Fact("cut", "a delta was too long to keep; its size is known", "warning"))
    return facts
