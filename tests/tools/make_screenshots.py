"""Makes screenshots/ from the bundled recording: SVG and PNG, at 80x24 and 160x50.

    python -m pip install -e ".[dev,screenshots]" && python -m tests.tools.make_screenshots

The board is what a live agentmon would have shown at a moment of the recording; no clock runs.
"""

import asyncio
import os
import re
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from msgspec import Struct
from msgspec.structs import replace

from agentmon.assets import asset
from agentmon.config import Settings
from agentmon.core.health import Limits
from agentmon.engine.feed import Status, Transport
from agentmon.engine.ingest import Ingestion
from agentmon.engine.judging import Judge
from agentmon.engine.playback import Playback, clock_over, read_until
from agentmon.report import board
from agentmon.store import db, verdicts
from agentmon.store.async_store import AsyncStore, open_async
from agentmon.store.deltas import block_path, read_bytes
from agentmon.ui.app import AgentmonApp

T = TypeVar("T")

TARGET = Path(__file__).resolve().parents[2] / "screenshots"
WIDE, SMALL, PANE = (160, 50), (80, 24), (60, 20)


class Shot(Struct):
    """A picture: seconds into the recording, size, and the keys pressed before it is taken."""

    name: str
    seconds: float
    size: tuple[int, int]
    keys: Sequence[str] = ()
    theme: str = "textual-dark"
    is_replay: bool = False
    """With the deck of a replay, indexed and held at that moment."""


SHOTS = (
    Shot("board-160x50", 38.0, WIDE),
    Shot("board-80x24", 38.0, SMALL),
    Shot("board-60x20", 38.0, PANE),
    Shot("permission-80x24", 35.0, SMALL, ("p",)),
    Shot("stall-160x50", 104.0, WIDE, ("s",)),
    Shot("evidence-80x24", 104.0, SMALL, ("s", "i")),
    Shot("rounds-80x24", 200.0, SMALL, ("3", "z")),
    Shot("tools-80x24", 200.0, SMALL, ("T",)),
    Shot("round-160x50", 200.0, WIDE, ("/", *"infra", "enter", "v")),
    Shot("incidents-80x24", 200.0, SMALL, ("P", "w")),
    Shot("replay-80x24", 104.0, SMALL, is_replay=True),
    Shot("help-80x24", 35.0, SMALL, ("?",)),
    Shot("light-80x24", 38.0, SMALL, (), "textual-light"),
)


class Moment:
    """A `Feed` that stands still at one moment of a recording."""

    transport: Transport | None = None

    def __init__(self, data_dir: Path, now: float) -> None:
        self.revision = 1
        self.data_dir = data_dir
        self.limits = Limits()
        self._now = now
        self._reader: AsyncStore | None = None
        self._opened = asyncio.Event()

    def now(self) -> float:
        return self._now

    async def query(self, fn: Callable[[sqlite3.Connection], T]) -> T:
        await self._opened.wait()
        if self._reader is None:
            raise db.StoreError("the store is closed")
        return await self._reader.run(fn)

    def read_text(self, sid: str, flow_id: str, index: int, start: int, end: int) -> bytes:
        return read_bytes(self.data_dir, block_path(sid, flow_id, index), start, end)

    def status(self) -> Status:
        return Status(lag_ms=12.0, rss_mb=46.0, cpu_percent=3.0, files=1)

    async def start(self) -> None:
        self._reader = await open_async(lambda: db.open_reading(self.data_dir))
        self._opened.set()

    async def stop(self) -> None:
        if self._reader is not None:
            await self._reader.close()
            self._reader = None


class Held(Playback):
    """A replay whose own figures are those of the other pictures."""

    def status(self) -> Status:
        return replace(super().status(), rss_mb=46.0, cpu_percent=3.0, store=None)


def recorded(folder: Path, seconds: float) -> Moment:
    """A store with everything up to a moment of the demo, and its verdicts."""
    path = str(asset("demo.jsonl"))
    clock = clock_over([path])
    now = clock.start + seconds
    with Ingestion(folder) as run:
        read_until(run.engine, [path], clock, now)
        run.commit()
        feed = Moment(folder, now)
        found = board.load(run.conn)
        verdicts.write(run.conn, Judge(feed.limits).judge(found, None, now))
    return feed


async def take(shot: Shot, folder: Path) -> str:
    """The SVG of a shot."""
    if shot.is_replay:
        feed = Held([str(asset("demo.jsonl"))], Limits(), at=f"+{shot.seconds:g}s")
    else:
        feed = recorded(folder / shot.name, shot.seconds)
    settings = Settings()
    app = AgentmonApp(feed, settings=settings)
    async with app.run_test(size=shot.size) as pilot:
        app.theme = shot.theme
        if isinstance(feed, Held):
            await feed.timeline.done.wait()
            if feed.deck.playing:
                feed.deck.toggle()
            await feed.deck.seek(feed.deck.start + shot.seconds)
        for _ in range(4):
            await pilot.pause(0.3)
        for key in shot.keys:
            await pilot.press(key)
            await pilot.pause(0.5)
        await pilot.pause(0.5)
        return app.export_screenshot(title=f"agentmon · {shot.size[0]}x{shot.size[1]}")


def still(svg: str) -> str:
    """The same picture gives the same file: Textual numbers its classes anew each time."""
    found = re.search(r"terminal-(\d+)-", svg)
    return svg if found is None else svg.replace(found.group(1), "0")


def picture(svg: str, target: Path, folder: Path) -> None:
    """A PNG of it; the web font is not at hand here, one with all the glyphs is."""
    local = re.sub(r"@font-face \{.*?\}", "", svg, flags=re.DOTALL)
    source = folder / "picture.svg"
    source.write_text(local.replace("Fira Code", "DejaVu Sans Mono"), "utf-8")
    subprocess.run([sys.executable, "-m", "cairosvg", source, "-o", target], check=True)


def main() -> None:
    os.environ.setdefault("TEXTUAL_ANIMATIONS", "none")
    TARGET.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="agentmon-") as folder:
        for shot in SHOTS:
            svg = still(asyncio.run(take(shot, Path(folder))))
            (TARGET / f"{shot.name}.svg").write_text(svg, "utf-8")
            picture(svg, TARGET / f"{shot.name}.png", Path(folder))
            print(shot.name)


if __name__ == "__main__":
    main()
