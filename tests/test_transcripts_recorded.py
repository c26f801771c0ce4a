"""Whole transcripts: own recordings, any input, and real ones beside what the wire said."""

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentmon.core.events import (
    AgentSaid,
    Event,
    Facts,
    Malformed,
    Other,
    Prompt,
    Told,
    ToolResults,
    TurnAborted,
    TurnStop,
    Unknown,
)
from agentmon.sources.decoding import Context, Decoded
from agentmon.sources.transcript_events import KNOWN
from agentmon.sources.transcripts import FORMAT, TranscriptDecoder, owner_of, read_agent_meta
from tests.deep import examples, only_deep

DATA = Path(__file__).parent / "data" / "transcripts"
SHARED = Path(__file__).resolve().parents[1].parent / "shared"
NEW = "7c0ffee0-0000-4000-8000-000000000001"
FORK = "7c0ffee0-0000-4000-8000-000000000002"
OLD = "7c0ffee0-0000-4000-8000-000000000003"
RESUMED = "7c0ffee0-0000-4000-8000-000000000004"
AGENT = "a1b2c3d4e5f60718"


def decode(path: Path, *, cut: int | None = None) -> list[list[Decoded]]:
    """The events of each line; `cut`: the decoder is left and restored before that line."""
    decoder = TranscriptDecoder(Context(str(path), lambda: 0.0))
    lines: list[list[Decoded]] = []
    offset = 0
    for number, line in enumerate(path.read_bytes().split(b"\n")):
        if number == cut:
            decoder = TranscriptDecoder(Context(str(path), lambda: 0.0, decoder.save()))
        lines.append(decoder.decode(line, offset))
        offset += len(line) + 1
    return lines


def events_of(path: Path) -> list[Decoded]:
    return [event for line in decode(path) for event in line]


def main_file(sid: str, folder: str = "-home-ana-app") -> Path:
    return DATA / folder / f"{sid}.jsonl"


def told_of(events: list[Decoded]) -> dict[str, list[Told]]:
    found: dict[str, list[Told]] = defaultdict(list)
    for event in events:
        if isinstance(event, Told):
            found[event.message_id].append(event)
    return found


def prompts(events: list[Decoded]) -> list[tuple[str, str, str | None]]:
    return [(e.sid, e.text, e.round) for e in events if isinstance(e, Prompt)]


def test_a_session_of_today() -> None:
    events = events_of(main_file(NEW))
    rounds = [f"f0000000-0000-4000-8000-00000000000{n}" for n in (1, 3, 4)]
    assert prompts(events) == [
        (NEW, "tidy the config, please", rounds[0]),
        (NEW, "now write a poem", rounds[1]),
        (NEW, "in French", rounds[2]),
    ]
    told = told_of(events)
    assert {name: found[-1].round for name, found in told.items()} == {
        **{f"msg_new{n}": rounds[0] for n in range(1, 6)},
        "msg_new6": rounds[1],
        "msg_new7": rounds[1],
        "msg_new8": rounds[2],
    }
    assert [name for name, found in told.items() if not found[-1].is_done] == [
        "msg_new6",
        "msg_new7",
    ]
    assert [block.index for t in told["msg_new1"] for block in t.blocks] == [0, 1, 2]
    assert told["msg_new7"][0].blocks[0].is_cut
    stops = [(e.name, e.round, e.background) for e in events if isinstance(e, TurnStop)]
    assert stops == [
        ("turn_end", rounds[0], [AGENT]),
        ("stop", rounds[0], [AGENT]),
        ("turn_end", rounds[0], [AGENT]),
        ("turn_end", rounds[0], []),
        ("turn_end", rounds[0], []),
        ("turn_end", rounds[2], []),
        ("turn_end", rounds[2], []),
    ]
    assert [e.round for e in events if isinstance(e, TurnAborted)] == [rounds[1]]
    results = [r.tool_use_id for e in events if isinstance(e, ToolResults) for r in e.results]
    assert results == [f"toolu_new{n}" for n in range(1, 5)]
    assert [e.name for e in events if isinstance(e, Unknown)] == ["brand-new-record"]
    facts: dict[str, object] = {}
    for event in events:
        facts.update(event.values if isinstance(event, Facts) else {})
    assert facts == {
        "permission_mode": "acceptEdits",
        "git_branch": "main",
        "title": "config work",
        "effort": "high",
        "todo": [{"text": "tidy", "status": "completed"}, {"text": "test", "status": "pending"}],
        "queue": None,
        "compactions": {"count": 1, "trigger": "manual", "pre_tokens": 9000, "post_tokens": 700},
        "cost_usd": 0.25,
    }


