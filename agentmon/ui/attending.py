"""Calling a person: the terminal's bell and title, from what is new on the board."""

from agentmon.core.attention import (
    Alert,
    Attention,
    AttentionSettings,
    Sighting,
    most_urgent,
    title_words,
)
from agentmon.core.health import Limits
from agentmon.core.text import one_line
from agentmon.report import render
from agentmon.report.board import Board, Thread
from agentmon.report.known import name_of
from agentmon.report.render import State
from agentmon.ui.host import Host
from agentmon.ui.stillness import States

_KEEP_TITLE = "\x1b[22;2t"
_GIVE_BACK_TITLE = "\x1b]2;\x07\x1b[23;2t"
"""The title that was there before, where the terminal keeps titles; else none."""

_KEYS = {"permission": " · p goes there", "stall": " · s goes there", "death": " · s goes there"}


def sighting(thread: Thread, shown: State) -> Sighting:
    """What attention wants to know of a line of the board."""
    session, row = thread.session, thread.row
    return Sighting(
        sid=row.sid,
        agent_id=row.agent_id,
        name=name_of(thread),
        state=shown.word,
        label=shown.label,
        phase=row.phase,
        phase_since=row.phase_since,
        heard=render.heard(thread),
        round_id=session.round_id,
        round_end=session.round_end,
    )


class Attendant:
    """Looks at each board once a second and calls when something is new."""

    def __init__(self, app: Host, settings: AttentionSettings) -> None:
        self._app = app
        self._settings = settings
        self._attention = Attention(settings)
        self._title = ""
        self._states = States()

    def look(self, board: Board, now: float, limits: Limits, *, is_loading: bool) -> Alert | None:
        """Rings for what is new, keeps the title; the news that matters most, to be told."""
        states = self._states
        seen = [sighting(one, states.of(one, now, limits)) for one in board.threads]
        alerts = self._attention.look(seen, now, is_loading=is_loading)
        if alerts and self._settings.bell:
            self._app.bell()
        if self._settings.title:
            words = [sighting.state for sighting in seen]
            stalled = words.count("stalled") + words.count("overdue")
            self._set_title(title_words(words.count("permission"), stalled))
        return most_urgent(alerts)

    def leave(self) -> None:
        """Gives the terminal its title back."""
        if self._title:
            self._app.to_terminal(_GIVE_BACK_TITLE)
            self._title = ""

    def _set_title(self, title: str) -> None:
        if title != self._title:
            first = "" if self._title else _KEEP_TITLE
            self._app.to_terminal(f"{first}\x1b]2;{title}\x07")
            self._title = title


def words(alert: Alert) -> str:
    """An alert in one line, for the footer."""
    return f"{one_line(alert.name, 30)}: {one_line(alert.label, 30)}{_KEYS.get(alert.kind, '')}"
