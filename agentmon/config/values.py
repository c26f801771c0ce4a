"""What a flag, the environment, a TOML file or the store may have for a setting, and what it means.

Each raises ValueError with a reason.
"""

import os
import re
from collections.abc import Mapping
from typing import cast

_DURATION = r"(\d+(?:\.\d*)?|\.\d+)\s*(ms|s|m|h|d|)"
_SECONDS = {"": 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0}


def duration(value: object) -> float:
    """Seconds of "90s", "10m" or 30. Raises ValueError with a reason."""
    seconds = 0.0
    if isinstance(value, int | float) and not isinstance(value, bool):
        seconds = float(value) if 0 < value < 1e12 else 0.0
    elif isinstance(value, str) and (match := re.fullmatch(_DURATION, value.strip())):
        seconds = float(match[1]) * _SECONDS[match[2]]
    if not 0.0 < seconds < 1e12:
        raise ValueError('a time above zero is needed: seconds such as 30, or "90s", "10m", "2h"')
    return seconds


_OFF = frozenset({"", "0", "off", "no", "none"})
_DAYS = r"(\d+(?:\.\d*)?|\.\d+)\s*(?:d|days?|)"


def days(value: object) -> float:
    """Days of 30, "30" or "30d"; 0 and "off" are 0. Raises ValueError with a reason."""
    if isinstance(value, str):
        word = value.strip().lower()
        match = re.fullmatch(_DAYS, word)
        value = 0 if word in _OFF else float(match[1]) if match else None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e6:
        raise ValueError("a number of days is needed, such as 30 or 0.5")
    return float(value)


_SIZE = r"(\d+(?:\.\d*)?|\.\d+)\s*(?:([kmgt])i?b?|b|)"
_BYTES = {None: 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}


def size(value: object) -> int:
    """Bytes of 1048576, "500MB" or "2g"; a KB is 1,024 bytes; "off" is 0. Raises ValueError."""
    if isinstance(value, str):
        word = value.strip().lower()
        match = re.fullmatch(_SIZE, word)
        value = 0 if word in _OFF else float(match[1]) * _BYTES[match[2]] if match else None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1 << 62:
        raise ValueError('a size is needed: bytes, or "500MB", "2GB"')
    return int(value)


def some(value: object) -> int:
    """A size that is not nothing."""
    found = size(value)
    if not found:
        raise ValueError('a size above zero is needed: bytes, or "512MB", "2GB"')
    return found


def action(value: object) -> str:
    """What retention does."""
    if value not in ("archive", "delete"):
        raise ValueError("archive or delete is needed")
    return str(value)


def address(value: object) -> str:
    """An address of a Redis server, with user and password where it needs them."""
    from agentmon import redis_url  # only where there is one

    found = text(value).strip()
    redis_url.shown(found)
    return found


def without_secrets(value: object) -> object:
    """What may be shown of an address, or of what was given as one."""
    if not isinstance(value, str) or not value:
        return value
    from agentmon import redis_url

    return redis_url.safely_shown(value)


_TRUE = {"1", "true", "yes", "on"}
_FALSE = {"0", "false", "no", "off"}


def boolean(value: object) -> bool:
    """True or false, also as a word."""
    if isinstance(value, bool):
        return value
    word = value.strip().lower() if isinstance(value, str) else ""
    if word not in _TRUE | _FALSE:
        raise ValueError("true or false is needed")
    return word in _TRUE


def text(value: object) -> str:
    """A text that is not blank."""
    if not isinstance(value, str) or not value.strip() or "\0" in value:
        raise ValueError("a text is needed")
    return value


def folder(value: object) -> str:
    """A folder, which may be below somebody's home."""
    found = text(value)
    if found.startswith("~") and os.path.expanduser(found) == found:
        raise ValueError("the home of that user is not known")
    return found


def fixed_folder(value: object) -> str:
    """A folder that is the same from wherever it is asked for."""
    found = folder(value)
    if not os.path.isabs(os.path.expanduser(found)):
        raise ValueError("a whole path is needed, such as /var/log/agents or ~/agents")
    return found


def count(value: object) -> int:
    """A whole number above zero."""
    if isinstance(value, str) and len(value) < 100 and value.strip().isdecimal():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < value <= 1_000_000:
        raise ValueError("a whole number from 1 to 1,000,000 is needed")
    return value


def paths(value: object) -> tuple[str, ...]:
    """A list, or one text with the separator of $PATH."""
    if isinstance(value, str):
        return tuple(part for part in value.split(os.pathsep) if part)
    if isinstance(value, list | tuple):
        return tuple(text(part) for part in cast("list[object]", value))
    raise ValueError("a list of files and folders is needed")


def per_tool(value: object) -> dict[str, float]:
    """A table, or a text such as "Bash=20m,Agent=1h"."""
    if isinstance(value, str):
        pairs = [part.partition("=") for part in value.split(",") if part.strip()]
        return {text(name).strip(): duration(seconds) for name, _, seconds in pairs}
    if isinstance(value, Mapping):
        table = cast("Mapping[object, object]", value)
        return {text(name): duration(seconds) for name, seconds in table.items()}
    raise ValueError('a table of tool names and times is needed, such as "Bash=20m,Agent=1h"')
