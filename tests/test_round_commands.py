"""`agentmon rate` and `agentmon parallel`, against values computed from the raw lines."""

import json
import sqlite3
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from agentmon.assets import asset
from agentmon.cli import main
from agentmon.commands import options
from agentmon.store import db, read_round
from tests import golden
from tests.cli_run import assert_one_sentence, run
from tests.deep import only_deep
from tests.near import near
from tests.oracle_lines import Entry, read
from tests.oracle_messages import Block, messages_of, results_of
from tests.oracle_rounds import Rounds
from tests.wire import SID, START, TEXT, Talk, tool_result

Json = dict[str, Any]

DEMO = asset("demo.jsonl")
INFRA = "93a0bb58-43a7-4920-a45b-a8e1f2fdf094"
ROUND = "01a1f940-0000-7000-8000-000000000001"


def ask(*args: object) -> str:
    """What a command prints."""
    done = CliRunner().invoke(main, [str(arg) for arg in args])
    assert done.exit_code == 0, (done.output, done.exception)
    return done.stdout


def answer(*args: object) -> Json:
    return json.loads(ask(*args, "--json"))


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    where = tmp_path_factory.mktemp("demo")
    ask("ingest", DEMO, "--data-dir", where)
    return where


def small(folder: Path) -> Path:
    """A prompt, two calls of which the second goes on, and a text with a pause in it."""
    pen = Talk()
    tool: Json = {"type": "tool_use", "name": "Bash", "input": {}}
    lines = [
        pen.prompt(0, "go", uuid="u1", round_id=ROUND),
        pen.start(1, 400, round_id=ROUND),
        pen.begin(1, 420, {"type": "thinking", "thinking": ""}),
        pen.stream(
            "content_block_delta",
            1,
            500,
            {"index": 0, "delta": {"type": "thinking_delta", "thinking": "hmm é"}},
        ),
        pen.end(1, 510),
        pen.begin(1, 520, {**tool, "id": "t1"}, 1),
        pen.json(1, 560, '{"command":', 1),
        pen.json(1, 600, '"ls"}', 1),
        pen.end(1, 620, 1),
        pen.begin(1, 640, {**tool, "id": "t2"}, 2),
        pen.json(1, 900, '{"command":"sleep 9"}', 2),
        pen.end(1, 1000, 2),
        pen.reason(1, 1010, "tool_use", output_tokens=60),
        pen.stop(1, 1020),
        pen.line("tool_result", 3000, tool_result("t1", "a\nb"), round_id=ROUND),
    ]
    path = folder / "sse_lines.jsonl"
    path.write_bytes(b"\n".join(lines) + b"\n")
    return path


