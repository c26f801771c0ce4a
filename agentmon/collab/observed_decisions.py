"""Decisions that people made while an agent waited, from the calls that asked them: plans that were
approved or rejected, questions that were answered, calls that were refused.

Only what a result says in the words of its product is taken. A call that ran says nothing of who
allowed it (a hook does: `observed_permissions`), one that a rule or an interruption ended was
decided by nobody: none of them is one.
Refused calls can be of any tool, but of most only those that failed are looked at.
"""

import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from typing import Any, cast

from msgspec import Struct

from agentmon.collab import decisions
from agentmon.collab.calls_seen import Call, Rule
from agentmon.collab.decisions import DecisionError
from agentmon.collab.fields import LONGEST_NAME, LONGEST_TEXT
from agentmon.collab.work_of_calls import PATCHES, SHELLS
from agentmon.core.text import clean, one_line
from agentmon.store.texts import preview

PERSON = "user"
"""What the person at the agent's terminal is called."""

PLAN, QUESTION, PERMISSION = "plan", "question", "permission"
"""Categories."""

_REFUSED = (
    "The user doesn't want to proceed with this tool use. The tool use was rejected",
    "Permission for this tool use was denied. The tool use was rejected",
)
_REFUSED_BY_CODEX = ("exec command rejected by user", "patch rejected by user")
_SAID = ("To tell you how to proceed, the user said:\n", "The user said:\n")
_APPROVED = ("User has approved your plan", "User has approved the plan", "User has approved exit")
_ANSWERED = ("User has answered your questions: ", "Your questions have been answered: ")
_AFTER_ANSWERS = '". You can now continue with'
_ASIDE = ('" selected preview:', '" selected markdown:', '" user notes:')


class Found(Struct):
    """A decision that a call shows."""

    category: str
    question: str
    decision: str | None
    held: str
    """What the agent proposed."""
    why: str = ""
    method: str | None = None
    files: Sequence[str] = ()


def take(conn: sqlite3.Connection, call: Call) -> None:
    """Records what people decided by a call, once; told anew and differently, it is revised, unless
    somebody did so already."""
    for found in observed(call):
        _record(conn, call, found)


def observed(call: Call) -> Iterator[Found]:
    """What people decided by a call. Pure; never raises."""
    if call.result is None:
        return
    refusal = _refusal(call)
    if call.name in ("AskUserQuestion", "request_user_input"):
        yield from _answers(call, refusal)
    elif call.name in ("ExitPlanMode", "exit_plan_mode"):
        yield from _plan(call, refusal)
    elif refusal is not None:
        found = permission(call.name, call.input)
        found.decision, found.why, found.method = "refused", refusal, "override"
        yield found


def permission(tool: str, given: Mapping[str, Any]) -> Found:
    """The question whether a tool may be used so; open."""
    tried = one_line(_gist(given), 500)
    files = [path for path in (given.get("file_path"),) if isinstance(path, str) and path]
    return Found(PERMISSION, f"Allow {one_line(tool, 100)}: {tried}", None, tried, files=files)


def _refusal(call: Call) -> str | None:
    return refusal_in(call.product, call.result or "", call.is_error)


def refusal_in(product: str, result: str, is_error: bool | None) -> str | None:
    """What the person said as they refused a call, "" for nothing; None: it was not refused."""
    result = result.removeprefix("Error: ")
    if product == "codex":
        is_refused = is_error is not False and result.strip() in _REFUSED_BY_CODEX
        return "" if is_refused else None
    if not is_error or not result.startswith(_REFUSED):
        return None  # what a tool printed is no refusal, whatever it reads like
    for mark in _SAID:
        _, found, said = result.partition(mark)
        if found:
            return said.strip()
    return ""


def _gist(given: Mapping[str, Any]) -> str:
    try:
        text = json.dumps(given, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError):
        return ""
    return preview(text)


# -- plans


def _plan(call: Call, refusal: str | None) -> Iterator[Found]:
    result = call.result or ""
    given = call.input.get("plan")
    plan = given.strip() if isinstance(given, str) else ""
    if not plan and (at := result.find("## Approved Plan")) >= 0:
        plan = result[at:].partition("\n")[2].strip()
    title = one_line(plan.lstrip("# \n").partition("\n")[0], 200)
    question = f"Approve the plan: {title}" if title else "Approve the plan"
    if refusal is not None:
        yield Found(PLAN, question, "rejected", plan, refusal, "override")
    elif call.is_error is not True and result.startswith(_APPROVED):
        yield Found(PLAN, question, "approved", plan, "", "consensus")


# -- questions


def _answers(call: Call, refusal: str | None) -> Iterator[Found]:
    rows = _tables(call.input.get("questions"))
    asked = list({question: row for row in rows if (question := _text(row, "question"))}.values())
    if refusal is not None:
        for table in asked:
            yield Found(QUESTION, _text(table, "question"), None, _options(table), refusal)
        return
    if call.is_error is True:
        return
    told = _told_by_codex(call, asked) if call.product == "codex" else _told(call, asked)
    for table in asked:
        question = _text(table, "question")
        answer, aside = told.get(question, ("", ""))
        if answer:
            yield Found(QUESTION, question, answer, _options(table), aside)


