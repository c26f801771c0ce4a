"""A replay without a screen: the store as of a moment, and the events one by one."""

import tempfile
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from math import inf
from pathlib import Path

from agentmon.core.events import Malformed
from agentmon.engine.decoders import Decoders
from agentmon.engine.ingest import Ingestion
from agentmon.engine.moments import Moment, parse_at
from agentmon.engine.playback import clock_over, read_until
from agentmon.report.event_lines import EventLine, told
from agentmon.report.naming import the_round
from agentmon.sources.clock import VirtualClock
from agentmon.sources.lines import HugeLine, Line
from agentmon.sources.recording import Recordings
from agentmon.store.read_round import start_of_round

Paths = Sequence[str]


@contextmanager
def as_of(paths: Paths, text: str | None) -> Generator[tuple[Ingestion, float]]:
    """A store with every line up to a moment, and the time of it. Raises OSError, NothingToPlay,
    NoMoment, StoreError, and Unclear for a round that isn't there."""
    with tempfile.TemporaryDirectory(prefix="agentmon-") as folder:
        clock = clock_over(paths)
        moment = _moment(text, clock)
        if moment.round is not None:
            with Ingestion(Path(folder) / "all") as run:
                read_until(run.engine, paths, clock, Moment(time=clock.end))
                run.commit()
                start = start_of_round(run.conn, *the_round(run.conn, moment.round))
            moment = Moment(time=start)
        with Ingestion(Path(folder) / "store") as run:
            read_until(run.engine, paths, clock, moment)
            run.commit()
            yield run, clock.now()


def events_of(paths: Paths, text: str | None) -> Iterator[EventLine]:
    """Every event up to a moment, in the order of a replay. Raises what `as_of` does."""
    clock = clock_over(paths)
    moment = _moment(text, clock)
    if moment.round is not None:
        with as_of(paths, text) as (_, time):
            moment = Moment(time=time)
    clock.stand_at(clock.end if moment.time is None else moment.time)
    tapes = Recordings(paths, clock)
    tapes.limit = moment.number
    decoders = Decoders((), lambda: clock.now())
    latest: dict[str, float] = {}
    while (chunk := tapes.read()) is not None:
        rows, number = chunk.rows, tapes.number - len(chunk.rows)
        found = decoders.of(chunk.state, rows, is_given=True) if len(rows) else None
        if found is None:
            continue
        key = chunk.state.key
        for at, row in enumerate(rows.items):
            number += 1
            offset = rows.offset(at)
            if isinstance(row, HugeLine):
                events = [Malformed(offset, row.size, "a huge line", row.head[:200])]
            else:
                data = row.data if isinstance(row, Line) else row
                events = found.decoder.decode(data, offset)
            for event in events:
                time = None if isinstance(event, Malformed) else event.time
                latest[key] = max(latest.get(key, clock.start), -inf if time is None else time)
                yield told(number, latest[key], clock.start, event)
    tapes.close()


def _moment(text: str | None, clock: VirtualClock) -> Moment:
    if text is None:
        return Moment(time=clock.end)
    return parse_at(text, start=clock.start, end=clock.end)
