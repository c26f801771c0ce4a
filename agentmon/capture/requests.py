"""Requests as they were sent, without credentials: `requests.jsonl`, for who asks for it.

Redacting a long conversation takes its time, so a thread of its own does it; requests that it
can't keep up with are counted and left out.
"""

import json
import re
import threading
from collections.abc import Sequence
from queue import Full, Queue
from time import gmtime, strftime
from typing import cast

from agentmon.capture.asked import Object, whole
from agentmon.capture.log import CaptureLog
from agentmon.core.redact import Redactor
from agentmon.logfile import log as own_log

NAME = "requests.jsonl"
MAX_BODY = 8 << 20
"""Bytes of a body beyond which only its size is told."""

WAITING = 32
"""Requests that may wait to be written."""

_SECRET = re.compile(
    r"auth|api[-_]?key|[-_]key$|^key$|token$|secret|cookie|credential|passw|passphrase|signature",
    re.IGNORECASE,
)
"""Names of headers, parameters and fields whose values are never written, whatever they are."""

_PARAMETER = re.compile(r"([?&])([^=&#]+)=([^&#]*)")
_MARK = "[redacted:%s]"

_Request = tuple[str, str, Sequence[tuple[str, str]], bytes, float]


class RequestLog:
    """Writes redacted requests to a log."""

    def __init__(self, log: CaptureLog) -> None:
        self.left_out = 0
        """Requests that came too quickly."""
        self._log = log
        self._redact = Redactor()
        self._waiting: Queue[_Request | None] = Queue(WAITING)
        self._thread: threading.Thread | None = None

    def add(
        self, method: str, path: str, headers: Sequence[tuple[str, str]], body: bytes, now: float
    ) -> None:
        """Takes a request; it is written soon. Never waits."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="requests", daemon=True)
            self._thread.start()
        try:
            self._waiting.put_nowait((method, path, headers, body, now))
        except Full:
            self.left_out += 1

    def close(self, patience: float = 5.0) -> None:
        """Writes what waits, for at most `patience` seconds."""
        thread, self._thread = self._thread, None
        if thread is not None:
            self._end(patience)
            thread.join(patience)
        self._log.close()

    def _end(self, patience: float) -> None:
        try:
            self._waiting.put(None, timeout=patience)
        except Full:
            self.left_out += 1

    def _run(self) -> None:
        while (request := self._waiting.get()) is not None:
            try:
                self._log.append([self._line(*request)])
            except Exception:
                own_log.warning("tap: a request is not recorded", exc_info=True)

    def _line(
        self, method: str, path: str, headers: Sequence[tuple[str, str]], body: bytes, now: float
    ) -> bytes:
        row = {
            "t": strftime("%Y-%m-%dT%H:%M:%S", gmtime(now)) + f".{int(now * 1000) % 1000:03d}Z",
            "method": method,
            "path": self._redact(_PARAMETER.sub(_parameter, path)),
            "headers": [[name, self._header(name, value)] for name, value in headers],
            "bytes": len(body),
            "body": self._plain(whole(headers, body)) if len(body) <= MAX_BODY else None,
        }
        return json.dumps(row, separators=(",", ":")).encode() + b"\n"

    def _header(self, name: str, value: str) -> str:
        return _MARK % "header" if _SECRET.search(name) else self._redact(value)

    def _plain(self, value: object) -> object:
        """A JSON value without what looks like a credential, by its shape or by its name."""
        if isinstance(value, str):
            return self._redact(value)
        if isinstance(value, list):
            return [self._plain(one) for one in cast("list[object]", value)]
        if not isinstance(value, dict):
            return value
        return {
            self._redact(key): _MARK % "field"
            if isinstance(one, str) and one and _SECRET.search(key)
            else self._plain(one)
            for key, one in cast(Object, value).items()
        }


def _parameter(found: re.Match[str]) -> str:
    value = _MARK % "parameter" if _SECRET.search(found[2]) else found[3]
    return f"{found[1]}{found[2]}={value}"
