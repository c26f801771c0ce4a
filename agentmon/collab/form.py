"""The form of a message between agents, and what is refused.

    {"message_id": "6f1c…", "from": "api", "to": ["web"], "type": "message",
     "timestamp": 1764360000.5, "content": {"subject": "…", "body": "…"},
     "work_completed": …, "context_understanding": …,
     "thread_id": "…", "reply_to": "…", "priority": "normal", "ack_required": false}

Everything after `content` may be left out. What a text says is data; only its being text, and the
size of the whole, are checked. Pure.
"""

import json
import math
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple, cast

LIMIT_BYTES = 1 << 20
"""Of a message as compact JSON in UTF-8, all its fields together."""

EVERYBODY = "*"
PRIORITIES = ("low", "normal", "high", "urgent")
LONGEST_NAME = 200
LONGEST_TYPE = 64
MOST_RECEIVERS = 1000
MOST_DEPTH = 64
"""Lists and objects inside each other, in the two fields that take any JSON."""

_LAST_SECOND = 253_402_300_799.0  # of the year 9999
_REQUIRED = ("message_id", "from", "to", "type", "timestamp", "content")
_OPTIONAL = (
    "work_completed",
    "context_understanding",
    "thread_id",
    "reply_to",
    "priority",
    "ack_required",
)
_CONTENT = ("subject", "body")
_CONTROL = "[\x00-\x1f\x7f-\x9f\u2028\u2029]"
_HALF = "[\ud800-\udfff]"


