"""Questions to a large store: how soon the first rows of each answer are there."""

import random
import time
from collections.abc import Callable, Iterable
from itertools import islice
from pathlib import Path

from agentmon.core.health import Limits
from agentmon.report import dashboard, listing, naming, series, stats, tool_call
from agentmon.report.round_content import RoundContent
from agentmon.store import db
from agentmon.store.read_only import ReadOnly
from agentmon.store.read_rounds import round_line, rounds_of, work_of
from tests.bench import big_store
from tests.bench.bench import Bench
from tests.bench.big_store import END, LONG_ROUNDS, SHORT_ROUNDS, sid_of
from tests.bench.table import Row, at_most

P95_MS = 100.0
ROUNDS = 100_000
TIMES = 40
FIRST = 50
"""Rows that a table waits for."""

LIMITS = Limits()
DAY = 86_400.0


class Asking:
    """Questions about random things in a large store."""

    def __init__(self, data_dir: Path, rounds: int) -> None:
        self.data_dir = data_dir
        self.conn = db.open_reading(data_dir)
        self.reader = ReadOnly(data_dir, timeout=10)
        self._sessions = (rounds - LONG_ROUNDS) // SHORT_ROUNDS
        self._random = random.Random(7)

    def close(self) -> None:
        self.reader.close()
        self.conn.close()

    def _number(self) -> int:
        return self._random.randrange(self._sessions)

    def sid(self) -> str:
        return sid_of(self._number())

    def tool(self) -> None:
        name = f"toolu_{self._number()}_{self._random.randrange(SHORT_ROUNDS)}_0"
        tool_call.as_json(tool_call.find(self.conn, name), END)

    def rounds(self) -> None:
        rows = islice(rounds_of(self.conn, sid_of(self._sessions)), FIRST)
        drain(listing.round_json(row, work_of(self.conn, row.sid, row.round_id)) for row in rows)

    def show(self) -> None:
        sid, round_id = naming.the_round(self.conn, f"r-{self._number()}-7")
        line = round_line(self.conn, sid, round_id)
        assert line is not None
        drain(RoundContent(self.conn, self.data_dir, line).entries())

    def unbalanced(self) -> None:
        drain(islice(listing.unbalanced(self.conn, END), FIRST))

    def pending(self) -> None:
        found = islice(listing.pending(self.conn), FIRST)
        drain(listing.pending_json(row, END, LIMITS) for row in found)

    def pending_of_one(self) -> None:
        found = listing.pending(self.conn, sid=self.sid())
        drain(listing.pending_json(row, END, LIMITS) for row in found)

    def stalled(self) -> None:
        drain(listing.stalled(self.conn, END, LIMITS, since=END - DAY))

    def sessions(self) -> None:
        found = islice(listing.sessions(self.conn, END), FIRST)
        drain(listing.session_json(self.conn, row, END, LIMITS) for row in found)

    def stats(self) -> None:
        stats.stats(self.conn, self.sid())

    def stats_of_a_long_session(self) -> None:
        stats.stats(self.conn, sid_of(self._sessions))

    def dashboard(self) -> None:
        dashboard.as_json(self.conn, END, LIMITS, since=END - DAY)

    def timeseries(self) -> None:
        found = series.points(self.conn, self.data_dir, self.sid(), series.DEFAULT)
        drain(series.buckets(found, 60.0, series.DEFAULT))

    def view(self, sql: str) -> Callable[[], None]:
        def ask() -> None:
            _, rows = self.reader.query(sql.format(sid=self.sid(), number=self._number()))
            drain(islice(rows, FIRST))

        return ask

    def questions(self) -> dict[str, Callable[[], None]]:
        names = (
            *("tool", "rounds", "show", "unbalanced", "pending", "pending_of_one", "stalled"),
            *("sessions", "stats", "stats_of_a_long_session", "dashboard", "timeseries"),
        )
        asked: dict[str, Callable[[], None]] = {name: getattr(self, name) for name in names}
        return asked | {f"sql {name}": self.view(sql) for name, sql in VIEWS.items()}


VIEWS = {
    "v_sessions": "SELECT * FROM v_sessions ORDER BY last_time DESC",
    "v_rounds": "SELECT * FROM v_rounds WHERE sid = '{sid}'",
    "v_rounds by id": "SELECT * FROM v_rounds WHERE round_id = 'r-{number}-3'",
    "v_messages": "SELECT * FROM v_messages WHERE sid = '{sid}' AND round_id = 'r-1-1'",
    "v_messages by round": "SELECT * FROM v_messages WHERE round_id = 'r-{number}-3'",
    "v_blocks": "SELECT * FROM v_blocks WHERE flow_id = 'msg_{number}_3_1'",
    "v_tool_calls": "SELECT * FROM v_tool_calls WHERE tool_name = 'Task' AND result_time > 1.7e9",
    "v_tool_calls by id": "SELECT * FROM v_tool_calls WHERE tool_use_id = 'toolu_{number}_3_1'",
    "v_tool_results": "SELECT * FROM v_tool_results WHERE tool_use_id = 'toolu_{number}_3_1'",
    "v_prompts": "SELECT * FROM v_prompts WHERE sid = '{sid}' ORDER BY time",
}


def drain(rows: Iterable[object]) -> int:
    return sum(1 for _ in rows)


def queries(bench: Bench) -> Row:
    """The 95th percentile of each question's first rows, over a store of a million blocks."""
    folder = bench.new_folder("queries")
    if not db.database(folder).is_file():
        big_store.make(folder, ROUNDS)
    asking = Asking(folder, ROUNDS)
    try:
        found = {name: p95(ask) for name, ask in asking.questions().items()}
    finally:
        asking.close()
    return Row(
        "queries",
        [at_most(name, ms, P95_MS, f"p95 {ms:.1f} ms", " ms") for name, ms in found.items()],
    )


def p95(ask: Callable[[], None]) -> float:
    """Milliseconds."""
    took: list[float] = []
    for _ in range(TIMES):
        start = time.perf_counter()
        ask()
        took.append((time.perf_counter() - start) * 1000)
    return sorted(took)[int(0.95 * (TIMES - 1))]