def test_its_subagents() -> None:
    folder = DATA / "-home-ana-app" / NEW / "subagents"
    events = events_of(folder / f"agent-{AGENT}.jsonl")
    assert {e.meta.agent_id for e in events if isinstance(e, Event)} == {AGENT}
    assert {e.round for e in events if isinstance(e, Event)} == {None}
    assert [e.is_subagent for e in events if isinstance(e, TurnStop)] == [True]
    assert prompts(events) == []
    said = read_agent_meta(str(folder / f"agent-{AGENT}.jsonl"), AGENT, NEW)
    assert said is not None
    assert (said.parent_tool_use_id, said.status) == ("toolu_new4", "completed")
    in_main = [e.status for e in events_of(main_file(NEW)) if isinstance(e, AgentSaid)]
    assert in_main == ["running", "completed"]
    compaction = events_of(folder / "agent-acompact-70d8e7.jsonl")
    marks = {(e.meta.agent_id, e.round) for e in compaction if isinstance(e, Event)}
    assert marks == {("side", "")}


def test_copies_in_a_fork_are_their_originals() -> None:
    def keys(path: Path) -> set[tuple[str, int, int]]:
        return {(e.sid, e.count, e.digest) for e in events_of(path) if isinstance(e, Event)}

    fork = keys(main_file(FORK))
    mine = {key for key in fork if key[0] == FORK}
    assert fork - mine <= keys(main_file(NEW))
    assert len(fork - mine) == 5
    assert len(mine) == 2


def test_prompts_in_a_fork_are_those_of_the_answers_behind_them(tmp_path: Path) -> None:
    """`--fork-session` says only on answers whose they were."""
    rows = [json.loads(line) for line in main_file(NEW).read_bytes().splitlines() if _is_row(line)]
    parent = tmp_path / f"{NEW}.jsonl"
    parent.write_text("".join(json.dumps(row) + "\n" for row in rows))
    copies = [row | {"sessionId": FORK} if "sessionId" in row else row for row in rows]
    for row in copies:
        if row["type"] == "assistant":
            row["requestSessionId"] = NEW
    own: dict[str, Any] = {
        "type": "user",
        "sessionId": FORK,
        "uuid": "own",
        "timestamp": "2026-02-01T00:00:00Z",
    }
    own["message"] = {"role": "user", "content": "now here"}
    fork = tmp_path / f"{FORK}.jsonl"
    fork.write_text("".join(json.dumps(row) + "\n" for row in [*copies, own]))
    assert prompts(events_of(fork))[-1][:2] == (FORK, "now here")
    originals = prompts(events_of(parent))
    assert [one for one in prompts(events_of(fork)) if one[0] == NEW] == originals
    answer: dict[str, Any] = {
        "type": "assistant",
        "sessionId": FORK,
        "uuid": "answer",
        "requestId": "r",
    }
    answer |= {"timestamp": "2026-02-01T00:00:01Z", "message": {"id": "m", "content": "yes"}}
    late = {**own, "uuid": "late", "requestSessionId": NEW}
    with fork.open("a") as file:
        file.write("".join(json.dumps(row) + "\n" for row in [answer, late]))
    found = [text for sid, text, _ in prompts(events_of(fork)) if sid == FORK]
    assert found[-2:] == ["now here", "now here"]


