"""Messages sent and read by an agent's own calls are linked to them."""

import json
import sqlite3
from collections.abc import Iterator
from typing import Any

import pytest

from agentmon.collab import archive, own_calls
from agentmon.collab.calls_seen import Call
from tests.mail import HOSTILE, NOW, draft, memory, put

ID = "6f1c" * 8


@pytest.fixture
def conn() -> Iterator[sqlite3.Connection]:
    conn = memory()
    put(conn, draft(message_id=ID), draft(message_id="m-2"), draft(message_id="old"))
    conn.execute("UPDATE agent_messages SET archived_at = 5 WHERE message_id = 'old'")
    yield conn
    conn.close()


def call(name: str, given: dict[str, Any], result: str | None, **more: Any) -> Call:
    made: dict[str, Any] = {
        "tool_use_id": "t1", "name": name, "input": given, "result": result, "is_error": False,
        "sid": "s1", "agent_id": None, "round_id": "r1", "flow_id": "f1", "index": 0,
        "called_at": NOW - 1, "result_time": NOW + 1, "cwd": "/src", "agent": "src",
        "product": "claude",
    }  # fmt: skip
    return Call(**{**made, **more})


def linked(conn: sqlite3.Connection) -> dict[str, str | None]:
    return {mail.message_id: mail.tool_use_id for mail in archive.recent(conn)}


SEND = {"command": 'agentmon send web "hi" --from api'}


@pytest.mark.parametrize(
    ("one", "found"),
    [
        (call("Bash", SEND, f"{ID}\n"), {ID}),
        (call("exec_command", {"cmd": ["bash", "-lc", SEND["command"]]}, f"Output:\n{ID}"), {ID}),
        (call("mcp__agentmon__send_message", {}, json.dumps({"message_id": "m-2"})), {"m-2"}),
        (call("mail.send_message", {}, json.dumps([json.dumps({"message_id": "m-2"})])), {"m-2"}),
        (call("Bash", SEND, f'{ID} and "message_id": "m-2"'), {ID, "m-2"}),
        (call("Bash", {"command": "git log"}, ID), set[str]()),
        (call("Bash", SEND, None), set[str]()),
        (call("Bash", SEND, ID, called_at=NOW - 60, result_time=NOW - 50), set[str]()),
        (call("mcp__x__send_message", {}, '"message_id": "old"'), set[str]()),
    ],
)
def test_what_a_call_sent_is_its(conn: sqlite3.Connection, one: Call, found: set[str]) -> None:
    assert own_calls.wants(one.name)
    own_calls.take(conn, one)
    own_calls.take(conn, call(one.name, one.input, one.result, tool_use_id="later"))
    assert {key for key, value in linked(conn).items() if value == "t1"} == found
    for mail in archive.recent(conn):
        if mail.tool_use_id is not None:
            assert (mail.session_id, mail.round_id) == ("s1", "r1")
    (session,) = conn.execute("SELECT session_id FROM agent_names").fetchone()
    assert session == ("s1" if any(linked(conn).values()) else None)


def test_what_a_call_read_is_its(conn: sqlite3.Connection) -> None:
    archive.mark(conn, "web", [ID], read=NOW)
    text = json.dumps({"messages": [{"message_id": ID}, {"message_id": "m-2"}]})
    conn.execute("UPDATE agent_messages SET archived_at = 5")
    own_calls.take(conn, call("mcp__agentmon__read_inbox", {}, text))
    rounds = {mail.message_id: mail.deliveries[0].round_id for mail in archive.recent(conn)}
    assert rounds == {ID: "r1", "m-2": None, "old": None}
    assert set(linked(conn).values()) == {None}


def test_hostile_calls_change_nothing(conn: sqlite3.Connection) -> None:
    assert not own_calls.wants("send_message")  # Codex has one of its own
    before = archive.recent(conn)
    for text in HOSTILE:
        own_calls.take(conn, call("Bash", {"command": text, "x": [text, None]}, text))
        own_calls.take(conn, call("x__send_message", {"text": text}, f'"message_id": "{text}"'))
    own_calls.take(conn, call("Bash", {"command": "agentmon " * 10_000}, ID))
    own_calls.take(conn, call("Bash", SEND, "\ud800 " + "a" * (1 << 20)))
    assert archive.recent(conn) == before


def test_the_last_of_several_words_counts(conn: sqlite3.Connection) -> None:
    own_calls.take(conn, call("Bash", {"command": "agentmon " * 100_000}, ID))
    assert linked(conn)[ID] is None
    own_calls.take(conn, call("Bash", {"command": "cd agentmon; agentmon --json send a b"}, ID))
    assert linked(conn)[ID] == "t1"
