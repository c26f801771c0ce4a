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
_POSITIONS = "agent: position; more lines of it indented"
_INDENT = "  "


def new_fields(category: str | None, categories: list[str]) -> list[Field]:
    """An empty form; `category` is the one that is looked at."""
    return [
        Field("question", "Question"),
        Field("category", "Category", category or "", "such as storage", names=categories),
        Field("positions", "Positions", hint=_POSITIONS, rows=3),
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
        Field("positions", "Positions", _positions_text(row), _POSITIONS, 3),
        Field("category", "Category", _line(row.category)),
        _text("question", "Question", row.question),
    ]


def _answer(row: Decision | None) -> list[Field]:
    method, impact = (row.method or "", row.impact) if row else ("", None)
    decision = row.decision or "" if row else ""
    return [
        _text("decision", "Decision", decision, "empty: still open"),
        Field("rationale", "Why", clean(row.rationale) if row else "", rows=3),
        Field("method", "Method", method, hint=", ".join(METHODS), names=METHODS),
        Field("impact", "Impact", "" if impact is None else str(impact), hint="1 to 10, or empty"),
    ]


def _line(text: str) -> str:
    return clean(text.replace("\n", " "), newline=False)


def _text(name: str, label: str, value: str, hint: str = "") -> Field:
    """A field of one line, but for what has several already."""
    shown = clean(value)
    return Field(name, label, shown, hint, rows=3 if "\n" in shown else 1)


def _positions_text(row: Decision) -> str:
    return "\n".join(_block(name, held) for name, held in row.positions.items())


def _block(name: str, held: str) -> str:
    """Who holds what, as a person writes it: what follows the first line is indented."""
    first, *more = clean(held).strip("\n").split("\n")
    return "\n".join([f"{_line(name)}: {first}", *(_INDENT + line for line in more)]).rstrip()


async def decide(data_dir: Path, me: str, values: Values) -> Decision:
    """A new decision of a form. Raises FieldError or DecisionError, which name the field."""
    given = {name: _meant(name, value) for name, value in values.items()}
    return await writing.write(data_dir, lambda conn: decisions.decide(conn, by=me, **given))


async def revise(
    data_dir: Path, me: str, row: Decision, fields: list[Field], values: Values
) -> Decision:
    """Changes what was changed in the form, and nothing else. Raises as `decide`."""
    before = {field.name: field.value for field in fields}
    changes = {
        name: _positions(value, row.positions) if name == "positions" else _meant(name, value)
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


def _positions(text: str, now: Mapping[str, str]) -> dict[str, str]:
    """Who holds what. What was left as it stood means what it meant: control characters are only
    shown. Raises FieldError."""
    left = [(_block(name, held), name, held) for name, held in now.items()]
    found: dict[str, str] = {}
    for block in _blocks(text, now):
        same = next((one for one in left if one[0] == block), None)
        if same is not None:
            left.remove(same)
        name, held = same[1:] if same is not None else _position(block, now)
        if name in found:
            raise FieldError("positions", f"“{name:.40}” is there twice")
        found[name] = held
    return found


def _blocks(text: str, now: Mapping[str, str]) -> list[str]:
    """The lines of each position: indented ones, and blank ones before these, go on with it."""
    found: list[list[str]] = []
    for line in text.replace("\r\n", "\n").split("\n"):
        is_blank = not line.strip()
        if found and (is_blank or (line[0].isspace() and _known(line, now) is None)):
            found[-1].append(line)
        elif not is_blank:
            found.append([line])
    return ["\n".join(lines).rstrip() for lines in found]


def _known(line: str, now: Mapping[str, str]) -> str | None:
    """Whose position begins here, of those that were there: names may have a colon in them."""
    return max((name for name in now if line.startswith(f"{_line(name)}:")), key=len, default=None)


def _position(block: str, now: Mapping[str, str]) -> tuple[str, str]:
    first, *more = block.split("\n")
    name = _known(first, now)
    shown, colon, held = (
        first.partition(":") if name is None else (_line(name), ":", first[len(_line(name)) + 1 :])
    )
    lines = [held, *(line.removeprefix(_INDENT) for line in more)]
    held = "\n".join(line.rstrip() for line in lines).strip()
    if not shown.strip() or not colon or not held:
        raise FieldError("positions", f"“{first.strip():.40}” is not agent: position")
    return (shown.strip() if name is None else name), held
