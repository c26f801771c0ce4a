"""Phases, event by event: what each kind of source may say, and what it may not."""

from collections.abc import Callable

import pytest

from agentmon.core.events import Meta, StreamError
from tests.feeds import call_block
from tests.life import Arrival, Life, Shown
from tests.small_lives import T0, ToldRun, WireRun
from tests.wire import SID


def end(*runs: WireRun | ToldRun, at: float = 1e5, agent: str = "") -> tuple[str, str | None]:
    """(phase, detail) of an agent once everything of the runs up to a moment has come in."""
    shown = look(*runs, at=at, agent=agent)
    return shown.phase, shown.detail


def look(*runs: WireRun | ToldRun, at: float = 1e5, agent: str = "") -> Shown:
    arrivals: list[Arrival] = [arrival for run in runs for arrival in run.arrivals]
    return Life(arrivals).at(T0 + at)[SID, agent]


# -- messages told when they are over


@pytest.mark.parametrize(
    ("blocks", "stop", "phase"),
    [
        (["text"], "end_turn", "idle"),
        (["thinking", "text"], "stop_sequence", "idle"),
        (["text"], "refusal", "idle"),
        (["text"], "tool_use", "tool"),
        (["Bash:toolu_1"], "tool_use", "tool"),
        (["Bash:toolu_1"], None, "tool"),
        (["text"], "max_tokens", "prompting"),
        (["text"], "pause_turn", "prompting"),
        (["thinking"], None, "thinking"),
        (["text"], None, "writing"),
        (["AskUserQuestion:toolu_1"], "tool_use", "permission"),
        (["ExitPlanMode:toolu_1"], None, "permission"),
    ],
)
def test_a_told_message(blocks: list[str], stop: str | None, phase: str) -> None:
    assert end(ToldRun().prompt(0).told(1, "m1", *blocks, stop=stop))[0] == phase


def test_a_message_in_several_records() -> None:
    run = ToldRun().prompt(0).told(1, "m1", "thinking", index=0)
    run.told(2, "m1", "Bash:toolu_1", index=1).told(3, "m1", "Read:toolu_2", index=2)
    assert end(run) == ("tool", "Bash, Read")
    run.result(4, "toolu_1")
    assert end(run) == ("tool", "Read")
    run.result(5, "toolu_2")
    assert end(run) == ("prompting", None)


def test_a_result_may_stand_before_the_next_call_of_its_message() -> None:
    """Times of a transcript are not in order (capture.md 2)."""
    run = ToldRun().prompt(0).told(1, "m1", "Bash:toolu_1", index=0, stop="tool_use")
    run.result(3, "toolu_1").told(2, "m1", "Read:toolu_2", index=1, stop="tool_use")
    assert end(run) == ("tool", "Read")
    run.result(4, "toolu_2")
    assert end(run) == ("prompting", None)


def test_a_call_told_after_its_result_runs_no_more() -> None:
    run = ToldRun().prompt(0).result(3, "toolu_1")
    run.told(2, "m1", "Bash:toolu_1", stop="tool_use")
    assert end(run) == ("prompting", None)


def test_an_error_that_the_client_wrote_down_ends_the_turn() -> None:
    run = ToldRun().prompt(0).told(1, "m1", "text", stop="stop_sequence", error="API Error: 400")
    assert end(run) == ("idle", "failed")


def test_a_request_that_went_out_is_work_again() -> None:
    run = ToldRun().prompt(0).told(1, "m1", "text", stop="end_turn").stop(1.1, ["b1", "b2"])
    assert end(run) == ("idle", "2 in the background")
    assert end(run.other(2, "file-history-snapshot")) == ("idle", "2 in the background")
    assert end(run.other(3, "api-request")) == ("prompting", None)
    run.told(4, "m2", "text", stop="end_turn")
    assert end(run) == ("idle", None)


def test_a_rollout_tells_each_item() -> None:
    run = ToldRun("rollout", "codex").prompt(0).told(1, "r1", "thinking")
    assert end(run) == ("thinking", None)
    run.told(2, "r1", "text", "exec:call_1", is_done=True)
    assert end(run) == ("tool", "exec")
    assert end(run.result(3, "call_1")) == ("prompting", None)
    run.told(4, "r2", "text", is_done=True)
    assert end(run) == ("idle", None)


# -- beside a wire log


def both(wire: WireRun, told: ToldRun, at: float = 1e5) -> str:
    return end(wire, told, at=at)[0]


def test_a_message_that_streams_is_told_by_its_stream() -> None:
    wire, told = WireRun().prompt(0), ToldRun(lag=0)
    n = wire.begin(1)
    wire.text(n, 2)
    told.told(1.5, "m1", "text", stop="end_turn").told(3, "m1", "text", stop="end_turn")
    assert both(wire, told) == "writing"


