"""Messages between agents: sent, received, listed and found.

`send` runs in hooks: what it needs is little, and nothing else is imported.
"""

from __future__ import annotations

import json
import os
import sqlite3
import sys
from collections.abc import Callable, Coroutine, Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar, cast

import click

from agentmon import config
from agentmon.commands.options import (
    Failure,
    clear_errors,
    complain,
    data_dir_option,
    data_path,
    data_path_option,
    json_option,
    now,
    print_json,
    reading,
    settings,
    utf8_output,
)
from agentmon.core.text import clean

if TYPE_CHECKING:
    from pathlib import Path

    from agentmon.collab.mail import Mail
    from agentmon.collab.messaging import MessagingSystem

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])


def url_option(fn: F) -> F:
    return click.option(
        "--url",
        metavar="URL",
        help="Over a Redis server: redis://, rediss:// or unix:// (default: redis.url in the"
        " settings, else the store alone).",
    )(fn)


def agent_option(fn: F) -> F:
    return click.option(
        "--agent",
        metavar="NAME",
        help="Whose messages (default: messages.agent in the settings, else your user name).",
    )(fn)


@click.command()
@click.argument("words", nargs=-1, metavar="[TO] [BODY]")
@click.option("--to", "more", multiple=True, metavar="NAME", help="A receiver; may be repeated.")
@click.option("--from", "agent", metavar="NAME", help="Who sends (default: as with inbox).")
@click.option("--subject", default="", help="What it is about.")
@click.option("--type", "type_", metavar="WORD", help="message, question, task, …")
@click.option("--priority", type=click.Choice(["low", "normal", "high", "urgent"]))
@click.option("--thread", metavar="ID", help="Into this thread; without TO, to all in it.")
@click.option("--reply-to", metavar="ID", help="Answers a message; without TO, to its sender.")
@click.option("--ack", is_flag=True, help="Ask for an acknowledgement.")
@click.option("--work", metavar="JSON", help="Work that is done: a text, or JSON; it is logged.")
@click.option("--context", metavar="JSON", help="What was understood: a text, or JSON.")
@click.option("--form", is_flag=True, help="BODY is a whole message as JSON.")
@url_option
@data_path_option
@json_option
def send(
    words: tuple[str, ...],
    more: tuple[str, ...],
    agent: str | None,
    subject: str,
    type_: str | None,
    priority: str | None,
    thread: str | None,
    reply_to: str | None,
    ack: bool,
    work: str | None,
    context: str | None,
    form: bool,
    url: str | None,
    data_dir: str | None,
    as_json: bool,
) -> None:
    """Send BODY (or standard input) to the agent TO; "*" is everybody. Prints the message's id.

    With --to, --thread, --reply-to or --form there is no TO: the only word is the body. IDs may be
    the start of one.

    \b
    agentmon send web "the endpoint is ready" --from api --subject deploy
    git diff | agentmon send --to web --to docs --priority high
    agentmon send --reply-to 6f1c "thanks" --ack
    """
    from agentmon.collab import sending
    from agentmon.collab.form import LIMIT_BYTES

    if form and (
        more or thread or reply_to or subject or type_ or priority or ack or work or context
    ):
        raise click.UsageError("with --form everything is in the message")
    to, rest = _receivers(words, more, has_place=bool(more or thread or reply_to or form))
    loaded = _settings(None if data_dir is None else data_dir or ".", url)
    limit = cast("int", loaded.given.get("messages.max_size", LIMIT_BYTES))
    body = _body(rest, limit)
    where = data_path(loaded)
    with _writing(where) as conn:
        if form:
            message = _object(body)
            name = agent or str(message.get("from") or _me(loaded))
        else:
            name = agent or _me(loaded)
            message = {
                "type": type_ or "message",
                "content": {"subject": subject, "body": body},
                "thread_id": _the_id(conn, thread),
                "reply_to": _the_id(conn, reply_to),
                "priority": priority,
                "ack_required": ack,
                "work_completed": _json_or_text(work),
                "context_understanding": _json_or_text(context),
            }
        if not loaded.given.get("redis.url"):
            mail = sending.send(conn, name, to, message, limit_bytes=limit)
        else:
            mail = _send_over(loaded.settings, where, name, to, message)
    _print_sent(mail, as_json)


def _receivers(
    words: tuple[str, ...], more: tuple[str, ...], has_place: bool
) -> tuple[list[str] | None, tuple[str, ...]]:
    most = 1 if has_place else 2
    if len(words) > most:
        raise click.UsageError("too many words: quote the body")
    if has_place:
        return [_sound(name) for name in more] or None, words
    if not words:
        raise click.UsageError('to whom? `agentmon send web "the endpoint is ready"`')
    return [_sound(words[0])], words[1:]


def _body(rest: tuple[str, ...], limit: int) -> str:
    if rest:
        return _sound(rest[0])
    if sys.stdin.isatty():
        raise click.UsageError("what? give the body as a word, or on standard input")
    data = sys.stdin.buffer.read(limit + 2)
    return data.decode("utf-8", "replace").removesuffix("\n")


