"""The Decisions tab: categories, statuses, positions, history, forms, the way to a round."""

from pathlib import Path

import pytest

from agentmon.collab import decisions
from agentmon.config import Messages, Settings, Ui
from agentmon.ui.screens.decisions import DecisionsPage
from tests.ui_app import Shown, shown
from tests.ui_store import StoreFeed, UiStore, fill
from tests.ui_talk import (
    API,
    Size,
    add_decisions,
    empty,
    fill_in,
    form_of,
    in_sizes,
    is_plain,
    make_writable,
    sent,
)


@pytest.fixture(autouse=True)
def no_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("USER", raising=False)


@pytest.fixture
def feed(tmp_path: Path) -> StoreFeed:
    store = UiStore(tmp_path / "store")
    fill(store)
    make_writable(store)
    add_decisions(store)
    return StoreFeed(store)


def page_of(screen: Shown) -> DecisionsPage:
    page = screen.page
    assert isinstance(page, DecisionsPage)
    return page


def rows(screen: Shown) -> list[str]:
    page = page_of(screen)
    lines = [page.rows.render_line(y).text.rstrip() for y in range(1, page.rows.size.height)]
    return [line for line in lines if line]


async def test_by_category_with_positions_and_history(feed: StoreFeed) -> None:
    async with shown(feed, (80, 60)) as screen:
        await screen.press("D")
        found = rows(screen)
        assert [found[0], found[2]] == ["naming  1", "storage  2"]
        assert found[1].startswith("○ open       Is it called a round")
        assert found[3].startswith("✓ decided    Which database keeps")
        assert page_of(screen).rows.cursor == ("decision", "d3")
        await screen.press("j")
        history = "\n".join(screen.rows(page_of(screen).decision))
        assert "History · storage" in history
        assert history.index("2  web") < history.index("1  infra") < history.index("1  api-server")
        await screen.press("j")
        detail = "\n".join(screen.rows(page_of(screen).decision))
        for words in (
            "✓ decided · by consensus · impact 9 of 10 · revision 2",
            "SQLite with WAL",
            "No server to run beside the agents.",
            "infra: Postgres, it is there anyway",
            "schema.sql",
            "2  web, 2025-11-20",
            "changed decision, impact",
            "readers waited for the writer",
            "1  api-server, 2025-11-20",
        ):
            assert words in detail
        assert detail.index("2  web") < detail.index("1  api-server")
        await screen.press("j")
        assert "\x1b" not in screen.text()
        assert "[bold]markup[/]" in screen.text()


@pytest.mark.deep
async def test_the_first_heading_stays_chosen_while_others_write(feed: StoreFeed) -> None:
    async with shown(feed, (80, 60)) as screen:
        await screen.press("D", "k")
        page = page_of(screen)
        assert page.rows.cursor == ("category", "naming")
        decisions.revise_decision(feed.store.conn, "d3", {"impact": 2}, "web", "small")
        page.second()
        await screen.settle()
        assert page.rows.cursor == ("category", "naming")
        assert "History · naming" in "\n".join(screen.rows(page.decision))
        assert "small" in "\n".join(screen.rows(page.decision))


async def test_categories_and_statuses_take_turns_and_words_narrow(feed: StoreFeed) -> None:
    async with shown(feed, (80, 40)) as screen:
        await screen.press("D", "l")
        assert rows(screen)[0] == "naming  1"
        assert len(rows(screen)) == 2
        await screen.press("l")
        assert len(rows(screen)) == 3
        await screen.press("u")
        assert rows(screen) == [" No such decision; u, h, l show others, Esc ends a search."]
        await screen.press("h", "h")
        assert "all categories · open · 1" in screen.text()
        await screen.press("u")
        assert len(rows(screen)) == 3
        await screen.press("u", "u", "u", "slash", *"postgres")
        assert len(rows(screen)) == 2
        await screen.press("escape")
        assert len(rows(screen)) == 5


async def test_enter_leads_to_its_round_and_back(feed: StoreFeed) -> None:
    async with shown(feed, (60, 20)) as screen:
        await screen.press("D", "j", "j", "enter")
        page = page_of(screen)
        assert page.decision.display
        assert not page.rows.display
        await screen.press("enter")
        assert screen.page is None
        assert screen.main.selected == (API, "")
        assert screen.main.pin == ("round", "r-api-1")
        await screen.press("escape")
        assert page_of(screen).rows.cursor == ("decision", "d1")
        await screen.press("escape", "g", "j", "w")
        assert "Nobody knows" in screen.text()


@pytest.mark.deep
async def test_a_key_that_is_faster_than_the_read_means_what_is_chosen(feed: StoreFeed) -> None:
    async with shown(feed, (80, 40)) as screen:
        await screen.press("D")
        page = page_of(screen)
        page.rows.choose(("decision", "d1"), by_person=True)
        await page.action_do("decided_in")
        await screen.settle()
        assert screen.page is None
        assert screen.main.pin == ("round", "r-api-1")


