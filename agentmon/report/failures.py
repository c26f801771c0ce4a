"""What fails: tools with their durations, errors of the API by kind, the newest failures.

For `agentmon errors`. What counts as a call, an error and a duration is said in
`store.read_tools`.
"""

import re
import sqlite3
from collections.abc import Iterator, Sequence
from functools import cached_property

from msgspec import Struct
from msgspec.structs import asdict

from agentmon.core.names import gist
from agentmon.core.spread import Spread
from agentmon.core.text import json_text, one_line
from agentmon.report import words
from agentmon.report.naming import board_name
from agentmon.report.table import Cell, Column, Painter, table
from agentmon.store import read, read_tools
from agentmon.store.read_tools import FailureRow, Scope, ToolRow


class ApiErrors(Struct):
    """Messages that were broken off by one kind of error."""

    kind: str
    count: int
    last_time: float
    last_error: str


class Failure(Struct):
    """A failure with the names that a person knows its place by."""

    row: FailureRow
    session: str
    round_number: int | None


class Failures:
    """Each part is read when it is asked for: the newest failures are there long before all calls
    of a large store are counted."""

    def __init__(self, conn: sqlite3.Connection, scope: Scope, *, limit: int = 20) -> None:
        """`limit` is how many failures are listed."""
        self.scope = scope
        self._conn = conn
        self._limit = limit

    @cached_property
    def newest(self) -> list[Failure]:
        """The newest first."""
        names: dict[str, str] = {}
        found: list[Failure] = []
        for row in read_tools.failures(self._conn, self.scope, limit=self._limit):
            if row.sid not in names:
                session = read.session(self._conn, row.sid)
                names[row.sid] = board_name(self._conn, session) if session else row.sid
            found.append(Failure(row, names[row.sid], _round_number(self._conn, row)))
        return found

    @cached_property
    def api(self) -> list[ApiErrors]:
        """The most frequent first."""
        return api_errors(self._conn, self.scope)

    @cached_property
    def tools(self) -> list[ToolRow]:
        """Those with most errors first."""
        return sorted(read_tools.tools(self._conn, self.scope), key=by_errors)


def by_errors(row: ToolRow) -> tuple[int, int, str]:
    """The order of tools: most errors, then most calls, then by name."""
    return -row.errors, -row.calls, row.tool_name or ""


_NUMBER = """
SELECT COUNT(*) FROM rounds r, rounds e
WHERE r.sid = ? AND r.round_id = ? AND r.prompts > 0 AND e.sid = r.sid AND e.prompts > 0
  AND e.start_time <= r.start_time AND (e.start_time, e.round_id) <= (r.start_time, r.round_id)
"""


def _round_number(conn: sqlite3.Connection, row: FailureRow) -> int | None:
    (number,) = conn.execute(_NUMBER, (row.sid, row.round_id)).fetchone()
    return number or None


def api_errors(conn: sqlite3.Connection, scope: Scope) -> list[ApiErrors]:
    """Broken messages by kind of error, the most frequent first."""
    found: dict[str, ApiErrors] = {}
    for time, error in read_tools.broken_texts(conn, scope):
        known = found.setdefault(error_kind(error), ApiErrors("", 0, time, error))
        known.count += 1
        known.last_time, known.last_error = time, error
    for kind, errors in found.items():
        errors.kind = kind
    return sorted(found.values(), key=lambda errors: (-errors.count, errors.kind))


_NAMED = re.compile(r"\b[a-z][a-z0-9]*(?:_[a-z0-9]+)*_(?:error|exceeded|overloaded)\b")
_STATUS = re.compile(r"\b(?:API Error|HTTP|status)\b\W*(?:code\W*)?([45]\d\d)\b", re.IGNORECASE)
_LONGEST_KIND = 40


def error_kind(error: str) -> str:
    """What kind of error a message broke off with: the API's own name for it ("overloaded_error"),
    else its HTTP status ("http 529"), else how its text begins."""
    named = _NAMED.search(error)
    if named is not None:
        return named[0]
    status = _STATUS.search(error)
    if status is not None:
        return f"http {status[1]}"
    head = error.split("\n", 1)[0].split(": ", 1)[0].strip()
    return one_line(head, _LONGEST_KIND) or "unknown"


def json_pieces(found: Failures) -> Iterator[str]:
    """One object, each part as soon as it is known."""
    scope = found.scope
    head = {"since": scope.since, "session": scope.sid, "agent": scope.agent}
    yield "{\n" + "".join(f"  {json_text(k)}: {json_text(v)},\n" for k, v in head.items())
    yield f'  "failures": {_json_list([_failure_json(one) for one in found.newest])},\n'
    yield f'  "api_errors": {_json_list([asdict(errors) for errors in found.api])},\n'
    yield f'  "tools": {_json_list([_tool_json(row) for row in found.tools])}\n}}\n'


