"""Hook events as lines of a file."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentmon.core.events import (
    AgentSaid,
    Event,
    Facts,
    Malformed,
    Notice,
    Prompt,
    SessionEnd,
    SessionStart,
    ToolResults,
    TurnStop,
    Unknown,
)
from agentmon.sources.decoding import Decoded
from agentmon.sources.hooks import FORMAT
from agentmon.sources.sse_lines import Decoder
from tests.stream_tools import (
    DATA,
    NOW,
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

SID = "5b1d2c3e-0000-4000-8000-000000000001"
CODEX = "5b1d2c3e-0000-4000-8000-000000000002"
ROUND = "e0000000-0000-4000-8000-000000000001"
HOOKS = (DATA / "hooks.jsonl").read_bytes()
START = 1_772_445_600.0
CAPTURES = sorted(SHARED.glob("captures/*/hooks.jsonl"))
EXAMPLES = SHARED / "samples/examples/G_hooks.jsonl"

Row = dict[str, Any]


def bare(name: str, **fields: object) -> bytes:
    return json.dumps({"session_id": SID, "hook_event_name": name, **fields}).encode()


def one(name: str, **fields: object) -> list[Decoded]:
    return decode(FORMAT, bare(name, **fields))


def test_a_session_from_its_start_to_its_end() -> None:
    events = decode(FORMAT, HOOKS)
    assert not of(events, Malformed, Unknown)
    [start], [end] = of(events, SessionStart), of(events, SessionEnd)
    assert (start.source, start.time, end.reason) == ("new", START, "clear")
    first, second = of(events, Prompt)
    assert (first.sid, first.text, first.round) == (SID, "fix the test", ROUND)
    assert (first.message_uuid, first.time) == (None, START + 1)
    assert (second.sid, second.text) == (CODEX, "sort it")
    assert second.round == "e0000000-0000-7000-8000-000000000003"


def test_stops_end_the_round_of_the_last_typed_prompt() -> None:
    stops = of(decode(FORMAT, HOOKS), TurnStop)
    assert [(stop.sid, stop.round, stop.is_subagent) for stop in stops] == [
        (SID, ROUND, False),
        (SID, None, True),
        (SID, ROUND, False),  # of the turn that a task notification began
        (CODEX, "e0000000-0000-7000-8000-000000000003", False),
    ]
    assert [stop.background for stop in stops] == [["a93ccab"], [], [], []]
    assert {stop.name for stop in stops} == {"stop"}


def test_a_stop_whose_prompt_was_not_seen_names_no_round() -> None:
    [stop] = of(one("Stop", prompt_id=ROUND), TurnStop)
    assert stop.round is None


def test_notices_by_the_names_of_the_wire_log() -> None:
    notices = of(decode(FORMAT, HOOKS), Notice)
    assert [(notice.name, notice.tool_use_id, notice.kind) for notice in notices] == [
        ("pre_tool_use", "toolu_1", None),
        ("permission_request", None, None),
        ("notification", None, "permission_prompt"),
        ("post_tool_use", "toolu_1", None),
        ("subagent_start", None, None),
        ("subagent_stop", None, None),
        ("user_prompt_submit", None, None),
        ("stop_failure", None, None),
        ("subagent_stop", None, None),
    ]
    assert json.loads(notices[1].data)["tool_input"] == {"command": "rm x"}
    assert not of(decode(FORMAT, HOOKS), ToolResults)


def test_subagents() -> None:
    events = decode(FORMAT, HOOKS)
    said = [(event.agent_id, event.kind, event.status) for event in of(events, AgentSaid)]
    assert said == [("a93ccab", "Explore", "running"), ("a93ccab", "Explore", "completed")]
    agents = [event.meta.agent_id for event in of(events, Notice)][4:]
    assert agents == ["a93ccab", "a93ccab", None, None, "side"]


def test_a_subagent_of_codex_goes_by_the_name_that_other_sources_know() -> None:
    codex = {"turn_id": "t", "model": "gpt-6"}
    thread = "01a1ff9f-0914-7ef0-99dc-679dd25d161b"
    call = {"tool_name": "collaborationspawn_agent", "tool_use_id": "call_1"}
    asked = {"task_name": "counter", "message": "Count the files."}
    lines = [
        bare(
            "PostToolUse",
            **codex,
            **call,
            tool_input=asked,
            tool_response='{"task_name":"/root/c"}',
        ),
        bare("SubagentStart", **codex, agent_id=thread, agent_type="default"),
        bare("PreToolUse", **codex, agent_id=thread, agent_type="default", tool_use_id="call_2"),
        bare("SubagentStop", **codex, agent_id=thread, agent_type="default"),
        bare("SubagentStart", **codex, agent_id="another", agent_type="default"),
    ]
    events = decode_in_parts(FORMAT, b"\n".join(lines))
    said = of(events, AgentSaid)
    assert [event.agent_id for event in said] == ["/root/c"] * 3 + ["another"]
    assert (said[0].parent_tool_use_id, said[0].description) == ("call_1", "Count the files.")
    assert [event.meta.agent_id for event in of(events, Notice)][1:4] == ["/root/c"] * 3


def test_who_writes() -> None:
    metas = {event.sid: event.meta for event in of(decode(FORMAT, HOOKS), Prompt)}
    claude, codex = metas[SID], metas[CODEX]
    assert (claude.agent, claude.pid, claude.cwd, claude.kind) == (
        "claude",
        700,
        "/home/u/p",
        "hook",
    )
    assert (codex.agent, codex.pid) == ("codex", 900)


@pytest.mark.parametrize(
    ("parents", "pid"),
    [
        ([[5, "bash"], [4, "claude.exe"]], 4),
        ([[5, "sh"], [4, "node"], [3, "zsh"]], 4),
        ([[5, "sh"]], None),
        ([], None),
        ("no list", None),
        ([["5", "claude"], [True, 1], [2]], None),
    ],
)
def test_the_client_among_the_processes_above(parents: object, pid: int | None) -> None:
    payload = {"session_id": SID, "hook_event_name": "Stop"}
    wrapped = json.dumps({"t": 1.0, "parents": parents, "payload": payload}).encode()
    [stop] = of(decode(FORMAT, wrapped), TurnStop)
    assert stop.meta.pid == pid


def test_codex_is_known_by_its_payload() -> None:
    [stop] = of(one("Stop", turn_id="t", model="gpt-6"), TurnStop)
    assert stop.meta.agent == "codex"


def test_facts() -> None:
    found = [event.values for event in of(decode(FORMAT, HOOKS), Facts)]
    assert found[:3] == [
        {"model": "claude-opus-4-6"},
        {"permission_mode": "default"},
        {"permission_mode": "default", "effort": "medium"},
    ]


def test_what_nobody_typed_is_no_prompt() -> None:
    assert not of(one("UserPromptSubmit", prompt="[SYSTEM NOTIFICATION] x"), Prompt)
    assert not of(one("UserPromptSubmit", prompt="tick", source="loop_wakeup"), Prompt)
    assert of(one("UserPromptSubmit", prompt="tick", source="sdk"), Prompt)


def test_bare_payloads_have_the_time_of_their_receipt() -> None:
    [event] = one("PreToolUse", tool_use_id="t")
    assert isinstance(event, Notice)
    assert event.time == NOW
    two = decode(FORMAT, bare("PreToolUse") + b"\n" + bare("PreToolUse"))
    assert len({key(event) for event in two}) == 2  # equal, but two calls


def test_a_line_with_a_time_is_the_same_wherever_it_stands() -> None:
    once, twice = decode(FORMAT, HOOKS), decode(FORMAT, HOOKS + HOOKS)
    assert {key(event) for event in twice} == {key(event) for event in once}
    decoder = FORMAT.open(context())
    each = [{key(e) for e in decoder.decode(line, at)} for line, at in lines(HOOKS) if line]
    assert all(len(keys) == 1 for keys in each)
    assert len({one for keys in each for one in keys}) == len(each)


def test_what_is_not_known_is_kept_whole() -> None:
    [event] = one("BrandNew", x=1)
    assert isinstance(event, Unknown)
    assert (event.name, event.sid) == ("BrandNew", SID)
    [event] = decode(FORMAT, b'{"hook_event_name":"Stop"}')
    assert isinstance(event, Unknown)
    [event] = decode(FORMAT, b'{"hook_event_name":"Stop","session_id":"s1"}')
    assert isinstance(event, Malformed)


def test_a_restart_after_each_line_changes_nothing() -> None:
    assert decode_in_parts(FORMAT, HOOKS) == decode(FORMAT, HOOKS)


_JSON = json_values()
_NAMES = words(
    "SessionStart SessionEnd UserPromptSubmit Stop StopFailure SubagentStart SubagentStop "
    "Notification PreToolUse X"
)
_FIELDS = words(
    "prompt source reason agent_id agent_type prompt_id background_tasks effort model cwd "
    "permission_mode tool_use_id notification_type content operation"
)


@given(
    _NAMES,
    st.dictionaries(_FIELDS, _JSON),
    st.dictionaries(words("t source parents"), _JSON),
)
def test_any_hook_is_read(name: str, fields: Row, around: Row) -> None:
    payload = {"session_id": SID, "hook_event_name": name, **fields}
    for row in (payload, {**around, "payload": payload}):
        data = json.dumps(row).encode()
        assert decode_in_parts(FORMAT, data) == decode(FORMAT, data)


@given(st.binary())
def test_any_bytes_are_read(data: bytes) -> None:
    decode(FORMAT, data)
    FORMAT.open(context(data)).decode(bare("Stop"))


@pytest.mark.skipif(not EXAMPLES.exists(), reason="no recordings beside the project")
def test_every_documented_hook_is_known() -> None:
    assert not of(decode(FORMAT, EXAMPLES.read_bytes()), Malformed, Unknown)


@pytest.mark.skipif(not CAPTURES, reason="no recordings beside the project")
@pytest.mark.parametrize("path", CAPTURES, ids=lambda path: path.parent.name)
def test_a_run_is_told_as_on_the_wire(path: Path) -> None:
    data = path.read_bytes()
    events = [event for event in decode(FORMAT, data) if isinstance(event, Event)]
    assert len(events) >= data.count(b"\n")
    assert not of(events, Unknown)
    assert decode_in_parts(FORMAT, data) == events
    if not path.parent.name.startswith("claude"):
        return
    decoder = Decoder()
    log = (path.parent / "sse_lines.jsonl").read_bytes()
    wire = [event for line, at in lines(log) for event in decoder.decode(line, at)]
    texts = sorted((event.sid, event.text) for event in of(wire, Prompt))
    assert sorted((event.sid, event.text) for event in of(events, Prompt)) == texts
    pids = {event.sid: event.meta.pid for event in of(wire, Prompt)}
    assert {event.sid: event.meta.pid for event in of(events, Prompt)} == pids
