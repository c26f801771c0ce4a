"""What the commands do: one method per id of `agentmon.ui.commands`, over the main screen."""

from collections.abc import Callable
from datetime import datetime
from inspect import isawaitable
from typing import cast

from agentmon.ui import arrangement
from agentmon.ui.commands import BY_ID
from agentmon.ui.decking import Decking
from agentmon.ui.screens.overlays import HelpScreen

TOURS = ("next_stall", "previous_stall", "next_permission", "next_error", "previous_error")
"""Commands that go from one place of trouble to the next."""


class Actions(Decking):
    """The commands of the main screen; drilling, jumping and the tape deck are in the bases."""

    async def do(self, command_id: str) -> None:
        """Runs a declared command; what goes wrong is said, the screen goes on."""
        if BY_ID[command_id].context in ("replay", "deck") and not self.screen.is_replay:
            self.screen.say("This is live: only a replay can be played and wound")
            return
        method = cast("Callable[[], object]", getattr(self, command_id))
        try:
            result = method()
            if isawaitable(result):
                await result
        except Exception as error:
            self.screen.say(f"{BY_ID[command_id].title}: {error}", "error")
        self.is_touring = command_id in TOURS

    # The program

    def quit(self) -> None:
        self.screen.app.exit()

    def interrupt(self) -> None:
        self.screen.app.exit(return_code=130)

    def help(self) -> None:
        screen = self.screen
        ascii_only = screen.view.ascii_only
        screen.app.push_screen(
            HelpScreen(screen.desk.panel, replay=screen.is_replay, ascii_only=ascii_only)
        )

    def palette(self) -> None:
        self.screen.app.action_command_palette()

    def theme(self) -> None:
        self.screen.app.search_themes()

    def times(self) -> None:
        screen = self.screen
        screen.view.absolute = not screen.view.absolute
        for pane in screen.desk.panes.values():
            pane.sync()
        zone = datetime.fromtimestamp(screen.view.now).astimezone().strftime("%Z")
        words = f"Times of day in {zone}" if screen.view.absolute else "Relative times"
        screen.say(words, "accent")

    def pause(self) -> None:
        screen = self.screen
        screen.set_paused(not screen.is_paused)

    # Panels

    def panel_sessions(self) -> None:
        self._show_panel("sessions")

    def panel_pending(self) -> None:
        self._show_panel("pending")

    def panel_rounds(self) -> None:
        self._show_panel("rounds")

    def panel_stream(self) -> None:
        self._show_panel("stream")

    def next_panel(self) -> None:
        self._turn(1)

    def previous_panel(self) -> None:
        self._turn(-1)

    def _turn(self, step: int) -> None:
        place = arrangement.PANELS.index(self.screen.desk.panel)
        self._show_panel(arrangement.PANELS[(place + step) % len(arrangement.PANELS)])

    def _show_panel(self, panel: str) -> None:
        self.trail.came_back(panel)
        self.screen.focus_panel(panel)

    def zoom(self) -> None:
        self.screen.desk.is_zoomed = not self.screen.desk.is_zoomed
        self.screen.desk.place()

    # Moving

    def _move(self, how: str) -> None:
        self.screen.desk.panes[self.screen.desk.panel].move(how)

    def down(self) -> None:
        self._move("down")

    def up(self) -> None:
        self._move("up")

    def top(self) -> None:
        self._move("top")

    def bottom(self) -> None:
        self._move("bottom")

    def page_down(self) -> None:
        self._move("page_down")

    def page_up(self) -> None:
        self._move("page_up")

    def half_down(self) -> None:
        self._move("half_down")

    def half_up(self) -> None:
        self._move("half_up")

    def first(self) -> None:
        self._move("top")

    def last(self) -> None:
        self._move("bottom")
