"""Landmarks of a run: of made-up ones with what is known of them, of recordings against their raw
lines."""

import json
import sqlite3
from collections.abc import Iterable
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentmon.core.health import HOLD, Limits
from agentmon.core.landmarks import KINDS, Landmark
from agentmon.report import board
from agentmon.report.incidents import evidence_text
from agentmon.report.landmarks import Terms, landmarks, survey
from agentmon.store import db, read_landmarks, verdicts
from tests.deep import examples
from tests.generate import joined, scenarios
from tests.near import near
from tests.runs import Log, found_in, stored
from tests.wire import START

T0 = START / 1000
Json = dict[str, Any]


def of_kind(found: Iterable[Landmark], *kinds: str) -> list[Landmark]:
    return [one for one in found if one.kind in kinds]


def told(found: Iterable[Landmark], *kinds: str) -> list[tuple[str, float, float | None]]:
    """(kind, seconds from the beginning, seconds it lasted)."""
    chosen = kinds or KINDS
    return [(one.kind, round(one.time - T0, 3), one.seconds) for one in found if one.kind in chosen]


def quiet(log: Log, tmp_path: Path, **more: Any) -> list[tuple[str, float, float | None]]:
    """What a log has besides its prompts."""
    found = found_in([log.write(tmp_path)], tmp_path / "store", **more)
    return told(found, *(kind for kind in KINDS if kind != "prompt"))


def test_a_run_without_trouble_has_its_prompts_only(tmp_path: Path) -> None:
    log = Log().prompt(0, "say\x1bhello").message(1).stop(2).prompt(60, round_id="r2")
    log.message(61).stop(62)
    found = found_in([log.write(tmp_path)], tmp_path / "store")
    assert told(found) == [("prompt", 0.0, None), ("prompt", 60.0, None)]
    assert [one.round_id for one in found] == ["r1", "r2"]
    assert found[0].text == "say\x1bhello"


# -- silence


def test_silence_within_a_message_is_found_to_the_delta(tmp_path: Path) -> None:
    log = Log().prompt(0)
    n = log.begin(1)
    log.text(n, 2, 3, 36.5, 37).end(n, 38).stop(39)
    found = found_in([log.write(tmp_path)], tmp_path / "store")
    (stall,) = of_kind(found, "stall")
    assert (stall.time, stall.end) == (near(T0 + 3), near(T0 + 36.5))
    assert stall.flow_id == f"m{n}"
    assert stall.evidence["phase"] == "writing"
    assert stall.evidence["threshold"] == 30.0
    assert stall.evidence["passed_at"] == near(T0 + 33)


def test_pings_are_no_text_but_told(tmp_path: Path) -> None:
    log = Log().prompt(0)
    n = log.begin(1)
    log.text(n, 2)
    for at in (12, 22):
        log.say(log.pen.stream("ping", n, at * 1000, {}))
    log.text(n, 42, 80).end(n, 81).stop(82)
    found = found_in([log.write(tmp_path)], tmp_path / "store")
    stalls = of_kind(found, "stall")
    assert [one.evidence["lines_between"] for one in stalls] == [2, 0]
    assert "2 lines without text" in evidence_text(stalls[0])
    assert "without text" not in evidence_text(stalls[1])


@pytest.mark.parametrize(("silent", "stalls"), [(30.9, 0), (31.0, 1)])
def test_a_silence_must_hold_for_a_second_beyond_its_limit(
    tmp_path: Path, silent: float, stalls: int
) -> None:
    log = Log().prompt(0)
    n = log.begin(1)
    log.text(n, 2, 2 + silent).end(n, 60).stop(61)
    assert len(quiet(log, tmp_path)) == stalls


def test_waits_for_a_first_byte_begin_with_prompt_or_last_result(tmp_path: Path) -> None:
    log = Log().prompt(0).message(40, ("c1", "Bash", '{"command":"a"}'), ("c2", "Bash", "{}"))
    log.result(41, "c1").result(45, "c2").message(95).stop(96)
    assert quiet(log, tmp_path) == [("stall", 0.0, 40.0), ("stall", 45.0, 50.0)]


