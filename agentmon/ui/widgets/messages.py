"""The panes of the Messages tab: the messages, and the thread of one."""

from collections.abc import Hashable, Sequence

from agentmon.collab.archive import Mail
from agentmon.core.text import clean
from agentmon.report import render
from agentmon.ui.parts import Column, Line, Part, arrange, table_line
from agentmon.ui.widgets.lines import KeyedPane
from agentmon.ui.widgets.prose import ProsePane
from agentmon.ui.widgets.sessions import View

COLUMNS = (
    Column("mark", 1),
    Column("from", 8, grow=2, most=20),
    Column("arrow", 1),
    Column("to", 8, grow=2, most=20),
    Column("subject", 18, grow=6),
    Column("state", 8, 1),
)

SHOWN, SHOWN_OTHERS = 64 << 10, 4 << 10
"""Characters of a body that are shown: of the chosen message, of others in its thread."""

MOST_IN_THREAD = 100
"""The last messages of a thread, which are shown with the chosen one."""

HOW_TO_FILL = (
    "No message yet. They come from",
    "  agents that write to each other, in what agentmon reads",
    "  agentmon send NAME 'words', from a hook or a script",
    "  c, which writes one here",
)


def is_unread(mail: Mail) -> bool:
    """Whether somebody it is for has not read it."""
    return any(delivery.read_at is None for delivery in mail.deliveries)


def state_of(mail: Mail) -> tuple[str, str, str, str]:
    """Glyph, its form in ASCII, word and role of what became of a message."""
    if is_unread(mail):
        if any(delivery.read_at is not None for delivery in mail.deliveries):
            return "◐", "o", "partly", "accent"
        return "●", "*", "unread", "accent"
    if mail.ack_required and any(delivery.acked_at is None for delivery in mail.deliveries):
        return "◇", "?", "no ack", "warning"
    if mail.deliveries and all(delivery.acked_at is not None for delivery in mail.deliveries):
        return "✓", "+", "acked", "success"
    return "·", ".", "read", "text-muted"


def subject_of(mail: Mail) -> str:
    """Its subject, else how its body begins."""
    return mail.subject.strip() or mail.body[:300].strip() or render.UNKNOWN


def addressed(mail: Mail) -> str:
    """To whom, in words."""
    return ", ".join("all" if name == "*" else name for name in mail.receivers) or "its thread"


class MailPane(KeyedPane):
    """A line a message, the newest first."""

    NAME = "Messages"
    STAYS_AT_TOP = True

    def __init__(self, *, id: str, view: View) -> None:
        super().__init__(id=id, ascii_only=view.ascii_only)
        self.view = view
        self.words = ""
        """What is shown of all messages, in words."""
        self.is_searched = self.is_unread_only = self.is_recording = False
        self.is_loaded = False
        self._mails: dict[Hashable, Mail] = {}

    def show(self, mails: Sequence[Mail]) -> None:
        self.is_loaded = True
        self._mails = {mail.seq: mail for mail in mails}
        self.set_keys(list(self._mails))
        self.refresh()

    @property
    def chosen(self) -> Mail | None:
        return self._mails.get(self.cursor) if self.cursor is not None else None

    def title(self) -> tuple[Line, Line]:
        return (Part(self.NAME),), (Part(self.words, "accent"),)

    def empty(self) -> list[Line]:
        if not self.is_loaded:
            words: Sequence[str] = ("Reading…",)
        elif self.is_searched:
            words = ("No message has these words; Esc shows all.",)
        elif self.is_unread_only:
            words = ("Everything was read; u shows all messages.",)
        elif self.is_recording:
            words = ("No message between agents in this recording yet.",)
        else:
            words = HOW_TO_FILL
        return [(Part(f" {line}", "text-muted"),) for line in words]

    def draw(self, index: int, width: int) -> Line:
        mail = self._mails[self.keys[index]]
        glyph, plain, word, role = state_of(mail)
        is_new = is_unread(mail)
        urgent = mail.priority in ("high", "urgent")
        named = {
            "mark": Part(plain if self.ascii_only else glyph, role),
            "from": Part(mail.sender, "strong" if is_new else ""),
            "arrow": Part(">" if self.ascii_only else "→", "text-muted"),
            "to": Part(addressed(mail)),
            "subject": Part(
                ("! " if urgent else "") + subject_of(mail),
                "warning" if urgent else "strong" if is_new else "",
            ),
            "state": Part(word, role),
            "age": Part(self.view.when(mail.sent_at), "text-muted"),
        }
        return table_line(arrange((*COLUMNS, self.view.age_column), width), named)


