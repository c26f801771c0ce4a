"""Decisions that are seen in calls: what counts, what does not, once each, whatever is in them."""

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agentmon.collab import decisions
from agentmon.collab.calls_seen import Call
from agentmon.collab.observed_decisions import RULE, observed, take
from agentmon.store import db
from tests.cli_run import inside
from tests.deep import examples

REFUSED = (
    "The user doesn't want to proceed with this tool use. The tool use was rejected (eg. if it was"
    " a file edit, the new_string was NOT written to the file). "
)
STOP = "STOP what you are doing and wait for the user to tell you how to proceed."
SAID = "To tell you how to proceed, the user said:\n"


@pytest.fixture
def conn(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    found = db.create(tmp_path)
    yield found
    found.close()


def call(name: str, given: dict[str, Any], result: str | None, **more: Any) -> Call:
    values: dict[str, Any] = {
        "tool_use_id": "toolu_1",
        "name": name,
        "input": given,
        "result": result,
        "is_error": None,
        "sid": "s1",
        "agent_id": None,
        "round_id": "r1",
        "flow_id": "msg_1",
        "index": 0,
        "called_at": 100.0,
        "result_time": 160.0,
        "cwd": "/w",
        "agent": "api",
        "product": "claude",
    }
    return Call(**{**values, **more})


def question(text: str, *labels: str) -> dict[str, Any]:
    return {"question": text, "options": [{"label": x, "description": f"is {x}"} for x in labels]}


def taken(conn: sqlite3.Connection, *calls: Call) -> list[decisions.Decision]:
    for one in calls:
        with db.transaction(conn):
            take(conn, one)
    return list(reversed(decisions.recent(conn)))


def test_answers(conn: sqlite3.Connection) -> None:
    asked = {"questions": [question("Tea?", "Tea", "Coffee"), question('A "big" one?', "Yes")]}
    result = (
        'User has answered your questions: "Tea?"="Tea, or "Coffee"?" user notes: hot, "A "big"'
        ' one?"="a, "b"="c"". You can now continue with the user\'s answers in mind.'
    )
    tea, big = taken(conn, call("AskUserQuestion", asked, result))
    assert (tea.question, tea.decision, tea.rationale) == (
        "Tea?",
        'Tea, or "Coffee"?',
        "user notes: hot",
    )
    assert tea.positions == {
        "api": "Tea: is Tea\nCoffee: is Coffee",
        "user": 'Tea, or "Coffee"?',
    }
    assert (big.question, big.decision) == ('A "big" one?', 'a, "b"="c"')
    for row in (tea, big):
        assert (row.category, row.status, row.origin) == ("question", "decided", "observed")
        assert (row.session_id, row.round_id, row.tool_use_id) == ("s1", "r1", "toolu_1")
        assert (row.created_at, row.created_by) == (160.0, "user")
        assert row.participants == ["api", "user"]


def test_a_question_that_was_not_answered(conn: sqlite3.Connection) -> None:
    asked = {"questions": [question("Tea?", "Tea"), question("Milk?", "Yes")]}
    none = 'Your questions have been answered: "Tea?"=(no option selected), "Milk?"="Yes". You can'
    (milk,) = taken(conn, call("AskUserQuestion", asked, f"{none} now continue with these"))
    assert (milk.question, milk.decision) == ("Milk?", "Yes")
    declined = call(
        "AskUserQuestion", asked, f"{REFUSED}{SAID}later", is_error=True, tool_use_id="toolu_2"
    )
    rows = taken(conn, declined)[1:]
    told = {(row.question, row.status, row.decision, row.rationale) for row in rows}
    assert told == {(q, "withdrawn", None, "later") for q in ("Tea?", "Milk?")}
    assert taken(conn, call("AskUserQuestion", asked, "No answer", tool_use_id="3"))[3:] == []


def test_plans(conn: sqlite3.Connection) -> None:
    plan = {"plan": "# Move the store\n\n1. First"}
    approved = "User has approved your plan. You can now start coding. Start with…"
    made, bare, rejected = taken(
        conn,
        call("ExitPlanMode", plan, approved, result_time=1.0),
        call("ExitPlanMode", {}, f"{approved}\n\n## Approved Plan (edited):\nDo *it*\nnow",
             tool_use_id="2", result_time=2.0),
        call("ExitPlanMode", plan, f"{REFUSED}{SAID}smaller\nsteps", is_error=True,
             tool_use_id="3", result_time=3.0),
    )  # fmt: skip
    assert (made.question, made.decision, made.method) == (
        "Approve the plan: Move the store",
        "approved",
        "consensus",
    )
    assert made.positions == {"api": "# Move the store\n\n1. First", "user": "approved"}
    assert (bare.question, bare.positions["api"]) == ("Approve the plan: Do *it*", "Do *it*\nnow")
    assert (rejected.decision, rejected.method, rejected.rationale) == (
        "rejected",
        "override",
        "smaller\nsteps",
    )
    waits = "Your plan has been submitted to the team lead for approval."
    assert taken(conn, call("ExitPlanMode", plan, waits, tool_use_id="4"))[3:] == []


def test_refused_calls(conn: sqlite3.Connection) -> None:
    (bash, edit, subagent, codex) = taken(
        conn,
        call("Bash", {"command": "git push"}, REFUSED + STOP, is_error=True, result_time=1.0),
        call("Edit", {"file_path": "/w/a.py", "old_string": "a"}, f"{REFUSED}{SAID}use b",
             is_error=True, tool_use_id="2", result_time=2.0),
        call("Bash", {"command": "ls"}, "Permission for this tool use was denied. The tool use was"
             " rejected (eg. …). The user said:\nno", is_error=True, tool_use_id="3",
             result_time=3.0),
        call("shell", {"command": ["rm", "x"]}, "exec command rejected by user\n",
             product="codex", tool_use_id="4", result_time=4.0),
    )  # fmt: skip
    assert (bash.question, bash.decision, bash.method, bash.category) == (
        "Allow Bash: git push",
        "refused",
        "override",
        "permission",
    )
    assert (edit.files, edit.rationale) == (["/w/a.py"], "use b")
    assert (subagent.rationale, codex.decision) == ("no", "refused")
    assert codex.question.startswith("Allow shell: ")
    assert "rm" in codex.question


@pytest.mark.parametrize(
    ("result", "more"),
    [
        (REFUSED + STOP, {"is_error": None}),  # a file that has this text
        (REFUSED + STOP, {"is_error": False}),
        ("x" + REFUSED, {"is_error": True}),
        ("The user doesn't want to take this action right now. " + STOP, {"is_error": True}),
        ("Permission to use Bash with command ls has been denied.", {"is_error": True}),
        ("Claude requested permissions to write to x, but you haven't granted it yet.",
         {"is_error": True}),
        ("zsh: permission denied: ./x", {"is_error": True}),
        (None, {}),
        ("exec command rejected by user", {"product": "codex", "is_error": False}),
        ("it says: exec command rejected by user", {"product": "codex"}),
    ],
)  # fmt: skip
def test_what_is_no_choice_of_a_person(
    conn: sqlite3.Connection, result: str | None, more: dict[str, Any]
) -> None:
    assert taken(conn, call("Bash", {"command": "ls"}, result, **more)) == []


def test_codex_asks(conn: sqlite3.Connection) -> None:
    asked = {"questions": [{**question("Which?", "A", "B"), "id": "q1"}]}
    answer = json.dumps({"answers": {"q1": {"answers": ["B", "user_note: soon"]}}})
    (made,) = taken(conn, call("request_user_input", asked, answer, product="codex"))
    assert (made.question, made.decision) == ("Which?", "B, user_note: soon")


def test_once_each_and_revised_when_told_anew(conn: sqlite3.Connection) -> None:
    asked = {"questions": [question("Tea?", "Tea"), question("Tea?", "Tea")]}
    first = call("AskUserQuestion", asked, f'{"User has answered your questions: "}"Tea?"="Te"')
    again = call("AskUserQuestion", asked, 'User has answered your questions: "Tea?"="Tea"')
    (made,) = taken(conn, first, first)
    assert (made.decision, made.revision) == ("Te", 1)
    (made,) = taken(conn, again, again)
    assert (made.decision, made.revision) == ("Tea", 2)
    decisions.revise_decision(conn, made.decision_id, {"decision": "Water"}, "ada", "thirst")
    assert [row.decision for row in taken(conn, first, again)] == ["Water"]


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)
_hostile = st.text(max_size=30) | st.sampled_from(
    ["\ud800", "\0", "\x1b[31m", "user", "", "x" * 300]
)
_question = st.fixed_dictionaries({"question": _json | _hostile, "options": _json, "id": _json})
_inputs = st.dictionaries(
    st.sampled_from(["questions", "plan", "command", "file_path"]),
    _json | _hostile | st.lists(_question, max_size=3),
)
_told = [REFUSED, SAID, "User has approved your plan", "## Approved Plan", "\n", "{", '"a"="', '"',
         "User has answered your questions: ", ", ", ". You can now continue with"]  # fmt: skip
