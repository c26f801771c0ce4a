"""Checkpoints: what is in their files, how they are found, what is wrong with one."""

import hashlib
import json
import os
import random
import sqlite3
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any, cast

import pytest

from agentmon.collab import checkpoint_files, checkpoints
from agentmon.collab.checkpoints import CheckpointError
from agentmon.collab.conversations import Record
from agentmon.commands import checkpoints as commands
from agentmon.commands import options
from agentmon.store import db
from agentmon.store import parquet as store_parquet
from tests import golden
from tests.asking import oracle
from tests.cli_run import Answer, assert_one_sentence, inside
from tests.differential import ingest
from tests.feeds import write
from tests.generate import scenario

parquet: Any = pytest.importorskip("pyarrow.parquet")

NOW = 1_772_000_000.0
KNOBS: dict[str, Any] = {"sessions": 2, "rounds": 3, "subagents": 0.5, "errors": 0.3, "cut": 0.2}


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("log")
    return write(folder / "log.jsonl", scenario(random.Random(5), **KNOBS))


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture
def conn(data_dir: Path) -> Iterator[sqlite3.Connection]:
    found = db.create(data_dir)
    yield found
    found.close()


def mail(conn: sqlite3.Connection, number: int, thread: str = "t1", **more: object) -> str:
    """A message between agents, straight into its table."""
    row: dict[str, object] = {
        "message_id": f"{thread}-m{number}",
        "thread_id": thread,
        "reply_to": f"{thread}-m{number - 1}" if number else None,
        "sender": "ada",
        "receivers": json.dumps(["bob", "eve"]),
        "type": "message",
        "subject": f"s{number}",
        "body": f"body {number}\x1b[31m é 😀",
        "sent_at": 1000.0 + number,
        "archived_at": 1000.5 + number,
        "origin": "local",
        **more,
    }
    names = ", ".join(row)
    marks = ", ".join("?" * len(row))
    conn.execute(f"INSERT INTO agent_messages ({names}) VALUES ({marks})", list(row.values()))
    return str(row["message_id"])


def in_file(found: checkpoints.Checkpoint) -> list[dict[str, Any]]:
    return parquet.read_table(found.path).to_pylist()


def test_a_thread(conn: sqlite3.Connection, data_dir: Path) -> None:
    ids = [mail(conn, number) for number in range(12)]
    mail(conn, 0, "t2")
    made = checkpoints.create(
        conn, data_dir, "t1", summary="all of it", entities=["ada"], quality=0.5, now=NOW
    )
    rows = in_file(made)
    assert [row["message_id"] for row in rows] == ids
    assert [row["text"] for row in rows] == [f"body {n}\x1b[31m é 😀" for n in range(12)]
    assert rows[3]["receivers"] == ["bob", "eve"]
    assert (rows[3]["reply_to"], rows[3]["sender"], rows[3]["subject"]) == ("t1-m2", "ada", "s3")
    assert rows[3]["time"].timestamp() == 1003.0
    data = Path(made.path).read_bytes()
    assert (made.size, made.sha256) == (len(data), hashlib.sha256(data).hexdigest())
    assert (made.message_count, made.row_count) == (12, 12)
    assert (made.first_message, made.last_message) == (ids[0], ids[-1])
    assert (made.threads, made.entities, made.quality) == (["t1"], ["ada"], 0.5)
    assert Path(made.path).parent == data_dir / "checkpoints"
    assert os.stat(made.path).st_mode & 0o777 == 0o600
    assert checkpoints.get(conn, made.checkpoint_id) == made
    assert parquet.read_schema(made.path).metadata[b"conversation"] == b"t1"


