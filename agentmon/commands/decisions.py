"""Decisions on the command line: what was decided, by whom and why, and what it was before."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from agentmon.commands import options
from agentmon.commands.options import ascii_option, data_dir_option, json_option, reading
from agentmon.commands.writing import by_option, clear_fields, speaker, writing

if TYPE_CHECKING:
    from agentmon.collab.decisions import Decision, Revision
    from agentmon.report.table import Cell

STATUSES = ("open", "decided", "superseded", "withdrawn")
METHODS = ("consensus", "compromise", "vote", "override")


@click.command()
@click.argument("question", required=False)
@click.option("--revise", "decision_id", metavar="ID", help="Change this decision instead.")
@click.option("--category", metavar="NAME", help="What it is about (default: general).")
@click.option(
    "--position",
    "positions",
    multiple=True,
    metavar="AGENT=TEXT",
    help="What an agent holds; repeat it. With --revise an empty TEXT takes one away.",
)
@click.option("--decision", metavar="TEXT", help="What was decided; without it it is open.")
@click.option("--rationale", metavar="TEXT", help="Why.")
@click.option("--method", type=click.Choice(METHODS), help="How it was decided.")
@click.option(
    "--participant", "participants", multiple=True, metavar="AGENT", help="Who took part."
)
@click.option("--file", "files", multiple=True, metavar="PATH", help="A file that it is about.")
@click.option("--status", type=click.Choice(STATUSES))
@click.option("--impact", type=click.IntRange(1, 10), help="From 1 to 10.")
@click.option("--reason", metavar="TEXT", help="Why it is revised; needed with --revise.")
@by_option
@data_dir_option
@json_option
def decide(
    question: str | None,
    decision_id: str | None,
    category: str | None,
    positions: tuple[str, ...],
    decision: str | None,
    rationale: str | None,
    method: str | None,
    participants: tuple[str, ...],
    files: tuple[str, ...],
    status: str | None,
    impact: int | None,
    reason: str | None,
    by: str | None,
    data_dir: Path | None,
    as_json: bool,
) -> None:
    """Records a decision, or an open question; --revise ID changes one, and nothing is lost.

    ID is an id or the start of one. A revision keeps what is not named; files and participants that
    are named replace those that were.

    \b
    agentmon decide "Which queue?" --category design --position ada=Redis --position bob=SQLite
    agentmon decide --revise 3f2a --decision SQLite --method vote --reason "it is there" --by ada
    """
    from agentmon.collab import decisions

    if decision_id is None and question is None:
        raise click.UsageError("give a QUESTION, or --revise ID")
    if decision_id is not None and reason is None:
        raise click.UsageError("say with --reason why it is revised")
    held = _positions(positions)
    given: dict[str, Any] = {
        "question": question,
        "category": category,
        "decision": decision,
        "rationale": rationale,
        "method": method,
        "participants": participants or None,
        "files": files or None,
        "status": status,
        "impact": impact,
    }
    named: dict[str, Any] = {field: value for field, value in given.items() if value is not None}
    with writing(data_dir) as store:
        if decision_id is None:
            new: dict[str, Any] = {"category": "general", **named}
            found = decisions.decide(
                store.conn,
                **new,
                positions={agent: text for agent, text in held.items() if text},
                by=speaker(by),
                reason=reason or "",
                now=options.now(),
            )
        else:
            before = decisions.the(store.conn, decision_id)
            merged = {**before.positions, **held}
            if held:
                named["positions"] = {agent: text for agent, text in merged.items() if text}
            found = decisions.revise_decision(
                store.conn,
                before.decision_id,
                named,
                speaker(by),
                reason or "",
                based_on=before.revision,
                now=options.now(),
            )
            if found.revision == before.revision:
                options.complain("nothing of it differs: it was not revised")
        if as_json:
            options.print_json(record(found))
            return
        click.echo(f"{found.decision_id} {found.status}, revision {found.revision}")


def _positions(given: Iterable[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for text in given:
        agent, mark, position = text.partition("=")
        if not mark or not agent.strip():
            raise click.BadParameter(f"{text!r} is not AGENT=TEXT", param_hint="--position")
        found[agent.strip()] = position.strip()
    return found


@click.command()
@click.argument("decision_id", metavar="[ID]", required=False)
@click.option("--category", metavar="NAME", help="Only those of this category.")
@click.option("--status", type=click.Choice(STATUSES), help="Only those of this status.")
@click.option("--search", "query", metavar="WORDS", help='Words, "phrases", starts*, -without.')
@click.option("--observed/--said", "is_observed", default=None, help="Only those seen in calls.")
@click.option("--history", is_flag=True, help="Every revision of a category, newest first.")
@click.option("--categories", is_flag=True, help="The categories that there are.")
@click.option("--limit", default=100, show_default=True, type=click.IntRange(1, 100_000))
@ascii_option
@data_dir_option
@json_option
def decisions(
    decision_id: str | None,
    category: str | None,
    status: str | None,
    query: str | None,
    is_observed: bool | None,
    history: bool,
    categories: bool,
    limit: int,
    ascii_: bool | None,
    data_dir: Path | None,
    as_json: bool,
) -> None:
    """What agents and people decided, last changed first; with ID one, and all it was before.

    Those marked as observed were seen in what agents did: plans that were approved, questions that
    were answered, calls that were refused.

    \b
    agentmon decisions --category design --status open
    agentmon decisions --search '"message queue" -kafka' --json
    agentmon decisions 3f2a
    """
    from agentmon.collab import decisions as kept
    from agentmon.commands import printing

    if history and category is None:
        raise click.UsageError("name the --category whose history it is")
    with reading(data_dir, ui__ascii=ascii_) as store, clear_fields():
        conn, paint = store.conn, printing.painter(store.settings)
        if categories:
            names = kept.categories(conn)
            if as_json:
                options.print_json(names)
            else:
                from agentmon.core.text import clean

                printing.print_lines((clean(name, newline=False) for name in names), paint)
        elif decision_id is not None:
            found = kept.the(conn, decision_id)
            past = kept.revisions(conn, found.decision_id)
            if as_json:
                revisions = [revision_record(row) for row in past]
                options.print_json({**record(found), "revisions": revisions})
            else:
                printing.print_lines(_lines(found, past), paint)
        elif history:
            rows = kept.history(conn, category or "", limit=limit)
            if as_json:
                options.print_rows(revision_record(row) for row in rows)
            else:
                cells = (_revision_cells(row) for row in rows)
                printing.print_table(_history_columns(), cells, paint, nothing="no revisions")
        else:
            origin = None if is_observed is None else ("said", "observed")[is_observed]
            rows = kept.recent(
                conn, category=category, status=status, query=query, origin=origin, limit=limit
            )
            if as_json:
                options.print_rows(record(row) for row in rows)
            else:
                cells = (_cells(row, options.now()) for row in rows)
                printing.print_table(_columns(), cells, paint, nothing="no decisions")


def record(decision: "Decision") -> dict[str, object]:
    """A decision as plain values."""
    from msgspec.structs import asdict

    found = asdict(decision)
    del found["number"]
    return found


def revision_record(revision: "Revision") -> dict[str, object]:
    """A revision as plain values: its state, and by name what differs from the one before."""
    from msgspec.structs import asdict

    return asdict(revision)


# -- as text

_ROLES = {"open": "warning", "decided": "success"}


def _columns() -> Sequence[Any]:
    from agentmon.report.table import Column

    return (
        Column("id", 8, 12),
        Column("status", 6, 10),
        Column("category", 8, 16, keep=2),
        Column("impact", 6, 6, keep=4, right=True),
        Column("by", 4, 16, keep=3),
        Column("changed", 7, 7, keep=1, right=True),
        Column("question", 12, 200),
    )


def _cells(row: "Decision", now: float) -> "Sequence[Cell]":
    from agentmon.report.table import Cell
    from agentmon.report.words import UNKNOWN, age

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


def _history_columns() -> Sequence[Any]:
    from agentmon.report.table import Column

    return (
        Column("id", 8, 12),
        Column("#", 1, 4, right=True),
        Column("when", 19, 19, keep=1),
        Column("by", 4, 16),
        Column("changed", 7, 30, keep=2),
        Column("why", 6, 200),
    )


def _revision_cells(row: "Revision") -> "Sequence[Cell]":
    from agentmon.report.table import Cell
    from agentmon.report.words import moment

    what = ", ".join(row.changed) or ("new" if row.revision == 1 else "")
    why = row.reason or str(row.state["question"])
    texts = (row.decision_id, str(row.revision), moment(row.changed_at), row.changed_by, what, why)
    return [Cell(text) for text in texts]


def _lines(row: "Decision", past: "Sequence[Revision]") -> Iterator[str]:
    from agentmon.report.words import UNKNOWN, moment

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
    from agentmon.core.text import json_text
    from agentmon.report.words import UNKNOWN

    if value is None or value in ("", {}, []):
        return UNKNOWN
    return value if isinstance(value, str) else json_text(value)


def _field(name: str, text: str) -> Iterator[str]:
    """A name and a text of any length; everything in it is cleaned."""
    from agentmon.core.text import clean, fit

    lines = clean(text).split("\n")
    yield f"{fit(clean(name, newline=False), 13)} {lines[0]}".rstrip()
    for line in lines[1:]:
        yield f"{'':14}{line}".rstrip()
