"""The numbers of rounds, and messages of no round, against the plain way to say which these are."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agentmon.store import read
from tests.deep import examples
from tests.ui_store import NOW, UiStore

SID = "a0000000-0000-4000-8000-000000000001"
OTHER = "b0000000-0000-4000-8000-000000000002"

ROUNDS = st.dictionaries(
    st.sampled_from("abcdefgh"),
    st.tuples(st.none() | st.sampled_from([1.0, 2.0, 3.0]), st.integers(0, 2)),
)
"""id → (start, prompts); starts are missing, or the same."""

MESSAGES = st.lists(st.tuples(st.none() | st.sampled_from("abcdefghxy"), st.sampled_from("mn")))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> UiStore:
    return UiStore(tmp_path_factory.mktemp("rounds"))


def fill(store: UiStore, rounds: dict[str, tuple[float | None, int]]) -> None:
    for table in ("rounds", "messages"):
        store.conn.execute(f"DELETE FROM {table}")
    for round_id, (start, prompts) in rounds.items():
        store.insert("rounds", sid=SID, round_id=round_id, start_time=start, prompts=prompts)
    store.insert("rounds", sid=OTHER, round_id="a", start_time=0.5, prompts=1)


@settings(
    max_examples=examples(24, 60), deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
@given(ROUNDS)
def test_rounds_are_numbered_by_start_then_id(
    store: UiStore, rounds: dict[str, tuple[float | None, int]]
) -> None:
    fill(store, rounds)
    counted = [(start or 0.0, round_id) for round_id, (start, prompts) in rounds.items() if prompts]
    numbers = {round_id: at for at, (_, round_id) in enumerate(sorted(counted), 1)}
    newest_first = sorted(numbers, key=lambda round_id: -numbers[round_id])
    found = read.rounds(store.conn, SID)
    assert [(row.round_id, row.round_number) for row in found] == [
        (round_id, numbers[round_id]) for round_id in newest_first
    ]
    assert found[:2] == read.rounds(store.conn, SID, limit=2)
    for row in found:
        assert read.round_(store.conn, SID, row.round_id) == row
        assert read.numbered_round(store.conn, SID, row.round_number) == row
    assert read.numbered_round(store.conn, SID, len(found) + 1) is None
    assert read.numbered_round(store.conn, SID, 0) is None


@settings(
    max_examples=examples(24, 60), deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
@given(ROUNDS, MESSAGES, st.sampled_from([None, "", "n"]))
def test_messages_without_a_prompt_are_of_no_round(
    store: UiStore,
    rounds: dict[str, tuple[float | None, int]],
    messages: list[tuple[str | None, str]],
    asked: str | None,
) -> None:
    fill(store, rounds)
    wanted: list[str] = []
    for at, (round_id, who) in enumerate(messages):
        agent = None if who == "m" else who
        store.message(SID, round_id, f"msg_{at:03}", NOW + at, agent_id=agent)
        is_round = round_id is not None and rounds.get(round_id, (None, 0))[1] > 0
        if not is_round and asked in (None, agent or ""):
            wanted.append(f"msg_{at:03}")
    found = read.roundless_messages(store.conn, SID, agent_id=asked)
    assert [row.flow_id for row in found] == wanted[::-1]
