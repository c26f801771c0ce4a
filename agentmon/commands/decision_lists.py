"""What of decisions is listed, and how: as JSON, a row each, their revisions, one of them whole."""

import sqlite3
from collections.abc import Iterator, Sequence

from msgspec.structs import asdict

from agentmon.collab import decisions
from agentmon.collab.decisions import Decision, Revision
from agentmon.commands import options, printing
from agentmon.core.text import cells, clean, fit, json_text
from agentmon.report.table import Cell, Column, Painter
from agentmon.report.words import UNKNOWN, age, moment

COLUMNS = (
    Column("id", 8, 12),
    Column("status", 6, 10),
    Column("category", 8, 16, keep=2),
    Column("impact", 6, 6, keep=4, right=True),
    Column("by", 4, 16, keep=3),
    Column("changed", 7, 7, keep=1, right=True),
    Column("question", 12, 200),
)
HISTORY = (
    Column("id", 8, 12),
    Column("#", 1, 4, right=True),
    Column("when", 19, 19, keep=1),
    Column("by", 4, 16),
    Column("changed", 7, 30, keep=2),
    Column("why", 6, 200),
)


def print_categories(conn: sqlite3.Connection, paint: Painter, as_json: bool) -> None:
    names = decisions.categories(conn)
    if as_json:
        options.print_json(names)
    else:
        printing.print_lines((clean(name, newline=False) for name in names), paint)


def print_one(conn: sqlite3.Connection, decision_id: str, paint: Painter, as_json: bool) -> None:
    """One decision and all it was before. Raises NotThere."""
    found = decisions.the(conn, decision_id)
    past = decisions.revisions(conn, found.decision_id)
    if as_json:
        options.print_json({**record(found), "revisions": [asdict(row) for row in past]})
    else:
        printing.print_lines(_lines(found, past), paint)


def print_history(
    conn: sqlite3.Connection, category: str, limit: int, paint: Painter, as_json: bool
) -> None:
    rows = decisions.history(conn, category, limit=limit)
    if as_json:
        options.print_rows(map(asdict, rows))
    else:
        printing.print_table(HISTORY, map(_revision_cells, rows), paint, nothing="no revisions")


def print_list(found: Sequence[Decision], paint: Painter, as_json: bool) -> None:
    if as_json:
        options.print_rows(map(record, found))
    else:
        now = options.now()
        rows = (_cells(row, now) for row in found)
        printing.print_table(COLUMNS, rows, paint, nothing="no decisions")


def record(decision: Decision) -> dict[str, object]:
    """A decision as plain values."""
    found = asdict(decision)
    del found["number"]
    return found


# -- as text

_ROLES = {"open": "warning", "decided": "success"}


def _cells(row: Decision, now: float) -> Sequence[Cell]:
    answer = f" → {row.decision}" if row.decision is not None else ""
    return (
        Cell(row.decision_id),
        Cell(row.status, _ROLES.get(row.status, "text-muted")),
        Cell(row.category),
        Cell(UNKNOWN if row.impact is None else str(row.impact)),
        Cell(row.created_by),
        Cell(age(now - row.updated_at)),
        Cell(row.question + answer),
    )


def _revision_cells(row: Revision) -> Sequence[Cell]:
    what = ", ".join(row.changed) or ("new" if row.revision == 1 else "")
    why = row.reason or str(row.state["question"])
    texts = (row.decision_id, str(row.revision), moment(row.changed_at), row.changed_by, what, why)
    return [Cell(text) for text in texts]


def _lines(row: Decision, past: Sequence[Revision]) -> Iterator[str]:
    yield from _field("question", row.question)
    yield from _field("decision", row.decision or UNKNOWN)
    yield from _field("rationale", row.rationale or UNKNOWN)
    yield from _field("status", f"{row.status}, revision {row.revision}, id {row.decision_id}")
    yield from _field("category", row.category)
    yield from _field("method", row.method or UNKNOWN)
    yield from _field("impact", UNKNOWN if row.impact is None else f"{row.impact} of 10")
    yield from _field("participants", ", ".join(row.participants) or UNKNOWN)
    yield from _field("files", "\n".join(row.files) or UNKNOWN)
    yield from _field(row.origin, f"{moment(row.created_at)} by {row.created_by}")
    if row.session_id is not None:
        call = f", call {row.tool_use_id}" if row.tool_use_id else ""
        yield from _field("where", f"session {row.session_id}, round {row.round_id or '—'}{call}")
    if row.positions:
        yield ""
    for agent, position in row.positions.items():
        yield from _field(agent, position)
    yield ""
    for number, revision in enumerate(past):
        head = f"{revision.revision}. {moment(revision.changed_at)} by {revision.changed_by}"
        yield from _field("revision", f"{head}{': ' * bool(revision.reason)}{revision.reason}")
        before = past[number - 1].state
        for field in revision.changed:
            yield from _field(
                "", f"{field}: {_said(before[field])} → {_said(revision.state[field])}"
            )


def _said(value: object) -> str:
    if value is None or value in ("", {}, []):
        return UNKNOWN
    return value if isinstance(value, str) else json_text(value)


_WIDTH = 13
"""Cells of a name beside its text; a longer one stands above it."""


def _field(name: str, text: str) -> Iterator[str]:
    """A name and a text of any length; everything in it is cleaned."""
    label, lines = clean(name, newline=False), clean(text).split("\n")
    if cells(label) > _WIDTH:
        yield label
        label = ""
    yield f"{fit(label, _WIDTH)} {lines[0]}".rstrip()
    for line in lines[1:]:
        yield f"{'':{_WIDTH + 1}}{line}".rstrip()
