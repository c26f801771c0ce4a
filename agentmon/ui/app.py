"""The app: one feed, one main screen, themes, the palette, an orderly end."""

import asyncio
import signal
from functools import partial

from agentmon.assets import asset
from agentmon.config import Settings
from agentmon.core.attention import AttentionSettings
from agentmon.engine.feed import Feed
from agentmon.ui import commands, terminal
from agentmon.ui.host import Host
from agentmon.ui.palette import CommandProvider
from agentmon.ui.screens.main import MainScreen

INTERRUPTED = 130
"""The exit code after Ctrl+C."""


class AgentmonApp(Host):
    """Shows a feed until a person leaves. `return_code` is 0 after q, 130 after Ctrl+C."""

    CSS_PATH = asset("agentmon.tcss")
    TITLE = "agentmon"
    COMMANDS = {CommandProvider}
    ENABLE_COMMAND_PALETTE = True
    BINDINGS = [binding for binding in commands.bindings() if binding.id in commands.PRIORITY]

    def __init__(
        self,
        feed: Feed,
        *,
        settings: Settings,
        title_note: str = "",
        attention: AttentionSettings | None = None,
    ) -> None:
        super().__init__()
        self.feed = feed
        self.settings = settings
        self.main = MainScreen(feed, settings, title_note, attention)
        self._starting: asyncio.Task[None] | None = None

    def get_default_screen(self) -> MainScreen:
        return self.main

    def on_mount(self) -> None:
        if self.settings.ui.theme in self.available_themes:
            self.theme = self.settings.ui.theme
        else:
            self.main.set_problem(f"There is no theme {self.settings.ui.theme!r}")
        self._catch_terminate(True)
        self._watch_terminal()
        self._starting = asyncio.create_task(self._start_feed())

    async def _start_feed(self) -> None:
        try:
            await self.feed.start()
        except Exception as error:
            # A screen that says what is wrong is worth more than none.
            self.main.set_problem(f"The engine does not start: {error}")

    async def on_unmount(self) -> None:
        self._catch_terminate(False)
        if self._starting is not None and not self._starting.done():
            self._starting.cancel()
            await asyncio.wait({self._starting})
        await self.feed.stop()

    def action_do(self, command_id: str) -> None:
        """Ctrl+C, over the palette and whatever else has the keys."""
        self.exit(return_code=INTERRUPTED)

    def _catch_terminate(self, catch: bool) -> None:
        """SIGTERM restores the terminal too, and a closed terminal (SIGHUP) leaves nothing behind,
        where the loop can listen for them."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGHUP):
            try:
                if catch:
                    loop.add_signal_handler(number, self._terminated, number)
                else:
                    loop.remove_signal_handler(number)
            except (NotImplementedError, RuntimeError, ValueError):
                return

    def _watch_terminal(self) -> None:
        fileno = getattr(self._driver, "fileno", None)
        if isinstance(fileno, int) and not self.is_headless:
            loop = asyncio.get_running_loop()
            hung_up = partial(self._terminated, signal.SIGHUP)
            terminal.when_gone(fileno, lambda: loop.call_soon_threadsafe(hung_up))

    def _terminated(self, number: int) -> None:
        """The exit code is written as shells write it."""
        self.exit(return_code=128 + number)
