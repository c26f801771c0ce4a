"""What a decision is, and what its fields may hold."""

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from agentmon.collab import fields
from agentmon.collab.fields import FieldError

STATUSES: tuple[str, ...] = ("open", "decided", "superseded", "withdrawn")
METHODS = ("consensus", "compromise", "vote", "override")
ORIGINS = ("said", "observed")

DecisionError = FieldError
"""A decision that cannot be taken as it is; it names the field."""


class Decision(Struct, frozen=True):
    """A decision as it stands. Times are epoch seconds; what is not known is None.

    `origin` is "said" by an agent or a person, or "observed" in what they did; then `tool_use_id`
    is the call. `positions` is what each agent holds.
    """

    number: int
    decision_id: str
    revision: int
    question: str
    category: str
    positions: dict[str, str]
    decision: str | None
    rationale: str
    method: str | None
    participants: list[str]
    files: list[str]
    status: str
    impact: int | None
    created_at: float
    created_by: str
    updated_at: float
    origin: str
    session_id: str | None
    round_id: str | None
    tool_use_id: str | None


class Revision(Struct, frozen=True):
    """A state that a decision had from `changed_at` on: every field a reviser can change, and by
    name those that differ from the revision before it."""

    decision_id: str
    revision: int
    changed_at: float
    changed_by: str
    reason: str
    state: dict[str, Any]
    changed: list[str]


class Draft(Struct, kw_only=True):
    """What can be said of a decision, and changed later."""

    question: str
    category: str
    positions: dict[str, str] = {}
    decision: str | None = None
    rationale: str = ""
    method: str | None = None
    participants: list[str] = []
    files: list[str] = []
    status: str = "open"
    impact: int | None = None


REVISABLE = Draft.__struct_fields__


def checked(given: Mapping[str, Any]) -> Draft:
    """A draft whose fields are as they should be. Raises DecisionError."""
    positions = fields.by_name("positions", given["positions"])
    decision, method, impact = given["decision"], given["method"], given["impact"]
    participants = fields.names("participants", given["participants"])
    draft = Draft(
        question=fields.text("question", given["question"]),
        category=fields.name("category", given["category"]),
        positions=positions,
        decision=None if decision is None else fields.text("decision", decision),
        rationale=fields.text("rationale", given["rationale"], empty=True),
        method=None if method is None else fields.one_of("method", method, METHODS),
        participants=list(dict.fromkeys([*participants, *positions])),
        files=fields.names("files", given["files"], most=4_096),
        status=fields.one_of("status", given["status"], STATUSES),
        impact=None if impact is None else fields.whole("impact", impact, 1, 10),
    )
    if draft.status == "decided" and draft.decision is None:
        raise FieldError("decision", "what is decided needs one")
    if draft.status == "open" and draft.decision is not None:
        raise FieldError("status", "what has a decision is not open")
    return draft


def state_of(decision: Decision) -> dict[str, Any]:
    """What a revision keeps: the fields that can be revised."""
    return {field: getattr(decision, field) for field in REVISABLE}
