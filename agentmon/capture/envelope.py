"""One line of a wire log (formats.md A.1, B.1).

Only the standard library: a hook has some milliseconds for everything.
"""

import json
from collections.abc import Mapping
from time import gmtime, localtime, strftime

_compact = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), check_circular=False).encode
_ascii = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode

_second: tuple[int, str, str] = (-1, "", "")
"""The last second that was written: its epoch, in local time, in UTC."""


def envelope(
    event: str,
    payload: Mapping[str, object],
    *,
    time: float,
    flow_id: str,
    count: int,
    sid: str,
    metadata: Mapping[str, object] | str,
    round: str = "",
) -> bytes:
    """The line, with its newline, of what happened at `time` (epoch seconds).

    `metadata` may be JSON already. Raises ValueError or RecursionError for a payload that is no
    JSON.
    """
    local, utc = _stamps(time)
    inner = {"timestamp": utc, "type": "event_msg", "payload": payload}
    row = {
        "event": event,
        "t": local,
        "line": "data: " + _compact(inner),
        "round": round,
        "metadata": metadata if isinstance(metadata, str) else _compact(metadata),
        "flow_id": flow_id,
        "data_count": count,
        "sid": sid,
    }
    try:
        return _compact(row).encode() + b"\n"
    except UnicodeEncodeError:
        # lone surrogates; escaped they are read again as they were
        row["line"] = "data: " + _ascii(inner)
        return _ascii(row).encode() + b"\n"


def _stamps(time: float) -> tuple[str, str]:
    """(local, UTC) to the millisecond, the one without a zone and the other with its Z."""
    global _second
    try:
        whole, millis = divmod(int(time * 1000), 1000)
        if whole != _second[0]:
            form = "%Y-%m-%dT%H:%M:%S"
            _second = whole, strftime(form, localtime(whole)), strftime(form, gmtime(whole))
    except (ValueError, OverflowError, OSError):
        return _stamps(0.0)
    _, local, utc = _second
    return f"{local}.{millis:03d}", f"{utc}.{millis:03d}Z"
