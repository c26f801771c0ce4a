"""Logs that were compressed: read to their end, on after a restart, and when they change."""

import gzip
import os
import random
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from agentmon import compression
from agentmon.engine.ingest import Ingestion
from agentmon.sources import compressed
from agentmon.sources.compressed import CompressedFile, compression_of, first_bytes
from agentmon.sources.follow import Register
from agentmon.sources.identity import SourceState
from agentmon.sources.lines import HugeLine
from tests.deep import examples, turns
from tests.differential import Row, assert_same, dumped

try:
    from backports import zstd as _zstd
except ImportError:
    _zstd = None

DATA = Path(__file__).parent / "data" / "codex"
Pack = Callable[[bytes], bytes]


def zstd(data: bytes) -> bytes:
    if _zstd is None:
        pytest.skip("no library for zstd here")
    return cast(Any, _zstd).compress(data)


PACKS: dict[str, Pack] = {".zst": zstd, ".gz": gzip.compress}
LINES = [b'{"n":%d,"text":"%s"}' % (n, b"x" * (n % 50)) for n in range(400)]
LOG = b"\n".join(LINES) + b"\n"


@pytest.fixture(params=PACKS, ids=lambda suffix: suffix[1:])
def suffix(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def pack(suffix: str) -> Pack:
    pack = PACKS[suffix]
    pack(b"")
    return pack


@pytest.fixture
def path(tmp_path: Path, suffix: str) -> Path:
    return tmp_path / f"rollout.jsonl{suffix}"


def replace(path: Path, data: bytes) -> None:
    """As a writer does that cares: under another name first."""
    new = path.with_name("new")
    new.write_bytes(data)
    os.replace(new, path)


def take(source: CompressedFile, size: int = 1 << 20) -> list[tuple[int, bytes]]:
    """Every line with its offset, up to the end."""
    found: list[tuple[int, bytes]] = []
    while (chunk := source.read(size)) is not None:
        for line in chunk.lines:
            assert not isinstance(line, HugeLine)
            found.append((line.offset, line.data))
    return found


def placed(lines: list[bytes], at: int = 0) -> list[tuple[int, bytes]]:
    found: list[tuple[int, bytes]] = []
    for line in lines:
        found.append((at, line))
        at += len(line) + 1
    return found


def again(path: Path, state: SourceState) -> CompressedFile:
    """After a restart that knows of the file what was stored."""
    return CompressedFile(str(path), Register([state]))


@pytest.mark.parametrize(("suffix", "size"), turns(PACKS, [7, 64, 1 << 20, 1]), indirect=["suffix"])
def test_lines_and_offsets_are_those_of_the_plain_file(path: Path, pack: Pack, size: int) -> None:
    path.write_bytes(pack(LOG))
    source = CompressedFile(str(path))
    assert source.size_behind == path.stat().st_size
    assert take(source, size) == placed(LINES)
    assert source.problem is None
    assert source.state.position == len(LOG)
    assert source.size_behind == 0
    assert compression_of(str(path)) in ("zstd", "gzip")
    assert first_bytes(str(path), 100) == LOG[:100]
    assert first_bytes(str(path)) == LOG[: 64 << 10]


def test_several_frames_and_padding(path: Path, pack: Pack) -> None:
    path.write_bytes(pack(LOG[:1000]) + pack(b"") + pack(LOG[1000:]) + bytes(512))
    assert take(CompressedFile(str(path))) == placed(LINES)


def test_a_line_without_its_end_is_held(path: Path, pack: Pack) -> None:
    path.write_bytes(pack(LOG + b'{"torn"'))
    source = CompressedFile(str(path))
    assert take(source) == placed(LINES)
    assert (source.torn, source.state.tail_bytes) == (b'{"torn"', 7)


def test_a_restart_at_the_end_reads_nothing(path: Path, pack: Pack) -> None:
    path.write_bytes(pack(LOG))
    source = CompressedFile(str(path))
    take(source)
    source.close()
    same = again(path, source.state)
    assert same.size_behind == 0
    assert same.read() is None
    os.utime(path)
    assert same.read() is None, "touched, not changed"
    assert same.state.generation == 0


@settings(max_examples=examples(10, 25), deadline=None)
@given(stop=st.integers(0, 40), size=st.integers(1, 700))
def test_a_restart_in_the_middle_goes_on(
    tmp_path_factory: pytest.TempPathFactory, stop: int, size: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "middle.gz"
    path.write_bytes(gzip.compress(LOG))
    source = CompressedFile(str(path))
    found: list[tuple[int, bytes]] = []
    for _ in range(stop):
        if (chunk := source.read(size)) is not None:
            found += [
                (line.offset, line.data) for line in chunk.lines if not isinstance(line, HugeLine)
            ]
    state = source.state
    source.close()
    rest = again(path, state)
    assert found + take(rest) == placed(LINES)
    assert rest.state.generation == 0


def test_the_way_to_the_position_is_taken_in_steps(
    path: Path, pack: Pack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compressed, "SKIP", 500)
    monkeypatch.setattr(compressed, "READ", 100)
    path.write_bytes(pack(LOG))
    source = CompressedFile(str(path))
    first = source.read(3000)
    assert first is not None
    replace(path, pack(LOG))  # the same again, elsewhere: known by its first bytes alone
    info = path.stat()
    state = structs.replace(first.state, dev=info.st_dev, inode=info.st_ino)
    rest = again(path, state)
    empty = [chunk for _ in range(5) if (chunk := rest.read()) is not None]
    assert all(not chunk.lines and chunk.state.position == state.position for chunk in empty)
    assert take(rest)[0][0] == state.position


def test_a_file_that_grows_is_read_on(path: Path, pack: Pack) -> None:
    path.write_bytes(pack(LOG))
    source = CompressedFile(str(path))
    take(source)
    with path.open("ab") as handle:
        handle.write(pack(b'{"more":1}\n'))
    assert take(source) == [(len(LOG), b'{"more":1}')]
    assert take(again(path, source.state)) == []


def test_a_file_that_is_being_written(path: Path, pack: Pack) -> None:
    whole = pack(LOG)
    path.write_bytes(b"")
    source = CompressedFile(str(path))
    found: list[tuple[int, bytes]] = []
    for at in range(0, len(whole), 97):
        with path.open("ab") as handle:
            handle.write(whole[at : at + 97])
        found += take(source)
        is_over = at + 97 >= len(whole)
        assert (source.problem is None) == is_over
        if not is_over:
            assert source.problem is not None
            assert "waiting for the rest" in source.problem.message
            assert source.read() is None
            assert source.problem is not None, "as long as it is so"
    assert found == placed(LINES)


def test_a_file_that_is_replaced_is_read_from_the_beginning(path: Path, pack: Pack) -> None:
    path.write_bytes(pack(LOG))
    source = CompressedFile(str(path))
    take(source)
    replace(path, pack(b'{"other":1}\n'))
    assert take(source) == [(0, b'{"other":1}')]
    path.write_bytes(pack(b'{"third":1}\n{"and":2}\n'))  # in place
    assert [data for _, data in take(source)] == [b'{"third":1}', b'{"and":2}']
    assert source.state.generation == 1


def test_another_file_under_a_known_number_is_read_from_the_beginning(
    path: Path, pack: Pack
) -> None:
    path.write_bytes(pack(LOG))
    source = CompressedFile(str(path))
    take(source)
    state = source.state
    path.write_bytes(pack(b'{"other":1}\n' * 3))
    rest = again(path, state)
    assert len(take(rest)) == 3
    assert rest.state.generation == 1


def test_a_file_that_goes_away(path: Path, pack: Pack) -> None:
    source = CompressedFile(str(path))
    assert source.read() is None
    assert source.problem is not None
    assert "does not exist" in source.problem.message
    path.write_bytes(pack(LOG))
    first = source.read(1000)
    assert first is not None
    path.unlink()
    rest = [line.data for line in first.lines if not isinstance(line, HugeLine)]
    assert rest + [data for _, data in take(source)] == LINES, "what was open is read to its end"
    assert source.read() is None
    assert source.problem is None, "it is all there was: Codex restores logs as plain files"
    path.write_bytes(pack(LOG[:1000]))
    assert take(source)


def test_a_file_is_read_once_whatever_its_names(path: Path, pack: Pack, tmp_path: Path) -> None:
    path.write_bytes(pack(LOG))
    os.link(path, tmp_path / "other")
    register = Register()
    first, second = (CompressedFile(str(name), register) for name in (path, tmp_path / "other"))
    assert take(first)
    assert take(second) == []
    first.close()
    assert take(second) == [], "and the register knows how far"
    assert second.state.position == len(LOG)


def test_damaged_data_are_told_until_the_file_changes(path: Path, pack: Pack) -> None:
    whole = bytearray(pack(LOG))
    for at in range(30, len(whole) - 40, 7):
        whole[at] ^= 0x5A
    path.write_bytes(whole)
    source = CompressedFile(str(path))
    take(source)
    for _ in range(2):
        assert source.read() is None
        assert source.problem is not None
        assert source.problem.message == f"cannot read {path}: its compressed data are damaged"
    path.write_bytes(pack(LOG))
    assert take(source)[-1] == placed(LINES)[-1]
    assert source.problem is None


def test_without_a_library_the_problem_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nothing(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(compression, "import_module", nothing)
    path = tmp_path / "a.jsonl.zst"
    path.write_bytes(b"\x28\xb5\x2f\xfd" + bytes(20))
    source = CompressedFile(str(path))
    assert source.read() is None
    assert source.problem is not None
    assert "pip install 'agentmon[zstd]'" in source.problem.message
    assert first_bytes(str(path)) == b""


def test_a_huge_line_is_spooled(path: Path, pack: Pack, tmp_path: Path) -> None:
    huge = b'{"text":"' + b"y" * (9 << 20) + b'"}'
    path.write_bytes(pack(b'{"a":1}\n' + huge + b"\n"))
    del huge
    tracemalloc.start()
    source = CompressedFile(str(path), spool=str(tmp_path))
    lines = [line for chunk in iter(source.read, None) if chunk for line in chunk.lines]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    (line,) = [line for line in lines if isinstance(line, HugeLine)]
    assert line.offset == 8
    assert sum(map(len, line.pieces())) == (9 << 20) + 11
    assert peak < 32 << 20


def test_a_rollout_that_is_compressed_restored_and_resumed_counts_once(
    tmp_path: Path, path: Path, pack: Pack
) -> None:
    """As Codex does with what lies idle for a week: another file each time, the same lines."""
    plain, store = path.with_suffix(""), tmp_path / "store"
    whole = next(DATA.glob("rollout-*0a.jsonl")).read_bytes()
    begun = whole[: whole.index(b"\n", len(whole) // 2) + 1]

    def ingested(folder: Path = store) -> list[Row]:
        with Ingestion(folder) as run:
            run.read_all([str(one) for one in (plain, path) if one.exists()])
            assert not run.engine.problems
        return [row for row in dumped(folder) if row["kind"] != "counts"]

    replace(plain, begun)
    first = ingested()
    replace(path, pack(begun))
    plain.unlink()
    assert_same(ingested(), first)
    replace(plain, begun)
    path.unlink()
    with plain.open("ab") as handle:
        handle.write(whole[len(begun) :])
    last = ingested()
    assert_same(last, ingested(tmp_path / "fresh"))
    assert len(last) > len(first)


def test_plain_files_are_not_taken_for_compressed(tmp_path: Path) -> None:
    plain = tmp_path / "a.jsonl"
    plain.write_bytes(LOG)
    assert compression_of(str(plain)) is None
    assert compression_of(str(tmp_path / "none.zst")) is None
    assert compression_of(str(tmp_path)) is None
    empty = tmp_path / "b.jsonl.gz"
    empty.write_bytes(b"")
    assert compression_of(str(empty)) == "gzip"
    (tmp_path / "c.zst").write_bytes(LOG)
    assert CompressedFile(str(tmp_path / "c.zst")).read() is None


def test_any_bytes_are_read(tmp_path: Path) -> None:
    chance = random.Random(5)
    path = tmp_path / "a.zst"
    for start in (b"\x28\xb5\x2f\xfd", b"\x1f\x8b\x08\x00", b"\x50\x2a\x4d\x18", b""):
        for _ in range(40):
            path.write_bytes(start + chance.randbytes(chance.randrange(60)))
            source = CompressedFile(str(path))
            for _ in range(3):
                source.read()
            source.close()
