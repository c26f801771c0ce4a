"""What a person may call a session or a round, and what is said where that is not clear."""

from pathlib import Path

import pytest

from agentmon.report.naming import Unclear, the_round, the_session
from tests.ui_store import UiStore, fill

API = "a0000000-0000-4000-8000-000000000001"


@pytest.fixture
def store(tmp_path: Path) -> UiStore:
    made = UiStore(tmp_path)
    fill(made)
    return made


@pytest.mark.parametrize("name", [API, "a0000000", "api-server"])
def test_a_session_by_id_prefix_and_name(store: UiStore, name: str) -> None:
    assert the_session(store.conn, name) == API


@pytest.mark.parametrize(
    ("name", "round_id"),
    [
        ("r-api-1", "r-api-1"),
        ("r-web", "r-web-1"),
        (f"{API}#2", "r-api-2"),
        ("api-server#1", "r-api-1"),
        ("api-server", "r-api-2"),
    ],
)
def test_a_round_by_id_prefix_number_and_as_the_last_one(
    store: UiStore, name: str, round_id: str
) -> None:
    assert the_round(store.conn, name)[1] == round_id


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("nobody", "no round and no session answers to 'nobody'"),
        ("api-server#9", "no round #9"),
        ("nobody#1", "no session answers to 'nobody'"),
        ("r-api", "more than one round answers to 'r-api'"),
    ],
)
def test_an_unclear_name_says_why(store: UiStore, name: str, said: str) -> None:
    with pytest.raises(Unclear, match=said):
        the_round(store.conn, name)


def test_a_session_without_rounds(store: UiStore) -> None:
    store.session("f0000000-0000-4000-8000-000000000006", "/home/dev/src/new")
    with pytest.raises(Unclear, match="has no rounds"):
        the_round(store.conn, "f0000000")
