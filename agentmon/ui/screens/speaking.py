"""A screen with a footer that can also say a sentence to the person."""

import time
from typing import TypeVar

from textual import getters
from textual.screen import Screen

from agentmon.ui.host import Host
from agentmon.ui.widgets.bars import Footer, Note

R = TypeVar("R")

NOTE_SECONDS = 4.0


class Speaking(Screen[R]):
    """Says sentences in its footer, for a moment or until the next key."""

    app = getters.app(Host)

    def __init__(self, *, ascii_only: bool) -> None:
        super().__init__()
        self.footer = Footer(id="footer", ascii_only=ascii_only)
        self._note_until = 0.0

    def say(self, text: str, role: str = "warning") -> None:
        """One sentence in the footer for a moment; of the screen that covers this one, if any."""
        top = self.app.screen
        (top if isinstance(top, Speaking) else self).note(Note(text, role))

    def note(self, note: Note) -> None:
        self._note_until = time.monotonic() + NOTE_SECONDS
        self.footer.message = note
        self.footer.sync()

    def unsay(self) -> None:
        if self.footer.message is not None:
            self.footer.message = None
            self.footer.sync()

    def fade_note(self) -> None:
        """Takes a sentence away that was there long enough."""
        if time.monotonic() > self._note_until:
            self.unsay()