def _sound(text: str) -> str:
    """What the shell gave, with bytes that are no UTF-8 as U+FFFD."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _object(text: str) -> dict[str, Any]:
    from agentmon.collab.form import decoded

    return dict(decoded(text))


def _json_or_text(text: str | None) -> object:
    if text is None:
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return _sound(text)


def _me(loaded: config.Loaded) -> str:
    """Who speaks where nobody is named."""
    return str(loaded.given.get("messages.agent") or os.environ.get("USER") or "user")


def _the_id(conn: sqlite3.Connection, start: str | None) -> str | None:
    """The message that a person means. One that is not here is taken as it is: it may be known
    elsewhere."""
    if start is None:
        return None
    from agentmon.collab.archive import by_start

    found = by_start(conn, _sound(start))
    if len(found) > 1:
        shown = ", ".join(found[:4])
        raise Failure(f"more than one message answers to {start!r}: {shown}")
    return found[0] if found else _sound(start)


def _settings(data_dir: str | os.PathLike[str] | None, url: str | None) -> config.Loaded:
    return settings(
        store__data_dir=None if data_dir is None else str(data_dir), redis__url=url or None
    )


def _send_over(
    known: config.Settings, where: str, name: str, to: list[str] | None, message: Any
) -> Mail:
    async def send_message(system: MessagingSystem) -> Mail:
        mail = await system.send_message(to, message)
        if system.trouble is not None:
            complain(f"it waits in the store until the server takes it: {system.trouble}")
        return mail

    return _over(known, where, name, send_message)


def _fetch(known: config.Settings, where: str, name: str) -> None:
    """Brings what waits for an agent on the server; where that is down, what is here is shown."""

    async def fetch(system: MessagingSystem) -> None:
        await system.inbox(limit=1)
        if system.trouble is not None:
            complain(system.trouble)

    _over(known, where, name, fetch)


def _over(
    known: config.Settings,
    where: str,
    name: str,
    fn: Callable[[MessagingSystem], Coroutine[Any, Any, T]],
) -> T:
    """Runs fn with an agent's messages by the server. Raises Failure for a wrong address."""
    import asyncio
    from pathlib import Path

    from agentmon.collab.form import MessageError
    from agentmon.collab.messaging import MessagingSystem

    async def run() -> T:
        async with MessagingSystem(
            name,
            data_dir=Path(where),
            url=known.redis.url,
            limit_bytes=known.messages.max_size,
            max_inbox=known.redis.max_inbox,
        ) as system:
            return await fn(system)

    try:
        return asyncio.run(run())
    except MessageError:
        raise
    except ValueError as problem:  # an option in the address
        raise Failure(f"redis.url: {problem}") from problem


def _print_sent(mail: Mail, as_json: bool) -> None:
    if as_json:
        from agentmon.collab.mail import as_json as of_mail

        print_json(of_mail(mail))
    else:
        click.echo(clean(mail.message_id, newline=False))


@contextmanager
def _writing(where: str | os.PathLike[str]) -> Generator[sqlite3.Connection, None, None]:
    """The store, open for writing; what goes wrong is one sentence. Raises Failure."""
    from agentmon.store import db

    with _clear(where):
        conn = db.create(where)
        try:
            yield conn
        finally:
            conn.close()


@contextmanager
def _clear(where: str | os.PathLike[str]) -> Generator[None, None, None]:
    from agentmon.collab.form import MessageError
    from agentmon.store import db

    try:
        with clear_errors():
            yield
    except MessageError as problem:
        raise Failure(str(problem)) from problem
    except sqlite3.Error as problem:
        raise Failure(db.cannot(where, "write to", problem)) from problem


