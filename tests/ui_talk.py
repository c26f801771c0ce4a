"""Agents that talk, decide and work, in a `UiStore`, for tests of the screen."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from agentmon.collab import archive, decisions, worklog
from agentmon.collab.worklog import WorkEvent, WorkFile
from agentmon.store.db import SCHEMA_VERSION
from agentmon.ui.screens.form import FormScreen
from tests.deep import only_deep
from tests.ui_app import Shown, shown
from tests.ui_store import NOW, FakeTransport, StoreFeed, UiStore

API = "a0000000-0000-4000-8000-000000000001"

HOSTILE = "\x1b[31mred\x1b]0;title\x07 [bold]markup[/] \u202eback"


Size = tuple[int, int]

SIZES: list[Size] = [(60, 20), (80, 24), (160, 50)]

in_sizes = pytest.mark.parametrize("sizes", [SIZES[:1], *only_deep(SIZES)])
"""The smallest, and all of them deep: a test pulls its screen about through them."""


@asynccontextmanager
async def empty(
    tmp_path: Path, tab: str, words: str, *, is_replay: bool = False
) -> AsyncGenerator[Shown, None]:
    """A tab over a store with nothing in it, which says these words, on a small screen."""
    store = UiStore(tmp_path / f"empty-{is_replay}")
    make_writable(store)
    feed = StoreFeed(store)
    if is_replay:
        feed.transport = FakeTransport()
    async with shown(feed, SIZES[0]) as screen:
        await screen.press(tab)
        assert words in screen.text()
        assert "…" not in screen.text()
        yield screen


def is_plain(screen: Shown, size: tuple[int, int]) -> bool:
    """Whether everything shown is ASCII and fits."""
    rows = screen.text().split("\n")
    return all(row.isascii() and len(row) <= size[0] for row in rows)


def form_of(screen: Shown) -> FormScreen:
    form = screen.app.screen
    assert isinstance(form, FormScreen)
    return form


async def sent(screen: Shown) -> None:
    """Until what a form or a key wrote is written and shown; a read may come first."""
    await screen.settle()
    while any(not worker.is_finished for worker in screen.app.workers):
        await screen.pilot.pause(0.005)
        await screen.settle()


async def fill_in(screen: Shown, **values: str) -> None:
    for name, value in values.items():
        widget = form_of(screen).query_one(f"#field-{name}")
        setattr(widget, "text" if hasattr(widget, "text") else "value", value)
    await screen.settle()


def make_writable(store: UiStore) -> None:
    """So that another connection may write it: it says which schema it has."""
    store.insert("schema_version", version=SCHEMA_VERSION, applied_at=NOW)


def send(
    store: UiStore,
    message_id: str,
    sender: str,
    to: list[str],
    body: str,
    age: float,
    **more: Any,
) -> None:
    draft = archive.Draft(message_id, sender, to, body, NOW - age, **more)
    assert archive.add(store.conn, draft, now=NOW - age) is not None
    store.conn.commit()


def add_mail(store: UiStore) -> None:
    """A thread of three between api-server and web, one for the person, one that is hostile."""
    make_writable(store)
    store.block(
        API,
        "msg_api_send",
        0,
        "tool_use",
        "{}",
        tool_use_id="toolu_send",
        tool_name="SendMessage",
        complete_time=NOW - 300,
        result_time=NOW - 299,
    )
    store.message(API, "r-api-1", "msg_api_send", NOW - 301)
    send(
        store,
        "m1",
        "api-server",
        ["web"],
        "The endpoint /v2/users returns 404 since the rename. Which name do you call?",
        300,
        subject="Rename of the users endpoint",
        session_id=API,
        round_id="r-api-1",
        tool_use_id="toolu_send",
    )
    send(store, "m2", "web", ["api-server"], "We call /v1/users still.", 240, reply_to="m1")
    send(
        store,
        "m3",
        "api-server",
        ["web"],
        "Then I keep an alias until Friday.",
        200,
        subject="Re: Rename of the users endpoint",
        reply_to="m2",
    )
    send(
        store,
        "m4",
        "infra",
        ["user"],
        "Needs a yes for the migration.",
        90,
        subject="Migration",
        priority="urgent",
        ack_required=True,
    )
    send(store, "m5", HOSTILE[:9].replace("\x1b", "e"), ["web"], HOSTILE, 30, subject=HOSTILE)
    archive.mark(store.conn, "web", ["m1"], read=NOW - 250, session_id=API, round_id="r-api-2")
    archive.mark(store.conn, "api-server", ["m2"], acked=NOW - 210)
    store.conn.commit()


def add_decisions(store: UiStore) -> None:
    """Two of storage, one of them revised, and an open one of naming."""
    decisions.decide(
        store.conn,
        question="Which database keeps the events?",
        category="storage",
        by="api-server",
        positions={"api-server": "SQLite, one file", "infra": "Postgres, it is there anyway"},
        decision="SQLite",
        rationale="No server to run beside the agents.",
        method="consensus",
        impact=8,
        files=["schema.sql"],
        session_id=API,
        round_id="r-api-1",
        decision_id="d1",
        now=NOW - 5_000,
    )
    decisions.revise_decision(
        store.conn,
        "d1",
        {"decision": "SQLite with WAL", "impact": 9},
        "web",
        "readers waited for the writer",
        now=NOW - 600,
    )
    decisions.decide(
        store.conn,
        question="How long are raw events kept?",
        category="storage",
        by="infra",
        decision=HOSTILE,
        decision_id="d2",
        now=NOW - 4_000,
    )
    decisions.decide(
        store.conn,
        question="Is it called a round or a turn?",
        category="naming",
        by="docs",
        positions={"docs": "round"},
        decision_id="d3",
        now=NOW - 3_000,
    )
    store.conn.commit()


def work(store: UiStore, agent: str, kind: str, age: float, summary: str, **more: Any) -> None:
    event = WorkEvent(
        event_key=f"{agent}:{kind}:{age}",
        time=NOW - age,
        kind=kind,
        agent=agent,
        summary=summary,
        **more,
    )
    assert worklog.add(store.conn, event)
    store.conn.commit()


def add_work(store: UiStore) -> None:
    """Three agents; api-server does most of it."""
    for n in range(12):
        work(
            store,
            "api-server",
            "file_modified",
            200 + n * 600,
            f"edits file {n}",
            files=[WorkFile(f"/home/dev/src/api/file_{n}.py", 10 + n, n)],
            session_id=API,
            round_id="r-api-1",
        )
    work(
        store,
        "api-server",
        "git_commit",
        150,
        "Keep an alias of the users endpoint",
        commit_hash="4f2a9c1d00",
        is_success=True,
        session_id=API,
        round_id="r-api-2",
    )
    work(store, "web", "test_run", 90, "npm test", is_success=False, metadata={"failed": 2})
    work(
        store, "web", "file_created", 1_000, HOSTILE, files=[WorkFile("/home/dev/web/a.ts", 40, 0)]
    )
    work(store, "infra", "deployment", 90_000, "staging", is_success=True)
