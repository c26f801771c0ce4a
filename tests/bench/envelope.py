"""Log lines in the form of formats.md A.1, from templates: the clock, the ids and the envelope."""

import random
from datetime import UTC, datetime

from tests.bench.phrases import escaped

START = datetime(2025, 11, 15, 12, tzinfo=UTC).timestamp()
LOCAL_HOURS = 7
"""The writer's zone: `t` is local, the inner timestamp UTC."""

_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


class Clock:
    """Event time: moves by milliseconds, and now and then waits."""

    def __init__(self, start: float = START) -> None:
        self.now = start
        self._second = -1
        self._stamps = ("", "")

    def stamps(self) -> tuple[str, str]:
        """(local, UTC) as a log writes them, the latter without its Z."""
        second, rest = divmod(int(self.now * 1000), 1000)
        if second != self._second:
            self._second = second
            utc = datetime.fromtimestamp(second, UTC)
            local = datetime.fromtimestamp(second + LOCAL_HOURS * 3600, UTC)
            form = "%Y-%m-%dT%H:%M:%S."
            self._stamps = (local.strftime(form), utc.strftime(form))
        return f"{self._stamps[0]}{rest:03d}", f"{self._stamps[1]}{rest:03d}"


class Ids:
    """Identifiers in the forms that the log has."""

    def __init__(self, random_: random.Random) -> None:
        self.random = random_

    def name(self, prefix: str, size: int) -> str:
        return prefix + "".join(self.random.choices(_DIGITS, k=size))

    def uuid(self) -> str:
        digits = f"{self.random.getrandbits(128):032x}"
        return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-a{digits[17:20]}-{digits[20:]}"

    def uuid7(self, now: float) -> str:
        digits = f"{int(now * 1000):012x}7{self.random.getrandbits(76):019x}"
        return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-a{digits[17:20]}-{digits[20:]}"


class Writer:
    """One session's lines: call its methods in the order of the events."""

    def __init__(self, clock: Clock, ids: Ids, cwd: str) -> None:
        self.clock, self.ids = clock, ids
        self.sid = ids.uuid()
        self.flow = "unknown"
        self.request = ""
        self.round = ""
        self.count = -1
        pid = ids.random.randint(1000, 99_999)
        metadata = f'{{"ver":"claude-code-2.0.42","pid":{pid},"cwd":"{cwd}"}}'
        self._metadata = escaped(metadata, 1)
        self._tail = self._end = ""
        self._set_tail()

    def _set_tail(self) -> None:
        """What follows the payload: constant between two messages but for the counter."""
        round_ = f',"round":"{self.round}"' if self.round else ""
        self._tail = (
            f'"{round_},"metadata":"{self._metadata}","flow_id":"{self.flow}","data_count":'
        )
        self._end = f',"sid":"{self.sid}"}}\n'

    def begin_round(self) -> None:
        self.round = self.ids.uuid7(self.clock.now)
        self._set_tail()

    def begin_message(self) -> None:
        self.flow = self.ids.name("msg_01", 22)
        self.request = self.ids.name("req_011C", 20)
        self.count = -1
        self._set_tail()

    def line(self, kind: str, payload: str) -> str:
        """An event whose further payload keys are given, escaped for the inner string."""
        local, utc = self.clock.stamps()
        self.count += 1
        return (
            f'{{"event":"claude.{kind}","t":"{local}","line":"data: {{\\"timestamp\\":\\"{utc}Z\\",'
            f'\\"type\\":\\"event_msg\\",\\"payload\\":{{\\"type\\":\\"{kind}\\"{payload}}}}}'
            f"{self._tail}{self.count}{self._end}"
        )

    def streamed(self, kind: str, payload: str = "") -> str:
        """An event of the stream, which names its request."""
        return self.line(kind, f'{payload},\\"request_id\\":\\"{self.request}\\"')

    def delta(self, index: int, kind: str, key: str, text: str) -> str:
        return self.streamed(
            "content_block_delta",
            f',\\"index\\":{index},\\"delta\\":{{\\"type\\":\\"{kind}\\",\\"{key}\\":\\"{text}\\"}}',
        )
