"""The Messages tab: what agents wrote to each other, threads, mail to and from the person."""

import sqlite3
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from msgspec import Struct, field
from textual import on

from agentmon.collab import archive
from agentmon.collab.archive import Delivery, Mail
from agentmon.store import read_talk
from agentmon.ui import commands, posting, tabs
from agentmon.ui.screens.form import Values
from agentmon.ui.screens.talk import RECORDING, TalkPage
from agentmon.ui.sites import Site, linked_site
from agentmon.ui.widgets.lines import KeyedPane, LinePane
from agentmon.ui.widgets.messages import (
    MOST_IN_THREAD,
    SHOWN_OTHERS,
    MailPane,
    ThreadPane,
    is_unread,
)

if TYPE_CHECKING:
    from agentmon.ui.screens.main import MainScreen

PAGE = 200
"""Messages that are read at once; more as the end of them comes near."""
MOST = 2_000
"""Messages in the list: search finds the rest."""
EXCERPT = 300
"""Characters of a body that the list needs."""

State = tuple[int, int, str, bool, int]


class Found(Struct):
    """What one read brought. `mails` None: the list is as it was."""

    state: State
    mails: list[Mail] | None
    thread: list[Mail] = field(default_factory=list[Mail])
    chosen: Mail | None = None
    sent: Site | None = None
    read: Site | None = None
    """Where the chosen message was sent and read, where that is known."""
    names: list[str] = field(default_factory=list[str])
    total: int = 0


class MessagesPage(TalkPage[Found]):
    """Messages, the newest first, and the thread of the chosen one."""

    PANEL = "messages"
    TAB = tabs.MESSAGES
    SEARCH = commands.MAIL_WORDS

    def __init__(self, below: "MainScreen") -> None:
        super().__init__(below)
        self.mails = MailPane(id="mails", view=self.view)
        self.thread = ThreadPane(id="thread", view=self.view)
        self.mails.is_recording = below.is_replay
        self.is_unread_only = False
        self.limit = PAGE
        self.found: Found | None = None

    @property
    def list(self) -> KeyedPane:
        return self.mails

    @property
    def detail(self) -> LinePane:
        return self.thread

    @property
    def is_current(self) -> bool:
        found = self.found
        chosen = found.chosen.seq if found is not None and found.chosen is not None else None
        return found is not None and self.mails.cursor == chosen

    # Reading

    def question(self) -> Callable[[sqlite3.Connection], Found]:
        state = (
            self.feed.revision,
            self.outside_changes,
            self.searched,
            self.is_unread_only,
            self.limit,
        )
        is_known = self.found is not None and self.found.state == state
        return partial(_read, state=state, chosen=self.mails.chosen, with_list=not is_known)

    def show(self, found: Found) -> None:
        state, mails = found.state, self.mails
        if state[2:] != (self.searched, self.is_unread_only, self.limit):
            return  # something else is asked for by now
        if self.found is not None and found.mails is None:
            found.names = self.found.names
        self.found = found
        if found.mails is not None:
            mails.is_searched, mails.is_unread_only = bool(self.searched), self.is_unread_only
            mails.words = self._words(found)
            mails.show(found.mails)
        if self.is_current:
            self.thread.show(found.thread, found.chosen)
        self.shown()

    def _words(self, found: Found) -> str:
        number = len(found.mails or ())
        if self.searched:
            return f"{number} found"
        if self.is_unread_only:
            return f"{number} unread · u all"
        return f"{number:,} of {found.total:,}" if found.total > number else f"{number:,}"

    @on(KeyedPane.Chosen)
    def _chosen(self, message: KeyedPane.Chosen) -> None:
        message.stop()
        mails = self.mails
        is_near = mails.count - mails.cursor_index < mails.page
        if is_near and mails.count == self.limit < MOST and not self.searched:
            self.limit += PAGE
            self.reader.ask()
        elif not self.is_current:
            self.reader.ask()

    # Keys

    def do_open(self) -> None:
        """Into the thread, which marks as read what is for the person; from there to the round."""
        if self.line.has_focus or not self.is_inside:
            if self.mails.chosen is not None:
                self.go_inside(True)
                self.once_current(self._mark_read)
            return
        self.do_sent_from()

    def _mark_read(self) -> None:
        unread = [mail for mail in self.thread.mails if is_unread(mail)]
        if unread and not self.below.is_replay:
            self.run_worker(self._mark(unread, acked=False), exit_on_error=False)

    async def _mark(self, mails: "list[Mail]", *, acked: bool) -> None:
        me = self.below.person
        try:
            number = await posting.mark(self.feed.data_dir, me, mails, acked=acked)
        except Exception as error:
            self.say(f"The message cannot be marked: {error}", "error")
            return
        if acked:
            self.say(
                *(("Acknowledged", "success") if number else (f"It is not for you ({me})", ""))
            )
        if number:
            self.ask_anew()

    def do_acknowledge(self) -> None:
        mail = self.mails.chosen
        if self.below.is_replay:
            self.say(RECORDING)
        elif mail is not None:
            self.run_worker(self._mark([mail], acked=True), exit_on_error=False)

    def do_unread_mail(self) -> None:
        self.is_unread_only = not self.is_unread_only
        self.reader.ask()

    def do_find_mail(self) -> None:
        self.show_line()

    def do_switch_mail(self) -> None:
        self.go_inside(not self.is_inside)

    def do_sent_from(self) -> None:
        self.once_current(self._go_to_sender)

    def _go_to_sender(self) -> None:
        site = self.found.sent if self.found is not None else None
        self.leave_for(site, "Nobody knows which round sent it: it came from outside")

    def do_read_in(self) -> None:
        self.once_current(self._go_to_reader)

    def _go_to_reader(self) -> None:
        site = self.found.read if self.found is not None else None
        self.leave_for(site, "Nobody knows in which round it was read")

    # Writing

    def do_compose(self) -> None:
        names = self.found.names if self.found is not None else []
        me = self.below.person
        fields = posting.compose_fields([name for name in names if name != me])
        self.ask_for(f"New message from {me}", fields, self._send)

    def do_reply(self) -> None:
        mail, me = self.mails.chosen, self.below.person
        if mail is None:
            self.say("No message is chosen")
            return
        fields = posting.reply_fields(mail, me)
        self.ask_for(f"Reply from {me}", fields, partial(self._send, reply_to=mail))

    async def _send(self, values: Values, reply_to: Mail | None = None) -> str:
        below = self.below
        return await posting.send(
            self.feed.data_dir, below.settings, below.person, values, reply_to
        )

    def again(self) -> "MessagesPage":
        page = MessagesPage(self.below)
        page.is_unread_only, page.limit = self.is_unread_only, self.limit
        page.is_inside = self.is_inside
        page.line.value, page.line.display = self.line.value, self.line.display
        page.mails.cursor = self.mails.cursor
        return page


