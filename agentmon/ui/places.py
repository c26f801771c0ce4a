"""Where a person was, so that Esc leads back: a stack of places. Pure."""

from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from agentmon.report.family import Key
from agentmon.ui.tree import NodeKey

if TYPE_CHECKING:
    from agentmon.ui.screens.page import Page

DEEPEST = 50
"""Places that are remembered; the oldest is forgotten first."""


class Place(Struct, frozen=True):
    """What was looked at, and from where."""

    panel: str
    selected: Key | None
    pin: NodeKey | None
    row: Hashable | None
    """The line that the cursor of the panel was on."""
    rounds_top: int
    stream_key: tuple[str, ...]
    stream_top: int
    is_at_end: bool
    page: "Callable[[], Page[Any]] | None" = None
    """Makes the page again that covered the board there."""

    def looks_like(self, other: "Place") -> bool:
        """Whether going there would change nothing that a person sees at once."""
        ours = self.panel, self.selected, self.pin, self.page
        return ours == (other.panel, other.selected, other.pin, other.page)


class Trail:
    """Places behind, the last one left first."""

    def __init__(self) -> None:
        self._places: list[Place] = []

    def __len__(self) -> int:
        return len(self._places)

    def leave(self, place: Place) -> None:
        """Remembers a place that is left for another one."""
        if not self._places or not self._places[-1].looks_like(place):
            self._places.append(place)
            del self._places[:-DEEPEST]

    def back(self, here: Place) -> Place | None:
        """The last place left that is not where one is already; None: there is none."""
        while self._places:
            place = self._places.pop()
            if not place.looks_like(here):
                return place
        return None

    def came_back(self, panel: str) -> None:
        """Forgets the last places left if they were in a panel to which a person went by hand."""
        while self._places and self._places[-1].panel == panel:
            self._places.pop()
