"""Logs of several sessions with the defects of formats.md A.3, from a random source and knobs.

With all chances at 0 the log is clean. `scenario` gives the lines (each without its newline, some
glued or torn), `permute` another order of arrival in which every stream keeps its own order.
"""

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from hypothesis import strategies as st

from tests.author import Event, Knobs
from tests.oracle_lines import object_of, values
from tests.session import Session
from tests.wire import SID, Pen

DEFECTS = tuple(each.name for each in fields(Knobs) if isinstance(each.default, float))

_NOISE = (
    *(b"", b"  \t", b"null", b"[1]", b'"{}"', b"12", b"{}", b"nonsense", b'{"event":"claude.'),
    *(b'{"t":"2025-11-21T20:00:00.000"}', b"\xff\xfe", b'{"a": {}}'),
)
_BAD_SIDS = ("", "s1", SID[:-1], SID.replace("-", ""), SID + "0", "g" + SID[1:])


def scenario(rng: random.Random, **chosen: Any) -> list[bytes]:
    """The lines of a log; `chosen` are fields of Knobs."""
    knobs = Knobs(**chosen)
    numbers = range(knobs.first, knobs.first + knobs.sessions)
    logs = [Writer(rng, knobs).log(Session(rng, knobs, number)) for number in numbers]
    return _damaged(rng, knobs, _interleaved(rng, logs))


def joined(lines: Sequence[bytes]) -> bytes:
    """The file of these lines."""
    return b"".join(line + b"\n" for line in lines)


@dataclass
class Writer:
    """Writes a session's events as its processes do, with what goes wrong in the logger."""

    rng: random.Random
    knobs: Knobs
    pens: dict[int, Pen] = field(default_factory=lambda: dict[int, Pen]())
    current: dict[int, str] = field(default_factory=lambda: dict[int, str]())
    firsts: dict[tuple[str, str, int], int] = field(
        default_factory=lambda: dict[tuple[str, str, int], int]()
    )
    restarted: set[str | None] = field(default_factory=lambda: set[str | None]())

    def log(self, session: Session) -> list[bytes]:
        events = session.events()
        written: list[tuple[str | None, bytes]] = []
        for event, following in zip(events, [*events[1:], None], strict=True):
            keeps_flow = following is not None and following.request == event.request
            for line in self._lines(session.sid, event, keeps_flow):
                written.append((event.request, line))
        return self._again(self._scrambled(written))

    def _hits(self, chance: float) -> bool:
        return self.rng.random() < chance

    def _lines(self, sid: str, event: Event, keeps_flow: bool) -> list[bytes]:
        pen = self.pens.setdefault(event.pid, Pen(sid, event.pid, form=self.knobs.form))
        flow = self._flow(event)
        is_start = event.name == "message_start"
        times = 1 + (is_start and self._hits(self.knobs.repeated_starts))
        if is_start and keeps_flow and self._hits(self.knobs.missing_starts):
            times = 0
        self._restart(pen, event, flow)
        round_id = event.round_id
        if self._hits(self._absent(event.name)):
            round_id = None
        found: list[bytes] = []
        for _ in range(times):
            line = pen.line(
                event.name,
                event.ms,
                event.payload,
                flow=flow,
                round_id=round_id,
                agent=event.agent,
                ascii_only=self._hits(0.3),
            )
            found += line.split(b"\n")
        return found

    def _absent(self, name: str) -> float:
        knobs = self.knobs
        special = {"message_start": knobs.absent_starts, "user_prompt": knobs.absent_prompts}
        return special.get(name, knobs.absent_rounds)

    def _flow(self, event: Event) -> str:
        """The proxy knows whose an event is; the client writes what began last."""
        if self.knobs.proxy:
            return event.flow or f"msg_in_{self.rng.getrandbits(48):012x}"
        if event.name == "message_start":
            self.current[event.pid] = event.flow
        return self.current.get(event.pid, "unknown")

    def _restart(self, pen: Pen, event: Event, flow: str) -> None:
        """Sometimes sets the counter back to the first delta of the running block."""
        if event.name != "content_block_delta":
            return
        key = (event.flow, flow, int(event.payload["index"]))
        first = self.firsts.setdefault(key, pen.counters.get(flow, 0))
        if first < pen.counters.get(flow, 0) and self._hits(self.knobs.restarts):
            pen.counters[flow] = first
            self.restarted.add(event.request)

    def _scrambled(self, written: list[tuple[str | None, bytes]]) -> list[bytes]:
        """Batches that arrived in another order, each inside its stream."""
        lines = [line for _, line in written]
        places: dict[str, list[int]] = {}
        for place, (request, _) in enumerate(written):
            if request is not None and request not in self.restarted:
                places.setdefault(request, []).append(place)
        for found in places.values():
            for start in range(0, len(found), 4):
                if self._hits(self.knobs.scrambled):
                    batch = found[start : start + 4]
                    mixed = self.rng.sample(batch, len(batch))
                    moved = [lines[place] for place in mixed]
                    for place, line in zip(batch, moved, strict=True):
                        lines[place] = line
        return lines

    def _again(self, lines: list[bytes]) -> list[bytes]:
        found: list[bytes] = []
        late: list[bytes] = []
        for line in lines:
            found.append(line)
            if self._hits(self.knobs.duplicates):
                other = re.sub(rb'("t":"....-..-..T)..', rb"\g<1>03", line, count=1)
                late.append(self.rng.choice((line, other)))
            while late and self._hits(0.5):
                found.append(late.pop(0))
        return found + late


