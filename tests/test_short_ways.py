"""The short ways of frequent lines say and store the same as the long ones."""

import random
import sqlite3
from itertools import product
from pathlib import Path

import msgspec
import pytest

from agentmon.core.events import Event
from agentmon.core.fold import Fold
from agentmon.core.state import State
from agentmon.sources import sse_lines, typed
from agentmon.sources.decoding import Decoded
from agentmon.sources.sse_lines import Decoder
from agentmon.store.db import database
from tests.bench.load import Load
from tests.deep import each_nth, examples, only_deep, turns
from tests.differential import ingest
from tests.generate import joined, permute, scenario
from tests.test_differential import MIXES

TABLES = (
    *("sessions", "agents", "rounds", "prompts", "messages", "content_blocks", "delta_log"),
    *("tool_results", "notices", "stream_log", "counts"),
)

USAGES = (
    *("{}", "null", '{"input_tokens":3,"output_tokens":null}', '{"input_tokens":true}', "7"),
    *('{"cache_read_input_tokens":-1}', '{"output_tokens":2.0}', '{"output_tokens":1e300}'),
)
STARTS = (
    *('{"type":"text","text":""}', '{"type":"text"}', '{"type":"text","text":"Hi"}'),
    *('{"type":"text","text":null}', '{"type":"thinking","thinking":"","signature":""}'),
    *('{"type":"tool_use","id":"t1","name":"Bash","input":{}}', '{"type":"tool_use","id":7}'),
    *('{"type":"tool_use","id":"t1","input":{"a":1}}', '{"type":"tool_use","input":""}'),
    *('{"type":"server_tool_use","id":"s"}', '{"type":"new"}', "{}", "null", '{"id":"t1"}'),
)
RESULTS = (
    *('{"tool_use_id":"t1","content":"x"}', '{"tool_use_id":"t1","content":"","is_error":true}'),
    *('{"tool_use_id":"t1","content":"x","is_error":null}', '{"tool_use_id":"","content":"x"}'),
    *('{"tool_use_id":"t1"}', '{"tool_use_id":"t1","content":[{"type":"text","text":"y"}]}'),
    *("[]", '"text"', '{"type":"text","text":"no result"}'),
)
PAYLOADS = (
    *((f'"message":{{"id":"m1","role":"r","usage":{u}}}', "message_start") for u in USAGES),
    *((f'"message":{m}', "message_start") for m in ('{"id":""}', '{"id":1}', "{}", "null", "[]")),
    *((f'"index":0,"content_block":{start}', "content_block_start") for start in STARTS),
    *((f'"index":{i}', "content_block_stop") for i in ("0", "1.0", "-1", "true", "null", '"0"')),
    *((f'"delta":{{"stop_reason":"x"}},"usage":{u}', "message_delta") for u in USAGES),
    *((f'"delta":{delta}', "message_delta") for delta in ("{}", "null", '{"stop_reason":1}', "[]")),
    *((f'"message":{{"content":[{result}]}}', "tool_result") for result in RESULTS),
    *((body, "tool_result") for body in ('"message":{}', '"message":null', '"tool_use_id":"t1"')),
    *((body, "message_stop") for body in ('"a":1', '"request_id":null', '"request_id":5')),
)


def line(kind: str, body: str, time: str = '"2026-01-02T03:04:05.678Z"') -> bytes:
    inner = f'{{"timestamp":{time},"payload":{{"type":"{kind}","request_id":"req_1",{body}}}}}'
    row = {
        "event": f"claude.{kind}",
        "line": f"data: {inner}",
        "round": "",
        "metadata": '{"pid":7,"cwd":"/w","ver":"v"}',
        "flow_id": "m1",
        "data_count": 3,
        "sid": "11111111-2222-4333-8444-555555555555",
    }
    return msgspec.json.encode(row)


def both(lines: list[bytes]) -> tuple[list[list[Decoded]], list[list[Decoded]]]:
    """What lines say by the short way and by the long one."""
    short = Decoder()
    found = [short.decode(one) for one in [line("ping", '"a":1'), *lines]]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sse_lines, "TYPED", {})
        long = Decoder()
        return found, [long.decode(one) for one in [line("ping", '"a":1'), *lines]]


@pytest.mark.parametrize(("body", "kind"), PAYLOADS)
def test_a_typed_payload_says_what_the_untyped_says(body: str, kind: str) -> None:
    short, long = both([line(kind, body), line(kind, body, '"2026-01-02T03:04:05"')])
    assert short == long


def test_the_usual_payloads_are_typed() -> None:
    lines = [one.encode() for one, _ in zip(Load(live=1).lines(), range(3_000), strict=False)]
    with pytest.MonkeyPatch.context() as patch:
        untyped: list[str] = []
        for name in typed.TYPED:
            patch.setitem(sse_lines.BUILDERS, name, lambda head, _: untyped.append(str(head.name)))
        decoder = Decoder()
        events = [event for one in lines for event in decoder.decode(one)]
    assert {type(event).__name__ for event in events} >= {"BlockStart", "ToolResults"}
    assert all(isinstance(event, Event) for event in events)
    assert len(untyped) <= 1  # the first line of a session is looked at closely


def test_the_first_line_of_a_session_takes_the_short_way_too() -> None:
    (step,) = Decoder().steps([line("message_stop", '"a":1')]).found
    assert isinstance(step, Event)


def test_a_stream_that_left_memory_is_not_appended_to() -> None:
    """The one that comes back from the store for the next line is another object."""
    state = State()
    folding, decoder = Fold(state), Decoder()
    for one in (line("message_start", '"message":{"id":"m1"}'), line("message_stop", '"a":1')):
        folding.line(decoder.decode(one))
    message = state.messages["m1"]
    assert message.stream is not None
    for _ in range(3):
        state.take_changes()
    message.touched = state.batch
    state.evict(state.batch, keep=0)
    assert not state.streams
    assert message.stream is None


ORDERS = ["as written", "mixed"]


@pytest.mark.parametrize("mix", each_nth(MIXES, 2))
def test_generated_lines_say_the_same(mix: str) -> None:
    short, long = both(scenario(random.Random(3), sessions=2, rounds=3, **MIXES[mix]))
    assert short == long


def stored(data_dir: Path) -> dict[str, list[tuple[object, ...]]]:
    conn = sqlite3.connect(database(data_dir))
    try:
        return {
            table: sorted(conn.execute(f"SELECT * FROM {table}").fetchall(), key=repr)
            for table in TABLES
        }
    finally:
        conn.close()


@pytest.mark.parametrize(
    ("mix", "order"),
    [*turns([*MIXES][1::2], ORDERS), *only_deep(*product([*MIXES][::2], ORDERS))],
)
def test_runs_store_what_single_deltas_store(mix: str, order: str, tmp_path: Path) -> None:
    """Every row with its clocks, whatever comes between the deltas of a block."""
    lines = scenario(random.Random(21), sessions=2, rounds=examples(3, 6), **MIXES[mix])
    log = tmp_path / "log.jsonl"
    log.write_bytes(joined(lines if order == "as written" else permute(lines, random.Random(4))))
    ingest(tmp_path / "short", [log])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sse_lines, "PLAIN", "no short way")
        ingest(tmp_path / "long", [log])
    assert stored(tmp_path / "short") == stored(tmp_path / "long")
