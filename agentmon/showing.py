"""What is shown and over what: a live feed, a replay or the demo, as a screen or printed once."""

import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from agentmon import config, logfile
from agentmon.assets import asset
from agentmon.core.attention import AttentionSettings
from agentmon.core.health import Limits
from agentmon.core.text import clean, json_text
from agentmon.engine.feed import Feed
from agentmon.engine.ingest import Ingestion
from agentmon.engine.judging import Judge
from agentmon.engine.live import BACKLOG_BYTES, Live
from agentmon.engine.places import inputs, limits, policy
from agentmon.engine.playback import Playback
from agentmon.report import board, known, render
from agentmon.sources.procs import LOOK_DISTANCE, Processes
from agentmon.store import db, verdicts

DEMO = "demo.jsonl"
DEMO_MOMENT = 0.145
"""Which part of the demo is printed where there is no terminal to play it on."""


class Request(Struct):
    """What was asked for on the command line."""

    settings: config.Settings
    paths: tuple[str, ...]
    replay: tuple[str, ...]
    """Recordings to play, together."""
    demo: bool
    speed: float
    width: int
    color: bool
    as_json: bool
    format: str | None = None
    """As `--format` names it; None: recognised by content."""
    redis: str | None = None
    """Where lines of other machines come from."""
    taps: tuple[str, ...] = ()
    """Lines to paste into another pane, for taps that listen already."""
    at: str | None = None
    """The moment of a replay, as `engine.moments` reads it."""


# -- printed once


def print_once(request: Request) -> str:
    """The board as text or JSON. Raises StoreError, OSError, NothingToPlay, NoMoment, Unclear."""
    bounds = limits(request.settings)
    if request.demo or request.replay:
        found, facts, now = _recorded(request)
        looked: list[str] = []
    else:
        found, facts, looked = _current(request)
        now = time.time()
    if request.as_json:
        shown = render.board_json(found, now, bounds, known=facts)
        return json_text(shown, indent=2)
    return render.board_text(
        found,
        now,
        bounds,
        width=request.width,
        ascii=request.settings.ui.ascii,
        color=request.color,
        looked_for=looked,
        known=facts,
    )


Facts = dict[known.Key, known.Known]


def _recorded(request: Request) -> tuple[board.Board, Facts, float]:
    """The board as of a moment; else at a lively one of the demo, or at the end of a replay."""
    from agentmon.engine.headless import as_of

    at = request.at or (f"{100 * DEMO_MOMENT}%" if request.demo else None)
    with as_of(_recordings(request), at, request.format) as (run, moment):
        found = board.load(run.conn)
        return found, known.load(run.conn, found), moment


def _recordings(request: Request) -> list[str]:
    return [str(asset(DEMO))] if request.demo else list(request.replay)


def replay_in(folder: Path) -> None:
    """Has the store of a replay, which goes with it, made in this folder. Raises StoreError."""
    db.make_folder(folder)
    tempfile.tempdir = str(folder)


def print_events(request: Request) -> Iterator[str]:
    """Every event of a replay, up to `at`: a line of text or JSON each. Raises OSError,
    NothingToPlay, NoMoment, Unclear."""
    from agentmon.engine.headless import events_of
    from agentmon.report.event_lines import plain

    for line in events_of(_recordings(request), request.at, request.format):
        yield json_text(msgspec.structs.asdict(line)) if request.as_json else plain(line)


def _current(request: Request) -> tuple[board.Board, Facts, list[str]]:
    data_dir = config.data_dir(request.settings, os.environ)
    settings, paths = request.settings, request.paths
    if paths:
        _refuse_missing(paths)
    if request.redis is not None:
        from agentmon.engine.mirroring import Mirror

        mirror = Mirror.at(request.redis, data_dir)
        mirror.take_all()
        settings, paths = mirror.with_paths(settings, paths)
    found = inputs(settings, paths, follow=False)
    looked = found.looked_for
    if not found.expanded.files and not db.database(data_dir).exists():
        return board.Board([], []), {}, looked
    if found.expanded.files and db.writer_of(data_dir) is None:
        with Ingestion(data_dir, forced=request.format) as run:
            since = request.settings.discover.since
            run.read_inputs(found.expanded, since=since, only_recent=True)
            for problem in sorted(run.engine.problems.values()):
                sys.stderr.write(f"agentmon: {clean(problem, newline=False)}\n")
            _judge(run, limits(request.settings))
    conn = db.open_reading(data_dir)
    try:
        shown = board.load(conn)
        return shown, known.load(conn, shown), looked
    finally:
        conn.close()