@click.command()
@agent_option
@click.option("--all", "everything", is_flag=True, help="What was read before, too.")
@click.option("--peek", is_flag=True, help="Leave it unread.")
@click.option("--ack", "acks", multiple=True, metavar="ID", help="Acknowledge a message instead.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True)
@url_option
@data_path_option
@json_option
def inbox(
    agent: str | None,
    everything: bool,
    peek: bool,
    acks: tuple[str, ...],
    limit: int,
    url: str | None,
    data_dir: str | None,
    as_json: bool,
) -> None:
    """What an agent has yet to read, oldest first. What is shown counts as read.

    \b
    agentmon inbox --agent web
    agentmon inbox --agent web --peek --json | jq -r '.[] | select(.priority == "urgent") | .body'
    agentmon inbox --agent web --ack 6f1c
    """
    from agentmon.collab import archive, form
    from agentmon.commands.message_lists import print_mails
    from agentmon.store import db

    loaded = _settings(None if data_dir is None else data_dir or ".", url)
    where = data_path(loaded)
    with _writing(where) as conn:
        name = form.agent_name(_sound(agent or _me(loaded)), "agent")
        if loaded.given.get("redis.url"):
            _fetch(loaded.settings, where, name)
        if acks:
            _acknowledge(conn, name, acks, as_json)
            return
        mails = archive.inbox(conn, name, unread=not everything, limit=limit)
        print_mails(mails, as_json, f"nothing new for {name}")
        if not peek:
            sys.stdout.flush()
            with db.transaction(conn):
                archive.register(conn, name, now())
                archive.mark(conn, name, [mail.message_id for mail in mails], read=now())


def _acknowledge(conn: sqlite3.Connection, name: str, acks: tuple[str, ...], as_json: bool) -> None:
    from agentmon.collab import archive
    from agentmon.store import db

    ids = [found for ack in acks if (found := _the_id(conn, ack)) is not None]
    for message_id in ids:
        mail = archive.get(conn, message_id)
        if mail is None or name not in [one.receiver for one in mail.deliveries]:
            raise Failure(f"there is no message {message_id} for {name}")
    with db.transaction(conn):
        count = archive.mark(conn, name, ids, acked=now())
    if as_json:
        print_json({"acknowledged": ids, "changed": count})
    else:
        click.echo(f"acknowledged {count}" if count else "acknowledged before")


@click.command()
@agent_option
@click.option("--count", type=click.IntRange(1), help="End after so many messages.")
@click.option("--timeout", metavar="TIME", help="End when nothing came for so long: exit code 1.")
@url_option
@data_dir_option
@json_option
def listen(
    agent: str | None,
    count: int | None,
    timeout: str | None,
    url: str | None,
    data_dir: Path | None,
    as_json: bool,
) -> None:
    """Print an agent's messages as they come, what it missed first; until Ctrl+C. They are read
    then.

    With --json each is one line. A second listener of the same agent waits until the first is gone.

    \b
    agentmon listen --agent web
    agentmon listen --agent web --count 1 --timeout 10m && echo "there is mail"
    agentmon listen --agent web --json | while read -r mail; do echo "$mail" | jq -r .body; done
    """
    import asyncio

    from agentmon.commands import options
    from agentmon.commands.listening import Listening
    from agentmon.commands.message_lists import line, text

    loaded = _settings(data_dir, url)
    where = config.data_dir(loaded.settings, os.environ)
    seconds = None if timeout is None else options.seconds(timeout, "--timeout")
    utf8_output()
    with _clear(where):
        name = _sound(agent or _me(loaded))
        running = Listening(name, where, loaded.settings, count, seconds, line if as_json else text)
        try:
            code = asyncio.run(running.run())
        except ValueError as problem:  # an option in the address
            raise Failure(f"redis.url: {problem}") from problem
    sys.exit(code)


@click.command()
@click.option("--thread", metavar="ID", help="All of a thread, whole, oldest first.")
@click.option(
    "--search", "query", metavar="WORDS", help='Words, "phrases", starts*, from: to: subject:.'
)
@click.option("--between", nargs=2, metavar="A B", help="What two agents wrote each other.")
@click.option("--agent", metavar="NAME", help="What this agent sent or got.")
@click.option("--unread", is_flag=True, help="Only what somebody has yet to read.")
@click.option("--limit", type=click.IntRange(1, 100_000), default=100, show_default=True)
@click.option("--before", type=int, metavar="SEQ", help="The page before this number.")
@click.option(
    "--export", is_flag=True, help="All of it (or all that the options ask for), a JSON line each."
)
@data_dir_option
@json_option
def messages(
    thread: str | None,
    query: str | None,
    between: tuple[str, str] | None,
    agent: str | None,
    unread: bool,
    limit: int,
    before: int | None,
    export: bool,
    data_dir: Path | None,
    as_json: bool,
) -> None:
    """Messages between agents: sent with agentmon, and seen in what agents do. The newest first.

    \b
    agentmon messages --unread
    agentmon messages --search 'from:api "rate limit"' --json
    agentmon messages --between api web
    agentmon messages --export > messages.jsonl
    """
    from agentmon.commands.message_lists import Asked, exported, found, line, print_mails
    from agentmon.commands.message_table import print_table

    if sum(map(bool, (thread, query is not None, between, agent or unread))) > 1:
        raise click.UsageError("give one of --thread, --search, --between, and --agent/--unread")
    given = None if between is None else (_sound(between[0]), _sound(between[1]))
    with reading(data_dir) as store:
        asked = Asked(
            thread=_the_thread(store.conn, thread),
            query=query,
            between=given,
            agent=agent,
            unread=unread,
            limit=limit,
            before=before,
        )
        if export:
            utf8_output()
            for mail in exported(store.conn, asked):
                sys.stdout.write(line(mail))
            return
        mails = found(store.conn, asked)
        if as_json or thread or between:
            print_mails(mails, as_json, "no messages")
        else:
            print_table(mails, store.settings)


def _the_thread(conn: sqlite3.Connection, start: str | None) -> str | None:
    """The thread that a person means: its id, or one of its messages, or the start of one."""
    from agentmon.collab import archive

    message_id = _the_id(conn, start)
    mail = None if message_id is None else archive.get(conn, message_id)
    if message_id is not None and mail is None and not archive.thread(conn, message_id, 1):
        raise Failure(f"no thread and no message answers to {start!r}")
    return message_id if mail is None else mail.thread_id