def test_a_person_who_thinks_is_no_stall(tmp_path: Path) -> None:
    log = Log().prompt(0).message(1).stop(2).prompt(400, round_id="r2").message(401).stop(402)
    assert quiet(log, tmp_path) == []


def test_a_prompt_that_was_queued_is_not_awaited_from_then_on(tmp_path: Path) -> None:
    log = Log().prompt(0)
    log.message(1, ("c1", "Bash", "{}"))
    log.say(log.pen.prompt(2000, "and this", "u2", round_id="r1"))
    log.result(25, "c1").message(40).stop(41)
    assert quiet(log, tmp_path) == []


def test_pauses_that_are_usual_are_none(tmp_path: Path) -> None:
    """Sixty pauses of 25 s: the limit is twice the usual longest one by then."""
    log = Log().prompt(0)
    n = log.begin(1)
    times = [2 + 25.0 * at for at in range(60)]
    log.text(n, *times, times[-1] + 45, times[-1] + 100)
    log.end(n, times[-1] + 101).stop(times[-1] + 102)
    found = found_in([log.write(tmp_path)], tmp_path / "store")
    (stall,) = of_kind(found, "stall")
    assert stall.time == near(T0 + times[-1] + 45)
    assert stall.evidence["usual"] == near(25.0)
    assert stall.evidence["threshold"] == near(50.0)


def test_time_in_which_nobody_watched_is_no_silence(tmp_path: Path) -> None:
    log = Log().prompt(0)
    n = log.begin(1)
    log.text(n, 2, 50).end(n, 51).stop(52)
    limits = Limits(unseen=((T0 + 5, T0 + 30),))
    assert quiet(log, tmp_path, limits=limits) == []


def test_silence_that_holds_at_the_end_of_a_live_store(tmp_path: Path) -> None:
    log = Log().prompt(0)
    log.text(log.begin(1), 2)
    with stored([log.write(tmp_path)], tmp_path / "store") as conn:
        early = landmarks(conn, tmp_path / "store", now=T0 + 20)
        late = landmarks(conn, tmp_path / "store", now=T0 + 40)
    assert told(early) == [("prompt", 0.0, None)]
    assert told(late) == [("prompt", 0.0, None), ("stall", 2.0, None)]


def test_a_stored_verdict_lends_its_evidence(tmp_path: Path) -> None:
    log = Log().prompt(0)
    n = log.begin(1)
    log.text(n, 2, 50).end(n, 51).stop(52)
    sid, path, folder = log.pen.sid, log.write(tmp_path), tmp_path / "store"
    with stored([path], folder):
        pass
    with sqlite3.connect(db.database(folder), isolation_level=None) as conn:
        process = {"pid": 7, "cpu_percent": 0.0}
        change = verdicts.Change(sid, "", "stalled", T0 + 2, evidence={"process_info": process})
        gone = verdicts.Change(
            sid, "", "orphaned", T0 + 60, evidence={"process": "no such process"}
        )
        verdicts.write(conn, [change, gone])
        found = landmarks(conn, folder)
    assert told(found, "stall", "kill") == [("stall", 2.0, 48.0), ("kill", 60.0, None)]
    assert found[1].evidence["process_info"] == process
    assert found[1].evidence["threshold"] == 30.0


# -- errors


def test_an_error_lasts_until_it_is_asked_again(tmp_path: Path) -> None:
    log = Log().prompt(0)
    n = log.begin(1)
    log.text(n, 1.5).error(2, n).message(2.5).stop(4)
    found = found_in([log.write(tmp_path)], tmp_path / "store")
    (error,) = of_kind(found, "error")
    assert (error.time, error.seconds, error.flow_id) == (near(T0 + 2), 0.5, "m1")
    assert error.text == "overloaded_error: Overloaded"
    assert told(found) == [("prompt", 0.0, None), ("error", 2.0, 0.5)]


def test_a_stream_that_is_cut_is_an_error_and_a_turn_given_up_is_none(tmp_path: Path) -> None:
    log = Log().prompt(0)
    log.text(log.begin(1), 1.5)
    log.message(2.5).stop(4).prompt(10, round_id="r2")
    log.text(log.begin(11), 12)
    log.prompt(20, round_id="r3").message(21).stop(22)
    assert quiet(log, tmp_path) == [("error", 1.5, 1.0), ("interrupt", 12.0, None)]


