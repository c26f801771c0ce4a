"""The work log: what is added, what comes back, and who last touched a file."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentmon.collab import worklog
from agentmon.collab.worklog import WorkEvent, WorkFile
from agentmon.store import db
from tests.worklogs import empty

DAY = 86_400.0
T0 = 1_764_288_000.0
"""2025-11-28 00:00 UTC."""


@pytest.fixture
def conn(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    opened = db.create(tmp_path)
    yield opened
    opened.close()


def metrics(conn: sqlite3.Connection) -> dict[tuple[str, str, str], float]:
    rows = conn.execute("SELECT day, agent, metric, value FROM daily_metrics").fetchall()
    return {row[:3]: row[3] for row in rows}


def edit(key: str, *, at: float = T0, agent: str = "api", path: str = "/p/a.py") -> WorkEvent:
    return WorkEvent(
        event_key=key,
        time=at,
        kind="file_modified",
        agent=agent,
        is_success=True,
        files=[WorkFile(path, 3, 1)],
    )


def test_what_goes_in_comes_out(conn: sqlite3.Connection) -> None:
    event = WorkEvent(
        time=T0 + 5,
        kind="git_commit",
        agent="api\u202e[b]'; DROP TABLE work_events",
        summary="\x1b[31mred\x1b[0m \ud83d",
        commit_hash="abc1234",
        is_success=True,
        metadata={"insertions": 4, "ü": ["\ud83d"]},
        files=[WorkFile("/p/ü.py", 4, None), WorkFile("b.py", 1, 2)],
    )
    assert worklog.add(conn, event)
    (found,) = worklog.recent(conn)
    assert found.event_id == event.event_id
    assert found.event_key.startswith("said:")
    assert (found.agent, found.summary) == (event.agent, "\x1b[31mred\x1b[0m \ufffd")
    assert found.metadata == {"insertions": 4, "ü": ["\ufffd"]}
    assert found.files == [WorkFile("/p/ü.py", 4, None), WorkFile("b.py", 1, 2)]
    assert (found.lines_added, found.lines_deleted) == (5, None)
    assert found.is_success is True
    assert worklog.get(conn, event.event_id) == found


def test_a_key_is_taken_once(conn: sqlite3.Connection) -> None:
    assert worklog.add(conn, edit("one"))
    assert not worklog.add(conn, edit("one", at=T0 + 9))
    assert [event.time for event in worklog.recent(conn)] == [T0]
    assert metrics(conn)["2025-11-28", "api", "lines_added"] == 3


def test_pages_are_newest_first_and_meet(conn: sqlite3.Connection) -> None:
    times = [5.0, 1.0, 3.0, 3.0, 9.0, 3.0, 2.0]
    for number, at in enumerate(times):
        worklog.add(conn, edit(str(number), at=at, agent="ab"[number % 2]))
    seen: list[tuple[float, int]] = []
    before: int | None = None
    while page := worklog.recent(conn, limit=2, before=before):
        seen += [(event.time, event.event_id) for event in page]
        before = page[-1].event_id
    assert seen == sorted(seen, reverse=True)
    assert sorted(at for at, _ in seen) == sorted(times)
    only = worklog.recent(conn, agent="a", kind="file_modified", since=3.0, until=9.0)
    assert [event.time for event in only] == [5.0, 3.0]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"agent": ""}, "agent"),
        ({"agent": "x" * 201}, "agent"),
        ({"agent": "a\nb"}, "agent"),
        ({"kind": "File Edited"}, "kind"),
        ({"time": float("nan")}, "time"),
        ({"time": -1.0}, "time"),
        ({"origin": "guessed"}, "origin"),
        ({"lines_added": -1}, "lines_added"),
        ({"files": [WorkFile("")]}, "files"),
        ({"files": [WorkFile("a", 1, -2)]}, "lines_deleted"),
        ({"metadata": {"a": object()}}, "metadata"),
        ({"metadata": {"a": [float("nan")]}}, "metadata"),
    ],
)
def test_what_is_refused_is_named(
    conn: sqlite3.Connection, change: dict[str, object], field: str
) -> None:
    event = edit("x")
    for name, value in change.items():
        setattr(event, name, value)
    with pytest.raises(worklog.WorkError, match=f"^{field}: "):
        worklog.add(conn, event)
    assert worklog.recent(conn) == []


def test_who_last_touched_a_file_in_which_round_and_why(conn: sqlite3.Connection) -> None:
    for number, prompt in enumerate(("first", "mend the parser"), 1):
        conn.execute(
            "INSERT INTO rounds (round_id, sid, prompts, user_prompt, start_time)"
            " VALUES (?, 's', 1, ?, ?)",
            (f"r{number}", prompt, T0 + number),
        )
    old, new, failed = edit("1"), edit("2", at=T0 + 8, agent="web"), edit("3", at=T0 + 9)
    new.session_id, new.round_id = "s", "r2"
    failed.is_success = False
    for event in (new, old, failed, edit("4", at=T0 + 10, path="/p/b.py")):
        worklog.add(conn, event)
    last, before = worklog.last_touched(conn, "/p/a.py")
    assert (last.event.agent, last.round_number, last.why) == ("web", 2, "mend the parser")
    assert (last.lines_added, last.lines_deleted) == (3, 1)
    assert (before.event.event_key, before.round_number, before.why) == ("1", None, None)
    assert worklog.last_touched(conn, "/p/%") == []
    (of_api,) = worklog.last_touched(conn, "/p/a.py", 1, agent="api")
    assert of_api.event.event_key == "1", "the limit is one of what is wanted"
    (late,) = worklog.last_touched(conn, "/p/a.py", since=T0 + 8, kind="file_modified")
    assert late.event.event_key == "2"
    assert worklog.paths_like(conn, "a.py") == ["/p/a.py"]
    assert worklog.paths_like(conn, "./p/a.py") == ["/p/a.py"]
    assert worklog.paths_like(conn, "%.py") == []


def test_activity_of_an_agent(conn: sqlite3.Connection) -> None:
    now = T0 + 2 * DAY
    run = WorkEvent(
        time=T0 + DAY + 1,
        kind="test_run",
        agent="api",
        is_success=False,
        metadata={"passed": 7, "failed": 2},
    )
    commit = WorkEvent(time=now - 1, kind="git_commit", agent="api", lines_added=6, lines_deleted=2)
    before = [edit("old", at=T0 - 8 * DAY), edit("other", agent="web")]
    for event in (*before, edit("1"), edit("2", at=T0 + 60, path="/p/b.py"), run, commit):
        worklog.add(conn, event)
    found = worklog.agent_activity(conn, "api", 7, now=now)
    assert found.events == 4
    assert found.kinds == {"file_modified": 2, "test_run": 1, "git_commit": 1}
    assert (found.commits, found.files, found.failures) == (1, 2, 1)
    assert (found.lines_added, found.lines_deleted) == (6, 2), "a commit's lines are not new ones"
    assert (found.tests_passed, found.tests_failed) == (7, 2)
    assert found.days == {"2025-11-28": 2, "2025-11-29": 2}
    assert (found.first, found.last) == (T0, now - 1)
    nobody = worklog.agent_activity(conn, "nobody", 0, now=now)
    assert (nobody.events, nobody.first, nobody.days) == (0, None, {})


def derived(at: float, lines: int) -> WorkEvent:
    event = edit("call:t:0", at=at)
    event.origin, event.tool_use_id, event.files[0].lines_added = "derived", "t", lines
    return event


def test_what_is_derived_anew_replaces_what_was(conn: sqlite3.Connection) -> None:
    said = edit("said")
    said.tool_use_id = "t"
    worklog.add(conn, said)
    worklog.replace(conn, "t", [derived(T0, 3), edit_of_call("call:t:1")])
    ids = [event.event_id for event in worklog.of_call(conn, "t")]
    worklog.replace(conn, "t", [derived(T0, 3), edit_of_call("call:t:1")])
    assert [event.event_id for event in worklog.of_call(conn, "t")] == ids, "nothing is new"
    worklog.replace(conn, "t", [derived(T0 + DAY, 10)])
    assert [event.event_key for event in worklog.of_call(conn, "t")] == ["said", "call:t:0"]
    assert metrics(conn) == {
        ("2025-11-28", "api", "work_events"): 1,
        ("2025-11-28", "api", "lines_added"): 3,
        ("2025-11-28", "api", "lines_deleted"): 1,
        ("2025-11-29", "api", "work_events"): 1,
        ("2025-11-29", "api", "lines_added"): 10,
        ("2025-11-29", "api", "lines_deleted"): 1,
    }
    assert [touch.lines_added for touch in worklog.last_touched(conn, "/p/a.py")] == [10, 3]


def edit_of_call(key: str) -> WorkEvent:
    event = edit(key)
    event.origin, event.tool_use_id = "derived", "t"
    return event


@given(name=st.text(max_size=220), path=st.text(max_size=40), summary=st.text())
def test_any_text_is_kept_or_refused(name: str, path: str, summary: str) -> None:
    conn = empty()
    event = WorkEvent(time=1.0, kind="note", agent=name, summary=summary, files=[WorkFile(path)])
    try:
        worklog.add(conn, event)
    except worklog.WorkError:
        assert worklog.recent(conn) == []
        return
    (found,) = worklog.recent(conn, agent=name)
    assert (found.agent, found.summary, found.files) == (name, summary, [WorkFile(path)])
    assert [touch.path for touch in worklog.last_touched(conn, path)] == [path]
