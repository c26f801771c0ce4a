"""The stream pane: reading on, following, repairs, widths, hostile text."""

import json
from pathlib import Path

import pytest
from rich.cells import cell_len

from agentmon.core.text import clean
from tests.deep import only_deep
from tests.ui_app import Shown, shown
from tests.ui_store import NOW, StoreFeed, UiStore

SID = "a0000000-0000-4000-8000-00000000000a"


@pytest.fixture
def store(tmp_path: Path) -> UiStore:
    store = UiStore(tmp_path / "store")
    store.session(SID, "/w/project")
    store.thread(SID, "writing", NOW, flow_id="m1")
    store.round(SID, "r1", "go on", NOW - 60)
    store.message(SID, "r1", "m1", NOW - 50)
    return store


def lines(screen: Shown) -> list[str]:
    """The rows of the stream, without the title."""
    return [line.strip("▌ ") for line in screen.rows(screen.main.stream)[1:]]


async def commit(screen: Shown, feed: StoreFeed) -> None:
    feed.revision += 1
    await screen.settle()


async def test_reads_on_from_the_last_byte(store: UiStore) -> None:
    store.block(SID, "m1", 0, "text", "one ")
    feed = StoreFeed(store)
    async with shown(feed) as screen:
        store.grow("m1", 0, "two ")
        await commit(screen, feed)
        store.grow("m1", 0, "three")
        await commit(screen, feed)
        assert lines(screen)[0] == "one two three"
        assert feed.reads == [(0, 4), (4, 8), (8, 13)]
        assert "▌" in screen.text()


async def test_characters_split_between_reads(store: UiStore) -> None:
    text = "naïve → 日本 🚀 end"
    data = text.encode()
    store.block(SID, "m1", 0, "text", data[:1])
    feed = StoreFeed(store)
    async with shown(feed) as screen:
        for byte in data[1:]:
            store.grow("m1", 0, bytes([byte]))
            feed.revision += 1
            screen.main.loader.ask()
            await screen.pilot.pause(0)
        await screen.settle()
        assert lines(screen)[0] == text


async def test_repaired_text_is_read_again(store: UiStore) -> None:
    store.block(SID, "m1", 0, "text", "world hello")
    feed = StoreFeed(store)
    async with shown(feed) as screen:
        store.block(SID, "m1", 0, "text", "hello world", revision=1)
        await commit(screen, feed)
        assert lines(screen)[0] == "hello world"


async def test_follow_stops_counts_and_resumes(store: UiStore) -> None:
    store.block(SID, "m1", 0, "text", "\n".join(f"line {n}" for n in range(100)))
    feed = StoreFeed(store)
    async with shown(feed) as screen:
        stream = screen.main.stream
        assert lines(screen)[-1] == "line 99"
        await screen.press("4", "k", "k", "pageup")
        first = lines(screen)[0]
        store.grow("m1", 0, "\nline 100\nline 101\nline 102")
        await commit(screen, feed)
        assert lines(screen)[0] == first
        assert "3 new" in screen.rows(stream)[0]
        await screen.press("G")
        assert lines(screen)[-1] == "line 102"
        assert "following" in screen.rows(stream)[0]
        store.grow("m1", 0, "\nline 103")
        await commit(screen, feed)
        assert lines(screen)[-1] == "line 103"
        await screen.press("g")
        assert lines(screen)[0] == "line 0"


async def test_resize_keeps_the_anchor(store: UiStore) -> None:
    words = "\n".join(f"paragraph {n} " + "word " * 40 for n in range(60))
    store.block(SID, "m1", 0, "text", words)
    feed = StoreFeed(store)
    async with shown(feed, (160, 50)) as screen:
        stream = screen.main.stream
        await screen.press("4", "g", *["pagedown"] * 2)
        top = next(line for line in lines(screen) if line.startswith("paragraph"))
        await screen.pilot.resize_terminal(80, 24)
        await screen.settle()
        number = int(top.split()[1])
        seen = [line.split()[1] for line in lines(screen) if line.startswith("paragraph")]
        assert stream.size.width == 80
        assert {str(number), str(number - 1)} & set(seen)
        await screen.press("G")
        await screen.pilot.resize_terminal(60, 20)
        await screen.settle()
        await screen.press("4")
        assert stream.is_at_end
        assert stream.top == stream.last_top


async def test_a_long_block_shows_its_end_and_one_read(store: UiStore) -> None:
    text = "".join(f"{n:07} the quick brown fox jumps over the lazy dog\n" for n in range(20_000))
    store.block(SID, "m1", 0, "text", text, complete_time=NOW)
    feed = StoreFeed(store)
    async with shown(feed) as screen:
        assert any(line.startswith("0019999") for line in lines(screen))
        assert len(feed.reads) == 1
        await screen.press("4", "g")
        assert lines(screen)[0].startswith("0000000")


async def test_of_an_endless_block_the_end_is_kept(store: UiStore) -> None:
    store.block(SID, "m1", 0, "text", b"x" * 99 + b"\n" + b"y" * (5 << 20))
    feed = StoreFeed(store)
    async with shown(feed) as screen:
        assert feed.reads == [((5 << 20) + 100 - (4 << 20), (5 << 20) + 100)]
        await screen.press("4", "g")
        assert lines(screen)[0] == "the first 1.0 MB are not shown"


