"""What the commands that read say of a log, against what the oracle says of it."""

import json
import random
from collections import defaultdict
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from statistics import fmean, median
from typing import Any, NamedTuple

import click
import pytest

from tests import golden
from tests.asking import Ask, asker, near, oracle, stand_still
from tests.deep import only_deep
from tests.differential import Row, ingest
from tests.feeds import answering, asking, call_block, sid_of, write
from tests.generate import scenario
from tests.wire import START, TEXT, Talk, tool_result

NOW = START / 1000 + 3600.0
ONE, TWO = sid_of(1), sid_of(2)


class Told(NamedTuple):
    """A store and what the oracle says it must hold, by kind."""

    folder: Path
    rows: dict[str, list[Row]]

    def of(self, kind: str, **wanted: object) -> list[Row]:
        return [r for r in self.rows[kind] if all(r[k] == v for k, v in wanted.items())]


def told(folder: Path, lines: list[bytes]) -> Told:
    log = write(folder / "log.jsonl", lines)
    ingest(folder / "store", [log])
    rows: dict[str, list[Row]] = defaultdict(list)
    for row in oracle(log):
        rows[row["kind"]].append(row)
    return Told(folder / "store", rows)


KNOBS: list[dict[str, Any]] = [
    {"sessions": 3, "rounds": 4, "subagents": 0.7, "ends": 0.5},
    {
        **{"sessions": 3, "rounds": 4, "misattributed": 0.3, "cut": 0.3, "errors": 0.3},
        **{"missing_stops": 0.4, "queued": 0.3, "warm_up": 0.5, "resumes": 0.3, "subagents": 0.4},
    },
]


