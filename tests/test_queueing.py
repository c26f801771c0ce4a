"""Whose turn it is, and which files stay open: the policy alone, on made-up files and times."""

import random
from collections.abc import Callable, Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentmon.core.events import Kind
from agentmon.engine.queueing import (
    AT_ONCE,
    LIVE_BYTES,
    LIVE_TURNS,
    REMIND,
    REST_AFTER,
    SINCE,
    Queue,
    order,
    unread,
)
from agentmon.sources.paths import Found
from tests.deep import examples

NOW = 1_700_000_000.0
HOUR, DAY = 3_600.0, 86_400.0
KB, MB = 1 << 10, 1 << 20


def log(name: str, age: float, size: int = 100 * KB, kind: Kind | None = "transcript") -> Found:
    return Found(f"/{name}", NOW - age, size, (1, hash(name)), "", kind)


def whole(found: Found) -> int:
    """Nothing of it was read before."""
    return found.size


def filled(files: Iterable[Found], unread: Callable[[Found], int] = whole, **more: int) -> Queue:
    queue = Queue(**more)
    queue.add(files, NOW, unread)
    return queue


def read_out(queue: Queue) -> list[str]:
    """Reads every file to its end at once; in which order."""
    ended: list[str] = []
    while (path := queue.next(NOW)) is not None:
        queue.ended(path, NOW)
        ended.append(path)
    return ended


# -- the order


def test_recent_ones_first_and_wire_logs_before_all() -> None:
    files = [
        log("old", 3 * DAY),
        log("older wire", 9 * DAY, kind="wire"),
        log("hour", HOUR),
        log("wire", 20 * HOUR, kind="wire"),
        log("minute", 60),
        log("unknown", 2 * HOUR, kind=None),
        log("yesterday", 25 * HOUR),
    ]
    random.Random(1).shuffle(files)
    names = [found.path[1:] for found in order(files, NOW)]
    recent = ["wire", "minute", "hour", "unknown"]
    assert names == [*recent, "older wire", "yesterday", "old"]
    assert [found.path for found in order(files, NOW, since=90)][:2] == ["/minute", "/wire"]


@pytest.mark.parametrize(
    ("size", "mtime", "size_read", "last_read", "left"),
    [
        (100, 5.0, 0, 0.0, 100),
        (100, 5.0, 60, 4.0, 40),
        (100, 5.0, 100, 6.0, 0),
        (100, 7.0, 100, 6.0, 1),  # rewritten, or only touched
        (100, 5.0, 140, 6.0, 100),  # truncated
        (0, 5.0, 140, 6.0, 1),
        (0, 5.0, 0, 6.0, 0),
    ],
)
def test_what_is_new_in_a_file(
    size: int, mtime: float, size_read: int, last_read: float, left: int
) -> None:
    assert unread(Found("/x", mtime, size), size_read, last_read) == left


# -- a backlog


def test_recent_ones_are_through_before_old_ones_begin() -> None:
    recent = [log(f"r{number}", 100 + number) for number in range(10)]
    old = [log(f"o{number:02}", 2 * DAY + number) for number in range(30)]
    queue = filled([*old, *recent])
    first = queue.progress(NOW)
    assert first is not None
    assert (first.words, first.is_recent) == ("reading recent logs 0/40", True)
    assert first.bytes_total == first.bytes_left == 40 * 100 * KB
    seen: list[str] = []
    while (path := queue.next(NOW)) is not None:
        progress = queue.progress(NOW)
        assert progress is not None
        assert progress.is_recent is path.startswith("/r")
        assert progress.files == len(seen)
        queue.took(path, 100 * KB, NOW)
        assert queue.ended(path, NOW) is path.startswith("/o")
        seen.append(path)
    assert seen == [found.path for found in order([*old, *recent], NOW)]
    assert queue.progress(NOW) is None


def test_a_huge_log_does_not_hold_up_the_small_ones() -> None:
    files = [log("huge", 120, 500 * MB, kind="wire")]
    files += [log(f"s{number}", 100 + number) for number in range(20)]
    queue = filled(files)
    taken: list[str] = []
    while not taken or len(set(taken)) < len(files):
        path = queue.next(NOW)
        assert path is not None
        taken.append(path)
        queue.took(path, 100 * KB, NOW)
        if path != "/huge":
            queue.ended(path, NOW)
    assert len(taken) <= len(files) * AT_ONCE / (AT_ONCE - 1) + AT_ONCE


