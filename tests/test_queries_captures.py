"""The commands that read, over recordings of real clients."""

from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from tests.asking import Ask, asker, oracle
from tests.deep import some_of
from tests.differential import ingest

NOW = 1_796_000_000.0
SCENES = ("claude-full", "claude-concurrent", "claude-cut", "claude-tui")

Open = Callable[[list[Path]], Ask]


@pytest.fixture
def opened(
    tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch
) -> Open:
    def make(paths: list[Path]) -> Ask:
        ingest(tmp_path / "store", paths)
        return asker(capsysbinary, monkeypatch, NOW, "--data-dir", tmp_path / "store")

    return make


@pytest.mark.parametrize("scene", some_of(SCENES, "claude-full", "claude-cut"))
def test_a_wire_log_is_told_as_the_oracle_reads_it(shared: Path, opened: Open, scene: str) -> None:
    log = shared / "captures" / scene / "sse_lines.jsonl"
    ask, rows = opened([log]), oracle(log)

    def of(kind: str) -> list[dict[str, Any]]:
        return [row for row in rows if row["kind"] == kind]

    blocks = {row["tool_use_id"]: row for row in of("block") if row["tool_use_id"]}
    for result in of("tool_result"):
        came = ask("tool", result["tool_use_id"], "--result")
        assert sha256(came).hexdigest() == result["sha256"]
        given = ask("tool", result["tool_use_id"], "--input")
        assert sha256(given).hexdigest() == blocks[result["tool_use_id"]]["sha256"]
        summary = ask("tool", result["tool_use_id"], "--json")
        assert summary["execution_duration_ms"] == result["execution_duration_ms"]
        assert summary["is_error"] == result["is_error"]
    assert ask("sessions", "--json")
    for session in of("session"):
        sid = session["sid"]
        rounds = [row for row in of("round") if row["sid"] == sid]
        found = ask("rounds", sid, "--json")
        assert [row["round_id"] for row in found] == [row["round_id"] for row in rounds[::-1]]
        messages = [row for row in of("message") if row["sid"] == sid]
        stats = ask("stats", sid, "--json")
        assert stats["messages"]["total"] == len(messages)
        output = sum(row["output_tokens"] or 0 for row in messages)
        assert stats["tokens"]["output_tokens"] == output
        flows = {row["flow_id"] for row in messages}
        deltas = sum(row["delta_count"] for row in of("block") if row["flow_id"] in flows)
        series = ask("timeseries", sid, "--metric", "deltas,bytes,output_tokens", "--json")
        assert sum(row["deltas"] for row in series) == deltas
        assert sum(row["output_tokens"] for row in series) == output
        total = sum(row["total_bytes"] for row in of("block") if row["flow_id"] in flows)
        assert sum(row["bytes"] for row in series) == total


@pytest.mark.parametrize(
    ("scene", "name", "tool"),
    [("claude-full", "claude-full-p", "Agent"), ("codex-spawn", "codex-spawn-x", "spawn_agent")],
)
def test_subagents_stand_below_the_call_that_started_them(
    shared: Path, opened: Open, scene: str, name: str, tool: str
) -> None:
    ask = opened([shared / "captures" / scene])
    entries = ask("show", name, "--json")
    at = next(n for n, e in enumerate(entries) if e.get("tool_name") == tool)
    assert entries[at]["kind"] == "block"
    agent = entries[at + 1]
    assert (agent["kind"], agent["depth"]) == ("agent", 1)
    assert agent["parent_tool_use_id"] == entries[at]["tool_use_id"]
    end = next(n for n, e in enumerate(entries) if n > at and e["depth"] == 0)
    below = entries[at + 2 : end]
    assert {entry["kind"] for entry in below} == {"message", "block", "tool_result"}
    messages = [entry for entry in below if entry["kind"] == "message"]
    assert {entry["agent_id"] for entry in messages} == {agent["agent_id"]}
    assert len(messages) == 2
    assert (entries[end]["kind"], entries[end]["tool_name"]) == ("tool_result", tool)
    (subagent,) = ask("stats", name, "--json")["subagents"]
    assert (subagent["agent_id"], subagent["messages"]) == (agent["agent_id"], 2)


def test_a_stall_and_a_death(shared: Path, opened: Open) -> None:
    ask = opened([shared / "captures/claude-kill9-stream"])
    states = {row["name"]: row["liveness"] for row in ask("sessions", "--json")}
    assert states == {"claude-kill9-stream-p": "orphaned", "claude-kill9-stream-next": "ended"}
    (open_round,) = ask("unbalanced", "--json")
    assert open_round["why"] == "orphaned"
