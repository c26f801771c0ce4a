"""What a request tells, whatever the API: whose it is, and what came into the conversation."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, TypeAlias, cast
from uuid import UUID

import msgspec
from msgspec import Struct, field

from agentmon.capture import decoding

SIDE = "side"
"""The agent of requests that are nobody's turn: titles, summaries, labels."""

MAX_BODY = 64 << 20
"""Bytes of a body, once decompressed, beyond which it is not looked at."""

Object: TypeAlias = dict[str, Any]


class Came(Struct):
    """A step of a conversation as a request repeats it: a text that somebody typed, a tool's
    result (the payload of its event), a reply of the model, an interruption by the user."""

    what: Literal["prompt", "result", "reply", "interrupt"]
    text: str = ""
    """Of a prompt, itself; of a result, the id of its call."""
    payload: Object = field(default_factory=dict[str, Any])
    turn: int = 0
    """Texts of one turn that are new together are one prompt."""


class Asked(Struct, kw_only=True):
    """A request to a model. `agent` is "" for the main thread, `SIDE`, or a subagent's name."""

    product: Literal["claude", "codex"]
    sid: str | None
    """The session, None where the client names none."""
    agent: str = ""
    version: str = ""
    cwd: str = ""
    is_client: bool = False
    """Whether it is the product's own command line client, one session per process."""
    is_chat: bool = False
    """Whether the answer comes as chat completions."""
    is_whole: bool = True
    """Whether `came` is the whole conversation, not only what is new in it."""
    came: list[Came] = field(default_factory=list[Came])

    @property
    def has_history(self) -> bool:
        return any(one.what == "reply" for one in self.came)


def header(headers: Sequence[tuple[str, str]], name: str) -> str:
    """The first header of that name, in any case; "" where there is none."""
    found = next((value for key, value in headers if key.lower() == name), "")
    return clean(found)


def clean(text: str) -> str:
    """A text that can be written; bytes that are no UTF-8 come as lone surrogates."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def version_of(headers: Sequence[tuple[str, str]], *names: str) -> tuple[str, bool]:
    """(version, whether it is one of these clients) from `User-Agent: name/version (…)`."""
    agent = header(headers, "user-agent").split(" ", 1)[0][:200]
    name, _, version = agent.partition("/")
    return (version, True) if name in names else (agent, False)


def uuid_in(text: object) -> str | None:
    """The UUID that a text is, in its usual form."""
    try:
        return str(UUID(text)) if isinstance(text, str) and len(text) == 36 else None
    except ValueError:
        return None


_SESSION = re.compile(r"session_([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})")


def session_in(text: object) -> str | None:
    """The UUID in the older form of an id: `user_…_session_<uuid>`."""
    found = _SESSION.search(text) if isinstance(text, str) else None
    return found[1] if found else None


# -- JSON of others


def read(data: bytes | str | memoryview) -> object:
    """The JSON value, None where there is none. What the quick way refuses (lone surrogates, NaN)
    the standard library reads."""
    try:
        return msgspec.json.decode(data)
    except (msgspec.DecodeError, ValueError, RecursionError):
        pass
    text = data if isinstance(data, str) else bytes(data).decode("utf-8", "replace")
    try:
        return json.loads(text, strict=False)
    except (ValueError, RecursionError):
        return None


def mapping(value: object) -> Object:
    return cast(Object, value) if isinstance(value, dict) else {}


def objects(value: object) -> list[Object]:
    """The objects of a list; none of anything else."""
    found = cast("list[object]", value) if isinstance(value, list) else []
    return [cast(Object, one) for one in found if isinstance(one, dict)]


def text_of(value: object) -> str:
    return value if isinstance(value, str) else ""


def texts(message: Object) -> list[str]:
    """The texts of a message, block by block."""
    content = message.get("content")
    if isinstance(content, str):
        return [content]
    return [text for part in objects(content) if (text := text_of(part.get("text")))]


def found_in(messages: Iterable[Object], role: str, pattern: re.Pattern[str]) -> str:
    """What the pattern's group is in the first message of a role that has it; "" where none is."""
    for message in messages:
        if message.get("role") == role:
            for text in texts(message):
                if found := pattern.search(text):
                    return found[1].strip()
    return ""


_LONG = 4_096


def without_media(value: object) -> object:
    """A result's content without the bytes of pictures: a note of their size stands for them."""
    if isinstance(value, list):
        return [without_media(one) for one in cast("list[object]", value)]
    if not isinstance(value, dict):
        return value
    found = cast(Object, value)
    if found.get("type") in ("base64", "input_image"):
        return {key: _short(one) for key, one in found.items()}
    if "source" in found:
        return {**found, "source": without_media(found["source"])}
    return found


def _short(value: object) -> object:
    is_long = isinstance(value, str) and len(value) > _LONG
    return f"[{len(cast(str, value))} bytes cut]" if is_long else value


def whole(headers: Sequence[tuple[str, str]], body: bytes) -> object:
    """The JSON of a request's body, None where it can't be read."""
    if len(body) > MAX_BODY:
        return None
    try:
        return read(decoding.decoded(body, header(headers, "content-encoding")))
    except decoding.Undecodable:
        return None


def as_result(call: str, content: object, more: Mapping[str, object]) -> Came:
    """A tool's result."""
    payload = {"type": "tool_result", "tool_use_id": call, "content": without_media(content)}
    return Came("result", call, {**payload, **more})