@pytest.fixture(scope="module", params=[*only_deep(KNOBS[0]), KNOBS[1]], ids=["clean", "damaged"])
def log(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Told:
    return told(tmp_path_factory.mktemp("log"), scenario(random.Random(11), **request.param))


@pytest.fixture
def ask(
    log: Told, capsysbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch
) -> Ask:
    return asker(capsysbinary, monkeypatch, NOW, "--data-dir", log.folder)


def calls_of(log: Told, sid: str) -> list[Row]:
    """The calls of a session: its blocks with an id, each with its result."""
    results = {row["tool_use_id"]: row for row in log.rows["tool_result"]}
    flows = {row["flow_id"]: row for row in log.of("message", sid=sid)}
    return [
        {**row, "result": results.get(row["tool_use_id"]), "message": flows[row["flow_id"]]}
        for row in log.rows["block"]
        if row["tool_use_id"] and row["flow_id"] in flows
    ]


def sids(log: Told) -> list[str]:
    return [row["sid"] for row in log.rows["session"]]


def total(rows: list[Row], name: str) -> int | None:
    known = [row[name] for row in rows if row[name] is not None]
    return sum(known) if known else None


# -- rounds


def test_rounds_add_up_to_what_their_messages_say(log: Told, ask: Ask) -> None:
    names = ("round_id", "round_number", "user_prompt", "start_time", "end_time", "duration_ms")
    for sid in sids(log):
        found = ask("rounds", sid, "--json")
        expected = sorted(log.of("round", sid=sid), key=lambda row: -row["round_number"])
        assert len(expected) == len(found) > 0
        for ours, theirs in zip(found, expected, strict=True):
            assert [ours[name] for name in names] == [theirs[name] for name in names]
            assert (ours["is_complete"], ours["is_aborted"]) == (
                theirs["is_complete"],
                theirs["is_aborted"],
            )
            messages = log.of("message", sid=sid, round_id=theirs["round_id"])
            calls = [call for call in calls_of(log, sid) if call["message"] in messages]
            assert ours["messages"] == len(messages)
            assert ours["output_tokens"] == total(messages, "output_tokens")
            assert ours["input_tokens"] == total(messages, "input_tokens")
            assert ours["tool_calls"] == len(calls)
            failed = [call for call in calls if call["result"] and call["result"]["is_error"]]
            assert ours["failed_calls"] == len(failed)
            assert ours["subagents"] == len({row["agent_id"] for row in messages} - {None})


def test_rounds_of_a_process(log: Told, ask: Ask) -> None:
    sid = sids(log)[0]
    whole = ask("rounds", sid, "--json")
    pid = log.of("session", sid=sid)[0]["pid"]
    mine = ask("rounds", sid, "--pid", pid, "--json")
    assert mine
    numbers = [row["round_number"] for row in mine]
    assert numbers == [row["round_number"] for row in whole if row in mine]
    assert ask("rounds", sid, "--pid", 1, "--json") == []
    assert ask("rounds", sid, "--limit", 2, "--json") == whole[:2]


# -- a call


def test_input_and_result_are_exact(log: Told, ask: Ask) -> None:
    calls = [call for sid in sids(log) for call in calls_of(log, sid)]
    assert any(call["result"] for call in calls)
    for call in calls[:12]:
        given = ask("tool", call["tool_use_id"], "--input")
        assert (len(given), sha256(given).hexdigest()) == (call["total_bytes"], call["sha256"])
        result = call["result"]
        if result is None:
            with pytest.raises(click.ClickException):
                ask("tool", call["tool_use_id"], "--result")
            continue
        came = ask("tool", call["tool_use_id"], "--result")
        assert (len(came), sha256(came).hexdigest()) == (result["content_size"], result["sha256"])
        as_json = ask("tool", call["tool_use_id"], "--result", "--json")["result"]
        assert as_json.encode() == came


def test_the_summary_of_a_call(log: Told, ask: Ask) -> None:
    calls = [call for sid in sids(log) for call in calls_of(log, sid)]
    for call in calls[:12]:
        found = ask("tool", call["tool_use_id"], "--json")
        result, message = call["result"], call["message"]
        assert found["called_at"] == call["complete_time"]
        assert found["round_id"] == message["round_id"]
        assert found["agent_id"] == message["agent_id"]
        assert (found["flow_id"], found["index"]) == (call["flow_id"], call["index"])
        assert found["execution_duration_ms"] == (result and result["execution_duration_ms"])
        assert found["is_error"] == (result and result["is_error"])
        assert found["result_bytes"] == (result and result["content_size"])
        assert (found["state"] == "returned") == (result is not None)


@pytest.mark.parametrize("log", [KNOBS[0]], indirect=True, ids=["clean"])
def test_no_call_and_several_are_told_apart(log: Told, ask: Ask) -> None:
    with pytest.raises(click.ClickException, match="no tool call answers to 'nothing'"):
        ask("tool", "nothing")
    with pytest.raises(click.ClickException, match="more than one tool call"):
        ask("tool", "toolu_")
    with pytest.raises(click.UsageError):
        ask("tool", "toolu_1", "--input", "--result")


def test_a_large_result_comes_from_its_file(
    tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    content = "đây 🎉\n" * 60_000
    found = told(tmp_path, [*asking(Talk(ONE)), *answering(Talk(ONE), content=content)])
    ask = asker(capsysbinary, monkeypatch, NOW, "--data-dir", found.folder)
    assert ask("tool", "toolu_1", "--result") == content.encode()
    assert ask("tool", "toolu_1", "--result", "--json")["result"] == content
    assert ask("show", "round-1", "--json")[-2]["is_complete"] is True


# -- a round


def test_show_has_every_text_in_order(log: Told, ask: Ask) -> None:
    for row in log.rows["round"][:6]:
        entries = ask("show", row["round_id"], "--json")
        assert entries[0]["kind"] == "round"
        messages = [e for e in entries if e["kind"] == "message"]
        expected = log.of("message", sid=row["sid"], round_id=row["round_id"])
        assert {m["flow_id"] for m in messages} == {m["flow_id"] for m in expected}
        main = [m["start_time"] for m in messages if m["depth"] == 0]
        assert main == sorted(main)
        blocks = {(e["flow_id"], e["index"]): e for e in entries if e["kind"] == "block"}
        flows = {m["flow_id"] for m in expected}
        for block in log.rows["block"]:
            if block["flow_id"] in flows:
                ours = blocks.pop((block["flow_id"], block["index"]))
                assert sha256(ours["text"].encode()).hexdigest() == block["sha256"]
        assert blocks == {}
        calls = {e["tool_use_id"] for e in entries if e["kind"] == "block"}
        results = {r["tool_use_id"]: r for r in log.rows["tool_result"]}
        told_here = {e["tool_use_id"]: e for e in entries if e["kind"] == "tool_result"}
        assert set(told_here) == calls & set(results)
        for name, entry in told_here.items():
            assert sha256(entry["text"].encode()).hexdigest() == results[name]["sha256"]
            assert entry["execution_duration_ms"] == results[name]["execution_duration_ms"]


def test_show_as_text_obeys_nothing_of_an_agent(
    tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    talk = Talk(ONE)
    evil = "\x1b]0;title\x07\x9b2J\u202eevil"
    lines = [*asking(talk), *answering(talk, content=evil + "\n" + evil)]
    found = told(tmp_path, lines)
    ask = asker(capsysbinary, monkeypatch, NOW, "--data-dir", found.folder)
    said = ask("show", "round-1").decode()
    assert not {char for char in said if ord(char) < 0x20 and char != "\n"}
    assert not set(said) & {"\x9b", "\u202e"}
    assert said.count("␛]0;title␇") == 2
    words = ["prompt", "do it", "message m1", "I look at đây 🎉.", "Bash toolu_1", "result Bash"]
    places = [said.index(word) for word in [*words, "message m1001", "Two files."]]
    assert all(a < b for a, b in pairwise(places))


# -- a session in numbers


def test_stats_add_up(log: Told, ask: Ask) -> None:
    for sid in sids(log):
        found = ask("stats", sid, "--json")
        messages, rounds = log.of("message", sid=sid), log.of("round", sid=sid)
        calls = calls_of(log, sid)
        assert found["messages"]["total"] == len(messages)
        assert found["messages"]["complete"] == sum(m["is_complete"] for m in messages)
        for name in ("input_tokens", "output_tokens", "cache_read_tokens"):
            assert found["tokens"][name] == (total(messages, name) or 0)
            assert sum(m[name] for m in found["models"]) == (total(messages, name) or 0)
        assert found["rounds"]["total"] == len(rounds)
        assert found["rounds"]["aborted"] == sum(r["is_aborted"] for r in rounds)
        took = [r["end_time"] - r["start_time"] for r in rounds if r["end_time"] is not None]
        assert near(found["rounds"]["max_duration"], max(took, default=None))
        for tool in found["tools"]:
            mine = [call for call in calls if call["tool_name"] == tool["tool_name"]]
            back = [call["result"] for call in mine if call["result"]]
            assert (tool["calls"], tool["returned"]) == (len(mine), len(back))
            assert tool["errors"] == sum(r["is_error"] for r in back)
            ms = [r["execution_duration_ms"] for r in back]
            known = [each / 1000 for each in ms if each is not None]
            assert near(tool["mean_duration"], fmean(known) if known else None)
            assert near(tool["median_duration"], median(known) if known else None)
        flows = {m["flow_id"] for m in messages}
        blocks = [b for b in log.rows["block"] if b["flow_id"] in flows]
        for row in found["blocks"]:
            mine = [b for b in blocks if b["block_type"] == row["block_type"]]
            sums = [sum(b[name] for b in mine) for name in ("delta_count", "total_bytes")]
            assert [row["count"], row["deltas"], row["bytes"]] == [len(mine), *sums]


def covered(spans: list[tuple[float, float]]) -> float:
    """Seconds in at least one span, counted millisecond by millisecond."""
    ticks = {ms for a, b in spans for ms in range(round(a * 1000), round(b * 1000))}
    return len(ticks) / 1000


def test_busy_time_counts_parallel_work_once(log: Told, ask: Ask) -> None:
    for sid in sids(log):
        busy = ask("stats", sid, "--json")["busy"]
        flows = {m["flow_id"] for m in log.of("message", sid=sid)}
        blocks = [b for b in log.rows["block"] if b["flow_id"] in flows and b["complete_time"]]
        for phase, kind in (("thinking", "thinking"), ("writing", "text"), ("calling", "tool_use")):
            spans = [
                (b["start_time"], b["complete_time"])
                for b in blocks
                if str(b["block_type"]).endswith(kind)
            ]
            assert near(busy[phase] or 0, covered(spans))
        tools = [
            (call["complete_time"], call["result"]["result_time"])
            for call in calls_of(log, sid)
            if call["result"] and call["complete_time"]
        ]
        assert near(busy["tool"] or 0, covered(tools))


# -- everything at a glance


def test_the_dashboard_adds_up(log: Told, ask: Ask) -> None:
    found = ask("dashboard", "--since", "2h", "--json")
    messages, rounds = log.rows["message"], log.rows["round"]
    assert found["sessions"]["active"] == len(log.rows["session"])
    assert sum(found["sessions"]["by_state"].values()) == len(log.rows["session"])
    assert found["tokens"]["messages"] == len(messages)
    assert found["tokens"]["output_tokens"] == (total(messages, "output_tokens") or 0)
    assert found["rounds"]["begun"] == len(rounds)
    assert found["rounds"]["complete"] == sum(r["is_complete"] for r in rounds)
    made = [call for sid in sids(log) for call in calls_of(log, sid) if call["complete_time"]]
    calls = [call for call in made if call["result"] and call["block_type"] == "tool_use"]
    by_name = {row["tool_name"]: (row["calls"], row["errors"]) for row in found["tools"]}
    for name, counts in by_name.items():
        mine = [call["result"] for call in calls if call["tool_name"] == name]
        assert counts == (len(mine), sum(r["is_error"] for r in mine))
    assert sum(count for count, _ in by_name.values()) == len(calls)
    took = sorted((r["end_time"] - r["start_time"] for r in rounds if r["end_time"]), reverse=True)
    slow = [row["duration"] for row in found["slowest_rounds"]]
    assert all(map(near, slow, took[:5]))
    assert len(slow) == len(took[:5])
    nothing = ask("dashboard", "--since", "1s", "--json")
    assert nothing["sessions"]["active"] == nothing["rounds"]["begun"] == 0
    assert nothing["rounds"]["mean_duration"] is None
    assert nothing["tools"] == nothing["busiest"] == nothing["slowest_calls"] == []


# -- what is open


def test_why_a_prompt_has_no_stop(
    tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    def talk(number: int) -> Talk:
        return Talk(sid_of(number), pid=4_100_000 + number)

    one, two, three, four = talk(1), talk(2), talk(3), talk(4)
    lines = [
        *asking(one, n=1),  # cut off by the next prompt, which is answered
        *asking(one, 5000, n=2),
        *answering(one, 6000, n=2),
        *asking(two, n=3),
        two.line("session_end", 900, {"reason": "other"}),
        *asking(three, n=4),
        three.line("session_start", 900, {"source": "resume"}),
        *asking(four, n=5),  # its process is not there
    ]
    found = told(tmp_path, lines)
    ask = asker(capsysbinary, monkeypatch, NOW, "--data-dir", found.folder)
    rows = ask("unbalanced", "--json")
    assert {(row["sid"], row["round_id"]): row["why"] for row in rows} == {
        (sid_of(1), "round-1"): "next_prompt",
        (sid_of(2), "round-3"): "session_end",
        (sid_of(3), "round-4"): "resume",
        (sid_of(4), "round-5"): "orphaned",
    }
    unended = {r["round_id"] for r in found.rows["round"] if r["end_time"] is None}
    assert {row["round_id"] for row in rows} == unended
    assert [row["round_id"] for row in ask("unbalanced", ONE, "--json")] == ["round-1"]
    assert ask("unbalanced", "--since", "1m", "--json") == []
    golden.check("unbalanced", rows)


def test_pending_is_what_has_no_result(
    tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = [
        *asking(Talk(ONE, pid=4_100_001)),
        *asking(Talk(TWO, pid=4_100_002), 500, n=2, name="Read"),
        *asking(Talk(sid_of(3), pid=4_100_003), 700, n=3),
        *answering(Talk(sid_of(3), pid=4_100_003), 1700, n=3),
    ]
    found = told(tmp_path, lines)
    ask = asker(capsysbinary, monkeypatch, NOW, "--data-dir", found.folder)
    stand_still(monkeypatch, NOW)
    rows = ask("pending", "--json")
    answered = {row["tool_use_id"] for row in found.rows["tool_result"]}
    open_calls = [b for b in found.rows["block"] if b["tool_use_id"] not in {*answered, None}]
    assert [row["tool_use_id"] for row in rows] == [b["tool_use_id"] for b in open_calls]
    assert [row["seconds"] for row in rows] == [NOW - b["complete_time"] for b in open_calls]
    assert [row["state"] for row in rows] == ["overdue", "overdue"]
    assert [row["tool_name"] for row in ask("pending", "--tool", "Read", "--json")] == ["Read"]
    assert len(ask("pending", ONE, "--json")) == 1
    assert len(ask("pending", "--limit", 1, "--json")) == 1
    golden.check("pending", rows)


def test_stalled_is_a_byte_that_does_not_come(
    tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    def begun(number: int, at: int) -> list[bytes]:
        talk = Talk(sid_of(number), pid=4_100_000 + number)
        return [
            talk.prompt(at, "go", f"u{number}", round_id=f"round-{number}"),
            talk.start(number, at + 100, round_id=f"round-{number}"),
            talk.begin(number, at + 110, TEXT),
            talk.text(number, at + 120, "so far"),
        ]

    lines = [*begun(1, 0), *begun(2, 50_000), *asking(Talk(sid_of(3)), 0, n=3)]
    found = told(tmp_path, lines)
    now = START / 1000 + 65.12
    ask = asker(capsysbinary, monkeypatch, now, "--data-dir", found.folder)
    stand_still(monkeypatch, now)
    rows = ask("stalled", "--json")
    assert [row["sid"] for row in rows] == [ONE]
    assert near(rows[0]["silence"], 65.0)
    soon = ask("stalled", "--threshold", "10s", "--json")
    assert {row["sid"]: row["threshold"] for row in soon} == {ONE: 10.0, TWO: 10.0}
    assert ask("stalled", "--threshold", "2m", "--json") == []
    assert ask("stalled", "--threshold", "10s", "--since", "20s", "--json")[0]["sid"] == TWO
    golden.check("stalled", rows)


# -- golden files: one small recorded input, everything asked of it


def recorded() -> list[bytes]:
    """A session with a failed call and a subagent's message, and one that is over."""
    talk = Talk(ONE, pid=4_100_001, cwd="/home/u/api")
    sub: dict[str, Any] = {"round_id": "round-1", "agent": "a1"}
    lines = asking(talk)
    lines += [
        talk.line("tool_result", 1000, tool_result("toolu_1", "no\nway", is_error=True)),
        talk.start(2, 1100, **sub),
        talk.begin(2, 1110, call_block("toolu_2", "Read"), **sub),
        talk.json(2, 1120, '{"file_path":"é.txt"}'),
        talk.end(2, 1130),
        talk.reason(2, 1140, "tool_use", output_tokens=5),
        talk.stop(2, 1150),
        talk.line("tool_result", 1400, tool_result("toolu_2", "text"), **sub),
        talk.start(3, 1500, round_id="round-1"),
        talk.begin(3, 1510, {"type": "thinking", "thinking": "", "signature": ""}),
        talk.end(3, 1800),
        talk.begin(3, 1810, TEXT, 1),
        talk.text(3, 61_000, "Done.", 1),
        talk.end(3, 61_010, 1),
        talk.reason(3, 61_020, "end_turn", output_tokens=7),
        talk.stop(3, 61_030),
        talk.line("stop", 61_040, {"agent_id": ONE}, round_id="round-1"),
    ]
    other = Talk(TWO, pid=4_100_002, cwd="/home/u/web")
    lines += [*asking(other, 2000, n=5), *answering(other, 3000, n=5)]
    return [*lines, other.line("session_end", 3400, {"reason": "other"})]


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return told(tmp_path_factory.mktemp("record"), recorded()).folder


@pytest.fixture
def recall(
    record: Path, capsysbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch
) -> Ask:
    stand_still(monkeypatch, NOW)
    return asker(capsysbinary, monkeypatch, NOW, "--data-dir", record)


@pytest.mark.parametrize(
    ("name", "question"),
    [
        ("sessions", ["sessions"]),
        ("rounds", ["rounds", "api"]),
        ("show", ["show", "api"]),
        ("tool", ["tool", "toolu_1"]),
        ("stats", ["stats", "api"]),
        ("dashboard", ["dashboard"]),
        ("timeseries", ["timeseries", "api"]),
        ("sql", ["sql", "SELECT * FROM v_tool_calls ORDER BY called_at"]),
    ],
)
def test_the_json_of_each_command_is_pinned(recall: Ask, name: str, question: list[str]) -> None:
    golden.check(name, recall(*question, "--json"))


@pytest.mark.parametrize(
    ("question", "said"),
    [
        (["sessions"], ["api", "dead", "ended", "b1d2c3e"]),
        (["rounds", "api"], ["do it", "stop", "1m01s"]),
        (["tool", "toolu_1"], ["Bash", "returned after 820 ms, with an error", "no way"]),
        (["stats", "api"], ["rounds    1: 1 complete", "Read", "subagent"]),
        (["dashboard"], ["2 sessions", "busiest", "slowest calls", "Bash failed"]),
        (["unbalanced"], []),
        (["pending"], []),
        (["stalled"], []),
    ],
)
def test_the_text_of_each_command(recall: Ask, question: list[str], said: list[str]) -> None:
    text = recall(*question).decode()
    for part in said:
        assert part in text
    plain = recall(*question, "--ascii").decode()
    assert plain.isascii()


def test_who_is_there(recall: Ask) -> None:
    rows = {row["sid"]: row for row in recall("sessions", "--json")}
    assert rows[ONE]["liveness"] == "dead"
    assert rows[TWO]["liveness"] == "ended"
    assert rows[ONE]["rounds"] == 1
    assert recall("sessions", "--since", "2099-01-01", "--json") == []
    assert [row["sid"] for row in recall("sessions", "--limit", 1, "--json")] == [ONE]


def test_json_can_be_read_row_by_row(recall: Ask) -> None:
    text = recall("rounds", "api").decode()
    lines = text.splitlines()
    assert lines[0].split()[0] == "#"
    rows = recall("show", "api", "--json")
    assert json.loads(json.dumps(rows)) == rows