def _json_list(rows: Sequence[object]) -> str:
    return json_text(rows, indent=2).replace("\n", "\n  ")


def _tool_json(row: ToolRow) -> dict[str, object]:
    return {
        "tool_name": row.tool_name,
        "calls": row.calls,
        "pending": row.pending,
        "results": row.results,
        "errors": row.errors,
        "error_rate": row.error_rate,
        "succeeded": asdict(row.succeeded),
        "failed": asdict(row.failed),
    }


def _failure_json(failure: Failure) -> dict[str, object]:
    row, call = failure.row, failure.row.call
    return {
        "time": row.time,
        "kind": "api" if call is None else "tool",
        "session": failure.session,
        "sid": row.sid,
        "agent_id": row.agent_id or None,
        "round_number": failure.round_number,
        "round_id": row.round_id,
        "flow_id": row.flow_id,
        "index": row.index,
        "error": row.error,
        "tool_name": call.tool_name if call is not None else None,
        "tool_use_id": call.tool_use_id if call is not None else None,
        "duration": call.duration if call is not None else None,
        "input_preview": call.input_preview if call is not None else None,
    }


_TOOLS = (
    Column("tool", 8, 40),
    Column("calls", 5, 9, right=True),
    Column("pending", 7, 9, 6, right=True),
    Column("errors", 6, 9, right=True),
    Column("rate", 5, 7, 1, right=True),
    Column("ok mean", 7, 7, 5, right=True),
    Column("ok med", 6, 7, 2, right=True),
    Column("ok p95", 6, 7, 3, right=True),
    Column("err mean", 8, 8, 7, right=True),
    Column("err med", 7, 7, 4, right=True),
    Column("err p95", 7, 7, 6, right=True),
)

_API = (
    Column("API error", 10, 40),
    Column("count", 5, 9, right=True),
    Column("last", 4, 5, right=True),
    Column("text", 10, 200, 1),
)

_NEWEST = (
    Column("when", 4, 5, right=True),
    Column("failed", 6, 24),
    Column("where", 8, 40),
    Column("after", 5, 6, 2, right=True),
    Column("input or error", 10, 200, 1),
)


def text_pieces(found: Failures, now: float, *, width: int, paint: Painter) -> Iterator[str]:
    """The same as tables, the newest failures first, the tools last; ages are at `now`. What is
    empty is left out, or said to be."""
    if found.newest:
        rows = [_failure_cells(failure, now) for failure in found.newest]
        yield "\n".join(table(_NEWEST, rows, width, paint)) + "\n\n"
    if found.api:
        rows = [_api_cells(errors, now) for errors in found.api]
        yield "\n".join(table(_API, rows, width, paint)) + "\n\n"
    if found.tools:
        rows = [_tool_cells(row) for row in found.tools]
        yield "\n".join(table(_TOOLS, rows, width, paint)) + "\n"
    elif found.newest or found.api:
        yield "No tool was called.\n"
    else:
        yield "No tool was called, and nothing failed.\n"


def rate_text(rate: float | None) -> str:
    """A share of errors with what is worth telling apart: "0%", "0.3%", "12%"."""
    if rate is None:
        return words.UNKNOWN
    return f"{rate * 100:.1f}%" if 0 < rate < 0.0995 else f"{rate * 100:.0f}%"


def _tool_cells(row: ToolRow) -> list[Cell]:
    errors = Cell(str(row.errors), "error" if row.errors else "")
    return [
        Cell(row.tool_name or words.UNKNOWN, bold=True),
        Cell(str(row.calls)),
        Cell(str(row.pending), "accent" if row.pending else ""),
        errors,
        Cell(rate_text(row.error_rate), errors.role),
        *_spread_cells(row.succeeded),
        *_spread_cells(row.failed),
    ]


def _spread_cells(spread: Spread) -> list[Cell]:
    return [Cell(words.lasted(value)) for value in (spread.mean, spread.median, spread.p95)]


def _api_cells(errors: ApiErrors, now: float) -> list[Cell]:
    return [
        Cell(errors.kind, "error"),
        Cell(str(errors.count)),
        Cell(words.age(now - errors.last_time)),
        Cell(errors.last_error, dim=True),
    ]


def _failure_cells(failure: Failure, now: float) -> list[Cell]:
    row, call = failure.row, failure.row.call
    number = f" #{failure.round_number}" if failure.round_number is not None else ""
    agent = f"/{row.agent_id}" if row.agent_id else ""
    return [
        Cell(words.age(now - row.time)),
        Cell((call.tool_name or words.UNKNOWN) if call is not None else "message", "error"),
        Cell(f"{failure.session}{agent}{number}"),
        Cell(words.lasted(call.duration) if call is not None else ""),
        Cell(gist(call.input_preview) if call is not None else row.error or "", dim=True),
    ]
