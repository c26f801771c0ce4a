"""Values as texts, so that what comes back is what was put in: int, float, bool, string, json.

A text of SQLite is Unicode. Half a character (a lone surrogate) is not: its place is in json only.
"""

import json
import math
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, cast

from agentmon.collab.fields import FieldError, is_storable, one_of

TYPES = ("int", "float", "bool", "string", "json")
LONGEST = 1 << 20
"""Characters of a value."""

MOST_BITS = 13_000
"""Of a whole number; Python writes no longer ones as decimals."""

DEEPEST = 100
"""Of lists and objects within each other: whoever reads them is somewhere deep already."""


def type_of(value: object) -> str:
    """The type of a value of Python; what is none of the plain ones is json."""
    if isinstance(value, bool):
        return "bool"
    plain = ((int, "int"), (float, "float"), (str, "string"))
    return next((name for kind, name in plain if isinstance(value, kind)), "json")


def encode(kind: str, value: object) -> str:
    """The text of a value. Raises FieldError: of another type, too long, not to be kept exactly."""
    text = _ENCODERS[one_of("type", kind, TYPES)](value)
    if len(text) > LONGEST:
        raise FieldError("value", f"it has {len(text):,} characters, at most {LONGEST:,} are kept")
    return text


def decode(kind: str, text: str) -> Any:
    """The value of a text that `encode` gave."""
    return _DECODERS[kind](text)


def parse(text: str, kind: str | None = None) -> tuple[str, Any]:
    """The type and value of what a person typed; without a type: true and false, whole numbers,
    numbers, JSON objects and arrays, else a string. Raises FieldError."""
    if kind is None:
        kind = _guess(text)
    if kind == "string":
        return kind, text
    try:
        if kind == "bool":
            return kind, {"true": True, "false": False}[text.strip().lower()]
        return kind, {"int": int, "float": float, "json": json.loads}[one_of("type", kind, TYPES)](
            text
        )
    except (ValueError, KeyError, RecursionError) as problem:
        raise FieldError("value", f"it is no {kind}") from problem


_INT = re.compile(r"0|-?[1-9][0-9]{0,3899}")
_FLOAT = re.compile(r"-?((0|[1-9][0-9]*)\.[0-9]*|\.[0-9]+|[1-9][0-9]*(?=[eE]))([eE][-+]?[0-9]+)?")
_BEYOND = ("inf", "-inf", "nan")


def _guess(text: str) -> str:
    """What looks like a number and would lose digits as one, 0042 or 12e45678, is none."""
    if text in ("true", "false"):
        return "bool"
    if _INT.fullmatch(text):
        return "int"
    if text in _BEYOND or (_FLOAT.fullmatch(text) and math.isfinite(float(text))):
        return "float"
    if text[:1] in ("{", "["):
        try:
            json.loads(text)
            return "json"
        except (ValueError, RecursionError):
            return "string"
    return "string"


def _int(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, int) or value.bit_length() > MOST_BITS:
        raise FieldError("value", "a whole number of at most 3,900 digits is needed")
    return str(value)


def _float(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise FieldError("value", "a number is needed")
    try:
        number = float(value)
    except OverflowError:
        number = math.nan
    if number != value and not (isinstance(value, float) and math.isnan(value)):
        raise FieldError("value", "a float does not hold it exactly")
    return repr(number)


def _bool(value: object) -> str:
    if not isinstance(value, bool):
        raise FieldError("value", "true or false is needed")
    return "true" if value else "false"


def _string(value: object) -> str:
    if not isinstance(value, str):
        raise FieldError("value", "a text is needed")
    if not is_storable(value):
        raise FieldError("value", "half a character is in it")
    return value


def _json(value: object) -> str:
    try:
        reason = _not_json(value)
        if reason:
            raise FieldError("value", f"{reason} has no place in JSON")
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        if not is_storable(text):
            text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    except ValueError as problem:
        if isinstance(problem, FieldError):
            raise
        raise FieldError("value", "it cannot be written as JSON") from problem
    return text


def _not_json(value: object, room: int = DEEPEST) -> str | None:
    """What in a value would not come back as it is; None: nothing. Raises FieldError."""
    if value is None or isinstance(value, bool | str):
        return None
    if isinstance(value, int):
        return "a whole number that is so long" if value.bit_length() > MOST_BITS else None
    if isinstance(value, float):
        return None if math.isfinite(value) else str(value)
    if not isinstance(value, list | dict):
        return f"a {type(value).__name__}"
    if not room:
        raise FieldError("value", "it is nested too deeply")
    inner = cast("Iterable[object]", value)
    if isinstance(value, dict):
        table = cast("Mapping[object, object]", value)
        if not all(isinstance(key, str) for key in table):
            return "a key that is no text"
        inner = table.values()
    return next(filter(None, (_not_json(each, room - 1) for each in inner)), None)


_ENCODERS: Mapping[str, Callable[[object], str]] = {
    "int": _int,
    "float": _float,
    "bool": _bool,
    "string": _string,
    "json": _json,
}
_DECODERS: Mapping[str, Callable[[str], Any]] = {
    "int": int,
    "float": float,
    "bool": "true".__eq__,
    "string": str,
    "json": json.loads,
}
