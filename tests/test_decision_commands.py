"""`agentmon decide` and `agentmon decisions`, as a script and as a person use them."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from agentmon.cli import main
from agentmon.collab import decisions
from agentmon.commands import options
from agentmon.store import db
from tests import golden
from tests.cli_run import assert_one_sentence, inside

NOW = 1_772_000_000.0


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A decision that was revised twice, an open question, an observed plan."""
    monkeypatch.setattr(options, "now", lambda: NOW)
    conn = db.create(tmp_path / "store")
    made = decisions.decide(
        conn,
        question="Which queue?",
        category="design",
        by="ada",
        positions={"ada": "Redis streams", "bob": "SQLite\nalone"},
        files=["store/db.py"],
        decision_id="d1",
        now=NOW - 300,
    )
    for minute, (changes, reason) in enumerate(
        [({"decision": "SQLite", "method": "vote", "impact": 7}, "it is there"),
         ({"status": "superseded"}, "see the next one")]
    ):  # fmt: skip
        decisions.revise_decision(
            conn, made.decision_id, changes, "bob", reason, now=NOW - 200 + 60 * minute
        )
    decisions.decide(
        conn, question="Names [bold]?", category="style", by="eve", decision_id="d2", now=NOW - 50
    )
    decisions.decide(
        conn, question="Approve the plan: x", category="plan", by="user", decision="approved",
        origin="observed", session_id="s1", round_id="r1", tool_use_id="toolu_1",
        decision_id="d3", now=NOW - 40,
    )  # fmt: skip
    conn.close()
    return tmp_path / "store"


def asked(*args: object) -> Result:
    done = CliRunner().invoke(main, [*map(str, args)])
    assert done.exit_code == 0, done.output
    return done


def asked_json(*args: object) -> Any:
    return json.loads(asked(*args, "--json").stdout)


def test_json(store: Path) -> None:
    at = ("--data-dir", store)
    golden.check("decisions", asked_json("decisions", *at))
    golden.check("decision", asked_json("decisions", "d1", *at))
    golden.check(
        "decisions_history", asked_json("decisions", "--history", "--category", "design", *at)
    )
    assert asked_json("decisions", "--categories", *at) == ["design", "plan", "style"]


@pytest.mark.parametrize(
    ("args", "wanted"),
    [
        (["--category", "design"], ["d1"]),
        (["--status", "open"], ["d2"]),
        (["--search", "sqlite alone"], ["d1"]),
        (["--search", "streams -plan"], ["d1"]),
        (["--search", "nothing"], list[str]()),
        (["--observed"], ["d3"]),
        (["--said"], ["d2", "d1"]),
        (["--limit", "1"], ["d3"]),
    ],
)
def test_what_is_listed(store: Path, args: list[str], wanted: list[str]) -> None:
    rows = asked_json("decisions", *args, "--data-dir", store)
    assert [row["decision_id"] for row in rows] == wanted


def test_text(store: Path) -> None:
    listed = asked("decisions", "--data-dir", store).stdout.splitlines()
    assert [line.split()[:3] for line in listed] == [
        ["id", "status", "category"],
        ["d3", "decided", "plan"],
        ["d2", "open", "style"],
        ["d1", "superseded", "design"],
    ]
    assert "Names [bold]?" in listed[2]
    one = asked("decisions", "d1", "--data-dir", store).stdout
    for part in ("SQLite\n              alone", "by bob: see the next one", "decided → superseded"):
        assert part in one
    plain = asked("decisions", "--ascii", "--data-dir", store).stdout
    assert "Which queue? > SQLite" in plain
    assert plain.isascii()
    seen = asked("decisions", "d3", "--data-dir", store).stdout
    assert "session s1, round r1, call toolu_1" in seen
    assert "observed" in seen


def test_decide_and_revise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(options, "now", lambda: NOW)
    at = ("--data-dir", tmp_path / "new", "--by", "ada")
    made = asked_json(
        "decide", "Where to?", "--position", "ada=left = good", "--position", "bob=right",
        "--file", "a.py", "--file", "b c.py", "--participant", "zoe", "--impact", 3, *at,
    )  # fmt: skip
    golden.check("decide", {**made, "decision_id": "…"})
    key = made["decision_id"]
    revised = asked_json(
        "decide", "--revise", key[:6], "--decision", "left", "--position", "bob=",
        "--position", "eve=up", "--reason", "time", *at,
    )  # fmt: skip
    assert revised["positions"] == {"ada": "left = good", "eve": "up"}
    assert (revised["revision"], revised["status"], revised["impact"]) == (2, "decided", 3)
    assert revised["files"] == ["a.py", "b c.py"]
    again = asked("decide", "--revise", key, "--decision", "left", "--reason", "again", *at)
    assert "nothing of it differs" in again.stderr
    shown = asked_json("decisions", key, "--data-dir", tmp_path / "new")
    assert [row["reason"] for row in shown["revisions"]] == ["", "time"]
    assert asked("decide", "Also?", *at).stdout.split()[1:] == ["open,", "revision", "1"]


def test_views(store: Path) -> None:
    at = ("--json", "--data-dir", store)
    rows = json.loads(asked("sql", "SELECT * FROM v_decisions ORDER BY created_at", *at).stdout)
    kept = asked_json("decisions", "--data-dir", store)
    texts = ("question", "status", "decision", "impact", "tool_use_id")
    by_age = sorted(kept, key=lambda row: row["created_at"])
    assert [[row[t] for t in texts] for row in rows] == [[row[t] for t in texts] for row in by_age]
    past = "SELECT revision, changed_by, state FROM v_decision_revisions WHERE decision_id = 'd1'"
    rows = json.loads(asked("sql", past, *at).stdout)
    who = [(row["revision"], row["changed_by"]) for row in rows]
    assert who == [(1, "ada"), (2, "bob"), (3, "bob")]
    assert [json.loads(row["state"])["status"] for row in rows] == ["open", "decided", "superseded"]
    assert json.loads(asked("sql", "SELECT * FROM v_checkpoints", *at).stdout) == []


def test_bad_input_is_one_sentence(store: Path, tmp_path: Path) -> None:
    at = ("--data-dir", store)
    usage = [
        ("decide", "--position", "ada", "x"),
        ("decide",),
        ("decide", "--revise", "d1", "--impact", 2),
        ("decide", "x", "--impact", 11),
        ("decisions", "--history"),
    ]
    for args in usage:
        done = CliRunner().invoke(main, [*map(str, args), *map(str, at)])
        assert done.exit_code == 2, done.output
    for position in ("ada=", "ada= ", "ada=\n"):
        refused = inside("decide", "x", "--position", "bob=y", "--position", position, *at)
        assert_one_sentence(refused, "'ada' holds nothing", code=2)
    refused = inside("decide", "x", "--category", "a\nb", *at)
    assert_one_sentence(refused, "category: a control character", code=2)
    assert_one_sentence(inside("decisions", "d9", *at), "no decision that begins with 'd9'")
    assert_one_sentence(inside("decisions", "d", *at), "more than one decision begins with 'd'")
    assert_one_sentence(inside("decisions", "--data-dir", tmp_path / "none"), "there is no store")
    for args in (
        ("decisions", "\udcff"),
        ("decisions", "--category", "\udcff"),
        ("config", "history", "\udcff"),
        ("checkpoint", "create", "\udcff"),
    ):
        assert_one_sentence(inside(*args, *at), "bytes in it that are no text", code=2)
    blocked = tmp_path / "file"
    blocked.write_text("x")
    assert_one_sentence(inside("decide", "x", "--data-dir", blocked / "below"), "cannot write to")
