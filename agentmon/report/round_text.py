"""A round as text: a line for each thing in it, its text indented below; subagents further in."""

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import cast

from agentmon.core.text import one_line
from agentmon.report.bodies import cleaned
from agentmon.report.render import look
from agentmon.report.round_content import Entry, Record
from agentmon.report.table import Cell, Painter
from agentmon.report.words import UNKNOWN, brief, moment, size, tokens

_STEP = "  "
_HEAD = 160
"""Cells of a headline's parts that agents wrote."""


def written(entries: Iterable[Entry], paint: Painter) -> Iterator[str]:
    """The text piece by piece, lines ended."""
    before = ""
    for entry in entries:
        indent = _STEP * entry.depth + (_STEP if entry.kind in _INSIDE else "")
        follows = entry.kind in ("round", *_INSIDE) or entry.kind == before == "notice"
        blank, before = "" if follows else "\n", entry.kind
        yield f"{blank}{indent}{_headline(entry, paint)}\n"
        if entry.text is not None:
            for piece in cleaned(entry.text(), indent + _STEP):
                yield piece if not paint.ascii else piece.encode("ascii", "replace").decode()


_INSIDE = ("block", "tool_result")
"""Kinds that stand below the message they belong to."""


def _headline(entry: Entry, paint: Painter) -> str:
    cells = _HEADS[entry.kind](entry.record)
    return " ".join(paint(cell) for cell in cells if cell.text)


def _sign(state: str, paint_as: str = "") -> Cell:
    drawn = look(state)
    return Cell(drawn.glyph, paint_as or drawn.role)


def _plain(value: object) -> Cell:
    return Cell(one_line(str(value), _HEAD)) if value is not None else Cell("")


def _clock(time: object) -> Cell:
    if not isinstance(time, int | float):
        return Cell(UNKNOWN, dim=True)
    try:
        return Cell(f"{datetime.fromtimestamp(time).astimezone():%H:%M:%S}", dim=True)
    except (ValueError, OverflowError, OSError):
        return Cell(UNKNOWN, dim=True)


def _took(start: object, end: object) -> Cell:
    if isinstance(start, int | float) and isinstance(end, int | float):
        return Cell(brief(max(0.0, end - start)), dim=True)
    return Cell("")


def _round(record: Record) -> list[Cell]:
    start = record["start_time"]
    if record["is_complete"]:
        end = _sign("complete"), Cell("complete")
    elif record["is_aborted"]:
        end = _sign("retrying"), Cell("aborted")
    elif record["orphaned_at"] is not None:
        end = _sign("orphaned"), Cell("orphaned")
    else:
        end = _sign("writing"), Cell("open")
    return [
        Cell(f"round #{record['round_number']}", bold=True),
        _plain(record["round_id"]),
        Cell(moment(start if isinstance(start, int | float) else None), dim=True),
        _took(start, record["end_time"]),
        *end,
    ]


def _prompt(record: Record) -> list[Cell]:
    queued = Cell("queued") if record["is_queued"] else Cell("")
    return [Cell("> prompt", "accent", bold=True), _clock(record["time"]), queued]


def _message(record: Record) -> list[Cell]:
    state = "failed" if record["is_broken"] else "complete" if record["is_complete"] else "writing"
    spent = [record[name] for name in ("input_tokens", "cache_write_tokens")]
    known = [count for count in spent if isinstance(count, int)]
    out = record["output_tokens"]
    return [
        _sign(state),
        Cell("message", bold=True),
        _plain(record["flow_id"]),
        _plain(record["model"]),
        _clock(record["start_time"]),
        _took(record["start_time"], record["end_time"]),
        Cell(f"in {tokens(sum(known) if known else None)}"),
        Cell(f"out {tokens(out if isinstance(out, int) else None)}"),
        _plain(record["stop_reason"] or record["error"]),
    ]


def _block(record: Record) -> list[Cell]:
    total = record["total_bytes"]
    rest = [
        Cell(size(total if isinstance(total, int) else None), dim=True),
        _took(record["start_time"], record["complete_time"]),
        Cell("" if record["is_complete"] else "still open"),
        Cell("its text was not kept whole" if record["is_cut"] else "", "warning"),
    ]
    if record["tool_use_id"] is None:
        return [Cell(one_line(str(record["block_type"] or "block"), 40), "text-muted"), *rest]
    pending = Cell("pending", "accent") if record["is_pending"] else Cell("")
    name = Cell(one_line(str(record["tool_name"] or "tool"), 40), bold=True)
    return [_sign("tool"), name, _plain(record["tool_use_id"]), *rest, pending]


def _result(record: Record) -> list[Cell]:
    failed = bool(record["is_error"])
    took, total = record["execution_duration_ms"], record["content_size"]
    return [
        _sign("failed" if failed else "complete"),
        Cell("error" if failed else "result", "error" if failed else "", bold=True),
        _plain(record["tool_name"]),
        Cell(brief(took / 1000 if isinstance(took, int) else None), dim=True),
        Cell(size(total if isinstance(total, int) else None), dim=True),
    ]


def _agent(record: Record) -> list[Cell]:
    return [
        Cell("└ subagent", bold=True),
        _plain(record["agent_kind"]),
        _plain(record["description"]),
        Cell(f"({one_line(str(record['agent_id']), 60)})", dim=True),
        _plain(record["status"]),
    ]


_TELLING = ("tool_name", "message", "operation", "prompt", "trigger", "source", "reason", "type")


def _notice(record: Record) -> list[Cell]:
    return [
        Cell("· notice", dim=True),
        _plain(record["name"]),
        _clock(record["time"]),
        Cell(one_line(_telling(record["data"]), _HEAD), dim=True),
    ]


def _telling(data: object) -> str:
    """What a notice is about: the first field that tells it."""
    if not isinstance(data, dict):
        return "" if data is None else str(data)
    given = cast("dict[str, object]", data)
    found = (given.get(name) for name in _TELLING)
    return next((text for text in found if isinstance(text, str) and text), "")


def _verdict(record: Record) -> list[Cell]:
    return [
        _sign(str(record["verdict"])),
        Cell(one_line(str(record["verdict"]), 20), "error", bold=True),
        _clock(record["since"]),
        _took(record["since"], record["until"]),
        Cell("it holds" if record["until"] is None else ""),
        _plain(record["agent_id"]),
    ]


_HEADS = {
    "round": _round,
    "prompt": _prompt,
    "message": _message,
    "block": _block,
    "tool_result": _result,
    "agent": _agent,
    "notice": _notice,
    "verdict": _verdict,
}