def test_a_message_whose_stream_was_lost_is_told_by_others() -> None:
    wire, told = WireRun().prompt(0), ToldRun(lag=0)
    n = wire.begin(1)
    wire.text(n, 2)
    told.told(9, "m1", "text", stop="end_turn")
    assert both(wire, told) == "idle"


def test_older_news_change_nothing() -> None:
    wire = WireRun().prompt(0).message(1, 5, ("toolu_1", "Bash"))
    wire.result(9, "toolu_1").message(10, 12)
    told = ToldRun(lag=100).prompt(0).status(0.1, "busy").hook(5.1, "pre_tool_use", "Bash")
    told.hook(5.2, "permission_request", "Bash").status(5.2, "waiting", "permission prompt")
    told.hook(9, "post_tool_use", "Bash", "toolu_1").status(9, "busy").retry(3, 2).abort(4)
    told.told(5, "m1", "Bash:toolu_1", stop="tool_use").result(8.9, "toolu_1").other(9, "request")
    assert both(wire, told) == "idle"
    assert Life([*wire.arrivals, *told.arrivals]).phases(0.25)[SID, ""] == [
        "prompting",
        "writing",
        "tool",
        "prompting",
        "writing",
        "idle",
    ]


def test_a_prompt_while_tools_run_is_queued() -> None:
    run = ToldRun().prompt(0).told(1, "m1", "Bash:toolu_1", stop="tool_use").prompt(5, "and this")
    assert end(run) == ("tool", "Bash")


def test_a_prompt_while_bytes_come_is_queued() -> None:
    wire = WireRun().prompt(0)
    n = wire.begin(1)
    wire.text(n, 2)
    assert both(wire, ToldRun().prompt(3, "and this")) == "writing"
    assert both(wire, ToldRun().prompt(30, "so?")) == "prompting"


def test_an_end_stays_an_end() -> None:
    run = ToldRun(lag=0).prompt(0).told(1, "m1", "text", stop="end_turn").session_end(2)
    run.status(2.3, "idle").told(1.5, "m2", "text")
    assert end(run)[0] == "ended"
    assert end(run.status(60, "busy"))[0] == "prompting"  # taken up again


# -- waiting for a person


def asked() -> ToldRun:
    run = ToldRun(lag=0).prompt(0)
    return run.told(1, "m1", "Bash:toolu_1", "Write:toolu_2", stop="tool_use")


def test_what_a_person_is_asked_about() -> None:
    assert end(asked().hook(2, "permission_request", "Write")) == ("permission", "Write")
    assert end(asked().status(2, "waiting", "input needed")) == ("permission", "input needed")
    assert end(asked().hook(2, "notification", kind="permission_prompt")) == (
        "permission",
        "Bash, Write",
    )
    assert end(asked().hook(2, "notification", kind="idle_prompt"))[0] == "tool"
    assert end(asked().hook(2, "elicitation"))[0] == "permission"


def test_the_first_to_ask_names_it() -> None:
    run = asked().hook(2, "permission_request", "Write").status(2.1, "waiting", "permission prompt")
    assert end(run) == ("permission", "Write")


ENDS: list[tuple[Callable[[ToldRun], ToldRun], str]] = [
    (lambda run: run.result(3, "toolu_2"), "tool"),
    (lambda run: run.result(3, "toolu_2").result(4, "toolu_1"), "prompting"),
    (lambda run: run.hook(3, "post_tool_use", "Write", "toolu_2"), "tool"),
    (lambda run: run.hook(3, "post_tool_use_failure", "Write", "toolu_2"), "tool"),
    (lambda run: run.hook(3, "permission_denied", "Write", "toolu_2"), "tool"),
    (lambda run: run.status(3, "busy"), "tool"),
    (lambda run: run.status(3, "idle"), "idle"),
    (lambda run: run.told(3, "m2", "text", stop="end_turn"), "idle"),
    (lambda run: run.abort(3), "idle"),
    (lambda run: run.session_end(3), "ended"),
    # what says nothing of it
    (lambda run: run.result(3, "toolu_1"), "permission"),
    (lambda run: run.hook(3, "post_tool_use", "Bash", "toolu_1"), "permission"),
    (lambda run: run.hook(3, "pre_tool_use", "Bash", "toolu_1"), "permission"),
    (lambda run: run.told(1, "m1", "text", stop="tool_use"), "permission"),
    (lambda run: run.prompt(3, "hello?"), "permission"),
    (lambda run: run.other(3, "api-request"), "permission"),
    (lambda run: run.status(1.5, "busy"), "permission"),
]


