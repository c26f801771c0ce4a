"""Codex rollouts, record by record."""

import json

from agentmon.core.events import (
    AgentSaid,
    Event,
    Facts,
    Malformed,
    Prompt,
    Retry,
    StreamError,
    Told,
    ToolResults,
    TurnAborted,
    TurnStop,
    Unknown,
)
from tests.rollout_rows import (
    CHILD,
    SID,
    TURN,
    Row,
    assistant,
    call,
    event,
    item,
    meta,
    output,
    read,
    record,
    rollout_messages,
    tokens,
    user,
)
from tests.stream_tools import key, of

# -- responses without names


def test_tokens_end_a_response_and_repeated_ones_are_not_counted() -> None:
    rows = [
        meta(),
        event("task_started", turn_id=TURN),
        event("user_message", message="hi"),
        assistant("one"),
        call("c1"),
        tokens(100),
        output("c1"),
        tokens(100),
        tokens(None),
        assistant("two"),
        tokens(300, 200),
        event("task_complete", turn_id=TURN),
    ]
    told = rollout_messages(read(rows))
    assert [(len(m.blocks), m.usage.get("input_tokens"), m.is_done) for m in told.values()] == [
        (2, 100, True),
        (1, 200, True),
    ]
    assert [*told] == [f"syn:{SID}:1", f"syn:{SID}:2"]


def test_old_files_tell_the_tokens_before_the_items() -> None:
    def at(ms: int, *rows: bytes) -> list[bytes]:
        return [json.dumps({**json.loads(row), "timestamp": stamp(ms)}).encode() for row in rows]

    def stamp(ms: int) -> str:
        return f"2025-10-29T00:00:{ms // 1000:02d}.{ms % 1000:03d}Z"

    rows = [
        *at(0, meta(), event("user_message", message="list")),
        *at(2000, event("agent_reasoning", text="hm"), tokens(100)),
        *at(2010, item({"type": "reasoning", "summary": []}), call("c1"), output("c1")),
        *at(2011, call("c2"), output("c2")),
        *at(4000, tokens(300, 200)),
        *at(4012, assistant("done")),
    ]
    told = rollout_messages(read(rows))
    assert [(len(m.blocks), m.usage["input_tokens"]) for m in told.values()] == [(3, 100), (1, 200)]


def test_without_tokens_an_answer_ends_a_response() -> None:
    rows = [meta(), user("x"), assistant("a"), call("c1"), output("c1"), assistant("b"), user("y")]
    told = rollout_messages(read([*rows, assistant("c"), event("user_message", message="y")]))
    assert [[block[3] for block in m.blocks] for m in told.values()] == [["a", "{}"], ["b"], ["c"]]
    assert [m.is_done for m in told.values()] == [True, True, True]
    assert len({b.item_id for one in of(read(rows), Told) for b in one.blocks}) == 3


def test_a_response_that_broke_off_is_not_the_next_one() -> None:
    rows = [
        meta(),
        assistant("half", through=3),
        assistant("whole", through=5),
        record("token_usage_record", response_id="resp_2", usage={"input_tokens": 5}),
    ]
    told = rollout_messages(read(rows))
    assert [(name, m.is_done) for name, m in told.items()] == [
        (f"syn:{SID}:1", False),
        ("resp_2", True),
    ]


def test_a_failed_turn() -> None:
    error = {"message": "at capacity", "codex_error_info": "server_overloaded"}
    end = event("task_complete", turn_id=TURN, error=error)
    told, stop = read([meta(), assistant("half"), end])[-2:]
    assert isinstance(told, Told)
    assert (told.error, told.is_done) == ("server_overloaded: at capacity", False)
    assert isinstance(stop, TurnStop)
    (said,) = of(read([meta(), end]), StreamError)
    assert (said.error_type, said.message) == ("server_overloaded", "at capacity")
    detailed = {"message": "m", "codex_error_info": {"http_connection_failed": {"status": 502}}}
    (said,) = of(read([meta(), event("task_complete", error=detailed)]), StreamError)
    assert said.error_type == "http_connection_failed"
    (retry,) = of(read([meta(), event("stream_error", message="again")]), Retry)
    assert retry.message == "again"


def test_an_aborted_turn() -> None:
    rows = [meta(), assistant("half"), event("turn_aborted", turn_id=TURN, reason="interrupted")]
    *_, aborted = read(rows)
    assert isinstance(aborted, TurnAborted)
    assert (aborted.round, aborted.has_end, aborted.reason) == (TURN, True, "interrupted")
    assert not any(m.is_done for m in rollout_messages(read(rows)).values())


# -- prompts


def test_a_prompt_that_is_told_twice_is_one() -> None:
    both = [
        event("user_message", message="hi"),
        event(
            "item_completed", item={"type": "UserMessage", "id": "u", "content": [{"text": "hi"}]}
        ),
    ]
    for rows in (both, both[::-1]):
        assert [p.text for p in of(read([meta(), *rows]), Prompt)] == ["hi"]
    again = [both[0], assistant("yes"), both[0]]
    assert len(of(read([meta(), *again]), Prompt)) == 2
    assert len(of(read([meta(), both[0], both[0]]), Prompt)) == 2


def test_nobody_typed_what_a_subagent_is_told() -> None:
    spawn = {"parent_thread_id": SID, "agent_nickname": "Gauss"}
    mine = meta(id=CHILD, source={"subagent": {"thread_spawn": spawn}})
    events = read([mine, event("user_message", message="count\n files")])
    assert not of(events, Prompt)
    assert [(one.agent_id, one.description) for one in of(events, AgentSaid)] == [
        (CHILD, None),
        (CHILD, "count files"),
    ]
    assert {one.sid for one in of(events, Event)} == {SID}


