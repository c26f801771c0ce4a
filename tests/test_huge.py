"""The streaming decoder says what the plain double decode says, in bounded memory."""

import hashlib
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
from agentmon.sources.huge import Cut, HugeError, HugeEvent, decode
from agentmon.sources.json_pieces import JsonError, JsonReader, Tree
from agentmon.sources.payloads import result_text, scrub

Object = dict[str, Any]


class Kept:
    """A sink that keeps what it gets."""

    def __init__(self) -> None:
        self.text = ""
        self.is_discarded = False

    def write(self, text: str) -> None:
        assert not self.is_discarded
        self.text += text

    def discard(self) -> None:
        assert not self.is_discarded
        self.is_discarded = True


class Sinks:
    def __init__(self) -> None:
        self.made: dict[str, Kept] = {}

    def __call__(self, key: str) -> Kept:
        assert key not in self.made
        self.made[key] = Kept()
        return self.made[key]

    def alive(self) -> list[Kept]:
        return [sink for sink in self.made.values() if not sink.is_discarded]


def cut(data: bytes, sizes: list[int]) -> Iterator[bytes]:
    start = 0
    for size in sizes:
        yield data[start : start + size]
        start += size
    yield data[start:]


def texts(event: HugeEvent) -> list[str]:
    found: list[str] = []
    for result in event.results:
        assert isinstance(result.sink, Kept)
        data = result.sink.text.encode()
        assert (len(data), hashlib.sha256(data).hexdigest()) == (result.size, result.sha256)
        found.append(result.sink.text)
    return found


def wrap(payload: object, *, inner_ascii: bool = False, outer_ascii: bool = False) -> bytes:
    inner = {"timestamp": "2025-11-21T13:00:01.518Z", "type": "event_msg", "payload": payload}
    line = "data: " + json.dumps(inner, ensure_ascii=inner_ascii)
    row = {"event": "claude.tool_result", "t": "x", "line": line, "sid": "s", "data_count": 4}
    return json.dumps(row, ensure_ascii=outer_ascii).encode("utf-8", "surrogatepass")


def one_result(content: object, **more: object) -> Object:
    return {"type": "tool_result", "tool_use_id": "toolu_1", "content": content, **more}


# Against the plain way

chars = st.one_of(
    st.sampled_from(list('\ud83d\ude00\udc00\n\t\\"/u\u2028é😀\x00\x7f{}[]:,')),
    st.characters(exclude_categories=()),
)
words = st.text(chars, max_size=12)
values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), words),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(words, inner, max_size=4)),
    max_leaves=8,
)
parts = st.one_of(
    values,
    st.fixed_dictionaries({"type": st.just("text"), "text": words}),
    st.fixed_dictionaries({"text": words, "type": st.sampled_from(["text", "image"])}),
    st.fixed_dictionaries({"type": st.just("text"), "text": values, "extra": values}),
)
contents = st.one_of(values, words, st.lists(parts, max_size=4))
ids = st.one_of(st.sampled_from(["toolu_1", "toolu_2", ""]), values)


@st.composite
def shuffled(draw: st.DrawFn, fields: dict[str, st.SearchStrategy[Any]]) -> Object:
    names = draw(st.permutations(sorted(fields)))
    left_out = draw(st.sets(st.sampled_from(names), max_size=2))
    return {name: draw(fields[name]) for name in names if name not in left_out}


results = shuffled({"tool_use_id": ids, "content": contents, "is_error": values, "type": values})
kinds = st.sampled_from(["tool_result", "content_block_delta", 5])
messages = st.one_of(
    values,
    st.fixed_dictionaries({"role": words, "content": st.one_of(values, st.lists(results))}),
)
payloads = st.one_of(
    values,
    shuffled({"type": kinds, "message": messages}),
    shuffled({"type": kinds, "tool_use_id": ids, "content": contents, "is_error": values}),
    shuffled({"type": kinds, "message": messages, "content": contents, "tool_use_id": ids}),
)
events = st.sampled_from(["claude.tool_result", "claude.queue_operation", "", 7])


@st.composite
def rows(draw: st.DrawFn) -> bytes:
    inner = draw(st.one_of(values, shuffled({"timestamp": words, "payload": payloads})))
    prefix = draw(st.sampled_from(["data: ", "data:", "", "event: "]))
    line = prefix + json.dumps(inner, ensure_ascii=draw(st.booleans()))
    text_of_line = st.just(line)
    row = draw(shuffled({"line": text_of_line, "event": events, "sid": words, "more": values}))
    return json.dumps(row, ensure_ascii=draw(st.booleans())).encode("utf-8", "surrogatepass")