@pytest.mark.parametrize(("over", "phase"), ENDS)
def test_a_wait_ends_by_its_answer(over: Callable[[ToldRun], ToldRun], phase: str) -> None:
    run = asked().hook(2, "permission_request", "Write").status(2, "waiting", "permission prompt")
    assert end(over(run))[0] == phase


def asked_while_it_writes() -> tuple[WireRun, int]:
    """The first of two calls waits for a person while the second still comes in."""
    wire = WireRun().prompt(0)
    n = wire.begin(1)
    wire.say(wire.talk.begin(n, 2000, call_block("toolu_1", "Write"), 1), wire.talk.end(n, 2100, 1))
    wire.say(wire.talk.begin(n, 2200, call_block("toolu_2", "Bash"), 2))
    return wire, n


@pytest.mark.parametrize("lag", [0.0, 0.25, 5.0])
def test_bytes_of_the_same_message_do_not_end_a_wait(lag: float) -> None:
    wire, n = asked_while_it_writes()
    for tenth in range(23, 60):
        wire.say(wire.talk.json(n, tenth * 100, "x", 2))
    wire.say(wire.talk.end(n, 6000, 2), wire.talk.reason(n, 6000, "tool_use"))
    wire.say(wire.talk.stop(n, 6000))
    told = ToldRun(lag=lag).status(2.3, "waiting", "permission prompt")
    assert end(wire, told, at=20)[0] == "permission"
    wire.result(30, "toolu_1", "toolu_2")
    assert end(wire, told, at=31)[0] == "prompting"
    wire.message(32, 33)
    assert end(wire, told)[0] == "idle"


def test_a_newer_message_shows_that_a_late_wait_is_over() -> None:
    wire = WireRun().prompt(0).message(1, 2, ("toolu_1", "Write")).result(4, "toolu_1")
    n = wire.begin(5)
    told = ToldRun(lag=9).status(2.1, "waiting", "permission prompt")
    assert end(wire.text(n, 6), told)[0] == "writing"


def test_nobody_asks_in_a_turn_that_is_over() -> None:
    run = ToldRun(lag=0).prompt(0).told(1, "m1", "text", stop="end_turn")
    assert end(run.hook(7, "notification", kind="permission_prompt"))[0] == "idle"
    assert end(run.status(8, "waiting", "dialog open")) == ("permission", "dialog open")
    assert end(run.status(9, "idle"))[0] == "idle"


# -- a registry


def test_idle_counts_only_when_it_is_newer_than_the_last_byte() -> None:
    wire = WireRun().prompt(0)
    wire.text(wire.begin(1), 2)
    assert both(wire, ToldRun().status(1.9, "idle")) == "writing"
    assert both(wire, ToldRun().status(2.1, "idle")) == "idle"


def test_idle_ends_the_calls_of_the_turn() -> None:
    life = Life(asked().status(5, "idle").arrivals)
    assert life.at(T0 + 9)[SID, ""].phase == "idle"
    assert life.state.sessions[SID].calls == {}


def test_the_blink_when_a_background_agent_ends() -> None:
    run = ToldRun(lag=0).status(0, "busy").prompt(0.1).told(1, "m1", "text", stop="end_turn")
    run.stop(1.1, ["a1"]).status(60.0, "idle").status(60.01, "busy").status(60.02, "busy")
    assert end(run)[0] == "prompting"
    assert Life(run.arrivals).phases(0.1)[SID, ""] == ["prompting", "idle", "prompting"]


def test_a_status_told_again_is_no_news() -> None:
    run = ToldRun().prompt(0).status(0.1, "busy").told(1, "m1", "text", stop="end_turn")
    assert end(run.status(0.1, "busy"))[0] == "idle"


def test_a_process_that_leaves_a_session() -> None:
    assert end(asked().status(5, "gone"))[0] == "ended"


def test_compaction() -> None:
    run = ToldRun(lag=0).prompt(0).told(1, "m1", "text", stop="end_turn")
    assert end(run.hook(2, "pre_compact"))[0] == "compacting"
    assert end(run.hook(9, "compact_boundary", kind="manual"))[0] == "idle"
    assert end(run.status(10, "compacting"))[0] == "compacting"
    assert end(run.status(12, "requesting"))[0] == "prompting"


# -- retries and ends


def test_an_error_on_the_wire() -> None:
    def failed(code: str, agent: str) -> tuple[str, str | None]:
        wire = WireRun().prompt(0)
        meta = Meta(agent, None, 1, "/p")
        error = StreamError(SID, meta, "m1", 9, None, T0 + 3, 9, None, code, "")
        wire.text(wire.begin(1), 2).arrivals.append((T0 + 3, [error]))
        return end(wire)

    assert failed("overloaded_error", "claude") == ("retrying", "overloaded")
    assert failed("rate_limit_error", "claude") == ("retrying", "rate limit")
    assert failed("invalid_request_error", "claude") == ("idle", "failed: invalid request")
    assert failed("server_is_overloaded", "codex") == ("idle", "failed: server is overloaded")
    assert failed("rate_limit_exceeded", "codex") == ("retrying", "rate limit exceeded")


