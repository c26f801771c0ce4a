"""`agentmon errors` against figures computed from the raw lines, and at the edges."""

import json
import statistics
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from agentmon import cli
from agentmon.commands import options
from agentmon.core.spread import BOUNDS, buckets, quantile, spread
from agentmon.report import failures
from agentmon.store import db, read_durations, read_tools
from agentmon.store.read_tools import Scope
from tests import feeds, golden
from tests.differential import ingest
from tests.feeds import asking
from tests.nearly import close
from tests.oracle import dump_of
from tests.ui_store import NOW, UiStore, fill
from tests.wire import START, Talk, tool_result

AT = START / 1000


def talks() -> list[bytes]:
    """Two sessions: eight calls of Bash of which three fail, one of Edit that is pending."""
    first, second = Talk(feeds.sid_of(1)), Talk(feeds.sid_of(2))
    lines: list[bytes] = []
    for n, (took, is_error) in enumerate(RUNS, 1):
        talk = first if n % 2 else second
        at = n * 100_000
        lines += asking(talk, at, n=n)
        said = tool_result(f"toolu_{n}", f"out {n}", **({"is_error": True} if is_error else {}))
        lines.append(talk.line("tool_result", at + 180 + took, said, round_id=f"round-{n}"))
        lines.append(talk.line("stop", at + 90_000, {"agent_id": talk.sid}, round_id=f"round-{n}"))
    lines += asking(second, 1_000_000, n=20, name="Edit")
    broken = {"error": {"type": "overloaded_error", "message": "Overloaded"}, "request_id": "r21"}
    return [
        *lines,
        first.prompt(1_100_000, "again", "u21", round_id="round-21"),
        first.start(21, 1_100_100, round_id="round-21"),
        first.line("error", 1_100_200, broken, flow="m21", round_id="round-21"),
    ]


