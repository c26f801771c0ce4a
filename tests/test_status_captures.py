"""Recorded runs of real clients, judged at every moment of their lives."""

from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path

import pytest

from agentmon.core.events import Event, SessionStart, TurnAborted, TurnStop
from agentmon.core.health import Limits, ProcessFact
from tests.conftest import SHARED
from tests.deep import each_nth, turns
from tests.life import Arrival, Key, Life
from tests.recorded_lives import SOURCES, arrivals

SCENES = sorted((SHARED / "captures").glob("*")) if SHARED.is_dir() else []
COMBINATIONS = [("wire",), ("told",), ("told", "registry"), ("told", "hooks"), tuple(SOURCES)]

pytestmark = pytest.mark.skipif(not SCENES, reason="no recordings beside the project")


def said(value: Path | tuple[str, ...]) -> str:
    return value.name if isinstance(value, Path) else "+".join(value)


each_scene = pytest.mark.parametrize("scene", each_nth(SCENES, 3), ids=said)


def by_name(name: str) -> Path:
    return next(scene for scene in SCENES if scene.name == name)


def worries(life: Life, seconds: float) -> set[tuple[Key, str, float]]:
    """Every verdict that is not "ok": who, which, since when."""
    return {
        (key, shown.word, shown.verdict.since)
        for _, threads in life.every(seconds)
        for key, shown in threads.items()
        if shown.word != "ok"
    }


@pytest.mark.parametrize(("scene", "names"), turns(SCENES, COMBINATIONS), ids=said)
def test_no_false_alarm_at_any_moment(scene: Path, names: tuple[str, ...]) -> None:
    assert worries(Life(arrivals(scene, *names)), 0.5) == set()


def test_the_one_silence_is_found_by_a_short_limit() -> None:
    limits = Limits(stalled_after=10.0)
    found = {scene.name: worries(Life(arrivals(scene, "wire"), limits), 0.5) for scene in SCENES}
    stalls = found.pop("claude-stall")
    assert [word for _, word, _ in stalls] == ["stalled"]
    assert set().union(*found.values()) == set()


def test_a_transcript_says_nothing_of_that_silence() -> None:
    life = Life(arrivals(by_name("claude-stall"), "told", "registry"), Limits(stalled_after=10.0))
    assert worries(life, 0.5) == set()


def spells(phases: Iterable[str], phase: str) -> int:
    return sum(1 for shown in phases if shown == phase)


def causes(found: Iterable[Arrival], *kinds: type) -> int:
    """How many different moments there are of such events."""
    times: list[float] = sorted(
        event.time
        for _, events in found
        for event in events
        if isinstance(event, Event) and isinstance(event, kinds) and event.time is not None
    )
    return sum(1 for one, other in pairwise([float("-inf"), *times]) if other - one > 0.5)


TURNS = [s for s in SCENES if s.name.startswith("claude") and s.name != "claude-concurrent"]
"""Not those of several sessions at once, nor those whose wire log has no end of a turn."""


@pytest.mark.parametrize(("scene", "names"), turns(TURNS, [("wire",), tuple(SOURCES)]), ids=said)
def test_no_agent_rests_more_often_than_its_turns_end(scene: Path, names: tuple[str, ...]) -> None:
    found = arrivals(scene, *names)
    phases = Life(found).phases()
    rests = sum(spells(shown, "idle") for (_, agent), shown in phases.items() if not agent)
    # a compaction ends without a stop
    assert rests <= causes(found, TurnStop, TurnAborted, SessionStart) + 1


def changes(phases: dict[Key, list[str]]) -> int:
    return sum(len(shown) for shown in phases.values())


@each_scene
def test_more_sources_make_no_flicker(scene: Path) -> None:
    """They add what only they know: the tool's end, the request before its first byte."""
    found = arrivals(scene, "wire")
    alone = Life(found).phases()
    all_of_them = Life(arrivals(scene, *SOURCES)).phases()
    results = sum(1 for _, events in found if type(events[0]).__name__ == "ToolResults")
    assert set(alone) == set(all_of_them)
    assert changes(all_of_them) <= changes(alone) + results + 4 * len(alone)


def test_a_wait_for_a_person_is_shown_while_it_lasts() -> None:
    scene = by_name("claude-permission")
    for names in (("told", "registry"), ("wire", "hooks"), ("wire", "registry"), tuple(SOURCES)):
        life = Life(arrivals(scene, *names))
        waits = [
            now
            for now, threads in life.every(0.1)
            if any(shown.phase == "permission" for shown in threads.values())
        ]
        # the prompt was up from 19:37:03.4 to 15.4, the question from 16.98 to 20.1
        first = [now for now in waits if now < 1795289836.2]
        second = [now for now in waits if now > 1795289836.2]
        borders = [1795289823.5, 1795289835.6, 1795289836.9, 1795289840.2]
        shown = [first[0], first[-1], second[0], second[-1]]
        assert max(abs(a - b) for a, b in zip(borders, shown, strict=True)) < 0.5
        assert len(waits) >= 140


def test_a_killed_client_is_orphaned_and_the_next_is_not() -> None:
    scene = by_name("claude-kill9-stream")
    for names in COMBINATIONS:
        life = Life(arrivals(scene, *names))
        start = life.start
        life.at(start + 3)
        victim = next(iter(life.state.sessions.values()))
        life.gone[20664] = ProcessFact(20664, start + 4, "no such process")
        victim.pid = 20664  # a transcript alone does not know it
        words = {key[0]: shown.word for key, shown in life.at(life.end).items()}
        assert words.pop(victim.sid) == "orphaned"
        assert set(words.values()) == {"ok"}
