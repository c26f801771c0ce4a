"""What is known of an agent besides its messages, in words: name, tokens, context, plan, limits.

Values are what some program wrote as JSON: nothing here trusts their form, and what is not known
is "—".
"""

import sqlite3
from collections.abc import Mapping
from datetime import datetime
from typing import cast

from msgspec import Struct

from agentmon.core.names import subagent_name
from agentmon.core.text import one_line
from agentmon.report.board import Board, Thread
from agentmon.report.family import Key
from agentmon.report.words import UNKNOWN, percent, tokens
from agentmon.store import read
from agentmon.store.read import AgentRow, SessionRow

Known = Mapping[str, object]
"""Facts of one agent by name (`agentmon.core.events.Facts`), the last value each."""

NOTHING_KNOWN: Known = {}

ON_BOARD = (
    "context_tokens",
    "context_window",
    "compactions",
    "todo",
    "rate_limit",
    "queue",
    "git_branch",
    "title",
    "tmux",
)
"""Facts that a line of the board, or the head of its rounds, may show."""

_DONE = ("completed", "complete", "done")
_RUNNING = ("in_progress", "running", "active")


def spent(session: SessionRow) -> int:
    """Tokens a session has worked through: input, cache writes and output. Cache reads would drown
    them: every request reads the whole conversation again."""
    return session.input_tokens + session.cache_write_tokens + session.output_tokens


def agent_tokens(row: AgentRow) -> int | None:
    """Tokens that a subagent has worked through."""
    return row.input_tokens + row.cache_write_tokens + row.output_tokens or None


def tokens_of(thread: Thread) -> int | None:
    """Tokens that an agent has worked through; a session's count has its subagents in it."""
    return (spent(thread.session) or None) if thread.is_main else agent_tokens(thread.row)


def name_of(thread: Thread) -> str:
    """What to call an agent: the folder that a session works in; a subagent's type and task. Not
    cleaned."""
    return thread.name if thread.is_main else agent_name(thread.row)


def agent_name(row: AgentRow) -> str:
    """What to call a subagent: its type and its task, as far as they are known; else its id."""
    return subagent_name(row.agent_id, row.kind, row.description, row.title)


def load(conn: sqlite3.Connection, board: Board) -> dict[Key, Known]:
    """What sources told of the agents on a board: what its rows need."""
    found: dict[Key, dict[str, object]] = {}
    sids = sorted({thread.row.sid for thread in board.threads})
    for (sid, agent_id, name), fact in read.facts_of(conn, sids, ON_BOARD).items():
        found.setdefault((sid, agent_id), {})[name] = fact.value
    return dict(found)


def short_name(thread: Thread) -> str:
    """The same where there is little room: of a subagent its task, else its type."""
    row = thread.row
    return thread.name if thread.is_main else row.description or agent_name(row)


def text(known: Known, name: str) -> str | None:
    """A fact that is a text; None where it is not known."""
    value = known.get(name)
    return value if isinstance(value, str) and value else None


def number(known: Known, name: str) -> float | None:
    value = known.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value)


def context_tokens(thread: Thread, known: Known) -> int | None:
    """Tokens in the context of an agent: as a source told, else what its last message read."""
    told = number(known, "context_tokens")
    if told is not None and told >= 0:
        return int(told)
    return (thread.session.context_tokens or None) if thread.is_main else None


def context_fill(thread: Thread, known: Known) -> float | None:
    """How full the context is, 0 to 1. The size of the window comes from a source or not at all."""
    held, window = context_tokens(thread, known), number(known, "context_window")
    return held / window if held is not None and window else None


def context_words(thread: Thread, known: Known) -> str:
    """ "68.0k of 200k tokens, 34%", "68.0k tokens of a window that is not known"."""
    held = context_tokens(thread, known)
    if held is None:
        return UNKNOWN
    window = number(known, "context_window")
    if not window:
        return f"{tokens(held)} tokens; the size of the window is not known"
    share = percent(held / window)
    return f"{tokens(held)} of {tokens(int(window))} tokens, {share}"


class Plan(Struct, frozen=True):
    """A todo list: steps done, steps in all, the one at work."""

    done: int
    total: int
    current: str = ""

    @property
    def progress(self) -> str:
        return f"{self.done}/{self.total}"


def plan(known: Known) -> Plan | None:
    """The newest todo list (TodoWrite, update_plan); None where there is none."""
    value = known.get("todo")
    if isinstance(value, Mapping):
        table = cast("Mapping[str, object]", value)
        value = table.get("plan", table.get("todos"))
    steps = _tables(value)
    if not steps:
        return None
    current = next((step for step in steps if step.get("status") in _RUNNING), None)
    return Plan(
        done=sum(step.get("status") in _DONE for step in steps),
        total=len(steps),
        current=_step_name(current) if current is not None else "",
    )


