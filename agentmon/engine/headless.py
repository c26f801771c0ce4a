"""A replay without a screen: the store as of a moment, and the events one by one."""

import tempfile
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from math import inf
from pathlib import Path

from agentmon.core.events import Malformed
from agentmon.engine.decoders import Decoders, Decoding
from agentmon.engine.ingest import Ingestion
from agentmon.engine.moments import Moment, parse_at
from agentmon.engine.playback import TAPES, clock_over, read_until
from agentmon.report.event_lines import EventLine, told
from agentmon.report.naming import the_round
from agentmon.sources.clock import VirtualClock
from agentmon.sources.decoding import Decoded
from agentmon.sources.lines import HugeLine, Piece, data_of
from agentmon.sources.tapes import Tapes
from agentmon.store.read_round import start_of_round

Paths = Sequence[str]


@contextmanager
def as_of(
    paths: Paths, text: str | None, forced: str | None = None
) -> Generator[tuple[Ingestion, float]]:
    """A store with every line up to a moment, and the time of it; `forced` is what `--format`
    names. Raises OSError, NothingToPlay, NoMoment, StoreError, and Unclear for a round that isn't
    there."""
    with tempfile.TemporaryDirectory(prefix="agentmon-") as folder:
        spool = Path(folder) / TAPES
        clock = clock_over(paths, spool, forced=forced)
        moment = _moment(text, clock)
        if moment.round is not None:
            with Ingestion(Path(folder) / "all") as run:
                whole = Moment(time=clock.end)
                read_until(run.engine, paths, clock, whole, spool=spool, forced=forced)
                run.commit()
                start = start_of_round(run.conn, *the_round(run.conn, moment.round))
            moment = Moment(time=start)
        with Ingestion(Path(folder) / "store") as run:
            read_until(run.engine, paths, clock, moment, spool=spool, forced=forced)
            run.commit()
            yield run, clock.now()


def events_of(paths: Paths, text: str | None, forced: str | None = None) -> Iterator[EventLine]:
    """Every event up to a moment, in the order of a replay. Raises what `as_of` does."""
    with tempfile.TemporaryDirectory(prefix="agentmon-") as folder:
        spool = Path(folder)
        clock = clock_over(paths, spool, forced=forced)
        moment = _moment(text, clock)
        if moment.round is not None:
            with as_of(paths, text, forced) as (_, time):
                moment = Moment(time=time)
        tapes = Tapes(paths, clock, spool=spool, format=forced)
        tapes.limit = moment.number
        if moment.time is None:
            clock.be_led(True)
        else:
            clock.stand_at(moment.time)
        yield from _events(tapes, clock)
        tapes.close()


def _events(tapes: Tapes, clock: VirtualClock) -> Iterator[EventLine]:
    received = clock.start
    decoders = Decoders((), lambda: received)
    latest: dict[str, float] = {}
    while (chunk := tapes.read()) is not None:
        rows, label = chunk.rows, chunk.label
        if not len(rows) or label is None:
            continue
        received, number = label.received, tapes.number - len(rows)
        found = decoders.of(chunk.state, rows, is_given=True, told=label.format)
        key = chunk.state.key
        for at, row in enumerate(rows.items if found is not None else ()):
            number += 1
            for event in _told(found, row, rows.offset(at)):
                time = None if isinstance(event, Malformed) else event.time
                latest[key] = max(latest.get(key, clock.start), -inf if time is None else time)
                yield told(number, latest[key], clock.start, event)


def _told(found: Decoding | None, row: bytes | Piece, offset: int) -> Sequence[Decoded]:
    if isinstance(row, HugeLine):
        return [Malformed(offset, row.size, "a huge line", row.head[:200])]
    return found.decoder.decode(data_of(row), offset) if found is not None else ()


def _moment(text: str | None, clock: VirtualClock) -> Moment:
    if text is None:
        return Moment(time=clock.end)
    return parse_at(text, start=clock.start, end=clock.end)