def test_a_session_has_what_its_lines_have(log: Path, data_dir: Path) -> None:
    """Against what another reader of the same lines found."""
    ingest(data_dir, [log])
    conn = db.create(data_dir)
    expected = oracle(log)
    sids = {row["sid"] for row in expected if row["kind"] == "message"}
    assert len(sids) == 2
    for sid in sids:
        made = checkpoints.create(conn, data_dir, sid)
        rows = in_file(made)
        flows = {r["flow_id"]: r for r in expected if r["kind"] == "message" and r["sid"] == sid}
        said = {row["message_id"]: row for row in rows if row["role"] != "user"}
        assert said.keys() == flows.keys()
        blocks = {
            (r["flow_id"], r["index"]): r
            for r in expected
            if r["kind"] == "block" and r["flow_id"] in flows
        }
        found = {(key, b["index"]): b for key, row in said.items() for b in row["blocks"]}
        assert found.keys() == blocks.keys()
        results = {r["tool_use_id"]: r for r in expected if r["kind"] == "tool_result"}
        for key, block in found.items():
            data = block["text"].encode()
            assert hashlib.sha256(data).hexdigest() == blocks[key]["sha256"]
            assert block["tool_name"] == blocks[key]["tool_name"]
            result = results.get(block["tool_use_id"])
            assert (block["result"] is None) == (result is None)
            if result is not None:
                came = hashlib.sha256(block["result"].encode()).hexdigest()
                assert (came, block["is_error"]) == (result["sha256"], result["is_error"])
        asked = [row for row in rows if row["role"] == "user"]
        prompts = [r for r in expected if r["kind"] == "round" and r["sid"] == sid]
        assert {r["user_prompt"] for r in prompts} <= {row["text"] for row in asked}
        times = [row["time"] for row in rows]
        assert times == sorted(times)
        assert checkpoints.verify(conn, made.checkpoint_id).problems == []
    conn.close()


def test_each_message_is_found_again(conn: sqlite3.Connection, data_dir: Path) -> None:
    ids = [mail(conn, number) for number in range(5)]
    main = checkpoints.create(conn, data_dir, "t1", now=1.0)
    late = [mail(conn, number) for number in range(5, 8)]
    micro = checkpoints.create(
        conn, data_dir, "t1", kind="micro", parent_id=main.checkpoint_id, after=ids[-1], now=2.0
    )
    for each in ids:
        assert checkpoints.find_checkpoint(conn, each) == main
    for each in late:
        assert checkpoints.find_checkpoint(conn, each) == micro
    again = checkpoints.create(conn, data_dir, "t1", now=3.0)
    assert checkpoints.find_checkpoint(conn, ids[2]) == again
    assert checkpoints.find_checkpoints(conn, late[0]) == [again, micro]
    for strange in ("nope", "", "%", "t1-m", "\ud800"):
        assert checkpoints.find_checkpoint(conn, strange) is None
    assert [row.kind for row in checkpoints.recent(conn)] == ["main", "micro", "main"]
    assert checkpoints.recent(conn, kind="micro", conversation="t1") == [micro]
    assert checkpoints.recent(conn, before=(3.0, again.checkpoint_id)) == [micro, main]


def test_lineage(conn: sqlite3.Connection, data_dir: Path) -> None:
    mail(conn, 0)
    made: list[checkpoints.Checkpoint] = []
    for number in range(4):
        parent = made[min(number, 2) - 1].checkpoint_id if number else None
        made.append(checkpoints.create(conn, data_dir, "t1", parent_id=parent, now=float(number)))
    first, second, third, fourth = made
    line = checkpoints.lineage(conn, second.checkpoint_id)
    assert line == checkpoints.Lineage([first], [third, fourth])
    assert checkpoints.lineage(conn, fourth.checkpoint_id).parents == [second, first]
    # the start of an id is a name of it here too
    short = first.checkpoint_id[:8]
    begun = checkpoints.create(conn, data_dir, "t1", parent_id=short, now=9.0)
    theirs = Path(begun.path)
    known = checkpoints.register(conn, theirs, conversation="t1", parent_id=short, now=9.5)
    for child in (begun, known):
        assert checkpoints.lineage(conn, child.checkpoint_id).parents == [first]
    # a ring, as only somebody else could write one, ends
    conn.execute("UPDATE checkpoints SET parent_id = ? WHERE checkpoint_id = ?",
                 (fourth.checkpoint_id, first.checkpoint_id))  # fmt: skip
    assert len(checkpoints.lineage(conn, fourth.checkpoint_id).parents) == 2
    conn.execute("UPDATE checkpoints SET parent_id = 'gone' WHERE checkpoint_id = ?",
                 (first.checkpoint_id,))  # fmt: skip
    assert checkpoints.lineage(conn, first.checkpoint_id).parents == []


