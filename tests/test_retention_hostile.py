"""Archives that were made to do harm, or damaged: one sentence, and nothing of them is used."""

import gzip
import io
import json
import tarfile
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from agentmon.engine import cleaning
from agentmon.store.retention.finding import CannotRestore
from agentmon.store.retention.pack import Unpacker
from tests.deep import each_nth
from tests.feeds import finished, sid_of, texts_of, write
from tests.retention import NOW, clean, everything, ingest, rows_of

Parts = dict[str, bytes]
SID = sid_of(1)
LINES = finished(1, content="long " * 4000)


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Parts:
    """The members of a sound archive of one session with a large result."""
    folder = tmp_path_factory.mktemp("sound")
    ingest(folder / "s", [write(folder / "log.jsonl", LINES)])
    clean(folder / "s")
    unpacker = Unpacker(next((folder / "s" / "archive").iterdir()))
    found: Parts = {}
    while (member := unpacker.next()) is not None:
        found[member[0]] = unpacker.data()
    unpacker.close()
    return found


def sealed(parts: Parts) -> Parts:
    """With a list of members that fits them."""
    lines = [json.loads(line) for line in parts["sums.ndjson"].splitlines()]
    paths = {line["name"]: line.get("path") for line in lines}
    sums = [
        {
            "name": name,
            "size": len(data),
            "sha256": sha256(data).hexdigest(),
            "path": paths.get(name, name if "/" in name and not name.startswith("rows/") else None),
        }
        for name, data in parts.items()
        if name != "sums.ndjson"
    ]
    text = "".join(json.dumps(line) + "\n" for line in sums).encode()
    return {**{k: v for k, v in parts.items() if k != "sums.ndjson"}, "sums.ndjson": text}


def packed(parts: Parts, change: Callable[[tarfile.TarInfo], None] = lambda _: None) -> bytes:
    out = io.BytesIO()
    with gzip.GzipFile(fileobj=out, mode="wb") as file:
        for name, data in parts.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            change(info)
            file.write(info.tobuf(tarfile.USTAR_FORMAT))
            file.write(data + bytes(-len(data) % 512))
        file.write(bytes(1024))
    return out.getvalue()


def refused(tmp_path: Path, data: bytes, *, says: str) -> None:
    """Refused in one sentence; the store is as it was, and nothing lies beside it."""
    path = tmp_path / "evil.tar.gz"
    path.write_bytes(data)
    store = tmp_path / "s"
    ingest(store, [write(tmp_path / "log.jsonl", finished(5))])
    before, around = everything(store), sorted(tmp_path.iterdir())
    with pytest.raises(CannotRestore, match=says) as caught:
        cleaning.restore(store, str(path), NOW)
    assert "\n" not in str(caught.value)
    assert everything(store) == before
    assert sorted(tmp_path.iterdir()) == around
    assert path.exists()


def with_row(parts: Parts, table: str, **values: Any) -> Parts:
    """One row of a table is another."""
    name = next(one for one in parts if one.startswith(f"rows/{table}."))
    first, *rest = parts[name].splitlines(keepends=True)
    row = {**json.loads(first), **values}
    return sealed({**parts, name: b"".join([json.dumps(row).encode() + b"\n", *rest])})


def with_file(parts: Parts, path: str) -> Parts:
    """A text that claims another place."""
    found = sealed(parts)
    lines = [json.loads(line) for line in found["sums.ndjson"].splitlines()]
    next(line for line in lines if line["path"])["path"] = path
    text = "".join(json.dumps(line) + "\n" for line in lines).encode()
    return {**found, "sums.ndjson": text}


def test_the_sound_one_is_taken(parts: Parts, tmp_path: Path) -> None:
    path = tmp_path / "good.tar.gz"
    path.write_bytes(packed(sealed(parts)))
    done = cleaning.restore(tmp_path / "s", str(path), NOW)
    assert (done.sid, done.left) == (SID, 0)
    assert len(rows_of(tmp_path / "s")["sessions"]) == 1


def test_one_of_an_earlier_version_is_taken(parts: Parts, tmp_path: Path) -> None:
    """Its texts are where they would be had they never been away."""
    found = sealed(parts)
    lines = [json.loads(line) for line in found["sums.ndjson"].splitlines()]
    for line in lines:
        if line["path"] is not None and "+results" not in line["path"]:
            stem, index, _ = line["path"].rsplit(".", 2)
            line["path"] = f"{stem}/index_{index}.txt"
    text = "".join(json.dumps(line) + "\n" for line in lines).encode()
    path = tmp_path / "old.tar.gz"
    path.write_bytes(packed({**found, "sums.ndjson": text}))
    cleaning.restore(tmp_path / "s", str(path), NOW)
    ingest(tmp_path / "fresh", [write(tmp_path / "log.jsonl", LINES)])
    assert texts_of(tmp_path / "s") == texts_of(tmp_path / "fresh")


@pytest.mark.parametrize(
    "path",
    each_nth(
        [
            "../../evil.txt",
            "/etc/evil.txt",
            f"delta_store/{SID}/../../evil.txt",
            f"delta_store/{SID}/../evil/x.txt",
            f"delta_store/{sid_of(5)}/m5.0.txt",
            f"delta_store/{SID}/m1/a\nb",
            f"delta_store/{SID}/m1/" + "x" * 300,
            f"delta_store/{SID}",
            "agentmon.db",
            "spool/x/y/z",
        ],
        2,
    ),
)
def test_no_file_outside_its_own_folder(path: str, parts: Parts, tmp_path: Path) -> None:
    refused(tmp_path, packed(with_file(parts, path)), says="files that do not belong")