def _told(call: Call, asked: Sequence[Mapping[str, object]]) -> dict[str, tuple[str, str]]:
    """Answers by question, each with what was said besides: `"question"="answer", …`."""
    result = call.result or ""
    start = next((mark for mark in _ANSWERED if result.startswith(mark)), None)
    end = result.rfind(_AFTER_ANSWERS)
    if start is None:
        return {}
    text = result[len(start) : end + 1] if end >= 0 else result[len(start) :].rstrip(". \n")
    marks = {f'"{_text(table, "question")}"=': _text(table, "question") for table in asked}
    places = sorted((text.find(mark), mark) for mark in marks if mark in text)
    found: dict[str, tuple[str, str]] = {}
    ends = [*(at for at, _ in places[1:]), len(text)]
    for (at, mark), end in zip(places, ends, strict=False):
        said = text[at + len(mark) : end].removesuffix(", ")
        if said.startswith('"'):  # else: no option was selected
            found[marks[mark]] = _split(said[1:].removesuffix('"'))
    return found


def _split(said: str) -> tuple[str, str]:
    cuts = [at for mark in _ASIDE if (at := said.find(mark)) >= 0]
    at = min(cuts, default=len(said))
    return said[:at], said[at + 1 :].strip()


def _told_by_codex(call: Call, asked: Sequence[Mapping[str, object]]) -> dict[str, tuple[str, str]]:
    """The same from `{"answers": {"<id>": {"answers": ["…"]}}}`."""
    try:
        result: object = json.loads(call.result or "")
    except (ValueError, RecursionError):
        return {}
    answers = _table(_table(result).get("answers"))
    found: dict[str, tuple[str, str]] = {}
    for table in asked:
        given = _table(answers.get(_text(table, "id"))).get("answers")
        rows = cast("list[object]", given) if isinstance(given, list) else []
        found[_text(table, "question")] = ", ".join(r for r in rows if isinstance(r, str)), ""
    return found


def _options(table: Mapping[str, object]) -> str:
    """What was offered, one a line."""
    offered = _tables(table.get("options"))
    lines = (
        ": ".join(filter(None, (_text(row, "label"), _text(row, "description")))) for row in offered
    )
    return "\n".join(filter(None, lines))


def _table(value: object) -> Mapping[str, object]:
    return cast("Mapping[str, object]", value) if isinstance(value, Mapping) else {}


def _tables(value: object) -> list[Mapping[str, object]]:
    rows = cast("list[object]", value) if isinstance(value, list) else []
    return [_table(row) for row in rows[:100]]


def _text(table: Mapping[str, object], name: str) -> str:
    value = table.get(name)
    return value if isinstance(value, str) and value.strip() else ""


# -- keeping them


def _record(conn: sqlite3.Connection, call: Call, found: Found) -> None:
    state, key = state_of(call.agent, call.sid, found), _link(call.tool_use_id)
    if key is None:
        return
    row = conn.execute(
        "SELECT decision_id, revision FROM decisions"
        " WHERE tool_use_id = ?1 AND (question = ?2 OR ?3 = category AND ?3 = 'permission')",
        (key, state["question"], found.category),
    ).fetchone()
    try:
        if row is None:
            moment = call.called_at if call.result_time is None else call.result_time
            decisions.decide(
                conn,
                **state,
                by=PERSON,
                origin="observed",
                decision_id=id_of(key, found),
                session_id=_link(call.sid),
                round_id=_link(call.round_id),
                tool_use_id=key,
                now=moment,
            )
        elif row[1] == 1:
            why = "told anew, and differently"
            decisions.revise_decision(conn, row[0], state, PERSON, why, now=call.result_time)
    except DecisionError:
        return  # what cannot be said as a decision is none


def state_of(name: str, sid: str, found: Found) -> dict[str, Any]:
    """What the registry keeps of a decision that an agent, by its shown name, waited for."""
    agent = clean(_sound(name, LONGEST_NAME), newline=False)[:LONGEST_NAME].strip()
    agent = agent or one_line(_sound(sid, 64), 64) or "agent"
    positions = {agent if agent != PERSON else f"{PERSON} (agent)": _sound(found.held)}
    if found.decision is not None:
        positions[PERSON] = _sound(found.decision)
    return {
        "question": _sound(found.question),
        "category": found.category,
        "positions": {name: held for name, held in positions.items() if held.strip()},
        "participants": [*positions, PERSON],
        "decision": None if found.decision is None else _sound(found.decision),
        "rationale": _sound(found.why),
        "method": found.method,
        "status": "withdrawn" if found.decision is None else "decided",
        "files": [path for path in found.files if len(path) <= 4_096 and path.isprintable()],
    }


def _sound(text: str, most: int = LONGEST_TEXT) -> str:
    """A text that can be stored."""
    sound = text.encode("utf-8", "replace").decode().replace("\0", "�")
    return sound if len(sound) <= most else sound[: most - 1] + "…"


def id_of(tool_use_id: str, found: Found) -> str:
    """The same whenever it is seen."""
    about = found.category if found.category == PERMISSION else found.question
    return sha256(f"{tool_use_id}\n{about}".encode("utf-8", "replace")).hexdigest()[:12]


def _link(name: str | None) -> str | None:
    return None if not name else clean(_sound(name, 1_000), newline=False)[:1_000]


ASKING = ("AskUserQuestion", "request_user_input", "ExitPlanMode", "exit_plan_mode")


def wants(name: str) -> bool:
    """Whether calls of a tool may show a decision, as far as they say nothing of having failed:
    Codex does not say so of a refused command or patch."""
    return name in ASKING or name in SHELLS or name in PATCHES


def wants_failed(_: str) -> bool:
    return True


RULE = Rule("decisions", 1, wants, take, wants_failed=wants_failed)
