"""What a person writes from the screen: into the store, off the event loop.

The fold has its own connection, perhaps in another process; a short transaction goes in between.
"""

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TypeVar

from agentmon.store import db

T = TypeVar("T")


async def write(data_dir: Path, change: Callable[[sqlite3.Connection], T]) -> T:
    """Runs `change`, which has its own transactions, over a connection of its own in a thread."""
    return await asyncio.to_thread(_run, data_dir, change)


def _run(data_dir: Path, change: Callable[[sqlite3.Connection], T]) -> T:
    with closing(db.create(data_dir)) as conn:
        return change(conn)
