"""Keys that are surely not stored: never one that was asked for before."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentmon.store.unheard import Unheard

keys = st.lists(st.tuples(st.text(max_size=3), st.text(max_size=3)), max_size=40)


@given(keys=keys, slots=st.sampled_from([8, 64, 1 << 24]))
def test_what_was_asked_for_is_looked_up(keys: list[tuple[str, str]], slots: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("agentmon.store.unheard._SLOTS", slots)
        unheard, asked = Unheard(is_empty=True), set[tuple[str, str]]()
        for key in keys:
            assert not (unheard.surely(*key) and key in asked)
            asked.add(key)


def test_a_new_key_is_not_looked_up() -> None:
    unheard = Unheard(is_empty=True)
    assert unheard.surely("session", "a", is_coming=False)
    assert unheard.surely("session", "a")
    assert not unheard.surely("session", "a")


def test_nothing_is_sure_once_others_may_store_something() -> None:
    unheard = Unheard(is_empty=True)
    unheard.give_up()
    assert not unheard.surely("session", "a")


def test_a_store_that_holds_something_is_always_asked() -> None:
    assert not Unheard(is_empty=False).surely("session", "a")
