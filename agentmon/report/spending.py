"""Notes what the main thread of a session is at, message by message, and adds it up by round."""

from collections.abc import Iterable, Sequence

from agentmon.core.kinds import STREAMING
from agentmon.core.spending import Stretch, Use
from agentmon.report.waits import Wait, returned
from agentmon.store.read_landmarks import Part, Said, last_moment

OPEN = float("inf")
"""The end of what goes on: that of its round."""


def stretches(
    said: Said, parts: Sequence[Part], waits: Iterable[Wait], owed_since: float | None
) -> list[Stretch]:
    """Those of a message: the wait for it, its blocks, its calls, the answers of a person."""
    found: list[Stretch] = []
    start = said.start
    if start is None:
        return found
    is_shown = bool(said.kinds & STREAMING)
    if owed_since is not None and is_shown:
        found.append((owed_since, start, "api"))
    found += _streamed(said, parts) if is_shown else _told(parts, owed_since)
    for part in parts:
        if part.is_call and part.end is not None:
            back = returned(part)
            found.append((part.end, OPEN if back is None else back, "tools"))
    for one in waits:
        found.append((one.start, OPEN if one.end is None else one.end, "person"))
    return found


def _streamed(said: Said, parts: Sequence[Part]) -> list[Stretch]:
    found: list[Stretch] = []
    for part in parts:
        is_cut = part is parts[-1] and not said.is_complete
        end = part.last if part.end is None or is_cut else part.end
        if part.start is not None and end is not None:
            found.append((part.start, end, _use(part.block_type)))
    last = last_moment(said, parts)
    if said.start is not None:
        found.append(
            (said.start, last, "writing")
        )  # what no block takes: between them, and the end
    return found


def _told(parts: Sequence[Part], since: float | None) -> list[Stretch]:
    found: list[Stretch] = []
    for part in parts:
        if part.end is not None:
            if since is not None:
                found.append((since, part.end, _use(part.block_type)))
            since = part.end
    return found


def _use(block_type: str | None) -> Use:
    return "thinking" if block_type in ("thinking", "redacted_thinking") else "writing"