RUNS = (
    *((40, False), (250, False), (1_700, True), (5_000, False)),
    *((11_000, False), (40_000, True), (60_000, False), (80, True)),
)
"""Milliseconds of each run, and whether it failed."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    where = tmp_path_factory.mktemp("errors")
    log = feeds.write(where / "sse_lines.jsonl", talks())
    ingest(where / "data", [log])
    return where / "data"


@pytest.fixture(autouse=True)
def now(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(options, "now", lambda: AT + 1_200)


def answer(folder: Path, *args: str) -> dict[str, Any]:
    done = CliRunner().invoke(cli.main, ["errors", "--data-dir", str(folder), "--json", *args])
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def test_the_figures_are_those_of_the_raw_log(folder: Path) -> None:
    rows = dump_of([b"".join(line + b"\n" for line in talks())])
    names = {row["tool_use_id"]: row["tool_name"] for row in rows if row["kind"] == "block"}
    results = [row for row in rows if row["kind"] == "tool_result"]
    took = [(row["is_error"], float(str(row["execution_duration_ms"])) / 1000) for row in results]
    assert {names[row["tool_use_id"]] for row in results} == {"Bash"}
    bash, edit = answer(folder)["tools"]
    assert (bash["tool_name"], bash["calls"], bash["pending"]) == ("Bash", 8, 0)
    assert (bash["errors"], bash["error_rate"]) == (3, 3 / 8)
    for name, is_error in (("succeeded", False), ("failed", True)):
        values = [seconds for failed, seconds in took if failed == is_error]
        assert bash[name]["count"] == len(values)
        assert close(bash[name]["mean"], statistics.mean(values))
        assert close(bash[name]["median"], statistics.median(values))
        twentieths = statistics.quantiles(values, n=20, method="inclusive")
        assert close(bash[name]["p95"], twentieths[-1])
    nothing = {"count": 0, "mean": None, "median": None, "p95": None}
    assert edit == {
        "tool_name": "Edit",
        "calls": 1,
        "pending": 1,
        "results": 0,
        "errors": 0,
        "error_rate": None,
        "succeeded": nothing,
        "failed": nothing,
    }


def test_json_is_pinned(folder: Path) -> None:
    golden.check("errors", answer(folder))


def test_since_session_and_agent_narrow(folder: Path) -> None:
    since = answer(folder, "--since", datetime.fromtimestamp(AT + 550, UTC).isoformat())
    assert [tool["calls"] for tool in since["tools"]] == [3, 1]
    late = answer(folder, "--since", "2m")
    assert late["tools"] == []
    assert [row["kind"] for row in late["failures"]] == ["api"]
    second = answer(folder, "--session", feeds.sid_of(2)[:36])
    assert second["session"] == feeds.sid_of(2)
    bash, _ = second["tools"]
    assert (bash["calls"], bash["errors"]) == (4, 2)
    assert second["api_errors"] == []
    assert answer(folder, "--agent", "codex")["tools"] == []
    assert answer(folder, "--agent", "claude")["tools"] == answer(folder)["tools"]
    assert answer(folder, "--agent", "claude")["failures"] == answer(folder)["failures"]
    main = answer(folder, "--session", feeds.sid_of(1), "--agent", "main")
    assert main["tools"] == answer(folder, "--session", feeds.sid_of(1))["tools"]
    assert answer(folder, "--session", feeds.sid_of(1), "--agent", "a1")["tools"] == []


def test_failures_say_where(folder: Path) -> None:
    found = answer(folder)
    newest = found["failures"]
    assert [row["kind"] for row in newest] == ["api", "tool", "tool", "tool"]
    assert newest[1]["tool_use_id"] == "toolu_8"
    assert (newest[1]["session"], newest[1]["round_number"]) == ("p", 4)
    (kind,) = found["api_errors"]
    assert (kind["kind"], kind["count"]) == ("overloaded_error", 1)


@pytest.mark.parametrize("width", [60, 80, 160])
def test_the_text_fits(folder: Path, width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    done = CliRunner().invoke(cli.main, ["errors", "--data-dir", str(folder)])
    assert done.exit_code == 0
    assert all(len(line) <= width for line in done.output.splitlines())
    for said in ("Bash", "overloaded_error", "#4"):
        assert said in done.output


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (("--since", "tomorrow-ish"), 2, "is no time"),
        (("--session", "nobody"), 1, "no session answers to 'nobody'"),
    ],
)
def test_bad_input(folder: Path, args: tuple[str, ...], code: int, said: str) -> None:
    done = CliRunner().invoke(cli.main, ["errors", "--data-dir", str(folder), *args])
    assert done.exit_code == code
    assert said in done.output


def test_an_empty_store_says_so(tmp_path: Path) -> None:
    db.create(tmp_path).close()
    done = CliRunner().invoke(cli.main, ["errors", "--data-dir", str(tmp_path)])
    assert (done.exit_code, done.stdout) == (0, "No tool was called, and nothing failed.\n")
    assert answer(tmp_path)["tools"] == []


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ("overloaded_error: Overloaded", "overloaded_error"),
        ('API Error: 529 {"type":"error","error":{"type":"overloaded_error"}}', "overloaded_error"),
        ("API Error: 429 rate limit", "http 429"),
        ("rate_limit_exceeded: slow down", "rate_limit_exceeded"),
        ("stream disconnected before completion: idle", "stream disconnected before completion"),
        ("", "unknown"),
    ],
)
def test_kinds_of_api_errors(error: str, kind: str) -> None:
    assert failures.error_kind(error) == kind


seconds = st.floats(0, 5_000, allow_nan=False)


@given(st.lists(seconds, min_size=2, max_size=60))
def test_spread_is_that_of_the_library(values: list[float]) -> None:
    found = spread(sorted(values))
    assert found.count == len(values)
    assert close(found.mean, statistics.fmean(values))
    assert close(found.median, statistics.median(values))
    last = statistics.quantiles(values, n=20, method="inclusive")[-1]
    assert close(found.p95, last)


@given(st.lists(seconds | st.sampled_from(BOUNDS), max_size=60))
def test_each_duration_is_in_its_bucket(values: list[float]) -> None:
    found = [0] * (len(BOUNDS) + 1)
    for value in values:
        found[sum(bound <= value for bound in BOUNDS)] += 1
    assert buckets(sorted(values)) == tuple(found)


def test_none_and_one() -> None:
    assert spread([]) == spread([]).__class__(0, None, None, None)
    one = spread([7.0])
    assert (one.count, one.mean, one.median, one.p95) == (1, 7.0, 7.0, 7.0)
    assert quantile([3.0], 0.95) == 3.0


def random_store(folder: Path) -> UiStore:
    """Calls whose durations cover every bucket and its bounds."""
    store = UiStore(folder)
    for n, took in enumerate([*BOUNDS, 0.0, -2.0, 0.05, 0.2, 7.5, 7.5, 5_000.0, 44.0, 45.0]):
        for name, error in (("Bash", n % 3 == 0), ("Read", None), (None, n % 2)):
            store.block(
                "s",
                f"m{n}{name}",
                0,
                "tool_use",
                "",
                tool_use_id=f"t{n}{name}",
                tool_name=name,
                complete_time=NOW - 10_000,
                result_time=NOW - 10_000 + took,
                result_is_error=error,
            )
    return store


def test_counting_along_the_index_is_exact(tmp_path: Path) -> None:
    conn = random_store(tmp_path).conn
    assert read_tools.tool_names(conn) == ["Bash", "Read", None]
    for name in ("Bash", "Read", None):
        counted = read_tools.tool(conn, name)
        fetched = read_tools.tool(conn, name, scope=Scope(since=0.0))
        assert counted is not None
        assert fetched is not None
        assert counted.buckets == fetched.buckets
        for ours, theirs in (
            (counted.succeeded, fetched.succeeded),
            (counted.failed, fetched.failed),
        ):
            assert ours.count == theirs.count
            for field in ("mean", "median", "p95"):
                assert close(getattr(ours, field), getattr(theirs, field))
    assert read_tools.tool(conn, "Nobody") is None


def test_calls_come_in_pages(tmp_path: Path) -> None:
    store = UiStore(tmp_path)
    fill(store)
    for n in range(25):
        store.message("s", None, f"m{n:02}", NOW)
        store.block(
            "s", f"m{n:02}", 0, "tool_use", "", tool_name="Glob", complete_time=NOW + n // 5
        )
    found: list[str] = []
    after = None
    while page := read_tools.calls(store.conn, "Glob", after=after, limit=4):
        found += [call.flow_id for call in page]
        after = (page[-1].called_at, page[-1].flow_id, page[-1].index)
    assert found == [f"m{n:02}" for n in reversed(range(25))]


@pytest.fixture
def statements(tmp_path: Path) -> Iterator[tuple[UiStore, list[str]]]:
    store = UiStore(tmp_path)
    fill(store)
    said: list[str] = []
    store.conn.set_trace_callback(said.append)
    yield store, said
    store.conn.set_trace_callback(None)


def test_every_question_is_answered_by_an_index(statements: tuple[UiStore, list[str]]) -> None:
    store, said = statements
    conn = store.conn
    scopes = [
        Scope(),
        Scope(NOW - 3600),
        Scope(agent="claude"),
        Scope(NOW - 1, sid="a", agent="main"),
    ]
    for scope in scopes:
        found = failures.Failures(conn, scope)
        assert [*failures.json_pieces(found)]
        list(read_tools.tools(conn, scope))
    read_tools.calls(conn, "Bash", since=0.0)
    conn.set_trace_callback(None)
    asked = {sql for sql in said if "FROM" in sql}
    assert len(asked) > 20
    for sql in asked:
        plan = [row[3] for row in conn.execute("EXPLAIN QUERY PLAN " + sql.replace("Inf", "9e999"))]
        for step in plan:
            big = ("content_blocks", "messages", " b", " m")
            is_big = step.startswith("SCAN ") and any(step[5:].startswith(t.strip()) for t in big)
            assert not is_big or "USING" in step, (sql, plan)
    plan = conn.execute(f"EXPLAIN QUERY PLAN {read_durations.NTH}", ("Bash", 0, 0, 1, 5)).fetchall()
    assert [row[3].split(" (")[0] for row in plan] == [
        "SEARCH content_blocks USING INDEX blocks_by_duration"
    ]
