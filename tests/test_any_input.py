"""Any bytes, and any order of them: nothing raises, nothing depends on what came before."""

import json
import random
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from agentmon.core.events import Delta, Event, Malformed
from agentmon.core.runs import Run
from agentmon.sources import payloads
from agentmon.sources.sse_lines import Decoder
from tests.deep import examples, only_deep
from tests.differential import assert_same, dumped, ingest
from tests.feeds import call_block, changes, snapshot, write
from tests.generate import permute, scenario, scenarios
from tests.wire import SID, START, TEXT, Payload, encoded, message

# -- the decoder takes any bytes

SCALARS = (
    st.none()
    | st.booleans()
    | st.sampled_from([0, 1, -1, 5, 1.0, 0.5, -0.0, 1e400, 2**31, 2**53, 2**63, 2**64, 10**30])
    | st.sampled_from(["", "0", "-7", "2" * 30, SID, SID.upper(), "unknown", "m1", "\ud83d", "\0"])
    | st.text(max_size=8)
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=6,
)
STAMPS = st.sampled_from(
    [
        *("2025-11-21T13:00:00.123Z", "2025-11-21T13:00:00Z", "2025-11-21T13:00:00.123+07:00"),
        *("2025-11-21T13:00:00.123456Z", "2025-11-21T24:00:00.000Z", "0001-01-01T00:00:00.000Z"),
        *("9999-12-31T23:59:59.999Z", "2025-11-21 13:00:00", "2025-11-21", "yesterday", ""),
    ]
)
KINDS = st.sampled_from(
    [
        *sorted(name.removeprefix("claude.") for name in payloads.BUILDERS),
        *("content_block_delta", "content_block_start", "message_start", "brand_new", ""),
    ]
)
DELTAS = st.fixed_dictionaries(
    {"type": st.sampled_from(["text_delta", "thinking_delta", "input_json_delta", "other"])},
    optional=dict.fromkeys(("text", "thinking", "partial_json"), VALUES),
)
PAYLOADS = st.fixed_dictionaries(
    {},
    optional={
        "index": VALUES,
        "delta": DELTAS | VALUES,
        "content_block": VALUES | st.just(call_block("t1")) | st.just(TEXT),
        "message": VALUES | st.just(message("m1", output_tokens=1)),
        "usage": st.dictionaries(
            st.sampled_from(["input_tokens", "output_tokens"]), SCALARS, max_size=2
        ),
        "content": VALUES,
        "request_id": VALUES,
        "tool_use_id": VALUES,
        "prompt": VALUES,
        "message_uuid": VALUES,
        "background_tasks": VALUES,
        "operation": VALUES,
        "source": VALUES,
        "reason": VALUES,
    },
)


@st.composite
def rows(draw: st.DrawFn, kinds: st.SearchStrategy[str] = KINDS) -> bytes:
    """A line that looks like the wire's, with odd values in any place."""
    kind = draw(kinds)
    payload: Payload = {"type": kind, **draw(PAYLOADS)}
    inner: Payload = {"timestamp": draw(STAMPS | VALUES), "payload": payload}
    prefix = draw(st.sampled_from(["data: ", "data: ", "data:", "", "event: ", "tada: "]))
    row: Payload = {"event": f"claude.{kind}", "line": prefix + encoded(inner)}
    row |= draw(
        st.fixed_dictionaries(
            {"sid": st.just(SID) | VALUES, "flow_id": st.just("m1") | VALUES},
            optional={
                "metadata": st.just('{"ver":"1","pid":7,"cwd":"/w"}') | st.just("{}") | VALUES,
                "t": STAMPS | VALUES,
                "round": VALUES,
                "data_count": SCALARS,
                "pid": SCALARS,
                "cwd": SCALARS,
                "line": VALUES,
            },
        )
    )
    return json.dumps(row, separators=(",", ":"), ensure_ascii=draw(st.booleans())).encode(
        "utf-8", "surrogatepass"
    )


