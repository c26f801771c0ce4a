"""Keys pressed and words looked for while a screen paints: how long each takes to be seen."""

import time
from collections.abc import Mapping, Sequence

from msgspec import Struct, field

from tests.bench.feeder import MARK
from tests.bench.screen import Screen

LOST_SECONDS = 5.0
"""A key that is not seen by then counts as this long."""


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that so large a share of the values does not pass."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


class Cursor:
    """The highlighted line of the board's first panel, found by the colour behind it."""

    COLUMN = 1

    def __init__(self, screen: Screen, top: int, lines: int) -> None:
        self.screen = screen
        self.rows = range(top, top + lines)

    @property
    def row(self) -> int | None:
        """The one row whose colour no other has; None between two paints."""
        grounds = [self.screen.terminal.background(row, self.COLUMN) for row in self.rows]
        single = [at for at, ground in enumerate(grounds) if grounds.count(ground) == 1]
        return self.rows[single[0]] if len(single) == 1 else None


class Watcher(Struct):
    """Notes when words are first on the screen."""

    screen: Screen
    seen: dict[str, float] = field(default_factory=dict[str, float])

    def watch(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            if self.screen.pump(left):
                shown = self.screen.terminal.text()
                now = time.monotonic()
                for word in MARK.findall(shown):
                    self.seen.setdefault(word, now)


def press(screen: Screen, cursor: Cursor, seconds: float, gap: float) -> list[float]:
    """Moves the cursor up and down; milliseconds from each key to the moved highlight."""
    taken: list[float] = []
    deadline = time.monotonic() + seconds
    down = True
    while time.monotonic() < deadline:
        before = cursor.row
        if before is None:
            screen.pump(0.01)
            continue
        wanted = before + (1 if down else -1)
        pressed = screen.send("j" if down else "k")
        taken.append(_until(screen, cursor, wanted, pressed) * 1000)
        down = not down
        screen.run_for(max(0.0, pressed + gap - time.monotonic()))
    return taken


def _until(screen: Screen, cursor: Cursor, wanted: int, pressed: float) -> float:
    while (passed := time.monotonic() - pressed) < LOST_SECONDS:
        if cursor.row == wanted:
            return passed
        screen.pump(0.01)
    return LOST_SECONDS


def latencies(written: Mapping[str, float], seen: Mapping[str, float]) -> list[float]:
    """Milliseconds from the writing of each word until it was seen; unseen ones as lost."""
    return [
        (seen.get(word, moment + LOST_SECONDS) - moment) * 1000 for word, moment in written.items()
    ]
