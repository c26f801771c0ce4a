"""What is kept of deltas in small numbers is what they were."""

from collections.abc import Sequence
from itertools import accumulate, chain

from hypothesis import given
from hypothesis import strategies as st

from agentmon.core.columns import Columns
from agentmon.core.order import goes_on

Delta = tuple[int, int, int]
"""Counter, milliseconds, characters."""

Run = tuple[int, list[tuple[int, int]]]
"""A counter, then milliseconds and characters of each."""

Parts = Sequence[Delta | Run]

deltas = st.tuples(st.integers(-1, 9), st.integers(0, 2**41), st.integers(0, 400))
runs = st.tuples(st.integers(0, 9), st.lists(st.tuples(st.integers(0, 2**41), st.integers(0, 9))))
some = st.lists(st.one_of(deltas, runs), max_size=6)


def columns_of(parts: Parts) -> Columns:
    found = Columns()
    for part in parts:
        if len(part) == 3:
            found.add(*part)
        elif part[1]:
            first, run = part
            times = [time for time, _ in run]
            found.add_run(range(first, first + len(run)), times, [chars for _, chars in run])
    return found


def plain(parts: Parts) -> list[Delta]:
    found: list[Delta] = []
    for part in parts:
        if len(part) == 3:
            found.append(part)
        else:
            found += [(part[0] + at, *delta) for at, delta in enumerate(part[1])]
    return found


def told(columns: Columns) -> list[Delta]:
    times = accumulate(columns.times)
    return [*zip(chain(*columns.counts), times, columns.chars, strict=True)]


@given(one=some, other=some)
def test_they_come_back(
    one: Parts,
    other: Parts,
) -> None:
    columns, more = columns_of(one), columns_of(other)
    assert told(columns) == plain(one)
    assert all(a.stop != b.start for a, b in zip(columns.counts, columns.counts[1:], strict=False))
    if len(more):
        columns.extend(more)
    assert told(columns) == plain([*one, *other])
    assert columns.last == ([0] + [time for _, time, _ in plain([*one, *other])])[-1]


@given(parts=some, first=st.integers(1, 9), size=st.integers(1, 9))
def test_they_can_be_parted(parts: Parts, first: int, size: int) -> None:
    whole = plain(parts)
    found = [*columns_of(parts).parted(first, size)]
    later = [whole[at : at + size] for at in range(first, len(whole), size)]
    assert [told(part) for part in found] == ([whole[:first], *later] if whole else [])
    assert all(part.last == told(part)[-1][1] for part in found)


@given(parts=some.filter(lambda parts: bool(plain(parts))), top=st.integers(-1, 9))
def test_what_goes_on_rises(parts: Parts, top: int) -> None:
    counts = [count for count, _, _ in plain(parts)]
    rises = all(a < b for a, b in zip([top, *counts], counts, strict=False))
    assert goes_on(top, columns_of(parts).counts) == (counts[-1] if rises else None)
