"""How an older database becomes the current one.

Each step is a small function for one schema version, run in one transaction with the row that
records it. `schema.sql` is always the result; a test builds both ways and compares.
"""

import sqlite3
from collections.abc import Callable

Migration = Callable[[sqlite3.Connection], None]

MIGRATIONS: tuple[tuple[int, Migration], ...] = ()
"""(version it leads to, step), in order. Empty: version 1 is the first."""
