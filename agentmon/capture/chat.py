"""Chat completions, which most clients besides Codex speak: told as events of the Responses API.

Logs and their readers know no chunks of a chat; an answer is the same words in both forms. Its
sequence numbers and the ids of its items are made up.
"""

from collections.abc import Iterator, Sequence

from msgspec import Struct, field

from agentmon.capture.asked import (
    MAX_BODY,
    Asked,
    Came,
    Object,
    as_result,
    header,
    mapping,
    objects,
    text_of,
    texts,
    uuid_in,
    version_of,
    whole,
)

_REASONING = ("reasoning_content", "reasoning")
"""What servers call the thoughts of a model."""

_CUT = {"length": "max_output_tokens", "content_filter": "content_filter"}

MAX_ITEMS = 128
"""Tool calls of one answer that are told."""


def asked(headers: Sequence[tuple[str, str]], body: bytes) -> Asked:
    """What a request to `/chat/completions` tells. Never raises."""
    row = mapping(whole(headers, body))
    version, _ = version_of(headers)
    return Asked(
        product="codex",
        sid=uuid_in(header(headers, "session-id")),
        version=version,
        is_chat=True,
        came=list(_came(objects(row.get("messages")))),
    )


def _came(messages: list[Object]) -> Iterator[Came]:
    for turn, message in enumerate(messages):
        role, call = message.get("role"), text_of(message.get("tool_call_id"))
        if role == "assistant":
            yield Came("reply")
        elif role == "tool" and call:
            yield as_result(call, message.get("content"), {})
        elif role == "user":
            for text in filter(None, texts(message)):
                yield Came("prompt", text, turn=turn)


class _Item(Struct):
    """A part of the answer, as far as it came."""

    kind: str
    id: str
    name: str = ""
    call: str = ""
    parts: list[str] = field(default_factory=list[str])

    def as_item(self, *, is_done: bool) -> Object:
        text = "".join(self.parts) if is_done else ""
        status = "completed" if is_done else "in_progress"
        if self.kind == "function_call":
            call: Object = {"call_id": self.call, "name": self.name, "arguments": text}
            return {"id": self.id, "type": self.kind, "status": status, **call}
        if self.kind == "reasoning":
            thought = [{"type": "reasoning_text", "text": text}] if is_done else []
            return {"id": self.id, "type": self.kind, "summary": [], "content": thought}
        part: Object = {"type": "output_text", "text": text, "annotations": []}
        said = [part] if is_done else []
        return {
            "id": self.id,
            "type": self.kind,
            "role": "assistant",
            "status": status,
            "content": said,
        }


class Chat:
    """One answer: takes its chunks, gives the events that say the same."""

    def __init__(self) -> None:
        self._id, self._model = "", ""
        self._items: list[_Item] = []
        self._calls: dict[object, int] = {}
        """The item of each tool call, by its index."""
        self._finish, self._usage = "", dict[str, object]()
        self._sequence = 0
        self._size = 0
        """Characters held for the end, which repeats them."""

    def chunk(self, row: Object) -> list[Object]:
        """A chunk of a stream, or a whole answer."""
        if isinstance(row.get("error"), dict):
            return [{"type": "error", "error": row["error"]}]
        out = [] if self._id else [self._begin(row)]
        if found := mapping(row.get("usage")):
            self._usage = found
        choice, *_ = [*objects(row.get("choices")), Object()]
        if choice.get("index", 0) == 0:
            out += self._said(mapping(choice.get("delta") or choice.get("message")))
            self._finish = text_of(choice.get("finish_reason")) or self._finish
        return out

    def end(self) -> list[Object]:
        """The last events; none where the answer was cut off."""
        if not self._finish:
            return []
        items = [one.as_item(is_done=True) for one in self._items]
        done = "response.output_item.done"
        out = [self._event(done, output_index=at, item=one) for at, one in enumerate(items)]
        cut = _CUT.get(self._finish)
        response = self._response("incomplete" if cut else "completed")
        response["output"] = items
        response["usage"] = _usage(self._usage)
        if cut:
            response["incomplete_details"] = {"reason": cut}
        self._finish = ""
        kind = "response.incomplete" if cut else "response.completed"
        return [*out, self._event(kind, response=response)]

    def _begin(self, row: Object) -> Object:
        self._id, self._model = text_of(row.get("id"))[:200] or "chat", text_of(row.get("model"))
        return self._event("response.created", response=self._response("in_progress"))

    def _response(self, status: str) -> Object:
        made: Object = {"id": self._id, "object": "response", "model": self._model}
        return {**made, "status": status, "output": []}

    def _event(self, kind: str, **more: object) -> Object:
        self._sequence += 1
        return {"type": kind, "sequence_number": self._sequence - 1, **more}

    def _said(self, delta: Object) -> list[Object]:
        out: list[Object] = []
        for name in _REASONING:
            if thought := text_of(delta.get(name)):
                out += self._text("reasoning", "response.reasoning_text.delta", thought)
                break
        if said := text_of(delta.get("content")):
            out += self._text("message", "response.output_text.delta", said)
        for call in objects(delta.get("tool_calls")):
            out += self._call(call)
        return out

    def _text(self, kind: str, event: str, text: str) -> list[Object]:
        out: list[Object] = []
        if not self._items or self._items[-1].kind != kind:
            out.append(self._added(_Item(kind, f"{kind}_{self._id}_{len(self._items)}")))
        return [*out, self._delta(len(self._items) - 1, event, text, content_index=0)]

    def _call(self, call: Object) -> list[Object]:
        out: list[Object] = []
        function, key = mapping(call.get("function")), str(call.get("index", call.get("id")))
        at = self._calls.get(key)
        if at is None:
            if len(self._items) >= MAX_ITEMS:
                return out
            at = self._calls[key] = len(self._items)
            name, given = text_of(function.get("name")), text_of(call.get("id"))
            item = _Item("function_call", f"fc_{self._id}_{at}", name, given or f"call_{at}")
            out.append(self._added(item))
        if text := text_of(function.get("arguments")):
            out.append(self._delta(at, "response.function_call_arguments.delta", text))
        return out

    def _added(self, item: _Item) -> Object:
        self._items.append(item)
        place = len(self._items) - 1
        begun = item.as_item(is_done=False)
        return self._event("response.output_item.added", output_index=place, item=begun)

    def _delta(self, at: int, event: str, text: str, **more: object) -> Object:
        item = self._items[at]
        if self._size < MAX_BODY:
            item.parts.append(text)
            self._size += len(text)
        return self._event(event, item_id=item.id, output_index=at, **more, delta=text)


def _usage(found: Object) -> Object:
    cached = mapping(found.get("prompt_tokens_details")).get("cached_tokens")
    thought = mapping(found.get("completion_tokens_details")).get("reasoning_tokens")
    return {
        "input_tokens": found.get("prompt_tokens"),
        "input_tokens_details": {"cached_tokens": cached},
        "output_tokens": found.get("completion_tokens"),
        "output_tokens_details": {"reasoning_tokens": thought},
        "total_tokens": found.get("total_tokens"),
    }
