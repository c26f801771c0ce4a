"""The command palette: every declared command, found by title and help."""

from functools import partial
from typing import cast

from textual.command import DiscoveryHit, Hit, Hits, Provider
from textual.content import Content

from agentmon.ui.commands import COMMANDS, PAGES, Command


class CommandProvider(Provider):
    """Offers `COMMANDS`, those of a page on that page only; a chosen one runs on the screen below
    the palette."""

    @property
    def _offered(self) -> list[Command]:
        own = getattr(self.screen, "PANEL", None)
        return [c for c in COMMANDS if c.context not in PAGES or c.context == own]

    async def discover(self) -> Hits:
        for command in self._offered:
            yield DiscoveryHit(
                Content(_title(command)), self._run(command), text=command.title, help=command.help
            )

    async def search(self, query: str) -> Hits:
        matcher = self.matcher(query)
        for command in self._offered:
            text = f"{command.title} {command.help}"
            score = max(matcher.match(command.title), matcher.match(text) * 0.8)
            if score > 0:
                yield Hit(
                    score,
                    Content(_title(command)),
                    self._run(command),
                    text=command.title,
                    help=command.help,
                )

    def _run(self, command: Command) -> "partial[object]":
        return cast("partial[object]", partial(self.screen.run_action, f"do('{command.id}')"))


def _title(command: Command) -> str:
    return f"{command.title}  ({command.key_label})" if command.keys else command.title
