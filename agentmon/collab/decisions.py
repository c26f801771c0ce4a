"""Decisions of agents and people, and what each was before: nothing is ever overwritten.

A decision has a question, what each agent holds (any number of them), and, once it is made, its
answer. Every change is a revision with who, when, why and the whole state from then on. Functions
write in the caller's transaction where there is one, else in one of their own.
"""

import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast
from uuid import uuid4

from msgspec.structs import asdict

from agentmon.collab import fields
from agentmon.collab.decision_form import (
    METHODS,
    ORIGINS,
    REVISABLE,
    STATUSES,
    Decision,
    DecisionError,
    Draft,
    Revision,
    checked,
    state_of,
)
from agentmon.collab.fields import NotThere
from agentmon.collab.matching import matching
from agentmon.collab.writing import moment, within

__all__ = [
    "METHODS",
    "REVISABLE",
    "STATUSES",
    "Decision",
    "DecisionError",
    "Revision",
    "categories",
    "counts",
    "decide",
    "get",
    "history",
    "recent",
    "revise_decision",
    "revisions",
    "the",
]


def decide(
    conn: sqlite3.Connection,
    *,
    question: str,
    category: str,
    by: str,
    positions: Mapping[str, str] | None = None,
    decision: str | None = None,
    rationale: str = "",
    method: str | None = None,
    participants: Iterable[str] = (),
    files: Iterable[str] = (),
    status: str | None = None,
    impact: int | None = None,
    reason: str = "",
    origin: str = "said",
    session_id: str | None = None,
    round_id: str | None = None,
    tool_use_id: str | None = None,
    decision_id: str | None = None,
    now: float | None = None,
) -> Decision:
    """Records a question, with its answer or still open, as revision 1.

    Without a `status` it is "decided" where there is a decision, else "open". Who has a position
    participates. Raises DecisionError.
    """
    given: dict[str, Any] = {
        "question": question,
        "category": category,
        "positions": positions or {},
        "decision": decision,
        "rationale": rationale,
        "method": method,
        "participants": participants,
        "files": files,
        "status": status or ("open" if decision is None else "decided"),
        "impact": impact,
    }
    draft = checked(given)
    who = fields.name("by", by)
    why = fields.text("reason", reason, empty=True)
    fields.one_of("origin", origin, ORIGINS)
    key = fields.name("decision_id", decision_id or uuid4().hex[:12])
    time = moment(now)
    links = tuple(
        link if link is None else fields.name(field, link, most=1_000)
        for field, link in (
            ("session_id", session_id),
            ("round_id", round_id),
            ("tool_use_id", tool_use_id),
        )
    )
    with within(conn):
        try:
            conn.execute(_INSERT, (key, 1, *_columns(draft), time, who, time, origin, *links))
        except sqlite3.IntegrityError as problem:
            field = "tool_use_id" if "tool_use_id" in str(problem) else "decision_id"
            raise DecisionError(field, "there is such a decision already") from problem
        _add_revision(conn, key, 1, time, who, why, draft)
        return the(conn, key)


def revise_decision(
    conn: sqlite3.Connection,
    decision_id: str,
    changes: Mapping[str, Any],
    by: str,
    reason: str,
    *,
    based_on: int | None = None,
    now: float | None = None,
) -> Decision:
    """Changes some fields, as the next revision; what was stays in the ones before it.

    `based_on` is the revision that the reviser saw: what they left as it was there, a field or one
    position, file or participant, is no change of theirs, so two who revise at once both come
    through, each with what they meant. Deciding an open question makes it "decided"; a decision
    that is opened again loses its answer. A change that changes nothing adds no revision. Raises
    DecisionError.
    """
    who, why = fields.name("by", by), fields.text("reason", reason)
    unknown = next((field for field in changes if field not in REVISABLE), None)
    if unknown is not None:
        raise DecisionError(str(unknown), f"it cannot be revised: {', '.join(REVISABLE)} can")
    with within(conn):
        before = get(conn, decision_id)
        if before is None:
            raise NotThere("decision_id", f"there is no decision {decision_id}")
        meant, old = dict(changes), state_of(before)
        if based_on is not None and based_on != before.revision:
            seen = _state(conn, decision_id, based_on)
            meant = {
                field: _meant(seen[field], value, old[field])
                for field, value in changes.items()
                if seen[field] != value
            }
        draft = checked({**old, **_implied(meant, before.status)})
        if asdict(draft) == old:
            return before
        number = before.revision + 1
        time = max(moment(now), before.updated_at)
        conn.execute(_UPDATE, (number, *_columns(draft), time, decision_id))
        _add_revision(conn, decision_id, number, time, who, why, draft)
        return the(conn, decision_id)


