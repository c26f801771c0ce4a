"""What a board remembers of agents that nothing comes from: it must not show."""

from pathlib import Path

import pytest
from msgspec.structs import replace

from agentmon.core.health import Limits
from agentmon.report.board import Thread
from agentmon.ui.stillness import GOOD_FOR, STILL_AFTER, States
from tests.test_render import call, thread
from tests.ui_app import shown
from tests.ui_store import NOW, StoreFeed, UiStore, fill

LIMITS = Limits()
THEN = 1_800_000_000.0
DOCS = "d0000000-0000-4000-8000-000000000004"


def test_a_still_agent_is_looked_at_every_few_seconds() -> None:
    states, still = States(), thread("idle", silent=STILL_AFTER)
    first = states.of(still, THEN, LIMITS)
    assert states.of(still, THEN + GOOD_FOR - 1, LIMITS) is first
    assert states.of(still, THEN + GOOD_FOR, LIMITS) is not first


def test_whatever_may_change_what_is_told_is_looked_at() -> None:
    """A clock that goes back, other limits, another row of the store, another way to write it."""
    silent = thread("writing", silent=STILL_AFTER)
    still = replace(silent, row=replace(silent.row, phase_since=THEN - STILL_AFTER))
    states = States()
    first = states.of(still, THEN, LIMITS)
    assert (first.word, first.detail) == ("stalled", "1h")
    patient = Limits(stalled_after=3 * STILL_AFTER)
    assert states.of(still, THEN, patient).word == "writing"
    assert states.of(still, THEN - STILL_AFTER + 60, LIMITS).detail == "1m"
    assert states.of(still, THEN, LIMITS, ascii=True).glyph.isascii()
    assert not states.of(still, THEN, LIMITS).glyph.isascii()
    other = replace(still, row=replace(still.row, phase="ended"))
    assert states.of(other, THEN, LIMITS).word == "ended"


@pytest.mark.parametrize(
    "other",
    [
        thread("tool", silent=STILL_AFTER - 1),
        thread("tool", silent=STILL_AFTER, calls=(call("Bash", STILL_AFTER),)),
    ],
    ids=["spoke within the hour", "a call is under way"],
)
def test_others_are_looked_at_for_each_picture(other: Thread) -> None:
    states = States()
    first = states.of(other, THEN, LIMITS)
    assert states.of(other, THEN, LIMITS) is first
    assert states.of(other, THEN + 0.1, LIMITS) is not first


async def test_still_lines_change_with_what_a_person_does(tmp_path: Path) -> None:
    store = UiStore(tmp_path / "store")
    fill(store)
    feed = StoreFeed(store)
    feed.time = NOW + 2 * 3600
    async with shown(feed, (160, 50)) as screen:
        main = screen.main

        def row(name: str) -> str:
            return next(line for line in screen.rows(main.sessions) if f" {name}" in line)

        main.sessions.choose((DOCS, ""))
        assert "2h" in row("docs")
        await screen.press("m")
        assert "» docs" in row("docs")
        await screen.press("t")
        assert row("docs").count(":") == 2
        await screen.press("t")
        await screen.resize((80, 24))
        assert len(row("docs")) <= 80
        feed.time += 3600
        main.second()
        await screen.settle()
        assert "3h" in row("docs")