class MessageError(ValueError):
    """What is wrong with a message, in one sentence; `field` is the part that is wrong, with dots
    (`content.subject`)."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}")
        self.field = field
        self.reason = reason


class Message(NamedTuple):
    """A message that has the form. `timestamp` is epoch seconds by the sender's clock; `to` is
    names, `("*",)` for everybody, or nothing: then it is for the thread."""

    message_id: str
    sender: str
    to: tuple[str, ...]
    type: str
    timestamp: float
    subject: str
    body: str
    work_completed: Any = None
    context_understanding: Any = None
    thread_id: str | None = None
    reply_to: str | None = None
    priority: str = "normal"
    ack_required: bool = False


def name(value: object, field: str, most: int = LONGEST_NAME) -> str:
    """A name or id: 1 to `most` characters, none of them a control character. Raises
    MessageError."""
    text = _text(value, field)
    if not text.strip():
        raise MessageError(field, "must not be empty")
    if len(text) > most:
        raise MessageError(field, f"has {len(text):,} characters, at most {most} are allowed")
    if not text.isprintable() and (found := re.search(_CONTROL, text)) is not None:
        raise MessageError(field, f"must not hold the control character U+{ord(found[0]):04X}")
    return text


def agent_name(value: object, field: str) -> str:
    """The name of one agent. Raises MessageError."""
    text = name(value, field)
    if text == EVERYBODY:
        raise MessageError(field, f"{EVERYBODY} is everybody, not the name of an agent")
    return text


def receivers(value: object, field: str = "to") -> tuple[str, ...]:
    """One name, several, or everybody; each once. Raises MessageError."""
    if isinstance(value, str):
        return (name(value, field),)
    if not isinstance(value, list | tuple):
        raise MessageError(field, f"must be a name or a list of names, not {_kind(value)}")
    given = cast("list[object]", value)
    if len(given) > MOST_RECEIVERS:
        raise MessageError(field, f"has {len(given):,} names, at most {MOST_RECEIVERS:,}")
    names = (name(one, f"{field}[{number}]") for number, one in enumerate(given))
    found = tuple(dict.fromkeys(names))
    return (EVERYBODY,) if EVERYBODY in found else found


def parse(raw: str | bytes | Mapping[str, object], limit_bytes: int = LIMIT_BYTES) -> Message:
    """The message in JSON, or in an object of that form. Raises MessageError."""
    if isinstance(raw, str | bytes):
        if len(raw) > limit_bytes:
            raise _too_large(len(raw), limit_bytes)
        raw = decoded(raw)
    _keys(raw, "", _REQUIRED, _OPTIONAL)
    content = _object(raw["content"], "content")
    _keys(content, "content.", _CONTENT, ())
    message = Message(
        message_id=name(raw["message_id"], "message_id"),
        sender=agent_name(raw["from"], "from"),
        to=receivers(raw["to"]),
        type=name(raw["type"], "type", LONGEST_TYPE),
        timestamp=_moment(raw["timestamp"]),
        subject=_text(content["subject"], "content.subject"),
        body=_text(content["body"], "content.body"),
        work_completed=_json(raw.get("work_completed"), "work_completed"),
        context_understanding=_json(raw.get("context_understanding"), "context_understanding"),
        thread_id=_maybe_name(raw, "thread_id"),
        reply_to=_maybe_name(raw, "reply_to"),
        priority=_priority(raw.get("priority")),
        ack_required=_flag(raw.get("ack_required"), "ack_required"),
    )
    if not message.to and message.thread_id is None and message.reply_to is None:
        raise MessageError("to", "must name a receiver where there is no thread_id and no reply_to")
    if (size := len(encode(message))) > limit_bytes:
        raise _too_large(size, limit_bytes)
    return message


def _several(to: object) -> object:
    """Any collection of names as a list; who calls may not be typed."""
    if isinstance(to, Iterable) and not isinstance(to, str):
        return list(cast("Iterable[object]", to))
    return to


def compose(
    agent: str,
    to: str | Iterable[str] | None,
    message: str | Mapping[str, object],
    *,
    message_id: str,
    now: float,
    limit_bytes: int = LIMIT_BYTES,
) -> Message:
    """What an agent says, made a whole message: a bare text is its body, and id, sender, receiver,
    type, time and subject are filled in where they are left out. Raises MessageError."""
    given: dict[str, object] = (
        {"content": {"body": message}}
        if isinstance(message, str)
        else dict(_object(message, "message"))
    )
    if (content := given.get("content")) is not None:
        given["content"] = {"subject": "", **_object(content, "content")}
    if given.setdefault("from", agent) != agent:
        raise MessageError("from", f"is {given['from']!r}, but it is {agent!r} who sends")
    if to is not None:
        wanted = receivers(_several(to))
        if "to" in given and receivers(given["to"]) != wanted:
            raise MessageError("to", "says something else than the receiver that was given")
        given["to"] = list(wanted)
    filled: dict[str, object] = {
        "to": (),
        "message_id": message_id,
        "type": "message",
        "timestamp": now,
    }
    return parse({**filled, **given}, limit_bytes)


def as_form(message: Message) -> dict[str, Any]:
    """The message as it is written: what was left out stays out."""
    found: dict[str, Any] = {
        "message_id": message.message_id,
        "from": message.sender,
        "to": list(message.to),
        "type": message.type,
        "timestamp": message.timestamp,
        "content": {"subject": message.subject, "body": message.body},
    }
    for key in _OPTIONAL[:4]:
        if (value := getattr(message, key)) is not None:
            found[key] = value
    if message.priority != "normal":
        found["priority"] = message.priority
    if message.ack_required:
        found["ack_required"] = True
    return found


def encode(message: Message) -> bytes:
    """Compact JSON in UTF-8; `parse` gives the same message back."""
    return compact(as_form(message)).encode()


def compact(value: object) -> str:
    """Any value that a message may hold, as JSON. Raises ValueError, TypeError, RecursionError."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


# -- one field each


def decoded(raw: str | bytes) -> Mapping[str, object]:
    """The object in a text. Raises MessageError."""
    try:
        found: object = json.loads(raw)
    except (ValueError, RecursionError) as problem:
        raise MessageError("message", f"is not JSON: {problem}") from problem
    return _object(found, "message")


