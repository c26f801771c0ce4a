"""The figures in the titles of tabs, kept true while the screen runs."""

from functools import partial

from agentmon.engine.feed import Feed
from agentmon.store import read_talk
from agentmon.ui import tabs
from agentmon.ui.outside import Outside

EVERY = 2.0
"""Seconds between looks."""


class TabCounts:
    """Counts again where something was written, here or by another process."""

    def __init__(self, feed: Feed) -> None:
        self.feed = feed
        self.counts: dict[str, int] = {}
        """By id of the tab; the footers hold this very dictionary."""
        self._outside = Outside(feed.data_dir)
        self._revision = -1

    async def look(self) -> bool:
        """Whether a figure is another one now."""
        is_new = self._outside.changed()
        if not is_new and self.feed.revision == self._revision:
            return False
        self._revision = self.feed.revision
        before = dict(self.counts)
        try:
            found = await self.feed.query(partial(read_talk.waiting, now=self.feed.now()))
        except Exception:
            self._revision = -1
            return False  # what reads the board says what is wrong
        self.counts[tabs.MESSAGES.id] = found.unread
        self.counts[tabs.DECISIONS.id] = found.undecided
        self.counts[tabs.WORK.id] = found.worked
        return self.counts != before
