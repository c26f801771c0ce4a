"""The Compare view: marking, the same figures as the command, the way to the divergence."""

import json
from pathlib import Path

import pytest

from agentmon.config import Settings, Ui
from agentmon.ui.screens.compare import ComparePage
from tests.ui_app import Shown, shown
from tests.ui_store import NOW, StoreFeed, UiStore, fill

ONE, OTHER = "11111111-0000-4000-8000-000000000001", "22222222-0000-4000-8000-000000000002"


def add_pair(store: UiStore) -> None:
    """Two runs of one prompt that part at the second call."""
    for sid, name, command, start in ((ONE, "left", "ls", 900.0), (OTHER, "right", "pwd", 500.0)):
        store.session(
            sid, f"/home/dev/src/{name}", first_time=NOW - start, last_time=NOW - start + 60
        )
        store.thread(sid, "idle", NOW - start + 60)
        at = NOW - start
        store.round(sid, f"r-{name}-1", "count the files", at, end_time=at + 50 + len(name))
        for n, said in enumerate(("find .", command)):
            flow = f"msg_{name}_{n}"
            store.message(
                sid, f"r-{name}-1", flow, at + 5 + n, end_time=at + 8 + n, stop_reason="tool_use"
            )
            store.block(
                sid,
                flow,
                0,
                "tool_use",
                "",
                tool_use_id=f"toolu_{name}_{n}",
                tool_name="Bash",
                start_time=at + 6 + n,
                complete_time=at + 8 + n,
                result_time=at + 9 + n,
                result_is_error=0,
                uses_told=1,
            )
            store.insert(
                "told_blocks",
                flow_id=flow,
                block_index=0,
                time=at,
                bytes=1,
                sha256="",
                is_exact=1,
                kind="transcript",
                text=json.dumps({"command": said}),
            )


@pytest.fixture
def feed(tmp_path: Path) -> StoreFeed:
    store = UiStore(tmp_path / "store")
    fill(store)
    add_pair(store)
    return StoreFeed(store)


async def compare(screen: Shown) -> ComparePage:
    """Marks one session and compares the other with it, as a person would."""
    sessions = screen.main.sessions
    sessions.choose((ONE, ""), by_person=True)
    await screen.press("m")
    sessions.choose((OTHER, ""), by_person=True)
    await screen.press("c")
    page = screen.page
    assert isinstance(page, ComparePage)
    return page


async def test_a_mark_comes_and_goes(feed: StoreFeed) -> None:
    async with shown(feed, (120, 40)) as screen:
        sessions = screen.main.sessions
        await screen.press("c")
        assert "m marks the chosen one" in screen.text()
        sessions.choose((ONE, ""), by_person=True)
        await screen.press("m")
        assert "» left" in screen.text()
        await screen.press("c")
        assert "choose another one" in screen.text()
        assert screen.page is None
        await screen.press("m")
        assert "» left" not in screen.text()


async def test_both_stand_side_by_side(feed: StoreFeed) -> None:
    async with shown(feed, (60, 20)) as screen:
        page = await compare(screen)
        async for size in screen.at((60, 20), (80, 24), (160, 50)):
            await screen.press("g")
            text = "\n".join(screen.rows(page.lines))
            assert "another input of the same tool" in text
            assert '{"command": "ls"}' in text
            assert '{"command": "pwd"}' in text
            assert "left #1 msg_left_1, block 0" in text
            heading = next(row for row in text.split("\n") if row.rstrip().endswith("ratio"))
            assert heading.split()[:2] == ["left", "right"]
            await screen.press("G")
            last = screen.rows(page.lines)
            found = next(row for row in last if "count the files" in row)
            assert found.count("#1") == 2
            assert all(len(row) <= size[0] for row in last)


async def test_enter_leads_to_the_divergence_and_escape_back(feed: StoreFeed) -> None:
    async with shown(feed, (100, 30)) as screen:
        page = await compare(screen)
        await screen.press("j", "j", "enter")
        assert screen.page is None
        assert screen.main.selected == (OTHER, "")
        block = screen.main.stream.source.block
        assert block is not None
        assert block.flow_id == "msg_right_1"
        await screen.press("escape")
        page = screen.page
        assert isinstance(page, ComparePage)
        assert page.lines.top in (2, page.lines.last_top)
        await screen.press("escape")
        assert screen.page is None


@pytest.mark.deep
async def test_a_missing_round_leads_to_the_one_that_is_there(feed: StoreFeed) -> None:
    feed.store.round(ONE, "r-left-0", "first of all", NOW - 1000, end_time=NOW - 950)
    async with shown(feed, (100, 30)) as screen:
        page = await compare(screen)
        assert "only one of them has this round" in "\n".join(screen.rows(page.lines))
        await screen.press("enter")
        assert screen.main.selected == (ONE, "")


async def test_a_session_that_is_gone_is_said(feed: StoreFeed) -> None:
    async with shown(feed, (100, 30)) as screen:
        screen.main.open_page(ComparePage(screen.main, (ONE, "nobody")))
        await screen.settle()
        assert "there is no session nobody" in screen.text()
        await screen.press("enter", "escape")
        assert screen.page is None


@pytest.mark.deep
async def test_ascii(feed: StoreFeed) -> None:
    async with shown(feed, (80, 24), Settings(ui=Ui(ascii=True))) as screen:
        page = await compare(screen)
        rows = screen.rows(page.lines)
        assert all(row.isascii() for row in rows)
        assert any("x1.00" in row for row in rows)
