"""`agentmon search`: words in everything that was said, thought, called and answered."""

import math
import os
import shutil
import sqlite3
import sys
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from agentmon import config
from agentmon.commands import options
from agentmon.commands.options import (
    Failure,
    clear_errors,
    data_dir_option,
    json_option,
    print_json,
    settings,
    utf8_output,
)

if TYPE_CHECKING:
    from agentmon.report.finding import Answer, Hit
    from agentmon.store.search_query import Query

CATCH_UP = 2.0
"""Seconds in which a search indexes what is new before it answers."""


@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("words", nargs=-1, type=click.UNPROCESSED)
@click.option("--session", metavar="SESSION", help="A session id, the start of one, or its name.")
@click.option("--agent", metavar="NAME", help="claude, codex, a subagent's type or id, a name.")
@click.option("--tool", metavar="NAME", help="Calls of this tool and their results.")
@click.option("--kind", metavar="KIND", help="prompt, text, thinking, input, result or other.")
@click.option("--since", metavar="TIME", help="Not older than this, such as 2h or 7d.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=20, show_default=True)
@click.option("--rank", is_flag=True, help="The best of the newest 5,000 hits first (bm25).")
@click.option("--rebuild", is_flag=True, help="Make the index anew first, all of it.")
@data_dir_option
@json_option
def search(
    words: tuple[str, ...],
    session: str | None,
    agent: str | None,
    tool: str | None,
    kind: str | None,
    since: str | None,
    limit: int,
    rank: bool,
    rebuild: bool,
    data_dir: Path | None,
    as_json: bool,
) -> None:
    """Find WORDS in prompts, text, thinking, tool inputs and results; the newest first.

    All words must be there, in any case and with or without accents. "several words" stand side by
    side, star* is the start of a word, -word (or !word) must not be there. tool:Bash agent:codex
    session:5b1d kind:result since:2h say the same as the options.

    What is new is indexed first, for two seconds at most; what is not indexed then is said.

    \b
    agentmon search permission denied
    agentmon search '"no such file"' -pytest --tool Bash --since 2d
    agentmon search 'read_config*' --kind input --json | jq -r '.hits[].flow_id'
    agentmon search --rebuild
    """
    from agentmon.report.finding import search as find
    from agentmon.store import search_index

    loaded = settings(store__data_dir=None if data_dir is None else str(data_dir))
    where = config.data_dir(loaded.settings, os.environ)
    limits = loaded.settings.search
    query = _query(words, {"agent": agent, "tool": tool, "kind": kind, "since": since})
    if not query and session is None and not rebuild:
        raise click.UsageError("say what to look for, such as `agentmon search permission denied`")
    with clear_errors():
        try:
            if session is not None:
                query = _of_session(where, query, session)
            if rebuild:
                search_index.rebuild(where, limits)
            left = _catch_up(where, limits, math.inf if rebuild else CATCH_UP)
            if not query:
                click.echo("agentmon: the index is made", err=True)
                return
            answer = find(
                where, query, limits, now=options.now(), limit=limit, ranked=rank, seconds=30.0
            )
        except sqlite3.Error as problem:
            raise Failure(f"cannot use the index in {where}: {problem}") from problem
    answer.left = answer.left if left is None else left
    if as_json:
        print_json(_as_json(answer))
    else:
        _print(answer)


def _query(words: tuple[str, ...], given: dict[str, str | None]) -> "Query":
    """Words and options as one query. An argument with blanks that is no phrase yet is one word
    after the other, as it would be without the quotes of the shell."""
    from agentmon.store.search_query import parse

    named = [f'{name}:"{value}"' for name, value in given.items() if value]
    query = parse(" ".join([*words, *named]))
    if query.problems:
        raise click.UsageError("; ".join(query.problems))
    return query


def _of_session(where: Path, query: "Query", name: str) -> "Query":
    import msgspec

    from agentmon.report import naming
    from agentmon.store import db
    from agentmon.store.search_query import Condition

    conn = db.open_reading(where)
    try:
        sid = naming.the_session(conn, name)
    except naming.Unclear as problem:
        raise Failure(str(problem)) from problem
    finally:
        conn.close()
    condition = Condition("session", sid.lower())
    return msgspec.structs.replace(query, conditions=(*query.conditions, condition))


def _catch_up(where: Path, limits: config.Search, seconds: float) -> int | None:
    """Indexes what is new; about how much is left. None: this process can't write the index."""
    from agentmon.store import search_index

    def tell(left: int) -> None:
        click.echo(f"\ragentmon: indexing, about {left:,} texts left \x1b[K", err=True, nl=False)

    shown = tell if math.isinf(seconds) and sys.stderr.isatty() else None
    try:
        return search_index.catch_up(where, limits, seconds, shown)
    except (sqlite3.OperationalError, OSError) as problem:
        click.echo(f"agentmon: the index cannot be brought up to date: {problem}", err=True)
        return None
    finally:
        if shown is not None:
            click.echo("\r\x1b[K", err=True, nl=False)


def _as_json(answer: "Answer") -> dict[str, object]:
    return {
        "hits": [_hit_json(hit) for hit in answer.hits],
        "has_more": answer.has_more,
        "is_late": answer.is_late,
        "not_indexed": answer.left,
    }


def _hit_json(hit: "Hit") -> dict[str, object]:
    found = hit.found
    return {
        "kind": found.kind,
        "time": found.time,
        "sid": found.sid,
        "agent": found.product or None,
        "agent_id": found.agent_id or None,
        "agent_kind": found.agent_kind,
        "round_id": found.round_id,
        "round_number": hit.round_number,
        "flow_id": found.flow_id,
        "index": found.index,
        "tool_use_id": found.tool_use_id,
        "tool_name": found.tool_name,
        "is_error": found.is_error,
        "bytes": found.bytes,
        "is_cut": hit.is_cut,
        "score": hit.score,
        "snippet": hit.snippet,
        "matches": [list(match) for match in hit.matches],
    }


def _print(answer: "Answer") -> None:
    from agentmon.core.text import clean, cut
    from agentmon.report.finding import name_of, place_of

    utf8_output()
    color = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    width = max(40, shutil.get_terminal_size((100, 24)).columns)
    for hit in answer.hits:
        at = datetime.fromtimestamp(hit.found.time).astimezone().strftime("%Y-%m-%d %H:%M:%S")
        head = f"{at}  {hit.found.kind:<8}  {name_of(hit.found)}  {place_of(hit)}"
        click.echo(cut(clean(head, newline=False), width))
        click.echo("    " + (_marked(hit) if color else hit.snippet))
    for note in _notes(answer):
        click.echo(f"agentmon: {note}", err=True)


def _marked(hit: "Hit") -> str:
    out, at = "", 0
    for start, end in hit.matches:
        out += f"{hit.snippet[at:start]}\x1b[1;33m{hit.snippet[start:end]}\x1b[0m"
        at = end
    return out + hit.snippet[at:]


def _notes(answer: "Answer") -> list[str]:
    notes: list[str] = []
    if not answer.hits:
        notes.append("nothing was found")
    elif answer.has_more:
        notes.append(f"the first {len(answer.hits)}; there are more (--limit)")
    if answer.is_late:
        notes.append("time was up before all of the index was searched")
    if answer.left:
        notes.append(f"about {answer.left:,} texts are not indexed yet: search again, or --rebuild")
    return notes