def _object(value: object, field: str) -> Mapping[str, object]:
    if not isinstance(value, Mapping):
        raise MessageError(field, f"must be an object, not {_kind(value)}")
    return cast("Mapping[str, object]", value)


def _keys(
    given: Mapping[str, object], before: str, required: tuple[str, ...], optional: tuple[str, ...]
) -> None:
    for key in required:
        if key not in given:
            raise MessageError(before + key, "is missing")
    for key in given:
        if key not in required and key not in optional:
            known = ", ".join((*required, *optional))
            raise MessageError(f"{before}{key!s:.60}", f"is no field of a message: {known} are")


def _text(value: object, field: str) -> str:
    if not isinstance(value, str):
        raise MessageError(field, f"must be text, not {_kind(value)}")
    if not value.isascii() and (found := re.search(_HALF, value)) is not None:
        raise MessageError(field, f"holds half a character (U+{ord(found[0]):04X})")
    return value


def _maybe_name(raw: Mapping[str, object], field: str) -> str | None:
    value = raw.get(field)
    return None if value is None else name(value, field)


def _priority(value: object) -> str:
    if value is None:
        return "normal"
    if value not in PRIORITIES:
        raise MessageError("priority", f"must be one of {', '.join(PRIORITIES)}")
    return cast("str", value)


def _flag(value: object, field: str) -> bool:
    if value is None or isinstance(value, bool):
        return bool(value)
    raise MessageError(field, f"must be true or false, not {_kind(value)}")


def _moment(value: object) -> float:
    """Epoch seconds of a number, or of an ISO 8601 text (UTC where it names no zone)."""
    seconds: float
    if isinstance(value, str):
        try:
            found = datetime.fromisoformat(value)
            seconds = (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
        except (ValueError, OverflowError) as problem:
            raise MessageError(
                "timestamp", "is no time: epoch seconds or 2026-03-01T09:30:00Z are"
            ) from problem
    elif isinstance(value, int | float) and not isinstance(value, bool):
        try:
            seconds = float(value)
        except OverflowError:
            seconds = math.inf
    else:
        raise MessageError("timestamp", f"must be epoch seconds, not {_kind(value)}")
    if not 0 <= seconds <= _LAST_SECOND:  # not a number is not in there either
        raise MessageError("timestamp", "must be in the years 1970 to 9999")
    return seconds


def _json(value: object, field: str) -> object:
    """Any JSON: what it is once it was written and read again."""
    if value is None:
        return None
    try:
        text = compact(value)
        text.encode()
        found: object = json.loads(text)
    except UnicodeEncodeError as problem:
        raise MessageError(field, "holds half a character") from problem
    except (ValueError, TypeError) as problem:
        raise MessageError(field, f"is not JSON: {problem}") from problem
    except RecursionError as problem:
        raise _too_deep(field) from problem
    if _depth(found) > MOST_DEPTH:
        raise _too_deep(field)
    return found


def _depth(value: object) -> int:
    """How deep lists and objects of parsed JSON lie in each other."""
    depth, level = -1, [value]
    while level:
        inner: list[object] = []
        for one in level:
            if isinstance(one, dict):
                inner += [*cast("dict[str, object]", one).values(), None]
            elif isinstance(one, list):
                inner += [*cast("list[object]", one), None]
        depth, level = depth + 1, inner
    return depth


def _too_deep(field: str) -> MessageError:
    return MessageError(field, f"has more than {MOST_DEPTH} lists and objects in each other")


def _too_large(size: int, limit: int) -> MessageError:
    return MessageError("message", f"has {size:,} bytes, the limit is {limit:,}")


def _kind(value: object) -> str:
    if value is None:
        return "null"
    kinds: dict[type, str] = {bool: "true or false", dict: "an object", list: "a list", str: "text"}
    number = "a number" if isinstance(value, int | float) else type(value).__name__
    return kinds.get(type(value), number)
