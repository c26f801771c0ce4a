"""Codex rows of a wire log: as the patched client writes them, and as a proxy does."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentmon.core.events import (
    AgentSaid,
    BlockStart,
    BlockStop,
    Delta,
    Facts,
    Malformed,
    MessageStart,
    Notice,
    Other,
    Ping,
    Prompt,
    SessionEnd,
    SessionStart,
    StreamError,
    Told,
    ToolResults,
    TurnAborted,
    TurnStop,
    Unknown,
)
from agentmon.sources import codex_responses
from agentmon.sources.codex_wire import CodexDecoder
from tests.codex_rows import (
    CALL,
    FORMAT,
    MESSAGE,
    SID,
    TURN,
    Row,
    added,
    begun,
    delta,
    done,
    one,
    raw,
    read,
    texts,
    turn,
)
from tests.deep import examples
from tests.stream_tools import (
    SHARED,
    context,
    decode,
    decode_in_parts,
    json_values,
    key,
    lines,
    of,
    words,
)

DATA = Path(__file__).parent / "data" / "codex"
PROXY = (DATA / "sse_lines.jsonl").read_bytes()
CAPTURES = sorted(SHARED.glob("captures/codex-*/sse_lines.jsonl"))
EXAMPLES = sorted(SHARED.glob("samples/examples/B_*"))


# -- a response


def test_a_response_streams_and_is_told_whole() -> None:
    whole = {**CALL, "arguments": '{"cmd":"ls"}'}
    usage = {
        "input_tokens": 10,
        "input_tokens_details": {"cached_tokens": 4},
        "output_tokens": 5,
        "total_tokens": 15,
    }
    over = {"id": "resp_1", "status": "completed", "output": [whole], "usage": usage}
    start, block, first, told, stop, end = read(
        [
            begun("resp_1"),
            added(1, 0, {**CALL, "arguments": ""}),
            raw(
                "response.function_call_arguments.delta",
                {"sequence_number": 2, "item_id": "fc_1", "output_index": 0, "delta": '{"cmd"'},
            ),
            done(3, 0, whole),
            raw("response.completed", {"sequence_number": 4, "response": over}),
        ]
    )
    assert isinstance(start, MessageStart)
    assert (start.message_id, start.role, start.model) == ("resp_1", "assistant", "gpt-5-codex")
    assert (start.meta.agent, start.meta.kind, start.meta.pid) == ("codex", "wire", 5150)
    assert (start.round, start.request_id, start.flow, start.count) == (TURN, "resp_1", "resp_1", 0)
    assert isinstance(block, BlockStart)
    assert (block.block_type, block.tool_use_id) == ("tool_use", "call_1")
    assert (block.tool_name, block.item_id, block.text) == ("exec_command", "fc_1", "")
    assert isinstance(first, Delta)
    assert (first.text, first.index, first.count) == ('{"cmd"', 0, 2)
    assert isinstance(told, Told)
    assert [(b.text, b.is_exact, b.index) for b in told.blocks] == [('{"cmd":"ls"}', True, 0)]
    assert isinstance(stop, BlockStop)
    assert key(stop) == key(told)
    assert isinstance(end, Told)
    assert end.is_done
    assert end.has_end
    assert end.usage == {"input_tokens": 10, "output_tokens": 5, "cache_read_tokens": 4}


def test_deltas_find_their_response_by_item_then_by_number_then_the_current_one() -> None:
    rows = [
        begun("resp_1"),
        added(1, 0, MESSAGE),
        begun("resp_2"),
        added(1, 0, {**MESSAGE, "id": "msg_2"}),
        delta(2, "msg_1", "a"),  # by its item
        delta(2, "other", "b"),  # goes on in resp_2 alone
        delta(3, "other", "c"),  # both could go on here: the one begun last
        delta(3, "other", "d"),
        delta(90, "other", "e"),  # nobody's number: the current one
    ]
    assert texts(read(rows)) == {"resp_1": "ad" + "e", "resp_2": "bc"}


def test_rotating_item_ids_do_not_matter() -> None:
    rows = [begun("resp_1"), added(1, 0, MESSAGE), delta(2, "x", "Hi"), delta(3, "y", " you")]
    rows.append(
        done(4, 0, {**MESSAGE, "id": "z", "content": [{"type": "output_text", "text": ""}]})
    )
    events = read(rows)
    assert texts(events) == {"resp_1": "Hi you"}
    assert {event.index for event in of(events, Delta, BlockStop)} == {0}


def test_a_delta_without_index_goes_to_its_item_or_the_newest() -> None:
    rows = [begun("resp_1"), added(1, 0, MESSAGE), added(2, 3, {**MESSAGE, "id": "msg_2"})]
    rows += [delta(3, "msg_1", "a", None), delta(4, "unheard", "b", None)]
    assert [event.index for event in of(read(rows), Delta)] == [0, 3]


def test_two_processes_do_not_mix() -> None:
    rows = [begun("resp_1"), raw("response.output_text.delta", {"delta": "x"}, pid=7)]
    assert isinstance(read(rows)[1], Unknown), "no response is known of that process, and no index"


def test_a_lost_start_is_made_up_for() -> None:
    in_progress = {"sequence_number": 1, "response": {"id": "resp_1", "model": "m"}}
    events = read([raw("response.in_progress", in_progress), delta(2, "msg_1", "x")])
    assert isinstance(events[0], MessageStart)
    assert of(events, Delta)[0].flow == "resp_1"
    lost = of(read([delta(5, "msg_1", "x")]), Delta)[0]
    assert (lost.flow, lost.request_id) == (SID, None), "its own flow_id, as written"
    nowhere = raw("response.output_text.delta", {"delta": "x", "output_index": 0}, flow_id="")
    assert of(one(nowhere), Delta)[0].flow == f"unknown:{SID}"


def test_a_finished_response_whose_items_were_lost_is_told_by_place() -> None:
    output: list[Row] = [
        MESSAGE,
        {**CALL, "arguments": "{}"},
        {"type": "web_search_call", "id": "ws_1"},
    ]
    whole = raw("response.completed", {"response": {"id": "resp_1", "output": output}})
    (told,) = of(one(whole), Told)
    assert [(b.index, b.block_type) for b in told.blocks] == [
        (0, "text"),
        (1, "tool_use"),
        (2, "web_search_call"),
    ]
    seen = read([begun("resp_1"), added(1, 5, {**CALL, "arguments": ""}), whole])
    assert [b.index for b in of(seen, Told)[-1].blocks] == [5], "an item that was seen elsewhere"


def test_text_is_exact_only_where_it_is_all_there_is() -> None:
    rows = [begun("resp_1"), added(1, 0, MESSAGE)]
    for name, more in (
        ("response.output_text.done", {"text": "a"}),
        ("response.output_text.done", {"text": "a", "content_index": 1}),
        ("response.reasoning_summary_text.done", {"text": "a", "summary_index": 0}),
        ("response.function_call_arguments.done", {"arguments": "{}"}),
        ("response.custom_tool_call_input.done", {"input": "x"}),
    ):
        rows.append(raw(name, {"item_id": "msg_1", "output_index": 0, **more}))
    said = read(rows)[2:]
    told = [e.blocks[0].is_exact if isinstance(e, Told) else type(e).__name__ for e in said]
    assert told == [False, "Ping", "Ping", True, True]
    both = {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "s"}]}
    both["content"] = [{"type": "reasoning_text", "text": "raw"}]
    (reasoning,) = of(read([begun("resp_1"), done(1, 0, both)]), Told)
    assert (reasoning.blocks[0].text, reasoning.blocks[0].is_exact) == ("s", False)


def test_failures_end_a_response() -> None:
    error = {"code": "rate_limit_exceeded", "message": "slow down"}
    failed = raw("response.failed", {"response": {"id": "resp_1", "error": error}})
    (said,) = of(read([begun("resp_1"), failed]), StreamError)
    assert (said.error_type, said.message, said.request_id) == (*error.values(), "resp_1")
    bare = of(read([begun("resp_1"), raw("error", {"code": "boom", "message": "m"})]), StreamError)
    assert (bare[0].error_type, bare[0].request_id) == ("boom", "resp_1")
    cut = {"id": "resp_1", "incomplete_details": {"reason": "max_output_tokens"}}
    (told,) = of(one(raw("response.incomplete", {"response": cut})), Told)
    assert (told.stop_reason, told.is_done) == ("max_output_tokens", True)
    elsewhere = raw("codex.error", {"payload": {"error": {"type": "x"}}}, flow_id="msg_in_1")
    (other,) = of(read([begun("resp_1"), elsewhere]), StreamError)
    assert other.request_id is None, "an error of a request that got no response"


def test_results_of_tools_that_the_api_runs() -> None:
    item = {"type": "mcp_call", "id": "mcp_1", "name": "find", "arguments": "{}", "output": "hit"}
    (result,) = of(read([begun("resp_1"), done(1, 0, item)]), ToolResults)
    assert [(r.tool_use_id, r.text, r.is_error) for r in result.results] == [
        ("mcp_1", "hit", False)
    ]


def test_what_is_remembered_is_bounded() -> None:
    decoder = CodexDecoder(context())
    for number in range(500):
        decoder.decode(begun(f"resp_{number}"))
        decoder.decode(raw("response.in_progress", {"response": {"id": "x"}}, pid=number + 10))
    assert len(decoder.save()) < 40_000
    process = codex_responses.Process()
    for number in range(500):
        process.begin(str(number), "", is_named=True).is_ended = True
    assert len(process.responses) <= codex_responses.MAX_ENDED + 1


# -- what the client says around it


def test_turns() -> None:
    prompt = of(one(turn("turn.user_message", message="fix it", images=[])), Prompt)[0]
    assert (prompt.text, prompt.round, prompt.time) == ("fix it", TURN, 1763928000.0)
    named = raw("codex.user_prompt", {"text": "x"}, round="r1")
    assert of(one(named), Prompt)[0].round == "r1"
    unknown = json.loads(turn("turn.user_message", message="x"))
    unknown["metadata"] = json.dumps({"turn_id": "unknown"})
    assert of(one(json.dumps(unknown).encode()), Prompt)[0].round is None
    assert of(one(turn("turn.response.completed")), TurnStop)[0].name == "turn_end"
    aborted = of(one(turn("turn.response.aborted", reason="interrupted")), TurnAborted)[0]
    assert (aborted.has_end, aborted.reason) == (True, "interrupted")
    assert isinstance(one(raw("turn.shutdown_complete", {}))[0], SessionEnd)
    start, facts = one(turn("turn.session_configured", model="m", initial_messages=None))
    assert isinstance(start, SessionStart)
    assert start.source == "new"
    assert isinstance(facts, Facts)
    resumed = of(one(turn("turn.session_configured", initial_messages=["x"])), SessionStart)
    assert resumed[0].source == "resume"


def test_facts() -> None:
    steps = [{"step": "run tests", "status": "in_progress"}]
    assert of(one(turn("turn.plan_update", plan=steps)), Facts)[0].values == {
        "todo": [{"text": "run tests", "status": "in_progress"}]
    }
    last = {"last_token_usage": {"total_tokens": 105}, "model_context_window": 272000}
    limits = {"primary": {"used_percent": 5.0}, "secondary": None}
    said = of(one(turn("turn.token_count", info=last, rate_limits=limits)), Facts)[0].values
    assert said == {
        "context_tokens": 105,
        "context_window": 272000,
        "rate_limit": {"primary": {"used_percent": 5.0}},
    }
    assert isinstance(one(turn("turn.token_count", info=None, rate_limits=None))[0], Other)
    assert of(one(turn("turn.task_started", model_context_window=1)), Facts)[0].values == {
        "context_window": 1
    }


def test_results() -> None:
    def result(row: bytes) -> tuple[object, ...]:
        ((found,),) = (event.results for event in of(one(row), ToolResults))
        return found.tool_use_id, found.text, found.is_error, found.is_summary

    item = {"type": "function_call_output", "call_id": "c", "output": "1 failed"}
    assert result(turn("turn.raw_response_item", item=item)) == ("c", "1 failed", None, False)
    old = {**item, "output": '{"output":"x","metadata":{"exit_code":2}}'}
    assert result(turn("turn.raw_response_item", item=old))[2:] == (True, False)
    assert result(raw("codex.tool_result", {"call_id": "c", "summary": "s"}))[3] is True
    parts = [{"type": "input_text", "text": "a"}, {"type": "output_text", "text": "b"}, {"x": 1}]
    proxied = raw("codex.tool_result", {"payload": {"tool_use_id": "c", "content": parts}})
    assert result(proxied) == ("c", 'ab{"x":1}', None, False)
    end = {"call_id": "c", "aggregated_output": "out", "exit_code": 1}
    assert result(turn("turn.exec.end", **end)) == ("c", "out", True, True)
    patch = {"call_id": "c", "stdout": "S", "stderr": "E", "success": True}
    assert result(turn("turn.patch_apply.end", **patch)) == ("c", "SE", False, True)
    hit = {"Ok": {"content": [{"type": "text", "text": "hit"}]}}
    assert result(turn("turn.mcp_tool_call.end", call_id="c", result=hit))[1] == "hit"
    bad = result(turn("turn.mcp_tool_call.end", call_id="c", result={"Err": "gone"}))
    assert bad == ("c", "gone", True, True)


@pytest.mark.parametrize(
    ("name", "alive"),
    [
        ("turn.agent_message.delta", True),
        ("turn.exec.begin", True),
        ("item.completed", True),
        ("codex.idle", False),
        ("thread.started", False),
        ("turn.mcp_startup.complete", False),
    ],
)
def test_copies_of_text_tell_only_of_life(name: str, alive: bool) -> None:
    (event,) = one(turn(name, delta="x"))
    assert isinstance(event, Other)
    assert event.is_alive is alive


def test_a_proxy_tells_hooks_and_subagents() -> None:
    waits = raw("codex.permission_request", {"payload": {"tool_name": "exec"}})
    assert of(one(waits), Notice)[0].name == "permission_request"
    events = decode(FORMAT, PROXY)
    (agent,) = of(events, AgentSaid)
    assert (agent.agent_id, agent.parent_tool_use_id, agent.description) == (
        "/root/checker",
        "call_0004",
        "Check every price.",
    )
    assert {event.meta.agent_id for event in of(events, MessageStart)} == {None, "/root/checker"}


def test_unknown_and_bad_rows() -> None:
    (unknown,) = one(raw("turn.brand_new", {}))
    assert isinstance(unknown, Unknown)
    assert unknown.name == "turn.brand_new"
    assert isinstance(one(raw("response.brand_new", {}))[0], Unknown)
    assert isinstance(one(raw("response.brand_new.delta", {"output_index": 1}))[0], Ping)
    assert isinstance(one(raw("turn.diff", {}, sid="nobody"))[0], Malformed)
    assert isinstance(one(b'{"event":"turn.diff"')[0], Malformed)


# -- whole logs


def test_a_restart_anywhere_changes_nothing() -> None:
    rows = [begun("resp_1"), added(1, 0, MESSAGE), begun("resp_2"), delta(2, "msg_1", "a")]
    for log in (PROXY, b"\n".join(rows)):
        assert decode_in_parts(FORMAT, log) == decode(FORMAT, log)


def test_a_line_has_the_same_key_again_and_no_other_line_has_it() -> None:
    rows = [line for line, _ in lines(PROXY) if line]
    first, again = decode(FORMAT, PROXY), read(rows)
    assert [*map(key, first)] == [*map(key, again)]
    by_line = [{key(event) for event in one(row)} for row in rows]
    assert all(len(keys) == 1 for keys in by_line)
    assert len({found for keys in by_line for found in keys}) == len(rows)


def test_deltas_add_up_to_what_is_told() -> None:
    for log in [PROXY, *(path.read_bytes() for path in CAPTURES)]:
        events = decode(FORMAT, log)
        streams: dict[tuple[str, int], str] = {}
        for event in of(events, Delta):
            place = event.flow, event.index
            streams[place] = streams.get(place, "") + (event.text or "")
        for event in of(events, Told):
            for block in event.blocks:
                if block.is_exact:
                    assert streams.get((event.message_id, block.index or 0), "") == block.text
        assert not of(events, Unknown, Malformed)


@pytest.mark.parametrize("path", [*CAPTURES, *EXAMPLES], ids=lambda path: path.parent.name)
def test_recordings_are_read(path: Path) -> None:
    events = decode(FORMAT, path.read_bytes())
    assert events
    assert not of(events, Unknown, Malformed)
    assert decode_in_parts(FORMAT, path.read_bytes()) == events


NAMES = st.sampled_from(
    [json.loads(line)["event"] for line, _ in lines(PROXY) if line]
    + ["response.failed", "turn.raw_response_item", "turn.exec.end", "error", "turn.plan_update"]
)
KEYS = words(
    "item item_id output_index sequence_number response delta output id payload call_id type info"
    " plan usage content summary status"
)


@settings(max_examples=examples(8, 40))
@given(st.lists(st.tuples(NAMES, st.dictionaries(KEYS, json_values(), max_size=6)), max_size=8))
def test_any_rows_are_read(rows: list[tuple[str, Row]]) -> None:
    log = b"\n".join(raw(name, inner) for name, inner in rows)
    assert decode_in_parts(FORMAT, log) == decode(FORMAT, log)


@given(st.binary(max_size=80) | st.sampled_from(PROXY.split(b"\n")).map(lambda line: line[9:]))
def test_any_bytes_are_read(data: bytes) -> None:
    decode(FORMAT, data)
