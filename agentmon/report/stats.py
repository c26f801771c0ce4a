"""A session in numbers, computed from its own rows.

Definitions: a call's duration runs from its completion to its result; an error is a result that
says `is_error`, or a broken message; a mean or median over nothing is null. Busy time of a phase is
the time in which at least one agent of the session was in it, so parallel work counts once:
- prompting: the main agent waits, from a prompt or its last result to the start of its next message
- thinking, writing, calling: from the start of such a block to its completion
- tool: from a call to its result
- round: from a prompt to its stop, for rounds that have one
"""

import sqlite3
from collections.abc import Callable, Iterable, Sequence
from statistics import fmean, median
from typing import Any, TypeVar

from agentmon.core.moments import Span, due
from agentmon.core.text import one_line
from agentmon.report.board import Thread
from agentmon.report.naming import Unclear
from agentmon.report.table import Cell, Column, Painter, table
from agentmon.report.words import UNKNOWN, brief, counted, micros, moment, size, tokens
from agentmon.store import read
from agentmon.store.read_stats import (
    BlockFact,
    MessageFact,
    RoundFact,
    block_facts,
    message_facts,
    prompt_times,
    round_facts,
    verdict_counts,
)

K = TypeVar("K")
T = TypeVar("T")
Stats = dict[str, Any]

TOKENS = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens")


def stats(conn: sqlite3.Connection, sid: str) -> Stats:
    """A session in numbers, as plain values; durations in seconds. Raises Unclear."""
    session = read.session(conn, sid)
    if session is None:
        raise Unclear(f"no session answers to {sid!r}")
    agents = read.agents(conn, sid)
    messages, blocks = list(message_facts(conn, sid)), list(block_facts(conn, sid))
    rounds, prompts = list(round_facts(conn, sid)), prompt_times(conn, sid)
    main = next((row for row in agents if not row.agent_id), None)
    first, last = session.first_time, session.last_time
    return {
        "sid": sid,
        "name": Thread(main, session, []).name if main is not None else sid[:8],
        "agent": session.agent,
        "cwd": session.cwd,
        "version": session.version,
        "pid": session.pid,
        "first_time": first,
        "last_time": last,
        "duration": micros(last - first) if first is not None and last is not None else None,
        "end_time": session.end_time,
        "end_reason": session.end_reason,
        "prompts": len(prompts),
        "rounds": _rounds(rounds),
        "messages": _messages(messages),
        "models": _models(messages),
        "tokens": {name: getattr(session, name) for name in (*TOKENS, "context_tokens")},
        "blocks": _blocks(blocks),
        "tools": _tools(blocks),
        "busy": _busy(messages, blocks, rounds, prompts),
        "subagents": _subagents(agents, messages),
        "verdicts": verdict_counts(conn, sid),
    }


def _rounds(rounds: Sequence[RoundFact]) -> Stats:
    took = [max(0.0, r.end_time - r.start_time) for r in rounds if r.end_time is not None]
    complete = sum(r.is_complete for r in rounds)
    aborted = sum(r.is_aborted for r in rounds)
    return {
        "total": len(rounds),
        "complete": complete,
        "aborted": aborted,
        "open": len(rounds) - complete - aborted,
        **durations(took),
    }


def durations(seconds: Sequence[float]) -> Stats:
    """Sum, mean, median and longest of some durations; null where there are none."""
    return {
        "total_duration": micros(sum(seconds) if seconds else None),
        "mean_duration": micros(fmean(seconds) if seconds else None),
        "median_duration": micros(median(seconds) if seconds else None),
        "max_duration": micros(max(seconds, default=None)),
    }


def _messages(messages: Sequence[MessageFact]) -> Stats:
    return {
        "total": len(messages),
        "complete": sum(message.is_complete for message in messages),
        "errors": sum(message.error is not None for message in messages),
    }


def _grouped(items: Iterable[T], key: Callable[[T], K]) -> dict[K, list[T]]:
    found: dict[K, list[T]] = {}
    for item in items:
        found.setdefault(key(item), []).append(item)
    return found


def _sums(messages: Iterable[MessageFact]) -> dict[str, int]:
    found = list(messages)
    return {name: sum(getattr(message, name) or 0 for message in found) for name in TOKENS}


def _models(messages: Iterable[MessageFact]) -> list[Stats]:
    groups = _grouped(messages, lambda message: message.model)
    rows = [{"model": m, "messages": len(of), **_sums(of)} for m, of in groups.items()]
    return sorted(rows, key=lambda row: (-row["messages"], str(row["model"])))


def _blocks(blocks: Iterable[BlockFact]) -> list[Stats]:
    groups = _grouped(blocks, lambda block: block.block_type)
    rows = [
        {
            "block_type": kind,
            "count": len(of),
            "deltas": sum(block.delta_count for block in of),
            "bytes": sum(block.total_bytes for block in of),
        }
        for kind, of in groups.items()
    ]
    return sorted(rows, key=lambda row: (-row["count"], str(row["block_type"])))


def _tools(blocks: Iterable[BlockFact]) -> list[Stats]:
    calls = [block for block in blocks if block.tool_use_id is not None]
    groups = _grouped(calls, lambda block: block.tool_name)
    rows = [
        {
            "tool_name": name,
            "calls": len(of),
            "returned": sum(call.result_time is not None for call in of),
            "pending": sum(call.is_pending for call in of),
            "errors": sum(call.is_error == 1 for call in of),
            **durations([call.duration for call in of if call.duration is not None]),
        }
        for name, of in groups.items()
    ]
    return sorted(rows, key=lambda row: (-row["calls"], str(row["tool_name"])))


