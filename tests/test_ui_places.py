"""Going in and coming back: Enter, jumps and Esc."""

from pathlib import Path

import pytest

from agentmon.ui import tree as trees
from agentmon.ui.places import DEEPEST, Place, Trail
from tests.ui_app import shown
from tests.ui_family import TEAM, fill_family
from tests.ui_store import NOW, StoreFeed, UiStore, fill

API = "a0000000-0000-4000-8000-000000000001"


@pytest.fixture
def feed(tmp_path: Path) -> StoreFeed:
    store = UiStore(tmp_path / "store")
    fill(store)
    return StoreFeed(store)


def place(panel: str, sid: str, pin: trees.NodeKey | None = None) -> Place:
    return Place(panel, (sid, ""), pin, None, 0, (), 0, True)


def test_a_trail_leads_back_step_by_step() -> None:
    trail = Trail()
    first, second, here = place("sessions", "a"), place("rounds", "a"), place("stream", "a")
    trail.leave(first)
    trail.leave(second)
    trail.leave(second)
    assert trail.back(here) == second
    assert trail.back(second) == first
    assert trail.back(first) is None


def test_where_one_is_already_is_skipped() -> None:
    trail = Trail()
    trail.leave(place("sessions", "a"))
    trail.leave(place("rounds", "a"))
    assert trail.back(place("rounds", "a")) == place("sessions", "a")


def test_going_by_hand_forgets_the_way_in() -> None:
    trail = Trail()
    trail.leave(place("sessions", "a"))
    trail.leave(place("rounds", "a"))
    trail.came_back("rounds")
    assert len(trail) == 1
    trail.came_back("stream")
    assert len(trail) == 1


def test_a_trail_has_an_end() -> None:
    trail = Trail()
    for number in range(DEEPEST + 9):
        trail.leave(place("rounds", str(number)))
    assert len(trail) == DEEPEST


async def test_enter_goes_in_and_esc_comes_out_step_by_step(feed: StoreFeed) -> None:
    async with shown(feed) as screen:
        main = screen.main
        await screen.press("G", "k", "enter")
        assert main.desk.panel == "rounds"
        await screen.press("enter")
        assert main.desk.panel == "stream"
        await screen.press("escape")
        assert main.desk.panel == "rounds"
        await screen.press("escape")
        assert main.desk.panel == "sessions"
        assert main.selected == (API, "")
        assert main.sessions.cursor == (API, "")
        await screen.press("escape")
        assert screen.app.is_running


async def test_esc_undoes_a_whole_tour_of_trouble(feed: StoreFeed) -> None:
    async with shown(feed) as screen:
        main = screen.main
        await screen.press("j")
        before = main.here()
        await screen.press("s", "s", "e", "p")
        assert main.selected != before.selected
        await screen.press("escape")
        assert main.here().looks_like(before)


@pytest.mark.deep
async def test_a_tour_after_something_else_is_a_way_of_its_own(feed: StoreFeed) -> None:
    async with shown(feed) as screen:
        main = screen.main
        await screen.press("s", "g", "p", "escape")
        assert main.selected == (API, "")
        assert main.desk.panel == "rounds"
        await screen.press("escape")
        assert main.desk.panel == "sessions"


async def test_the_stream_is_found_where_it_was(feed: StoreFeed) -> None:
    text = "\n".join(f"line {n}" for n in range(100))
    feed.store.block(API, "msg_api_3", 0, "text", text, last_time=NOW - 41)
    async with shown(feed) as screen:
        main = screen.main
        await screen.press("G", "k", "3", "4", "g", "j", "j", "j")
        assert main.stream.top == 3
        await screen.press("p")
        assert main.selected != (API, "")
        await screen.press("escape")
        assert main.desk.panel == "stream"
        assert main.stream.top == 3
        assert not main.stream.is_at_end


@pytest.mark.deep
async def test_a_place_whose_session_is_gone_is_no_trouble(feed: StoreFeed) -> None:
    async with shown(feed) as screen:
        await screen.press("G", "enter")
        for table in ("sessions", "agents", "rounds"):
            feed.store.conn.execute(f"DELETE FROM {table} WHERE sid LIKE 'e0%'")
        feed.revision += 1
        await screen.settle()
        await screen.press("escape", "escape")
        assert screen.app.is_running
        assert screen.main.selected is not None


async def test_a_stall_opens_on_its_last_good_event(feed: StoreFeed) -> None:
    async with shown(feed, (160, 50)) as screen:
        await screen.press("s")
        rounds = screen.main.rounds
        rows = screen.rows(rounds)
        assert "✕ no byte for 41 s, stalled after 30 s  i why" in rows[2]
        assert rounds.cursor == trees.block_key("msg_api_3", 0)
        assert "following" in screen.rows(screen.main.stream)[0]


@pytest.mark.deep
async def test_a_wait_opens_on_the_call_that_waits(feed: StoreFeed) -> None:
    fill_family(feed.store)
    async with shown(feed, (160, 50)) as screen:
        await screen.press("p")
        assert screen.main.selected == (TEAM, "a2g")
        assert screen.main.rounds.cursor == trees.block_key("msg_grep", 0)
        assert "◆ waits for you for 12 s: grep -rn bucket tests" in screen.text()
        assert "grep -rn bucket tests" in "\n".join(screen.rows(screen.main.stream))


@pytest.mark.deep
async def test_an_overdue_tool_opens_on_its_call(feed: StoreFeed) -> None:
    fill_family(feed.store)
    feed.time = NOW + 700
    async with shown(feed, (160, 50)) as screen:
        for _ in range(8):
            await screen.press("s")
            if screen.main.selected == (TEAM, "a1f"):
                break
        assert screen.main.rounds.cursor == trees.block_key("msg_find", 0)
        assert "Agent runs for 12m40s, overdue after 10m00s" in screen.text()


async def test_a_reason_comes_and_goes_with_the_trouble(feed: StoreFeed) -> None:
    async with shown(feed, (160, 50)) as screen:
        await screen.press("s", "3", "g", "j")
        assert screen.main.rounds.cursor == ("why", "0")
        await screen.press("enter", "l", "h", "i", "escape", "y")
        feed.store.thread(API, "writing", NOW, flow_id="msg_api_3")
        feed.revision += 1
        await screen.settle()
        screen.main.second()
        await screen.settle()
        assert "no byte for" not in screen.text()
        assert screen.main.rounds.cursor in screen.main.rounds.keys
