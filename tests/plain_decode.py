"""Huge lines decoded the plain way, rows to try it on, and sinks that keep what they get."""

import hashlib
import json
from collections.abc import Iterator
from typing import Any, cast

from hypothesis import strategies as st

from agentmon.sources.huge import HugeEvent
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
