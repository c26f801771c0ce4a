"""Sessions side by side, for `agentmon compare` and the Compare view. What is compared, and how
rounds are aligned, is said in `core.comparing`."""

import sqlite3
from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct, to_builtins

from agentmon.core import comparing
from agentmon.core.comparing import Divergence, Figure, Round, Side, Story
from agentmon.core.text import one_line
from agentmon.report import words
from agentmon.report.naming import Unclear, board_name
from agentmon.report.table import Cell, Column, Painter, table
from agentmon.store import read
from agentmon.store.read_compare import Inputs, story


class Comparison(Struct):
    """All that is said of some sessions; `divergences` are of the first with each other one."""

    stories: list[Story]
    names: list[str]
    figures: list[Figure]
    tools: list[Figure]
    rounds: list[list[int | None]]
    """Aligned places in `stories[n].rounds`, a row each."""
    divergences: list[Divergence | None]

    def row(self, places: Sequence[int | None]) -> list[Round | None]:
        """The rounds of one row."""
        pairs = zip(self.stories, places, strict=True)
        return [story.rounds[at] if at is not None else None for story, at in pairs]


def load(conn: sqlite3.Connection, data_dir: Path, sids: Sequence[str]) -> Comparison:
    """Compares two sessions or more with the first of them. Raises Unclear where one is gone."""
    stories: list[Story] = []
    names: list[str] = []
    for sid in sids:
        found, session = story(conn, sid), read.session(conn, sid)
        if found is None or session is None:
            raise Unclear(f"there is no session {sid}")
        stories.append(found)
        names.append(board_name(conn, session) or sid[:8])
    first, *others = stories
    prompts = [round_.prompt for round_ in first.rounds]
    alignments = [comparing.align(prompts, [r.prompt for r in s.rounds]) for s in others]
    inputs = Inputs(conn, data_dir)
    divergences = [comparing.divergence(first, other, inputs.are_same) for other in others]
    return Comparison(
        stories,
        names,
        comparing.figures(stories),
        comparing.tool_figures(stories),
        comparing.table(alignments, len(first.rounds)),
        [_with_inputs(found, inputs) for found in divergences],
    )


def _with_inputs(found: Divergence | None, inputs: Inputs) -> Divergence | None:
    """Where two inputs differ they are what is worth reading."""
    if found is None or found.what != "input":
        return found
    return Divergence(found.what, _input(found.one, inputs), _input(found.other, inputs))


def _input(side: Side, inputs: Inputs) -> Side:
    if side.flow_id is None or side.index is None:
        return side
    text = inputs.text(comparing.Call(side.flow_id, side.index, None))
    return Side(side.sid, side.round_number, side.round_id, side.flow_id, side.index, text)


def as_json(found: Comparison) -> dict[str, object]:
    return {
        "sessions": [
            {"sid": story.sid, "name": name, "agent": story.agent, "models": story.models}
            for story, name in zip(found.stories, found.names, strict=True)
        ],
        "figures": [_figure_json(figure) for figure in found.figures],
        "tools": [_figure_json(figure) for figure in found.tools],
        "rounds": [_round_json(found.row(places)) for places in found.rounds],
        "divergences": [
            {"with": story.sid, "first": to_builtins(parting)}
            for story, parting in zip(found.stories[1:], found.divergences, strict=True)
        ],
    }


def _figure_json(figure: Figure) -> dict[str, object]:
    return {
        "name": figure.name,
        "values": figure.values,
        "differences": figure.differences,
        "ratios": figure.ratios,
    }


def _round_json(rounds: Sequence[Round | None]) -> dict[str, object]:
    return {
        "same_prompt": has_one_prompt(rounds),
        "sessions": [
            None
            if r is None
            else {
                "round_number": r.number,
                "round_id": r.round_id,
                "user_prompt": r.prompt,
                "seconds": r.seconds,
                "first_token_seconds": r.first_token,
                "messages": len(r.messages),
                "tool_calls": sum(len(message.calls) for message in r.messages),
            }
            for r in rounds
        ],
    }


def has_one_prompt(rounds: Sequence[Round | None]) -> bool:
    """Whether all sessions have a round here, and with the same prompt."""
    if None in rounds:
        return False
    return len({comparing.same_prompt(r.prompt) for r in rounds if r is not None}) == 1


LABELS = {
    "tool_calls": "tool calls",
    "tool_errors": "failed calls",
    "api_errors": "broken messages",
    "input_tokens": "tokens in",
    "output_tokens": "tokens out",
    "cache_read_tokens": "tokens from cache",
    "cache_write_tokens": "tokens to cache",
    "seconds": "first to last event",
    "round_seconds": "in rounds",
    "median_round_seconds": "a round, median",
    "tool_seconds": "in tools",
    "median_first_token_seconds": "first token, median",
    "tokens_per_second": "tokens a second",
}
"""How figures are called where a person reads them; the others as they are."""


def value_text(figure: Figure, value: float | None) -> str:
    """A value of a figure in its unit."""
    if value is None:
        return words.UNKNOWN
    if figure.name.endswith("seconds"):
        return words.lasted(value)
    if figure.name == "tokens_per_second":
        return f"{value:.1f}"
    return words.tokens(round(value)) if "tokens" in figure.name else f"{value:.0f}"


