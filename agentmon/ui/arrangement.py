"""How the panes share the screen at any size. Pure: sizes in, heights out."""

from typing import Literal

from msgspec import Struct

Shape = Literal["wide", "stack", "small", "tiny"]

MIN_WIDTH, MIN_HEIGHT = 40, 10
WIDE_FROM = 110
STACK_FROM = 22
"""Rows that four stacked panes need to be worth it."""

PANELS = ("sessions", "pending", "rounds", "stream")
LOWER = PANELS[1:]
"""Panes of which a small screen shows one below the sessions."""


class Heights(Struct, frozen=True):
    """Rows of each pane; 0 hides it."""

    sessions: int = 0
    pending: int = 0
    rounds: int = 0
    stream: int = 0

    def of(self, panel: str) -> int:
        return int(getattr(self, panel))


def shape(width: int, height: int) -> Shape:
    """Which of the arrangements a terminal gets."""
    if width < MIN_WIDTH or height < MIN_HEIGHT:
        return "tiny"
    if width >= WIDE_FROM and height >= 16:
        return "wide"
    return "stack" if height >= STACK_FROM else "small"


def wide(height: int, sessions: int, pending: int) -> Heights:
    """Two columns: sessions over pending, rounds over stream."""
    tools = max(4, min(pending + 1, height // 3))
    top = _clamp(sessions + 3, height // 2, height - tools)
    rounds = height * 2 // 5
    return Heights(top, height - top, rounds, height - rounds)


def stack(height: int, sessions: int, pending: int, focused: str) -> Heights:
    """One column of four; the focused pane grows."""
    top = _clamp(sessions + 1, 3, height // 2 if focused == "sessions" else height // 3)
    tools = _clamp(pending + 1, 3, height // 2) if focused == "pending" else 3
    rest = height - top - tools
    if rest < 6:
        top, rest = top - (6 - rest), 6
    share = {"rounds": 13, "stream": 6}.get(focused, 9)
    rounds = _clamp(rest * share // 20, 3, rest - 3)
    return Heights(top, tools, rounds, rest - rounds)


def small(height: int, sessions: int, focused: str, lower: str) -> Heights:
    """The sessions and one more."""
    most = height - 4 if focused == "sessions" else height * 2 // 5
    top = _clamp(sessions + 1, 3, most)
    rest = height - top
    return Heights(
        top,
        rest if lower == "pending" else 0,
        rest if lower == "rounds" else 0,
        rest if lower == "stream" else 0,
    )


def zoomed(height: int, focused: str) -> Heights:
    """All for one."""
    return Heights(*(height if panel == focused else 0 for panel in PANELS))


def _clamp(value: int, low: int, high: int) -> int:
    return max(low, min(value, high))
