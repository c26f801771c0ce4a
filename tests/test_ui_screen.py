"""The screen over a real store: what is shown, where keys lead, what a resize keeps."""

from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest
from textual.signal import Signal
from textual.widget import Widget

from agentmon.config import Settings, Ui
from agentmon.ui.host import ROLES, line_class
from tests.deep import only_deep
from tests.ui_app import at_rest, shown
from tests.ui_store import NOW, FakeTransport, StoreFeed, UiStore, fill

API = "a0000000-0000-4000-8000-000000000001"
WEB = "b0000000-0000-4000-8000-000000000002"
INFRA = "c0000000-0000-4000-8000-000000000003"
THEMES = ["odd", "ansi-dark", "textual-dark", "textual-light", "nord"]


@pytest.fixture
def store(tmp_path: Path) -> UiStore:
    return UiStore(tmp_path / "store")


@pytest.fixture
def feed(store: UiStore) -> StoreFeed:
    fill(store)
    return StoreFeed(store)


async def test_board_is_shown(feed: StoreFeed) -> None:
    async with shown(feed) as screen:
        assert screen.names() == ["docs", "infra", "explorer", "web", "api-server", "batch-7"]
        text = screen.text()
        for words in ("✕ api-server", "stalled 41s", "◆ web", "permission Edit", "† batch-7"):
            assert words in text
        assert "tool Bash 2:14" in text
        assert "12 ms" in text
    assert feed.is_started
    assert feed.is_stopped


async def test_keys_move_and_clamp(feed: StoreFeed) -> None:
    async with shown(feed) as screen:
        sessions = screen.main.sessions
        await screen.press("j", "down", "k")
        assert sessions.cursor_index == 1
        await screen.press("G", "j")
        assert sessions.cursor_index == 5
        await screen.press("g", "up")
        assert sessions.cursor_index == 0
        await screen.press("pagedown")
        assert sessions.cursor_index == 5
        await screen.press("ctrl+u")
        assert 0 < sessions.cursor_index < 5


async def test_cursor_stays_on_its_session(feed: StoreFeed) -> None:
    async with shown(feed) as screen:
        await screen.press("G", "k")
        assert screen.main.selected == (API, "")
        feed.store.session("f0", "/home/dev/src/brand-new", first_time=NOW, last_time=NOW)
        feed.store.thread("f0", "thinking", NOW)
        feed.revision += 1
        await screen.settle()
        assert screen.names()[0] == "brand-new"
        assert screen.main.selected == (API, "")
        assert screen.main.sessions.cursor == (API, "")


async def test_order_holds_until_asked(feed: StoreFeed) -> None:
    async with shown(feed) as screen:
        before = screen.names()
        feed.store.conn.execute("UPDATE agents SET last_byte = ? WHERE sid = ?", (NOW, API))
        feed.store.conn.execute("UPDATE sessions SET last_time = ? WHERE sid = ?", (NOW + 5, API))
        feed.revision += 1
        await screen.settle()
        assert screen.names() == before
        await screen.press("O")
        assert screen.names() == ["api-server", "batch-7", "docs", "infra", "explorer", "web"]
        await screen.press("O")
        assert screen.names()[0] == "web"


async def test_subagent_that_ends_hands_over_to_its_session(feed: StoreFeed) -> None:
    async with shown(feed) as screen:
        await screen.press("j", "j")
        assert screen.main.selected == (INFRA, "explorer")
        feed.store.conn.execute("UPDATE agents SET phase = 'idle' WHERE agent_id = 'explorer'")
        feed.store.conn.execute(
            "UPDATE content_blocks SET result_time = ? WHERE tool_use_id = 'toolu_infra_1'", (NOW,)
        )
        feed.revision += 1
        await screen.settle()
        assert screen.main.selected == (INFRA, "")


async def test_filter_narrows_live_and_esc_clears(feed: StoreFeed) -> None:
    async with shown(feed) as screen:
        await screen.press("slash", *"status:sta")
        assert screen.names() == ["api-server"]
        await screen.press("enter")
        assert screen.main.focused is screen.main.sessions
        assert "/status:sta  1 of 6" in screen.text()
        await screen.press("escape")
        assert len(screen.names()) == 6
        await screen.press("slash")
        screen.main.filter_input.value = "!status:idle tool:bash"
        await screen.press("enter")
        assert screen.names() == ["explorer"]
        assert screen.main.pending.count == 1
        await screen.press("slash", "escape")
        assert len(screen.names()) == 6


