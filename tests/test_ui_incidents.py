"""The Incidents view: the same rows as the command, ways to where and when it happened."""

import json
from pathlib import Path

import pytest

from agentmon.report.words import clock_text
from agentmon.ui.screens.incidents import IncidentsPage
from tests.cli_run import inside
from tests.near import near
from tests.runs import Log
from tests.test_incidents import T0, eventful
from tests.ui_app import Shown, shown
from tests.ui_runs import RecordedFeed, RunFeed
from tests.ui_store import FakeTransport

OTHER = "5b1d2c3e-0000-4000-8000-000000000002"


def two() -> Log:
    """The eventful run, and one in which nothing happened but a failed call."""
    log, other = eventful(), Log(OTHER, 7, first=50)
    other.pen.cwd = "/home/u/quiet"
    other.prompt(20).message(21, ("q1", "Bash", "{}")).result(22, "q1", "no", is_error=True)
    other.message(23).stop(24)
    log.lines += other.lines
    return log


@pytest.fixture
def feed(tmp_path: Path) -> RunFeed:
    return RunFeed(tmp_path, two(), T0 + 120)


async def opened(screen: Shown) -> IncidentsPage:
    screen.main.sessions.choose((eventful().pen.sid, ""), by_person=True)
    await screen.press("P")
    page = screen.page
    assert isinstance(page, IncidentsPage)
    return page


async def test_rows_are_those_of_the_command(feed: RunFeed, tmp_path: Path) -> None:
    path = eventful().write(tmp_path)
    told = json.loads(inside("incidents", path, "--json").out)["incidents"]
    # somebody may still go on with what is open: it is no kill yet, and no stall
    shown_rows = [one for one in told if one["kind"] != "kill"]
    async with shown(feed, (60, 20)) as screen:
        page = await opened(screen)
        async for size in screen.at((60, 20), (80, 24), (160, 50)):
            rows = screen.rows(page.incidents)
            assert "Incidents · p" in rows[0]
            for row, one in zip(rows[1:], shown_rows, strict=False):
                assert row.startswith(clock_text(one["time"]))
            assert page.incidents.count == len(shown_rows)
            assert all(len(row) <= size[0] for row in screen.text().split("\n"))
            assert "2 rounds" in "\n".join(screen.rows(page.rounds))


async def test_the_evidence_is_of_the_chosen_row(feed: RunFeed) -> None:
    async with shown(feed, (80, 24)) as screen:
        page = await opened(screen)
        assert "no byte since" in "\n".join(screen.rows(page.evidence))
        await screen.press("j")
        assert "no rule" in "\n".join(screen.rows(page.evidence))
        assert "\x07" not in screen.text()


async def test_enter_leads_to_the_call_and_escape_back(feed: RunFeed) -> None:
    async with shown(feed, (100, 30)) as screen:
        page = await opened(screen)
        await screen.press("j", "enter")
        assert screen.page is None
        block = screen.main.stream.source.block
        assert block is not None
        assert (block.flow_id, block.index) == ("m1", 1)
        await screen.press("escape")
        page = screen.page
        assert isinstance(page, IncidentsPage)
        assert page.incidents.cursor_index == 1


@pytest.mark.deep
async def test_a_slow_round_and_a_sum(feed: RunFeed) -> None:
    async with shown(feed, (100, 30)) as screen:
        page = await opened(screen)
        await screen.press("tab", "enter")
        assert screen.page is page, "a sum is nowhere to go to"
        await screen.press("G", "enter")
        assert screen.page is None
        assert screen.main.rounds.chosen is not None
        await screen.press("escape")
        assert isinstance(screen.page, IncidentsPage)
        assert screen.page.at is screen.page.rounds


async def test_prompts_and_other_sessions_can_be_shown_too(feed: RunFeed) -> None:
    async with shown(feed, (100, 30)) as screen:
        page = await opened(screen)
        count = page.incidents.count
        await screen.press("a")
        assert page.incidents.count == count + 2
        await screen.press("a", "w")
        assert "all 2 sessions" in screen.rows(page.incidents)[0]
        assert page.incidents.count == count + 1
        await screen.press("w", "escape")
        assert screen.page is None


async def test_a_session_without_trouble(tmp_path: Path) -> None:
    log = Log().prompt(0).message(1).stop(2)
    async with shown(RunFeed(tmp_path, log, T0 + 60), (80, 24)) as screen:
        await opened(screen)
        assert "Nothing went wrong" in screen.text()
        await screen.press("enter")
        assert screen.page is not None


async def test_in_a_recording_enter_goes_to_the_moment(tmp_path: Path) -> None:
    feed = RecordedFeed(tmp_path, two(), T0 + 30)
    feed.transport = transport = FakeTransport()
    async with shown(feed, (80, 24)) as screen:
        await screen.press("P")
        page = screen.page
        assert isinstance(page, IncidentsPage)
        assert "all 2 sessions" in screen.rows(page.incidents)[0]
        assert "no stop" in screen.text(), "the end of a recording is known before it is played"
        await screen.press("G", "enter")
        assert transport.asked == [("seek", near(T0 + 112))]
        assert screen.page is None


@pytest.mark.deep
async def test_what_is_not_indexed_yet_is_no_end(tmp_path: Path) -> None:
    feed = RecordedFeed(tmp_path, two(), T0 + 30)
    feed.transport = transport = FakeTransport()
    transport.indexed = 0.5
    async with shown(feed, (80, 24)) as screen:
        await screen.press("P")
        page = screen.page
        assert isinstance(page, IncidentsPage)
        assert "so far" in screen.rows(page.incidents)[0]
        assert "no stop" not in screen.text()
        transport.indexed = None
        await screen.settle()
        assert "so far" not in screen.rows(page.incidents)[0]
        assert "no stop" in screen.text()