# -- copied histories

OLD_TURN, OWN_TURN = "019a0000-0000-7000-8000-0000000000a1", "019e0000-0000-7000-8000-0000000000a1"


def history(turn: str | None) -> list[bytes]:
    more = {"turn_id": turn} if turn else {}
    return [
        event("task_started", **more),
        event("user_message", message="asked"),
        assistant("said"),
        tokens(100),
        event("task_complete", **more),
    ]


def own(rows: list[bytes]) -> tuple[list[str], list[str]]:
    events = read(rows)
    blocks = [block.text for one in of(events, Told) for block in one.blocks]
    return [prompt.text for prompt in of(events, Prompt)], blocks


def test_a_fork_does_not_tell_its_parents_history() -> None:
    fork = meta(id="019d0000-0000-7000-8000-000000000009", forked_from_id=SID)
    new = [
        event("task_started", turn_id=OWN_TURN),
        event("user_message", message="mine"),
        assistant("own"),
        tokens(150, 50),
    ]
    copied = [fork, meta(id=SID), *history(OLD_TURN)]
    assert own([*copied, *new]) == (["mine"], ["own"])
    told = of(read([*copied, *new]), Told)
    assert told[-1].usage["input_tokens"] == 50, "totals go on from the copied ones"
    assert own([fork, *new]) == (["mine"], ["own"]), "nothing was copied"
    again = [fork, meta(id=SID), *history(None), fork, *new[1:]]
    assert own(again) == (["mine"], ["own"]), "its own session_meta again ends the copy"


def test_a_copied_history_without_turn_ids_ends_with_a_pause() -> None:
    fork = meta(id="019d0000-0000-7000-8000-000000000009", forked_from_id=SID)
    late = json.loads(event("user_message", message="mine"))
    late["timestamp"] = "2026-02-20T12:00:00.000Z"
    rows = [fork, *history(None), json.dumps(late).encode(), assistant("own")]
    assert own(rows) == (["mine"], ["own"])


def test_a_subagent_may_begin_with_a_copy() -> None:
    spawn = {"parent_thread_id": SID, "agent_path": "/root/x"}
    mine = meta(
        id=CHILD,
        session_id=SID,
        source={"subagent": {"thread_spawn": spawn}},
        subagent_history_start_ordinal=4,
    )
    rows = [json.loads(row) for row in (mine, meta(id=SID), assistant("a"), tokens(9))]
    rows += [json.loads(row) for row in (assistant("own"), tokens(20, 11))]
    numbered = [json.dumps({**row, "ordinal": at}).encode() for at, row in enumerate(rows)]
    assert own(numbered) == ([], ["own"])


# -- other layouts and torn files


def test_the_layout_without_envelopes() -> None:
    path = f"/s/rollout-2025-08-10T10-12-26-{SID}.jsonl"
    rows: list[Row] = [
        {"id": SID, "timestamp": "2025-08-10T03:12:26.500Z", "git": {"branch": "main"}},
        {"record_type": "state"},
        {"type": "message", "role": "user", "content": [{"text": "<environment_context>"}]},
        {"type": "message", "role": "user", "content": [{"text": "hello"}]},
        {"type": "function_call", "name": "shell", "arguments": "{}", "call_id": "c"},
        {
            "type": "function_call_output",
            "call_id": "c",
            "output": {"content": "x", "success": False},
        },
        {"type": "message", "role": "assistant", "content": [{"text": "hi"}]},
        {"type": "message", "role": "user", "content": [{"text": "bye"}]},
    ]
    events = read([json.dumps(row).encode() for row in rows], path)
    assert [prompt.text for prompt in of(events, Prompt)] == ["hello", "bye"]
    assert [len(m.blocks) for m in rollout_messages(events).values()] == [1, 1]
    assert of(events, ToolResults)[0].results[0].is_error is True
    times = [one.time for one in of(events, Event)]
    assert times[0] == 1754795546.5
    assert times == sorted(times, key=lambda time: time or 0)
    assert of(events, Prompt)[1].time != of(events, Prompt)[0].time
    assert not of(events, Unknown)


def test_a_lost_first_line_is_made_up_for_by_the_name() -> None:
    path = f"/s/rollout-2026-02-20T10-00-00-{SID}.jsonl.zst"
    (told,) = of(read([assistant("x")], path), Told)
    assert told.sid == SID
    assert [type(one) for one in read([assistant("x")])] == [Malformed]
    assert isinstance(read([meta(id="codex-1")])[0], Malformed)
    nameless = record("response_item", type="message", role="assistant", content="x")
    (untimed,) = of(read([nameless.replace(b'"timestamp"', b'"_"')], path), Told)
    assert untimed.time == 1771581600.0


def test_unknown_records_are_kept() -> None:
    rows = [record("brand_new"), event("brand_new"), item({"type": "brand_new"})]
    found = of(read([meta(), *rows]), Unknown)
    names = ["brand_new", "event_msg/brand_new", "response_item/brand_new"]
    assert [one.name for one in found] == names
    assert found[0].raw == rows[0]


def test_other_things_worth_knowing() -> None:
    events = read([meta(), record("compacted", message="s"), record("compacted", message="s")])
    assert [one.values for one in of(events, Facts)] == [{"compactions": 1}, {"compactions": 2}]
    plan = {"plan": [{"step": "a", "status": "pending"}]}
    asked = read([meta(), call("c", "update_plan", json.dumps(plan))])
    assert of(asked, Facts)[0].values == {"todo": [{"text": "a", "status": "pending"}]}


def test_the_same_record_elsewhere_is_another() -> None:
    rows = [meta(), assistant("x"), assistant("x")]
    keys = [key(one) for one in of(read(rows), Event)]
    assert len(set(keys)) == 3
