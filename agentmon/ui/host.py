"""The app as its screens know it."""

from textual.app import App


class Host(App[None]):
    """Typed for screens; `agentmon.ui.app` has the real one."""