async def test_arguments_stream_and_are_laid_out_when_complete(store: UiStore) -> None:
    arguments = json.dumps({"command": "ls\nls -l", "count": 3})
    store.block(SID, "m1", 0, "tool_use", arguments[:12], tool_use_id="t1", tool_name="Bash")
    feed = StoreFeed(store)
    async with shown(feed) as screen:
        assert lines(screen)[0] == '{"command":'
        call = {"tool_use_id": "t1", "tool_name": "Bash", "complete_time": NOW - 4}
        store.block(SID, "m1", 0, "tool_use", arguments, **call)
        await commit(screen, feed)
        assert lines(screen)[:5] == ["command", "ls", "ls -l", "count", "3"]
        store.block(SID, "m1", 0, "tool_use", arguments, result_time=NOW, **call)
        store.result(SID, "t1", "total 0", NOW)
        await commit(screen, feed)
        assert "result · 4.0 s · 7 B" in screen.text()
        assert lines(screen)[7] == "total 0"
        await commit(screen, feed)
        assert lines(screen)[7] == "total 0"


async def test_result_in_a_file_is_read_whole(store: UiStore) -> None:
    (store.folder / "results").mkdir()
    (store.folder / "results" / "t1.txt").write_text("the whole result")
    call = {"tool_use_id": "t1", "tool_name": "Read", "complete_time": NOW, "result_time": NOW}
    store.block(SID, "m1", 0, "tool_use", "{}", **call)
    store.result(SID, "t1", "the wh", NOW, file="results/t1.txt")
    feed = StoreFeed(store)
    async with shown(feed) as screen:
        assert "the whole result" in screen.text()
        (store.folder / "results" / "t1.txt").unlink()
        store.block(SID, "m1", 0, "tool_use", "{}", revision=1, **call)
        await commit(screen, feed)
        await screen.press("3", "k", "j")
        assert screen.app.is_running


async def test_search_marks_and_steps(store: UiStore) -> None:
    text = "\n".join("needle" if n in (3, 50, 90) else f"hay {n}" for n in range(100))
    store.block(SID, "m1", 0, "text", text, complete_time=NOW)
    feed = StoreFeed(store)
    async with shown(feed) as screen:
        await screen.press("4", "g", "slash", *"need", "enter")
        assert lines(screen)[0] == "needle"
        assert screen.main.stream.top == 3
        await screen.press("n")
        assert screen.main.stream.top == 50
        await screen.press("N")
        assert screen.main.stream.top == 3
        await screen.press("escape")
        assert screen.main.stream.search == ""


HOSTILE = (
    "\x1b]0;owned\x07",
    "\x1b[2J\x1b[31m",
    "\x9b31m\x85",
    "[/foo] [bold]",
    "[@click=app.quit]press[/]",
    "\u202eesrever\u2066",
    "\ud83d\udc68 alone \udfff".encode("utf-16", "surrogatepass").decode("utf-16", "replace"),
    "日本語" * 30,
    "e\u0301" * 50,
    "\r\n\t\x00\x7f",
    "🏳️‍🌈" * 20,
)


def hostile_session(store: UiStore, number: int, text: str) -> None:
    """A session in which everything that comes from outside is the text."""
    sid = f"{number}{text}"
    at = NOW - number
    store.session(sid, f"/w/{text}", agent=text, version=text, model=text, first_time=at)
    more = {"phase_detail": text, "flow_id": f"{text}{number}"}
    store.thread(sid, "permission", NOW - 50, **more)
    store.thread(sid, "tool", NOW - 50, agent_id=f"{text}a", flow_id=f"{text}{number}")
    store.round(sid, text, text, NOW - 60)
    store.message(sid, text, f"{text}{number}", NOW - 50, model=text, error=text)
    call = {"tool_use_id": sid, "tool_name": text, "complete_time": NOW, "input_preview": text}
    arguments = json.dumps({text: text})
    store.block(sid, f"{text}{number}", 0, "tool_use", arguments, **call)
    store.insert("notices", sid=sid, time=NOW, name=text, data=text)


@pytest.mark.parametrize(
    ("size", "together"), [((60, 20), 3), *only_deep(((60, 20), 1), ((160, 50), 1))]
)
async def test_hostile_text_is_shown_and_does_nothing(
    tmp_path: Path, size: tuple[int, int], together: int
) -> None:
    """So many texts in each session."""
    store = UiStore(tmp_path / "hostile")
    texts = ["".join(HOSTILE[n : n + together]) for n in range(0, len(HOSTILE), together)]
    for number, text in enumerate(texts):
        hostile_session(store, number, text)
    feed = StoreFeed(store)
    feed.told.problem = feed.told.note = feed.told.title = "".join(HOSTILE)
    async with shown(feed, size) as screen:
        for _ in texts:
            await screen.do("down", "evidence")
            check(screen, size[0])
            screen.app.pop_screen()
            await screen.do("panel_stream", "copy")
            check(screen, size[0])
            if size == (60, 20):  # else everything is in sight at once
                await screen.do("panel_pending")
                check(screen, size[0])
            for command in ("panel_sessions", "copy", "down"):
                await screen.main.actions.do(command)
        await screen.press("e", "ctrl+p")
        assert screen.app.is_running


def check(screen: Shown, width: int) -> None:
    """No line has a control character, and none is wider than the terminal; nor has what was
    copied."""
    assert clean(screen.app.clipboard) == screen.app.clipboard
    for line in screen.text().split("\n"):
        assert clean(line, newline=False) == line
        assert cell_len(line) <= width
