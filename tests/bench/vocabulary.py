"""Words as they are used: a few very often, most of them seldom (Zipf's law)."""

import random
from itertools import accumulate, product

_SYLLABLES = ("ba", "co", "de", "fi", "gra", "ho", "in", "ka", "lo", "mer", "no", "pre", "qua")
_ENDS = ("ta", "ster", "ble", "tion", "x", "ring", "s", "ed")

WORDS = ["".join(parts) for parts in product(_SYLLABLES, _SYLLABLES, _SYLLABLES, _ENDS)]
random.Random(1).shuffle(WORDS)
_WEIGHTS = [*accumulate(1 / (rank + 2.7) for rank in range(len(WORDS)))]


def phrase(rng: random.Random, words: int) -> str:
    """So many words, drawn as they occur in texts."""
    return " ".join(rng.choices(WORDS, cum_weights=_WEIGHTS, k=words))
