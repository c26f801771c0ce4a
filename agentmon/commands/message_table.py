"""How a list of messages looks as a table."""

from agentmon import config
from agentmon.collab.mail import Mail
from agentmon.commands import printing
from agentmon.commands.message_lists import state_of
from agentmon.report.table import Cell, Column
from agentmon.report.words import moment

COLUMNS = (
    Column("time", 19, 19, keep=2),
    Column("from", 6, 24),
    Column("to", 6, 24),
    Column("state", 6, 9, keep=1),
    Column("message", 12, 200),
    Column("id", 8, 8, keep=3),
)


def cells(mail: Mail) -> list[Cell]:
    """One line of a list."""
    state, role = state_of(mail)
    text = f"{mail.subject}: {mail.body}" if mail.subject else mail.body
    return [
        Cell(moment(mail.sent_at), "text-muted"),
        Cell(mail.sender),
        Cell(", ".join(mail.receivers)),
        Cell(state, role),
        Cell(text[:400], bold=mail.priority in ("high", "urgent")),
        Cell(mail.message_id[:8], "text-muted"),
    ]


def print_table(mails: list[Mail], loaded: config.Settings) -> None:
    paint = printing.painter(loaded)
    printing.print_table(COLUMNS, map(cells, mails), paint, nothing="no messages")
