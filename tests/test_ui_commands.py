"""One declaration feeds bindings, footer, palette and help: here they are held to agree."""

from pathlib import Path

import pytest
from textual.command import CommandList, CommandPalette

from agentmon.ui import commands
from agentmon.ui.actions import Actions
from agentmon.ui.arrangement import PANELS
from agentmon.ui.palette import CommandProvider
from agentmon.ui.screens.compare import ComparePage
from agentmon.ui.screens.decisions import DecisionsPage
from agentmon.ui.screens.form import FormScreen
from agentmon.ui.screens.incidents import IncidentsPage
from agentmon.ui.screens.main import MainScreen
from agentmon.ui.screens.messages import MessagesPage
from agentmon.ui.screens.overlays import OVERLAY
from agentmon.ui.screens.round import RoundPage
from agentmon.ui.screens.searching import SearchPage
from agentmon.ui.screens.tools import ToolsPage
from agentmon.ui.screens.work import WorkPage
from tests.deep import only_deep
from tests.ui_app import shown
from tests.ui_store import FakeTransport, StoreFeed, UiStore, fill

PAGE_CLASSES: dict[str, type[object]] = {
    "round": RoundPage,
    "tools": ToolsPage,
    "compare": ComparePage,
    "incidents": IncidentsPage,
    "search": SearchPage,
    "messages": MessagesPage,
    "decisions": DecisionsPage,
    "work": WorkPage,
    "form": FormScreen,
}

ON_THE_BOARD = [c for c in commands.COMMANDS if c.context not in commands.PAGES]


@pytest.fixture
def feed(tmp_path: Path) -> StoreFeed:
    store = UiStore(tmp_path / "store")
    fill(store)
    return StoreFeed(store)


def test_every_command_has_words_and_an_action() -> None:
    assert len(commands.BY_ID) == len(commands.COMMANDS)
    assert set(OVERLAY) <= set(commands.BY_ID)
    assert set(PAGE_CLASSES) == set(commands.PAGES)
    for command in commands.COMMANDS:
        page = PAGE_CLASSES.get(command.context)
        holder, name = (Actions, command.id) if page is None else (page, f"do_{command.id}")
        assert callable(getattr(holder, name))
        assert command.title
        assert command.help
        assert bool(command.short) == bool(command.footer)


def test_bindings_are_the_declaration() -> None:
    declared = {(key.strip(), command.id) for command in commands.COMMANDS for key in command.keys}
    bound = {(key, binding.id) for binding in commands.bindings() for key in binding.key.split(",")}
    assert bound == declared
    for binding in commands.bindings():
        assert binding.action == f"do('{binding.id}')"
        assert binding.tooltip == commands.BY_ID[str(binding.id)].help
    assert [b.id for b in commands.bindings()] == [
        getattr(binding, "id", None) for binding in MainScreen.BINDINGS
    ]


@pytest.mark.parametrize("panel", [*PANELS, *commands.PAGES])
@pytest.mark.parametrize(("replay", "past"), [(False, False), (True, False), (True, True)])
def test_a_key_means_one_thing_in_a_place(panel: str, replay: bool, past: bool) -> None:
    keys = [
        key
        for command in commands.COMMANDS
        if commands.available(command, panel, replay=replay, past=past)
        for key in commands.keys_of(command, panel, replay=replay, past=past)
    ]
    assert len(keys) == len(set(keys))


@pytest.mark.parametrize("panel", [*PANELS, *commands.PAGES])
@pytest.mark.parametrize("past", [False, True])
async def test_in_a_replay_a_key_is_the_tape_decks_first(panel: str, past: bool) -> None:
    """As the screen finds it: the first that is available has the key."""
    first: dict[str, str] = {}
    for binding in commands.bindings():
        command = commands.BY_ID[str(binding.id)]
        if commands.available(command, panel, replay=True, past=past):
            for key in binding.key.split(","):
                first.setdefault(key, command.id)
    for command in commands.COMMANDS:
        if commands.available(command, panel, replay=True, past=past):
            for key in commands.keys_of(command, panel, replay=True, past=past):
                assert first[key] == command.id


async def test_help_lists_the_panel_and_what_works_in_it(feed: StoreFeed) -> None:
    async with shown(feed, (120, 90)) as screen:
        await screen.press("3", "question_mark")
        text = screen.text()
        for command in commands.COMMANDS:
            keys = commands.keys_of(command, "rounds", replay=False)
            wanted = commands.available(command, "rounds", replay=False)
            wanted = wanted and (bool(keys) or not command.keys)
            first_words = command.help[:40]
            assert (first_words in text) == wanted, command.id


async def test_footer_offers_only_what_works(feed: StoreFeed) -> None:
    feed.transport = FakeTransport()
    async with shown(feed, (600, 50)) as screen:
        for number, panel in enumerate(PANELS, 1):
            await screen.press(str(number))
            line = screen.main.footer.render_line(0).text
            for command in commands.COMMANDS:
                keys = commands.keys_of(command, panel, replay=True)
                works = commands.available(command, panel, replay=True) and bool(keys)
                entry = f"{commands.key_name(keys[0])} {command.short} " if keys else ""
                assert (bool(command.footer) and works) == bool(
                    command.short and entry and f" {entry}" in line
                ), command.id


@pytest.mark.parametrize("step", [8, *only_deep(1)])
async def test_palette_has_every_command_and_runs_it(feed: StoreFeed, step: int) -> None:
    """Of the commands one in `step` is searched for."""
    async with shown(feed) as screen:
        provider = CommandProvider(screen.main)
        offered = [hit async for hit in provider.discover()]
        assert [hit.text for hit in offered] == [c.title for c in ON_THE_BOARD]
        for command in ON_THE_BOARD[::step]:
            found = [hit.text async for hit in provider.search(command.title)]
            assert command.title in found
        await screen.press("ctrl+p")
        assert isinstance(screen.app.screen, CommandPalette)
        await screen.pilot.press(*"zoom")
        palette = screen.app.screen.query_one(CommandList)
        while not palette.option_count or "Zoom" not in str(palette.get_option_at_index(0).prompt):
            await screen.pilot.pause()
        await screen.press("enter")
        await screen.settle()
        assert screen.main.desk.is_zoomed


@pytest.mark.parametrize(
    "panel", ["rounds", *only_deep(*(panel for panel in PANELS if panel != "rounds"))]
)
async def test_every_command_runs_everywhere(feed: StoreFeed, panel: str) -> None:
    skipped = {"quit", "interrupt", "help", "palette", "theme", "evidence", "filter", "tmux"}
    skipped |= {"round_view"}
    async with shown(feed) as screen:
        screen.main.focus_panel(panel)
        for command in ON_THE_BOARD:
            if command.id not in skipped:
                await screen.main.actions.do(command.id)
                message = screen.main.footer.message
                assert message is None or message.role != "error", command.id
        await screen.settle()


async def test_tmux_says_why_it_cannot(feed: StoreFeed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TMUX", raising=False)
    async with shown(feed) as screen:
        await screen.press("o")
        assert "agentmon does not run inside tmux" in screen.text()
