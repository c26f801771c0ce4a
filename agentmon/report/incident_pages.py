"""What happened in a run as text for a terminal or a pipe, and as Markdown."""

from collections.abc import Iterator, Sequence

from agentmon.core.landmarks import Landmark
from agentmon.core.text import cells, one_line
from agentmon.report.incidents import (
    LOOKS,
    MANY,
    USE_WORDS,
    WORDS,
    Incidents,
    counts,
    evidence_text,
    shares,
)
from agentmon.report.landmarks import RoundCost
from agentmon.report.pages.markdown import code
from agentmon.report.table import Cell, Column, Painter, table
from agentmon.report.words import (
    UNKNOWN,
    brief,
    clock_text,
    counted,
    lasted,
    moment,
    percent,
    span,
)

NOTHING = "nothing was recorded"

BAR = 24
"""Cells of the longest bar of where the time went."""

_INDENT = 10
_EVIDENCE = 200
"""Cells of evidence that is kept in a pipe or a document."""


def head(found: Incidents) -> str:
    """Whose run, when, how long."""
    if not found.sessions or found.start is None or found.end is None:
        return NOTHING
    first = found.sessions[0]
    names = list(dict.fromkeys(found.names[one.sid] for one in found.sessions))
    who = names[0] if len(names) == 1 else f"{', '.join(names[:2])}{', …' * (len(names) > 2)}"
    what = first.agent if len(found.sessions) == 1 else counted(len(found.sessions), "session")
    took = span(found.end - found.start)
    return (
        f"{who} · {what} · {moment(found.start)} · {took} · {counted(found.round_count, 'round')}"
    )


def counted_kinds(found: Incidents) -> str:
    """ "1 stall · 2 errors"; or that there is nothing to tell."""
    known = counts(found)
    said = [
        f"{known[kind]:,} {WORDS[kind] if known[kind] == 1 else MANY.get(kind, WORDS[kind])}"
        for kind in known
        if known[kind] and kind not in ("prompt", "message")
    ]
    return " · ".join(said) or ("nothing went wrong" if found.sessions else "")


# -- a terminal

_ROWS = (
    Column("when", 8, 8),
    Column("what", 9, 16),
    Column("took", 4, 7, right=True),
    Column("where", 14, 28, 1),
    Column("about", 10, 400),
)
_ROUNDS = (
    Column("slowest", 12, 24),
    Column("took", 5, 7, right=True),
    Column("thinking", 8, 8, 5, right=True),
    Column("writing", 7, 8, 4, right=True),
    Column("tools", 5, 7, 1, right=True),
    Column("person", 6, 7, 2, right=True),
    Column("API", 5, 7, 3, right=True),
    Column("other", 5, 7, 6, right=True),
    Column("prompt", 6, 90, 0),
)


def text_pieces(
    found: Incidents, *, width: int, paint: Painter, everything: bool = False
) -> Iterator[str]:
    """Line by line."""
    yield paint(Cell(one_line(head(found), width), bold=True)) + "\n"
    if found.sessions:
        yield paint(Cell(one_line(counted_kinds(found), width))) + "\n"
    rows = found.landmarks if everything else found.incidents
    if rows:
        yield "\n"
        lines = table(_ROWS, [_cells(found, one, paint) for one in rows], width, paint)
        yield lines[0] + "\n"
        for line, one in zip(lines[1:], rows, strict=True):
            yield line + "\n"
            more = evidence_text(one)
            if more:
                yield (
                    paint(Cell("          " + one_line(more, max(20, width - 10)), dim=True)) + "\n"
                )
    yield from _slowest(found, width, paint)
    yield from _time(found, width, paint)


def where(found: Incidents, one: Landmark) -> str:
    """Round, session (where there are several), subagent."""
    number = found.number(one)
    parts = [f"#{number}"] if number is not None else []
    parts += [found.names.get(one.sid, "")] if len(found.sessions) > 1 else []
    parts += [f"/{one.agent_id}"] if one.agent_id else []
    return " ".join(part for part in parts if part)


