"""What members of a team write to each other, from their inbox files."""

import json
import sqlite3
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentmon.collab import archive, team_inboxes
from agentmon.collab.deriving import catch_up
from agentmon.collab.observed_messages import RULE
from agentmon.collab.team_inboxes import Team, entries, take, team
from agentmon.config import Settings
from agentmon.engine import chores, teams
from agentmon.engine.places import inputs
from agentmon.store import db
from tests.derived import asked
from tests.differential import ingest
from tests.feeds import call_block, write
from tests.live_feed import feed, running, until
from tests.mail import memory
from tests.wire import START, Talk, tool_result

T0 = START / 1000
KEYS = ["from", "text", "timestamp", "read", "summary", "type"]
WHEN = datetime.fromtimestamp(T0, UTC).isoformat()
LEAD = "5b1d2c3e-0000-4000-8000-00000000000a"


def entry(text: str = "done", **more: object) -> dict[str, object]:
    given = {"from": "docs", "text": text, "timestamp": WHEN, "read": False}
    return {**given, **more}


def inbox(*rows: object) -> bytes:
    return json.dumps(rows).encode()


@pytest.fixture
def conn() -> sqlite3.Connection:
    return memory()


def taken(
    conn: sqlite3.Connection, data: bytes, member: str = "team-lead", of: Team | None = None
) -> int:
    of = of or Team("crew")
    with db.transaction(conn):
        return take(conn, of, member, entries(of.name, member, data), T0 + 90)


def test_an_inbox_is_archived_once_however_often_it_is_read(conn: sqlite3.Connection) -> None:
    data = inbox(entry(summary="docs are done", color="blue"), entry("done", timestamp="x"))
    assert taken(conn, data) == 1
    assert taken(conn, data) == 0
    (mail,) = archive.recent(conn)
    assert (mail.sender, mail.receivers, mail.type) == ("docs", ["team-lead"], "message")
    assert (mail.subject, mail.body, mail.sent_at) == ("docs are done", "done", T0)
    assert [one.read_at for one in mail.deliveries] == [None]
    more = inbox(entry(summary="docs are done", color="blue", read=True), entry("and more"))
    assert taken(conn, more) == 2
    second, first = archive.recent(conn)
    assert [one.read_at for one in first.deliveries] == [T0 + 90]
    assert second.body == "and more"
    assert archive.counts(conn).unread == 1


def test_the_same_words_twice_are_two_messages(conn: sqlite3.Connection) -> None:
    assert taken(conn, inbox(entry("ok"), entry("ok"))) == 2
    assert taken(conn, inbox(entry("ok"), entry("ok"), entry("ok"))) == 1
    assert len(archive.recent(conn)) == 3


def test_messages_of_the_client_have_their_kind_and_words(conn: sqlite3.Connection) -> None:
    said = {"type": "task_assignment", "taskId": "1", "subject": "Look", "description": "at x"}
    over = {"type": "shutdown_response", "requestId": "r", "approved": True}
    idle = {"type": "idle_notification", "from": "docs"}
    data = inbox(*(entry(json.dumps(one)) for one in (said, over, idle)), entry('{"no json'))
    assert taken(conn, data) == 3
    found = [(mail.type, mail.body) for mail in archive.recent(conn)[::-1]]
    assert found == [
        ("task_assignment", "Look\nat x"),
        ("shutdown_response", json.dumps(over)),
        ("message", '{"no json'),
    ]


def test_the_lead_is_called_as_on_the_board(tmp_path: Path) -> None:
    store = lead_at_work(tmp_path)
    of = team("crew", json.dumps({"leadSessionId": LEAD, "members": []}).encode())
    conn = db.create(store)
    assert taken(conn, inbox(entry(read=True)), of=of) == 2
    assert taken(conn, inbox(entry("go", **{"from": "team-lead"})), "docs", of) == 1
    sent, received = archive.recent(conn)
    conn.close()
    assert (received.sender, received.receivers) == ("docs", ["crew-work"])
    assert (sent.sender, sent.receivers, sent.session_id) == ("crew-work", ["docs"], LEAD)
    assert sent.round_id is not None


