"""`agentmon search` as somebody at a shell runs it; its JSON is pinned."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from agentmon.cli import main
from agentmon.commands import options
from agentmon.store import search_db
from tests import golden
from tests.cli_run import assert_one_sentence, run
from tests.demo_store import demo_store
from tests.searched import having, texts_of

DEMO = Path(__file__).parents[1] / "agentmon" / "demo.jsonl"


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    demo_store(tmp_path)
    monkeypatch.setattr(options, "now", lambda: 1_790_000_000.0)
    return tmp_path


def asked(store: Path, *words: str) -> dict[str, Any]:
    answer = CliRunner().invoke(main, ["search", "--data-dir", str(store), "--json", *words])
    assert answer.exit_code == 0, answer.output
    return json.loads(answer.stdout)


def test_the_json_is_pinned(store: Path) -> None:
    golden.check("search", asked(store, "tail", "--limit", "3"))
    golden.check("search_ranked", asked(store, "tail", "loop", "--rank", "--limit", "2"))


def test_it_indexes_before_it_answers_and_finds_what_the_log_says(store: Path) -> None:
    assert not search_db.path(store).exists()
    found = asked(store, "the", "--limit", "10000")
    assert len(found["hits"]) == len(having(texts_of([DEMO]), "the"))
    assert found["not_indexed"] == 0
    assert not found["has_more"]
    times = [hit["time"] for hit in found["hits"]]
    assert times == sorted(times, reverse=True)
    assert all(hit["matches"] for hit in found["hits"])


def test_options_are_the_filters(store: Path) -> None:
    every = asked(store, "!nowhere9z", "--limit", "10000")["hits"]
    bash = asked(store, "--tool", "Bash", "--limit", "10000")["hits"]
    assert bash == [hit for hit in every if hit["tool_name"] == "Bash"]
    assert bash == asked(store, "tool:bash", "--limit", "10000")["hits"]
    prompts = asked(store, "--kind", "prompt", "--limit", "10000")["hits"]
    assert prompts == [hit for hit in every if hit["kind"] == "prompt"]
    sid = prompts[0]["sid"]
    own = asked(store, "--session", sid[:8], "--kind", "prompt", "--limit", "10000")["hits"]
    assert own == [hit for hit in prompts if hit["sid"] == sid]
    assert asked(store, "--agent", "claude", "--limit", "10000")["hits"] == [
        hit for hit in every if hit["agent"] == "claude"
    ]
    assert asked(store, "--agent", "gemini", "the")["hits"] == []


def test_since_is_held_against_now(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    every = asked(store, "!nowhere9z", "--limit", "10000")["hits"]
    last = every[0]["time"]
    monkeypatch.setattr(options, "now", lambda: last + 1.0)
    recent = asked(store, "--since", "60s", "--limit", "10000")["hits"]
    assert [hit["time"] for hit in recent] == [t["time"] for t in every if t["time"] >= last - 59.0]


def test_text_output_rebuilding_and_errors(store: Path, tmp_path: Path) -> None:
    answer = run("search", "--data-dir", store, "tail", "--limit", "1")
    assert answer.code == 0
    assert len(answer.out.splitlines()) == 2
    assert "tail" in answer.out.lower()
    assert "there are more" in answer.err
    answer = run("search", "--data-dir", store, "--rebuild")
    assert (answer.code, answer.out) == (0, "")
    assert "nothing was found" in run("search", "--data-dir", store, "qwertz", "-x").err
    assert_one_sentence(run("search", "--data-dir", store), "say what to look for", code=2)
    assert_one_sentence(run("search", "--data-dir", store, "a", "--since", "x"), "no time", code=2)
    assert_one_sentence(run("search", "--data-dir", store, "a", "--session", "zz"), "no session")
    assert_one_sentence(run("search", "--data-dir", tmp_path / "none", "a"), "no store")
