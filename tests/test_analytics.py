"""What work adds up to, against values computed by hand or without the program."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentmon.collab import analytics, worklog
from agentmon.collab.worklog import WorkEvent, WorkFile
from agentmon.core import moments as spans
from agentmon.store import db
from tests.asking import oracle
from tests.differential import ingest
from tests.near import near
from tests.retention import NOW, bring_back, clean, gone, small_store

T0 = 1_764_288_000.0
"""2025-11-28 00:00 UTC, a Friday."""
DAY = 86_400.0


@pytest.fixture
def conn(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    opened = db.create(tmp_path)
    yield opened
    opened.close()


def session(conn: sqlite3.Connection, sid: str, cwd: str, first: float, last: float) -> None:
    conn.execute(
        "INSERT INTO sessions (sid, agent, cwd, first_time, last_time, ended_at)"
        " VALUES (?, 'claude', ?, ?, ?, ?)",
        (sid, cwd, first, last, last),
    )
    conn.execute("INSERT INTO agents (sid, agent_id, phase) VALUES (?, '', 'idle')", (sid,))


def message(
    conn: sqlite3.Connection,
    sid: str,
    start: float,
    end: float,
    *calls: tuple[str, float, float | None],
    agent_id: str | None = None,
    tokens: int = 0,
) -> None:
    """A message with its calls: (tool, when it was complete, when its result came)."""
    flow = f"{sid}-{agent_id}-{start}"
    conn.execute(
        "INSERT INTO messages (flow_id, seq, sid, agent_id, start_time, end_time, input_tokens,"
        " output_tokens, cache_read_tokens) VALUES (?, 1, ?, ?, ?, ?, ?, 1, 999)",
        (flow, sid, agent_id, start, end, tokens - 1),
    )
    for index, (tool, at, result) in enumerate(calls):
        conn.execute(
            "INSERT INTO content_blocks (flow_id, block_index, sid, block_type, tool_use_id,"
            " tool_name, complete_time, result_time) VALUES (?, ?, ?, 'tool_use', ?, ?, ?, ?)",
            (flow, index, sid, f"{flow}#{index}", tool, at, result),
        )


def prompt(conn: sqlite3.Connection, sid: str, *times: float) -> None:
    for ordinal, at in enumerate(times):
        conn.execute(
            "INSERT INTO prompts (sid, ordinal, time, text, round_id) VALUES (?, ?, ?, 'x', 'r')",
            (sid, ordinal, at),
        )


def notice(conn: sqlite3.Connection, sid: str, at: float, name: str, data: str) -> None:
    conn.execute(
        "INSERT INTO notices (sid, time, name, data) VALUES (?, ?, ?, ?)", (sid, at, name, data)
    )


@pytest.fixture
def busy(conn: sqlite3.Connection) -> sqlite3.Connection:
    """Two agents in an hour, minute by minute in the comments."""
    m = 60.0
    session(conn, "a", "/w/api", T0, T0 + 60 * m)
    prompt(conn, "a", T0 + 1 * m)  # 1 to 2 the API owes a byte, 2 to 4 it writes
    message(
        conn, "a", T0 + 2 * m, T0 + 4 * m,
        ("Bash", T0 + 3 * m, T0 + 10 * m),  # … 10 runs, of that 5 … 10 a person is asked
        tokens=100,
    )  # fmt: skip
    notice(conn, "a", T0 + 5 * m, "permission_request", '{"tool_name": "Bash"}')
    notice(conn, "a", T0 + 6 * m, "permission_request", "broken {")
    message(conn, "a", T0 + 12 * m, T0 + 13 * m, tokens=11)  # 10 … 12 owed, … 13 written
    conn.execute(
        "INSERT INTO agents (sid, agent_id, phase, kind, description)"
        " VALUES ('a', 'sub', 'idle', 'Explore', 'look')"
    )
    message(
        conn, "a", T0 + 20 * m, T0 + 21 * m, ("Read", T0 + 21 * m, T0 + 22 * m),
        agent_id="sub", tokens=7,
    )  # fmt: skip
    session(conn, "b", "/w/web", T0 + 30 * m, T0 + 40 * m)
    message(conn, "b", T0 + 30 * m, T0 + 32 * m, ("AskUserQuestion", T0 + 32 * m, T0 + 36 * m))
    conn.execute(
        "INSERT INTO verdicts (sid, agent_id, verdict, since, until, evidence)"
        " VALUES ('b', '', 'stalled', ?, ?, '{}')",
        (T0 + 38 * m, T0 + 39 * m),
    )
    return conn


def test_utilisation(busy: sqlite3.Connection) -> None:
    found = {one.agent: one for one in analytics.utilisation(busy, T0, T0 + DAY)}
    minutes = {
        name: [round(x / 60, 3) for x in (one.busy, one.blocked, one.idle)]
        for name, one in found.items()
    }
    assert minutes == {
        "api": [4 + 3, 5, 60 - 12],
        "Explore: look": [2, 0, 0],
        "web": [2, 4 + 1, 2 + 1],
    }
    assert [(start - T0, end - T0, what) for start, end, what in found["web"].spans] == [
        (1800, 1920, "busy"),
        (1920, 2160, "blocked"),
        (2160, 2280, "idle"),
        (2280, 2340, "blocked"),
        (2340, 2400, "idle"),
    ]
    (cut,) = analytics.utilisation(busy, T0 + 180, T0 + 360)
    assert (cut.agent, cut.busy, cut.blocked, cut.idle) == ("api", 120, 60, 0)


def test_a_call_without_a_result_runs_until_now_if_somebody_is_there(
    conn: sqlite3.Connection,
) -> None:
    session(conn, "a", "/w/api", T0, T0 + 10)
    message(conn, "a", T0, T0 + 10, ("Bash", T0 + 10, None))
    conn.execute("UPDATE sessions SET ended_at = NULL")
    assert analytics.utilisation(conn, T0, T0 + 100)[0].busy == 100
    assert analytics.utilisation(conn, T0, T0 + 2 * DAY)[0].busy == 10
    conn.execute("UPDATE sessions SET ended_at = ?", (T0 + 30,))
    assert analytics.utilisation(conn, T0, T0 + 100)[0].busy == 30


def work(conn: sqlite3.Connection, agent: str, at: float, kind: str, added: int = 0) -> None:
    files = [WorkFile(f"/{agent}", added, 0)] if kind.startswith("file") else []
    worklog.add(conn, WorkEvent(time=at, kind=kind, agent=agent, files=files))


def test_balance(busy: sqlite3.Connection) -> None:
    work(busy, "api", T0 + 1, "file_modified", 30)
    work(busy, "api", T0 + 2, "git_commit")
    work(busy, "web", T0 + 3, "file_created", 10)
    work(busy, "late", T0 + DAY, "file_created", 10)
    found = analytics.balance(busy, T0, T0 + DAY, subagents=True)
    assert [one.agent for one in found.shares] == ["api", "web", "Explore: look"]
    api, web, look = found.shares
    assert (api.events, api.commits, api.lines, api.tool_calls) == (2, 1, 30, 1)
    assert (api.busy_seconds, api.tokens) == (420, 111)
    assert (look.tool_calls, look.busy_seconds, look.tokens) == (1, 120, 7)
    assert api.shares == near(
        {
            "events": 200 / 3,
            "commits": 100,
            "lines": 75,
            "tool_calls": 100 / 3,
            "busy_seconds": 100 * 420 / 660,
            "tokens": 100 * 111 / 118,
        }
    )
    by_hand = (200 / 3 + 100 + 75 + 100 / 3 + 100 * 420 / 660 + 100 * 111 / 118) / 6
    assert api.share == near(by_hand)
    assert sum(one.share for one in found.shares) == near(100)
    assert web.commits == 0
    assert found.warning is None, "nothing was checked"


def test_what_subagents_did_is_their_sessions(busy: sqlite3.Connection) -> None:
    one = WorkEvent(time=T0 + 1, kind="note", agent="Explore: look", files=[WorkFile("/x", 2, 1)])
    one.session_id, one.thread_agent = "a", "sub"
    worklog.add(busy, one)
    gone = WorkEvent(time=T0 + 1, kind="note", agent="other", session_id="gone", thread_agent="x")
    worklog.add(busy, gone)
    found = {one.agent: one for one in analytics.balance(busy, T0, T0 + DAY).shares}
    assert set(found) == {"api", "web", "other"}
    api = found["api"]
    assert (api.events, api.lines, api.tool_calls, api.tokens) == (1, 3, 2, 118)
    assert api.busy_seconds == 420 + 120


@pytest.mark.parametrize(
    ("events", "threshold", "warned"),
    [
        ({}, 70, []),
        ({"a": 5}, 70, []),
        ({"a": 7, "b": 3}, 70, []),
        ({"a": 8, "b": 2}, 70, ["a", "b"]),
        ({"a": 5, "b": 5}, 50, []),
        ({"a": 6, "b": 4}, 50, ["a", "b"]),
        ({"a": 60, "b": 25, "c": 15}, 70, ["c"]),
        ({"a": 40, "b": 40, "c": 20}, 70, []),
        ({"a": 71, "b": 29}, 100, []),
        ({"a": 99, "b": 1}, 0, ["a", "b"]),
    ],
)
def test_balance_is_checked(
    conn: sqlite3.Connection, events: dict[str, int], threshold: float, warned: list[str]
) -> None:
    for agent, count in events.items():
        for number in range(count):
            work(conn, agent, T0 + number, "note")
    found = analytics.check_balance(conn, T0, T0 + DAY, threshold)
    words = (found.warning or "").replace(",", " ").replace("(", " ").split()
    assert [name for name in events if name in words] == warned
    assert (found.warning is None) == (not warned)


def test_little_work_is_not_judged(conn: sqlite3.Connection) -> None:
    def check(least: int = analytics.LEAST) -> analytics.Balance:
        return analytics.check_balance(conn, T0, T0 + DAY, least=least)

    work(conn, "b", T0, "note")
    for number in range(8):
        work(conn, "a", T0 + number, "note")
        assert (check().warning, check().is_little) == (None, True)
    assert check(9).warning is not None
    work(conn, "a", T0 + 9, "note")
    found = check()
    assert (found.done, found.is_little) == (10, False)
    assert found.warning is not None
    assert check(11).warning is None


def test_calls_are_work_that_can_be_judged(busy: sqlite3.Connection) -> None:
    found = analytics.check_balance(busy, T0, T0 + DAY, 50, least=3)
    assert found.done == 3  # Bash, Read and AskUserQuestion
    assert found.warning is not None
    assert analytics.check_balance(busy, T0, T0 + DAY, 50, least=4).is_little


def test_the_fair_floor() -> None:
    floors = [round(analytics.fair_floor(agents, 70), 6) for agents in range(6)]
    assert floors == [0, 0, 30, 20, 15, 12]
    assert analytics.fair_floor(2, 20) == 50
    assert analytics.fair_floor(2, 100) == 0


def table(conn: sqlite3.Connection) -> dict[tuple[str, str, str], float]:
    rows = conn.execute("SELECT * FROM daily_metrics")
    return {(day, agent, metric): value for day, agent, metric, value in rows}


def test_by_day_and_rebuilt(busy: sqlite3.Connection) -> None:
    session(busy, "night", "/w/api", T0 + DAY - 100, T0 + DAY + 50)
    message(busy, "night", T0 + DAY - 30, T0 + DAY + 40, tokens=5)
    for at, lines in ((T0 + 5, 3), (T0 + 6, 4), (T0 + DAY, 10)):
        work(busy, "api", at, "file_modified", lines)
    busy.execute("INSERT INTO daily_metrics VALUES ('2025-11-28', 'api', 'messages_sent', 4)")
    counted = table(busy)
    busy.execute("UPDATE daily_metrics SET value = 77 WHERE metric = 'lines_added'")
    busy.execute("INSERT INTO daily_metrics VALUES ('2025-11-28', 'gone', 'commits', 4)")
    analytics.rebuild(busy, T0, T0 + 2 * DAY)
    found = table(busy)
    assert counted.items() <= found.items(), "as it was counted one by one"
    assert not any(agent == "gone" for _, agent, _ in found)
    assert found["2025-11-28", "api", "lines_added"] == 7
    assert found["2025-11-29", "api", "lines_added"] == 10
    assert found["2025-11-28", "api", "busy_seconds"] == 420 + 30
    assert found["2025-11-29", "api", "busy_seconds"] == 40
    assert found["2025-11-28", "api", "blocked_seconds"] == 300
    assert found["2025-11-28", "web", "blocked_seconds"] == 300
    assert found["2025-11-28", "api", "tool_calls"] == 1
    assert found["2025-11-28", "api", "tokens"] == 111
    assert found["2025-11-29", "api", "tokens"] == 5
    analytics.rebuild(busy, T0, T0 + 2 * DAY)
    assert table(busy) == found
    now = T0 + DAY + 1000
    assert analytics.per_day(busy, "lines_added", 3, now) == {"api": [0, 7, 10]}
    assert analytics.per_day(busy, "messages_sent", 2, now) == {"api": [4, 0]}
    assert analytics.per_day(busy, "busy_seconds", 1, now) == {"api": [40]}
    assert analytics.per_day(busy, "commits", 0, now) == {}


def test_events_of_a_clock_that_goes_ahead_stay_counted(busy: sqlite3.Connection) -> None:
    work(busy, "api", T0 + 5, "file_modified", 3)
    work(busy, "api", T0 + 2000, "file_modified", 4)
    work(busy, "api", T0 + DAY, "file_modified", 8)
    counted = table(busy)
    analytics.rebuild(busy, T0, T0 + 1000)
    assert counted.items() <= table(busy).items()
    assert table(busy)["2025-11-28", "api", "lines_added"] == 7


def test_what_sessions_did_that_cleanup_took_out_stays_counted(tmp_path: Path) -> None:
    data_dir = small_store(tmp_path / "store")

    def rebuilt() -> dict[tuple[str, str, str], float]:
        conn = db.create(data_dir)
        try:
            analytics.rebuild(conn, T0 - 30 * DAY, NOW)
            return table(conn)
        finally:
            conn.close()

    before = rebuilt()
    assert {metric for _, _, metric in before} >= {"tokens", "tool_calls", "busy_seconds"}
    sids = gone(clean(data_dir))
    assert rebuilt() == before
    bring_back(data_dir, sids)
    assert rebuilt() == before


def test_the_last_week(conn: sqlite3.Connection) -> None:
    empty = analytics.weekly_summary(conn, T0)
    assert (empty.agents, empty.busiest_day) == ([], None)
    assert set(empty.totals.values()) == {0}
    for days, agent, lines in (
        (0, "a", 1),
        (-6, "a", 2),
        (-7, "a", 4),
        (-13, "b", 8),
        (-14, "b", 9),
    ):
        work(conn, agent, T0 + days * DAY, "file_modified", lines)
    work(conn, "a", T0 - 6 * DAY + 5, "git_commit")
    found = analytics.weekly_summary(conn, T0 + 3600)
    assert {
        one.agent: (one.now["lines_added"], one.before["lines_added"]) for one in found.agents
    } == {
        "a": (3, 4),
        "b": (0, 8),
    }
    assert (found.totals["work_events"], found.totals_before["work_events"]) == (3, 2)
    assert found.totals["commits"] == 1
    assert found.busiest_day == "2025-11-22"


def test_calls_and_tokens_of_a_recording(shared: Path, tmp_path: Path) -> None:
    log = shared / "captures" / "claude-concurrent" / "sse_lines.jsonl"
    ingest(tmp_path, [log])
    rows = [row for row in oracle(log) if row.get("agent_id") != "side"]
    conn = db.open_reading(tmp_path)
    found = analytics.balance(conn, 0.0, 4e9).shares
    conn.close()
    flows = {row["flow_id"]: row for row in rows if row["kind"] == "message"}
    calls = [
        row
        for row in rows
        if row["kind"] == "block" and row["block_type"] == "tool_use" and row["flow_id"] in flows
    ]
    names = ("input_tokens", "cache_write_tokens", "output_tokens")
    tokens = sum(row[name] or 0 for row in flows.values() for name in names)
    assert len(calls) > 10
    assert sum(one.tool_calls for one in found) == len(calls)
    assert sum(one.tokens for one in found) == tokens
    assert {f"claude-concurrent-p{number}" for number in range(5)} <= {one.agent for one in found}


SPANS = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), max_size=8)


@given(SPANS, SPANS, st.integers(0, 30), st.integers(0, 30))
def test_spans_are_sets_of_moments(
    some: list[tuple[int, int]], others: list[tuple[int, int]], since: int, until: int
) -> None:
    def moments(spans: list[tuple[float, float]] | list[tuple[int, int]]) -> set[int]:
        return {at for start, end in spans for at in range(int(start), int(end))}

    one, two = spans.union(some), spans.union(others)
    assert moments(one) == moments(some)
    assert spans.seconds(one) == len(moments(some))
    assert moments(spans.without(one, two)) == moments(some) - moments(others)
    assert moments(spans.clipped(one, since, until)) == {
        at for at in moments(some) if since <= at < until
    }
