"""What rings and what does not: pure, with a clock that is an argument."""

import pytest
from msgspec.structs import replace

from agentmon.core.attention import (
    Alert,
    Attention,
    AttentionSettings,
    Sighting,
    most_urgent,
    title_words,
)

T0 = 1_800_000_000.0
"""When agentmon looked first."""

CALM = Sighting(
    sid="s1",
    agent_id="",
    name="api",
    state="writing",
    label="writing",
    phase="writing",
    phase_since=T0 - 60,
    heard=T0 - 1,
    round_id="r1",
)


def asks(since: float) -> Sighting:
    return replace(
        CALM, state="permission", label="permission Edit", phase="permission", phase_since=since
    )


def silent(heard: float, word: str = "stalled") -> Sighting:
    return replace(CALM, state=word, label=word, heard=heard)


def finished(end: float, round_id: str = "r1") -> Sighting:
    return replace(
        CALM, state="idle", label="idle", phase="idle", round_id=round_id, round_end=end, heard=end
    )


def watching(*seen: Sighting, settings: AttentionSettings | None = None) -> Attention:
    """Attention that looked once at T0."""
    attention = Attention(settings)
    assert attention.look(seen or (CALM,), T0) == []
    return attention


def kinds(alerts: list[Alert]) -> list[str]:
    return [alert.kind for alert in alerts]


@pytest.mark.parametrize(
    ("now_seen", "kind"),
    [
        (asks(T0 + 20), "permission"),
        (silent(T0 - 12), "stall"),
        (silent(T0 - 12, "overdue"), "stall"),
        (silent(T0 + 5, "orphaned"), "death"),
        (finished(T0 + 20), "finish"),
    ],
)
def test_what_is_new_rings_once(now_seen: Sighting, kind: str) -> None:
    attention = watching()
    assert kinds(attention.look([now_seen], T0 + 21)) == [kind]
    assert attention.look([now_seen], T0 + 22) == []
    assert attention.look([now_seen], T0 + 600) == []


@pytest.mark.parametrize(
    "old",
    [
        asks(T0 - 50),
        silent(T0 - 50),
        silent(T0 - 50, "overdue"),
        silent(T0 - 50, "orphaned"),
        finished(T0 - 50),
    ],
)
def test_what_was_so_before_the_first_look_is_no_news(old: Sighting) -> None:
    attention = watching(old)
    for second in range(1, 60):
        assert attention.look([old], T0 + second) == []


def test_old_sessions_that_appear_late_are_no_news() -> None:
    attention = watching()
    for number, old in enumerate((asks(T0 - 99), silent(T0 - 99), finished(T0 - 99)), 1):
        late = replace(old, sid=f"old{number}")
        assert attention.look([CALM, late], T0 + 30 + number) == []


def test_a_session_that_is_found_gone_at_once_died_before() -> None:
    attention = watching()
    gone = silent(T0 - 99, "orphaned")
    assert attention.look([gone], T0 + 4) == []
    assert attention.look([gone], T0 + 40) == []


def test_one_that_was_heard_since_may_die_at_once() -> None:
    attention = watching()
    assert kinds(attention.look([silent(T0 + 2, "orphaned")], T0 + 5)) == ["death"]


def test_while_old_recordings_are_read_only_what_is_heard_now_rings() -> None:
    attention = watching()
    for second in range(1, 60):
        for old in (CALM, silent(T0 - 9), silent(T0 - 9, "orphaned"), asks(T0 - 9)):
            assert attention.look([old], T0 + second, is_loading=True) == []
    assert kinds(attention.look([asks(T0 + 70)], T0 + 70, is_loading=True)) == ["permission"]
    assert kinds(attention.look([silent(T0 + 60)], T0 + 91, is_loading=True)) == ["stall"]


def test_after_the_reading_a_silence_is_watched_anew() -> None:
    attention = watching()
    assert attention.look([CALM], T0 + 60, is_loading=True) == []
    assert attention.look([silent(T0 - 9)], T0 + 61) == []
    assert attention.look([CALM], T0 + 62) == []
    assert kinds(attention.look([silent(T0 - 9)], T0 + 75)) == ["stall"]


def test_a_new_session_that_asks_at_once_rings() -> None:
    attention = watching()
    new = replace(asks(T0 + 9), sid="s2")
    assert kinds(attention.look([CALM, new], T0 + 10)) == ["permission"]


def test_the_second_question_rings_after_the_cooldown() -> None:
    attention = watching()
    assert len(attention.look([asks(T0 + 20)], T0 + 20)) == 1
    assert attention.look([asks(T0 + 25)], T0 + 25) == []
    assert len(attention.look([asks(T0 + 60)], T0 + 60)) == 1


def test_the_cooldown_is_of_one_session_and_kind() -> None:
    attention = watching(CALM, replace(CALM, sid="s2"))
    assert kinds(attention.look([asks(T0 + 20), replace(CALM, sid="s2")], T0 + 20)) == [
        "permission"
    ]
    both = [finished(T0 + 22), replace(asks(T0 + 22), sid="s2")]
    assert sorted(kinds(attention.look(both, T0 + 23))) == ["finish", "permission"]


def test_a_stall_that_flickers_rings_once() -> None:
    attention = watching()
    rung = 0
    for second in range(11, 30):
        seen = silent(T0 - 1) if second % 2 else CALM
        rung += len(attention.look([seen], T0 + second))
    assert rung == 1


@pytest.mark.parametrize("kind", ["permission", "stall", "death", "finish"])
def test_each_kind_can_be_switched_off(kind: str) -> None:
    settings = AttentionSettings(**{f"on_{kind}": False})
    seen = {
        "permission": asks(T0 + 20),
        "stall": silent(T0 - 1),
        "death": silent(T0 + 2, "orphaned"),
        "finish": finished(T0 + 20),
    }
    for name, sighting in seen.items():
        found = watching(settings=settings).look([sighting], T0 + 30)
        assert kinds(found) == ([] if name == kind else [name])


def test_an_orderly_leaving_is_no_death() -> None:
    attention = watching()
    assert attention.look([silent(T0 + 2, "dead")], T0 + 30) == []


def test_a_turn_counts_as_finished_when_nothing_goes_on() -> None:
    attention = watching()
    background = replace(CALM, phase="tool", state="tool", round_end=T0 + 20)
    assert attention.look([background], T0 + 21) == []
    assert kinds(attention.look([finished(T0 + 20)], T0 + 40)) == ["finish"]
    assert kinds(attention.look([finished(T0 + 90, "r2")], T0 + 91)) == ["finish"]


def test_a_subagent_that_is_done_is_no_finished_turn() -> None:
    attention = watching()
    assert attention.look([replace(finished(T0 + 20), agent_id="a1")], T0 + 21) == []


def test_words() -> None:
    assert title_words(0, 0) == "agentmon"
    assert title_words(1, 0) == "1 needs you · agentmon"
    assert title_words(2, 1) == "2 need you · 1 stalled · agentmon"
    alerts = [Alert(kind, "s", "", "n", "l") for kind in ("finish", "stall", "permission")]
    found = most_urgent(alerts)
    assert found is not None
    assert found.kind == "permission"
    assert most_urgent([]) is None
