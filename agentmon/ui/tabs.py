"""The tabs of the screen, declared once: the board, and pages that stand beside it."""

from collections.abc import Mapping

from msgspec import Struct

MOST = 99
"""What a title counts up to."""


class Tab(Struct, frozen=True):
    """`command` is the id of the command that goes there; `short` is its title in a small pane."""

    id: str
    title: str
    command: str
    short: str = ""


LIVE = Tab("live", "Live", "tab_live", "Live")
TOOLS = Tab("tools", "Tools", "tab_tools", "Tools")
MESSAGES = Tab("messages", "Messages", "tab_messages", "Msgs")
DECISIONS = Tab("decisions", "Decisions", "tab_decisions", "Dec")
WORK = Tab("work", "Work", "tab_work", "Work")

TABS: tuple[Tab, ...] = (LIVE, TOOLS, MESSAGES, DECISIONS, WORK)
"""From left to right. A tab besides the board is a `screens.page.Page` with this `TAB`."""


def beside(tab: Tab, step: int) -> Tab:
    """The tab so many places to the right, round the end."""
    return TABS[(TABS.index(tab) + step) % len(TABS)]


def titles(here: Tab, counts: Mapping[str, int], *, detail: int) -> list[tuple[Tab, str]]:
    """The titles with what they count, in one of `DETAILS` steps from long to short."""
    shown: list[tuple[Tab, str]] = []
    for tab in TABS:
        count = counts.get(tab.id, 0)
        if detail >= 2 and tab is not here and not (count and detail == 2):
            continue
        number = f" {count if count <= MOST else f'{MOST}+'}" if count else ""
        shown.append((tab, (tab.short if detail else tab.title) + number))
    return shown


DETAILS = 4
"""All titles, all in short, the one that is shown and those that count something, only that one."""
