"""One thing and what is in it: a tool call, the rounds of a session, a round."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from agentmon.commands import options
from agentmon.commands.options import ascii_option, data_dir_option, json_option, reading

if TYPE_CHECKING:
    from agentmon.report.round_content import Entry


@click.command()
@click.argument("tool_use_id")
@click.option("--input", "is_input", is_flag=True, help="The exact input, JSON.")
@click.option("--result", "is_result", is_flag=True, help="The exact result.")
@ascii_option
@data_dir_option
@json_option
def tool(
    tool_use_id: str,
    is_input: bool,
    is_result: bool,
    ascii_: bool | None,
    data_dir: Path | None,
    as_json: bool,
) -> None:
    """One tool call: where it was made, how long it took, what came back.

    TOOL_USE_ID is an id or the start of one. With --input or --result exactly that goes to stdout,
    byte for byte into a file or a pipe; with --json as well it is a field of the summary.

    \b
    agentmon tool toolu_01 --input | jq .command
    agentmon tool toolu_01 --result > output.txt
    """
    from agentmon.commands import printing
    from agentmon.report import bodies, tool_call

    if is_input and is_result:
        raise click.UsageError("give one of --input and --result")
    now = options.now()
    with reading(data_dir, ui__ascii=ascii_) as store:
        found = tool_call.find(store.conn, tool_use_id)
        if not is_input and not is_result:
            if as_json:
                options.print_json(tool_call.as_json(found, now))
            else:
                lines = tool_call.as_text(found, now, printing.width())
                printing.print_lines(lines, printing.painter(store.settings))
            return
        name = "input" if is_input else "result"
        of = tool_call.input_of if is_input else tool_call.result_of
        text = of(store.conn, store.data_dir, found)
        if as_json:
            record = tool_call.as_json(found, now)
            printing.print_pieces(bodies.json_with(record, name, text))
            click.echo()
        else:
            printing.print_bytes(text)
        if not tool_call.is_whole(found, name):
            click.echo(f"agentmon: this {name} was not kept as a whole", err=True)


@click.command()
@click.argument("session", metavar="SID")
@click.option("--pid", type=int, help="Only rounds asked for or answered in this process.")
@click.option("--limit", type=click.IntRange(1), help="Only so many, the newest.")
@ascii_option
@data_dir_option
@json_option
def rounds(
    session: str,
    pid: int | None,
    limit: int | None,
    ascii_: bool | None,
    data_dir: Path | None,
    as_json: bool,
) -> None:
    """The rounds of a session, newest first.

    SID is a session id, the start of one, or the name on the board.

    \b
    agentmon rounds api-server
    agentmon rounds 5b1d2c3e --pid 4242 --json
    """
    from itertools import islice

    from agentmon.commands import printing
    from agentmon.report import listing, naming
    from agentmon.store.read_rounds import rounds_of, work_of

    with reading(data_dir, ui__ascii=ascii_) as store:
        conn = store.conn
        sid = naming.the_session(conn, session)
        found = islice(rounds_of(conn, sid, pid=pid), limit)
        rows = ((row, work_of(conn, sid, row.round_id)) for row in found)
        if as_json:
            options.print_rows(listing.round_json(*row) for row in rows)
            return
        printing.print_table(
            listing.ROUNDS,
            (listing.round_cells(*row) for row in rows),
            printing.painter(store.settings),
            nothing=f"session {sid} has no rounds" + (f" of pid {pid}" if pid else ""),
        )


@click.command()
@click.argument("round_", metavar="ROUND")
@ascii_option
@data_dir_option
@json_option
def show(round_: str, ascii_: bool | None, data_dir: Path | None, as_json: bool) -> None:
    """Everything in a round, in order, with its text.

    ROUND is a round id or the start of one, SESSION#12 for the twelfth round of a session, or
    SESSION for its last one.

    \b
    agentmon show api-server#12 | less
    agentmon show api-server --json | jq '.[] | select(.kind == "tool_result")'
    """
    from agentmon.commands import printing
    from agentmon.report import naming, round_text
    from agentmon.report.round_content import RoundContent
    from agentmon.store.read_rounds import round_line

    with reading(data_dir, ui__ascii=ascii_) as store:
        sid, round_id = naming.the_round(store.conn, round_)
        line = round_line(store.conn, sid, round_id)
        if line is None:
            raise naming.Unclear(f"there is no round {round_id} any more")
        entries = RoundContent(store.conn, store.data_dir, line).entries()
        if as_json:
            printing.print_pieces(_array(entries))
        else:
            printing.print_pieces(round_text.written(entries, printing.painter(store.settings)))


def _array(entries: "Iterable[Entry]") -> Iterator[str]:
    """A JSON array, one entry a line; texts piece by piece."""
    from agentmon.report.bodies import json_with

    mark = "[\n"
    for entry in entries:
        yield mark
        record = {**entry.record, "depth": entry.depth}
        text = entry.text() if entry.text is not None else None
        yield from json_with(record, "text", text)
        mark = ",\n"
    yield "\n]\n"
