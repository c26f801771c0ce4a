"""The Messages tab: list, thread, search, unread, compose and reply, the way to a round."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import AsyncMock

import pytest

from agentmon.collab import archive
from agentmon.collab.messaging import MessagingSystem
from agentmon.config import Messages, Redis, Settings, Ui
from agentmon.ui.counting import TabCounts
from agentmon.ui.screens.form import Field, Values
from agentmon.ui.screens.messages import MessagesPage
from tests.redis_server import Server, running
from tests.ui_app import Shown, shown
from tests.ui_store import NOW, StoreFeed, UiStore, fill
from tests.ui_talk import (
    API,
    Size,
    add_decisions,
    add_mail,
    add_work,
    empty,
    fill_in,
    form_of,
    in_sizes,
    is_plain,
    make_writable,
    send,
    sent,
)


@pytest.fixture(autouse=True)
def no_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("USER", raising=False)


@pytest.fixture
def feed(tmp_path: Path) -> StoreFeed:
    store = UiStore(tmp_path / "store")
    fill(store)
    add_mail(store)
    return StoreFeed(store)


@pytest.fixture
def server() -> Iterator[Server]:
    yield from running()


def page_of(screen: Shown) -> MessagesPage:
    page = screen.page
    assert isinstance(page, MessagesPage)
    return page


def subjects(screen: Shown) -> list[str]:
    page = page_of(screen)
    rows = [page.mails.render_line(y).text for y in range(1, page.mails.size.height)]
    return [row for row in rows if row.strip()]


async def test_newest_first_with_marks_and_the_thread_of_the_chosen_one(feed: StoreFeed) -> None:
    async with shown(feed, (80, 30)) as screen:
        await screen.press("M")
        rows = subjects(screen)
        assert len(rows) == 5
        assert rows[1].startswith("● infra")
        assert "→ user" in rows[1]
        assert "! Migration" in rows[1]
        assert rows[1].split()[-2:] == ["unread", "1m"]
        assert [row[0] for row in rows] == ["●", "●", "●", "✓", "·"]
        assert "We call /v1/users still." in rows[3]
        await screen.press("G")
        page = page_of(screen)
        assert page.mails.chosen is not None
        assert page.mails.chosen.message_id == "m1"
        thread = "\n".join(screen.rows(page.thread))
        assert "Thread · Rename of the users endpoint" in thread
        assert "3 messages" in thread
        assert thread.index("404 since the rename") < thread.index("We call /v1/users")
        assert "acked by api-server" in thread
        assert "▶ · api-server → web" in thread


async def test_counts_stand_in_the_titles(feed: StoreFeed) -> None:
    add_decisions(feed.store)
    add_work(feed.store)
    async with shown(feed, (160, 50)) as screen:
        await screen.main.count_tabs()
        line = screen.main.footer.render_line(0).text
        assert " Live │ Tools │ Messages 3 │ Decisions 1 │ Work 15 " in line
        await screen.press("M")
        assert "Messages 3 │" in page_of(screen).footer.render_line(0).text
    async with shown(feed, (60, 20)) as screen:
        line = screen.main.footer.render_line(0).text
        assert line.startswith(" Live ")
        assert "q quit" in line


async def test_hostile_text_is_shown_and_not_obeyed(feed: StoreFeed) -> None:
    async with shown(feed, (80, 30)) as screen:
        await screen.press("M")
        text = screen.text()
        assert "\x1b" not in text
        assert "\u202e" not in text
        assert "[bold]markup[/]" in text
        await screen.press("r")
        assert "\x1b" not in form_of(screen).inputs["subject"].value  # pyright: ignore


async def test_enter_leads_into_the_thread_then_to_the_round_and_back(feed: StoreFeed) -> None:
    async with shown(feed, (60, 20)) as screen:
        await screen.press("M", "G")
        page = page_of(screen)
        assert not page.thread.display
        await screen.press("enter")
        assert page.thread.display
        assert not page.mails.display
        await screen.press("enter")
        assert screen.page is None
        assert screen.main.selected == (API, "")
        block = screen.main.stream.source.block
        assert block is not None
        assert (block.flow_id, block.index) == ("msg_api_send", 0)
        await screen.press("escape")
        page = page_of(screen)
        assert page.mails.chosen is not None
        assert page.mails.chosen.message_id == "m1"
        assert page.is_inside
        await screen.press("escape")
        assert page.mails.display
        await screen.press("R")
        assert screen.page is None
        assert screen.main.selected == (API, "")
        await screen.press("escape", "g", "w")
        assert screen.page is not None
        assert "came from outside" in screen.text()


async def test_keys_that_are_faster_than_reads_mean_what_is_chosen(feed: StoreFeed) -> None:
    async with shown(feed, (80, 30)) as screen:
        await screen.press("M")
        page = page_of(screen)
        page.mails.move("down")
        await page.action_do("open")
        await sent(screen)
        found = archive.get(feed.store.conn, "m4")
        assert found is not None
        assert found.deliveries[0].read_at is not None
        await screen.press("escape")
        page.mails.move("bottom")
        await page.action_do("sent_from")
        await screen.settle()
        assert screen.page is None
        block = screen.main.stream.source.block
        assert block is not None
        assert block.flow_id == "msg_api_send"


async def test_search_while_typing_and_unread_only(feed: StoreFeed) -> None:
    async with shown(feed, (80, 30)) as screen:
        await screen.press("M", "slash", *"alias")
        assert len(subjects(screen)) == 1
        assert "alias" in "\n".join(screen.rows(page_of(screen).thread))
        await screen.press("enter")
        assert page_of(screen).focused is page_of(screen).mails
        await screen.press("escape")
        assert len(subjects(screen)) == 5
        await screen.press("slash", *"from:web")
        assert len(subjects(screen)) == 1
        await screen.press(*' "')
        assert screen.page is not None
        await screen.press("escape", "slash", *"zzz")
        assert "No message has these words" in screen.text()
        await screen.press("escape", "u")
        assert len(subjects(screen)) == 3
        assert "3 unread" in screen.text()
        await screen.press("u")
        assert len(subjects(screen)) == 5


async def test_opening_marks_what_is_for_the_person_and_a_acknowledges(feed: StoreFeed) -> None:
    async with shown(feed, (80, 30)) as screen:
        await screen.press("M", "enter")
        await sent(screen)
        found = archive.get(feed.store.conn, "m5")
        assert found is not None
        assert found.deliveries[0].read_at is None  # it is for web
        await screen.press("escape", "j", "enter")
        await sent(screen)
        found = archive.get(feed.store.conn, "m4")
        assert found is not None
        assert found.deliveries[0].read_at is not None
        assert "no ack" in subjects(screen)[1]
        await screen.press("a")
        await sent(screen)
        assert "acked" in subjects(screen)[1]
        await screen.press("escape", "k", "a")
        await sent(screen)
        assert "It is not for you (user)" in screen.text()


async def test_compose_says_what_is_wrong_in_place_and_sends_as_the_person(feed: StoreFeed) -> None:
    settings = Settings(messages=Messages(agent="anna"))
    async with shown(feed, (60, 20), settings) as screen:
        await screen.press("M", "c")
        form = form_of(screen)
        assert "New message from anna" in screen.text()
        await screen.press("ctrl+s")
        await sent(screen)
        assert "✕ name an agent" in screen.text()
        await fill_in(screen, to="web, \x07bell")
        await screen.press("ctrl+s")
        await sent(screen)
        assert form.captions["body"].problem == "there is nothing in it"
        await fill_in(screen, body="Two lines\nof text")
        await screen.press("ctrl+s")
        await sent(screen)
        assert "control character" in form.captions["to"].problem
        assert form.focused is form.inputs["to"]
        await fill_in(screen, to="web, docs; web", subject="Hello")
        await screen.press("ctrl+s")
        await sent(screen)
        assert "Sent to web, docs" in screen.text()
        assert "Hello" in subjects(screen)[0]
    mail = archive.recent(feed.store.conn, limit=1)[0]
    assert (mail.sender, mail.receivers, mail.subject) == ("anna", ["web", "docs"], "Hello")
    assert mail.body == "Two lines\nof text"
    assert [delivery.receiver for delivery in mail.deliveries] == ["docs", "web"]


async def test_reply_goes_into_the_thread(feed: StoreFeed) -> None:
    async with shown(feed, (80, 24)) as screen:
        await screen.press("M", "j", "r")
        values = form_of(screen).values
        assert (values["to"], values["subject"]) == ("infra", "Re: Migration")
        await screen.press("ctrl+s")
        await sent(screen)
        assert form_of(screen).captions["body"].problem == "there is nothing in it"
        await screen.press("y", "e", "s", "escape")
        assert "Esc again" in screen.text()
        await screen.press("ctrl+s")
        await sent(screen)
        assert screen.app.screen is screen.page
    mail = archive.recent(feed.store.conn, limit=1)[0]
    assert (mail.body, mail.reply_to, mail.thread_id) == ("yes", "m4", "m4")


@pytest.mark.deep
async def test_a_reply_to_what_has_no_subject_has_none(feed: StoreFeed) -> None:
    send(feed.store, "m9", "docs", ["user"], "Is it ready?", 5)
    async with shown(feed, (80, 24)) as screen:
        await screen.press("M", "r", *"yes", "ctrl+s")
        await sent(screen)
        assert screen.app.screen is screen.page
        assert "Re:" not in screen.rows(page_of(screen).mails)[1]
    mail = archive.recent(feed.store.conn, limit=1)[0]
    assert (mail.subject, mail.body, mail.reply_to) == ("", "yes", "m9")


@pytest.mark.deep
async def test_escape_twice_leaves_a_form(feed: StoreFeed) -> None:
    async with shown(feed, (80, 24)) as screen:
        await screen.press("M", "c", "x", "escape", "escape")
        assert screen.app.screen is screen.page
        await screen.press("c", "escape")
        assert screen.app.screen is screen.page


async def test_escape_does_not_leave_what_is_on_its_way(feed: StoreFeed) -> None:
    arrived = asyncio.Event()

    async def save(values: Values) -> str:
        await arrived.wait()
        return f"Saved {values['name']}"

    async with shown(feed, (80, 24)) as screen:
        await screen.press("M")
        page_of(screen).ask_for("Slow", [Field("name", "Name")], save)
        await screen.settle()
        await screen.press("x", "ctrl+s", "escape", "escape")
        assert "It is on its way" in screen.text()
        arrived.set()
        await sent(screen)
        assert screen.app.screen is screen.page
        assert "Saved x" in screen.text()


async def test_counts_come_once_the_store_can_be_read(feed: StoreFeed) -> None:
    counts = TabCounts(feed)
    query = feed.query
    feed.query = AsyncMock(side_effect=RuntimeError("not yet"))
    assert not await counts.look()
    feed.query = query
    assert await counts.look()
    assert counts.counts["messages"] == 3
    assert not await counts.look()


async def test_what_others_write_comes_by_itself(feed: StoreFeed) -> None:
    async with shown(feed, (80, 30)) as screen:
        await screen.press("M", "j")
        page = page_of(screen)
        send(feed.store, "m6", "docs", ["web"], "new", 1)
        page.second()
        await screen.settle()
        assert "docs" in subjects(screen)[0]
        assert page.mails.chosen is not None
        assert page.mails.chosen.message_id == "m4"


async def test_more_come_as_the_end_comes_near(tmp_path: Path) -> None:
    store = UiStore(tmp_path / "many")
    make_writable(store)
    for n in range(230):
        send(store, f"m{n}", "api", ["web"], f"number {n}", 1_000 - n)
    async with shown(StoreFeed(store), (80, 20)) as screen:
        await screen.press("M")
        assert page_of(screen).mails.count == 200
        assert "200 of 230" in screen.text()
        await screen.press("G", "G")
        assert page_of(screen).mails.count == 230
        assert "number 0" in subjects(screen)[-1]


@pytest.mark.deep
async def test_the_chosen_message_is_shown_however_long_its_thread_is(tmp_path: Path) -> None:
    store = UiStore(tmp_path / "long")
    make_writable(store)
    body = "x" * 5_000 + "end of"
    for n in range(130):
        send(store, f"m{n}", "api", ["web"], f"{body} {n}", 1_000 - n, thread_id="t")
    async with shown(StoreFeed(store), (80, 40)) as screen:
        await screen.press("M", "G", "enter")
        page = page_of(screen)
        assert page.mails.chosen is not None
        assert page.mails.chosen.message_id == "m0"
        thread = [line for line in screen.rows(page.thread) if line.strip()]
        assert "100+ messages" in thread[0]
        assert thread[1].startswith("▶ ● api → web")
        assert "end of 0" in page.thread.mails[0].body
        await screen.press("G")
        assert "… and more" in "\n".join(screen.rows(page.thread))


@pytest.mark.deep
async def test_ages_in_a_thread_go_on_and_turn_into_times(feed: StoreFeed) -> None:
    async with shown(feed, (80, 30)) as screen:
        await screen.press("M", "j", "enter")
        await sent(screen)
        page = page_of(screen)
        assert "▶ ◇ infra → user  1m" in screen.rows(page.thread)[1]
        page.view.now += 600
        page.second()
        assert "▶ ◇ infra → user  11m" in screen.rows(page.thread)[1]
        await screen.press("t")
        head = screen.rows(page.thread)[1]
        assert head.split("user")[1].split()[0] == page.view.when(NOW - 90)
        assert ":" in head


@pytest.mark.deep
async def test_empty_states_say_how_to_fill_them(tmp_path: Path) -> None:
    async with empty(tmp_path, "M", "agentmon send NAME") as screen:
        await screen.press("enter", "r", "a", "w", "R", "j", "tab", "tab")
        assert screen.page is not None
    async with empty(tmp_path, "M", "in this recording", is_replay=True) as screen:
        await screen.press("c")
        assert "This is a recording" in screen.text()
        assert screen.app.screen is screen.page


@in_sizes
async def test_every_size_and_ascii(feed: StoreFeed, sizes: list[Size]) -> None:
    async with shown(feed, sizes[-1], Settings(ui=Ui(ascii=True))) as screen:
        await screen.press("M")
        async for size in screen.at(*sizes):
            assert is_plain(screen, size)
            assert page_of(screen).thread.display == (size != (60, 20))
        await screen.press("enter", "c")
        async for _ in screen.at(*sizes):
            assert screen.text().isascii()


async def test_with_a_server_it_goes_by_the_server(feed: StoreFeed, server: Server) -> None:
    settings = Settings(redis=Redis(url=server.url))
    async with shown(feed, (80, 24), settings) as screen:
        await screen.press("M", "c")
        await fill_in(screen, to="docs", body="over the wire")
        await screen.press("ctrl+s")
        await sent(screen)
        assert "Sent to docs" in screen.text()
        assert "waits" not in screen.text()
    async with MessagingSystem("docs", data_dir=feed.data_dir, url=server.url) as system:
        async for mail in system.listen():
            assert (mail.sender, mail.body) == ("user", "over the wire")
            break