def test_words_and_share_of_the_progress() -> None:
    queue = filled(log(f"o{number}", 2 * DAY, MB) for number in range(2_000))
    for _ in range(312):
        path = queue.next(NOW)
        assert path is not None
        queue.took(path, MB, NOW)
        queue.ended(path, NOW)
    progress = queue.progress(NOW)
    assert progress is not None
    assert progress.words == "reading older logs 312/2,000"
    assert progress.bytes_left == 1_688 * MB
    assert round(progress.share, 3) == 0.156
    assert queue.hot == frozenset()
    read_out(queue)
    queue.add([log("new", 2 * DAY)], NOW, whole)
    again = queue.progress(NOW)
    assert again is not None
    assert again.words == "reading older logs 0/1"


def test_a_file_that_grew_since_it_was_listed_is_read_to_its_end() -> None:
    queue = filled([log("a", 2 * DAY)])
    for _ in range(5):
        queue.took("/a", 100 * KB, NOW)
    progress = queue.progress(NOW)
    assert progress is not None
    assert progress.bytes_left == 0
    assert progress.share == 1.0
    assert queue.next(NOW) == "/a"


def test_what_was_read_before_is_never_opened() -> None:
    queue = filled([log("a", 2 * DAY), log("b", 3 * DAY)], lambda _: 0)
    assert queue.next(NOW) is None
    assert queue.progress(NOW) is None
    assert queue.hot == frozenset()
    assert queue.resting == {"/a": NOW, "/b": NOW}
    empty = filled([log("c", 2 * DAY, 0)], lambda found: found.size)
    assert empty.progress(NOW) is None


def test_files_are_taken_in_once() -> None:
    queue = filled([log("a", 2 * DAY)])
    queue.add([log("a", 0)], NOW, whole)
    assert read_out(queue) == ["/a"]


# -- what grows


def test_what_grows_is_read_before_the_backlog_which_still_goes_on() -> None:
    queue = filled([log("live", 3, 10 * KB), *(log(f"o{n}", 2 * DAY) for n in range(9))])
    assert "/live" in queue.hot
    turns = [queue.next(NOW) for _ in range(4 * LIVE_TURNS)]
    assert turns.count("/live") == 3 * LIVE_TURNS
    assert not queue.ended("/live", NOW)
    assert queue.next(NOW) != "/live"
    queue.woke(["/live"], NOW)
    assert "/live" in {queue.next(NOW), queue.next(NOW)}


def test_several_that_grow_take_turns() -> None:
    queue = filled(log(f"l{number}", 1, 10 * KB) for number in range(3))
    assert [queue.next(NOW) for _ in range(6)] == ["/l0", "/l1", "/l2"] * 2


def test_a_huge_one_that_grows_is_backlog() -> None:
    queue = filled([log("wire", 1, LIVE_BYTES + 1, kind="wire"), log("small", 50)])
    assert queue.hot == {"/small"}
    assert queue.progress(NOW) is not None


def test_an_old_one_that_waits_and_grows_comes_to_the_front() -> None:
    queue = filled(log(f"o{number:03}", 2 * DAY + number) for number in range(100))
    assert queue.next(NOW) == "/o000"
    assert queue.woke(["/o099"], NOW + 1) == ["/o099"]
    for path in [queue.next(NOW + 1) for _ in range(AT_ONCE)]:
        assert path is not None
        queue.ended(path, NOW + 1)
    assert queue.next(NOW + 1) == "/o099"


def test_waking_what_is_not_known_or_being_read_is_nothing() -> None:
    queue = filled([log("a", 2 * DAY)])
    assert queue.next(NOW) == "/a"
    assert queue.woke(["/a", "/unknown"], NOW) == []
    assert queue.ended("/unknown", NOW)
    queue.took("/unknown", 5, NOW)
    assert queue.hot == frozenset()


# -- rest


def test_a_silent_file_is_closed_and_rises_when_it_grows() -> None:
    queue = filled([log("a", 1, KB)])
    assert queue.ended("/a", NOW) is False
    assert (queue.hot, queue.resting) == ({"/a"}, {})
    later = NOW + REST_AFTER
    assert queue.tired(later - 2) == []
    assert queue.tired(later + 2) == ["/a"]
    assert (queue.hot, queue.resting) == (frozenset(), {"/a": later + 2})
    assert queue.next(later + 2) is None
    assert queue.woke(["/a"], later + 10) == ["/a"]
    assert queue.next(later + 10) == "/a"
    queue.took("/a", 10, later + 10)
    assert queue.ended("/a", later + 10) is False
    assert queue.woke(["/a"], later + 10) == []
    queue.ended("/a", later + 10)
    assert queue.tired(later + 11) == []


def test_a_wire_log_stays_open_while_it_is_recent() -> None:
    queue = filled([log("wire", 1, KB, kind="wire")])
    queue.ended("/wire", NOW)
    assert queue.tired(NOW + SINCE - 2) == []
    assert queue.tired(NOW + SINCE + 2) == ["/wire"]


