"""Lines are the same whatever the chunks are, and no line is held beyond the cap."""

from collections.abc import Iterable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentmon.sources.lines import BOM, Block, HugeLine, Line, LineSplitter, Piece, size_of

CAP, KEEP = 24, 5

rows = st.lists(
    st.one_of(
        st.binary(max_size=12),
        st.binary(min_size=20, max_size=60),
        st.sampled_from([b"", b"\r", b"a\r", b"\r\r", "x\u2028y\u0085z".encode(), BOM + b"{}"]),
    ),
    max_size=12,
)


def cut(data: bytes, sizes: Iterable[int]) -> Iterator[bytes]:
    start = 0
    for size in sizes:
        yield data[start : start + size]
        start += size
    yield data[start:]


def wanted(data: bytes, cap: int, keep: int) -> tuple[list[Piece], int]:
    """The plain way: split everything at once."""
    *complete, tail = data.split(b"\n")
    found: list[Piece] = []
    offset = 0
    for raw in complete:
        body = raw.removesuffix(b"\r")
        if len(raw) <= cap:
            found.append(Line(body.removeprefix(BOM) if not offset else body, offset, len(raw) + 1))
        else:
            head = raw[:keep].removeprefix(BOM) if not offset else raw[:keep]
            found.append(HugeLine(offset, len(raw) + 1, head, body[-keep:]))
        offset += len(raw) + 1
    return found, len(tail)


@given(rows=rows, bom=st.booleans(), sizes=st.lists(st.integers(0, 40), max_size=30))
def test_any_chunking_gives_the_same_lines(rows: list[bytes], bom: bool, sizes: list[int]) -> None:
    data = BOM * bom + b"\n".join(rows)
    splitter = LineSplitter(cap=CAP, keep=KEEP)
    found: list[Piece] = []
    fed = 0
    for chunk in cut(data, sizes):
        found += splitter.feed(chunk)
        fed += len(chunk)
        assert splitter.end == fed
    lines, tail = wanted(data, CAP, KEEP)
    assert found == lines
    assert splitter.tail_bytes == tail
    assert splitter.position == len(data) - tail
    assert splitter.torn() == (data[len(data) - tail :] if tail <= CAP else b"")


@given(rows=rows, bom=st.booleans(), sizes=st.lists(st.integers(0, 40), max_size=30))
def test_only_odd_lines_are_objects(rows: list[bytes], bom: bool, sizes: list[int]) -> None:
    """One that is no bytes leads all lines of its chunk off the decoder's short way."""
    data = BOM * bom + b"\n".join(rows)
    splitter = LineSplitter(cap=CAP, keep=KEEP)
    for chunk in cut(data, sizes):
        found = splitter.rows(chunk)
        for at, row in enumerate(found.items):
            whole = data[found.offset(at) :].partition(b"\n")[0]
            if isinstance(row, bytes):
                assert row == whole + b"\n"
            else:
                is_first = found.offset(at) == 0 and whole.startswith(BOM)
                assert len(whole) > CAP or b"\r" in chunk or whole.endswith(b"\r") or is_first


@given(
    rows=st.lists(st.binary(max_size=12).filter(lambda row: b"\n" not in row), max_size=20),
    sizes=st.lists(st.integers(0, 60), max_size=9),
    block=st.integers(1, 40),
)
def test_blocks_are_whole_lines(rows: list[bytes], sizes: list[int], block: int) -> None:
    data = b"\n".join(rows)
    splitter = LineSplitter(cap=CAP, keep=KEEP)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("agentmon.sources.lines.BLOCK", block)
        for chunk in cut(data, sizes):
            found = splitter.rows(chunk)
            at = found.start
            for number, part in enumerate(found.parts):
                assert found.offset_of(number) == at
                if isinstance(part, Block):
                    assert part.data == data[at : at + part.size]
                    assert part.data == b"".join(part.rows())
                    assert part.data.endswith(b"\n")
                    assert part.size <= block or len(part.rows()) == 1
                at += size_of(part)
            assert at == splitter.position


def test_offsets_count_from_the_position_given() -> None:
    splitter = LineSplitter(100)
    assert splitter.feed(BOM + b"a\nb\n") == [Line(BOM + b"a", 100, 5), Line(b"b", 105, 2)]
    assert splitter.position == 107


def test_reset_forgets_the_unfinished_line() -> None:
    splitter = LineSplitter(cap=CAP, keep=KEEP)
    splitter.feed(b"one\n" + b"x" * 50)
    assert (splitter.position, splitter.tail_bytes) == (4, 50)
    splitter.reset(4)
    assert splitter.feed(b"two\n") == [Line(b"two", 4, 4)]


def test_a_long_line_is_never_held() -> None:
    splitter = LineSplitter()
    splitter.feed(b"a" * 10)
    for _ in range(40):
        assert splitter.feed(b"b" * (1 << 20)) == []
        assert len(splitter.torn()) <= 8 << 20
    (huge,) = splitter.feed(b"c\r\nnext")
    assert isinstance(huge, HugeLine)
    assert huge.size == 10 + (40 << 20) + 3
    assert huge.head == b"a" * 10 + b"b" * (65536 - 10)
    assert huge.tail == b"b" * 65535 + b"c"
    assert huge.cut_bytes == huge.size - 1 - 2 * 65536
    assert list(huge.pieces()) == []
    assert splitter.torn() == b"next"


def test_a_spool_gets_every_byte_of_a_huge_line_and_no_other() -> None:
    class Spooled:
        def __init__(self) -> None:
            self.data = b""
            spools.append(self)

        def write(self, data: bytes) -> None:
            self.data += data

        def pieces(self, offset: int, size: int) -> Iterator[bytes]:
            yield self.data[:size]

    spools: list[Spooled] = []
    splitter = LineSplitter(spool=Spooled, cap=CAP, keep=KEEP)
    long = bytes(range(97, 123)) * 3
    found: list[Piece] = []
    for chunk in cut(b"short\n" + long + b"\nshort\n", [9, 3, 30]):
        found += splitter.feed(chunk)
    huge = found[1]
    assert isinstance(huge, HugeLine)
    assert b"".join(huge.pieces()) == long
    assert len(spools) == 1


def test_ends_that_overlap_are_refused() -> None:
    with pytest.raises(ValueError, match="do not fit"):
        LineSplitter(cap=10, keep=5)
