"""`agentmon work` and `agentmon balance`, over two small recorded sessions, as a user runs them."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from agentmon.cli import main
from agentmon.collab import work_of_calls
from agentmon.collab.deriving import catch_up
from agentmon.commands import options
from tests import golden
from tests.cli_run import assert_one_sentence, run
from tests.differential import ingest
from tests.near import near

DATA = Path(__file__).parent / "data"
NOW = 1_772_442_600.0
"""2026-03-02 09:10 UTC, some minutes after both sessions."""


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("work") / "store"
    ingest(folder, [DATA / "work_api.jsonl", DATA / "work_web.jsonl"])
    assert catch_up(folder, [work_of_calls.RULE]) == 0
    return folder


@pytest.fixture(autouse=True)
def fixed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(options, "now", lambda: NOW)


def said(store: Path, *args: str, code: int = 0) -> str:
    done = CliRunner().invoke(main, [*args, "--data-dir", str(store)])
    assert done.exit_code == code, done.output
    return done.stdout


def asked(store: Path, *args: str) -> Any:
    return json.loads(said(store, *args, "--json"))


def unnumbered(event: dict[str, Any]) -> dict[str, Any]:
    """Which of two sessions is gone through first, and gets the lower numbers, is left open."""
    return {key: value for key, value in event.items() if key != "event_id"}


def test_the_log(store: Path) -> None:
    rows = asked(store, "work")
    golden.check("work", [unnumbered(row) for row in rows])
    told = [(row["agent"], row["kind"], row["is_success"]) for row in rows[::-1]]
    assert told == [
        ("api", "file_modified", True),
        ("api", "file_created", True),
        ("api", "test_run", False),
        ("api", "file_modified", False),
        ("api", "test_run", True),
        ("api", "git_commit", True),
        ("api", "file_deleted", None),
        ("api", "deployment", True),
        ("web", "file_modified", True),
        ("web", "test_run", True),
        ("web", "file_moved", True),
        ("web", "git_commit", True),
    ]
    assert [
        (r["lines_added"], r["lines_deleted"]) for r in rows if r["lines_added"] is not None
    ] == [
        (1, 2),
        (7, 1),
        (5, 0),
        (3, 2),
    ]
    (commit,) = asked(store, "work", "--kind", "git_commit", "--agent", "api")
    assert (commit["commit_hash"], commit["summary"]) == (
        "1a2b3c4", "The parser keeps the last row",
    )  # fmt: skip
    assert asked(store, "work", "--since", "1m") == []
    assert len(asked(store, "work", "--limit", "3")) == 3


def test_the_log_as_text(store: Path) -> None:
    lines = said(store, "work").splitlines()
    assert len(lines) == 13
    assert "1a2b3c4 The parser keeps" in said(store, "work", "--kind", "git_commit")
    assert "3 passed, 1 skipped" in said(store, "work", "--kind", "test_run", "--agent", "web")
    assert said(store, "work", "--agent", "nobody") == ""
    assert said(store, "work", "--ascii").isascii()


def test_who_touched_a_file_and_why(store: Path) -> None:
    rows = asked(store, "work", "--file", "parser.py")
    golden.check("work_file", [{**row, "event": unnumbered(row["event"])} for row in rows])
    assert [(row["event"]["agent"], row["why"], row["round_number"]) for row in rows] == [
        ("api", "mend the parser, it drops the last row", 1)
    ]
    (renamed,) = asked(store, "work", "--file", "/home/u/web/title.ts")
    assert renamed["event"]["kind"] == "file_moved"
    text = said(store, "work", "--file", "header.ts")
    assert "rename the" in text
    assert "\x1b" not in text
    assert said(store, "work", "--file", "nothing.py") == ""
    assert len(asked(store, "work", "--file", "title.ts")) > 0
    for unmet in (("--kind", "test_run"), ("--since", "1m"), ("--agent", "api")):
        assert asked(store, "work", "--file", "title.ts", *unmet) == []


def test_balance(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    value = asked(store, "balance", "--days", "1")
    golden.check("balance", value)
    api, web = value["shares"]
    assert (api["agent"], web["agent"]) == ("api", "web")
    assert (api["events"], web["events"]) == (8, 4)
    assert (api["commits"], web["commits"]) == (1, 1)
    assert (api["lines"], web["lines"]) == (3 + 2 + 5, 1 + 2)
    assert (api["tool_calls"], web["tool_calls"]) == (6, 3)
    assert (api["tokens"], web["tokens"]) == (6 * 70 + 11, 3 * 70 + 11)
    busy = {"api": 6 * 4 + (1 + 1 + 9 + 1 + 8 + 6) + 3, "web": 3 * 4 + (1 + 5 + 2) + 3}
    assert {row["agent"]: row["busy_seconds"] for row in (api, web)} == busy
    parts = [8 / 12, 1 / 2, 10 / 13, 6 / 9, busy["api"] / sum(busy.values()), 431 / (431 + 221)]
    assert api["share"] == near(100 * sum(parts) / 6, abs=1e-3)
    assert value["warning"] is None
    strict = asked(store, "balance", "--days", "1", "--threshold", "55")
    assert strict["warning"].startswith("api does 66% of the work, more than 55%; web (34%)")
    assert "! api does" in said(store, "balance", "--days", "1", "--threshold", "55")
    monkeypatch.setenv("AGENTMON_BALANCE__LEAST", "22")
    little = asked(store, "balance", "--days", "1", "--threshold", "55")
    assert (little["warning"], little["least"]) == (None, 22)
    words = said(store, "balance", "--days", "1", "--threshold", "55")
    assert "too little to compare: 21 of 22 events and calls" in words
    later = asked(store, "balance", "--since", "10s")
    assert (later["shares"], later["warning"]) == ([], None)
    assert "nobody did anything" in said(store, "balance", "--since", "10s")


def test_the_week(store: Path) -> None:
    value = asked(store, "balance", "--week")
    golden.check("balance_week", value)
    assert value["busiest_day"] == "2026-03-02"
    assert value["totals"]["tests_passed"] == 4 + 5 + 3
    assert value["totals"]["tests_failed"] == 1
    assert value["totals"]["lines_added"] == 3 + 5 + 1
    assert "api" in said(store, "balance", "--week")


def test_sums_by_day_are_written_anew(store: Path) -> None:
    value = asked(store, "balance", "--rebuild", "--days", "1")
    sql = "SELECT agent, metric, value FROM daily_metrics WHERE day = '2026-03-02'"
    rows = json.loads(said(store, "sql", sql, "--json"))
    sums = {(row["agent"], row["metric"]): row["value"] for row in rows}
    for share in value["shares"]:
        of = {metric: number for (agent, metric), number in sums.items() if agent == share["agent"]}
        assert of["work_events"] == share["events"]
        assert of["lines_added"] + of["lines_deleted"] == share["lines"]
        for name in ("commits", "tool_calls", "tokens", "busy_seconds"):
            assert of[name] == share[name]


def test_work_by_hand(tmp_path: Path) -> None:
    given = (
        "work", "--add", "review", "--agent", "ada [b]", "--path", "/p/a.py", "--added", "3",
        "--summary", "two \x1b[31mremarks", "--success", "--metadata", '{"remarks": 2}',
        "--commit", "abc1234",
    )  # fmt: skip
    event = asked(tmp_path, *given)
    assert asked(tmp_path, "work") == [event]
    assert (event["agent"], event["kind"], event["origin"]) == ("ada [b]", "review", "said")
    assert event["files"] == [{"path": "/p/a.py", "lines_added": 3, "lines_deleted": None}]
    assert (event["metadata"], event["is_success"], event["time"]) == ({"remarks": 2}, True, NOW)
    assert said(tmp_path, "work", "--add", "note", "--path", "b.py").strip() == "2"
    (note, _) = asked(tmp_path, "work")
    assert note["files"][0]["path"] == str(Path("b.py").absolute())
    assert "\x1b" not in said(tmp_path, "work")


@pytest.mark.parametrize(
    ("args", "words", "code"),
    [
        (("work", "--add", "Bad Kind"), "kind: ", 1),
        (("work", "--add", "note", "--agent", "a\nb"), "agent: ", 1),
        (("work", "--add", "note", "--metadata", "[1]"), "JSON object", 2),
        (("work", "--add", "note", "--metadata", '{"a": NaN}'), "metadata: ", 1),
        (("work", "--added", "3"), "--add KIND", 2),
        (("work", "--add", "note", "--file", "x"), "give one of them", 2),
        (("balance", "--week", "--days", "2"), "give one of", 2),
        (("balance", "--threshold", "101"), "101", 2),
        (("work", "--since", "soon"), "no time", 2),
    ],
)
def test_bad_input_is_one_sentence(
    store: Path, args: tuple[str, ...], words: str, code: int
) -> None:
    done = CliRunner().invoke(main, [*args, "--data-dir", str(store)])
    assert done.exit_code == code
    assert words in done.stderr
    assert "Traceback" not in done.output


def test_as_a_process(store: Path, tmp_path: Path) -> None:
    assert_one_sentence(run("balance", "--data-dir", tmp_path), "there is no store")
    answer = run("work", "--limit", "1", "--data-dir", store)
    assert answer.code == 0
    assert "web" in answer.out