@pytest.mark.deep
async def test_filter_without_match_says_so(feed: StoreFeed) -> None:
    async with shown(feed) as screen:
        await screen.press("slash")
        screen.main.filter_input.value = "nowhere"
        await screen.press("enter")
        assert "Nothing matches /nowhere" in screen.text()
        await screen.press("j", "enter", "escape", "escape")
        assert len(screen.names()) == 6


@pytest.mark.deep
async def test_next_match_goes_round_the_filtered_rows(feed: StoreFeed) -> None:
    async with shown(feed) as screen:
        await screen.press("slash")
        screen.main.filter_input.value = "cwd:src"
        await screen.press("enter")
        assert screen.names() == ["docs", "infra", "explorer", "web", "api-server"]
        await screen.press("g", "N")
        assert screen.main.selected == (API, "")
        await screen.press("n")
        assert screen.main.sessions.cursor_index == 0


async def test_tree_opens_closes_and_pins(feed: StoreFeed) -> None:
    async with shown(feed, (160, 50)) as screen:
        await screen.press("G", "k", "3")
        main = screen.main
        assert main.pin is None
        assert main.rounds.cursor == ("block", "msg_api_3", "0")
        await screen.press("h")
        assert main.rounds.cursor == ("message", "msg_api_3")
        await screen.press("h")
        assert ("block", "msg_api_3", "0") not in main.rounds.keys
        await screen.press("l", "l", "enter")
        assert main.focused is main.stream
        assert main.pin == ("block", "msg_api_3", "0")
        assert "pinned" in screen.text()
        await screen.press("3", "G")
        assert main.rounds.cursor == ("round", "r-api-1")
        assert "prompt of #1" in screen.text()
        await screen.press("l", "j", "l", "j")
        assert main.rounds.cursor == ("block", "msg_api_1", "0")
        await screen.press("escape")
        assert main.pin is None
        assert main.rounds.cursor == ("block", "msg_api_3", "0")


async def test_new_message_is_followed_unless_pinned(feed: StoreFeed) -> None:
    async with shown(feed, (160, 50)) as screen:
        await screen.press("j")
        store, main = feed.store, screen.main
        for flow in ("msg_new_1", "msg_new_2"):
            store.message(INFRA, "r-infra-1", flow, NOW)
            store.block(INFRA, flow, 0, "text", f"words of {flow}")
            store.conn.execute(
                "UPDATE agents SET flow_id = ? WHERE sid = ? AND agent_id = ''", (flow, INFRA)
            )
            feed.revision += 1
            await screen.settle()
            if flow == "msg_new_1":
                assert "words of msg_new_1" in screen.text()
                assert main.rounds.cursor == ("block", "msg_new_1", "0")
                await screen.press("3", "k", "j")
        assert main.pin == ("block", "msg_new_1", "0")
        assert "words of msg_new_2" not in screen.text()
        await screen.press("f")
        assert "words of msg_new_2" in screen.text()


@pytest.mark.parametrize("count", [12, *only_deep(24)])
async def test_new_rounds_come_into_sight_also_above_many(feed: StoreFeed, count: int) -> None:
    async with shown(feed, (80, 24)) as screen:
        await screen.press("j")
        for number in range(count):
            feed.store.round(INFRA, f"r-more-{number:02}", f"words {number:02}", NOW + number)
            feed.revision += 1
            await screen.settle()
            assert f"words {number:02}" in screen.text()
        await screen.press("3", "j", "j", "j", "j", "j", "j", "j", "j")
        top = screen.main.rounds.top
        assert top > 0
        feed.store.round(INFRA, "r-last", "words of the last", NOW + 99)
        feed.revision += 1
        await screen.settle()
        assert "words of the last" not in screen.text()
        assert screen.main.rounds.top == top + 1


