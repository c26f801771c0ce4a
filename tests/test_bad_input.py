"""What goes wrong outside is told in one clear sentence, and nothing is lost."""

import os
import shutil
import signal
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.cli_run import Answer, Running, assert_one_sentence, run
from tests.deep import only_deep
from tests.differential import assert_same, dumped
from tests.feeds import SIZE, add, changes, finished, lines_stored, snapshot, wait_for, write
from tests.oracle import dump_of

Mount = Callable[..., Path]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return write(tmp_path / "sse_lines.jsonl", finished(1))


@pytest.fixture
def store(tmp_path: Path, log: Path) -> Path:
    folder = tmp_path / "store"
    assert run("ingest", log, "--data-dir", folder).code == 0
    return folder


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[Mount]:
    """Mounts small file systems in memory; skips where that is not allowed."""
    mounted: list[Path] = []

    def mounting(options: str, name: str = "small") -> Path:
        folder = tmp_path / name
        is_new = folder not in mounted
        folder.mkdir(exist_ok=True)
        how = f"{options}" if is_new else f"remount,{options}"
        tool = shutil.which("mount")
        if tool is None:
            pytest.skip("there is no mount here")
        argv = [tool, "-t", "tmpfs", "-o", how, "tmpfs", str(folder)]
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"no right to mount: {done.stderr.strip()}")
        if is_new:
            mounted.append(folder)
        return folder

    yield mounting
    for folder in mounted:
        subprocess.run(["umount", str(folder)], check=True)


# -- inputs


@pytest.mark.parametrize("args", [("ingest",), ("--once",), ("ingest", "--json")])
def test_a_missing_file(args: tuple[str, ...], tmp_path: Path) -> None:
    answer = run(*args, tmp_path / "nowhere.jsonl")
    assert_one_sentence(answer, str(tmp_path / "nowhere.jsonl"))


def test_a_missing_file_beside_a_good_one(log: Path, store: Path, tmp_path: Path) -> None:
    add(log, finished(2))
    answer = run("ingest", tmp_path / "nowhere.jsonl", log, "--data-dir", store)
    assert_one_sentence(answer, "nowhere.jsonl")
    assert_same(dumped(store), dump_of([log]))


def test_a_folder_without_logs(tmp_path: Path) -> None:
    folder = tmp_path / "empty"
    write(folder / "notes.txt", [b"no log"])
    answer = run("ingest", folder, "--data-dir", tmp_path / "store")
    assert_one_sentence(answer, "no logs below", str(folder))


def test_the_board_over_a_folder_without_logs(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    answer = run("--once", tmp_path / "empty", env={"COLUMNS": "200"})
    assert answer.code == 0
    assert str(tmp_path / "empty") in answer.out


@pytest.mark.parametrize("args", [("ingest",), ("--once",)])
def test_a_binary_file(args: tuple[str, ...], tmp_path: Path) -> None:
    picture = tmp_path / "picture.png"
    picture.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 400)
    answer = run(*args, picture, "--data-dir", tmp_path / "store")
    lines = answer.err.splitlines()
    assert len(lines) == 1
    assert str(picture) in lines[0]
    assert "binary" in lines[0]
    if args[0] == "ingest":
        assert answer.code == 1


def test_a_binary_file_beside_a_good_one(log: Path, store: Path, tmp_path: Path) -> None:
    before = snapshot(store)
    picture = tmp_path / "picture.png"
    picture.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 400)
    assert_one_sentence(run("ingest", picture, log, "--data-dir", store), "binary")
    assert changes(snapshot(store), before) == []


def test_a_file_that_may_not_be_read(log: Path, tmp_path: Path) -> None:
    log.chmod(0)
    if os.access(log, os.R_OK):
        pytest.skip("root may read everything")
    for command in ("ingest", "--once", "--replay"):
        answer = run(command, log, "--data-dir", tmp_path / "s")
        assert_one_sentence(answer, str(log), "ermission")


