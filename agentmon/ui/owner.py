"""Whose rounds are shown, what is wrong with them, and what to do while there is no agent. Pure."""

from agentmon.core.health import Verdict
from agentmon.core.names import gist
from agentmon.core.text import one_line
from agentmon.engine.feed import Status
from agentmon.report import render, seeing
from agentmon.report.board import Board, Thread
from agentmon.report.known import (
    Known,
    agent_name,
    context_fill,
    name_of,
    plan,
    queue,
    text,
)
from agentmon.report.places import WAYS_ON
from agentmon.store.read import AgentRow
from agentmon.ui.jumps import waiting_call
from agentmon.ui.parts import Line, Part
from agentmon.ui.widgets.rounds import Owner, agent_outcome, span
from agentmon.ui.widgets.sessions import View, clock_text, short_path


def owner(
    board: Board, thread: Thread | None, visited: AgentRow | None, known: Known, view: View
) -> Owner:
    """The head of the rounds of a thread; of a subagent that is over, its row tells."""
    if thread is None:
        if visited is None:
            return Owner()
        look, word = agent_outcome(visited)
        shown = render.look(look)
        glyph = shown.ascii if view.ascii_only else shown.glyph
        name = one_line(agent_name(visited), 30)
        note: Line = (Part(f"{glyph} {word}", shown.role),)
        return Owner(_parent(board, visited.sid) + name, "", note)
    shown = view.state(thread)
    parent = "" if thread.is_main else _parent(board, thread.row.sid)
    note = (Part(f"{shown.glyph} {shown.label}", shown.color_role),)
    name = parent + one_line(name_of(thread), 30)
    return Owner(name, " · ".join(_details(thread, known)), note, why(thread, view))


def _parent(board: Board, sid: str) -> str:
    main = board.thread(sid)
    return f"{one_line(name_of(main), 24)}/" if main is not None else ""


def _details(thread: Thread, known: Known) -> list[str]:
    """What else a person wants to see of an agent at once, where somebody told it."""
    branch, steps, waiting = text(known, "git_branch"), plan(known), queue(known)
    fill = context_fill(thread, known)
    found = [seeing.word(thread.session.kinds)]
    found += [f"plan {steps.progress}"] if steps is not None else []
    found += [f"{len(waiting)} queued"] if waiting else []
    found += [f"ctx {render.percent(fill)}"] if fill is not None else []
    return [*found, one_line(branch, 24)] if branch else found


def why(thread: Thread, view: View) -> tuple[Line, ...]:
    """What is wrong, in a line, with the evidence that matters most; nothing where nothing is."""
    verdict = thread.verdict(view.now, view.limits)
    shown = view.state(thread)
    words = _reason(thread, shown.word, verdict, view)
    if not words:
        return ()
    return ((Part(f"{shown.glyph} {words}", shown.color_role), Part("  i why", "text-muted")),)


def _reason(thread: Thread, word: str, verdict: Verdict, view: View) -> str:
    row, now = thread.row, view.now
    limit = verdict.evidence.get("threshold")
    after = f", {word} after {span(limit)}" if isinstance(limit, int | float) else ""
    call = waiting_call(thread, word)
    match word:
        case "stalled":
            what = "nothing told" if verdict.evidence.get("shown_by") == "told" else "no byte"
            return f"{what} for {span(max(0.0, now - verdict.since))}{after}"
        case "overdue" if call is not None:
            name = one_line(call.tool_name or render.UNKNOWN, 20)
            return f"{name} runs for {span(max(0.0, now - call.called_at))}{after}"
        case "orphaned" if thread.process is not None:
            process = thread.process
            reason = one_line(process.reason, 60)
            return f"pid {process.pid}: {reason} since {clock_text(process.gone_since)}"
        case "permission":
            since = row.phase_since
            waits = f" for {span(max(0.0, now - since))}" if since is not None else ""
            about = one_line(gist(call.input_preview), 60) if call is not None else ""
            return f"waits for you{waits}{': ' + about if about else ''}"
        case "retrying":
            return f"tries again: {one_line(row.phase_detail or render.UNKNOWN, 60)}"
        case _:
            return ""


def hints(status: Status) -> list[Line]:
    """What to do while there is no agent; what was looked for, and how far reading is."""
    lines: list[Line] = [(Part(" No agents seen yet.", "strong"),)]
    if status.backlog is not None:
        words = one_line(status.note or "reading what was found", 60)
        lines = [(Part(f" {words.capitalize()}: {100 * status.backlog:.0f} %", "accent"),)]
    if status.taps:
        lines.append((Part(" Paste into another pane:", "text-muted"),))
        lines += [(Part(f"   {one_line(line, 200)}", "accent"),) for line in status.taps]
    if status.looked_for:
        lines.append((Part(" Looked for:", "text-muted"),))
        lines += [(Part(f"   {short_path(place)}"),) for place in status.looked_for]
    return lines + [
        (Part(f" {words:<25}", "text-muted"), Part(how, "accent")) for words, how in WAYS_ON
    ]
