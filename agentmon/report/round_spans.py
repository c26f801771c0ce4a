"""`agentmon parallel`: what of a round ran at once, for how long, and what its length rests on."""

from collections.abc import Sequence

from agentmon.core.critical_path import Step, critical_path
from agentmon.core.names import gist
from agentmon.core.spans import Load, Overlap, Round, Run, ancestors, length, load, overlaps, runs
from agentmon.core.text import cells, cut, one_line
from agentmon.report import gantt
from agentmon.report.table import Cell, Column, Painter, table
from agentmon.report.words import UNKNOWN, brief, percent, span

SHOWN_OVERLAPS = 12
"""Overlaps that the text lists, the longest first."""


def head(round_: Round, now: float, width: int) -> str:
    """Which round this is, in a line: number, length, outcome, prompt."""
    took = span(round_.until(now) - round_.start)
    outcome = "running" if round_.end is None else round_.outcome
    lead = f"#{round_.number}  {took}  {outcome}  "
    return lead + one_line(round_.prompt or UNKNOWN, max(8, width - cells(lead)))


def path_seconds(path: Sequence[Step]) -> dict[str, float]:
    """How long the critical path is in each kind of step."""
    found = {"model": 0.0, "tool": 0.0, "wait": 0.0}
    for step in path:
        found[step.kind] = round(found[step.kind] + step.seconds, 6)
    return found


def factor_text(found: Load) -> str:
    """ "2.2 s of tools in 2.0 s, 1.13 at once"; where the length of no call is known, "—"."""
    if found.factor is None:
        return UNKNOWN
    tools, busy = span(found.tool_seconds), span(found.busy_seconds)
    return f"{tools} of tools in {busy}, {found.factor:.2f} at once"


def as_json(round_: Round, now: float) -> dict[str, object]:
    """Everything as plain values; times are epoch seconds, lengths seconds."""
    known = runs(round_, now)
    by_id = {run.id: run for run in known}
    path = critical_path(round_, now)
    found = load(known)
    wall = round_.until(now) - round_.start
    on_path = {step.run.id for step in path if step.run is not None}
    return {
        **round_json(round_, now),
        "calls": [_call(run, by_id, is_critical=run.id in on_path) for run in known],
        "overlaps": [
            {
                "first": one.first.id,
                "second": one.second.id,
                "start_time": one.start,
                "seconds": one.seconds,
            }
            for one in overlaps(known)
        ],
        "parallel": {
            "calls": found.calls,
            "calls_of_unknown_length": found.unknown,
            "most_at_once": found.most,
            "most_at": found.most_at,
            "tool_seconds": found.tool_seconds,
            "busy_seconds": found.busy_seconds,
            "factor": found.factor,
            "tool_seconds_per_wall": found.tool_seconds / wall if wall > 0 else None,
        },
        "critical_path": [_step(step) for step in path],
        "critical_path_seconds": path_seconds(path),
    }


def round_json(round_: Round, now: float) -> dict[str, object]:
    """Which round this is."""
    return {
        "sid": round_.sid,
        "round_id": round_.round_id,
        "round_number": round_.number,
        "user_prompt": round_.prompt,
        "start_time": round_.start,
        "end_time": round_.end,
        "outcome": round_.outcome,
        "seconds": length(round_.start, round_.until(now)),
    }


def _call(run: Run, by_id: dict[str, Run], *, is_critical: bool) -> dict[str, object]:
    block = run.block
    return {
        "tool_use_id": block.tool_use_id,
        "tool_name": block.tool_name,
        "flow_id": block.flow_id,
        "index": block.index,
        "agent_id": block.agent_id or None,
        "parent_tool_use_id": run.started_by,
        "depth": len(list(ancestors(run, by_id))),
        "called_at": run.start,
        "result_time": block.result_at,
        "seconds": run.seconds,
        "is_running": run.is_open,
        "is_error": block.is_error if block.result_at is not None else None,
        "on_critical_path": is_critical,
    }


def _step(step: Step) -> dict[str, object]:
    return {
        "kind": step.kind,
        "start_time": step.start,
        "end_time": step.end,
        "seconds": step.seconds,
        "agent_id": step.agent_id or None,
        "flow_id": step.flow_id,
        "tool_use_id": step.run.block.tool_use_id if step.run is not None else None,
        "tool_name": step.run.block.tool_name if step.run is not None else None,
        "before": step.before,
    }


# As text


