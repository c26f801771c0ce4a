"""The order of a block's text: emission order, whatever order its deltas arrived in.

Deltas are grouped by the flow_id as written, groups by their first time, inside a group by
`data_count`; a counter value that comes again with other content opens a new group (design.md 7).
"""

from collections.abc import Sequence

from agentmon.core.model import DeltaEntry


def emission_order(entries: Sequence[DeltaEntry]) -> list[int]:
    """Positions of `entries` (given in arrival order) in emission order."""
    keys: list[tuple[str, int]] = []
    epochs: dict[str, int] = {}
    used: dict[tuple[str, int], set[int]] = {}
    first: dict[tuple[str, int], tuple[float, int]] = {}
    counts: list[int] = []
    for at, entry in enumerate(entries):
        key = (entry.flow, epochs.get(entry.flow, 0))
        if entry.count >= 0 and entry.count in used.get(key, ()):
            epochs[entry.flow] = key[1] + 1
            key = (entry.flow, key[1] + 1)
        taken = used.setdefault(key, set())
        # a delta without a counter stays behind the one it arrived after
        count = entry.count if entry.count >= 0 else (counts[-1] if counts else -1)
        taken.add(count)
        keys.append(key)
        counts.append(count)
        if key not in first or entry.time < first[key][0]:
            first[key] = (entry.time, first[key][1] if key in first else at)
    return sorted(
        range(len(entries)),
        key=lambda at: (first[keys[at]], keys[at], counts[at], entries[at].time, at),
    )


def goes_on(top: int, counts: Sequence[range]) -> int | None:
    """The new highest counter if the new deltas simply follow what is stored, else None."""
    for some in counts:
        if some.start <= top:
            return None
        top = some.stop - 1
    return top
