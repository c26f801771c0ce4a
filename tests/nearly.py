"""Comparing numbers that were computed in two ways."""

from math import isclose


def close(found: float | None, wanted: float | None) -> bool:
    """Equal but for what floating point does to times of today: a hundredth of a millisecond."""
    if found is None or wanted is None:
        return found is wanted
    return isclose(found, wanted, rel_tol=1e-6, abs_tol=1e-5)
