"""Messages as the archive has them: one that is there, and one that is to be put there.

Named tuples: `agentmon send` ends before msgspec would be imported.
"""

from typing import Any, NamedTuple

from agentmon.collab.form import Message


class Delivery(NamedTuple):
    """A message and one reader it is for; None: not yet, or not known."""

    receiver: str
    delivered_at: float | None = None
    """It was handed to a listener or a reader."""
    read_at: float | None = None
    acked_at: float | None = None
    session_id: str | None = None
    round_id: str | None = None


class Mail(NamedTuple):
    """An archived message. `sent_at` is by the sender's clock, `archived_at` by ours."""

    seq: int
    message_id: str
    thread_id: str
    reply_to: str | None
    sender: str
    receivers: list[str]
    type: str
    priority: str
    subject: str
    body: str
    sent_at: float
    archived_at: float
    ack_required: bool
    work_completed: Any
    context_understanding: Any
    origin: str
    host: str | None
    session_id: str | None
    thread_agent: str | None
    round_id: str | None
    tool_use_id: str | None
    deliveries: list[Delivery]


class Draft(NamedTuple):
    """A message that is to be archived.

    `readers`: for whom it is, where that is not just `receivers` (None: these, and everybody who is
    known for "*"). `thread_id` None: the thread of what it replies to, else its own.
    """

    message_id: str
    sender: str
    receivers: list[str]
    body: str
    sent_at: float
    subject: str = ""
    type: str = "message"
    priority: str = "normal"
    thread_id: str | None = None
    reply_to: str | None = None
    ack_required: bool = False
    work_completed: Any = None
    context_understanding: Any = None
    origin: str = "local"
    host: str | None = None
    session_id: str | None = None
    thread_agent: str | None = None
    round_id: str | None = None
    tool_use_id: str | None = None
    readers: list[str] | None = None


class Counts(NamedTuple):
    """Messages, deliveries nobody has read, and those that somebody ought to look at."""

    total: int
    unread: int
    alarms: int


def draft_of(message: Message, origin: str = "local", host: str | None = None) -> Draft:
    """A message of the form, to be archived."""
    return Draft(
        message_id=message.message_id,
        sender=message.sender,
        receivers=list(message.to),
        body=message.body,
        sent_at=message.timestamp,
        subject=message.subject,
        type=message.type,
        priority=message.priority,
        thread_id=message.thread_id,
        reply_to=message.reply_to,
        ack_required=message.ack_required,
        work_completed=message.work_completed,
        context_understanding=message.context_understanding,
        origin=origin,
        host=host,
    )


def message_of(mail: Mail) -> Message:
    """An archived message in the form, as it goes to another machine."""
    return Message(
        message_id=mail.message_id,
        sender=mail.sender,
        to=tuple(mail.receivers),
        type=mail.type,
        timestamp=mail.sent_at,
        subject=mail.subject,
        body=mail.body,
        work_completed=mail.work_completed,
        context_understanding=mail.context_understanding,
        thread_id=mail.thread_id,
        reply_to=mail.reply_to,
        priority=mail.priority,
        ack_required=mail.ack_required,
    )


def as_json(mail: Mail) -> dict[str, Any]:
    """A message as commands print it; what is not known is null."""
    found = mail._asdict()
    found["from"] = found.pop("sender")
    found["to"] = found.pop("receivers")
    found["deliveries"] = [delivery._asdict() for delivery in mail.deliveries]
    order = ("seq", "message_id", "thread_id", "reply_to", "from", "to", "type", "priority")
    return {key: found[key] for key in order} | found
