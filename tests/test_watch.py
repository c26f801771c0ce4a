"""Waking: by notification, by looking where there is none, by pipes; and a clean end."""

import asyncio
import os
import shutil
import threading
import time
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
import watchfiles

from agentmon.sources import looking, mounts
from agentmon.sources.notify import Meaning, Plan
from agentmon.sources.watch import Wake, Watch

PATIENCE = 60.0
"""Seconds after which something that never comes is given up; nothing is measured by it."""


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    assert set(threading.enumerate()) <= before


@pytest.fixture
def no_net(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the net that looks at everything, only notification can wake."""
    monkeypatch.setattr(looking, "NET", 60.0)
    monkeypatch.setattr(looking, "SETTLE", 60.0)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "logs" / "sse_lines.jsonl"
    path.parent.mkdir()
    path.write_text("first\n")
    return path


def append(path: Path) -> None:
    with path.open("a") as file:
        file.write("more\n")


def new_in(folder: Path) -> Wake:
    return Wake(folders=frozenset([str(folder)]))


async def first_wake(watching: Watch) -> Wake:
    """What is given at first is looked at once."""
    wake = await watching.wait(PATIENCE)
    later = await quiet(watching)
    return wake | later


async def quiet(watching: Watch) -> Wake:
    """Wait until nothing wakes any more; what did until then."""
    wake = Wake()
    while (more := await watching.wait(0.05)) != Wake():
        wake |= more
    return wake


async def woken(watching: Watch, act: Callable[[], object]) -> Wake:
    """The wake that an act brings; done again until the watch, which begins in time, sees it."""
    for _ in range(500):
        act()
        wake = await watching.wait(0.1)
        if wake != Wake():
            return wake
    raise AssertionError("never woken")


@pytest.mark.usefixtures("no_net")
async def test_an_append_wakes_with_its_path(log: Path) -> None:
    other = log.with_name("other.jsonl")
    append(other)
    async with Watch() as watching:
        watching.update(files=["-", str(log), str(other)])
        assert (await first_wake(watching)).paths == {str(log), str(other)}
        assert await woken(watching, lambda: append(log)) == Wake(frozenset([str(log)]))
        assert watching.note is None


@pytest.mark.usefixtures("no_net")
async def test_a_write_to_what_a_link_names_wakes_with_the_link(log: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.jsonl"
    link.symlink_to(log)
    async with Watch() as watching:
        watching.update(files=[str(link)])
        await first_wake(watching)
        assert await woken(watching, lambda: append(log)) == Wake(frozenset([str(link)]))


@pytest.mark.usefixtures("no_net")
async def test_a_rotated_file_wakes_the_path_that_it_had(log: Path) -> None:
    older = log.with_name("sse_lines.jsonl.1")
    async with Watch() as watching:
        watching.update(files=[str(log)])
        await first_wake(watching)
        assert (await woken(watching, lambda: append(older))).paths == {str(log)}


@pytest.mark.usefixtures("no_net")
async def test_what_nobody_follows_does_not_wake(log: Path) -> None:
    async with Watch() as watching:
        watching.update(files=[str(log)], folders=[str(log.parent)])
        await first_wake(watching)
        await woken(watching, lambda: append(log))
        await quiet(watching)
        append(log.with_name("noise.txt"))
        assert await woken(watching, lambda: append(log)) == Wake(frozenset([str(log)]))


@pytest.mark.usefixtures("no_net")
async def test_new_logs_and_new_folders_are_told(log: Path) -> None:
    async with Watch() as watching:
        watching.update(folders=[str(log.parent)])
        assert (await first_wake(watching)).appeared
        new = log.with_name("sse_lines-2.jsonl")
        assert await woken(watching, lambda: append(new)) == new_in(log.parent)
        await quiet(watching)
        numbers = iter(range(100))
        deeper = log.parent
        wake = await woken(watching, lambda: (deeper / f"sub{next(numbers)}").mkdir())
        assert wake == new_in(log.parent)


@pytest.mark.usefixtures("no_net")
async def test_an_awaited_path_is_told(log: Path) -> None:
    later = log.with_name("later.jsonl")
    async with Watch() as watching:
        watching.update(awaited=[str(later)])
        assert await watching.wait(0.15) == Wake()
        assert await woken(watching, lambda: append(later)) == new_in(log.parent)


async def test_an_awaited_path_in_a_missing_folder_is_polled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(looking, "NET", 0.1)
    later = tmp_path / "none" / "later.jsonl"
    async with Watch() as watching:
        watching.update(awaited=[str(later)])
        assert await watching.wait(0.05) == Wake()
        later.parent.mkdir()
        append(later)
        assert await watching.wait(PATIENCE) == new_in(later.parent)


@pytest.mark.usefixtures("no_net")
async def test_paths_may_change_at_any_time(log: Path) -> None:
    other = log.with_name("other.jsonl")
    append(other)
    async with Watch() as watching:
        watching.update(files=[str(log)])
        await first_wake(watching)
        watching.update(files=[str(other)])
        assert (await first_wake(watching)).paths == {str(other)}
        assert (await woken(watching, lambda: append(other))).paths == {str(other)}
        append(log)
        assert (await woken(watching, lambda: append(other))).paths == {str(other)}


def _always(path: str, table: list[tuple[str, str]]) -> bool:
    return True


async def test_silent_file_systems_are_polled(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(looking, "NET", 60.0)
    monkeypatch.setattr(looking, "is_silent", _always)
    async with Watch() as watching:
        watching.update(files=[str(log)])
        await first_wake(watching)
        assert "agentmon-notify" not in {thread.name for thread in threading.enumerate()}
        append(log)
        assert await watching.wait(PATIENCE) == Wake(frozenset([str(log)]))


async def test_a_failing_notifier_gives_way_to_polling(
    log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def limited(*paths: str, **more: object) -> Generator[set[tuple[object, str]]]:
        raise OSError("OS file watch limit reached.")
        yield set()

    monkeypatch.setattr(watchfiles, "watch", limited)
    monkeypatch.setattr(looking, "NET", 0.03)
    monkeypatch.setattr(looking, "SETTLE", 0.03)
    async with Watch() as watching:
        watching.update(files=[str(log)])
        await first_wake(watching)
        while watching.note is None:
            await watching.wait(0.02)
        assert watching.note == (
            "no change notification (os file watch limit reached.); files are polled instead"
        )
        monkeypatch.setattr(looking, "NET", 60.0)
        await quiet(watching)
        append(log)
        assert (await watching.wait(PATIENCE)).paths == {str(log)}


async def test_a_folder_that_is_replaced_is_watched_anew(
    log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[tuple[str, ...]] = []
    real = watchfiles.watch

    def counted(*paths: str, **more: Any) -> Generator[set[watchfiles.main.FileChange]]:
        begun.append(paths)
        return real(*paths, **more)

    monkeypatch.setattr(watchfiles, "watch", counted)
    monkeypatch.setattr(looking, "NET", 0.03)
    monkeypatch.setattr(looking, "REVIEW", 0.03)
    async with Watch() as watching:
        watching.update(files=[str(log)])
        await first_wake(watching)
        keep = log.parent.rename(log.parent.with_name("away"))
        log.parent.mkdir()
        append(log)
        while len(begun) < 2:
            await watching.wait(0.05)
        assert begun[-1] == (str(log.parent),)
        shutil.rmtree(keep)


async def test_the_net_finds_what_no_notification_told(
    log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def mute(*paths: str, stop_event: threading.Event, **more: object) -> Generator[set[str]]:
        while not stop_event.wait(0.01):
            yield set()

    monkeypatch.setattr(watchfiles, "watch", mute)
    monkeypatch.setattr(looking, "NET", 0.05)
    async with Watch() as watching:
        watching.update(files=[str(log)], folders=[str(log.parent)])
        await first_wake(watching)
        append(log)
        assert await watching.wait(PATIENCE) == Wake(frozenset([str(log)]))
        append(log.with_name("sse_lines-2.jsonl"))
        assert await watching.wait(PATIENCE) == new_in(log.parent)


@pytest.mark.usefixtures("no_net")
async def test_what_rests_wakes_by_notification(log: Path) -> None:
    async with Watch() as watching:
        watching.update(resting={str(log): time.time() + 60})
        assert await watching.wait(0.15) == Wake()
        assert await woken(watching, lambda: append(log)) == Wake(frozenset([str(log)]))


async def test_what_changed_before_its_first_look_is_told(log: Path) -> None:
    async with Watch() as watching:
        watching.update(resting={str(log): time.time() - 60})
        assert await watching.wait(PATIENCE) == Wake(frozenset([str(log)]))
        assert await watching.wait(0.1) == Wake()


async def test_a_round_finds_what_grew_while_it_rested(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(looking, "MOST_FOLDERS", 0)
    monkeypatch.setattr(looking, "NET", 0.01)
    monkeypatch.setattr(looking, "ROUND", 3)
    paths = [tmp_path / f"{number}.jsonl" for number in range(20)]
    for path in paths:
        append(path)
    looked: list[str] = []
    real = looking.Looker._is_new  # pyright: ignore[reportPrivateUsage]

    def counted(self: looking.Looker, path: str, plan: Plan) -> bool:
        if len(set(looked)) < len(paths):
            looked.append(path)
        return real(self, path, plan)

    monkeypatch.setattr(looking.Looker, "_is_new", counted)
    async with Watch() as watching:
        watching.update(resting={str(path): time.time() + 60 for path in paths})
        while len(set(looked)) < len(paths):
            assert await watching.wait(0.02) == Wake()
        assert max(looked.count(str(path)) for path in paths) <= 2
        append(paths[7])
        assert await watching.wait(PATIENCE) == Wake(frozenset([str(paths[7])]))
        assert await watching.wait(0.2) == Wake()


@pytest.mark.usefixtures("no_net")
async def test_entries_of_the_registry_and_what_is_no_log(log: Path) -> None:
    async with Watch() as watching:
        notes = log.with_name("notes.jsonl")
        watching.update(folders=[str(log.parent)], ignored=[str(notes)])
        await first_wake(watching)
        entry = log.with_name("4711.json")
        assert await woken(watching, lambda: append(entry)) == new_in(log.parent)
        await quiet(watching)
        append(notes)
        append(log.with_name("4711.0123abcd.key"))
        assert await watching.wait(0.15) == Wake()


def test_a_change_may_be_told_under_the_real_name_of_its_folder() -> None:
    plan = Plan(frozenset({"/link/a.jsonl", "/link/b.jsonl"}), ("/link",), resting={"/link/c": 1.0})
    meaning = Meaning(plan, {"/link/b.jsonl": "/far/b.jsonl"}, {"/real": "/link"})
    told = ["/real/a.jsonl", "/link/b.jsonl", "/far/b.jsonl", "/real/c", "/real/a.jsonl.1"]
    assert [meaning.of([path]).paths for path in told] == [
        {"/link/a.jsonl"},
        {"/link/b.jsonl"},
        {"/link/b.jsonl"},
        {"/link/c"},
        {"/link/a.jsonl"},
    ]
    assert meaning.of(["/real/new.jsonl"]) == Wake(folders=frozenset({"/link"}))
    assert meaning.of(["/else/new.jsonl", "/real/notes.txt"]) == Wake()


async def test_the_same_objects_are_no_new_plan(log: Path) -> None:
    files, folders, awaited = frozenset([str(log)]), [str(log.parent)], ["/none"]
    resting, ignored = {"/x": 1.0}, {"/y"}
    watching = Watch()

    def update() -> Plan:
        watching.update(files, folders, awaited, resting=resting, ignored=ignored)
        return watching.plan

    first = update()
    assert update() is first
    folders.append("/more")  # a change in place is not noticed
    assert update() is first
    folders = [*folders]
    assert "/more" in update().folders


async def test_a_pipe_wakes_once_per_wait() -> None:
    reader, writer = os.pipe()
    async with Watch() as watching:
        watching.set_pipes({"-": reader})
        assert await watching.wait(0.02) == Wake()
        os.write(writer, b"x")
        assert await watching.wait(PATIENCE) == Wake(frozenset("-"))
        await asyncio.sleep(0.02)
        assert asyncio.get_running_loop().remove_reader(reader) is False
        assert await watching.wait(PATIENCE) == Wake(frozenset("-"))
        os.read(reader, 1)
        assert await watching.wait(0.02) == Wake()
        watching.set_pipes({})
        os.write(writer, b"x")
        assert await watching.wait(0.02) == Wake()
    os.close(reader)
    os.close(writer)


async def test_what_cannot_be_waited_for_is_polled(log: Path) -> None:
    with log.open() as file:
        async with Watch() as watching:
            watching.set_pipes({"-": file.fileno()})
            assert await watching.wait(PATIENCE) == Wake(frozenset("-"))
            watching.set_pipes({})
            assert await watching.wait(0.02) == Wake()


async def test_stop_ends_every_wait_and_leaves_nothing(log: Path) -> None:
    reader, writer = os.pipe()
    tasks = asyncio.all_tasks()
    watching = Watch()
    await watching.start()
    watching.update(files=[str(log)], folders=[str(log.parent)])
    watching.set_pipes({"-": reader})
    seen: list[Wake] = []

    heard = asyncio.Event()

    async def listen() -> None:
        async for wake in watching.wakes():
            seen.append(wake)
            heard.set()

    listener = asyncio.create_task(listen())
    await heard.wait()
    names = {thread.name for thread in threading.enumerate()}
    assert {"agentmon-look", "agentmon-notify"} <= names
    await watching.stop()
    await asyncio.wait_for(listener, PATIENCE)
    assert seen[0].paths == {str(log)}
    assert asyncio.all_tasks() == tasks
    assert asyncio.get_running_loop().remove_reader(reader) is False
    assert await watching.wait() == Wake()
    os.close(reader)
    os.close(writer)


async def test_stop_without_start_is_nothing() -> None:
    await Watch().stop()


TABLE = """\
/dev/vda / ext4 rw 0 0
server:/export /mnt/na\\040me nfs4 rw 0 0
sshfs#x /mnt/ssh fuse.sshfs rw 0 0
/dev/sdb /mnt/na\\040me/local ext4 rw 0 0
tmpfs /mnt tmpfs rw 0 0
"""


@pytest.mark.parametrize(
    ("path", "silent"),
    [
        ("/home/x/log", False),
        ("/mnt/na me/log", True),
        ("/mnt/na me", True),
        ("/mnt/na mesake/log", False),
        ("/mnt/na me/local/log", False),
        ("/mnt/ssh/log", True),
    ],
)
def test_file_systems_without_notification(path: str, silent: bool) -> None:
    assert mounts.is_silent(path, mounts.parse(TABLE)) is silent


def test_without_a_table_every_file_system_is_trusted() -> None:
    assert not mounts.is_silent("/mnt/ssh/log", [])