def test_a_pipe_never_rests_and_is_no_backlog() -> None:
    pipe = Found("-", is_given=True, is_pipe=True)
    queue = filled([pipe, *(log(f"l{number}", 1, KB) for number in range(5))], most_open=2)
    assert queue.progress(NOW) is None
    assert queue.next(NOW) == "-"
    for path in sorted(queue.hot):
        assert queue.ended(path, NOW) is False
    assert len(queue.tired(NOW + 2)) == 4
    queue.remind(NOW + 1_000)
    assert "-" in queue.hot
    assert queue.next(NOW + 1_000) != "-"


def test_few_stay_open_however_many_grow() -> None:
    queue = filled((log(f"l{number:03}", number / 10, KB) for number in range(500)), most_open=64)
    while (path := queue.next(NOW)) is not None:
        queue.ended(path, NOW)
    closed = queue.tired(NOW)
    assert len(queue.hot) == 64
    assert len(closed) == 500 - 64
    assert queue.hot == {f"/l{number:03}" for number in range(64)}
    assert queue.hot.isdisjoint(queue.resting)


def test_what_is_to_be_read_is_not_closed() -> None:
    queue = filled((log(f"l{number}", 1, KB) for number in range(10)), most_open=2)
    assert queue.tired(NOW + DAY) == []


def test_open_files_are_read_again_now_and_then() -> None:
    queue = filled([log("t", 1, KB), log("wire", 1, KB, kind="wire")])
    for path in list(queue.hot):
        queue.ended(path, NOW)
    queue.remind(NOW + 0.5)
    assert queue.next(NOW) is None
    queue.remind(NOW + 1.5)
    assert [queue.next(NOW) for _ in range(2)] == ["/wire", "/wire"]
    queue.ended("/wire", NOW + 1.5)
    queue.remind(NOW + REMIND + 0.1)
    assert {queue.next(NOW) for _ in range(2)} == {"/wire", "/t"}


def test_the_same_objects_while_nothing_changes() -> None:
    queue = filled([log("a", 1, KB), log("b", 2 * DAY)])
    hot, resting = queue.hot, queue.resting
    queue.ended("/a", NOW)
    queue.woke(["/a"], NOW)
    assert queue.hot is hot or queue.hot == hot
    hot, resting = queue.hot, queue.resting
    queue.next(NOW)
    queue.took("/a", 5, NOW)
    queue.remind(NOW + 9)
    queue.tired(NOW + 9)
    assert queue.hot is hot
    assert queue.resting is resting
    queue.forget("/b")
    assert queue.resting == {}


def test_what_is_forgotten_counts_no_more() -> None:
    queue = filled([log("a", 2 * DAY), log("b", 2 * DAY), log("l", 1, KB), log("r", DAY, 0)])
    assert queue.next(NOW) == "/l"
    queue.forget("/l")
    queue.forget("/r")
    queue.forget("/unknown")
    assert queue.next(NOW) == "/a"
    queue.forget("/b")
    progress = queue.progress(NOW)
    assert progress is not None
    assert (progress.files_total, progress.bytes_total) == (1, 100 * KB)
    queue.forget("/a")
    assert queue.progress(NOW) is None
    assert (queue.hot, dict(queue.resting)) == (frozenset(), {})


@settings(max_examples=examples(6, 30))
@given(st.randoms(use_true_random=False))
def test_any_life_keeps_every_file_in_one_place(chance: random.Random) -> None:
    queue = Queue(most_open=5)
    known: set[str] = set()
    now = NOW
    for step in range(100):
        now += chance.choice([0.01, 1, 60, 400])
        act = chance.randrange(7)
        some = chance.sample(sorted(known), min(len(known), 3))
        if act == 0:
            files = [
                Found(
                    f"/{step}-{n}",
                    now - chance.choice([0, HOUR, 2 * DAY]),
                    chance.randrange(3 * MB),
                )
                for n in range(chance.randrange(6))
            ]
            queue.add(files, now, whole)
            known |= {found.path for found in files}
        elif act == 1:
            queue.woke(some, now)
        elif act == 2:
            queue.remind(now)
        elif act == 3:
            for path in queue.tired(now):
                assert path in queue.resting
        elif act == 4 and some:
            queue.forget(some[0])
            known.discard(some[0])
        elif (path := queue.next(now)) is not None:
            assert path in known
            queue.took(path, chance.randrange(MB), now)
            if chance.random() < 0.5:
                assert queue.ended(path, now) is (path in queue.resting)
        assert queue.hot | queue.resting.keys() == known
        assert queue.hot.isdisjoint(queue.resting)
        progress = queue.progress(now)
        assert progress is None or 0 <= progress.share <= 1
        assert progress is None or 0 <= progress.files < progress.files_total
    while (path := queue.next(now)) is not None:
        queue.ended(path, now)
    assert queue.progress(now) is None
    queue.tired(now)
    assert len(queue.hot) <= 5
