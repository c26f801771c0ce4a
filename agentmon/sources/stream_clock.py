"""What time it was when a record of stream-json was written: most of them do not say.

Live, the receipt tells. Of a recording that is read long after, the receipt says nothing; there
the records that have a time set the clock for those that have none.
"""

import os
import re
from collections.abc import Callable
from contextlib import suppress

from agentmon.sources.decoding import Context, Record
from agentmon.sources.envelopes import epoch_of
from agentmon.sources.stream_records import Memory

SAME_READING = 60.0
"""Seconds between two receipts in which the stream's own clock is taken to run beside ours."""

_PEEK = 1 << 20
"""Bytes of a file's beginning in which its first time is looked for."""

_STAMP = re.compile(rb'"timestamp": ?"(\d{4}-\d\d-\d\dT[0-9:.]{8,15}Z)"')


class Clock:
    """Keeps in `memory` how far the stream's clock is behind its receipt."""

    def __init__(self, context: Context, memory: Memory) -> None:
        self._receipt: Callable[[], float] = context.receipt
        self._memory = memory
        if not context.state:
            first = _first_time(context.path)
            receipt = context.receipt()
            if first is not None and first < receipt - SAME_READING:
                self._set(first, receipt)

    def time_of(self, row: Record) -> float:
        """The record's own time; else by the clock of the last record that had one."""
        stamp, memory, receipt = row.get("timestamp"), self._memory, self._receipt()
        said = epoch_of(stamp) if isinstance(stamp, str) else None
        if said is None:
            is_near = receipt - memory.measured <= SAME_READING
            return receipt - memory.lag if is_near else receipt
        if row.get("type") in ("assistant", "user") and row.get("isReplay") is not True:
            self._set(said, receipt)
        return said

    def _set(self, said: float, receipt: float) -> None:
        self._memory.lag, self._memory.measured = receipt - said, receipt


def _first_time(path: str) -> float | None:
    """The first time that stands in a file: what comes before it was hardly earlier."""
    if not os.path.isfile(path):
        return None
    with suppress(OSError), open(path, "rb") as file:
        found = _STAMP.search(file.read(_PEEK))
        return epoch_of(found[1].decode()) if found is not None else None
    return None