@pytest.mark.parametrize("file_first", [True, False])
def test_a_call_and_what_it_put_into_an_inbox_are_one(tmp_path: Path, file_first: bool) -> None:
    store = lead_at_work(tmp_path)
    of = Team("crew", LEAD)
    conn = db.create(store)
    data = inbox(entry("please look", **{"from": "team-lead"}, read=True), entry("bye"))
    if file_first:
        taken(conn, data, "docs", of)
    assert catch_up(store, [RULE]) == 0
    taken(conn, data, "docs", of)
    assert taken(conn, data, "docs", of) == 0
    conn.close()
    rows = asked(
        store,
        "SELECT body, sender, receivers, tool_use_id, m.round_id IS NOT NULL, read_at IS NOT NULL"
        " FROM agent_messages m JOIN agent_deliveries USING (seq) ORDER BY body",
    )
    assert rows == [
        ("bye", "docs", '["docs"]', None, 0, 0),
        ("please look", "crew-work", '["docs"]', "toolu_send", 1, 1),
    ]


def lead_at_work(folder: Path) -> Path:
    """A store with the session of a lead that has called SendMessage."""
    talk = Talk(LEAD, pid=4_000_000, cwd="/home/u/crew-work")
    given = {"to": "docs", "message": "please look", "summary": "look"}
    lines = [
        talk.prompt(-9000, "lead them", "u1", round_id="r1"),
        talk.start(1, -8000, round_id="r1"),
        talk.begin(1, -7000, call_block("toolu_send", "SendMessage")),
        talk.json(1, -6000, json.dumps(given)),
        talk.end(1, -5000),
        talk.reason(1, -4900, "tool_use", output_tokens=9),
        talk.stop(1, -4800),
        talk.line("tool_result", -1000, tool_result("toolu_send", "sent"), round_id="r1"),
    ]
    ingest(folder / "store", [write(folder / "log.jsonl", lines)])
    return folder / "store"


JSON = st.recursive(
    st.none() | st.text() | st.integers() | st.floats(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(KEYS), inner),
)


@given(st.binary() | JSON.map(lambda value: json.dumps(value).encode()))
def test_any_file_is_read(data: bytes) -> None:
    assert isinstance(entries("t", "m", data), list)
    assert team("t", data).name == "t"


def test_hostile_names_and_texts_are_only_words(conn: sqlite3.Connection) -> None:
    rows = [
        entry("x", **{"from": "\x1b[31mred\n*"}),
        entry("y", **{"from": "a\ud800"}),
        entry("z" * (3 << 20)),
        entry("w", timestamp="9999-12-31T23:59:59Z"),
        [entry()],
        "text",
    ]
    assert taken(conn, inbox(*rows), "\x1b[2J") == 4
    for mail in archive.recent(conn):
        assert all(name.isprintable() for name in (mail.sender, *mail.receivers))
        assert len(mail.body) <= 1 << 20


async def test_a_team_that_talks_is_heard_while_it_is_followed(
    tmp_path: Path, scratch_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chores, "FIRST_SECONDS", 0.0)
    monkeypatch.setattr(teams, "EVERY", 0.02)
    sessions, inboxes = scratch_home / "claude/sessions", scratch_home / "claude/teams/crew/inboxes"
    sessions.mkdir()
    look = feed(tmp_path / "store", look=lambda: inputs(Settings(), ()).expanded)
    async with running(look):
        inboxes.mkdir(parents=True)
        (inboxes / "team-lead.json").write_bytes(inbox(entry()))
        (inboxes / "broken.json").write_bytes(b"[{")
        (inboxes.parent / "config.json").write_bytes(b"{}")
        await until(lambda: asked(tmp_path / "store", "SELECT body FROM agent_messages"))
    assert asked(tmp_path / "store", "SELECT body FROM agent_messages") == [("done",)]
    assert team_inboxes.team("crew", b"{}") == Team("crew")