def test_each_problem_of_a_file_is_named(conn: sqlite3.Connection, data_dir: Path) -> None:
    for number in range(3):
        mail(conn, number)
    made = checkpoints.create(conn, data_dir, "t1")
    path, key = Path(made.path), made.checkpoint_id
    whole = path.read_bytes()

    def problems() -> str:
        return " / ".join(checkpoints.verify(conn, key).problems)

    assert problems() == ""
    path.write_bytes(whole[:-7])
    assert f"{made.size - 7:,} bytes, {made.size:,} are registered" in problems()
    assert "no readable Parquet" in problems()
    path.write_bytes(whole[:20] + bytes([whole[20] ^ 1]) + whole[21:])
    assert "not what was registered (SHA-256)" in problems()
    path.write_bytes(whole)
    table = parquet.read_table(made.path)
    parquet.write_table(table.slice(0, 2), path)
    assert "the file has 2 rows, 3 are registered" in problems()
    assert "1 registered messages are not in the file: t1-m2" in problems()
    parquet.write_table(table.drop_columns(["message_id"]), path)
    assert "3 registered messages are not in the file" in problems()
    path.unlink()
    assert problems() == f"the file is not there: {path}"
    path.mkdir()
    assert "cannot be read" in problems()
    path.rmdir()
    os.mkfifo(path)
    assert "it is no regular file" in problems()


def test_whatever_fails_leaves_neither_file_nor_row(
    conn: sqlite3.Connection, data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = [mail(conn, number) for number in range(3)]
    taken = tmp_path / "taken.parquet"
    taken.write_text("mine")
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"kind": "huge"}, "kind"),
        ({"quality": 1.5}, "quality"),
        ({"quality": float("nan")}, "quality"),
        ({"parent_id": "nobody"}, "checkpoint_id"),
        ({"after": "nothing"}, "after"),
        ({"after": ids[-1]}, "conversation"),
        ({"entities": ["a\nb"]}, "entities"),
        ({"conversation": "nobody"}, "conversation"),
        ({"summary": "half \ud800"}, "summary"),
        ({"now": float("nan")}, "now"),
    ]
    for more, field in wrong:
        asked_for: dict[str, Any] = {"conversation": "t1", **more}
        with pytest.raises(CheckpointError) as refused:
            checkpoints.create(conn, data_dir, **asked_for)
        assert refused.value.field == field, more
    with pytest.raises(FileExistsError):
        checkpoints.create(conn, data_dir, "t1", path=taken)
    assert taken.read_text() == "mine"

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space left"):
            checkpoints.create(conn, data_dir, "t1")
    conn.execute("CREATE TRIGGER no BEFORE INSERT ON checkpoint_messages BEGIN"
                 " SELECT RAISE(ABORT, 'no'); END")  # fmt: skip
    with pytest.raises(sqlite3.Error):
        checkpoints.create(conn, data_dir, "t1")
    assert checkpoints.recent(conn) == []
    assert not conn.in_transaction
    folder = data_dir / "checkpoints"
    assert not folder.exists() or list(folder.iterdir()) == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["store", "taken.parquet"]


def test_many_row_groups(
    conn: sqlite3.Connection, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoint_files, "GROUP_ROWS", 4)
    monkeypatch.setattr(checkpoint_files, "GROUP_CHARS", 100)
    ids = [mail(conn, n, body="x" * (200 if n == 5 else 1)) for n in range(10)]
    made = checkpoints.create(conn, data_dir, "t1")
    assert parquet.ParquetFile(made.path).metadata.num_row_groups == 3
    assert [row["message_id"] for row in in_file(made)] == ids


def test_a_clock_beyond_all_measure(conn: sqlite3.Connection, data_dir: Path) -> None:
    mail(conn, 0, sent_at=1e300)
    mail(conn, 1, sent_at=float("inf"))
    mail(conn, 2, sent_at=-5.0)
    made = checkpoints.create(conn, data_dir, "t1")
    assert [row["time"] and row["time"].timestamp() for row in in_file(made)] == [None, None, -5.0]


def test_a_file_that_somebody_else_wrote(conn: sqlite3.Connection, tmp_path: Path) -> None:
    arrow: Any = pytest.importorskip("pyarrow")
    file = tmp_path / "theirs.parquet"
    parquet.write_table(arrow.table({"message_id": ["a", "b", "a"], "n": [1, 2, 3]}), file)
    made = checkpoints.register(conn, file, conversation="c", kind="sub")
    assert (made.row_count, made.message_count, made.last_message) == (3, 2, "b")
    assert checkpoints.find_checkpoint(conn, "b") == made
    assert checkpoints.verify(conn, made.checkpoint_id).problems == []
    (tmp_path / "no.parquet").write_text("no")
    with pytest.raises(CheckpointError, match="path: it is no Parquet file"):
        checkpoints.register(conn, tmp_path / "no.parquet", conversation="c")