@st.composite
def delta_rows(draw: st.DrawFn) -> bytes:
    """A delta's line in which a few things are odd, which the short way may or may not take."""
    payload: Payload = {"type": "content_block_delta", "index": draw(st.just(0) | SCALARS)}
    payload["delta"] = draw(DELTAS)
    payload["request_id"] = draw(st.just("r1") | SCALARS)
    inner = {"timestamp": draw(STAMPS), "payload": payload}
    row: Payload = {
        "event": "claude.content_block_delta",
        "line": draw(st.sampled_from(["data: ", "data:", "event:"])) + encoded(inner),
        "metadata": draw(st.sampled_from(['{"pid":7}', '{"agent":"a1"}', "{}", "[]", ""])),
        "flow_id": draw(st.just("m1") | SCALARS),
        "data_count": draw(st.just(3) | SCALARS),
        "sid": SID,
    }
    row |= draw(st.fixed_dictionaries({}, optional=dict.fromkeys(("round", "pid", "cwd"), SCALARS)))
    return encoded(row).encode("utf-8", "surrogatepass")


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A row with bytes replaced, cut out, or put in."""
    line = draw(rows())
    for _ in range(draw(st.integers(1, 3))):
        at, end = sorted((draw(st.integers(0, len(line))), draw(st.integers(0, len(line)))))
        line = line[:at] + draw(st.binary(max_size=4)) + line[min(end, at + 5) :]
    return line


ANY_LINE = (st.binary() | rows() | damaged()).map(lambda line: line.replace(b"\n", b" "))
many = settings(max_examples=examples(16, 150))
some = settings(max_examples=examples(5, 40))


@given(ANY_LINE)
@example(b"")
@example(b"[" * 100_000)
@example(b'{"a":' * 100_000)
@example(b'{"line":"data: ' + b"[" * 100_000 + b'"}')
@example(b"\xff" * 100)
@example(b'{"event":"claude.ping","sid":1e999}')
@many
def test_any_bytes_become_values(line: bytes) -> None:
    found = Decoder().decode(line)
    assert all(isinstance(event, Event | Malformed) for event in found)
    assert bool(found) or not line.strip(b" \t\r\n\x00\xef\xbb\xbf")
    Decoder().steps([line])


def delta_line(**changed: object) -> bytes:
    payload: Payload = {"type": "content_block_delta", "index": 0, "request_id": "r1"}
    payload["delta"] = {"type": "text_delta", "text": "x"}
    inner = {"timestamp": "2025-11-21T13:00:00.000Z", "payload": payload}
    line = changed.pop("prefix", "data: ")
    row: Payload = {"event": "claude.content_block_delta", "line": f"{line}{encoded(inner)}"}
    row |= {"metadata": '{"pid":7}', "flow_id": "m1", "data_count": 3, "sid": SID, **changed}
    return encoded(row).encode()


def both_ways(line: bytes) -> tuple[Delta | None, list[Event | Malformed]]:
    return short_way(warm_decoder(), line), Decoder().decode(line)


def warm_decoder() -> Decoder:
    """One that has seen this session already, and so may take its short ways."""
    decoder = Decoder()
    decoder.decode(delta_line())
    short_way(decoder, delta_line())
    return decoder


def short_way(decoder: Decoder, line: bytes) -> Delta | None:
    """What a line says alone, if it is taken for a plain delta."""
    (step,) = decoder.steps([line]).found
    return next(step.events()) if isinstance(step, Run) else None


@given(delta_rows() | rows(st.just("content_block_delta")))
@example(delta_line())
@example(delta_line(prefix="tada: "))
@example(delta_line(pid="9", cwd="/top"))
@example(delta_line(metadata="{}", pid="9"))
@example(delta_line(round=""))
@example(delta_line(data_count=2**70))
@many
def test_the_short_way_and_the_long_one_say_the_same(line: bytes) -> None:
    short, long = both_ways(line)
    assert short is None or long == [short]


@given(rows() | damaged())
@example(delta_line(prefix="tada: "))
@example(delta_line(metadata="{}", pid="9"))
@many
def test_what_came_before_does_not_change_what_a_line_says(line: bytes) -> None:
    assert warm_decoder().decode(line) == Decoder().decode(line)


def test_the_short_way_is_taken() -> None:
    """Else the property above would hold for a `delta` that always gives up."""
    short, long = both_ways(delta_line())
    assert short is not None
    assert (short.text, short.index, short.count, short.time) == ("x", 0, 3, START / 1000)
    assert long == [short]


@given(lines=st.lists(ANY_LINE, max_size=5))
@example(lines=[delta_line(data_count=2**70)])
@example(lines=[delta_line(data_count=-(2**63))])
@some
def test_any_lines_can_be_stored(
    lines: list[bytes], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("any")
    ingest(folder / "data", [write(folder / "log.jsonl", lines)])
    found = dumped(folder / "data")
    ingest(folder / "data", [folder / "log.jsonl"])
    assert_same(dumped(folder / "data"), found)


@pytest.mark.parametrize("form", ["current", *only_deep("old", "two-line")])
def test_the_short_way_changes_no_dump(
    form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = random.Random(form)
    lines = scenario(
        rng, form=form, sessions=3, scrambled=0.3, misattributed=0.4, duplicates=0.2, cut=0.1
    )
    log = write(tmp_path / "log.jsonl", lines)
    ingest(tmp_path / "short", [log])
    monkeypatch.setattr("agentmon.sources.sse_lines.PLAIN", "no short way")
    ingest(tmp_path / "long", [log])
    assert changes(snapshot(tmp_path / "short"), snapshot(tmp_path / "long")) == []
    ingest(tmp_path / "short", [write(tmp_path / "copy.jsonl", lines)])
    assert dumped(tmp_path / "short")[:-1] == dumped(tmp_path / "long")[:-1]


# -- any order of arrival


@given(lines=scenarios(), seed=st.integers(0, 2**32 - 1))
@some
def test_any_order_that_keeps_the_streams_gives_the_same_dump(
    lines: list[bytes], seed: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("order")
    ingest(folder / "one", [write(folder / "one.jsonl", lines)])
    ingest(folder / "two", [write(folder / "two.jsonl", permute(lines, random.Random(seed)))])
    assert_same(dumped(folder / "two"), dumped(folder / "one"))
