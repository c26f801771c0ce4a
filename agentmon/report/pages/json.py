"""The same as JSON, as one document, written while the rounds come."""

import json
from collections.abc import Iterable, Iterator
from typing import Any

Object = dict[str, Any]


def pieces(head: Object, rounds: Iterable[Object]) -> Iterator[str]:
    """The document: the head with its `rounds`. Text that no UTF-8 can hold becomes U+FFFD."""
    yield _text(head)[:-1] + ',"rounds":['
    comma = ""
    for round_ in rounds:
        yield comma + "\n" + _text(round_)
        comma = ","
    yield "\n]}\n"


def _text(value: Object) -> str:
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return text.encode("utf-8", "replace").decode()