def _cells(found: Incidents, one: Landmark, paint: Painter) -> list[Cell]:
    look = LOOKS[one.kind]
    glyph = look.ascii if paint.ascii else look.glyph
    return [
        Cell(clock_text(one.time)),
        Cell(f"{glyph} {WORDS[one.kind]}", look.role, look.bold),
        Cell("" if one.seconds is None else lasted(one.seconds)),
        Cell(where(found, one)),
        Cell(one.text),
    ]


def _slowest(found: Incidents, width: int, paint: Painter) -> Iterator[str]:
    if found.slowest:
        rows = [_round_cells(found, one) for one in found.slowest]
        yield "\n" + "\n".join(table(_ROUNDS, rows, width, paint)) + "\n"


def round_name(found: Incidents, one: RoundCost) -> str:
    """ "#3", with its session where there are several."""
    number = f"#{one.line.round_number}"
    return f"{number} {found.names[one.line.sid]}" if len(found.sessions) > 1 else number


def _round_cells(found: Incidents, one: RoundCost) -> list[Cell]:
    spent = one.spent
    uses = (spent.thinking, spent.writing, spent.tools, spent.person, spent.api, spent.other)
    return [
        Cell(round_name(found, one), bold=True),
        Cell(lasted(one.seconds)),
        *(Cell(lasted(value) if value else "", dim=not value) for value in uses),
        Cell(one.line.user_prompt or ""),
    ]


def _time(found: Incidents, width: int, paint: Painter) -> Iterator[str]:
    if not found.spent.total:
        return
    yield "\nwhere the time of rounds went\n"
    for use, seconds, share in shares(found.spent):
        room = max(0, min(BAR, width - 40))
        bar = ("#" if paint.ascii else "█") * round((share or 0.0) * room)
        label = USE_WORDS[use] + " " * (20 - cells(USE_WORDS[use]))
        line = f"  {label}  {lasted(seconds):>7}  {percent(share):>4}  {bar}"
        yield line.rstrip() + "\n"


# -- Markdown


def markdown_pieces(found: Incidents, *, everything: bool = False) -> Iterator[str]:
    """A document to hand round; what agents said stands in code spans."""
    yield f"# Incidents: {code(head(found))}\n\n{counted_kinds(found)}\n\n"
    yield "## What happened\n\n"
    rows = found.landmarks if everything else found.incidents
    if not rows:
        yield "Nothing.\n\n"
    for one in rows:
        took = "" if one.seconds is None else f", {lasted(one.seconds)}"
        place = where(found, one)
        lead = f"- {moment(one.time)} **{WORDS[one.kind]}**{took}"
        yield lead + (f" ({code(place)})" if place else "")
        yield f": {code(one.text)}\n" if one.text else "\n"
        more = evidence_text(one)
        if more:
            yield f"  - {code(one_line(more, _EVIDENCE))}\n"
    yield "\n" if rows else ""
    yield from _slowest_markdown(found)
    yield from _time_markdown(found)


def _slowest_markdown(found: Incidents) -> Iterator[str]:
    if not found.slowest:
        return
    titles = ("round", "took", *(USE_WORDS[use] for use, _, _ in shares(found.spent)), "prompt")
    yield "## Slowest rounds\n\n" + _row(titles) + _row(["---"] * len(titles))
    for one in found.slowest:
        uses = [lasted(seconds) if seconds else UNKNOWN for _, seconds, _ in shares(one.spent)]
        prompt = code(one_line(one.line.user_prompt or UNKNOWN, 80)).replace("|", "\\|")
        name = code(round_name(found, one)).replace("|", "\\|")
        yield _row([name, lasted(one.seconds), *uses, prompt])
    yield "\n"


def _time_markdown(found: Incidents) -> Iterator[str]:
    yield "## Where the time of rounds went\n\n"
    if not found.spent.total:
        yield f"{UNKNOWN}\n"
        return
    yield _row(("", "time", "share")) + _row(["---"] * 3)
    for use, seconds, share in shares(found.spent):
        yield _row([USE_WORDS[use], brief(seconds), percent(share)])


def _row(values: Sequence[str]) -> str:
    return "| " + " | ".join(values) + " |\n"
