"""The streaming decoder says what the plain double decode says, in bounded memory."""

import json
import random
import tracemalloc
import zlib
from collections.abc import Iterator
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentmon.sources import json_pieces
from agentmon.sources.huge import Cut, HugeError, decode
from tests.deep import examples, turns
from tests.plain_decode import Kept, Object, Sinks, cut, one_result, plain, rows, texts, wrap


@settings(max_examples=examples(25, 400))
@given(raw=rows(), sizes=st.lists(st.integers(0, 30), max_size=60))
def test_any_row_in_any_pieces_says_what_the_plain_decode_says(
    raw: bytes, sizes: list[int]
) -> None:
    sinks = Sinks()
    event = decode(cut(raw, sizes), sinks)
    envelope, inner, results = plain(raw)
    assert json.dumps(event.envelope) == json.dumps(envelope)
    assert json.dumps(event.inner) == json.dumps(inner)
    found = [(result.tool_use_id, result.is_error) for result in event.results]
    assert found == [(tool_use_id, is_error) for tool_use_id, is_error, _ in results]
    assert texts(event) == [text for _, _, text in results]
    assert {id(result.sink) for result in event.results} == {id(sink) for sink in sinks.alive()}
    assert event.rest == b""


@settings(max_examples=examples(15, 200))
@given(data=st.data(), sizes=st.lists(st.integers(0, 9), max_size=30))
def test_long_strings_are_cut_and_results_are_not(data: st.DataObject, sizes: list[int]) -> None:
    raw = data.draw(rows())
    envelope, inner, results = plain(raw)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_pieces, "KEEP", 5)
        patch.setattr(json_pieces, "MAX_KEY", 64 << 10)
        event = decode(cut(raw, sizes), Sinks())
    assert _shortened(event.envelope) == _shortened(envelope)
    if event.inner is not None:
        assert _shortened(event.inner) == _shortened(inner)
        if all(len(result.encode()) <= 5 for result, _, _ in results):
            assert texts(event) == [text for _, _, text in results]


def _shortened(value: object) -> object:
    if isinstance(value, Cut):
        return f"cut {value.size}"
    if isinstance(value, str):
        return value if len(value.encode()) <= 5 else f"cut {len(value.encode())}"
    if isinstance(value, list):
        return [_shortened(each) for each in cast("list[object]", value)]
    if isinstance(value, dict):
        return {key: _shortened(each) for key, each in cast(Object, value).items()}
    return repr(value)


@given(raw=st.binary(max_size=200), sizes=st.lists(st.integers(0, 9), max_size=30))
def test_no_bytes_raise_anything_else(raw: bytes, sizes: list[int]) -> None:
    sinks = Sinks()
    try:
        decode(cut(raw, sizes), sinks)
    except HugeError:
        assert sinks.alive() == []


@given(raw=rows(), at=st.integers(0, 10_000), byte=st.integers(0, 255))
def test_a_changed_byte_raises_nothing_else(raw: bytes, at: int, byte: int) -> None:
    at %= len(raw)
    broken = raw[:at] + bytes([byte]) + raw[at + 1 :]
    sinks = Sinks()
    try:
        event = decode([broken[:at], broken[at:]], sinks)
    except HugeError:
        assert sinks.alive() == []
    else:
        assert len(event.results) == len(sinks.alive())


# One thing each


@pytest.mark.parametrize(("inner_ascii", "outer_ascii"), turns([False, True], [True, False]))
def test_escapes_survive_every_cut(inner_ascii: bool, outer_ascii: bool) -> None:
    text = 'a\n"\\\u2028é😀\ud83d x\udc00\ud83d\ud83d\ude00 end'
    wanted = 'a\n"\\\u2028é😀\ufffd x\udc00\ufffd😀 end'.replace("\udc00", "\ufffd")
    raw = wrap(one_result(text), inner_ascii=inner_ascii, outer_ascii=outer_ascii)
    ((_, _, plain_text),) = plain(raw)[2]
    # Raw surrogates are no UTF-8: each of their three bytes is replaced.
    assert (plain_text == wanted) is (inner_ascii or outer_ascii)
    for at in range(len(raw)):
        assert texts(decode([raw[:at], raw[at:]], Sinks())) == [plain_text]


def test_long_results_stream_into_their_sinks() -> None:
    rng = random.Random(7)
    text = "".join(rng.choice('abc \n\t"\\é😀') for _ in range(150_000))
    image = {"type": "image", "source": {"type": "base64", "data": "A" * 200_000}}
    listed = [
        {"content": text, "tool_use_id": "toolu_2", "is_error": True, "type": "tool_result"},
        {"tool_use_id": "toolu_3", "content": [image, {"text": text, "type": "text"}, image]},
        {"tool_use_id": "toolu_4"},
        {"content": "nobody's"},
    ]
    raw = wrap({"type": "tool_result", "message": {"role": "user", "content": listed}})
    sinks = Sinks()
    event = decode(cut(raw, [65_537] * 30), sinks)
    compact = json.dumps(image, separators=(",", ":"))
    assert [(result.tool_use_id, result.is_error) for result in event.results] == [
        ("toolu_2", True),
        ("toolu_3", False),
        ("toolu_4", False),
    ]
    assert texts(event) == [text, f"{compact}\n{text}\n{compact}", ""]
    assert len(sinks.alive()) == 3
    inner: Any = event.inner
    assert inner["payload"]["message"]["content"][0]["content"] == Cut(len(text.encode()))
    assert event.envelope == {"event": "claude.tool_result", "t": "x", "sid": "s", "data_count": 4}