def _is_row(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False


def test_a_resumed_session_of_version_1() -> None:
    events = events_of(main_file(RESUMED, "-home-ana-old"))
    texts = [(sid, text) for sid, text, _ in prompts(events)]
    assert texts == [(OLD, "hello"), (RESUMED, "look around"), (RESUMED, "more"), (RESUMED, "bare")]
    titles = [(e.sid, e.values) for e in events if isinstance(e, Facts)]
    assert titles == [(OLD, {"title": "Say hello"})]
    told = told_of(events)
    assert [found[-1].is_done for found in told.values()] == [False, True, False, True, True, False]
    assert told["msg_old3"][0].meta.agent_id == "sidechain"
    first, second = told["msg_old4"][:2]
    assert first.blocks[0].item_id == second.blocks[0].item_id
    assert told["0d9c7b1e-0000-4000-8000-0000000000aa"][0].error == "API Error: 529 Overloaded"
    reasons = [e.reason for e in events if isinstance(e, Malformed)]
    assert reasons == ["not JSON", *2 * ["not a JSON object"], "sid is not a UUID"]
    warm = events_of(DATA / "-home-ana-old" / "agent-99aa88bb.jsonl")
    assert [type(e) for e in warm] == [Other, Told]
    assert {(e.meta.agent_id, e.round) for e in warm if isinstance(e, Event)} == {("side", "")}


@pytest.mark.parametrize("path", sorted(DATA.rglob("*.jsonl")), ids=lambda path: path.stem)
def test_a_restart_between_any_two_lines_changes_nothing(path: Path) -> None:
    whole = decode(path)
    for cut in range(len(whole)):
        assert decode(path, cut=cut) == whole


def test_paths_name_sessions_and_subagents() -> None:
    assert owner_of(f"/c/projects/-p/{NEW}.jsonl") == (NEW, None)
    assert owner_of(f"/c/projects/-p/{NEW}/subagents/agent-a1.jsonl") == (NEW, "a1")
    assert owner_of("/c/projects/-p/agent-a1.jsonl") == (None, "a1")
    assert owner_of("-") == (None, None)


def test_the_file_beside_a_subagents_transcript(tmp_path: Path) -> None:
    path = tmp_path / "agent-a1.jsonl"
    assert read_agent_meta(str(path), "a1", NEW) is None
    beside = tmp_path / "agent-a1.meta.json"
    beside.write_text('{"agentType":"Explore","description":"Look","toolUseId":"t1"}')
    said = read_agent_meta(str(path), "a1", NEW)
    assert said is not None
    assert (said.sid, said.agent_id, said.kind) == (NEW, "a1", "Explore")
    assert (said.description, said.parent_tool_use_id, said.status) == ("Look", "t1", None)
    beside.write_text('{"agentType":"Explore","finished":true,"parentAgentId":"a0"}')
    later = read_agent_meta(str(beside), "a1", NEW)
    assert later is not None
    assert (later.status, later.meta.agent_id) == ("completed", "a0")
    assert (later.count, later.digest) != (said.count, said.digest)
    for content in ("{", "[1]", '{"agentType":'):
        beside.write_text(content)
        assert read_agent_meta(str(path), "a1", NEW) is None


def _words(text: str) -> list[str]:
    return text.split()


_SIDS = st.sampled_from([NEW, OLD, "test-session", 7])
_TAGS = ["<task-notification>\n<task-id>agent</task-id>", "[Request interrupted by user]", "\ud800"]
_WORDS = st.sampled_from(
    ["", *_TAGS, *_words("x agent toolu_1 end_turn completed running human Warmup enqueue popAll")]
)
_SCALARS = st.one_of(
    _WORDS, st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5)
)
_KEYS = st.sampled_from(
    _words(
        """type text content id uuid message tool_use_id agentId status input usage stop_reason
        model prompt isSidechain toolUseResult newTodos task attachment data subtype error origin
        forkedFrom sessionId timestamp operation compactMetadata retryInMs apiBlockIndex version
        cwd task_id promptId permissionMode pendingBackgroundAgentCount requestSessionId summary
        leafUuid gitBranch isAsync backgroundTaskId aiTitle totalCostUSD isMeta stop_details"""
    )
)
_VALUES: st.SearchStrategy[Any] = st.recursive(
    _SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner, max_size=4),
    max_leaves=8,
)
_TYPES = st.sampled_from([*sorted(KNOWN), *2 * ["user", "assistant"], "new"])
_BLOCK: dict[str, st.SearchStrategy[Any]] = {
    "type": st.sampled_from(["text", "tool_use", "tool_result", "thinking"])
}
_BLOCK_FIELDS: dict[str, st.SearchStrategy[Any]] = {
    **{"text": _WORDS, "id": _WORDS, "name": st.just("TodoWrite"), "input": _VALUES},
    **{"tool_use_id": _WORDS, "content": _VALUES},
}
_BLOCKS = st.lists(st.fixed_dictionaries(_BLOCK, optional=_BLOCK_FIELDS), max_size=3)
_MESSAGE: dict[str, st.SearchStrategy[Any]] = {"content": _BLOCKS, "id": _WORDS}
_RECORD: dict[str, st.SearchStrategy[Any]] = {"type": _TYPES, "sessionId": _SIDS}
_RECORD_FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "uuid": _WORDS,
    "message": st.fixed_dictionaries(_MESSAGE) | _VALUES,
    "subtype": st.sampled_from(["turn_duration", "api_error", "compact_boundary", "?"]),
    "toolUseResult": st.dictionaries(_KEYS, _VALUES, max_size=3),
    "timestamp": st.sampled_from(["2026-01-01T00:00:00Z", "0001-01-01", "soon"]),
}
_RECORDS = st.fixed_dictionaries(_RECORD, optional=_RECORD_FIELDS)
_EXTRA = st.dictionaries(_KEYS, _VALUES, max_size=3)


def _line(record: dict[str, Any], extra: dict[str, Any]) -> bytes:
    return json.dumps({**extra, **record}).encode()


_LINES = st.lists(st.builds(_line, _RECORDS, _EXTRA) | st.binary(max_size=40), max_size=8)