def _subagents(agents: Iterable[read.AgentRow], messages: Iterable[MessageFact]) -> list[Stats]:
    groups = _grouped(messages, lambda message: message.agent_id)
    return [
        {
            "agent_id": row.agent_id,
            "kind": row.kind,
            "description": row.description,
            "status": row.status,
            "parent_tool_use_id": row.parent_tool_use_id,
            "messages": len(groups.get(row.agent_id, [])),
            **_sums(groups.get(row.agent_id, [])),
        }
        for row in agents
        if row.agent_id
    ]


# -- busy time

_PHASES = {"thinking": "thinking", "redacted_thinking": "thinking", "text": "writing"}


def _busy(
    messages: Sequence[MessageFact],
    blocks: Sequence[BlockFact],
    rounds: Sequence[RoundFact],
    prompts: Sequence[float],
) -> Stats:
    spans: dict[str, list[Span]] = {name: [] for name in ("thinking", "writing", "calling", "tool")}
    for block in blocks:
        is_call = (block.block_type or "").endswith("tool_use")
        phase = "calling" if is_call else _PHASES.get(block.block_type or "")
        if phase is not None and block.start_time is not None and block.complete_time is not None:
            spans[phase].append((block.start_time, block.complete_time))
        if block.complete_time is not None and block.result_time is not None:
            spans["tool"].append((block.complete_time, block.result_time))
    ended = [(r.start_time, r.end_time) for r in rounds if r.end_time is not None]
    asked = {"prompting": _waits(messages, blocks, prompts)}
    found = {**asked, **spans, "round": ended}
    return {name: micros(union(of)) if of else None for name, of in found.items()}


def _waits(
    messages: Sequence[MessageFact], blocks: Sequence[BlockFact], prompts: Sequence[float]
) -> list[Span]:
    """From what the main agent sent last to the start of its next message."""
    results = (b.result_time for b in blocks if b.agent_id is None and b.result_time is not None)
    sent = sorted([*prompts, *results])
    starts = sorted(m.start_time for m in messages if m.agent_id is None and m.start_time)
    return due(sent, starts)


def union(spans: Iterable[Span]) -> float:
    """Seconds that are covered by at least one span."""
    total, end = 0.0, float("-inf")
    for start, stop in sorted(spans):
        if stop > end:
            total += stop - (start if start > end else end)
            end = stop
    return total


# -- as text

_TOOLS = (
    Column("tool", 8, 30),
    Column("calls", 5, 7, right=True),
    Column("errors", 6, 6, right=True),
    Column("pending", 7, 7, keep=3, right=True),
    Column("median", 6, 8, keep=1, right=True),
    Column("mean", 5, 8, keep=2, right=True),
    Column("longest", 7, 8, keep=1, right=True),
)


def as_text(found: Stats, width: int, paint: Painter) -> list[str]:
    """The same to be read."""
    rounds, messages, spent = found["rounds"], found["messages"], found["tokens"]
    lines = [
        paint(Cell(one_line(f"{found['name']}  {found['sid']}", width), bold=True)),
        *_facts(
            width,
            ("agent", f"{found['agent']} {found['version'] or ''}"),
            ("from", f"{moment(found['first_time'])} to {moment(found['last_time'])}"),
            ("rounds", f"{rounds['total']}: {_in_words(rounds, 'complete', 'aborted', 'open')}"),
            ("", f"median {brief(rounds['median_duration'])}, "
                 f"longest {brief(rounds['max_duration'])}"),
            ("messages", f"{messages['total']}: {_in_words(messages, 'complete', 'errors')}"),
            ("tokens", f"in {tokens(spent['input_tokens'])}, out {tokens(spent['output_tokens'])}"),
            ("cache", f"read {tokens(spent['cache_read_tokens'])}, written "
                      f"{tokens(spent['cache_write_tokens'])}"),
            ("busy", ", ".join(f"{name} {brief(took)}" for name, took in found["busy"].items())),
        ),
    ]  # fmt: skip
    lines += _facts(
        width, *(("model", f"{m['model'] or UNKNOWN}: {m['messages']}") for m in found["models"])
    )
    for row in found["blocks"]:
        said = f"{row['block_type'] or UNKNOWN}: {row['count']}, {size(row['bytes'])}"
        lines += _facts(width, ("blocks", f"{said}, {row['deltas']} deltas"))
    for row in found["subagents"]:
        name = row["description"] or row["kind"] or row["agent_id"]
        spent = row["input_tokens"] + row["cache_write_tokens"] + row["output_tokens"]
        said = f"{name}: {counted(row['messages'], 'message')}, {tokens(spent or None)} tokens"
        lines += _facts(width, ("subagent", f"{said}, {row['status'] or UNKNOWN}"))
    if found["verdicts"]:
        lines += _facts(width, ("verdicts", _in_words(found["verdicts"], *found["verdicts"])))
    if found["tools"]:
        lines += ["", *table(_TOOLS, [_tool_cells(row) for row in found["tools"]], width, paint)]
    return lines


def _facts(width: int, *facts: tuple[str, str]) -> list[str]:
    return [f"{name:<9} {one_line(value, max(20, width - 10))}" for name, value in facts]


def _in_words(row: Stats, *names: str) -> str:
    return ", ".join(f"{row[name]} {name}" for name in names)


def _tool_cells(row: Stats) -> list[Cell]:
    return [
        Cell(row["tool_name"] or "tool"),
        Cell(str(row["calls"])),
        Cell(str(row["errors"]), "error" if row["errors"] else ""),
        Cell(str(row["pending"])),
        Cell(brief(row["median_duration"])),
        Cell(brief(row["mean_duration"])),
        Cell(brief(row["max_duration"])),
    ]
