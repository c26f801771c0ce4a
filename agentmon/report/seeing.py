"""Through what a session is seen: live on the wire, or from what its client writes down; and what
cannot be seen so."""

from agentmon.core.kinds import KIND_BIT, STREAMING
from agentmon.report.words import UNKNOWN

WAITS = KIND_BIT["hook"] | KIND_BIT["registry"]
"""Kinds that tell when a client waits for a person."""

CLIENTS = ("claude", "codex")
"""Those that `agentmon run` and `agentmon hooks` know."""


def told_by(kinds: int) -> list[str]:
    """The kinds of sources of a bit mask, by name."""
    return [kind for kind, bit in KIND_BIT.items() if kinds & bit]


def word(kinds: int) -> str:
    """The best of them: "wire" where deltas are seen as they come, else "transcript", "rollout"…"""
    if kinds & STREAMING:
        return "wire" if kinds & KIND_BIT["wire"] else "stream"
    return next(iter(told_by(kinds)), UNKNOWN)


def explained(kinds: int, product: str) -> str:
    """What that means, what it cannot show, and the command that would."""
    is_live = bool(kinds & STREAMING)
    said = [f"{', '.join(told_by(kinds)) or UNKNOWN}:"]
    said.append("live, each delta" if is_live else "whole messages, once they are over")
    unseen = [] if is_live else ["words as they come, stalls between them"]
    if not kinds & WAITS:
        unseen.append("permission waits")
    if unseen:
        said.append(f"(not {', '.join(unseen)})")
    ways = [command for command in ways_on(kinds, product) if command]
    return " ".join(said) + (f"; see more by {' and '.join(ways)}" if ways else "")


def ways_on(kinds: int, product: str) -> list[str]:
    """What to type to see the rest of such sessions from then on."""
    if product not in CLIENTS:
        return []
    ways = [] if kinds & STREAMING else [f"agentmon run -- {product}"]
    return ways if kinds & WAITS else [*ways, "agentmon hooks install"]