def test_the_line_is_measured_and_summed() -> None:
    payload = one_result("é" * 100_000)
    raw = wrap(payload)
    line = json.loads(raw)["line"].encode()
    event = decode([raw], Sinks())
    assert (event.line_size, event.line_crc) == (len(line), zlib.crc32(line))


def test_a_long_delta_keeps_all_but_its_text() -> None:
    delta = {"type": "text_delta", "text": "é\n" * 60_000}
    payload = {"type": "content_block_delta", "index": 3, "delta": delta, "request_id": "req_1"}
    raw = wrap(payload).replace(b"claude.tool_result", b"claude.content_block_delta")
    sinks = Sinks()
    event = decode([raw], sinks)
    assert event.inner is not None
    cut_delta = {"type": "text_delta", "text": Cut(180_000)}
    assert event.inner["payload"] == {**payload, "delta": cut_delta}
    assert sinks.made == {}


def test_the_name_of_the_event_may_come_last() -> None:
    raw = wrap({"content": "x" * 100_000, "type": "queue_operation"})
    row = json.loads(raw)
    row["event"] = row.pop("event").replace("tool_result", "queue_operation")
    sinks = Sinks()
    event = decode([json.dumps(row).encode()], sinks)
    assert event.results == []
    assert [sink.is_discarded for sink in sinks.made.values()] == [True]
    row["event"] = "claude.tool_result"
    row["line"] = json.loads(wrap(one_result("text")))["line"]
    assert texts(decode([json.dumps(row).encode()], Sinks())) == ["text"]


def test_a_broken_inner_object_leaves_the_envelope() -> None:
    row = {"line": 'data: {"payload": {"type": "tool_result", "content": "abc', "event": "claude.x"}
    sinks = Sinks()
    event = decode([json.dumps({**row, "sid": "s"}).encode()], sinks)
    assert (event.envelope, event.inner, event.results) == (
        {"event": "claude.x", "sid": "s"},
        None,
        [],
    )
    assert sinks.alive() == []


def test_the_last_of_two_equal_keys_counts() -> None:
    first, second = (json.dumps(json.loads(wrap(one_result(text)))["line"]) for text in "ab")
    raw = f'{{"line":{first},"line":{second}}}'.encode()
    sinks = Sinks()
    assert texts(decode([raw], sinks)) == ["b"]
    assert len(sinks.alive()) == 1
    inner = '{"payload":{"type":"tool_result","content":"a","content":"b","tool_use_id":"t"}}'
    assert texts(decode([json.dumps({"line": inner}).encode()], Sinks())) == ["b"]


def test_what_is_glued_to_the_object_is_handed_back() -> None:
    raw = wrap(one_result("text"))
    event = decode(cut(raw + b' {"event":"next"}\r', [40] * 3), Sinks())
    assert event.rest == b'{"event":"next"}'
    with pytest.raises(HugeError, match="goes on"):
        decode([raw, *[b"x" * (1 << 20)] * 9], Sinks())


def test_a_hole_and_a_bom_before_the_object_are_skipped() -> None:
    raw = wrap(one_result("text"))
    for before in (b"\xef\xbb\xbf", b"\0" * 5000, b" \t"):
        assert texts(decode(cut(before + raw, [1, 1, 4000]), Sinks())) == ["text"]


def test_a_failing_sink_discards_all() -> None:
    class Full(Kept):
        def write(self, text: str) -> None:
            raise OSError(28, "No space left on device")

        def discard(self) -> None:
            super().discard()
            raise OSError(28, "No space left on device")

    made: list[Full] = []

    def new(key: str) -> Full:
        made.append(Full())
        return made[-1]

    with pytest.raises(OSError, match="No space"):
        decode([wrap(one_result("text"))], new)
    assert [sink.is_discarded for sink in made] == [True]


def test_a_part_without_early_type_is_judged_by_where_its_length_lies() -> None:
    long = "x" * 100_000
    late = [{"text": long, "type": "text"}, {"data": long, "type": "image"}]
    (text,) = texts(decode([wrap(one_result(late))], Sinks()))
    assert text == long + "\n" + json.dumps(late[1], separators=(",", ":"))


def test_a_hostile_structure_is_bounded() -> None:
    payload = [[{"a": ["b" * 500] * 10}] * 10] * 110
    event = decode([wrap(payload)], Sinks())
    assert event.inner is not None
    assert 5_000 < len(json.dumps(event.inner, default=lambda cut: cut.size)) < 4 << 20
    assert 5_000 < _values_in(event.inner) <= json_pieces.MAX_NODES
    many: list[object] = [{"tool_use_id": f"t{n}", "content": [n, "x"]} for n in range(4_000)]
    listed = {"type": "tool_result", "message": {"content": many}}
    event = decode([wrap(listed)], Sinks())
    assert [result.tool_use_id for result in event.results] == [f"t{n}" for n in range(4_000)]
    assert texts(event)[-1] == '3999\n"x"'


def _values_in(value: object) -> int:
    if isinstance(value, dict):
        value = [*cast(Object, value).values()]
    inner = cast("list[object]", value) if isinstance(value, list) else []
    return 1 + sum(map(_values_in, inner))


def test_memory_does_not_grow_with_the_line() -> None:
    class Counting(Kept):
        def write(self, text: str) -> None:
            assert len(text) < 1 << 20

    head, tail = wrap(one_result("MIDDLE")).split(b"MIDDLE")
    middle = ("some text, \\\\n é 😀 " * 6_000).encode()

    def pieces() -> Iterator[bytes]:
        yield head
        for _ in range(100):
            yield middle
        yield tail

    tracemalloc.start()
    try:
        event = decode(pieces(), lambda _: Counting())
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert event.results[0].size == 100 * len("some text, \n é 😀 ".encode()) * 6_000
    assert len(middle) * 100 > 12 << 20
    assert peak < 8 << 20
