"""Decisions: what is kept, how they change, what is found, what is refused."""

import json
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import asdict

from agentmon.collab import decisions
from agentmon.collab.decisions import DecisionError, decide, revise_decision
from agentmon.store import db
from tests.deep import examples


@pytest.fixture
def conn(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    found = db.create(tmp_path)
    yield found
    found.close()


def some(conn: sqlite3.Connection, **more: Any) -> decisions.Decision:
    given: dict[str, Any] = {
        "question": "Which queue?",
        "category": "design",
        "by": "ada",
        "now": 100.0,
        **more,
    }
    return decide(conn, **given)


def test_everything_that_is_said_is_kept(conn: sqlite3.Connection) -> None:
    said: dict[str, Any] = {
        "question": "Redis or\nSQLite? 'x'; DROP TABLE decisions; --",
        "category": "speicher/größe",
        "positions": {"ada": "Redis\nis quick", "bob's [bold]": "SQLite", "eve": "neither"},
        "decision": "SQLite",
        "rationale": "one file",
        "method": "vote",
        "participants": ["zoe", "ada"],
        "files": ["store/db.py", "/a b/c.py"],
        "impact": 10,
    }
    made = decide(conn, **said, by="ada", now=100.0)
    assert made == decisions.get(conn, made.decision_id)
    for field in said.keys() - {"participants"}:
        assert getattr(made, field) == said[field]
    assert made.participants == ["zoe", "ada", "bob's [bold]", "eve"]
    assert (made.status, made.revision, made.origin) == ("decided", 1, "said")
    assert (made.created_at, made.updated_at, made.created_by) == (100.0, 100.0, "ada")
    (first,) = decisions.revisions(conn, made.decision_id)
    assert (first.revision, first.changed_by, first.changed) == (1, "ada", [])
    assert first.state == {field: getattr(made, field) for field in decisions.REVISABLE}
    assert some(conn).status == "open"


def test_a_revision_overwrites_nothing(conn: sqlite3.Connection) -> None:
    made = some(conn, positions={"ada": "lists"})
    second = revise_decision(
        conn, made.decision_id, {"decision": "streams", "method": "consensus"}, "bob", "it is time",
        now=200.0,
    )  # fmt: skip
    third = revise_decision(
        conn, made.decision_id, {"status": "superseded", "impact": 3}, "eve", "all new", now=150.0
    )
    assert (second.status, second.decision, second.revision) == ("decided", "streams", 2)
    assert (third.status, third.decision, third.revision) == ("superseded", "streams", 3)
    assert third.updated_at == 200.0  # a clock that goes back does not reorder
    assert third.created_by == "ada"
    rows = decisions.revisions(conn, made.decision_id)
    told = [(r.revision, r.changed_by, r.reason, r.changed_at, r.changed) for r in rows]
    assert told == [
        (1, "ada", "", 100.0, []),
        (2, "bob", "it is time", 200.0, ["decision", "method", "status"]),
        (3, "eve", "all new", 200.0, ["status", "impact"]),
    ]
    assert [row.state["decision"] for row in rows] == [None, "streams", "streams"]
    assert rows[-1].state == {field: getattr(third, field) for field in decisions.REVISABLE}
    # the same again is no revision
    again = revise_decision(conn, made.decision_id, {"impact": 3}, "bob", "really")
    assert again == third


def test_opening_again_takes_the_answer_back(conn: sqlite3.Connection) -> None:
    made = some(conn, decision="lists")
    opened = revise_decision(conn, made.decision_id, {"status": "open"}, "bob", "wait")
    assert (opened.status, opened.decision) == ("open", None)
    closed = revise_decision(conn, made.decision_id, {"decision": "streams"}, "bob", "now")
    assert closed.status == "decided"
    assert revise_decision(conn, made.decision_id, {"decision": None}, "b", "no").status == "open"


def test_two_who_revise_at_once_both_come_through(conn: sqlite3.Connection) -> None:
    """A form sends every field; what it only showed must not undo what another one wrote."""
    made = some(conn, positions={"ada": "lists"}, impact=2)
    seen = decisions.get(conn, made.decision_id)
    assert seen is not None
    form = {field: getattr(seen, field) for field in decisions.REVISABLE}
    first = {**form, "impact": 9}
    second = {**form, "rationale": "because"}
    for who, sent in (("bob", first), ("eve", second)):
        revise_decision(conn, made.decision_id, sent, who, "mine", based_on=seen.revision)
    now = decisions.get(conn, made.decision_id)
    assert now is not None
    assert (now.impact, now.rationale, now.revision) == (9, "because", 3)
    by = [(row.changed_by, row.changed) for row in decisions.revisions(conn, made.decision_id)]
    assert by == [("ada", []), ("bob", ["impact"]), ("eve", ["rationale"])]
    with pytest.raises(DecisionError, match=r"^based_on: .* no revision 7"):
        revise_decision(conn, made.decision_id, {"impact": 1}, "bob", "x", based_on=7)


def test_two_who_add_to_the_same_field_both_come_through(conn: sqlite3.Connection) -> None:
    made = some(
        conn, positions={"ada": "lists", "zoe": "none"}, participants=["max"], files=["a", "b"]
    )
    bob: dict[str, Any] = {
        "positions": {"ada": "lists", "zoe": "none", "bob": "streams"},
        "files": ("a", "b", "c"),
    }
    eve: dict[str, Any] = {
        "positions": {"ada": "sets", "eve": "both"},  # zoe's is taken away
        "files": ("b", "d"),
        "participants": tuple(made.participants),  # as it was
    }
    for who, sent in (("bob", bob), ("eve", eve)):
        revise_decision(conn, made.decision_id, sent, who, "mine", based_on=1)
    now = decisions.the(conn, made.decision_id)
    assert now.positions == {"ada": "sets", "bob": "streams", "eve": "both"}
    assert now.files == ["b", "c", "d"]
    assert now.participants == ["max", "ada", "zoe", "bob", "eve"]
    for wrong in ("x", 3, [3], {"bob": 3}, {3: "x"}, [["b"]]):
        for field in ("positions", "files"):
            with pytest.raises(DecisionError) as refused:
                revise_decision(conn, made.decision_id, {field: wrong}, "b", "x", based_on=1)
            assert refused.value.field == field


def test_many_writers_lose_nothing(tmp_path: Path) -> None:
    with_all = db.create(tmp_path)
    made = some(with_all)
    barrier = threading.Barrier(4)

    def revise(name: str) -> None:
        mine = db.create(tmp_path)
        barrier.wait()
        for number in range(5):
            change = {"rationale": f"{name} {number}"}
            revise_decision(mine, made.decision_id, change, name, f"{number}", based_on=1)
        mine.close()

    threads = [threading.Thread(target=revise, args=(f"agent{n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    rows = decisions.revisions(with_all, made.decision_id)
    assert [row.revision for row in rows] == list(range(1, 22))
    told = {(row.changed_by, row.reason) for row in rows[1:]}
    assert told == {(f"agent{n}", f"{m}") for n in range(4) for m in range(5)}
    with_all.close()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("question", ""),
        ("question", " \n"),
        ("question", 3),
        ("question", "x" * 100_001),
        ("question", "half \ud800"),
        ("question", "nul \0"),
        ("category", "a\nb"),
        ("category", ""),
        ("category", "x" * 201),
        ("by", "a\x1b[31m"),
        ("by", ""),
        ("impact", 0),
        ("impact", 11),
        ("impact", True),
        ("impact", 5.0),
        ("method", "dice"),
        ("status", "closed"),
        ("status", "decided"),
        ("positions", ["ada"]),
        ("positions", {"ada": 3}),
        ("positions", {"": "x"}),
        ("participants", "ada"),
        ("participants", ["a\tb"]),
        ("files", [""]),
        ("files", 3),
        ("decision", ""),
        ("rationale", None),
    ],
    ids=lambda value: str(value)[:12],
)
def test_an_error_names_the_field(conn: sqlite3.Connection, field: str, value: object) -> None:
    with pytest.raises(DecisionError) as refused:
        some(conn, **{field: value})
    named = {"status": "decision"} if value == "decided" else {}
    assert refused.value.field == named.get(field, field)
    assert str(refused.value).startswith(refused.value.field + ": ")
    assert decisions.recent(conn) == []
    assert conn.execute("SELECT COUNT(*) FROM decision_revisions").fetchone() == (0,)


def test_a_revision_that_is_refused_changes_nothing(conn: sqlite3.Connection) -> None:
    made = some(conn)
    for changes, field in (
        ({"impact": 11}, "impact"),
        ({"decided": "x"}, "decided"),
        ({"number": 1}, "number"),
        ({"status": "decided"}, "decision"),
        ({"decision": "x", "status": "open"}, "status"),
    ):
        with pytest.raises(DecisionError) as refused:
            revise_decision(conn, made.decision_id, changes, "bob", "why not")
        assert refused.value.field == field
    for by, reason, field in (("bob", " ", "reason"), ("", "x", "by")):
        with pytest.raises(DecisionError) as refused:
            revise_decision(conn, made.decision_id, {"impact": 2}, by, reason)
        assert refused.value.field == field
    with pytest.raises(DecisionError, match="no decision nobody"):
        revise_decision(conn, "nobody", {"impact": 2}, "bob", "x")
    assert decisions.get(conn, made.decision_id) == made
    assert len(decisions.revisions(conn, made.decision_id)) == 1
    with pytest.raises(DecisionError, match=r"^decision_id: there is such"):
        some(conn, decision_id=made.decision_id)


def test_lists_by_category_and_status_and_in_pages(conn: sqlite3.Connection) -> None:
    for number in range(7):
        some(
            conn,
            question=f"q{number}",
            category="even" if number % 2 == 0 else "odd",
            decision="yes" if number < 3 else None,
            now=100.0 + number // 2,  # some at the same moment
        )

    def asked(**how: Any) -> list[str]:
        return [row.question for row in decisions.recent(conn, **how)]

    assert asked() == ["q6", "q5", "q4", "q3", "q2", "q1", "q0"]
    assert asked(category="odd") == ["q5", "q3", "q1"]
    assert asked(category="even", status="open") == ["q6", "q4"]
    assert asked(origin="observed") == []
    page, pages = decisions.recent(conn, limit=2), list[str]()
    while page:
        pages += [row.question for row in page]
        page = decisions.recent(conn, limit=2, before=(page[-1].updated_at, page[-1].number))
    assert pages == asked()
    assert decisions.categories(conn) == ["even", "odd"]
    counted = {"open": 4, "decided": 3, "superseded": 0, "withdrawn": 0}
    assert decisions.counts(conn) == counted
    assert decisions.the(conn, decisions.recent(conn)[0].decision_id[:11]).question == "q6"
    with pytest.raises(DecisionError):
        decisions.the(conn, "")


def test_history_of_a_category(conn: sqlite3.Connection) -> None:
    one, two = some(conn, category="a"), some(conn, category="a", now=110.0)
    some(conn, category="b", now=120.0)
    revise_decision(conn, one.decision_id, {"impact": 4}, "bob", "x", now=130.0)
    rows = decisions.history(conn, "a")
    told = [(row.decision_id, row.revision, row.changed) for row in rows]
    assert told == [(one.decision_id, 2, ["impact"]), (two.decision_id, 1, []),
                    (one.decision_id, 1, [])]  # fmt: skip
    last = (130.0, one.decision_id, 2)
    assert [row.changed_at for row in decisions.history(conn, "a", before=last)] == [110.0, 100.0]


@pytest.mark.parametrize("limit", [1, 2, 3, 4])
def test_history_has_each_revision_once_on_its_pages(conn: sqlite3.Connection, limit: int) -> None:
    """Also where they have the same time: several of one moment stand on both sides of a page."""
    for _ in range(3):
        key = some(conn, category="a", now=100.0).decision_id
        for impact in (4, 5):
            revise_decision(conn, key, {"impact": impact}, "bob", "x", now=100.0)
    seen: list[tuple[str, int]] = []
    before = None
    while page := decisions.history(conn, "a", limit=limit, before=before):
        seen += [(row.decision_id, row.revision) for row in page]
        before = (page[-1].changed_at, page[-1].decision_id, page[-1].revision)
    assert len(seen) == len(set(seen)) == 9
    assert seen == [(row.decision_id, row.revision) for row in decisions.history(conn, "a")]


SEARCHED = [
    ("streams", {"Queue"}),
    ("STREAMS redis", {"Queue"}),
    ("streams sqlite", set[str]()),
    ('"one file"', {"Store"}),
    ('"file one"', set[str]()),
    ("str*", {"Queue"}),
    ("str", set[str]()),
    ("grosse größe", set[str]()),
    ("grösse", set[str]()),
    ("größe", {"Store"}),
    ("newline", {"Store"}),  # after a line feed, which JSON spells \n
    ("db.py", {"Store"}),
    ("bob", {"Queue"}),
    ("-streams", {"Store"}),
    ("one -queue", {"Store"}),
    ("", {"Queue", "Store"}),
    ("changed", set[str]()),
]


@pytest.mark.parametrize(("query", "wanted"), SEARCHED)
def test_search(conn: sqlite3.Connection, query: str, wanted: set[str]) -> None:
    some(conn, question="Queue", positions={"bob": "streams of Redis"})
    some(conn, question="Store", positions={"ada": "a\nnewline"}, rationale="one file, größe",
         files=["store/db.py"])  # fmt: skip
    changed = some(conn, question="was", rationale="streams changed", category="hidden")
    revise_decision(conn, changed.decision_id, {"rationale": "xyzzy"}, "ada", "other words")
    found = {row.question for row in decisions.recent(conn, query=query, category="design")}
    assert found == wanted
    assert [row.question for row in decisions.recent(conn, query="xyzzy")] == ["was"]


HOSTILE = ['"', "*", "a AND", "NEAR(a b", "question:x", "^a", "{a b}:c", "-", "a'--", "tool:Bash",
           "NOT a", "a OR", "\0", "\ud800", "(", "x" * 300, "since:zz", "😀", "$1 ?"]  # fmt: skip


@pytest.mark.parametrize("query", HOSTILE)
def test_syntax_is_data(conn: sqlite3.Connection, query: str) -> None:
    said = query.replace("\0", "").replace("\ud800", "") or "x"
    some(conn, question=f"here: {said}", positions={"ada": said})
    assert len(decisions.recent(conn, query=query)) <= 1
    if any(char.isalnum() for char in said) and not said.startswith("-"):
        assert len(decisions.recent(conn, query=query)) == 1, query


@settings(
    max_examples=examples(10, 25),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.text(max_size=60), st.text(max_size=30))
def test_any_text_and_any_query(conn: sqlite3.Connection, said: str, query: str) -> None:
    try:
        made = some(conn, question=said, rationale=said, positions={"ada": said})
    except DecisionError:
        return
    kept = decisions.get(conn, made.decision_id)
    assert kept is not None
    assert (kept.question, kept.positions) == (said, {"ada": said})
    decisions.recent(conn, query=query)
    assert json.loads(json.dumps(asdict(kept))) == asdict(kept)
    if query.isprintable():
        revise_decision(conn, made.decision_id, {"rationale": query}, "bob", "x")
    # the index has what the table has, and nothing that is gone
    conn.execute("DELETE FROM decisions WHERE decision_id = ?", (made.decision_id,))
    for word in ("ada", "here"):
        assert decisions.recent(conn, query=word) == []


def test_in_the_transaction_of_the_caller(conn: sqlite3.Connection) -> None:
    def fail() -> None:
        with db.transaction(conn):
            some(conn)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert decisions.recent(conn) == []
