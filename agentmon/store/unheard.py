"""Which keys are surely not stored, without looking: most look-ups of a first ingestion."""

_SLOTS = 1 << 24
"""Bits, 2 MB: of a million keys one in seventeen meets another, and is looked up for nothing."""


class Unheard:
    """Everything that gets stored was asked for before. So a store that was empty at the start
    holds nothing under a key that is asked for the first time. A key leaves one bit, which may be
    another's too."""

    def __init__(self, *, is_empty: bool) -> None:
        self._asked = bytearray(_SLOTS >> 3) if is_empty else None

    def give_up(self) -> None:
        """Somebody else may store something from now on."""
        self._asked = None

    def surely(self, *key: str, is_coming: bool = True) -> bool:
        """Whether nothing is stored under a key; `is_coming`: something will be."""
        asked = self._asked
        if asked is None:
            return False
        slot = hash(key) % _SLOTS
        at, bit = slot >> 3, 1 << (slot & 7)
        if asked[at] & bit:
            return False
        if is_coming:
            asked[at] |= bit
        return True
