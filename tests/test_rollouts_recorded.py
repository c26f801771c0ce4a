"""Recorded rollouts: they tell what the wire tells of the same run, also after a restart."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentmon.core.events import (
    AgentSaid,
    Delta,
    Event,
    Facts,
    Other,
    Prompt,
    Told,
    ToolResults,
    TurnStop,
    Unknown,
)
from agentmon.engine.ingest import Ingestion
from agentmon.sources.decoding import Context, Decoded
from agentmon.sources.rollouts import FORMAT, RolloutDecoder
from tests.codex_rows import FORMAT as WIRE
from tests.deep import examples
from tests.differential import assert_same, dumped
from tests.rollout_rows import Known, Row, meta, rollout_messages
from tests.stream_tools import (
    NOW,
    SHARED,
    decode,
    decode_in_parts,
    json_values,
    key,
    lines,
    of,
    words,
)

DATA = Path(__file__).parent / "data" / "codex"
ROOT_FILE, CHILD_FILE = sorted(DATA.glob("rollout-*.jsonl"))
CAPTURES = sorted(SHARED.glob("captures/codex-*"))
FILES = [
    *sorted(SHARED.glob("samples/codex_rollouts/*")),
    *sorted(SHARED.glob("samples/examples/D_*")),
    *sorted(SHARED.glob("captures/codex-*/codex/sessions/**/*.jsonl")),
]


def wire_messages(events: Iterable[Decoded]) -> dict[str, Known]:
    """Of a wire log: the blocks as they were finished."""
    out: dict[str, Known] = {}
    for told in of([*events], Told):
        message = out.setdefault(told.message_id, Known(told.meta.agent_id))
        if told.is_done:
            message.model, message.is_done, message.usage = told.model, True, told.usage
        message.blocks += [
            (block.block_type, block.tool_use_id, block.tool_name, block.text)
            for block in told.blocks
            if not told.is_done and (block.is_exact and block.tool_name is not None)
        ]
        message.blocks += [
            (block.block_type, None, None, block.text)
            for block in told.blocks
            if not told.is_done and block.is_exact and block.block_type != "tool_use"
        ]
    return out


def results(events: Iterable[Decoded]) -> dict[str, str]:
    return {
        result.tool_use_id: result.text
        for one in of([*events], ToolResults)
        for result in one.results
        if not result.is_summary
    }


def of_files(paths: Iterable[Path]) -> list[Decoded]:
    return [one for path in paths for one in decode(FORMAT, path.read_bytes())]


def scenes() -> list[tuple[Path, list[Path]]]:
    found = [(scene, sorted(scene.glob("codex/sessions/**/*.jsonl"))) for scene in CAPTURES]
    return [(DATA, [ROOT_FILE, CHILD_FILE]), *found]


@pytest.mark.parametrize(("scene", "files"), scenes(), ids=lambda value: getattr(value, "name", ""))
def test_wire_and_rollout_tell_the_same(scene: Path, files: list[Path]) -> None:
    wire = decode(WIRE, (scene / "sse_lines.jsonl").read_bytes())
    told = of_files(files)
    ours, theirs = wire_messages(wire), rollout_messages(told)
    complete = {name: message for name, message in ours.items() if message.is_done}
    assert [*complete] == [name for name in ours if name in theirs]
    for name, message in complete.items():
        other = theirs[name]
        assert other.blocks == message.blocks
        assert other.model == message.model
        assert other.agent_id == message.agent_id
        assert {k: v for k, v in other.usage.items() if k in message.usage} == message.usage
        assert other.is_done
    assert results(told) == results(wire)
    asked = [(prompt.sid, prompt.text) for prompt in of(wire, Prompt)]
    assert [(prompt.sid, prompt.text) for prompt in of(told, Prompt)] == asked
    unnamed = [message for name, message in theirs.items() if name not in complete]
    assert len(unnamed) == len(ours) - len(complete)
    assert {one.sid for one in of(told, Event)} == {one.sid for one in of(wire, Event)}


def test_both_together_are_one_run(tmp_path: Path) -> None:
    wire, told = [DATA / "sse_lines.jsonl"], [ROOT_FILE, CHILD_FILE]

    def ingested(name: str, *runs: list[Path]) -> list[Row]:
        for paths in runs:
            with Ingestion(tmp_path / name) as run:
                run.read_all([str(path) for path in paths])
        return [row for row in dumped(tmp_path / name) if row["kind"] != "counts"]

    both = ingested("a", wire, told)
    assert_same(ingested("b", told, wire), both)
    assert_same(ingested("c", [*told, *wire]), both)
    alone = ingested("d", wire)
    for kind in ("session", "round", "message", "block", "tool_result"):
        ids = [[_id(row) for row in rows if row["kind"] == kind] for rows in (both, alone)]
        assert ids[0] == ids[1]
    texts = [[row.get("sha256") for row in rows] for rows in (both, alone)]
    assert texts[0] == texts[1]
    (round_row,) = [row for row in both if row["kind"] == "round"]
    assert round_row["is_complete"], "the wire of a proxy has no end of a turn"


def _id(row: Row) -> tuple[object, ...]:
    return row.get("flow_id"), row.get("index"), row.get("tool_use_id"), row.get("sid")


def test_who_is_who() -> None:
    root, child = (decode(FORMAT, path.read_bytes()) for path in (ROOT_FILE, CHILD_FILE))
    metas = {id(one.meta): one.meta for one in of(child, Event)}
    (mine,) = metas.values()
    assert (mine.agent, mine.version, mine.kind) == ("codex", "0.169.0", "rollout")
    assert (mine.agent_id, mine.cwd, mine.pid) == ("/root/checker", "/home/u/shop", None)
    turn = "01a1fa00-1100-7000-8000-0000000000a1"
    assert {one.round for one in of(root, Told, Prompt, TurnStop)} == {turn}
    assert {one.round for one in of(child, Event)} == {None}
    assert {one.flow for one in of(root, Event)} == {"rollout"}
    said = [
        (one.parent_tool_use_id, one.kind, one.status) for one in of([*root, *child], AgentSaid)
    ]
    assert said == [
        ("call_0004", None, "running"),
        ("call_0004", None, None),
        (None, None, "completed"),
        (None, "Gauss", None),
        (None, None, "running"),
        (None, None, "completed"),
    ]
    assert {one.agent_id for one in of([*root, *child], AgentSaid)} == {"/root/checker"}
    assert [stop.is_subagent for stop in of([*root, *child], TurnStop)] == [False, True]
    values: dict[str, object] = {}
    for one in of(root, Facts):
        values |= one.values
    assert values["git_branch"] == "prices"
    assert (values["model"], values["effort"]) == ("gpt-5.5", "high")
    assert (values["context_tokens"], values["context_window"]) == (1620, 258400)
    assert values["todo"] == [
        {"text": "read", "status": "completed"},
        {"text": "mend", "status": "in_progress"},
    ]


def test_the_exit_code_comes_beside_the_result() -> None:
    events = decode(FORMAT, ROOT_FILE.read_bytes())
    summaries = {
        result.tool_use_id: result.is_error
        for one in of(events, ToolResults)
        for result in one.results
        if result.is_summary
    }
    assert summaries == {"call_0001": False, "call_0002": True, "call_0006": False}
    inside = [one.said for one in of(decode(FORMAT, CHILD_FILE.read_bytes()), Other) if one.said]
    assert "ran wc -l prices.csv" in inside, "a command of a script is no call of the model's"


# -- whole files


@pytest.mark.parametrize("path", [ROOT_FILE, CHILD_FILE, *FILES], ids=lambda path: path.name[:40])
def test_files_are_read_and_a_restart_anywhere_changes_nothing(path: Path) -> None:
    data = path.read_bytes()
    events = decode(FORMAT, data)
    assert events
    assert decode_in_parts(FORMAT, data) == events
    again = decode(FORMAT, data)
    assert [*map(key, of(again, Event))] == [*map(key, of(events, Event))]
    assert not of(events, Delta, Unknown)
    rows = [json.loads(line) for line, _ in lines(data) if line]
    assert FORMAT.knows(rows)


ROWS = [
    json.loads(line) for path in (ROOT_FILE, CHILD_FILE) for line in path.read_bytes().splitlines()
]
KEYS = words(
    "type item id call_id output role content summary info usage turn_id error name arguments"
    " source session_id agents_states receiver_thread_ids thread_settings command plan git"
)


@settings(max_examples=examples(10, 100))
@given(st.lists(st.tuples(st.sampled_from(ROWS), st.dictionaries(KEYS, json_values())), max_size=8))
def test_any_records_are_read(picked: list[tuple[dict[str, Any], Row]]) -> None:
    rows = [{**row, "payload": {**row["payload"], **more}} for row, more in picked]
    rows += [{**row["payload"], **more} for row, more in picked]
    log = b"\n".join([meta(), *(json.dumps(row).encode() for row in rows)])
    assert decode_in_parts(FORMAT, log) == decode(FORMAT, log)


@given(st.binary(max_size=80))
def test_any_bytes_are_read(data: bytes) -> None:
    decoder = RolloutDecoder(Context("/log", lambda: NOW))
    decoder.decode(meta())
    decoder.decode(data, 1000)
