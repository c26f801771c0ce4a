"""Logs of one machine on another's screen: each byte once, whatever is killed between them."""

import asyncio
import json
import os
import random
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from agentmon.collab import redis_client
from agentmon.engine import shipping
from agentmon.store import remote
from agentmon.store.remote import Piece
from tests.bench.load import Load
from tests.cli_run import Process, run, started
from tests.feeds import wait_for
from tests.redis_server import Server, running


@pytest.fixture
def redis() -> Iterator[Server]:
    yield from running()


def finished_log(sessions: int, seed: int = 1) -> str:
    """Sessions that are over, none of which another seed gives."""
    load = Load(seed=seed, live=1)
    made = [load.session(f"/home/u/agent-{seed}-{number}") for number in range(sessions)]
    return "".join("".join(one.lines(1)) for one in made)


def dump(store: Path) -> list[str]:
    """What is known, without the host."""
    out = run("dump", "--data-dir", store).out
    return [line for line in out.splitlines() if '"counts"' not in line]


def mirrored(store: Path) -> dict[str, bytes]:
    """The files of other machines that lie in a store, by name."""
    files = [path for path in remote.folder(store).rglob("*.jsonl") if path.is_file()]
    return {path.name: path.read_bytes() for path in files}


def ship(redis: Server, *paths: object, host: str = "builder-7") -> dict[str, object]:
    answer = run("ship", "--redis", redis.url, "--host", host, "--once", "--json", *paths)
    assert answer.code == 0, answer.err
    return json.loads(answer.out)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "logs" / "sse_lines.jsonl"
    path.parent.mkdir()
    path.write_text(finished_log(3))
    return path