def _refuse_missing(paths: Sequence[str]) -> None:
    for path in paths:
        if path != "-" and not os.path.exists(path):
            raise FileNotFoundError(2, "no such file or folder", path)


def _judge(run: Ingestion, bounds: Limits) -> None:
    """Looks at the process table, twice where somebody seems to be gone, and stores verdicts."""
    processes, judge = Processes(), Judge(bounds)
    found = board.load(run.conn)
    wanted = judge.pids(found)
    seen = processes.look(wanted, time.time())
    if processes.suspects:
        time.sleep(LOOK_DISTANCE + 0.05)
        seen = processes.look(wanted, time.time())
    changes = judge.judge(found, seen, time.time())
    if changes:
        verdicts.write(run.conn, changes)


# -- the screen


def show(request: Request) -> int:
    """Runs the screen until it is left; the exit code. Raises StoreError, OSError."""
    logfile.keep(config.state_dir(os.environ))
    stdin = _keyboard_from_terminal() if "-" in (*request.paths, *request.replay) else 0
    feed = _feed(request, stdin)
    os.environ.setdefault("TEXTUAL_FPS", "120")  # read when Textual is imported (perf.md 6)
    from agentmon.ui.app import AgentmonApp

    attention = AttentionSettings(**msgspec.structs.asdict(request.settings.attention))
    app = AgentmonApp(feed, settings=request.settings, attention=attention)
    _paint_on_terminal()
    app.run(mouse=request.settings.ui.mouse)
    if isinstance(feed, Live) and feed.failure is not None:
        raise feed.failure
    return app.return_code or 0


def _feed(request: Request, stdin: int) -> Feed:
    bounds = limits(request.settings)
    if request.demo or request.replay:
        return Playback(
            _recordings(request),
            bounds,
            title="demo" if request.demo else "replay",
            speed=request.speed,
            loops=request.demo,
            at=request.at,
            forced=request.format,
            stdin=stdin,
        )
    data_dir = config.data_dir(request.settings, os.environ)
    db.make_folder(data_dir)
    db.create(data_dir).close()  # what keeps it from opening is said before there is a screen
    settings, paths, beside = request.settings, request.paths, ()
    if request.redis is not None:
        from agentmon.engine.mirroring import Mirror

        mirror = Mirror.at(request.redis, data_dir)
        settings, paths = mirror.with_paths(settings, paths)
        beside = (mirror,)
    found = inputs(settings, paths)
    since = request.settings.discover.since
    if "-" not in request.paths and db.writer_of(data_dir) is None:
        with Ingestion(data_dir, forced=request.format) as run:
            run.read_first(found.expanded, since=since, at_least=BACKLOG_BYTES)
    return Live(
        data_dir,
        paths,
        bounds,
        looked_for=found.looked_for,
        poll=request.settings.follow.poll,
        stdin=stdin,
        look=lambda: found.expanded,
        since=request.settings.discover.since,
        forced=request.format,
        retention=policy(request.settings),
        searching=request.settings.search,
        beside=beside,
        taps=request.taps,
    )


def _paint_on_terminal() -> None:
    """Textual paints on standard error; where that is a file, the terminal is standard output."""
    if not os.isatty(2) and os.isatty(1):
        sys.__stderr__ = sys.__stdout__  # pyright: ignore[reportAttributeAccessIssue]


def _keyboard_from_terminal() -> int:
    """Standard input is data: it moves to the descriptor returned, the keyboard takes its place."""
    data = os.dup(0)
    terminal = os.open("/dev/tty", os.O_RDWR)
    os.dup2(terminal, 0)
    os.close(terminal)
    return data
