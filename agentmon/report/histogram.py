"""How many in each bucket, as a row of small columns. Pure."""

from collections.abc import Sequence

HEIGHTS = "▁▂▃▄▅▆▇█"
ASCII_HEIGHTS = "_.-~=+*#"


def histogram(counts: Sequence[int], *, ascii: bool = False) -> str:
    """One character a bucket, the fullest as high as it goes; a blank for an empty one."""
    heights = ASCII_HEIGHTS if ascii else HEIGHTS
    top = max(counts, default=0)
    return "".join(heights[(count * len(heights) - 1) // top] if count else " " for count in counts)
