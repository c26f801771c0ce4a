"""A comparison of sessions as lines of the screen. Pure."""

from collections.abc import Sequence

from agentmon.core.comparing import Divergence, Figure, Round
from agentmon.core.text import cells, one_line, wrap
from agentmon.report import compare as report
from agentmon.report.compare import Comparison
from agentmon.report.words import UNKNOWN, lasted
from agentmon.ui.parts import BLANK, Column, Line, Part, Slot, arrange, keep_end, table_line

NAME_CELLS = 18
VALUE_LINES = 6
"""Lines that the text of one side of a divergence takes at most."""


def lines(found: Comparison, width: int) -> list[Line]:
    """The divergences first, since they are what one looks for; then figures, tools, rounds."""
    made: list[Line] = []
    for name, parting in zip(found.names[1:], found.divergences, strict=True):
        made += [*_parting(found.names[0], name, parting, width), BLANK]
    slots = arrange(_columns(found), width)
    made += [_heading(slots, found), _models(slots, found)]
    made += [_figure(slots, f, report.LABELS.get(f.name, f.name)) for f in found.figures]
    if found.tools:
        made += [BLANK, (Part("Calls by tool", "title"),)]
        made += [_figure(slots, figure, figure.name or UNKNOWN) for figure in found.tools]
    if found.rounds:
        made += [BLANK, (Part("Rounds", "title"), Part("  = one prompt  ≠ another", "text-muted"))]
        rows = arrange(_round_columns(found), width)
        made += [_round(rows, found.row(places)) for places in found.rounds]
    return made


def _parting(first: str, name: str, parting: Divergence | None, width: int) -> list[Line]:
    if parting is None:
        words = f"{first} and {name} do not part anywhere"
        return [(Part(one_line(words, width), "success"),)]
    made: list[Line] = [
        (Part("They part: ", "title"), Part(report.WORDS[parting.what], "warning")),
    ]
    for who, side in ((first, parting.one), (name, parting.other)):
        place = one_line(f"{who} {report.place_text(side)}", width - 1)
        made.append((Part(" "), Part(place, "strong")))
        rows = wrap(side.value if side.value is not None else UNKNOWN, max(10, width - 4))
        made += [(Part("   "), Part(row)) for row in rows[:VALUE_LINES]]
        if len(rows) > VALUE_LINES:
            made.append((Part(f"   … {len(rows) - VALUE_LINES} more lines", "text-muted"),))
    return made


def _columns(found: Comparison) -> list[Column]:
    columns = [Column("label", 12, grow=2, most=24)]
    for at in range(len(found.stories)):
        columns.append(Column(f"value {at}", 8, grow=3, most=NAME_CELLS, right=True))
        if at:
            columns.append(Column(f"difference {at}", 9, 1, right=True))
            columns.append(Column(f"ratio {at}", 6, right=True))
    return columns


def _heading(slots: Sequence[Slot], found: Comparison) -> Line:
    named = {f"value {at}": Part(name, "title-focus") for at, name in enumerate(found.names)}
    for at in range(1, len(found.names)):
        named[f"difference {at}"] = Part("differs", "text-muted")
        named[f"ratio {at}"] = Part("ratio", "text-muted")
    return table_line(slots, named)


def _models(slots: Sequence[Slot], found: Comparison) -> Line:
    named = {"label": Part("models", "text-muted")}
    room = {column.name: width for column, width in slots}
    for at, story in enumerate(found.stories):
        # of a long name the end tells more
        text = keep_end(", ".join(story.models) or UNKNOWN, room[f"value {at}"])
        is_other = story.models != found.stories[0].models
        named[f"value {at}"] = Part(text, "accent" if is_other else "")
    return table_line(slots, named)


def _figure(slots: Sequence[Slot], figure: Figure, label: str) -> Line:
    named = {"label": Part(label, "text-muted")}
    for at, value in enumerate(figure.values):
        named[f"value {at}"] = Part(report.value_text(figure, value))
        if at:
            role = "accent" if figure.differences[at] else "text-muted"
            named[f"difference {at}"] = Part(report.difference_text(figure, at), role)
            named[f"ratio {at}"] = Part(report.ratio_text(figure, at), role)
    return table_line(slots, named)


def _round_columns(found: Comparison) -> list[Column]:
    columns = [Column("mark", 1), Column("prompt", 10, grow=1)]
    for at, name in enumerate(found.names):
        columns.append(Column(f"number {at}", min(8, max(5, cells(name))), right=True))
        columns.append(Column(f"took {at}", 6, 1, right=True))
    return columns


def _round(slots: Sequence[Slot], rounds: Sequence[Round | None]) -> Line:
    mark = report.round_mark(rounds)
    role = "text-muted" if mark == "=" else "accent"
    named = {"mark": Part(mark, role), "prompt": Part(report.prompt_of(rounds))}
    for at, round_ in enumerate(rounds):
        if round_ is None:
            named[f"number {at}"] = Part(UNKNOWN, "text-muted")
        else:
            named[f"number {at}"] = Part(f"#{round_.number}", role)
            named[f"took {at}"] = Part(lasted(round_.seconds), "text-muted")
    return table_line(slots, named)