async def test_a_new_one_is_checked_in_place(feed: StoreFeed) -> None:
    async with shown(feed, (80, 24), Settings(messages=Messages(agent="anna"))) as screen:
        await screen.press("D", "n")
        form = form_of(screen)
        await fill_in(screen, question="Tabs or spaces?", category="style", positions="web tabs")
        await screen.press("ctrl+s")
        await sent(screen)
        assert "is not agent: position" in form.captions["positions"].problem
        await fill_in(screen, positions="web: tabs\napi-server: spaces: four", impact="11")
        await screen.press("ctrl+s")
        await sent(screen)
        assert form.captions["impact"].problem
        assert form.focused is form.inputs["impact"]
        await fill_in(screen, impact="2", method="dice", decision="spaces", files="a.py, b.py")
        await screen.press("ctrl+s")
        await sent(screen)
        assert "consensus" in form.captions["method"].problem
        await fill_in(screen, method="vote")
        await screen.press("ctrl+s")
        await sent(screen)
        assert "Written down" in screen.text()
        assert "style  1" in "\n".join(rows(screen))
    (row,) = decisions.recent(feed.store.conn, category="style")
    assert row.positions == {"web": "tabs", "api-server": "spaces: four"}
    assert (row.created_by, row.decision, row.method, row.impact) == ("anna", "spaces", "vote", 2)
    assert row.files == ["a.py", "b.py"]
    assert row.status == "decided"


async def test_revising_changes_only_what_was_changed(feed: StoreFeed) -> None:
    async with shown(feed, (80, 40)) as screen:
        await screen.press("D", "G", "r")
        form = form_of(screen)
        await screen.press("ctrl+s")
        await sent(screen)
        assert "nothing was changed" in form.captions["status"].problem
        await fill_in(screen, impact="3")
        await screen.press("ctrl+s")
        await sent(screen)
        assert "say why" in form.captions["reason"].problem
        await fill_in(screen, reason="it matters")
        await screen.press("ctrl+s")
        await sent(screen)
        assert "Revision 2" in screen.text()
    before, after = decisions.revisions(feed.store.conn, "d2")
    assert after.changed == ["impact"]
    assert (after.changed_by, after.reason) == ("user", "it matters")
    assert after.state["decision"] == before.state["decision"]


async def test_positions_that_nobody_touched_stay_as_they_are(feed: StoreFeed) -> None:
    held = {"team:web": "tabs\nbut four wide", "\u202eapi": "spaces", "docs": "tabs"}
    decisions.decide(
        feed.store.conn, question="Tabs?", category="a", by="web", positions=held, decision_id="d4"
    )
    async with shown(feed, (80, 40)) as screen:
        await screen.press("D", "r")
        text = form_of(screen).values["positions"]
        assert text.splitlines()[:2] == ["team:web: tabs", "  but four wide"]
        await fill_in(screen, reason="new", positions=f"{text}\ndocs: spaces")
        await screen.press("ctrl+s")
        await sent(screen)
        assert form_of(screen).captions["positions"].problem == "“docs” is there twice"
        await fill_in(screen, positions=text.replace("docs: tabs", "docs: spaces"))
        await screen.press("ctrl+s")
        await sent(screen)
    row = decisions.get(feed.store.conn, "d4")
    assert row is not None
    assert row.positions == held | {"docs": "spaces"}


@pytest.mark.deep
async def test_positions_of_several_lines_are_revised_as_such(feed: StoreFeed) -> None:
    held = {"team:web": "tabs\n\n  but four wide\nalways", " docs": "tabs\nat \x1b[31mtimes"}
    decisions.decide(
        feed.store.conn,
        question="Tabs?\nOr spaces?",
        category="a",
        by="web",
        positions=held,
        decision="tabs\nfor now",
        decision_id="d4",
    )
    async with shown(feed, (80, 40)) as screen:
        await screen.press("D", "r")
        values = form_of(screen).values
        assert (values["question"], values["decision"]) == ("Tabs?\nOr spaces?", "tabs\nfor now")
        text = values["positions"]
        changed = text.replace("four", "eight") + "\n\nada: none\n    of them\n\n"
        await fill_in(screen, reason="new", positions=changed, decision="tabs\nfor good")
        await screen.press("ctrl+s")
        await sent(screen)
    row = decisions.get(feed.store.conn, "d4")
    assert row is not None
    assert row.positions == {
        "team:web": "tabs\n\n  but eight wide\nalways",
        " docs": held[" docs"],
        "ada": "none\n  of them",
    }
    assert (row.question, row.decision) == ("Tabs?\nOr spaces?", "tabs\nfor good")


@pytest.mark.deep
async def test_a_position_of_several_lines_speaks_for_one_agent(feed: StoreFeed) -> None:
    held = {"web": "tabs\ndocs: spaces", "docs": "tabs"}
    decisions.decide(
        feed.store.conn, question="Tabs?", category="a", by="web", positions=held, decision_id="d4"
    )
    async with shown(feed, (80, 40)) as screen:
        await screen.press("D")
        detail = screen.rows(page_of(screen).decision)
        at = detail.index("    web: tabs")
        assert detail[at : at + 3] == ["    web: tabs", "      docs: spaces", "    docs: tabs"]


async def test_empty_states_say_how_to_fill_them(tmp_path: Path) -> None:
    async with empty(tmp_path, "D", "agentmon decide") as screen:
        await screen.press("enter", "r", "l", "h", "w", "tab", "tab", "j", "u")
        assert "Esc ends a search" in screen.text()
        assert screen.page is not None
    async with empty(tmp_path, "D", "in this recording", is_replay=True) as screen:
        await screen.press("n")
        assert screen.app.screen is screen.page


@in_sizes
async def test_every_size_and_ascii(feed: StoreFeed, sizes: list[Size]) -> None:
    async with shown(feed, sizes[-1], Settings(ui=Ui(ascii=True))) as screen:
        await screen.press("D")
        async for size in screen.at(*sizes):
            assert is_plain(screen, size)
        await screen.press("enter", "n")
        async for _ in screen.at(*sizes):
            assert screen.text().isascii()