def test_of_two_who_write_one_file_the_first_one_has_it(tmp_path: Path) -> None:
    file = tmp_path / "x.parquet"

    def record(key: str) -> Record:
        return Record(key, 1.0, "user", "ada", ["bob"], "t1", None, "text")

    def while_another_one_writes() -> Iterator[Record]:
        yield record("late")
        checkpoint_files.write(file, [record("first")], {})

    with pytest.raises(FileExistsError, match=r"x\.parquet"):
        checkpoint_files.write(file, while_another_one_writes(), {})
    assert checkpoint_files.message_ids(file) == ["first"]
    assert list(tmp_path.iterdir()) == [file]


def test_what_is_no_file_is_refused_at_once(conn: sqlite3.Connection, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.parquet")  # nobody ever writes into it
    for odd in (tmp_path / "pipe.parquet", tmp_path, Path("/dev/zero")):
        with pytest.raises(OSError, match="no regular file"):
            checkpoints.register(conn, odd, conversation="c")


# -- on the command line


@pytest.fixture
def store(conn: sqlite3.Connection, data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    moments = count(NOW)
    monkeypatch.setattr(options, "now", lambda: next(moments))
    for number in range(3):
        mail(conn, number)
    return data_dir


def asked(*args: object, code: int = 0) -> Answer:
    answer = inside("checkpoint", *args)
    assert answer.code == code, answer
    return answer


def test_golden(store: Path) -> None:
    at = ("--data-dir", store, "--json")
    about = ("--summary", "first", "--entity", "ada", "--quality", 0.5)
    made = json.loads(asked("create", "t1", *about, *at).out)
    key = made["checkpoint_id"]
    micro = json.loads(
        asked("create", "t1", "--kind", "micro", "--parent", key[:6], "--after", "t1-m1", *at).out
    )

    def steady(value: Any) -> Any:
        """Without what differs from run to run, or from one pyarrow to another."""
        if isinstance(value, list):
            return [steady(each) for each in cast("list[Any]", value)]
        if isinstance(value, dict):
            odd = ("path", "size", "sha256")
            table = cast("dict[str, Any]", value)
            return {k: "…" if k in odd else steady(v) for k, v in table.items()}
        return {key: "first", micro["checkpoint_id"]: "second"}.get(value, value)

    golden.check("checkpoint_create", steady(made))
    golden.check("checkpoint_list", steady(json.loads(asked("list", *at).out)))
    golden.check("checkpoint_show", steady(json.loads(asked("show", key, *at).out)))
    golden.check("checkpoint_find", steady(json.loads(asked("find", "t1-m2", *at).out)))
    golden.check("checkpoint_verify", steady(json.loads(asked("verify", *at).out)))


def test_the_kinds_on_the_command_line_are_those_that_there_are() -> None:
    assert commands.KINDS == checkpoints.KINDS


def test_text_and_exit_codes(store: Path, tmp_path: Path) -> None:
    at, out = ("--data-dir", store), tmp_path / "x.parquet"
    assert str(out) in asked("create", "t1", "-o", out, "--summary", "a\x1bb", *at).out
    shown = asked("list", *at).out + asked("show", asked("list", *at).out.split()[8], *at).out
    assert "a␛b" in shown
    assert "\x1b" not in shown
    assert asked("verify", *at).out.endswith("  ok\n")
    out.unlink()
    assert "the file is not there" in asked("verify", *at, code=1).out
    for args, said in (
        (("find", "nope"), "no checkpoint has the message 'nope'"),
        (("show", "zz"), "no checkpoint that begins with 'zz'"),
        (("create", "nobody"), "no thread and no session 'nobody'"),
        (("create", "t1", "--parent", "zz"), "no checkpoint that begins with 'zz'"),
        (("create", "t1", "-o", tmp_path), "File exists"),
        (("register", tmp_path / "none", "--conversation", "c"), "No such file"),
    ):
        assert_one_sentence(asked(*args, *at, code=1), said)
    assert inside("checkpoint", "create", "t1", "--quality", 2, *at).code == 2


def test_without_pyarrow_it_says_what_to_do(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    at = ("--data-dir", store)
    asked("create", "t1", *at)

    def nothing(_: str) -> None:
        return None

    monkeypatch.setattr(store_parquet, "find_spec", nothing)
    assert_one_sentence(asked("create", "t1", *at, code=1), "agentmon[parquet]")
    partly = asked("verify", *at)
    assert "  ok" in partly.out
    assert "rows and messages: agentmon[parquet] is needed" in partly.err