@pytest.fixture
def open_round(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The small log, asked for five seconds after its prompt."""
    monkeypatch.setattr(options, "now", lambda: START / 1000 + 5)
    ask("ingest", small(tmp_path), "--data-dir", tmp_path / "store")
    return tmp_path / "store"


def test_a_round_that_runs(open_round: Path) -> None:
    found = answer("parallel", ROUND, "--data-dir", open_round)
    assert (found["outcome"], found["end_time"], found["seconds"]) == ("running", None, 5.0)
    first, second = found["calls"]
    assert (first["seconds"], first["is_running"], first["is_error"]) == (
        near(2.38),
        False,
        False,
    )
    assert (second["seconds"], second["is_running"]) == (near(4.0), True)
    (together,) = found["overlaps"]
    assert together["seconds"] == near(2.0)
    assert found["parallel"]["most_at_once"] == 2
    assert found["parallel"]["factor"] == near((2.38 + 4.0) / 4.38)
    kinds = [(step["kind"], step["tool_use_id"]) for step in found["critical_path"]]
    assert kinds == [("wait", None), ("model", None), ("tool", "t2")]
    golden.check("round_parallel", found)


def test_the_rates_of_a_round_that_runs(open_round: Path) -> None:
    found = answer("rate", ROUND, "--data-dir", open_round)
    assert found["first_token_seconds"] == near(0.5)
    (message,) = found["messages"]
    thinking, first, second = message["blocks"]
    assert thinking["bytes"] == 6
    assert thinking["bytes_per_second"] == near(6 / 0.08)
    assert first["deltas_per_second"] == near(2 / 0.08)
    assert message["output_tokens"] == 60
    assert message["tokens_per_second"] == near(60 / 0.5)
    assert second["output_tokens"] == near(60 * 21 / (6 + 16 + 21))
    assert found["pauses"]["longest"][0]["seconds"] == near(0.3)
    assert found["pauses"]["longest"][0]["index"] == 2
    golden.check("round_rate", found)


# The other opinion


class Plain:
    """A round as the raw lines have it; times in milliseconds."""

    def __init__(self, path: Path, sid: str, round_id: str) -> None:
        entries: list[Entry] = [e for e in read([path]).entries if e.sid == sid]
        rounds = Rounds(sid, entries)
        self.row = next(row for row in rounds.rows() if row["round_id"] == round_id)
        every = messages_of(sid, entries)
        mine = [m for m in every if rounds.written(m.first) == round_id]
        self.messages = sorted(mine, key=lambda m: (m.start, m.flow))
        rows, _ = results_of(entries, every)
        self.results = {str(row["tool_use_id"]): row for row in rows}
        self.prompts = [e.time for e in entries if e.name == "user_prompt" and e.round == round_id]

    def runs(self) -> Iterator[tuple[str, int, int, str | None]]:
        """(id, call, result, agent) of the calls that came back."""
        for message in self.messages:
            for block in message.blocks():
                name = str(block.value.get("id"))
                if block.complete is not None and name in self.results:
                    end = round(float(str(self.results[name]["result_time"])) * 1000)
                    yield name, block.complete, max(end, block.complete), message.agent

    def parents(self) -> dict[str, str]:
        """Agent → the call whose run holds all of its messages."""
        found: dict[str, str] = {}
        for agent in {m.agent for m in self.messages if m.agent}:
            times = [m.start for m in self.messages if m.agent == agent]
            for name, start, end, of in self.runs():
                if of is None and start <= min(times) and max(times) <= end and self._starts(name):
                    found[agent] = name
        return found

    def _starts(self, name: str) -> bool:
        blocks = [block for message in self.messages for block in message.blocks()]
        return any(b.value.get("id") == name and b.value.get("name") == "Agent" for b in blocks)


def _last(block: Block) -> int | None:
    return max((delta.entry.time for delta in block.deltas), default=None)


def _seconds(start: int, end: int | None) -> float | None:
    return None if end is None or end <= start else (end - start) / 1000


def check_rates(found: Json, plain: Plain) -> None:
    assert [one["flow_id"] for one in found["messages"]] == [m.flow for m in plain.messages]
    pauses: list[float] = []
    for one, message in zip(found["messages"], plain.messages, strict=True):
        times = sorted(d.entry.time for block in message.blocks() for d in block.deltas)
        own = [(b - a) / 1000 for a, b in pairwise(times)]
        pauses += own
        is_complete = message.end is not None or message.stop_reason is not None
        tokens = message.tokens("output_tokens") if is_complete else None
        seconds = _seconds(message.start, times[-1] if times else None)
        assert one["output_tokens"] == tokens
        assert one["deltas"] == (len(times) or None)
        if seconds and tokens is not None:
            assert one["tokens_per_second"] == near(tokens / seconds, rel=1e-6)
            assert one["first_token_seconds_of_message"] == near(
                (times[0] - message.start) / 1000, abs=1e-6
            )
        assert one["pauses"]["count"] == len(own)
        size = sum(len(block.text()) for block in message.blocks())
        for row, block in zip(one["blocks"], message.blocks(), strict=True):
            length = _seconds(block.start, _last(block))
            wanted = None if length is None else len(block.text()) / length
            assert row["bytes"] == len(block.text())
            assert row["bytes_per_second"] == near(wanted, rel=1e-6)
            share = None if tokens is None else tokens * len(block.text()) / size
            assert row["output_tokens"] == near(share)
    ordered = sorted(pauses)
    assert found["pauses"]["count"] == len(ordered)
    assert found["pauses"]["p50_seconds"] == near(ordered[int(0.5 * (len(ordered) - 1))])
    assert found["pauses"]["p99_seconds"] == near(ordered[int(0.99 * (len(ordered) - 1))])
    longest = [one["seconds"] for one in found["pauses"]["longest"]]
    assert longest == near(ordered[: -len(longest) - 1 : -1])


def check_parallel(found: Json, plain: Plain) -> None:
    runs = list(plain.runs())
    parents = plain.parents()
    assert {call["tool_use_id"]: call["seconds"] for call in found["calls"]} == near(
        {name: (end - start) / 1000 for name, start, end, _ in runs}
    )
    for call in found["calls"]:
        assert call["parent_tool_use_id"] == parents.get(call["agent_id"] or "")
    moments = sorted({at for _, start, end, _ in runs for at in (start, end)})
    tool = busy = most = 0
    for start, end in pairwise(moments):
        working = {name: of for name, begun, ended, of in runs if begun <= start and end <= ended}
        waiting = {parents[of] for of in working.values() if of in parents}
        count = len(set(working) - waiting)
        tool, busy = tool + count * (end - start), busy + (end - start if count else 0)
        most = max(most, count)
    sums = found["parallel"]
    assert sums["tool_seconds"] == near(tool / 1000, abs=1e-5)
    assert sums["busy_seconds"] == near(busy / 1000, abs=1e-5)
    assert sums["most_at_once"] == (most or min(1, len(runs)))
    pairs = {
        frozenset((a, b)): (min(a_end, b_end) - max(a_start, b_start)) / 1000
        for a, a_start, a_end, a_of in runs
        for b, b_start, b_end, b_of in runs
        if a != b
        and parents.get(a_of or "") != b
        and parents.get(b_of or "") != a
        and min(a_end, b_end) > max(a_start, b_start)
    }
    told = {frozenset((one["first"], one["second"])): one["seconds"] for one in found["overlaps"]}
    assert set(told) == set(pairs)
    assert all(told[key] == near(pairs[key], abs=1e-5) for key in pairs)


def check_path(found: Json, plain: Plain) -> None:
    """Forwards, where only the main agent works: each message answers the last result."""
    results = {name: end for name, _, end, _ in plain.runs()}
    sums = {"model": 0, "tool": 0, "wait": 0}
    at = round(float(str(plain.row["start_time"])) * 1000)
    for message in plain.messages:
        sums["wait"] += message.start - at
        called = [
            (results[str(b.value.get("id"))], b.complete)
            for b in message.blocks()
            if str(b.value.get("id")) in results
        ]
        end = message.end or message.start
        last, call = max([pair for pair in called if pair[1] is not None], default=(0, None))
        if call is not None and last > end:
            sums["model"] += call - message.start
            sums["tool"] += last - call
            at = last
        else:
            sums["model"] += end - message.start
            at = end
    sums["wait"] += round(float(str(plain.row["end_time"])) * 1000) - at
    wanted = {kind: length / 1000 for kind, length in sums.items()}
    assert found["critical_path_seconds"] == near(wanted, abs=1e-4)


@pytest.mark.parametrize("step", [3, *only_deep(1)])
def test_every_round_of_the_demo(step: int, demo: Path) -> None:
    """Of the rounds one in `step`."""
    conn = sqlite3.connect(db.database(demo))
    rounds = conn.execute("SELECT sid, round_id FROM rounds WHERE prompts > 0").fetchall()
    conn.close()
    assert len(rounds) > 8
    simple = 0
    for sid, round_id in rounds[::step]:
        plain = Plain(DEMO, sid, round_id)
        rates = answer("rate", round_id, "--data-dir", demo)
        found = answer("parallel", round_id, "--data-dir", demo)
        check_rates(rates, plain)
        returned = {name for name, *_ in plain.runs()}
        if all(call["tool_use_id"] in returned for call in found["calls"]):
            check_parallel(found, plain)
        whole = all(m.end is not None and m.agent is None for m in plain.messages)
        if whole and plain.row["is_complete"] and len(plain.prompts) == 1:
            check_path(found, plain)
            simple += 1
        steps = found["critical_path"]
        assert sum(s["seconds"] for s in steps) == near(found["seconds"], abs=1e-5)
    assert simple >= 6 // step


def test_a_recorded_run_with_a_subagent(shared: Path, tmp_path: Path) -> None:
    log = shared / "captures" / "claude-full" / "sse_lines.jsonl"
    ask("ingest", log, "--data-dir", tmp_path)
    found = answer("parallel", "claude-full-p", "--data-dir", tmp_path)
    plain = Plain(log, found["sid"], found["round_id"])
    check_rates(answer("rate", "claude-full-p", "--data-dir", tmp_path), plain)
    ends = [step["end_time"] for step in found["critical_path"]]
    assert ends == [*(s["start_time"] for s in found["critical_path"][1:]), found["end_time"]]


def test_a_subagents_calls_lie_below_the_call_that_started_it(demo: Path) -> None:
    text = ask("parallel", f"{INFRA}#1", "--data-dir", demo)
    lines = [line for line in text.splitlines() if line]
    agent = next(at for at, line in enumerate(lines) if "└ agent" in line)
    assert lines[agent - 1].startswith("Agent ")
    assert lines[agent + 1].startswith("    text")
    found = answer("parallel", f"{INFRA}#1", "--data-dir", demo)
    inner = [call for call in found["calls"] if call["agent_id"]]
    assert inner
    assert {call["depth"] for call in inner} == {1}
    assert {call["parent_tool_use_id"] for call in inner} == {
        next(call["tool_use_id"] for call in found["calls"] if call["tool_name"] == "Agent")
    }


@pytest.mark.parametrize("name", ["rate", "parallel"])
@pytest.mark.parametrize("columns", [20, 80, *only_deep(40, 60, 160)])
def test_text_keeps_to_the_width_and_to_ascii(
    demo: Path, name: str, columns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    lines = ask(name, f"{INFRA}#1", "--data-dir", demo, "--ascii").splitlines()
    assert all(line.isascii() for line in lines)
    assert max(map(len, lines)) <= max(columns, 40)
    assert "Agent" in "\n".join(lines)


@pytest.mark.parametrize("name", ["rate", "parallel"])
def test_what_cannot_be_shown_is_said(demo: Path, tmp_path: Path, name: str) -> None:
    assert_one_sentence(run(name, "nobody", "--data-dir", demo), "no session answers to 'nobody'")
    assert_one_sentence(run(name, "x", "--data-dir", tmp_path), "there is no store")


def test_a_round_without_messages(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_bytes(Talk().prompt(0, "hello?", uuid="u1", round_id=ROUND) + b"\n")
    ask("ingest", path, "--data-dir", tmp_path / "store")
    for name, words in (("rate", "Nothing was written"), ("parallel", "Nothing was written")):
        assert words in ask(name, SID, "--data-dir", tmp_path / "store")
    found = answer("rate", SID, "--data-dir", tmp_path / "store")
    assert found["tokens_per_second"] is None
    assert found["pauses"] == {"count": 0, "p50_seconds": None, "p99_seconds": None, "longest": []}


def test_what_was_told_whole_has_no_rate(tmp_path: Path) -> None:
    pen = Talk()
    body: Json = {
        "id": "m1",
        "role": "assistant",
        "content": [TEXT | {"text": "done"}],
        "usage": {},
    }
    lines = [pen.prompt(0, "hi", uuid="u1", round_id=ROUND)]
    lines.append(pen.line("message", 900, body, round_id=ROUND))
    path = tmp_path / "log.jsonl"
    path.write_bytes(b"\n".join(lines) + b"\n")
    ask("ingest", path, "--data-dir", tmp_path / "store")
    (message,) = answer("rate", SID, "--data-dir", tmp_path / "store")["messages"]
    (block,) = message["blocks"]
    assert block["bytes"] == 4
    names = ("deltas", "bytes_per_second", "tokens_per_second", "writing_seconds")
    assert [block[name] for name in names] == [None] * 4
    assert "—" in ask("rate", SID, "--data-dir", tmp_path / "store")
    steps = answer("parallel", SID, "--data-dir", tmp_path / "store")["critical_path"]
    assert steps[0]["kind"] == "model"


def _plan(conn: sqlite3.Connection, sql: str) -> Sequence[str]:
    return [
        str(row[3]) for row in conn.execute(f"EXPLAIN QUERY PLAN {sql}", ("x",) * sql.count("?"))
    ]


def test_every_query_has_an_index(demo: Path) -> None:
    conn = sqlite3.connect(db.database(demo))
    for sql in read_round.STATEMENTS:
        steps = _plan(conn, sql)
        assert steps
        assert all("SCAN" not in step for step in steps), (sql, steps)
        assert any("USING" in step for step in steps), (sql, steps)
    conn.close()
