"""`MessagingSystem` over the store and by Redis: what is sent is got once, in order."""

import asyncio
import json
import os
import signal
import sqlite3
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing
from pathlib import Path

import pytest

from agentmon.collab import archive
from agentmon.collab.form import MessageError
from agentmon.collab.local import LocalTransport
from agentmon.collab.mail import Mail
from agentmon.collab.messaging import MessagingSystem
from agentmon.collab.redis_transport import RedisTransport
from agentmon.store import db
from tests import redis_server
from tests.cli_run import Running, run
from tests.deep import only_deep, some_of
from tests.mail import HOSTILE
from tests.scripted import scripted


async def until(holds: Callable[[], object]) -> None:
    async with asyncio.timeout(120):
        while not holds():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def taken(system: MessagingSystem, count: int) -> list[Mail]:
    """The next messages of a listener; the last one is left by `break`."""
    found: list[Mail] = []
    async with aclosing(system.listen()) as coming:
        async for mail in coming:
            found.append(mail)
            if len(found) == count:
                break
    return found


def over(*ordinary: str) -> pytest.MarkDecorator:
    """Both transports behave alike; ordinary runs have what is named."""
    both = some_of(["local", "redis"], *ordinary)
    return pytest.mark.parametrize("url", both, indirect=True)


@pytest.fixture
def url(request: pytest.FixtureRequest) -> Iterator[str | None]:
    if request.param == "local":
        yield None
    else:
        for server in redis_server.running():
            yield server.url


@over("local")
async def test_a_loop_left_by_break_has_closed_when_the_system_has(
    tmp_path: Path, url: str | None
) -> None:
    before = asyncio.all_tasks()
    async with MessagingSystem("api", data_dir=tmp_path, url=url) as system:
        await system.send_message("api", "to myself")
        async for mail in system.listen():
            assert mail.body == "to myself"
            break
    assert asyncio.all_tasks() == before
    async with MessagingSystem("api", data_dir=tmp_path, url=url) as system:
        async with asyncio.timeout(60):
            await system.send_message("api", "another")
            assert [mail.body for mail in await taken(system, 1)] == ["another"]


@over("redis")
async def test_a_loop_that_somebody_holds_is_closed_with_the_system(
    tmp_path: Path, url: str | None
) -> None:
    before = asyncio.all_tasks()
    async with MessagingSystem("api", data_dir=tmp_path, url=url) as system:
        await system.send_message("api", "to myself")
        held = system.listen()
        assert (await anext(held)).body == "to myself"
    assert asyncio.all_tasks() == before
    with pytest.raises(StopAsyncIteration):
        await anext(held)


@pytest.fixture
async def web(tmp_path: Path, url: str | None) -> AsyncIterator[MessagingSystem]:
    async with MessagingSystem("web", data_dir=tmp_path, url=url) as system:
        yield system


@pytest.fixture
async def api(tmp_path: Path, url: str | None) -> AsyncIterator[MessagingSystem]:
    async with MessagingSystem("api", data_dir=tmp_path, url=url) as system:
        yield system


@over("redis")
async def test_who_was_away_gets_what_it_missed_then_what_comes(
    web: MessagingSystem, api: MessagingSystem
) -> None:
    await api.send_message("web", "before")
    got: list[str] = []
    web.start_listening(lambda mail: got.append(mail.body))
    await until(lambda: got == ["before"])
    for number in range(20):
        await api.send_message("*", str(number))
    await until(lambda: len(got) == 21)
    assert got[1:] == [str(number) for number in range(20)]
    (mail,) = await web.inbox(limit=1)
    assert mail.deliveries[0].delivered_at is not None
    assert mail.deliveries[0].read_at is None
    assert await web.mark_read(mail.message_id) == 1
    assert await web.acknowledge(mail.message_id) == 1
    assert await web.acknowledge(mail.message_id) == 0
    assert len(await web.inbox()) == 20


@over("redis")
async def test_a_listener_left_and_started_again_gets_nothing_twice(
    web: MessagingSystem, api: MessagingSystem, tmp_path: Path, url: str | None
) -> None:
    for number in range(5):
        await api.send_message(["web", "docs"], str(number))
    assert [mail.body for mail in await taken(web, 2)] == ["0", "1"]
    assert [mail.body for mail in await taken(web, 2)] == ["2", "3"]

    async def fail() -> None:
        async with MessagingSystem("web", data_dir=tmp_path, url=url) as failing:
            async for mail in failing.listen():
                raise KeyError(mail.body)

    with pytest.raises(KeyError):
        await fail()
    async with MessagingSystem("web", data_dir=tmp_path, url=url) as again:
        assert [mail.body for mail in await taken(again, 1)] == ["4"]