def _meant(seen: Any, sent: Any, now: Any) -> Any:
    """What someone who saw one value and sends another means, where it is a third one by now."""
    if isinstance(seen, dict) and isinstance(sent, Mapping):
        given, was = dict(cast("Mapping[str, str]", sent)), cast("dict[str, str]", seen)
        kept = {name: held for name, held in now.items() if name in given or name not in was}
        return kept | {name: held for name, held in given.items() if was.get(name) != held}
    if isinstance(seen, list) and isinstance(sent, list | tuple):
        entries, were = cast("Sequence[str]", sent), cast("list[str]", seen)
        kept = [entry for entry in now if entry in entries or entry not in were]
        return kept + [entry for entry in entries if entry not in were and entry not in kept]
    return sent


def _implied(changes: dict[str, Any], status: str) -> dict[str, Any]:
    if "status" in changes:
        if changes["status"] == "open" and changes.get("decision") is None:
            return {**changes, "decision": None}
    elif "decision" in changes and status in ("open", "decided"):
        return {**changes, "status": "open" if changes["decision"] is None else "decided"}
    return changes


_COLUMNS = Decision.__struct_fields__
_SELECT = f"SELECT {', '.join(f'd.{column}' for column in _COLUMNS)} FROM decisions d"
_INSERT = (
    f"INSERT INTO decisions ({', '.join(_COLUMNS[1:])})"
    f" VALUES ({', '.join('?' * (len(_COLUMNS) - 1))})"
)
_UPDATE = (
    f"UPDATE decisions SET revision = ?, {', '.join(f'{field} = ?' for field in REVISABLE)},"
    " updated_at = ? WHERE decision_id = ?"
)


_IN_JSON = ("positions", "participants", "files")


def _columns(draft: Draft) -> tuple[object, ...]:
    values = asdict(draft)
    return tuple(
        fields.as_json(value) if field in _IN_JSON else value for field, value in values.items()
    )


def _add_revision(
    conn: sqlite3.Connection,
    decision_id: str,
    number: int,
    time: float,
    who: str,
    why: str,
    draft: Draft,
) -> None:
    conn.execute(
        "INSERT INTO decision_revisions VALUES (?, ?, ?, ?, ?, ?)",
        (decision_id, number, time, who, why, fields.as_json(asdict(draft))),
    )


def _state(conn: sqlite3.Connection, decision_id: str, revision: int) -> dict[str, Any]:
    row = conn.execute(
        "SELECT state FROM decision_revisions WHERE decision_id = ? AND revision = ?",
        (decision_id, revision),
    ).fetchone()
    if row is None:
        raise DecisionError("based_on", f"decision {decision_id} has no revision {revision}")
    return json.loads(row[0])


# -- reading


def get(conn: sqlite3.Connection, decision_id: str) -> Decision | None:
    row = conn.execute(f"{_SELECT} WHERE d.decision_id = ?", (decision_id,)).fetchone()
    return None if row is None else _decision(row)


