"""A table of (run, moment) → (phase, verdict), each run told by the wire and by transcripts with
hooks and a registry; and that what comes late changes nothing."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import pytest

from agentmon.core.health import Limits, ProcessFact
from tests.deep import turns
from tests.life import Arrival, Life
from tests.small_lives import PID, T0, ToldRun, WireRun
from tests.wire import SID

LIMITS = Limits(stalled_after=30.0, overdue_after=600.0)
MAIN = (SID, "")


class Run(NamedTuple):
    """A run and what it must look like: (seconds, phase, verdict) of the main agent."""

    name: str
    make: Callable[[], list[Arrival]]
    looks: Sequence[tuple[float, str, str]]
    dies_at: float | None = None


# -- as the wire has them


def wire_stall() -> list[Arrival]:
    run = WireRun().prompt(0)
    n = run.begin(1)
    return run.text(n, 2).text(n, 50).end(n, 51).hook("stop", 51.1).arrivals


def wire_no_answer() -> list[Arrival]:
    run = WireRun().prompt(0)
    return run.message(40, 41).arrivals


def wire_killed_in_stream() -> list[Arrival]:
    run = WireRun().prompt(0)
    n = run.begin(1)
    return run.text(n, 2).arrivals


def wire_killed_in_tool() -> list[Arrival]:
    return WireRun().prompt(0).message(1, 2, ("toolu_1", "Bash")).arrivals


def wire_permission() -> list[Arrival]:
    run = WireRun().prompt(0).message(1, 2, ("toolu_1", "Write"))
    run.hook("pre_tool_use", 2.1, tool_name="Write", tool_use_id="toolu_1")
    run.hook("permission_request", 2.2, tool_name="Write")
    run.hook("notification", 8, notification_type="permission_prompt")
    run.hook("post_tool_use", 900, tool_name="Write", tool_use_id="toolu_1")
    return run.result(900.1, "toolu_1").message(901, 902).hook("stop", 902.1).arrivals


def wire_question() -> list[Arrival]:
    run = WireRun().prompt(0).message(1, 2, ("toolu_1", "AskUserQuestion"))
    return run.result(60, "toolu_1").message(61, 62).arrivals


def wire_long_tool() -> list[Arrival]:
    run = WireRun().prompt(0).message(1, 2, ("toolu_1", "Bash"))
    return run.result(700, "toolu_1").message(701, 702).arrivals


def wire_overload() -> list[Arrival]:
    run = WireRun().prompt(0)
    run.error(2, run.begin(1))
    run.error(12, run.begin(11))
    return run.message(40, 42).arrivals


def wire_interrupt() -> list[Arrival]:
    run = WireRun().prompt(0)
    n = run.begin(1)
    run.text(n, 2)
    return [*run.arrivals, *ToldRun().abort(2.5).status(2.6, "idle").arrivals]


def wire_background() -> list[Arrival]:
    run = WireRun().prompt(0).message(1, 2, ("toolu_1", "Bash")).result(2.5, "toolu_1")
    run.message(3, 4).hook("stop", 4.1, background_tasks=[{"id": "b1", "status": "running"}])
    return run.message(100, 101).hook("stop", 101.1, background_tasks=[]).arrivals


def wire_subagent() -> list[Arrival]:
    """In the foreground, for longer than any tool may run."""
    run = WireRun().prompt(0).message(1, 2, ("toolu_1", "Agent"))
    for turn in range(100):
        at = 3 + 10 * turn
        run.message(at, at + 5, (f"toolu_a{turn}", "Bash"), agent="a1")
        run.result(at + 6, f"toolu_a{turn}", agent="a1")
    return run.result(1010, "toolu_1").message(1011, 1012).arrivals


# -- as transcripts, hooks and registries have them


def told_stall() -> list[Arrival]:
    """Nothing is to be seen of a silence: the transcript is silent in any case."""
    run = ToldRun().status(-0.5, "idle").prompt(0).status(0.1, "busy")
    return run.told(51, "m1", "text", stop="end_turn").stop(51.1).status(51.2, "idle").arrivals


def told_endless() -> list[Arrival]:
    run = ToldRun().prompt(0).status(0.1, "busy").other(0.2, "api-request")
    return run.told(400, "m1", "text", stop="end_turn").arrivals


def told_killed_in_stream() -> list[Arrival]:
    return ToldRun().prompt(0).status(0.1, "busy").arrivals


def told_killed_in_tool() -> list[Arrival]:
    run = ToldRun().prompt(0).status(0.1, "busy")
    return run.told(2, "m1", "Bash:toolu_1", stop="tool_use").arrivals


def told_permission() -> list[Arrival]:
    run = ToldRun().prompt(0).status(0.1, "busy")
    run.told(2, "m1", "Write:toolu_1", stop="tool_use").status(2.2, "waiting", "permission prompt")
    run.status(900, "busy").result(901, "toolu_1")
    return run.told(902, "m2", "text", stop="end_turn").status(902.2, "idle").arrivals


def told_question() -> list[Arrival]:
    run = ToldRun().prompt(0).told(2, "m1", "AskUserQuestion:toolu_1", stop="tool_use")
    return run.result(60, "toolu_1").told(62, "m2", "text", stop="end_turn").arrivals


def told_long_tool() -> list[Arrival]:
    run = ToldRun().prompt(0).told(2, "m1", "Bash:toolu_1", stop="tool_use")
    return run.result(700, "toolu_1").told(702, "m2", "text", stop="end_turn").arrivals


def told_overload() -> list[Arrival]:
    run = ToldRun().prompt(0).retry(2, 2, 3, 10).retry(12, 400, 4, 10)
    return run.told(413, "m1", "text", stop="end_turn").arrivals


def told_interrupt() -> list[Arrival]:
    run = ToldRun().prompt(0).status(0.1, "busy")
    run.told(2, "m1", "Bash:toolu_1", stop="tool_use").abort(5, None).status(5.1, "idle")
    return run.other(900, None, is_alive=False).arrivals


def told_background() -> list[Arrival]:
    run = ToldRun().status(-1, "idle").prompt(0).status(0.1, "busy")
    run.told(2, "m1", "Bash:toolu_1", stop="tool_use").result(2.5, "toolu_1")
    run.told(4, "m2", "text", stop="end_turn").stop(4.1, ["b1"])
    run.status(99.9, "idle").status(99.91, "busy").other(100, "api-request")
    return run.told(101, "m3", "text", stop="end_turn").stop(101.1).status(101.2, "idle").arrivals


def told_subagent() -> list[Arrival]:
    run = ToldRun().prompt(0).told(2, "m1", "Agent:toolu_1", stop="tool_use")
    run.agent_said(2.1, "a1", "running", "toolu_1")
    for turn in range(100):
        at, key = 8 + 10 * turn, f"toolu_a{turn}"
        run.told(at, f"ma{turn}", f"Bash:{key}", stop="tool_use", agent="a1")
        run.result(at + 1, key, agent="a1")
    run.agent_said(1009, "a1", "completed").result(1010, "toolu_1")
    return run.told(1012, "m2", "text", stop="end_turn").arrivals


STALL = [(1.5, "writing", "ok"), (31, "writing", "ok"), (33, "writing", "stalled")]
RUNS = [
    Run("wire stall", wire_stall, [*STALL, (49, "writing", "stalled"), (50.1, "writing", "ok")]),
    Run("wire over", wire_stall, [(51, "idle", "ok"), (9e3, "idle", "ok")]),
    Run("told stall", told_stall, [(-0.1, "idle", "ok"), (50, "prompting", "ok")]),
    Run("told over", told_stall, [(51.3, "idle", "ok"), (9e3, "idle", "ok")]),
    Run(
        "wire no answer",
        wire_no_answer,
        [(29, "prompting", "ok"), (31, "prompting", "stalled"), (40.1, "writing", "ok")],
    ),
    Run(
        "told endless",
        told_endless,
        [(329, "prompting", "ok"), (331, "prompting", "stalled"), (400.5, "idle", "ok")],
    ),
    Run(
        "wire killed in stream",
        wire_killed_in_stream,
        [(3, "writing", "ok"), (5.1, "writing", "orphaned"), (99, "writing", "orphaned")],
        dies_at=5,
    ),
    Run(
        "told killed in stream",
        told_killed_in_stream,
        [(3, "prompting", "ok"), (5.1, "prompting", "orphaned"), (999, "prompting", "orphaned")],
        dies_at=5,
    ),
    Run(
        "wire killed in tool",
        wire_killed_in_tool,
        [(4, "tool", "ok"), (5.1, "tool", "orphaned")],
        dies_at=5,
    ),
    Run(
        "told killed in tool",
        told_killed_in_tool,
        [(4, "tool", "ok"), (5.1, "tool", "orphaned")],
        dies_at=5,
    ),
    Run("wire dead when idle", wire_stall, [(60, "idle", "ok"), (71, "idle", "dead")], dies_at=70),
    Run("told dead when idle", told_stall, [(60, "idle", "ok"), (71, "idle", "dead")], dies_at=70),
    Run(
        "wire permission",
        wire_permission,
        [
            (2.1, "tool", "ok"),
            (2.3, "permission", "ok"),
            (899, "permission", "ok"),
            (900.05, "prompting", "ok"),
            (901.5, "writing", "ok"),
            (903, "idle", "ok"),
        ],
    ),
    Run(
        "told permission",
        told_permission,
        [
            (2.3, "tool", "ok"),
            (2.5, "permission", "ok"),
            (899, "permission", "ok"),
            (900.3, "tool", "ok"),
            (901.3, "prompting", "ok"),
            (903, "idle", "ok"),
        ],
    ),
    Run("wire question", wire_question, [(3, "permission", "ok"), (60, "prompting", "ok")]),
    Run("told question", told_question, [(3, "permission", "ok"), (60.3, "prompting", "ok")]),
    Run(
        "wire long tool",
        wire_long_tool,
        [(601, "tool", "ok"), (603, "tool", "overdue"), (700, "prompting", "ok")],
    ),
    Run(
        "told long tool",
        told_long_tool,
        [(601, "tool", "ok"), (603, "tool", "overdue"), (700.3, "prompting", "ok")],
    ),
    Run(
        "wire overload",
        wire_overload,
        [
            (2, "retrying", "ok"),
            (11.5, "writing", "ok"),
            (39, "retrying", "ok"),
            (43, "idle", "ok"),
        ],
    ),
    Run(
        "told overload",
        told_overload,
        [
            (3, "retrying", "ok"),
            (12.3, "retrying", "ok"),
            (411, "retrying", "ok"),
            (414, "idle", "ok"),
        ],
    ),
    Run("wire interrupt", wire_interrupt, [(2.2, "writing", "ok"), (9e3, "idle", "ok")]),
    Run("told interrupt", told_interrupt, [(3, "tool", "ok"), (9e3, "idle", "ok")]),
    Run(
        "wire background",
        wire_background,
        [(5, "idle", "ok"), (99, "idle", "ok"), (100.5, "writing", "ok"), (102, "idle", "ok")],
    ),
    Run(
        "told background",
        told_background,
        [(5, "idle", "ok"), (99, "idle", "ok"), (100.3, "prompting", "ok"), (102, "idle", "ok")],
    ),
    Run("wire subagent", wire_subagent, [(999, "tool", "ok"), (1010, "prompting", "ok")]),
    Run("told subagent", told_subagent, [(999, "tool", "ok"), (1010.3, "prompting", "ok")]),
]


def live(run: Run, arrivals: list[Arrival] | None = None) -> Life:
    return Life(run.make() if arrivals is None else arrivals, LIMITS)


def looks(life: Life, run: Run) -> list[tuple[float, str, str]]:
    found: list[tuple[float, str, str]] = []
    for second, _, _ in run.looks:
        if run.dies_at is not None and second > run.dies_at:
            life.gone[PID] = ProcessFact(PID, T0 + run.dies_at, "no such process")
        shown = life.at(T0 + second)[MAIN]
        found.append((second, shown.phase, shown.word))
    return found


@pytest.mark.parametrize("run", RUNS, ids=[run.name for run in RUNS])
def test_the_table(run: Run) -> None:
    assert looks(live(run), run) == list(run.looks)


def test_details() -> None:
    table = [
        (wire_overload, 3, "overloaded"),
        (told_overload, 3, "overloaded, again in 2 s (3/10)"),
        (wire_permission, 5, "Write"),
        (told_permission, 5, "permission prompt"),
        (told_interrupt, 6, "interrupted"),
        (wire_background, 5, "1 in the background"),
        (told_background, 5, "1 in the background"),
        (told_background, 102, None),
        (wire_long_tool, 5, "Bash"),
    ]
    found = [live(Run("", make, ())).at(T0 + at)[MAIN].detail for make, at, _ in table]
    assert found == [detail for _, _, detail in table]


PAIRS = {
    "stall": (wire_stall, told_stall),
    "long tool": (wire_long_tool, told_long_tool),
    "permission": (wire_permission, told_permission),
    "background": (wire_background, told_background),
}


@pytest.mark.parametrize(("pair", "lag"), turns(PAIRS, [0.0, 0.3, 7.0, 2000.0]))
def test_what_is_told_late_does_not_flicker(pair: str, lag: float) -> None:
    """Two sources of a run show the phases of the wire, and those only one of them knows."""
    by_wire, by_tale = PAIRS[pair]
    wire, told = by_wire(), [(at + lag, events) for at, events in by_tale()]
    alone = Life(wire, LIMITS).phases(0.25)[MAIN]
    both = Life([*wire, *told], LIMITS).phases(0.25)[MAIN]
    assert both[-1] == alone[-1]
    assert len(both) <= len(alone) + 4
    if lag >= 2000:
        assert both == alone


def test_no_phase_is_shown_twice_for_one_cause() -> None:
    """How often each run changes its phase at all."""

    def times(name: str) -> int:
        (run,) = (run for run in RUNS if run.name == name)
        return len(live(run).phases(0.25)[MAIN])

    assert times("wire stall") == 3  # prompting, writing, idle
    assert times("told stall") == 3  # idle, prompting, idle
    assert times("wire long tool") == times("wire killed in tool") + 3
    assert times("told permission") == 6
    assert times("told subagent") == 4