def _read(conn: sqlite3.Connection, *, state: State, chosen: Mail | None, with_list: bool) -> Found:
    _, _, words, is_unread_only, limit = state
    found = Found(state, None)
    if with_list:
        found.mails = (
            archive.search(conn, words, limit=PAGE, excerpt=EXCERPT)
            if words
            else archive.recent(conn, limit=limit, unread=is_unread_only, excerpt=EXCERPT)
        )
        seq = chosen.seq if chosen is not None else None
        first = found.mails[0] if found.mails else None
        chosen = next((mail for mail in found.mails if mail.seq == seq), first)
        found.total, found.names = read_talk.mail_count(conn), archive.names(conn)
    if chosen is not None:
        found.chosen = archive.get(conn, chosen.message_id) or chosen
        found.thread = _thread(conn, found.chosen)
        found.sent = linked_site(
            conn, "message", chosen, tool_use_id=chosen.tool_use_id, agent_id=chosen.thread_agent
        )
        found.read = _read_in(conn, found.chosen.deliveries)
    return found


def _thread(conn: sqlite3.Connection, chosen: Mail) -> list[Mail]:
    """The last messages of its thread, and the chosen one, whole, also where it is older."""
    most, excerpt = MOST_IN_THREAD, SHOWN_OTHERS + 1
    last = archive.thread(conn, chosen.thread_id, limit=most, excerpt=excerpt)
    if all(mail.seq != chosen.seq for mail in last):
        last.insert(0, chosen)
    return [chosen if mail.seq == chosen.seq else mail for mail in last]


def _read_in(conn: sqlite3.Connection, deliveries: "list[Delivery]") -> Site | None:
    sites = (linked_site(conn, "message", one) for one in deliveries if one.read_at is not None)
    return next(filter(None, sites), None)