_results = st.none() | _hostile | st.builds(
    "".join,
    st.lists(
        st.sampled_from(_told) | _hostile,
        max_size=6,
    ),
)  # fmt: skip


@settings(
    max_examples=examples(25, 150),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    name=st.sampled_from(["AskUserQuestion", "ExitPlanMode", "Bash", "request_user_input"]),
    given_input=_inputs,
    result=_results,
    is_error=st.sampled_from([None, True, False]),
    agent=_hostile,
    key=_hostile,
    product=st.sampled_from(["claude", "codex", ""]),
    moment=st.none() | st.floats(),
)
def test_never_raises(
    conn: sqlite3.Connection,
    name: str,
    given_input: dict[str, Any],
    result: str | None,
    is_error: bool | None,
    agent: str,
    key: str,
    product: str,
    moment: float | None,
) -> None:
    one = call(name, given_input, result, is_error=is_error, agent=agent, tool_use_id=key,
               product=product, result_time=moment, round_id=key)  # fmt: skip
    assert RULE.wants(name) or RULE.wants_failed(name)
    before = len(decisions.recent(conn, limit=10_000))
    with db.transaction(conn):
        RULE.take(conn, one)
        RULE.take(conn, one)
    assert len(decisions.recent(conn, limit=10_000)) - before <= len(list(observed(one)))