def test_what_has_no_stop_at_the_end_of_a_record_was_broken_off(tmp_path: Path) -> None:
    log, other = Log(), Log("5b1d2c3e-0000-4000-8000-000000000002", 7, first=50)
    log.prompt(0)
    log.text(log.begin(1), 2)
    other.prompt(9).message(10).stop(11)
    log.lines += other.lines
    with stored([log.write(tmp_path)], tmp_path / "store") as conn:
        whole = landmarks(conn, tmp_path / "store")
        live = landmarks(conn, tmp_path / "store", now=T0 + 12)
    (kill,) = of_kind(whole, "kill")
    assert (kill.time, kill.sid, kill.evidence["pid"]) == (near(T0 + 2), log.pen.sid, 81551)
    assert "9.0 s" in kill.text
    assert of_kind(live, "kill") == []


# -- calls


def call(key: str, arguments: str = '{"file_path":"/a","offset":1}', name: str = "Read") -> Any:
    return key, name, arguments


def polling(log: Log, at: float, key: str, arguments: str, text: str) -> Log:
    return log.message(at, call(key, arguments)).result(at + 1, key, text)


def test_three_equal_calls_with_one_result_are_a_loop(tmp_path: Path) -> None:
    log, same = Log().prompt(0), '{"file_path":"/a","offset":1}'
    for number in range(3):
        polling(log, 1.0 + 2 * number, f"c{number}", same, "nothing")
    log.message(8).stop(9)
    found = found_in([log.write(tmp_path)], tmp_path / "store")
    (loop,) = of_kind(found, "loop")
    assert (loop.time, loop.end) == (near(T0 + 1.5), near(T0 + 6))
    assert (loop.tool_use_id, loop.text) == ("c0", "3 times Read /a")
    assert loop.evidence["tool_use_ids"] == ["c0", "c1", "c2"]


@pytest.mark.parametrize(
    ("arguments", "results"),
    [
        (['{"file_path":"/a","offset":1}'] * 3, ["same", "same", "else"]),
        (['{"file_path":"/a","offset":1}', '{"file_path":"/a","offset":2}'] * 2, ["same"] * 4),
        (['{"file_path":"/a","offset":1}'] * 2, ["same"] * 2),
    ],
)
def test_calls_that_differ_in_anything_are_none(
    tmp_path: Path, arguments: list[str], results: list[str]
) -> None:
    log = Log().prompt(0)
    for number, (said, text) in enumerate(zip(arguments, results, strict=True)):
        polling(log, 1.0 + 2 * number, f"c{number}", said, text)
    log.message(20).stop(21)
    assert quiet(log, tmp_path) == []


def test_a_prompt_ends_a_loop(tmp_path: Path) -> None:
    log = Log()
    for number in range(4):
        if number in (0, 2):
            log.prompt(10.0 * number, round_id=f"r{number}")
        polling(log, 10.0 * number + 1, f"c{number}", "{}", "same")
    assert quiet(log, tmp_path) == []


def test_failed_slow_and_overdue_calls(tmp_path: Path) -> None:
    log = Log().prompt(0).message(1, call("c1"), call("c2"), call("c3"))
    log.result(2, "c1", "no", is_error=True).result(31.6, "c2").result(700, "c3")
    log.message(701).stop(702)
    assert quiet(log, tmp_path) == [
        ("slow", 1.5, 30.1),
        ("overdue", 1.5, 698.5),
        ("failed", 2.0, None),
    ]


def test_a_call_that_often_takes_long_is_not_overdue(tmp_path: Path) -> None:
    log, at = Log().prompt(0), 1.0
    for number in range(8):
        log.message(at, call(f"c{number}", name="Deploy"))
        at += 700.0 if number < 7 else 850.0
        log.result(at, f"c{number}", f"done {number}")
        at += 1
    log.stop(at)
    found = found_in([log.write(tmp_path)], tmp_path / "store")
    # five runs must be known before they tell what is usual; half as much again is late
    assert [one.kind for one in of_kind(found, "slow", "overdue")] == ["overdue"] * 5 + ["slow"] * 3