@pytest.mark.parametrize(
    ("said", "detail"),
    [
        ((None,), "overloaded"),
        ((0.5, 1, 10), "overloaded, again at once (1/10)"),
        ((32.4, 7, None), "overloaded, again in 32 s (7)"),
    ],
)
def test_what_is_said_of_a_retry(said: tuple[float | None], detail: str) -> None:
    assert end(ToldRun().prompt(0).retry(1, *said)) == ("retrying", detail)


def test_a_retry_is_over_with_the_answer() -> None:
    life = Life(ToldRun().prompt(0).retry(1, 60).told(63, "m1", "text").arrivals)
    thread = (life.at(T0 + 2), life.state.sessions[SID].threads[""])[1]
    assert thread.due_at == T0 + 61
    life.at(T0 + 64)
    assert (thread.phase, thread.due_at) == ("writing", None)


def test_an_interrupt_ends_what_the_turn_waited_for() -> None:
    run = ToldRun(lag=0).prompt(0).told(1, "m1", "Agent:toolu_1", stop="tool_use")
    run.agent_said(1.1, "a1", "running", "toolu_1")
    run.told(2, "ma", "Bash:toolu_a", stop="tool_use", agent="a1")
    life = Life(run.abort(3).arrivals)
    shown = life.at(T0 + 9)
    assert [thread.phase for thread in shown.values()] == ["idle", "idle"]
    assert life.state.sessions[SID].calls == {}
    assert end(ToldRun("rollout", "codex").prompt(0).abort(2, "replaced"))[0] == "prompting"


def test_bytes_that_trail_an_interrupt() -> None:
    wire = WireRun().prompt(0)
    wire.text(wire.begin(1), 2.4)
    assert both(wire, ToldRun().abort(2)) == "idle"
    wire.text(1, 8)
    assert both(wire, ToldRun(lag=20).abort(2)) == "writing"  # of another turn


# -- subagents


def test_a_subagent_that_is_over() -> None:
    run = ToldRun(lag=0).prompt(0).told(1, "m1", "Agent:toolu_1", stop="tool_use")
    run.agent_said(1.1, "a1", "running", "toolu_1")
    assert end(run, agent="a1") == ("prompting", None)
    run.told(2, "ma", "Bash:toolu_a", stop="tool_use", agent="a1")
    assert end(run, agent="a1") == ("tool", "Bash")
    assert end(run) == ("tool", "Agent")
    run.agent_said(3, "a1", "failed")
    assert end(run, agent="a1") == ("idle", "failed")
    run.told(4, "mb", "text", agent="a1")  # it was sent another message
    assert end(run, agent="a1") == ("writing", None)
    assert end(run.hook(5, "subagent_stop", agent="a1"), agent="a1")[0] == "idle"


# -- hooks alone


def test_hooks_alone() -> None:
    run = ToldRun("hook").prompt(0)
    assert end(run.hook(1, "pre_tool_use", "Bash", "toolu_1")) == ("tool", "Bash")
    assert end(run.hook(2, "post_tool_use", "Bash", "toolu_1"))[0] == "prompting"
    assert end(run.hook(3, "pre_tool_use", "AskUserQuestion", "toolu_2")) == (
        "permission",
        "AskUserQuestion",
    )
    assert end(run.hook(4, "post_tool_use", "AskUserQuestion", "toolu_2"))[0] == "prompting"
    assert end(run.stop(5))[0] == "idle"


def test_a_hook_after_a_tool_tells_before_its_result() -> None:
    wire = WireRun().prompt(0).message(1, 2, ("toolu_1", "Bash"), ("toolu_2", "Read"))
    hook = ToldRun(lag=0).hook(3, "post_tool_use", "Read", "toolu_2")
    assert end(wire, hook) == ("tool", "Bash")
    life = Life([*wire.arrivals, *hook.arrivals])
    life.at(T0 + 9)
    assert list(life.state.sessions[SID].calls) == ["toolu_1"]
    hook.hook(4, "post_tool_use", "Bash", "toolu_1")
    assert end(wire, hook)[0] == "prompting"


def test_a_hook_does_not_interrupt_a_stream() -> None:
    wire, _ = asked_while_it_writes()
    assert both(wire, ToldRun(lag=0).hook(2.3, "pre_tool_use", "Write", "toolu_1")) == "calling"
    assert both(wire, ToldRun(lag=0).hook(9, "pre_tool_use", "Write", "toolu_1")) == "tool"