async def test_call_shows_arguments_and_result(feed: StoreFeed) -> None:
    async with shown(feed, (160, 50)) as screen:
        await screen.press("e", "4")
        rows = "\n".join(screen.rows(screen.main.stream))
        assert "command" in rows
        assert "  pytest -x tests/test_tail.py" in rows
        assert "error · 5.0 s" in rows
        assert "FAILED tests/test_tail.py::test_rotation" in rows


async def test_pending_call_leads_to_its_block(feed: StoreFeed) -> None:
    async with shown(feed, (160, 50)) as screen:
        await screen.press("2", "g", "enter")
        assert screen.main.selected == (WEB, "")
        assert screen.main.rounds.cursor == ("block", "msg_web_1", "0")
        assert screen.main.focused is screen.main.stream


async def test_timers_tick_without_a_query(feed: StoreFeed) -> None:
    async with shown(feed) as screen:
        before = feed.queries
        feed.time = NOW + 60
        screen.main.second()
        assert "3:14" in "\n".join(screen.rows(screen.main.pending))
        assert "stalled 1m" in screen.text()
        assert feed.queries == before


async def test_pause_holds_the_picture(feed: StoreFeed) -> None:
    async with shown(feed) as screen:
        await screen.press("space")
        assert "paused" in screen.text()
        feed.time = NOW + 60
        feed.store.session("f0", "/w/late", first_time=NOW)
        feed.store.thread("f0", "writing", NOW)
        feed.revision += 1
        screen.main.tick()
        screen.main.second()
        await at_rest()
        assert "late" not in screen.names()
        assert "2:14" in screen.text()
        await screen.press("space")
        assert "late" in screen.names()
        assert "3:14" in screen.text()


async def test_replay_keys_drive_the_transport(feed: StoreFeed) -> None:
    transport = feed.transport = FakeTransport()
    async with shown(feed) as screen:
        assert "▶ playing" in screen.text()
        assert "25 %" in screen.text()
        await screen.press("home", "space", "plus", "plus", "minus", "home")
        assert not transport.playing
        assert transport.speed == 2.0
        assert transport.restarts == 1
        assert not screen.main.is_paused
        await screen.press("end")
        assert transport.asked == [("seek", transport.start), ("seek", transport.end)]


@pytest.mark.parametrize(
    "sizes", [[(60, 20), (160, 50)], *only_deep([(80, 24), (200, 16), (40, 10)])]
)
async def test_every_size_shows_the_board_and_each_panel(
    feed: StoreFeed, sizes: list[tuple[int, int]]
) -> None:
    async with shown(feed, sizes[0]) as screen:
        panes = screen.main.desk.panes
        async for size in screen.at(*sizes):
            for key, panel in zip("4321", ("stream", "rounds", "pending", "sessions"), strict=True):
                await screen.press(key)
                pane = panes[panel]
                assert pane.display
                assert pane.size.height >= 2
                assert screen.main.focused is pane
                assert screen.main.sessions.display
            assert "docs" in screen.text()
            assert max(p.region.bottom for p in panes.values() if p.display) <= size[1] - 1


@pytest.mark.parametrize("others", [[], *only_deep([(60, 20), (80, 24), (1, 1)])])
async def test_resize_keeps_selection_and_says_when_too_small(
    feed: StoreFeed, others: list[tuple[int, int]]
) -> None:
    async with shown(feed, (160, 50)) as screen:
        await screen.press("G", "k", "3", "k")
        pin, cursor = screen.main.pin, screen.main.rounds.cursor
        for width, height in (*others, (20, 5), (160, 50)):
            await screen.resize((width, height))
            if (width, height) == (20, 5):
                assert screen.main.header.render_line(0).text.startswith("agentmon needs 40x1")
            assert (screen.main.pin, screen.main.rounds.cursor) == (pin, cursor)
            assert screen.main.selected == (API, "")
        assert "✕ api-server" in screen.text()


@pytest.mark.deep
async def test_cursor_stays_in_sight_when_a_pane_shrinks(feed: StoreFeed) -> None:
    async with shown(feed, (100, 30)) as screen:
        await screen.press("e", "4")
        rounds = screen.main.rounds
        assert rounds.top <= rounds.cursor_index < rounds.top + rounds.page
        assert "5.0 s failed" in screen.app.export_screenshot().replace("&#160;", " ")


