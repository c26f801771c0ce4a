"""The form of a message: what has it comes back as it was, what has not is refused by its field."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentmon import config
from agentmon.collab import form
from agentmon.collab.form import Message, MessageError
from tests.deep import examples
from tests.mail import HOSTILE, NOW


def whole(**changes: Any) -> dict[str, Any]:
    made: dict[str, Any] = {
        "message_id": "m1",
        "from": "api",
        "to": ["web"],
        "type": "message",
        "timestamp": NOW,
        "content": {"subject": "s", "body": "b"},
    }
    return {key: value for key, value in {**made, **changes}.items() if value is not ...}


def refusal(raw: Any, **more: Any) -> MessageError:
    with pytest.raises(MessageError) as caught:
        form.parse(raw, **more)
    assert str(caught.value).startswith(f"{caught.value.field}: ")
    assert "\n" not in caught.value.reason
    return caught.value


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"message_id": ...}, "message_id"),
        ({"message_id": ""}, "message_id"),
        ({"message_id": 7}, "message_id"),
        ({"message_id": "x" * 201}, "message_id"),
        ({"from": "*"}, "from"),
        ({"from": "a\x1bb"}, "from"),
        ({"from": "a\nb"}, "from"),
        ({"from": "\ud800"}, "from"),
        ({"from": None}, "from"),
        ({"to": 5}, "to"),
        ({"to": []}, "to"),
        ({"to": ["web", 5]}, "to[1]"),
        ({"to": ["web", " "]}, "to[1]"),
        ({"to": [str(n) for n in range(1001)]}, "to"),
        ({"type": ""}, "type"),
        ({"type": "x" * 65}, "type"),
        ({"timestamp": "yesterday"}, "timestamp"),
        ({"timestamp": True}, "timestamp"),
        ({"timestamp": -1}, "timestamp"),
        ({"timestamp": float("nan")}, "timestamp"),
        ({"timestamp": float("inf")}, "timestamp"),
        ({"timestamp": 10**400}, "timestamp"),
        ({"content": "text"}, "content"),
        ({"content": {"subject": "s"}}, "content.body"),
        ({"content": {"subject": "s", "body": None}}, "content.body"),
        ({"content": {"subject": "s", "body": "\udc80"}}, "content.body"),
        ({"content": {"subject": 1, "body": "b"}}, "content.subject"),
        ({"content": {"subject": "s", "body": "b", "html": "x"}}, "content.html"),
        ({"cc": "web"}, "cc"),
        ({"priority": "asap"}, "priority"),
        ({"priority": ["high"]}, "priority"),
        ({"ack_required": "yes"}, "ack_required"),
        ({"thread_id": ""}, "thread_id"),
        ({"reply_to": "a\0"}, "reply_to"),
        ({"work_completed": float("nan")}, "work_completed"),
        ({"work_completed": {1, 2}}, "work_completed"),
        ({"context_understanding": "\ud800"}, "context_understanding"),
    ],
)
def test_what_is_no_message_is_refused_by_its_field(changes: dict[str, Any], field: str) -> None:
    assert refusal(whole(**changes)).field == field


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


def test_what_lies_too_deep_is_refused_however_deep() -> None:
    assert form.parse(whole(work_completed=nested(64))).work_completed == nested(64)
    for depth in (65, 900, 100_000):
        assert refusal(whole(work_completed=nested(depth))).field == "work_completed"
    endless: list[Any] = []
    endless += [endless, endless]
    assert refusal(whole(work_completed=endless)).field == "work_completed"
    assert refusal("[" * 200_000).field == "message"


def test_the_limit_is_of_the_whole_message_and_can_be_set() -> None:
    size = len(form.encode(form.parse(whole())))
    assert form.parse(whole(), size).body == "b"
    assert refusal(whole(), limit_bytes=size - 1).field == "message"
    big = {"subject": "", "body": "é" * (1 << 19)}
    assert "1,048,576" in refusal(whole(content=big)).reason
    fits = {"subject": "", "body": "x" * 1_000_000}
    assert len(form.parse(whole(content=fits)).body) == 1_000_000
    assert refusal(json.dumps(whole(content=big))).field == "message"


@pytest.mark.parametrize("raw", ["", "{", "[]", "null", b"\xff", "{'a': 1}"])
def test_what_is_no_json_object_is_refused(raw: str | bytes) -> None:
    assert refusal(raw).field == "message"


def test_times_may_be_written() -> None:
    assert form.parse(whole(timestamp="2026-09-21T14:13:20Z")).timestamp == NOW
    assert form.parse(whole(timestamp="2026-09-21T14:13:20")).timestamp == NOW
    assert form.parse(whole(timestamp="2026-09-21T16:13:20.5+02:00")).timestamp == NOW + 0.5


def test_what_is_left_out_is_filled_in_and_what_contradicts_is_refused() -> None:
    def made(to: Any, message: Any) -> Message:
        return form.compose("api", to, message, message_id="new", now=NOW)

    assert made("web", "hi") == Message("new", "api", ("web",), "message", NOW, "", "hi")
    assert made(["a", "b", "a"], "hi").to == ("a", "b")
    assert made(["a", "*"], "hi").to == ("*",)
    assert made(None, {"to": "web", "content": {"body": "hi"}}).to == ("web",)
    assert made(None, {"reply_to": "m0", "content": {"body": "hi"}}).to == ()
    for to, message, field in [
        (None, "hi", "to"),
        ("web", {"from": "web", "content": {"body": "hi"}}, "from"),
        ("web", {"to": "docs", "content": {"body": "hi"}}, "to"),
        ("web", {}, "content"),
        ("web", {"content": {"body": "hi"}, "text": "x"}, "text"),
    ]:
        with pytest.raises(MessageError) as caught:
            made(to, message)
        assert caught.value.field == field


# -- any message

texts = st.text(max_size=40) | st.sampled_from(HOSTILE)
names = st.text(
    st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]), min_size=1, max_size=40
).filter(lambda name: name.strip() and name != "*")
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
messages = st.builds(
    Message,
    message_id=names,
    sender=names,
    to=st.lists(names, min_size=1, max_size=4, unique=True).map(tuple),
    type=names,
    timestamp=st.floats(0, 253_402_300_799.0),
    subject=texts,
    body=texts,
    work_completed=values,
    context_understanding=values,
    thread_id=st.none() | names,
    reply_to=st.none() | names,
    priority=st.sampled_from(form.PRIORITIES),
    ack_required=st.booleans(),
)


@settings(max_examples=examples(8, 60))
@given(messages)
def test_every_message_comes_back_as_it_was(message: Message) -> None:
    assert form.parse(form.encode(message)) == message
    assert form.parse(form.as_form(message)) == message


keys = st.sampled_from([*whole(), "thread_id", "priority", "x"])


@settings(max_examples=examples(8, 60))
@given(st.dictionaries(keys, values, max_size=9))
def test_anything_else_is_refused_and_nothing_breaks(raw: dict[str, Any]) -> None:
    try:
        message = form.parse({**whole(), **raw})
    except MessageError as problem:
        field = problem.field
    else:
        assert form.parse(form.encode(message)) == message
        return
    assert field.split(".")[0].split("[")[0] in {*whole(), *raw}


def test_the_limit_is_that_of_the_settings() -> None:
    assert config.Settings().messages.max_size == form.LIMIT_BYTES