@settings(max_examples=examples(25, 150))
@given(_LINES, st.integers(0, 8))
def test_any_lines_are_read_and_a_restart_changes_nothing(lines: list[bytes], cut: int) -> None:
    context = Context("/x/y.jsonl", lambda: 0.0)
    whole, parted = TranscriptDecoder(context), TranscriptDecoder(context)
    for number, line in enumerate(lines):
        if number == cut:
            parted = TranscriptDecoder(Context(context.path, lambda: 0.0, parted.save()))
        found = whole.decode(line, number)
        assert found == parted.decode(line, number)
        keys = {(e.sid, e.count, e.digest) for e in found if isinstance(e, Event)}
        assert len(keys) <= max(1, line.count(b"{"))
    assert whole.save() == parted.save()


@pytest.mark.parametrize("depth", [200, 900, 1500, 100_000])
@pytest.mark.parametrize("core", ["1", '"\\ud800"'])
def test_deep_nesting_is_no_trouble(depth: int, core: str) -> None:
    nested = "[" * depth + core + "]" * depth
    line = f'{{"type":"queue-operation","sessionId":"{NEW}","content":{nested}}}'
    assert TranscriptDecoder(Context("-", lambda: 0.0)).decode(line.encode())


@pytest.mark.parametrize("state", [b"{", b"[]", b'{"threads":3}', b"\xff", b"null"])
def test_a_state_that_is_not_understood_is_left(state: bytes) -> None:
    assert TranscriptDecoder(Context("-", lambda: 0.0, state)).save() == b""


@pytest.mark.parametrize("every", [4, *only_deep(1)])
def test_every_sample_is_read(every: int, shared: Path) -> None:
    lines = 0
    for path in sorted((shared / "samples" / "claude_transcripts").glob("*.jsonl"))[::every]:
        decoded = decode(path)
        lines += sum(1 for events in decoded if events)
        middle = len(decoded) // 2
        assert decode(path, cut=middle) == decoded
    assert lines > 7000 // every**2


CAPTURES = sorted(SHARED.glob("captures/claude-*"))


def _wire(path: Path) -> dict[str, dict[str, Any]]:
    """Messages of a wire log, read without any code of the project."""
    messages: dict[str, dict[str, Any]] = {}
    by_request: dict[str, dict[str, Any]] = {}
    for line in path.read_bytes().strip().split(b"\n"):
        row = json.loads(line)
        payload = json.loads(row["line"].removeprefix("data: "))["payload"]
        kind, request = payload["type"], payload.get("request_id")
        if kind == "message_start":
            message = payload["message"]
            agent = json.loads(row["metadata"]).get("agent")
            by_request[request] = messages[message["id"]] = {
                **{"agent": agent, "usage": message["usage"], "blocks": {}, "is_done": False},
                **{"stop": None, "model": message["model"]},
            }
        found = by_request.get(request)
        if found is None:
            continue
        if kind == "content_block_start":
            block = payload["content_block"]
            text = block.get("text") or block.get("thinking") or ""
            found["blocks"][payload["index"]] = [block["type"], block.get("id"), text]
        elif kind == "content_block_delta":
            parts = payload["delta"]
            text = "".join(parts.get(key, "") for key in ("text", "thinking", "partial_json"))
            found["blocks"][payload["index"]][2] += text
        elif kind == "message_delta":
            found["stop"] = payload["delta"]["stop_reason"]
            found["usage"] = {**found["usage"], **payload["usage"]}
        found["is_done"] |= kind == "message_stop"
    return messages


@pytest.mark.parametrize("folder", CAPTURES, ids=lambda folder: folder.name)
def test_transcripts_say_what_the_wire_said(folder: Path) -> None:
    wire = _wire(folder / "sse_lines.jsonl")
    events: list[Decoded] = []
    for path in sorted(folder.glob("claude/projects/**/*.jsonl")):
        assert FORMAT.knows([json.loads(line) for line in path.read_bytes().split(b"\n")[:5]])
        events += events_of(path)
    assert not [event for event in events if isinstance(event, Malformed | Unknown)]
    told = told_of(events)
    asked = {name for name, found in wire.items() if found["is_done"] and found["agent"] != "side"}
    assert asked <= set(told) <= set(wire)
    for name, records in told.items():
        message = wire[name]
        blocks = {block.index: block for record in records for block in record.blocks}
        assert blocks.keys() == message["blocks"].keys()
        for index, (kind, tool, text) in message["blocks"].items():
            block = blocks[index]
            assert (block.block_type, block.tool_use_id) == (kind, tool)
            if kind == "tool_use":
                assert json.loads(block.text) == json.loads(text)
            elif not block.is_cut:
                assert block.text == text
        last = records[-1]
        assert (last.is_done, last.stop_reason) == (message["is_done"], message["stop"])
        assert (last.meta.agent_id, last.model) == (message["agent"], message["model"])
        usage = message["usage"]
        assert last.usage == {
            "input_tokens": usage["input_tokens"],
            "output_tokens": usage["output_tokens"],
            "cache_read_tokens": usage["cache_read_input_tokens"],
            "cache_write_tokens": usage["cache_creation_input_tokens"],
        }