@over("local")
async def test_what_a_callback_refuses_comes_again(
    api: MessagingSystem, tmp_path: Path, url: str | None
) -> None:
    await api.send_message("web", "x")

    async def refuse(mail: Mail) -> None:
        raise LookupError(mail.body)

    async def listen() -> None:
        async with MessagingSystem("web", data_dir=tmp_path, url=url) as system:
            await asyncio.wait([system.start_listening(refuse)])

    with pytest.raises(LookupError):
        await listen()
    async with MessagingSystem("web", data_dir=tmp_path, url=url) as system:
        assert [mail.body for mail in await taken(system, 1)] == ["x"]


@over("local")
async def test_one_listener_of_an_agent_takes_and_the_other_stands_by(
    web: MessagingSystem, api: MessagingSystem, tmp_path: Path, url: str | None
) -> None:
    got: list[tuple[int, str]] = []
    first = web.start_listening(lambda mail: got.append((1, mail.body)))
    await api.send_message("web", "a")
    await until(lambda: got)
    told: list[str] = []
    async with MessagingSystem("web", data_dir=tmp_path, url=url, on_warning=told.append) as second:
        second.start_listening(lambda mail: got.append((2, mail.body)))
        transport = second.transport
        assert isinstance(transport, LocalTransport | RedisTransport)
        await until(lambda: transport.is_standby)
        assert url is not None or [text for text in told if "waits until it ends" in text]
        await api.send_message("web", "b")
        await until(lambda: len(got) == 2)
        first.cancel()
        await asyncio.wait([first])
        await api.send_message("web", "c")
        await until(lambda: len(got) == 3)
    assert got == [(1, "a"), (1, "b"), (2, "c")]


@over("local")
async def test_answers_threads_and_questions(web: MessagingSystem, api: MessagingSystem) -> None:
    first = await api.send_message("web", {"content": {"subject": "plan", "body": "who?"}})
    answer = await web.send_message(
        None, {"reply_to": first.message_id, "content": {"body": "me"}, "priority": "high"}
    )
    assert (answer.receivers, answer.thread_id) == (["api"], first.thread_id)
    assert [mail.body for mail in await api.thread(first.thread_id)] == ["who?", "me"]
    assert [mail.body for mail in await api.conversation_history("web", "api")] == ["who?", "me"]
    assert await web.search("from:api plan") == [first]
    same = await api.send_message(
        "web", {"message_id": first.message_id, "content": {"subject": "plan", "body": "who?"}}
    )
    assert same == first
    for to, message, field in [
        ("web", {"message_id": first.message_id, "content": {"body": "other"}}, "message_id"),
        (None, {"thread_id": "nobody's", "content": {"body": "x"}}, "to"),
        (["web", ""], "x", "to[1]"),
        ("web", {"body": "x"}, "content"),
        ("web", {"content": {"body": "x" * (1 << 20)}}, "message"),
        ("web", None, "message"),
        ("web", ["x"], "message"),
        (5, "x", "to"),
    ]:
        with pytest.raises(MessageError) as caught:
            await api.send_message(to, message)  # pyright: ignore[reportArgumentType]
        assert caught.value.field == field
    assert len(await web.inbox(unread=False)) == 1


@over("redis")
async def test_a_thread_is_written_to_by_its_id_alone(
    web: MessagingSystem, api: MessagingSystem, tmp_path: Path, url: str | None
) -> None:
    """From another machine, too, where there is one."""
    folder = tmp_path / "other" if url else tmp_path
    async with MessagingSystem("docs", data_dir=folder, url=url) as docs:
        first = await api.send_message(["web", "docs"], "who?")
        (asked,) = await taken(docs, 1)
        said = {"thread_id": asked.thread_id, "content": {"body": "me"}}
        answer = await docs.send_message(None, said)
        assert (answer.receivers, answer.thread_id) == (["api", "web"], first.thread_id)
        assert [mail.body for mail in await taken(api, 1)] == ["me"]
        assert [mail.body for mail in await taken(web, 2)] == ["who?", "me"]
        assert [mail.body for mail in await api.thread(first.thread_id)] == ["who?", "me"]


@over("local")
async def test_a_thread_of_everybody_stays_one(web: MessagingSystem, api: MessagingSystem) -> None:
    first = await api.send_message("*", "hello")
    said = {"thread_id": first.thread_id, "content": {"body": "hi"}}
    assert (await web.send_message(None, said)).receivers == ["*"]
    assert [mail.body for mail in await taken(api, 1)] == ["hi"]


@over("local", "redis")
async def test_what_cannot_be_marked_at_the_end_leaves_nothing_open(
    api: MessagingSystem, tmp_path: Path, url: str | None
) -> None:
    """The thread of a store that stays open keeps the process alive."""
    await api.send_message("web", "x")
    web = MessagingSystem("web", data_dir=tmp_path, url=url)
    await web.__aenter__()
    coming = web.listen()
    await anext(coming)
    store = web._store  # pyright: ignore[reportPrivateUsage]
    assert store is not None
    await store.run(lambda conn: conn.execute("PRAGMA query_only = 1"))
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        await web.__aexit__(None, None, None)
    await coming.aclose()
    try:
        with pytest.raises(ValueError, match="onnection"):
            await store.run(lambda conn: conn)
    finally:
        await store.close()