async def test_zoom_gives_everything_to_one_panel(feed: StoreFeed) -> None:
    async with shown(feed) as screen:
        await screen.press("4", "z")
        assert screen.main.stream.size == (80, 22)
        assert not screen.main.sessions.display
        await screen.press("tab")
        assert screen.main.sessions.size.height == 22
        await screen.press("z")
        assert screen.main.stream.display


async def test_times_become_absolute(feed: StoreFeed) -> None:
    async with shown(feed, (160, 50)) as screen:
        assert "41s" in screen.text()
        await screen.press("t")
        row = screen.rows(screen.main.sessions)[6]
        assert "api-server" in row
        assert row.count(":") == 2


async def test_one_query_per_revision(feed: StoreFeed) -> None:
    async with shown(feed) as screen:
        before = feed.queries
        for _ in range(20):
            screen.main.tick()
            await at_rest()
        assert feed.queries == before


@pytest.mark.parametrize(
    ("no_color", "themes"), [(False, THEMES[:2]), *only_deep((False, THEMES[2:]), (True, THEMES))]
)
async def test_a_role_looks_as_a_widget_of_its_class_would(
    feed: StoreFeed, no_color: bool, themes: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In any theme: the app mixes colours as Textual mixes those of a child."""
    if no_color:
        monkeypatch.setenv("NO_COLOR", "1")
    async with shown(feed) as screen:
        pane = screen.main.sessions
        probes = {role: Widget(classes=line_class(role)) for role in ROLES}
        await pane.mount_all(probes.values())
        odd = replace(screen.app.available_themes["textual-dark"], name="odd", error="#123456")
        screen.app.register_theme(odd)
        for theme in themes:
            screen.app.theme = theme
            await screen.settle()
            for role, probe in probes.items():
                ink = screen.app.ink(role, pane.rich_style, *pane.colors[2:])
                assert ink == probe.rich_style, (theme, role)


@pytest.mark.deep
async def test_what_changes_places_is_laid_out_once(feed: StoreFeed) -> None:
    laid_out: list[object] = []
    async with shown(feed) as screen:
        main = screen.main
        signal = cast(
            "Signal[object]",
            main.screen_layout_refresh_signal,  # pyright: ignore[reportUnknownMemberType]
        )
        signal.subscribe(main, laid_out.append)
        for panel in "41":
            before = screen.main.stream.size.height
            laid_out.clear()
            await screen.press(panel)
            assert screen.main.stream.size.height != before
            assert len(laid_out) == 1


async def test_ascii_screen_has_only_ascii(feed: StoreFeed) -> None:
    feed.transport = FakeTransport()
    settings = Settings(ui=Ui(ascii=True))
    async with shown(feed, (160, 50), settings) as screen:
        await screen.press("e", "4")
        assert [char for char in screen.text() if ord(char) > 126] == []


async def test_a_recording_that_begins_again(feed: StoreFeed) -> None:
    feed.transport = FakeTransport()
    async with shown(feed, (160, 50)) as screen:
        await screen.main.actions.do("next_stall")
        await screen.settle()
        assert "compare inodes" in screen.text()
        feed.store.block(API, "msg_api_3", 0, "text", "The tail")
        feed.revision += 1
        await screen.settle()
        assert "The tail▌" in screen.text()
        for table in ("sessions", "agents", "rounds", "messages", "content_blocks"):
            feed.store.conn.execute(f"DELETE FROM {table}")
        feed.revision += 1
        await screen.settle()
        assert screen.main.selected is None
        assert "The tail" not in screen.text()
        assert "Choose a session" in screen.text()
        fill(feed.store)
        feed.revision += 1
        await screen.settle()
        assert len(screen.names()) == 6
        assert screen.main.selected is not None


async def test_a_click_chooses_and_focuses(feed: StoreFeed) -> None:
    async with shown(feed) as screen:
        await screen.pilot.click("#sessions", offset=(5, 4))
        await screen.settle()
        assert screen.main.selected == (WEB, "")
        await screen.pilot.click("#stream", offset=(5, 2))
        await screen.settle()
        assert screen.main.desk.panel == "stream"
        assert screen.main.focused is screen.main.stream