def as_text(
    round_: Round, now: float, *, width: int, ascii: bool = False, color: bool = False
) -> str:
    """The chart and what it comes to, in lines of at most `width` cells (28 at least)."""
    width = max(width, 28)
    paint = Painter(ascii=ascii, color=color)
    known = runs(round_, now)
    path = critical_path(round_, now)
    lines = [paint(Cell(head(round_, now, width), bold=True)), ""]
    lines += [paint(Cell(line)) for line in _sums(known, path, width)]
    lines += ["", *_chart(round_, now, path, width, paint)]
    if path:
        lines += ["", "Critical path", *_path(round_, path, width, paint)]
    found = sorted(overlaps(known), key=lambda one: -one.seconds)
    if found:
        lines += ["", *_overlaps(round_, found, width, paint)]
    return "\n".join(line.rstrip() for line in lines)


def _sums(known: list[Run], path: list[Step], width: int) -> list[str]:
    found = load(known)
    calls = f"{found.calls} call{'' if found.calls == 1 else 's'}"
    if found.calls:
        calls += f", at most {found.most} at once; {factor_text(found)}"
    if found.unknown:
        calls += f"; {found.unknown} of unknown length"
    total = sum(step.seconds for step in path)
    shares = path_seconds(path).items()
    steps = [f"{kind} {span(took)} {percent(took / total)}" for kind, took in shares if total]
    return [
        cut(f"tools  {calls}", width),
        cut(f"path   {' · '.join(steps) or UNKNOWN}", width),
    ]


def _chart(round_: Round, now: float, path: list[Step], width: int, paint: Painter) -> list[str]:
    rows = gantt.rows(round_, now, path)
    if not rows:
        return ["Nothing was written in this round yet."]
    shared = gantt.columns(width)
    window = gantt.Window(round_.start, round_.horizon(now), shared.bars)
    lead = " " * (shared.label + 3)
    lines = [paint(Cell(lead + gantt.axis(window, round_.start), "text-muted"))]
    for row in rows:
        mark = paint(Cell("*" if row.is_critical else " ", "warning"))
        line = f"{paint(Cell(gantt.label(row, shared.label)))} {mark} "
        cells_ = gantt.bar_cells(row.bars, window, ascii=paint.ascii)
        line += "".join(paint(cell) for cell in cells_)
        lines.append(
            line + (" " if shared.bars else "") + gantt.length(row).rjust(gantt.TIME_CELLS)
        )
    if shared.bars:
        line = gantt.legend(width - 20, ascii=paint.ascii)
        lines.append("".join(paint(cell) for cell in line) + "* critical path")
    return lines


_STEPS = (
    Column("from", 5, 8, 0, right=True),
    Column("took", 5, 7, 0, right=True),
    Column("", 5, 5, 0),
    Column("what", 8, 60, 1),
    Column("agent", 6, 24, 2),
)


def _path(round_: Round, path: list[Step], width: int, paint: Painter) -> list[str]:
    names = {agent.agent_id: agent.name or agent.agent_id for agent in round_.agents}
    roles = {"model": "success", "tool": "accent", "wait": "text-muted"}
    lines = [
        [
            Cell(gantt.mark_text(round(step.start - round_.start, 2))),
            Cell(brief(step.seconds)),
            Cell(step.kind, roles[step.kind]),
            Cell(step_words(step)),
            Cell(names.get(step.agent_id, "")),
        ]
        for step in path
    ]
    return table(_STEPS, lines, width, paint)


_BEFORE = {"message": "for the model", "prompt": "for a prompt", "end": "to the end"}


def step_words(step: Step) -> str:
    """What a step is about: a message, a call with its arguments, what was waited for."""
    if step.run is not None:
        return f"{step.run.block.tool_name or UNKNOWN} {gist(step.run.block.preview)}".strip()
    return step.flow_id or _BEFORE.get(step.before or "", "")


_PAIRS = (
    Column("from", 5, 8, 1, right=True),
    Column("together", 6, 8, 0, right=True),
    Column("call", 8, 40, 0),
    Column("and", 8, 40, 0),
)


def _overlaps(round_: Round, found: list[Overlap], width: int, paint: Painter) -> list[str]:
    cells_ = [
        [
            Cell(gantt.mark_text(round(one.start - round_.start, 2))),
            Cell(brief(one.seconds)),
            *(
                Cell(f"{run.block.tool_name or UNKNOWN} {gist(run.block.preview)}".strip())
                for run in (one.first, one.second)
            ),
        ]
        for one in found[:SHOWN_OVERLAPS]
    ]
    lines = table(_PAIRS, cells_, width, paint)
    lines.insert(0, f"{len(found):,} overlap{'' if len(found) == 1 else 's'}")
    more = len(found) - SHOWN_OVERLAPS
    return [*lines, f"and {more:,} shorter ones (--json has all)"] if more > 0 else lines