def plain(raw: bytes) -> tuple[Object, Object | None, list[tuple[str, bool, str]]]:
    """Everything at once with json.loads: envelope, inner object, tool results."""
    envelope = as_object(scrub(json.loads(raw.decode("utf-8", "replace"), strict=False))) or {}
    line = envelope.pop("line", None)
    inner: Object | None = None
    if isinstance(line, str):
        body = line[6:] if line.startswith("data: ") else line.removeprefix("data:")
        try:
            inner = as_object(scrub(json.loads(body, strict=False)))
        except ValueError:
            inner = None
    if inner is None:
        return envelope, None, []
    return envelope, inner, plain_results(envelope.get("event"), as_object(inner.get("payload")))


def as_object(value: object) -> Object | None:
    return cast(Object, value) if isinstance(value, dict) else None


def plain_results(event: object, payload: Object | None) -> list[tuple[str, bool, str]]:
    if payload is None:
        return []
    kind = payload.get("type")
    if not (
        event == "claude.tool_result" if isinstance(event, str) and event else kind == "tool_result"
    ):
        return []
    message = as_object(payload.get("message"))
    listed = message.get("content") if message is not None else [payload]
    found: list[tuple[str, bool, str]] = []
    for each in cast("list[object]", listed) if isinstance(listed, list) else []:
        part = as_object(each) or {}
        tool_use_id = part.get("tool_use_id")
        if isinstance(tool_use_id, str) and tool_use_id:
            text = result_text(part.get("content"))
            found.append((tool_use_id, part.get("is_error") is True, text))
    return found


@settings(max_examples=400, deadline=None)
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


@settings(max_examples=200, deadline=None)
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


@given(value=values, is_ascii=st.booleans(), sizes=st.lists(st.integers(0, 5), max_size=40))
def test_the_reader_reads_what_json_reads(value: object, is_ascii: bool, sizes: list[int]) -> None:
    text = json.dumps(value, ensure_ascii=is_ascii, indent=1)
    tree = Tree()
    reader = JsonReader(tree)
    start = 0
    for size in sizes:
        reader.feed(text[start : start + size])
        start += size
    reader.feed(text[start:])
    reader.close()
    assert json.dumps(tree.value) == json.dumps(scrub(json.loads(text)))


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "{",
        "[",
        "]",
        "{]",
        "[}",
        "[,]",
        "[1,]",
        "{,}",
        '{"a"}',
        '{"a":}',
        '{"a":1,}',
        "{1:2}",
        *["tru", "1 2", "[1 2]", '"', '"\\x"', '"\\u12"', '"\\', "'a'", "nul", "-", "01", "[1,,2]"],
        *[
            '{"a" "b"}',
            '{"a",1}',
            "[" * 600,
            ":",
            ",",
            "[:]",
            '{"a":1 "b":2}',
            "\ufeff1",
            "[\xa01]",
        ],
    ],
)
@pytest.mark.parametrize("step", [1, 3, 1000])
def test_what_is_not_json_is_refused(text: str, step: int) -> None:
    reader = JsonReader(Tree())
    with pytest.raises(JsonError):
        _read_all(reader, text, step)


def _read_all(reader: JsonReader, text: str, step: int) -> None:
    for start in range(0, len(text), step):
        reader.feed(text[start : start + step])
    reader.close()
    if reader.rest.strip():
        raise JsonError("more than one value")


# One thing each


def test_escapes_survive_every_cut() -> None:
    text = 'a\n"\\\u2028é😀\ud83d x\udc00\ud83d\ud83d\ude00 end'
    wanted = 'a\n"\\\u2028é😀\ufffd x\udc00\ufffd😀 end'.replace("\udc00", "\ufffd")
    for inner_ascii in (False, True):
        for outer_ascii in (False, True):
            raw = wrap(one_result(text), inner_ascii=inner_ascii, outer_ascii=outer_ascii)
            ((_, _, plain_text),) = plain(raw)[2]
            # Raw surrogates are no UTF-8: each of their three bytes is replaced.
            assert (plain_text == wanted) is (inner_ascii or outer_ascii)
            for at in range(len(raw)):
                assert texts(decode([raw[:at], raw[at:]], Sinks())) == [plain_text]


def test_long_results_stream_into_their_sinks() -> None:
    rng = random.Random(7)
    text = "".join(rng.choice('abc \n\t"\\é😀') for _ in range(300_000))
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
    payload = [[{"a": ["b" * 1000] * 10}] * 10] * 300
    event = decode([wrap(payload)], Sinks())
    assert event.inner is not None
    assert 5_000 < len(json.dumps(event.inner, default=lambda cut: cut.size)) < 12 << 20
    many: list[object] = [{"tool_use_id": f"t{n}", "content": [n, "x"]} for n in range(9_000)]
    listed = {"type": "tool_result", "message": {"content": many}}
    event = decode([wrap(listed)], Sinks())
    assert [result.tool_use_id for result in event.results] == [f"t{n}" for n in range(9_000)]
    assert texts(event)[-1] == '8999\n"x"'


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