@pytest.mark.parametrize("args", [("--once",), *only_deep((("ingest",),), (("--replay",),))])
def test_links_in_a_ring(args: tuple[str, ...], tmp_path: Path) -> None:
    ring = tmp_path / "ring.jsonl"
    ring.symlink_to(tmp_path / "other.jsonl")
    (tmp_path / "other.jsonl").symlink_to(ring)
    assert_one_sentence(run(*args, ring), str(ring))


def test_a_replay_of_a_folder_or_of_no_log(tmp_path: Path) -> None:
    assert_one_sentence(run("--replay", tmp_path), str(tmp_path))
    notes = write(tmp_path / "notes.txt", [b"nothing in here"])
    assert_one_sentence(run("--replay", notes), "notes.txt", "no log to replay")
    assert_one_sentence(run("--replay", write(tmp_path / "empty.jsonl", [])), "empty.jsonl")


def test_a_log_of_nonsense_is_counted_not_refused(tmp_path: Path) -> None:
    noise = [b"nonsense", b"[1]", b"{}", b'{"event":"claude.', b"\xff\xfe", *finished(1)]
    log = write(tmp_path / "sse_lines.jsonl", noise)
    answer = run("ingest", log, "--data-dir", tmp_path / "store")
    assert (answer.code, answer.err) == (0, "")
    assert_same(dumped(tmp_path / "store"), dump_of([log]))


# -- the store

EVERY = [("ingest", "LOG"), ("--once", "LOG"), ("dump",), ("ingest", "--follow", "LOG")]


def each_command(*ordinary: int) -> pytest.MarkDecorator:
    """All of them; ordinary runs have these."""
    some = [one if at in ordinary else only_deep((one,))[0] for at, one in enumerate(EVERY)]
    return pytest.mark.parametrize("args", some, ids=" ".join)


def told(args: tuple[str, ...], log: Path, store: Path) -> Answer:
    return run(*[log if arg == "LOG" else arg for arg in args], "--data-dir", store)


@each_command(0, 2)
def test_a_store_of_a_newer_program(args: tuple[str, ...], log: Path, store: Path) -> None:
    with sqlite3.connect(store / "agentmon.db") as conn:
        conn.execute("INSERT INTO schema_version VALUES (99, 0)")
    conn.close()
    before = (store / "agentmon.db").read_bytes()
    assert_one_sentence(told(args, log, store), "99", "upgrade")
    assert (store / "agentmon.db").read_bytes() == before


