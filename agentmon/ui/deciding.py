"""The forms of a decision: what stands in them, and what of it is meant."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from agentmon.collab import decisions
from agentmon.collab.decisions import METHODS, STATUSES, Decision
from agentmon.core.text import clean
from agentmon.ui import writing
from agentmon.ui.screens.form import Field, FieldError, Values

_COMMAS = re.compile(r"\s*,\s*")


def new_fields(category: str | None, categories: list[str]) -> list[Field]:
    """An empty form; `category` is the one that is looked at."""
    return [
        Field("question", "Question"),
        Field("category", "Category", category or "", "such as storage", names=categories),
        Field("positions", "Positions", hint="a line each: agent: what it holds", rows=3),
        *_answer(None),
        Field("participants", "Took part", hint="names, with commas, besides those above"),
        Field("files", "Files", hint="paths, with commas"),
    ]


def revise_fields(row: Decision) -> list[Field]:
    """A decision as it stands, and why it changes."""
    return [
        Field("reason", "Why it changes", hint="goes into its history"),
        Field("status", "Status", row.status, hint=", ".join(STATUSES), names=STATUSES),
        *_answer(row),
        Field("positions", "Positions", _positions_text(row), "a line each: agent: position", 3),
        Field("category", "Category", _line(row.category)),
        Field("question", "Question", _line(row.question)),
    ]


def _answer(row: Decision | None) -> list[Field]:
    method, impact = (row.method or "", row.impact) if row else ("", None)
    decision = _line(row.decision or "") if row else ""
    return [
        Field("decision", "Decision", decision, "empty: still open"),
        Field("rationale", "Why", clean(row.rationale) if row else "", rows=3),
        Field("method", "Method", method, hint=", ".join(METHODS), names=METHODS),
        Field("impact", "Impact", "" if impact is None else str(impact), hint="1 to 10, or empty"),
    ]


def _line(text: str) -> str:
    return clean(text.replace("\n", " "), newline=False)


def _positions_text(row: Decision) -> str:
    return "\n".join(_position_lines(row))


def _position_lines(row: Decision) -> dict[str, tuple[str, str]]:
    """Who holds what, by the line that says so: not every name and position fits in a line."""
    return {f"{_line(name)}: {_line(held)}": (name, held) for name, held in row.positions.items()}


async def decide(data_dir: Path, me: str, values: Values) -> Decision:
    """A new decision of a form. Raises FieldError or DecisionError, which name the field."""
    given = {name: _meant(name, value) for name, value in values.items()}
    return await writing.write(data_dir, lambda conn: decisions.decide(conn, by=me, **given))


async def revise(
    data_dir: Path, me: str, row: Decision, fields: list[Field], values: Values
) -> Decision:
    """Changes what was changed in the form, and nothing else. Raises as `decide`."""
    before = {field.name: field.value for field in fields}
    known = _position_lines(row)
    changes = {
        name: _positions(value, known) if name == "positions" else _meant(name, value)
        for name, value in values.items()
        if name != "reason" and value != before[name]
    }
    if not changes:
        raise FieldError("status", "nothing was changed; Esc leaves")
    reason = values["reason"].strip()
    if not reason:
        raise FieldError("reason", "say why: it goes into the history")
    return await writing.write(
        data_dir,
        lambda conn: decisions.revise_decision(
            conn, row.decision_id, changes, me, reason, based_on=row.revision
        ),
    )


def _meant(name: str, value: str) -> Any:
    """The value of a field. Raises FieldError."""
    text = value.strip()
    match name:
        case "positions":
            return _positions(text, {})
        case "participants" | "files":
            return [one for one in _COMMAS.split(text) if one]
        case "impact":
            if text and not text.isdecimal():
                raise FieldError("impact", "a number from 1 to 10, or empty")
            return int(text) if text else None
        case "decision" | "method":
            return text or None
        case _:
            return text


def _positions(text: str, known: Mapping[str, tuple[str, str]]) -> dict[str, str]:
    """Who holds what; lines that are `known` mean what they meant. Raises FieldError."""
    found: dict[str, str] = {}
    for line in filter(str.strip, text.splitlines()):
        name, held = known.get(line) or _position(line)
        if name in found:
            raise FieldError("positions", f"“{name:.40}” is there twice")
        found[name] = held
    return found


def _position(line: str) -> tuple[str, str]:
    name, _, held = (part.strip() for part in line.partition(":"))
    if not name or not held:
        raise FieldError("positions", f"“{line.strip():.40}” is not agent: position")
    return name, held