def test_what_is_shipped_is_what_lies_there(redis: Server, log: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    assert ship(redis, log.parent)["bytes"] == log.stat().st_size
    assert ship(redis, log.parent) == {"host": "builder-7", "pieces": 0, "bytes": 0}
    assert run("ingest", "--data-dir", store, "--redis", redis.url).code == 0
    assert run("ingest", "--data-dir", tmp_path / "direct", log).code == 0
    assert mirrored(store) == {log.name: log.read_bytes()}
    assert dump(store) == dump(tmp_path / "direct")
    with log.open("a") as file:
        file.write(finished_log(1, seed=9))
    ship(redis, log.parent)
    answer = run("ingest", "--data-dir", store, "--redis", redis.url)
    assert answer.code == 0, answer.err
    assert mirrored(store) == {log.name: log.read_bytes()}
    sessions = json.loads(run("sessions", "--data-dir", store, "--json").out)
    assert {one["host"] for one in sessions} == {"builder-7"}
    assert {one["liveness"] for one in sessions} <= {"unknown", "ended"}
    board = run("--once", "--data-dir", store, "--redis", redis.url).out.splitlines()
    assert board[2].split()[:3] == ["agent", "host", "state"]
    assert all("builder-7" in line for line in board[3:])


def test_who_comes_later_gets_what_was_dropped(redis: Server, log: Path, tmp_path: Path) -> None:
    """What all readers had is dropped from the stream: a new one asks for it."""
    first, later = tmp_path / "first", tmp_path / "later"
    ship(redis, log)
    run("ingest", "--data-dir", first, "--redis", redis.url)
    with log.open("a") as file:
        file.write(finished_log(1, seed=9))
    ship(redis, log)
    run("ingest", "--data-dir", first, "--redis", redis.url)
    ship(redis, log)
    run("ingest", "--data-dir", later, "--redis", redis.url)
    assert mirrored(later) != mirrored(first), "the beginning is no longer in the stream"
    ship(redis, log)
    for store in (first, later):
        run("ingest", "--data-dir", store, "--redis", redis.url)
        assert mirrored(store) == {log.name: log.read_bytes()}
        assert len(json.loads(run("sessions", "--data-dir", store, "--json").out)) == 4


@pytest.mark.deep
def test_what_redis_forgot_is_sent_again(redis: Server, log: Path, tmp_path: Path) -> None:
    """A server that lost its last second has lines whose beginning never came."""
    store = tmp_path / "store"
    ship(redis, log)
    asyncio.run(forget(redis, shipping.STREAM))
    with log.open("a") as file:
        file.write(finished_log(1, seed=9))
    for _ in range(2):
        ship(redis, log)
        run("ingest", "--data-dir", store, "--redis", redis.url)
    assert mirrored(store) == {log.name: log.read_bytes()}


async def forget(redis: Server, key: str) -> None:
    client = redis_client.connect(redis.url)
    await shipping.ask(client, "DEL", key)
    await client.aclose()


def test_a_file_that_is_written_anew_is_another(redis: Server, log: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    ship(redis, log)
    first = log.read_bytes()
    log.write_text(finished_log(2, seed=5))
    ship(redis, log)
    run("ingest", "--data-dir", store, "--redis", redis.url)
    found = [path.read_bytes() for path in remote.folder(store).rglob(log.name)]
    assert sorted(found) == sorted([first, log.read_bytes()])


@pytest.mark.deep
def test_kills_on_the_way_lose_and_double_nothing(redis: Server, log: Path, tmp_path: Path) -> None:
    """The shipper, the reader and the server are killed while the log grows."""
    store, chance = tmp_path / "store", random.Random(7)
    reading = ["ingest", "--follow", "--data-dir", store, "--redis", redis.url]
    shipping = ["ship", "--redis", redis.url, "--host", "b", log.parent]
    live = {"ship": start(shipping), "read": start(reading)}
    try:
        for number in range(3):
            with log.open("a") as file:
                file.write(finished_log(1, seed=100 + number))
            time.sleep(chance.uniform(0.1, 0.5))
            victim = ("ship", "read", "redis")[number % 3]
            if victim == "redis":
                redis.kill()
                redis.start()
            else:
                live[victim].kill()
                live[victim].wait()
                live[victim] = start(shipping if victim == "ship" else reading)
        deadline = time.monotonic() + 120
        while mirrored(store).get(log.name) != log.read_bytes():
            assert time.monotonic() < deadline, "it never all came"
            time.sleep(0.05)
    finally:
        for process in live.values():
            process.send_signal(signal.SIGTERM)
        codes = {name: process.wait(60) for name, process in live.items()}
    assert codes == {"ship": 0, "read": 0}
    assert run("ingest", "--data-dir", store, remote.folder(store)).code == 0
    assert run("ingest", "--data-dir", tmp_path / "direct", log).code == 0
    assert dump(store) == dump(tmp_path / "direct")


def start(words: Sequence[object]) -> Process:
    return started(*words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def test_what_others_call_their_files_is_no_path_of_ours(tmp_path: Path) -> None:
    for path in ("../../../etc/passwd", "/", "a/../b", "x\x00y", "\u202e/…", "a" * 5_000):
        for name in ("..", "a/b", "host"):
            piece = Piece(name, name, path, 0, b"x")
            found = remote.place(tmp_path, piece)
            assert ".." not in found.parts
            assert remote.folder(tmp_path) in found.parents
            assert remote.write(tmp_path, piece)
    piece = Piece("h", "s", "log", 5, b"late")
    assert not remote.write(tmp_path, piece)
    for bad in (Piece("", "s", "p", 0, b""), Piece("h", "s", "p", -1, b"x")):
        with pytest.raises(ValueError, match="piece"):
            remote.write(tmp_path, bad)


def test_words_for_what_does_not_work(tmp_path: Path, log: Path) -> None:
    nowhere = f"unix://{tmp_path}/nothing.sock"
    answer = run("ship", "--redis", nowhere, "--once", log)
    assert (answer.code, answer.out) == (1, "")
    assert "cannot ship to Redis: " in answer.err
    assert run("ship", "--redis", "bogus://x", "--once", log).code == 2
    assert run("ship", "--redis", nowhere, "--once", tmp_path / "missing").code == 1
    assert "Redis: " in run("--once", "--redis", nowhere, "--data-dir", tmp_path / "s").err


def test_a_stream_that_nobody_reads_is_not_filled_up(redis: Server, tmp_path: Path) -> None:
    big = tmp_path / "logs" / "sse_lines.jsonl"
    big.parent.mkdir()
    big.write_bytes(os.urandom(3 << 19).hex().encode() + b"\n")
    given = ["--redis", redis.url, "--host", "h", "--max-mb", "1", big]
    shipper = started("ship", *given, stdout=subprocess.DEVNULL)
    try:
        assert shipper.stderr is not None
        assert b"wait in Redis to be read" in shipper.stderr.readline()
        store = tmp_path / "store"
        reader = start(["ingest", "--follow", "--data-dir", store, "--redis", redis.url])
        try:
            wait_for(lambda: mirrored(store).get(big.name) == big.read_bytes())
        finally:
            reader.send_signal(signal.SIGTERM)
            assert reader.wait(60) == 0
    finally:
        shipper.kill()
        shipper.wait()
        if shipper.stderr is not None:
            shipper.stderr.close()