@over("local")
async def test_hostile_agents_talk(tmp_path: Path, url: str | None) -> None:
    names = [text for text in HOSTILE if text.isprintable() and text != "*"]
    for name in names:
        async with MessagingSystem(name, data_dir=tmp_path, url=url) as system:
            for text in HOSTILE:
                await system.send_message(name, text)
            assert [mail.body for mail in await taken(system, len(HOSTILE))] == list(HOSTILE)
    for name in ("", "*", "a\nb", "x" * 201, "\ud800"):
        with pytest.raises(MessageError, match="agent_id"):
            MessagingSystem(name, data_dir=tmp_path, url=url)


async def test_outside_async_with_it_says_so(tmp_path: Path) -> None:
    system = MessagingSystem("web", data_dir=tmp_path)
    with pytest.raises(RuntimeError, match="async with"):
        await system.send_message("api", "x")
    with pytest.raises(RuntimeError, match="async with"):
        await system.inbox()


# -- processes of their own

LISTENER = """
import asyncio, os, sys
from pathlib import Path
from agentmon.collab.messaging import MessagingSystem

async def main(folder, out):
    fd = os.open(out, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    async with MessagingSystem("web", data_dir=Path(folder)) as system:
        async for mail in system.listen():
            os.write(fd, f"{mail.sender} {mail.body}\\n".encode())

asyncio.run(main(*sys.argv[1:]))
"""

SENDER = """
import asyncio, sys
from pathlib import Path
from agentmon.collab.messaging import MessagingSystem

async def main(folder, name, count):
    async with MessagingSystem(name, data_dir=Path(folder)) as system:
        for number in range(int(count)):
            await system.send_message("web", str(number))

asyncio.run(main(*sys.argv[1:]))
"""


def listener(folder: Path, out: Path) -> Running:
    return scripted(LISTENER, folder, out)


@pytest.mark.parametrize(("count", "kills"), [(60, 1), *only_deep((150, 3))])
async def test_listeners_that_are_killed_lose_and_double_nothing(
    count: int, kills: int, tmp_path: Path
) -> None:
    """The one message that was in hand at a kill may be handed on again; no other."""
    out = tmp_path / "out"
    out.touch()
    db.create(tmp_path / "store").close()
    senders = [scripted(SENDER, tmp_path / "store", name, count) for name in ("a", "b")]
    seen = 0
    for step in range(kills + 1):
        with listener(tmp_path / "store", out) as running:
            goal = 2 * count if step == kills else seen + 30
            await until(lambda: len(set(lines(out))) >= goal)  # noqa: B023
            os.kill(running.process.pid, signal.SIGKILL)
            running.process.wait()
        seen = len(set(lines(out)))
    for sender in senders:
        with sender:
            assert sender.end().code == 0
    got = lines(out)
    times = Counter(got)
    assert sum(number - 1 for number in times.values()) <= kills
    for name in ("a", "b"):
        numbers = [int(line.split()[1]) for line in dict.fromkeys(got) if line.startswith(name)]
        assert numbers == list(range(count))
    conn = db.open_reading(tmp_path / "store")
    counts = archive.counts(conn)
    undelivered = archive.undelivered(conn, "web")
    conn.close()
    assert counts.total == 2 * count
    assert len(undelivered) <= 1  # the last one was in hand


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines()


async def test_a_command_that_listens_prints_what_a_command_sends(tmp_path: Path) -> None:
    run("send", "web", "missed", "--from", "api", "--data-dir", tmp_path)
    options = ["--data-dir", str(tmp_path), "--json"]
    with Running("listen", "--agent", "web", *options) as running:
        assert json.loads(running.line())["body"] == "missed"
        run("send", "web", "--from", "api", "--data-dir", tmp_path, stdin=b"\x1b[31mlive\xff\n")
        line = running.line()
        assert b"\x1b" not in line
        assert json.loads(line)["body"] == "\x1b[31mlive\ufffd"
        answer = running.end(signal.SIGTERM)
    assert (answer.code, answer.err) == (0, "")
    answer = run("inbox", "--agent", "web", *options)
    assert json.loads(answer.out) == []  # what was shown was read
    answer = run("listen", "--agent", "web", "--timeout", "100ms", *options)
    assert (answer.code, answer.out) == (1, "")
    assert "nothing came" in answer.err


async def test_what_a_closed_pipe_did_not_take_comes_again(tmp_path: Path) -> None:
    options = ["--agent", "web", "--data-dir", str(tmp_path), "--json"]
    run("send", "web", "shown", "--from", "api", "--data-dir", tmp_path)
    with Running("listen", *options) as running:
        assert json.loads(running.line())["body"] == "shown"
        assert running.process.stdout is not None
        running.process.stdout.close()
        run("send", "web", "not shown", "--from", "api", "--data-dir", tmp_path)
        running.process.wait()
    answer = run("listen", "--count", "1", "--timeout", "60s", *options)
    assert json.loads(answer.out)["body"] == "not shown"