def the(conn: sqlite3.Connection, decision_id: str) -> Decision:
    """The same by its id or the start of one, where there must be one. Raises NotThere."""
    found = get(conn, decision_id)
    if found is not None:
        return found
    rows = conn.execute(
        f"{_SELECT} WHERE d.decision_id >= ? AND d.decision_id < ? LIMIT 5",
        (decision_id, decision_id + "\U0010ffff"),
    ).fetchall()
    if len(rows) != 1 or not decision_id:
        what = "more than one decision begins" if rows else "there is no decision that begins"
        raise NotThere("decision_id", f"{what} with {decision_id!r}")
    return _decision(rows[0])


def _decision(row: Sequence[Any]) -> Decision:
    values = dict(zip(_COLUMNS, row, strict=True))
    for column in _IN_JSON:
        values[column] = json.loads(values[column])
    return Decision(**values)


def recent(
    conn: sqlite3.Connection,
    *,
    category: str | None = None,
    status: str | None = None,
    query: str | None = None,
    origin: str | None = None,
    limit: int = 100,
    before: tuple[float, int] | None = None,
) -> list[Decision]:
    """Decisions, the one that changed last first; `before` is (updated_at, number) of the last one
    of the page before. `query` has words, "phrases", starts* and -without; nothing is an error."""
    where, args = ["1"], list[object]()
    for column, value in (("category", category), ("status", status), ("origin", origin)):
        if value is not None:
            where.append(f"d.{column} = ?")
            args.append(value)
    if query is not None:
        where.append(matching("d.number", "decisions_text", query, args))
    if before is not None:
        where.append("(d.updated_at, d.number) < (?, ?)")
        args += before
    rows = conn.execute(
        f"{_SELECT} WHERE {' AND '.join(where)} ORDER BY d.updated_at DESC, d.number DESC LIMIT ?",
        (*args, limit),
    )
    return [_decision(row) for row in rows]


def revisions(conn: sqlite3.Connection, decision_id: str) -> list[Revision]:
    """Everything that a decision was, oldest first."""
    rows = conn.execute(
        "SELECT r.*, NULL FROM decision_revisions r WHERE decision_id = ? ORDER BY revision",
        (decision_id,),
    ).fetchall()
    pasts = [None, *(row[5] for row in rows)]
    return [_revision((*row[:6], past)) for row, past in zip(rows, pasts, strict=False)]


def history(
    conn: sqlite3.Connection,
    category: str,
    *,
    limit: int = 100,
    before: tuple[float, str, int] | None = None,
) -> list[Revision]:
    """Every revision of every decision that is in a category now, newest first; `before` is
    (changed_at, decision_id, revision) of the last one of the page before."""
    rows = conn.execute(_HISTORY, (category, *(before or (float("inf"), "", 0)), limit))
    return [_revision(row) for row in rows]


_HISTORY = """
SELECT r.*, (SELECT p.state FROM decision_revisions p
             WHERE p.decision_id = r.decision_id AND p.revision = r.revision - 1)
FROM decisions d JOIN decision_revisions r USING (decision_id)
WHERE d.category = ? AND (r.changed_at, r.decision_id, r.revision) < (?, ?, ?)
ORDER BY r.changed_at DESC, r.decision_id DESC, r.revision DESC LIMIT ?
"""


def _revision(row: Sequence[Any]) -> Revision:
    state: dict[str, Any] = json.loads(row[5])
    past: dict[str, Any] = json.loads(row[6]) if row[6] is not None else {}
    changed = [field for field in state if row[6] is not None and past.get(field) != state[field]]
    return Revision(row[0], row[1], row[2], row[3], row[4], state, changed)


def categories(conn: sqlite3.Connection) -> list[str]:
    """Every category that has a decision, by name."""
    rows = conn.execute("SELECT DISTINCT category FROM decisions ORDER BY category")
    return [category for (category,) in rows]


def counts(conn: sqlite3.Connection) -> dict[str, int]:
    """How many decisions have each status."""
    found = dict.fromkeys(STATUSES, 0)
    found.update(conn.execute("SELECT status, COUNT(*) FROM decisions GROUP BY status").fetchall())
    return found