class ThreadPane(ProsePane):
    """The messages of a thread, oldest first, whole; the chosen one is marked and in sight."""

    NAME = "Thread"

    def __init__(self, *, id: str, view: View) -> None:
        super().__init__(id=id, view=view)
        self.mails: Sequence[Mail] = ()
        self.chosen: Mail | None = None
        self._heads: dict[int, Mail] = {}
        """By line: what they say goes on with the clock."""

    def show(self, mails: Sequence[Mail], chosen: Mail | None) -> None:
        """A thread; it scrolls only where another message is chosen."""
        is_other = (chosen.seq if chosen else None) != (self.chosen.seq if self.chosen else None)
        self.mails, self.chosen = mails, chosen
        self.make()
        if is_other:
            self.scroll_rows(self.marked)

    def title(self) -> tuple[Line, Line]:
        subject = clean(subject_of(self.mails[0]), newline=False) if self.mails else ""
        number = len(self.mails)
        shown = f"{MOST_IN_THREAD}+" if number > MOST_IN_THREAD else str(number)
        counted = f"{shown} message{'' if number == 1 else 's'}" if number else ""
        return (Part(f"{self.NAME} · {subject}" if subject else self.NAME),), (
            Part(counted, "text-muted"),
        )

    def empty(self) -> list[Line]:
        return [(Part(" The thread of the chosen message is shown here.", "text-muted"),)]

    def write(self) -> None:
        before = ""
        self._heads = {}
        for mail in self.mails:
            is_chosen = self._is_chosen(mail)
            if is_chosen:
                self.mark()
            self._heads[self.count] = mail
            self.line(*self._head(mail))
            if (subject := mail.subject.strip()) and subject != before:
                self.text(subject, "strong")
                before = subject
            most = SHOWN if is_chosen else SHOWN_OTHERS
            self.text(mail.body[:most])
            if len(mail.body) > most:
                more = f"{len(mail.body) - most:,} more characters" if is_chosen else "and more"
                self.text(f"… {more}", "text-muted")
            for word in _extras(mail):
                self.text(word, "text-muted")
            self.gap()
            if is_chosen and len(self.mails) > MOST_IN_THREAD:
                self.text("… and on to the last ones", "text-muted")
                self.gap()

    def draw(self, index: int, width: int) -> Line:
        mail = self._heads.get(index)
        return self._head(mail) if mail is not None else super().draw(index, width)

    def _is_chosen(self, mail: Mail) -> bool:
        return self.chosen is not None and mail.seq == self.chosen.seq

    def _head(self, mail: Mail) -> Line:
        is_chosen = self._is_chosen(mail)
        glyph, plain, word, role = state_of(mail)
        mark = (">" if self.ascii_only else "▶") if is_chosen else " "
        arrow = ">" if self.ascii_only else "→"
        names = f"{mail.sender} {arrow} {addressed(mail)}"
        return (
            Part(f"{mark} ", "title-focus"),
            Part(f"{plain if self.ascii_only else glyph} ", role),
            Part(clean(names, newline=False), "title-focus" if is_chosen else "title"),
            Part(f"  {self.view.when(mail.sent_at)}", "text-muted"),
            Part(f"  {word}", role),
        )


def _extras(mail: Mail) -> list[str]:
    """What else a message says and what became of it, in sentences."""
    words: list[str] = []
    if mail.priority != "normal":
        words.append(f"priority {mail.priority}")
    if mail.work_completed is not None:
        words.append(f"work completed: {mail.work_completed}"[:500])
    if mail.context_understanding is not None:
        words.append(f"context: {mail.context_understanding}"[:500])
    if mail.ack_required:
        words.append("wants to be acknowledged")
    for name, they in (("acked", "acked_at"), ("read", "read_at"), ("delivered", "delivered_at")):
        later = {"acked": (), "read": ("acked_at",), "delivered": ("acked_at", "read_at")}[name]
        who = [
            d.receiver
            for d in mail.deliveries
            if getattr(d, they) is not None and all(getattr(d, key) is None for key in later)
        ]
        if who:
            words.append(f"{name} by {', '.join(who[:10])}{', …' * (len(who) > 10)}")
    waiting = [d.receiver for d in mail.deliveries if d.delivered_at is None and d.read_at is None]
    if waiting:
        words.append(f"not yet with {', '.join(waiting[:10])}{', …' * (len(waiting) > 10)}")
    return words