def _interleaved(rng: random.Random, logs: Sequence[Sequence[bytes]]) -> list[bytes]:
    queues: list[list[bytes]] = [list(reversed(log)) for log in logs if log]
    found: list[bytes] = []
    while queues:
        queue = rng.choice(queues)
        for _ in range(min(len(queue), rng.randint(1, 6))):
            found.append(queue.pop())
        queues = [queue for queue in queues if queue]
    return found


def _damaged(rng: random.Random, knobs: Knobs, lines: Sequence[bytes]) -> list[bytes]:
    """What several writers without a lock, and a killed one, make of these lines."""
    found: list[bytes] = []
    held = b""
    for whole in lines:
        line = held + whole
        held = b""
        if rng.random() < knobs.bad_bytes:
            line = line.replace(b"~", b"\xff")
        if rng.random() < knobs.noise:
            found.append(rng.choice(_NOISE))
        if rng.random() < knobs.bad_sids:
            found.append(re.sub(rb'"sid":"[^"]*"', _bad_sid(rng), whole))
        if rng.random() < knobs.glued:
            held = line
        elif rng.random() < knobs.torn:
            part = line[: rng.randint(1, len(line) - 1)]
            if rng.random() < 0.5:
                found.append(part)
            else:
                held = part
        else:
            found.append(line + rng.choice((b"", b"", b"", b"\r", b" ")))
    return [*found, held] if held else found


def _bad_sid(rng: random.Random) -> bytes:
    return f'"sid":"{rng.choice(_BAD_SIDS)}"'.encode()


def permute(lines: Sequence[bytes], rng: random.Random) -> list[bytes]:
    """Another order of arrival; lines of one stream (session and request, or thread) keep theirs.

    A line that holds anything but one row stays between those before and after it.
    """
    found: list[bytes] = []
    streams: dict[object, list[bytes]] = {}
    for line in lines:
        key = _stream(line)
        if key is None:
            found += [*_interleaved(rng, list(streams.values())), line]
            streams = {}
        else:
            streams.setdefault(key, []).append(line)
    return found + _interleaved(rng, list(streams.values()))


def _stream(line: bytes) -> object:
    rows = [object_of(value) for _, value, _ in values(line.decode("utf-8", "replace"))]
    if len(rows) != 1 or "sid" not in rows[0]:
        return None
    text = str(rows[0].get("line"))
    request = re.search(r'"request_id":"([^"]*)"', text)
    agent = re.search(r'"agent":"([^"]*)"', str(rows[0].get("metadata")))
    if text.startswith("event:"):
        return (rows[0]["sid"], text, rows[0].get("flow_id"), rows[0].get("data_count"))
    thread = request or agent
    return (rows[0]["sid"], thread.group() if thread else "")


def knobs() -> st.SearchStrategy[dict[str, Any]]:
    """Some defects at once, in a log of either writer and any form."""
    chances = st.dictionaries(
        st.sampled_from(DEFECTS), st.sampled_from((0.1, 0.3, 0.8)), max_size=8
    )
    writers = st.sampled_from(
        [
            {"proxy": True},
            {"proxy": False},
            {"proxy": False, "form": "old"},
            {"proxy": False, "form": "two-line"},
        ]
    )
    sizes = st.fixed_dictionaries({"sessions": st.integers(1, 3), "rounds": st.integers(1, 4)})
    return st.builds(_merged, chances, writers, sizes)


def _merged(*parts: dict[str, Any]) -> dict[str, Any]:
    return {name: value for part in parts for name, value in part.items()}


def scenarios() -> st.SearchStrategy[list[bytes]]:
    """The lines of any log; shrinks by its seed and knobs."""
    return st.builds(_seeded, st.integers(0, 2**32 - 1), knobs())


def _seeded(seed: int, chosen: dict[str, Any]) -> list[bytes]:
    return scenario(random.Random(seed), **chosen)