def test_a_call_lives_as_long_as_its_subagent_is_heard(tmp_path: Path) -> None:
    log = Log().prompt(0).message(1, ("c1", "Agent", '{"prompt":"look"}'))
    for at in (100, 500, 900, 1300):
        log.message(at, agent="a1")
    log.result(1500, "c1").message(1501).stop(1502)
    found = found_in([log.write(tmp_path)], tmp_path / "store")
    assert told(found, "slow", "overdue") == [("slow", 1.5, 1498.5)]


def test_waits_for_a_person(tmp_path: Path) -> None:
    log = Log().prompt(0).message(1, ("c1", "Write", '{"file_path":"/x"}'), call("c2"))
    log.hook("permission_request", 2, tool_name="Write", tool_input={"file_path": "/x"})
    log.result(3, "c2").hook("notification", 8, notification_type="permission_prompt")
    log.result(60, "c1")
    log.message(61, ("c3", "AskUserQuestion", '{"questions":[]}')).result(90, "c3").stop(95)
    found = found_in([log.write(tmp_path)], tmp_path / "store")
    assert told(found)[1:] == [("permission", 2.0, 58.0), ("permission", 61.5, 28.5)]
    assert of_kind(found, "permission")[0].tool_use_id == "c1"


def test_a_question_about_a_call_that_nobody_told(tmp_path: Path) -> None:
    log = Log().prompt(0)
    log.hook("permission_request", 2, tool_name="Write")
    found = found_in([log.write(tmp_path)], tmp_path / "store")
    assert told(found, "permission") == [("permission", 2.0, None)]


def test_a_compaction_from_its_hook_to_its_end(tmp_path: Path) -> None:
    log = Log().prompt(0).message(1).stop(2)
    log.hook("pre_compact", 5, trigger="auto").hook("post_compact", 9, trigger="auto")
    found = found_in([log.write(tmp_path)], tmp_path / "store")
    assert told(found, "compaction") == [("compaction", 5.0, 4.0)]
    assert of_kind(found, "compaction")[0].text == "auto"


def test_every_query_is_served_by_an_index(tmp_path: Path) -> None:
    with stored([Log().prompt(0).write(tmp_path)], tmp_path / "store") as conn:
        for sql in read_landmarks.STATEMENTS:
            plan = conn.execute(f"EXPLAIN QUERY PLAN {sql}", ["x"] * sql.count("?")).fetchall()
            assert not [row for row in plan if str(row[3]).startswith("SCAN")], (sql, plan)


# -- recordings, against their raw lines


def wire(shared: Path, scene: str) -> list[Json]:
    text = (shared / "captures" / scene / "sse_lines.jsonl").read_text("utf-8")
    rows = [json.loads(line) for line in text.splitlines()]
    for row in rows:
        inner = json.loads(row["line"].removeprefix("data: "))
        row["payload"], row["at"] = inner["payload"], stamp(inner["timestamp"])
    return rows


