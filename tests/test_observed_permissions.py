"""Permissions that hooks tell of: open while an agent waits, decided by what came of the call."""

import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentmon.collab import decisions
from agentmon.collab.calls_seen import Heard
from agentmon.collab.decisions import Decision
from agentmon.collab.deriving import catch_up
from agentmon.collab.observed_permissions import RULE, hear, settle
from agentmon.collab.rules import RULES
from agentmon.store import db
from tests.differential import ingest
from tests.feeds import Lines, call_block, write
from tests.mail import memory
from tests.wire import START, Talk, tool_result

SID = "5b1d2c3e-0000-4000-8000-00000000000b"
REFUSED = "The user doesn't want to proceed with this tool use. The tool use was rejected"


def found(data_dir: Path) -> list[Decision]:
    assert catch_up(data_dir, RULES) == 0
    conn = db.open_reading(data_dir)
    try:
        return decisions.recent(conn)[::-1]
    finally:
        conn.close()


def calls(talk: Talk, *inputs: dict[str, Any]) -> Lines:
    lines = [talk.prompt(0, "do it", "u1", round_id="r1"), talk.start(1, 100, round_id="r1")]
    for n, arguments in enumerate(inputs):
        block = call_block(f"toolu_{n}", "Write")
        lines += [
            talk.begin(1, 110, block, index=n),
            talk.json(1, 120, json.dumps(arguments), index=n),
            talk.end(1, 130, index=n),
        ]
    return [*lines, talk.reason(1, 140, "tool_use", output_tokens=9), talk.stop(1, 150)]


def asked(talk: Talk, at: int, given: object, name: str = "Write") -> bytes:
    payload = {"tool_name": name, "tool_input": given, "hook_event_name": "PermissionRequest"}
    return talk.line("permission_request", at, payload, round_id="r1")


def returned(talk: Talk, at: int, n: int, content: str, *, is_error: bool = False) -> bytes:
    result = tool_result(f"toolu_{n}", content)
    result["message"]["content"][0]["is_error"] = is_error
    return talk.line("tool_result", at, result, round_id="r1")


@pytest.mark.parametrize(
    ("content", "is_error", "decision", "why"),
    [
        ("ok", False, "allowed", ""),
        ("no such folder", True, "allowed", ""),
        (f"{REFUSED}. The user said:\nnot there", True, "refused", "not there"),
    ],
)
def test_it_is_open_until_the_call_returns(
    tmp_path: Path, content: str, is_error: bool, decision: str, why: str
) -> None:
    talk, store = Talk(SID, cwd="/home/u/web"), tmp_path / "store"
    given = {"file_path": "/w/new.txt", "content": "hello"}
    lines = [*calls(talk, given), asked(talk, 300, given)]
    ingest(store, [write(tmp_path / "log.jsonl", lines)])
    (waits,) = found(store)
    assert (waits.status, waits.decision, waits.category) == ("open", None, "permission")
    assert waits.question == "Allow Write: /w/new.txt"
    assert (waits.session_id, waits.round_id, waits.tool_use_id) == (SID, "r1", "toolu_0")
    assert waits.files == ["/w/new.txt"]
    lines.append(returned(talk, 9000, 0, content, is_error=is_error))
    write(tmp_path / "log.jsonl", lines)
    ingest(store, [tmp_path / "log.jsonl"])
    (over,) = found(store)
    assert (over.decision_id, over.status) == (waits.decision_id, "decided")
    assert (over.decision, over.rationale) == (decision, why)
    assert over.positions == {"web": "/w/new.txt", "user": decision}
    assert over.updated_at == (START + 9000) / 1000
    assert found(store) == [over]


def test_of_several_calls_the_one_with_these_arguments(tmp_path: Path) -> None:
    talk = Talk(SID, cwd="/home/u/web")
    one, two = ({"file_path": f"/w/{n}.txt", "content": "é" * 2000 * n} for n in (1, 2))
    lines = [*calls(talk, one, two), asked(talk, 300, two), asked(talk, 310, {"file_path": "/x"})]
    lines += [returned(talk, 900, 1, "ok"), returned(talk, 950, 0, "ok")]
    ingest(tmp_path / "store", [write(tmp_path / "log.jsonl", lines)])
    (only,) = found(tmp_path / "store")
    assert (only.tool_use_id, only.decision) == ("toolu_1", "allowed")


def test_what_nobody_told_the_end_of_is_withdrawn_and_questions_are_no_permission(
    tmp_path: Path,
) -> None:
    talk = Talk(SID, cwd="/home/u/web")
    given = {"file_path": "/w/a", "content": "x"}
    lines = [*calls(talk, given), asked(talk, 300, given), asked(talk, 310, {}, "AskUserQuestion")]
    lines.append(talk.line("stop", 5000, {"agent_id": SID}, round_id="r1"))
    ingest(tmp_path / "store", [write(tmp_path / "log.jsonl", lines)])
    (only,) = found(tmp_path / "store")
    assert (only.status, only.decision) == ("withdrawn", None)


def test_a_real_client_asked_and_was_allowed(shared: Path, tmp_path: Path) -> None:
    """A prompt for a file, which a key press allowed twelve seconds later (notes.jsonl)."""
    ingest(tmp_path, [shared / "captures" / "claude-permission"])
    permissions = [one for one in found(tmp_path) if one.category == "permission"]
    assert [one.decision for one in permissions] == ["allowed"]
    assert permissions[0].question.startswith("Allow Write: ")
    assert permissions[0].tool_use_id == "toolu_01f66e6a3279db85ce48d0"


@given(
    st.dictionaries(
        st.sampled_from(["tool_name", "tool_input", "x"]),
        st.recursive(
            st.none() | st.text(max_size=20) | st.integers(),
            lambda inner: st.lists(inner),
            max_leaves=6,
        ),
    )
)
def test_any_notice_is_heard(data: dict[str, Any]) -> None:
    conn: sqlite3.Connection = memory()
    hear(conn, Heard(1, "permission_request", data, SID, None, 1.0, None, "claude"))
    settle(conn)
    conn.close()
    assert RULE.hears("permission_request")
