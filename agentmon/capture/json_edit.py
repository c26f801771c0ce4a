"""Changes to a JSON text that leave every other byte as it is.

Comments and commas at the end, as some programs allow in their settings, stay too.
"""

import json
import re
from collections.abc import Callable
from typing import Literal

from msgspec import Struct, field

_SPACE = re.compile(r"(?:[ \t\r\n\ufeff]+|//[^\n]*|/\*.*?\*/)*", re.DOTALL)
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)
_PLAIN = re.compile(r"-?\d[\d.eE+-]*|true|false|null")
_BLANK = " \t\r\n"
_decode = json.JSONDecoder(strict=False).decode


class NotJson(ValueError):
    """A text that is no JSON; the message says where."""


class Node(Struct):
    """A value and where it stands; `items` are those of an object (with keys) or an array."""

    kind: Literal["object", "array", "plain"]
    start: int
    end: int = 0
    items: list["Item"] = field(default_factory=list["Item"])

    def get(self, key: str) -> "Item | None":
        """The member of this name; the last one counts, as for those who read the file."""
        return next((item for item in reversed(self.items) if item.key == key), None)


class Item(Struct):
    """One value of an object or array. `start` is that of its key, `comma` the one behind it."""

    start: int
    key: str | None
    value: Node
    comma: int | None = None


def parse(text: str) -> Node:
    """The value that a text is. Raises NotJson."""
    try:
        node = _value(text, _skip(text, 0))
    except RecursionError as problem:
        raise NotJson("it is nested too deeply") from problem
    at = _skip(text, node.end)
    if at != len(text):
        raise _wrong(text, at)
    return node


def data(text: str, node: Node) -> object:
    """What a node means. Raises NotJson."""
    if node.kind == "object":
        return {item.key: data(text, item.value) for item in node.items}
    if node.kind == "array":
        return [data(text, item.value) for item in node.items]
    try:
        return _decode(text[node.start : node.end])
    except ValueError as problem:
        raise _wrong(text, node.start) from problem


def add(text: str, node: Node, item: str, lead: str) -> str:
    """Puts an item behind the last one of a container, with `lead` before it.

    In an empty one it follows the bracket at once: by that `remove` knows that it was there.
    """
    if not node.items:
        at = node.start + 1
        return text[:at] + item + text[at:]
    at = node.items[-1].value.end
    return f"{text[:at]},{lead}{item}{text[at:]}"


def remove(text: str, path: list[tuple[Node, int]]) -> str:
    """Takes out the item that the last step of a path names, by container and number; what was
    made only to hold it goes too, in the end the whole value."""
    while True:
        node, number = path[-1]
        if not _was_made_for(text, node, node.items[number]):
            return _without(text, node, number)
        path = path[:-1]
        if not path:
            return text[: node.start] + text[node.end :]


def _was_made_for(text: str, node: Node, item: Item) -> bool:
    """Whether a container holds nothing else, and was not empty before (see `add`)."""
    before, after = text[node.start + 1 : item.start], text[item.value.end : node.end - 1]
    return len(node.items) == 1 and before != "" and not (before + after).strip(_BLANK)


def _without(text: str, node: Node, number: int) -> str:
    item = node.items[number]
    start, end = item.start, item.value.end
    comma = node.items[number - 1].comma if number else item.comma
    if number or len(node.items) > 1:
        while text[start - 1] in _BLANK:
            start -= 1
    gone = {*range(start, end), comma}
    first = start if comma is None else min(start, comma)
    last = end if comma is None else max(end, comma + 1)
    kept = "".join(char for at, char in enumerate(text[first:last], first) if at not in gone)
    return text[:first] + kept + text[last:]


def _value(text: str, at: int) -> Node:
    opening = text[at : at + 1]
    if opening == "{":
        return _container(text, Node("object", at), "}", _key)
    if opening == "[":
        return _container(text, Node("array", at), "]", _no_key)
    match = (_STRING if opening == '"' else _PLAIN).match(text, at)
    if match is None:
        raise _wrong(text, at)
    return Node("plain", at, match.end())


def _container(
    text: str, node: Node, closing: str, key: Callable[[str, int], tuple[str | None, int]]
) -> Node:
    at = _skip(text, node.start + 1)
    while not text.startswith(closing, at):
        if node.items and node.items[-1].comma is None:
            raise _wrong(text, at)
        name, begins = key(text, at)
        item = Item(at, name, _value(text, begins))
        node.items.append(item)
        at = _skip(text, item.value.end)
        if text.startswith(",", at):
            item.comma = at
            at = _skip(text, at + 1)
    node.end = at + 1
    return node


def _no_key(text: str, at: int) -> tuple[None, int]:
    del text
    return None, at


def _key(text: str, at: int) -> tuple[str, int]:
    match = _STRING.match(text, at)
    colon = _skip(text, match.end()) if match else at
    if match is None or not text.startswith(":", colon):
        raise _wrong(text, at)
    try:
        name = match[0][1:-1] if "\\" not in match[0] else str(_decode(match[0]))
    except ValueError as problem:
        raise _wrong(text, at) from problem
    return name, _skip(text, colon + 1)


def _skip(text: str, at: int) -> int:
    match = _SPACE.match(text, at)
    return match.end() if match else at


def _wrong(text: str, at: int) -> NotJson:
    line = text.count("\n", 0, at) + 1
    if at >= len(text):
        return NotJson(f"it ends too soon, in line {line}")
    return NotJson(f"line {line} cannot be read")