@each_command(1, 3)
def test_a_file_that_is_no_database(args: tuple[str, ...], log: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    store.mkdir()
    (store / "agentmon.db").write_bytes(b"this is not a database " * 500)
    assert_one_sentence(told(args, log, store), str(store))
    assert (store / "agentmon.db").read_bytes() == b"this is not a database " * 500


@each_command(0, 1)
def test_a_data_folder_below_a_file(args: tuple[str, ...], log: Path, tmp_path: Path) -> None:
    file = write(tmp_path / "file", [])
    assert_one_sentence(told(args, log, file / "store"), str(file / "store"))


@pytest.mark.parametrize("args", [("ingest", "LOG"), ("ingest", "--follow", "LOG")], ids=" ".join)
def test_a_data_folder_that_is_read_only(
    args: tuple[str, ...], log: Path, store: Path, mount: Mount
) -> None:
    folder = mount("size=4m") / "store"
    shutil.copytree(store, folder)
    mount("ro")
    before = snapshot(folder)
    add(log, finished(2))
    assert_one_sentence(told(args, log, folder), str(folder))
    assert changes(snapshot(folder), before) == []


def test_a_read_only_store_can_still_be_read(log: Path, store: Path, mount: Mount) -> None:
    folder = mount("size=4m") / "store"
    shutil.copytree(store, folder)
    mount("ro")
    answer = run("dump", "--data-dir", folder)
    assert (answer.code, answer.err) == (0, "")
    assert answer.out == run("dump", "--data-dir", store).out
    assert "project-1" in run("--once", "--data-dir", folder).out


def test_names_of_files_never_command_the_terminal(tmp_path: Path) -> None:
    """Agents make folders and files, too."""
    evil = "\x1b]0;pwned\x07\u202e\x9b[red]"
    picture = tmp_path / f"{evil}.jsonl"
    picture.write_bytes(bytes(range(256)) * 400)
    said = [
        run("ingest", picture),
        run("--once", picture),
        run("ingest", tmp_path / f"no {evil}"),
        run("dump", "--data-dir", tmp_path / f"no {evil}"),
        run("wait", "--session", evil, "--timeout", "10ms"),
    ]
    for answer in said:
        assert answer.err.startswith("agentmon: "), answer
        assert not set(answer.err + answer.out) & set("\x1b\x07\u202e\x9b"), answer


def large_log(path: Path) -> Path:
    """Some megabytes, much of it in results that lie in files of their own."""
    content = "a line of a result\n" * 2000
    return write(path, [line for n in range(40) for line in finished(n, 10 * n, content=content)])


def test_a_full_disk(tmp_path: Path, mount: Mount) -> None:
    """One sentence; and with more room it goes on as if nothing had been."""
    log = large_log(tmp_path / "large.jsonl")
    whole = tmp_path / "whole"
    assert run("ingest", log, "--data-dir", whole).code == 0
    store = mount("size=1200k") / "store"
    assert_one_sentence(run("ingest", log, "--data-dir", store), str(store))
    assert_one_sentence(run("ingest", log, "--data-dir", store), str(store))
    mount("size=64m")
    answer = run("ingest", log, "--data-dir", store)
    assert (answer.code, answer.err) == (0, "")
    assert changes(snapshot(store), snapshot(whole)) == []


@pytest.mark.deep
def test_a_disk_that_is_full_while_followed(tmp_path: Path, mount: Mount) -> None:
    """A follower says so once, waits, and goes on when there is room again."""
    log = large_log(tmp_path / "large.jsonl")
    lines = len(log.read_bytes().splitlines())
    store = mount("size=1200k") / "store"
    with Running("ingest", "--follow", log, "--data-dir", store) as follower:
        assert follower.process.stderr is not None
        said = follower.process.stderr.readline().decode()
        assert str(store) in said
        assert follower.process.poll() is None
        mount("size=64m")
        wait_for(lambda: lines_stored(store) == lines)
        answer = follower.end(signal.SIGTERM)
    assert (answer.code, answer.err) == (0, "")
    assert_same(dumped(store), dump_of([log]))


def test_a_second_writer(log: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    with Running("ingest", "--follow", log, "--data-dir", store) as first:
        wait_for(lambda: lines_stored(store) == SIZE)
        pid = str(first.process.pid)
        add(log, finished(2))
        for args in (("ingest", log), ("ingest", "--follow", log)):
            assert_one_sentence(run(*args, "--data-dir", store), f"pid {pid}")
        wait_for(lambda: lines_stored(store) == 2 * SIZE)
        answer = run("--once", log, "--data-dir", store)
        assert (answer.code, "project-2" in answer.out) == (0, True)
        assert run("dump", "--data-dir", store).code == 0
        assert pid in run("doctor", "--data-dir", store).out
        assert first.end(signal.SIGTERM).code == 0
    assert_same(dumped(store), dump_of([log]))
    assert run("ingest", log, "--data-dir", store).code == 0


def test_the_lock_of_a_killed_writer_holds_nobody(log: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    with Running("ingest", "--follow", log, "--data-dir", store) as first:
        wait_for(lambda: lines_stored(store) == SIZE)
        first.end(signal.SIGKILL)
    add(log, finished(2))
    answer = run("ingest", log, "--data-dir", store)
    assert (answer.code, answer.err) == (0, "")
    assert_same(dumped(store), dump_of([log]))
