"""The app as its screens know it."""

from textual.app import App

from agentmon.ui.widgets.ink import Roles


class Host(App[None]):
    """Typed for screens; `agentmon.ui.app` has the real one."""

    def __init__(self) -> None:
        super().__init__()
        self.roles = Roles(self)

    def to_terminal(self, sequence: str) -> None:
        """Sends a control sequence of our own making to the terminal; nothing where there is none.
        Never give it a text that an agent wrote."""
        if self._driver is not None and not self.is_headless:
            self._driver.write(sequence)