def stamp(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def hooks(shared: Path, scene: str, name: str) -> list[Json]:
    text = (shared / "captures" / scene / "hooks.jsonl").read_text("utf-8")
    rows = [json.loads(line) for line in text.splitlines()]
    return [row for row in rows if row["payload"]["hook_event_name"] == name]


def recorded(shared: Path, tmp_path: Path, scene: str, *names: str, **more: Any) -> list[Landmark]:
    folder = shared / "captures" / scene
    return found_in([folder / name for name in names], tmp_path / "store", **more)


ALL = ("sse_lines.jsonl", "claude", "hooks.jsonl")


def test_the_recorded_stall(shared: Path, tmp_path: Path) -> None:
    scene = "claude-stall"
    deltas = [row for row in wire(shared, scene) if row["event"] == "claude.content_block_delta"]
    longest = max(pairwise(deltas), key=lambda pair: pair[1]["at"] - pair[0]["at"])
    limits = Limits(stalled_after=10)
    found = recorded(shared, tmp_path, scene, *ALL, limits=limits)
    assert [one.kind for one in found] == ["prompt", "stall"]
    stall = found[1]
    assert (stall.time, stall.end) == (near(longest[0]["at"]), near(longest[1]["at"]))
    assert stall.seconds == near(20.113)
    assert stall.flow_id == longest[0]["flow_id"]


def test_the_recorded_errors(shared: Path, tmp_path: Path) -> None:
    scene = "claude-overloaded"
    rows = wire(shared, scene)
    errors = [row for row in rows if row["event"] == "claude.error"]
    starts = [row["at"] for row in rows if row["event"] == "claude.message_start"]
    found = of_kind(recorded(shared, tmp_path, scene, *ALL), "error")
    assert [(one.time, one.end) for one in found] == [
        (near(row["at"]), near(min(at for at in starts if at > row["at"]))) for row in errors
    ]
    assert len(found) == 2


def test_the_recorded_cut(shared: Path, tmp_path: Path) -> None:
    scene = "claude-cut"
    rows = wire(shared, scene)
    first, second = [row for row in rows if row["event"] == "claude.message_start"]
    last = max(row["at"] for row in rows if row["flow_id"] == first["flow_id"])
    found = recorded(shared, tmp_path, scene, *ALL)
    assert [one.kind for one in found] == ["prompt", "error", "retry"]
    everything = recorded(shared, tmp_path / "2", scene, ".")
    assert [one.kind for one in everything] == ["prompt", "error", "retry"]
    assert everything[1].time == found[1].time
    assert (found[1].time, found[1].end) == (near(last), near(second["at"]))
    (transcript,) = (shared / "captures" / scene / "claude/projects").rglob("*.jsonl")
    said = [json.loads(line) for line in transcript.read_text("utf-8").splitlines()]
    (told_,) = [row for row in said if row.get("subtype") == "api_error"]
    assert (found[2].time, found[2].end) == (near(stamp(told_["timestamp"])), near(second["at"]))
    assert found[2].evidence["delay"] == near(told_["retryInMs"] / 1000, abs=0.001)


def test_the_recorded_kill(shared: Path, tmp_path: Path) -> None:
    scene = "claude-kill9-stream"
    rows = wire(shared, scene)
    notes = (shared / "captures" / scene / "notes.jsonl").read_text("utf-8").splitlines()
    killed = next(row for row in map(json.loads, notes) if row["note"].startswith("kill -9"))
    sid = rows[0]["sid"]
    last = max(row["at"] for row in rows if row["sid"] == sid)
    (kill,) = of_kind(recorded(shared, tmp_path, scene, *ALL), "kill")
    assert (kill.sid, kill.time) == (sid, near(last))
    assert f"pid {kill.evidence['pid']}" in killed["note"]
    assert abs(kill.time - killed["t"]) < 0.1


def test_the_recorded_permissions(shared: Path, tmp_path: Path) -> None:
    scene = "claude-permission"
    asked = hooks(shared, scene, "PermissionRequest")
    found = of_kind(recorded(shared, tmp_path, scene, *ALL), "permission")
    rows = wire(shared, scene)
    answered = [
        row["payload"]["tool_use_id"] for row in rows if row["event"] == "claude.tool_result"
    ]
    assert [one.tool_use_id for one in found] == answered
    assert [one.time for one in found] == [near(row["t"], abs=0.001) for row in asked]
    # a person pressed Enter at 13.2 s and 17.9 s of the recording
    assert [one.seconds for one in found] == [near(12.24, abs=0.05), near(3.21, abs=0.05)]


def test_the_recorded_interrupt_and_compaction(shared: Path, tmp_path: Path) -> None:
    scene = "claude-tui"
    found = recorded(shared, tmp_path, scene, *ALL)
    records: list[Json] = []
    for path in (shared / "captures" / scene / "claude/projects").rglob("*.jsonl"):
        records += [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    (interrupted,) = [row for row in records if row.get("interruptedMessageId")]
    (interrupt,) = of_kind(found, "interrupt")
    assert interrupt.time == near(stamp(interrupted["timestamp"]))
    (boundary,) = [row for row in records if row.get("subtype") == "compact_boundary"]
    (hook,) = hooks(shared, scene, "PreCompact")
    (compaction,) = of_kind(found, "compaction")
    assert (compaction.time, compaction.end) == (
        near(hook["t"], abs=0.001),
        near(stamp(boundary["timestamp"])),
    )
    assert compaction.text == "manual, 17.0k to 3.2k tokens"
    failed = hooks(shared, scene, "PostToolUseFailure")
    assert [one.tool_use_id for one in of_kind(found, "failed")] == [
        row["payload"]["tool_use_id"] for row in failed
    ]
    assert len(of_kind(found, "prompt")) == 5
    assert of_kind(found, "stall", "error", "kill", "loop") == []


# -- what always holds


STEPS = st.lists(st.tuples(st.sampled_from("dde"), st.integers(1, 90)), min_size=1, max_size=12)


@settings(max_examples=examples(6, 12), deadline=None)
@given(STEPS)
def test_stalls_are_the_gaps_that_the_lines_show(steps: list[tuple[str, int]]) -> None:
    """Deltas (d) and whole calls (e), each so many seconds after the last: too few for a usual
    pause to be known, so the limit is 30 s, and a second of it must hold."""
    log, at, expected = Log().prompt(0), 0.0, list[tuple[float, float]]()
    n = 0
    for key, (step, pause) in enumerate(steps):
        owed_since = at
        at += pause
        if not n:
            n = log.begin(at)
        else:
            log.text(n, at)
        if pause >= 31:
            expected.append((owed_since, float(pause)))
        if step == "e" and key % 4 == 3:
            log.end(n, at + 0.5, (f"c{key}", "Bash", f'{{"n":{key}}}'))
            at += 7.0
            log.result(at, f"c{key}", f"{key}")
            n = 0
    with TemporaryDirectory() as folder:
        found = found_in([log.write(Path(folder))], Path(folder) / "store")
    stalls = [(one.time - T0, one.seconds) for one in of_kind(found, "stall")]
    assert stalls == [(near(since, abs=0.011), near(took, abs=0.011)) for since, took in expected]


@settings(max_examples=examples(4, 8), deadline=None)
@given(scenarios())
def test_any_log_has_landmarks_in_order(lines: list[bytes]) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "sse_lines.jsonl"
        path.write_bytes(joined(lines))
        with stored([path], Path(folder) / "store") as conn:
            found = survey(conn, Path(folder) / "store", Terms(Limits(1.0, 2.0), slow=0.5))
    times = [one.time for one in found.landmarks]
    assert times == sorted(times)
    for one in found.landmarks:
        assert one.end is None or one.end >= one.time, one
    for cost in found.rounds:
        assert cost.spent.total == near(cost.seconds, abs=1e-4)


def test_a_stall_is_what_the_board_said_at_the_time(tmp_path: Path) -> None:
    """The lines up to some moments, judged as a live store is."""
    log = Log().prompt(0)
    n = log.begin(2)
    log.text(n, 3, 43).end(n, 44, ("c1", "Bash", "{}")).result(50, "c1").message(95).stop(96)
    found = found_in([log.write(tmp_path)], tmp_path / "whole")
    stalls = of_kind(found, "stall")
    assert [(round(s.time - T0, 1), s.seconds) for s in stalls] == [(3.0, 40.0), (50.0, 45.0)]
    for number, moment in enumerate((30.0, 33.5, 34.5, 42.0, 43.5, 60.0, 81.5, 94.0, 97.0)):
        folder = tmp_path / str(number)
        folder.mkdir()
        lines = [json.loads(line) for line in log.lines]
        then = Log()
        then.lines = [
            raw
            for raw, row in zip(log.lines, lines, strict=True)
            if stamp(json.loads(row["line"][6:])["timestamp"]) <= T0 + moment
        ]
        with stored([then.write(folder)], folder / "store") as conn:
            (thread,) = board.load(conn).threads
            verdict = thread.verdict(T0 + moment, Limits())
        held = [
            one
            for one in stalls
            if float(str(one.evidence["passed_at"])) + HOLD <= T0 + moment < (one.end or 0.0)
        ]
        assert [verdict.word] == (["stalled"] if held else ["ok"]), moment
        if held:
            assert verdict.since == near(held[0].time)