def difference_text(figure: Figure, at: int) -> str:
    """The difference of a session to the first, with its sign."""
    value = figure.differences[at]
    if value is None:
        return words.UNKNOWN
    if not value:
        return "±0"
    return ("-" if value < 0 else "+") + value_text(figure, abs(value))


def ratio_text(figure: Figure, at: int) -> str:
    """The ratio of a session to the first: "×0.52"."""
    ratio = figure.ratios[at]
    if ratio is None:
        return words.UNKNOWN
    return f"×{ratio:.0f}" if ratio >= 99.5 else f"×{ratio:.2f}"


WORDS = {
    "round": "only one of them has this round",
    "prompt": "another prompt",
    "message": "only one of them goes on with a message",
    "call": "only one of them calls a tool",
    "tool": "another tool",
    "input": "another input of the same tool",
    "stop_reason": "another stop reason",
}
"""What a divergence is, in words."""


def place_text(side: Side) -> str:
    """Where one side of a divergence is: "#3 msg_01Rt, block 1"."""
    if side.round_number is None:
        return "no such round"
    message = f" {side.flow_id}" if side.flow_id is not None else ""
    block = f", block {side.index}" if side.index is not None else ""
    return f"#{side.round_number}{message}{block}"


def text(found: Comparison, *, width: int, paint: Painter) -> str:
    """The same as tables."""
    parts = [_figures_text(found, width, paint), *_rounds_text(found, width, paint)]
    for name, parting in zip(found.names[1:], found.divergences, strict=True):
        parts.append(_parting_text(found.names[0], name, parting, width, paint))
    return "\n\n".join("\n".join(lines) for lines in parts)


def _figures_text(found: Comparison, width: int, paint: Painter) -> list[str]:
    columns = [Column("", 8, 30), Column(found.names[0], 7, 24, right=True)]
    for name in found.names[1:]:
        columns += [
            Column(name, 7, 24, right=True),
            Column("differs by", 8, 10, 2, right=True),
            Column("ratio", 6, 7, 1, right=True),
        ]
    rows = [_models(found)]
    rows += [
        _figure_cells(figure, LABELS.get(figure.name, figure.name)) for figure in found.figures
    ]
    rows += [_figure_cells(figure, f"  {figure.name or words.UNKNOWN}") for figure in found.tools]
    return table(columns, rows, width, paint)


def _models(found: Comparison) -> list[Cell]:
    first, *others = [", ".join(story.models) or words.UNKNOWN for story in found.stories]
    cells = [Cell("models"), Cell(first)]
    for models in others:
        cells += [Cell(models, "" if models == first else "accent"), Cell(""), Cell("")]
    return cells


def _figure_cells(figure: Figure, label: str) -> list[Cell]:
    cells = [Cell(label), Cell(value_text(figure, figure.values[0]))]
    for at in range(1, len(figure.values)):
        cells += [
            Cell(value_text(figure, figure.values[at])),
            Cell(difference_text(figure, at), dim=not figure.differences[at]),
            Cell(ratio_text(figure, at), "accent" if figure.differences[at] else ""),
        ]
    return cells


SHOWN_ROUNDS = 50


def _rounds_text(found: Comparison, width: int, paint: Painter) -> list[list[str]]:
    if not found.rounds:
        return []
    columns = [Column("", 1, 1), Column("prompt", 10, 200, 1)]
    for name in found.names:
        columns += [Column(f"{name} #", 3, 16, right=True), Column("took", 5, 7, right=True)]
    rows = [_round_cells(found.row(places)) for places in found.rounds[:SHOWN_ROUNDS]]
    lines = table(columns, rows, width, paint)
    left = len(found.rounds) - SHOWN_ROUNDS
    more = paint(Cell(f"… and {left} more rounds: --json has them all"))
    return [[*lines, more] if left > 0 else lines]


def round_mark(rounds: Sequence[Round | None]) -> str:
    """How alike a row of rounds is: "=" one prompt, "≠" several, "·" not all have a round."""
    if None in rounds:
        return "·"
    return "=" if has_one_prompt(rounds) else "≠"


def prompt_of(rounds: Sequence[Round | None]) -> str:
    """The prompt of the first session that has a round here."""
    return next((r.prompt or "" for r in rounds if r is not None), "")


def _round_cells(rounds: Sequence[Round | None]) -> list[Cell]:
    mark = round_mark(rounds)
    cells = [Cell(mark, "" if mark == "=" else "accent"), Cell(prompt_of(rounds))]
    for r in rounds:
        number = words.UNKNOWN if r is None else f"#{r.number}"
        cells += [Cell(number), Cell("" if r is None else words.lasted(r.seconds))]
    return cells


def _parting_text(
    first: str, name: str, parting: Divergence | None, width: int, paint: Painter
) -> list[str]:
    if parting is None:
        return [paint(Cell(one_line(f"{first} and {name}: no difference", width), "success"))]
    what = WORDS[parting.what]
    lines = [paint(Cell(one_line(f"{first} and {name} part: {what}", width), bold=True))]
    for who, side in ((first, parting.one), (name, parting.other)):
        value = words.UNKNOWN if side.value is None else side.value
        said = one_line(f"{who} {place_text(side)}: {value}", width - 2)
        lines.append(f"  {paint(Cell(said))}")
    return lines