def _calls_of(path: Path) -> Iterator[Call]:
    """The calls of a transcript with their results, straight from its lines."""
    made: dict[str, Any] = {}
    for line in path.read_text("utf-8", "replace").splitlines():
        if '"tool_' not in line:
            continue
        try:
            record: Any = json.loads(line)
            content: Any = record["message"]["content"]
            for block in content:
                if block["type"] == "tool_use":
                    made[block["id"]] = block["name"], block["input"]
                elif block["type"] == "tool_result" and block["tool_use_id"] in made:
                    name, given_input = made[block["tool_use_id"]]
                    text: Any = block.get("content")
                    if isinstance(text, list):
                        text = "".join(part.get("text", "") for part in cast("list[Any]", text))
                    is_error: Any = block.get("is_error")
                    yield call(name, given_input, text, is_error=is_error)
        except (ValueError, KeyError, TypeError):
            continue


SHORT, SUB = "marot__spotter__short", "marot__spotter__subagent"
RECORDED = [
    (SHORT, "permission", "Allow Bash: mix phx.server 2>&1 | head -80", "refused"),
    (SHORT, "permission", "Allow Glob: /home/USER/projects/spotter", "refused"),
    (SUB, "plan", "Approve the plan", "approved"),
    (SUB, "question", "Which tools should we set up?", "Credo + Dialyxir + mix_audit"),
    ("761d467d-f3d0-44aa-a96f-ea2fce49eaec", "question", "Tea or coffee?", "Tea"),
]


def test_recorded_sessions(shared: Path) -> None:
    """Against what a person reads in the transcripts."""
    found: set[tuple[str, str, str, str]] = set()
    for kind in ("samples", "captures"):
        for path in sorted((shared / kind).rglob("*.jsonl")):
            for one in _calls_of(path):
                for seen in observed(one):
                    found.add((path.stem, seen.category, seen.question, seen.decision or ""))
    assert set(RECORDED) <= found
    refused = [row for row in found if row[1] == "permission"]
    assert len(refused) == 3  # and a `git commit`; the `git push` after it was interrupted
    assert not any("git push" in row[2] for row in refused)


def test_derived_from_what_is_ingested_once_each(shared: Path, tmp_path: Path) -> None:
    """Through the real command: the queue, the deriver, the rules; again, and all over again."""
    folder, at = shared / "samples" / "claude_transcripts", ("--data-dir", tmp_path / "store")
    for _ in range(2):
        for stem in (SHORT, SUB):
            assert inside("ingest", folder / f"{stem}.jsonl", *at).code == 0
        conn = db.create(tmp_path / "store")
        found = {(row.category, row.question, row.decision) for row in decisions.recent(conn)}
        assert found >= {row[1:] for row in RECORDED if row[0] in (SHORT, SUB)}
        assert len(found) == len(decisions.recent(conn)) == 5
        for row in decisions.recent(conn):
            assert (row.origin, row.revision) == ("observed", 1)
            assert row.session_id is not None
            sql = "SELECT sid FROM content_blocks WHERE tool_use_id = ?"
            assert conn.execute(sql, (row.tool_use_id,)).fetchone() == (row.session_id,)
        conn.execute("DELETE FROM derivations")
        conn.close()
