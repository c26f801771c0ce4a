"""What carries messages from one agent to another. The archive is not its affair: a message is
archived by whoever sends it and by whoever takes it from a transport that comes from elsewhere.
"""

import sqlite3
from collections.abc import AsyncGenerator
from typing import Protocol

from agentmon.collab.mail import Mail


class TransportDown(Exception):
    """It can't carry now; the message says why. What was kept (`Transport.keep`) goes later."""


class Transport(Protocol):
    """One behaviour for all of them: each message is handed to a listener of its receiver once, in
    the order in which its sender sent it; one that was away gets what it missed."""

    name: str
    """What `Mail.origin` says of messages that came by it: local, redis."""

    def keep(self, conn: sqlite3.Connection, mail: Mail) -> None:
        """Remembers a message that is to be delivered, in the transaction that archives it, so that
        neither a server that is down nor a sender that dies loses it."""
        ...

    async def deliver(self, mail: Mail) -> None:
        """Carries a message that is archived and kept, behind those that were kept before it.
        Raises TransportDown: it goes when that is over."""
        ...

    def listen(self, agent: str) -> AsyncGenerator[Mail, None]:
        """What is for an agent and was not delivered (`archive.undelivered`), oldest first, and
        what comes after that, until it is closed. What comes from elsewhere is archived before it
        is acknowledged there, and only then handed on. Who listens marks it as delivered when it
        has it (`MessagingSystem` does) and asks for the next one then."""
        ...

    async def fetch(self, agent: str) -> None:
        """Brings what is for an agent, and lies elsewhere, into the archive; it is not handed on.
        Raises TransportDown."""
        ...

    async def close(self) -> None:
        """Ends what it has open; `listen` ends, too."""
        ...