def _step_name(step: Mapping[str, object]) -> str:
    for name in ("activeForm", "content", "step", "text"):
        value = step.get(name)
        if isinstance(value, str) and value:
            return one_line(value, 120)
    return ""


def _tables(value: object) -> list[Mapping[str, object]]:
    rows = cast("list[object]", value) if isinstance(value, list) else []
    return [cast("Mapping[str, object]", row) for row in rows if isinstance(row, Mapping)]


def plan_words(known: Known) -> str:
    found = plan(known)
    if found is None:
        return UNKNOWN
    return f"{found.progress}  {found.current}" if found.current else found.progress


def queue(known: Known) -> list[str] | None:
    """Prompts that wait for their turn; None where nobody tells."""
    value = known.get("queue")
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, int):
        return [UNKNOWN] * max(0, min(value, 999))
    rows = cast("list[object]", value) if isinstance(value, list) else []
    return [one_line(_prompt(row), 120) for row in rows]


def _prompt(row: object) -> str:
    if isinstance(row, Mapping):
        table = cast("Mapping[str, object]", row)
        row = table.get("text") or table.get("content") or table.get("prompt")
    return row if isinstance(row, str) and row else UNKNOWN


def queue_words(known: Known) -> str:
    waiting = queue(known)
    if waiting is None:
        return UNKNOWN
    if not waiting:
        return "no prompt waits"
    plural = "" if len(waiting) == 1 else "s"
    return f"{len(waiting)} prompt{plural}: {' · '.join(waiting[:4])}"


def rate_limit_words(known: Known, now: float) -> str:
    """ "five hour: 91%, allowed warning, until 14:30"; one or two windows, as the product has."""
    value = known.get("rate_limit")
    if isinstance(value, str) and value:
        return one_line(value, 120)
    if not isinstance(value, Mapping):
        return UNKNOWN
    table = cast("Mapping[str, object]", value)
    windows = [_window(table, now)]
    for name in ("primary", "secondary"):
        inner = table.get(name)
        if isinstance(inner, Mapping):
            windows.append(_window(cast("Mapping[str, object]", inner), now))
    said = [words for words in windows if words]
    return " · ".join(said) or UNKNOWN


def _window(table: Mapping[str, object], now: float) -> str:
    parts: list[str] = []
    used, share = number(table, "used_percent"), number(table, "utilization")
    if used is not None:
        parts.append(f"{used:.0f}% used")
    elif share is not None:
        parts.append(f"{share * 100:.0f}% used")
    status = text(table, "status")
    if status is not None:
        parts.append(one_line(status.replace("_", " "), 40))
    resets = number(table, "resets_at") or number(table, "resetsAt")
    if resets is not None and 0 < resets - now < 90 * 86_400:
        parts.append(f"until {datetime.fromtimestamp(resets).astimezone():%H:%M}")
    minutes, kind = number(table, "window_minutes"), text(table, "rateLimitType")
    name = one_line(kind.replace("_", " "), 24) if kind else _minutes(minutes)
    return f"{name}: {', '.join(parts)}" if name and parts else ", ".join(parts)


def _minutes(minutes: float | None) -> str:
    if minutes is None or minutes <= 0:
        return ""
    if minutes >= 2880:
        return f"{minutes / 1440:.0f} days"
    return f"{minutes / 60:.0f} h" if minutes >= 120 else f"{minutes:.0f} min"


def details(thread: Thread, known: Known, now: float) -> list[tuple[str, str]]:
    """Every fact that people look for, with its label; "—" where no source told it."""
    session, row = thread.session, thread.row
    spent = tokens_of(thread)
    compactions, cost = number(known, "compactions"), number(known, "cost_usd")
    rows = [
        ("tokens", f"{spent:,}" if spent is not None else UNKNOWN),
        ("context", context_words(thread, known)),
        ("compacted", f"{compactions:.0f} times" if compactions is not None else UNKNOWN),
        ("plan", plan_words(known)),
    ]
    if not thread.is_main:
        kind, status = row.kind or UNKNOWN, row.status or UNKNOWN
        return [*rows, ("agent", one_line(f"{kind}, {status}", 80))]
    mode, effort = text(known, "permission_mode"), text(known, "effort")
    return [
        *rows,
        ("queue", queue_words(known)),
        ("rate limit", rate_limit_words(known, now)),
        ("branch", one_line(text(known, "git_branch") or UNKNOWN, 120)),
        ("title", one_line(text(known, "title") or UNKNOWN, 120)),
        ("model", one_line(session.model or text(known, "model") or UNKNOWN, 80)),
        ("version", one_line(session.version or UNKNOWN, 40)),
        ("mode", one_line(", ".join(filter(None, (mode, effort))) or UNKNOWN, 60)),
        ("cost", f"${cost:.2f}" if cost is not None else UNKNOWN),
    ]
