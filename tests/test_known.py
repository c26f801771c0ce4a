"""Facts in words: whatever form they come in, and "—" where nobody told."""

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentmon.report import known
from agentmon.report.board import Thread
from tests.test_render import NOW, session, thread


def main_thread() -> Thread:
    return thread("writing", of=session())


def sub(**values: object) -> Thread:
    found = thread("tool", agent_id="a1f")
    for name, value in values.items():
        setattr(found.row, name, value)
    return found


@pytest.mark.parametrize(
    ("values", "name"),
    [
        ({"kind": "Explore", "description": "find usages"}, "Explore: find usages"),
        ({"kind": "general-purpose", "description": "find usages"}, "find usages"),
        ({"kind": "general-purpose"}, "general-purpose"),
        ({"title": '{"description":"count files","prompt":"…'}, "count files"),
        ({"kind": "Explore"}, "Explore"),
        ({}, "a1f"),
    ],
)
def test_what_a_subagent_is_called(values: dict[str, str], name: str) -> None:
    assert known.name_of(sub(**values)) == name


def test_short_names_leave_the_type_out() -> None:
    assert known.short_name(sub(kind="Explore", description="find usages")) == "find usages"
    assert known.short_name(sub(kind="Explore")) == "Explore"
    assert known.short_name(main_thread()) == "api"


def test_tokens_of_an_agent() -> None:
    assert known.tokens_of(main_thread()) == 18_200
    row = {"input_tokens": 10, "output_tokens": 5, "cache_write_tokens": 100}
    assert known.tokens_of(sub(**row, cache_read_tokens=9_000)) == 115
    assert known.tokens_of(sub()) is None


@pytest.mark.parametrize(
    ("facts", "words", "fill"),
    [
        ({}, "68.0k tokens; the size of the window is not known", None),
        ({"context_window": 200_000}, "68.0k of 200k tokens, 34%", 0.34),
        ({"context_window": 200_000, "context_tokens": 50_000}, "50.0k of 200k tokens, 25%", 0.25),
        ({"context_window": 0}, "68.0k tokens; the size of the window is not known", None),
        ({"context_window": "big"}, "68.0k tokens; the size of the window is not known", None),
    ],
)
def test_context(facts: Mapping[str, object], words: str, fill: float | None) -> None:
    assert known.context_words(main_thread(), facts) == words
    assert known.context_fill(main_thread(), facts) == fill


def test_the_context_of_a_session_is_not_that_of_its_subagent() -> None:
    assert known.context_words(sub(), {"context_window": 200_000}) == "—"


TODOS = [
    {"content": "Read", "status": "completed", "activeForm": "Reading"},
    {"content": "Write", "status": "in_progress", "activeForm": "Writing"},
    {"content": "Run", "status": "pending"},
]
PLAN = [{"step": "Read", "status": "completed"}, {"step": "Write", "status": "in_progress"}]


@pytest.mark.parametrize(
    ("todo", "words"),
    [
        (TODOS, "1/3  Writing"),
        (PLAN, "1/2  Write"),
        ({"plan": PLAN, "explanation": None}, "1/2  Write"),
        ({"todos": TODOS}, "1/3  Writing"),
        (TODOS[:1], "1/1"),
        ([], "—"),
        (None, "—"),
        ("later", "—"),
        ([7, "x"], "—"),
    ],
)
def test_plans(todo: object, words: str) -> None:
    assert known.plan_words({"todo": todo}) == words


@pytest.mark.parametrize(
    ("queue", "words"),
    [
        (["lint", "test"], "2 prompts: lint · test"),
        ([{"content": "lint"}], "1 prompt: lint"),
        ([], "no prompt waits"),
        (2, "2 prompts: — · —"),
        (None, "—"),
        (True, "—"),
    ],
)
def test_queues(queue: object, words: str) -> None:
    assert known.queue_words({"queue": queue}) == words


@pytest.mark.parametrize(
    ("limit", "words"),
    [
        (
            {"status": "allowed_warning", "rateLimitType": "five_hour", "utilization": 0.91},
            "five hour: 91% used, allowed warning",
        ),
        (
            {"primary": {"used_percent": 5.0, "window_minutes": 300}, "secondary": None},
            "5 h: 5% used",
        ),
        (
            {
                "primary": {"used_percent": 5.0, "window_minutes": 45},
                "secondary": {"used_percent": 80, "window_minutes": 10_080},
            },
            "45 min: 5% used · 7 days: 80% used",
        ),
        ("overloaded", "overloaded"),
        ({}, "—"),
        (None, "—"),
    ],
)
def test_rate_limits(limit: object, words: str) -> None:
    assert known.rate_limit_words({"rate_limit": limit}, NOW) == words


def test_a_rate_limit_says_when_it_is_over() -> None:
    limit = {"status": "rejected", "resetsAt": NOW + 600}
    assert known.rate_limit_words({"rate_limit": limit}, NOW).startswith("rejected, until ")
    for resets in (NOW - 5, 1e300, -1, "soon"):
        limit["resetsAt"] = resets
        assert known.rate_limit_words({"rate_limit": limit}, NOW) == "rejected"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(("status", "primary", "text", "used_percent", "resets_at", "content")),
            inner,
            max_size=4,
        )
    ),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from((*known.ON_BOARD, "cost_usd", "model")), JSON))
def test_any_json_is_some_words(facts: dict[str, object]) -> None:
    for one in (main_thread(), sub()):
        for label, text in known.details(one, facts, NOW):
            assert label
            assert text
            assert "\n" not in text
