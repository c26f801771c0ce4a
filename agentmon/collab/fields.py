"""What a field may hold, where agents fill it in. A check raises `FieldError`, which names it."""

import json
import math
import unicodedata
from collections.abc import Collection, Iterable, Mapping
from typing import cast

LONGEST_NAME = 200
LONGEST_TEXT = 100_000
"""Characters."""

MOST = 1_000
"""Entries of a list."""


class FieldError(ValueError):
    """A value that cannot be taken; the message is one sentence that begins with the field."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}")
        self.field = field
        self.reason = reason


class NotThere(FieldError):
    """A name that nothing, or more than one thing, answers to."""


def text(field: str, value: object, *, most: int = LONGEST_TEXT, empty: bool = False) -> str:
    """A text as it is, of at most `most` characters; blank only where `empty`."""
    if not isinstance(value, str):
        raise FieldError(field, "a text is needed")
    if not empty and not value.strip():
        raise FieldError(field, "it must not be empty")
    if len(value) > most:
        raise FieldError(field, f"it has {len(value):,} characters, at most {most:,} are taken")
    if "\0" in value or not is_storable(value):
        raise FieldError(field, "a NUL or half a character is in it")
    return value


def is_storable(value: str) -> bool:
    """Whether it is Unicode: half a character (a lone surrogate) is not."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def name(field: str, value: object, *, most: int = LONGEST_NAME) -> str:
    """A name: a text on one line, without control characters."""
    found = text(field, value, most=most)
    if any(unicodedata.category(char) in ("Cc", "Zl", "Zp") for char in found):
        raise FieldError(field, "a control character is in it")
    return found


def names(field: str, value: object, *, most: int = LONGEST_NAME) -> list[str]:
    """A list of names, each once, in their order."""
    if isinstance(value, str | Mapping) or not isinstance(value, Iterable):
        raise FieldError(field, "a list of texts is needed")
    given = list(cast("Iterable[object]", value))
    if len(given) > MOST:
        raise FieldError(field, f"it has {len(given):,} entries, at most {MOST:,} are taken")
    return list(dict.fromkeys(name(field, entry, most=most) for entry in given))


def one_of(field: str, value: object, allowed: Collection[str]) -> str:
    """One of the words that are allowed."""
    if not isinstance(value, str) or value not in allowed:
        raise FieldError(field, f"one of {', '.join(allowed)} is needed")
    return value


def whole(field: str, value: object, least: int, most: int) -> int:
    """A whole number."""
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise FieldError(field, f"a whole number from {least} to {most} is needed")
    return value


def share(field: str, value: object) -> float:
    """A number from 0 to 1."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise FieldError(field, "a number from 0 to 1 is needed")
    if not math.isfinite(value) or not 0 <= value <= 1:
        raise FieldError(field, "a number from 0 to 1 is needed")
    return float(value)


def by_name(field: str, value: object) -> dict[str, str]:
    """Texts by name: what each agent says."""
    if not isinstance(value, Mapping):
        raise FieldError(field, "an object of agents and what they say is needed")
    given = cast("Mapping[object, object]", value)
    if len(given) > MOST:
        raise FieldError(field, f"it has {len(given):,} entries, at most {MOST:,} are taken")
    return {name(field, agent): text(field, said) for agent, said in given.items()}


def as_json(value: object) -> str:
    """JSON as the store has it: letters as they are, so that it can be read."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