def test_no_other_kind_of_file(parts: Parts, tmp_path: Path) -> None:
    for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.GNUTYPE_LONGNAME, b"x"):

        def change(info: tarfile.TarInfo, kind: bytes = kind) -> None:
            if info.name.endswith("m1.0.txt"):
                info.type, info.linkname = kind, "/etc/passwd"

        data = packed(sealed(parts), change)
        refused(tmp_path, data, says="other things than plain files|not a whole tar")
        (tmp_path / "log.jsonl").unlink()


@pytest.mark.parametrize(
    ("table", "values", "says"),
    [
        ("sessions", {"sid": "another"}, "rows of other sessions"),
        ("messages", {"sid": sid_of(5)}, "rows of other sessions"),
        ("content_blocks", {"flow_id": "m5"}, "messages that are not in it"),
        ("delta_log", {"flow_id": None}, "messages that are not in it"),
        ("tool_results", {"file": "../../../etc/passwd"}, "files that are not its own"),
        (
            "tool_results",
            {"file": "delta_store/x/+results/y.txt"},
            "files that are not its own",
        ),
        ("prompts", {"text": [1]}, "rows cannot be read"),
        ("prompts", {"text": {"blob": 5}}, "rows cannot be read"),
        ("prompts", {"text": {"what": "x"}}, "rows cannot be read"),
        ("prompts", {"text) VALUES (1); --": 1}, "newer agentmon"),
    ],
)
def test_only_rows_of_its_session(
    table: str, values: dict[str, Any], says: str, parts: Parts, tmp_path: Path
) -> None:
    refused(tmp_path, packed(with_row(parts, table, **values)), says=says)


@pytest.mark.parametrize(
    ("name", "data", "says"),
    [
        ("rows/sqlite_master.000001.ndjson", b'{"sid": "x"}\n', "not known here"),
        ("rows/sources.000001.ndjson", b'{"path": "x"}\n', "not known here"),
        ("rows/prompts.000009.ndjson", b"{not json}\n", "rows cannot be read"),
        ("rows/prompts.000009.ndjson", b"[" * 100_000 + b"\n", "rows cannot be read"),
        ("rows/prompts.000009.ndjson", b"\xff\n", "rows cannot be read"),
        ("agentmon.json", b"{}", "no archive of agentmon"),
        ("agentmon.json", b'{"format": 9, "schema": 3, "sid": "x", "written_at": 0}', "newer"),
        ("agentmon.json", b'{"format": 1, "schema": 9, "sid": "x", "written_at": 0}', "newer"),
        (
            "agentmon.json",
            b'{"format": 1, "schema": 3, "sid": "", "written_at": 0}',
            "no session",
        ),
        ("readme.txt", b"hello", "do not belong"),
    ],
)
def test_only_parts_that_are_known(
    name: str, data: bytes, says: str, parts: Parts, tmp_path: Path
) -> None:
    refused(tmp_path, packed(sealed({**parts, name: data})), says=says)


def test_damaged(parts: Parts, tmp_path: Path) -> None:
    whole = packed(sealed(parts))
    texts = [name for name in parts if name.endswith("m1.0.txt")]
    changed = {**sealed(parts), texts[0]: b"other text!"}
    for data, says in (
        (whole[: len(whole) // 2], "not whole|damaged"),
        (b"", "no archive of agentmon"),
        (b"PK\x03\x04 something else", "no archive of agentmon"),
        (b"\x28\xb5\x2f\xfd" + b"\xff" * 99, "damaged|not whole"),
        (b"\x1f\x8b" + b"\xff" * 99, "damaged|not whole"),
        (packed(changed), "not what its list says"),
        (
            packed({k: v for k, v in sealed(parts).items() if k != texts[0]}),
            "not what its list says",
        ),
        (packed({k: v for k, v in parts.items() if k != "sums.ndjson"}), "not whole"),
        (packed({**sealed(parts), "sums.ndjson": b"nonsense\n"}), "list of parts cannot be read"),
        (
            packed(sealed({k: v for k, v in parts.items() if "sessions" not in k})),
            "no session in it",
        ),
    ):
        refused(tmp_path, data, says=says)
        (tmp_path / "log.jsonl").unlink()


def test_more_than_there_is_room_for(
    parts: Parts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A few kilobytes that claim terabytes are not read on."""

    def change(info: tarfile.TarInfo) -> None:
        if info.name.endswith("m1.0.txt"):
            info.size = 1 << 32

    refused(tmp_path, packed(sealed(parts), change), says="not whole|more than there is room for")
    (tmp_path / "log.jsonl").unlink()
    bomb = sealed({**parts, "rows/prompts.000009.ndjson": b" " * (4 << 20)})
    monkeypatch.setattr("agentmon.store.retention.finding._KEPT_FREE", 1 << 50)
    refused(tmp_path, packed(bomb), says="more than there is room for")


def test_what_another_session_holds_is_left(parts: Parts, tmp_path: Path) -> None:
    """Ids that have come up in another session meanwhile stay there."""
    store = tmp_path / "s"
    log = write(tmp_path / "log.jsonl", finished(1))
    ingest(store, [log])
    import sqlite3

    with sqlite3.connect(store / "agentmon.db") as conn:
        for table in ("sessions", "agents", "rounds", "prompts", "messages", "content_blocks"):
            conn.execute(f"UPDATE {table} SET sid = 'another'")
    conn.close()
    held = {table: rows_of(store)[table] for table in ("messages", "content_blocks", "delta_log")}
    path = tmp_path / "a.tar.gz"
    path.write_bytes(packed(sealed(parts)))
    done = cleaning.restore(store, str(path), NOW)
    assert done.left > 0
    for table, rows in held.items():
        assert rows_of(store)[table] == rows
    assert len(rows_of(store)["sessions"]) == 2
