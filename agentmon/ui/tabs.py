"""The tabs of the screen, declared once: the board, and pages that stand beside it."""

from msgspec import Struct


class Tab(Struct, frozen=True):
    """`command` is the id of the command that goes there."""

    id: str
    title: str
    command: str


LIVE = Tab("live", "Live", "tab_live")
TOOLS = Tab("tools", "Tools", "tab_tools")

TABS: tuple[Tab, ...] = (LIVE, TOOLS)
"""From left to right. A tab besides the board is a `screens.page.Page` with this `TAB`."""


def beside(tab: Tab, step: int) -> Tab:
    """The tab so many places to the right, round the end."""
    return TABS[(TABS.index(tab) + step) % len(TABS)]
