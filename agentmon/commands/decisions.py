"""Decisions on the command line: what was decided, by whom and why, and what it was before."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from agentmon.collab.decision_form import METHODS, STATUSES
from agentmon.commands import options
from agentmon.commands.options import ascii_option, data_dir_option, json_option, reading
from agentmon.commands.writing import by_option, clear_fields, speaker, writing
from agentmon.core.text import clean

if TYPE_CHECKING:
    from sqlite3 import Connection

    from agentmon.collab.decisions import Decision


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
    positions: tuple[str, ...],
    reason: str | None,
    by: str | None,
    data_dir: Path | None,
    as_json: bool,
    **said: Any,
) -> None:
    """Records a decision, or an open question; --revise ID changes one, and nothing is lost.

    ID is an id or the start of one. A revision keeps what is not named; files and participants that
    are named replace those that were.

    \b
    agentmon decide "Which queue?" --category design --position ada=Redis --position bob=SQLite
    agentmon decide --revise 3f2a --decision SQLite --method vote --reason "it is there" --by ada
    """
    if decision_id is None and question is None:
        raise click.UsageError("give a QUESTION, or --revise ID")
    if decision_id is not None and reason is None:
        raise click.UsageError("say with --reason why it is revised")
    held = _positions(positions)
    if decision_id is None and (empty := next((who for who in held if not held[who]), None)):
        raise click.BadParameter(
            f"{empty!r} holds nothing: give AGENT=TEXT (an empty TEXT goes with --revise)",
            param_hint="--position",
        )
    given = {"question": question, **said}
    named = {field: value for field, value in given.items() if value not in (None, ())}
    with writing(data_dir) as store:
        who, why = speaker(by, store.settings), reason or ""
        if decision_id is None:
            found = _decide(store.conn, named, held, who, why)
        else:
            found = _revise(store.conn, decision_id, named, held, who, why)
    if as_json:
        from agentmon.commands import decision_lists

        options.print_json(decision_lists.record(found))
    else:
        said_id = clean(found.decision_id, newline=False)
        click.echo(f"{said_id} {found.status}, revision {found.revision}")


def _decide(
    conn: "Connection", named: dict[str, Any], held: dict[str, str], who: str, why: str
) -> "Decision":
    from agentmon.collab import decisions

    new: dict[str, Any] = {"category": "general", **named, "positions": held}
    return decisions.decide(conn, **new, by=who, reason=why, now=options.now())


def _revise(
    conn: "Connection",
    decision_id: str,
    named: dict[str, Any],
    held: dict[str, str],
    who: str,
    why: str,
) -> "Decision":
    from agentmon.collab import decisions

    before = decisions.the(conn, decision_id)
    positions = {who: text for who, text in {**before.positions, **held}.items() if text}
    changes = {**named, "positions": positions}
    found = decisions.revise_decision(
        conn,
        before.decision_id,
        changes,
        who,
        why,
        based_on=before.revision,
        now=options.now(),
    )
    if found.revision == before.revision:
        options.complain("nothing of it differs: it was not revised")
    return found


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
    from agentmon.commands import decision_lists, printing

    if history and category is None:
        raise click.UsageError("name the --category whose history it is")
    origin = None if is_observed is None else "observed" if is_observed else "said"
    with reading(data_dir, ui__ascii=ascii_) as store, clear_fields():
        conn, paint = store.conn, printing.painter(store.settings)
        if categories:
            decision_lists.print_categories(conn, paint, as_json)
        elif decision_id is not None:
            decision_lists.print_one(conn, decision_id, paint, as_json)
        elif history:
            decision_lists.print_history(conn, category or "", limit, paint, as_json)
        else:
            found = kept.recent(
                conn, category=category, status=status, query=query, origin=origin, limit=limit
            )
            decision_lists.print_list(found, paint, as_json)
