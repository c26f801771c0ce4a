"""The generator makes what it promises, and no order of arrival changes what the oracle says."""

import random
from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.deep import each_nth, examples
from tests.generate import DEFECTS, joined, permute, scenario, scenarios
from tests.oracle import dump_of

PROXY = {"whole_messages", "subagents", "side", "errors"}


def said(**chosen: Any) -> list[dict[str, object]]:
    return dump_of([joined(scenario(random.Random(7), sessions=2, rounds=4, **chosen))])


def test_a_clean_log_is_clean() -> None:
    rows = said()
    kinds = {row["kind"] for row in rows}
    assert kinds == {"session", "round", "message", "block", "tool_result", "counts"}
    counts = rows[-1]
    names = ("bad_lines", "torn", "duplicates", "reattributed", "unknown_events")
    assert [counts[name] for name in names] == [0] * 5
    assert counts["lines"] == counts["events"]
    assert all(row["is_complete"] for row in rows if row["kind"] in ("round", "block"))


@cache
def clean_log(proxy: bool) -> tuple[bytes, list[dict[str, object]]]:
    data = joined(scenario(random.Random(7), rounds=4, proxy=proxy))
    return data, dump_of([data])


@pytest.mark.parametrize("defect", each_nth(DEFECTS, 3))
def test_each_defect_strikes(defect: str) -> None:
    proxy = defect in PROXY
    clean, expected = clean_log(proxy)
    struck = joined(scenario(random.Random(7), rounds=4, proxy=proxy, **{defect: 0.9}))
    assert struck != clean
    # Lag is what the repair of A.3.4 undoes without a trace.
    assert (dump_of([struck]) == expected) is (defect == "lag")


@settings(max_examples=examples(8, 60))
@given(scenarios(), st.integers(0, 2**32 - 1))
def test_the_order_of_arrival_between_streams_says_nothing(lines: list[bytes], seed: int) -> None:
    mixed = permute(lines, random.Random(seed))
    assert sorted(mixed) == sorted(lines)
    assert dump_of([joined(mixed)]) == dump_of([joined(lines)])


def test_permuting_moves_lines() -> None:
    lines = scenario(random.Random(1), proxy=True, subagents=0.5)
    assert permute(lines, random.Random(2)) != lines
