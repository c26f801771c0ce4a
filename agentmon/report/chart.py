"""Numbers as a row of small columns. Pure."""

from collections.abc import Sequence

HEIGHTS = "▁▂▃▄▅▆▇█"
ASCII_HEIGHTS = "_.-~=+*#"


def sparkline(values: Sequence[float | None], *, ascii: bool = False) -> str:
    """One character a value, the highest as high as it goes; a blank where there is none."""
    heights = ASCII_HEIGHTS if ascii else HEIGHTS
    top = max((value for value in values if value is not None), default=0.0)
    steps = len(heights) - 1
    return "".join(
        " " if value is None else heights[round(max(0.0, value) / top * steps) if top > 0 else 0]
        for value in values
    )
