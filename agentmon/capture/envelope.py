"""One line of a wire log (formats.md A.1, B.1).

Only the standard library: a hook has some milliseconds for everything.
"""

import json
from collections.abc import Mapping
from json.encoder import encode_basestring, encode_basestring_ascii
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

    `metadata` may be JSON already. Raises TypeError, ValueError or RecursionError for a payload
    that is no JSON.
    """
    local, utc = _stamps(time)
    meta = metadata if isinstance(metadata, str) else _compact(metadata)
    encoded, quoted = _compact(payload), encode_basestring
    while True:
        line = f'data: {{"timestamp":"{utc}","type":"event_msg","payload":{encoded}}}'
        row = (
            f'{{"event":{quoted(event)},"t":"{local}","line":{quoted(line)}'
            f',"round":{quoted(round)},"metadata":{quoted(meta)},"flow_id":{quoted(flow_id)}'
            f',"data_count":{count},"sid":{quoted(sid)}}}\n'
        )
        try:
            return row.encode()
        except UnicodeEncodeError:
            # lone surrogates; escaped they are read again as they were
            encoded, quoted = _ascii(payload), encode_basestring_ascii


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
