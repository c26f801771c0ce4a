"""What the ordinary run of the tests leaves to `pytest --deep`: more seeds, kills and examples.

A test marked `deep` runs only with `--deep`, and with `--deep` run only such tests and properties,
which have more examples then. Whatever is deep has a smaller version in the ordinary run, or one
like it that goes the same way through the program.

The examples of a property are the same each time, so that what a run says is said of the change
and not of its luck; `--hypothesis-seed=WORD` has others.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import HealthCheck, settings

ORDINARY, DEEP = "agentmon", "agentmon-deep"
"""The profiles of hypothesis."""
SEARCHING = "-searching"
"""The end of their names where a seed is given."""

# a loaded machine generates and runs slowly: that says nothing of what is tested
_patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
for _profile, _most in ((ORDINARY, 10), (DEEP, 100)):
    settings.register_profile(_profile, _patient, max_examples=_most, derandomize=True)
    settings.register_profile(_profile + SEARCHING, _patient, max_examples=_most)


def seeds(ordinary: int, deep: int) -> list[Any]:
    """For `parametrize`: 0, 1, …; those from `ordinary` to `deep` are deep."""
    return [*range(ordinary), *only_deep(*range(ordinary, deep))]


def turns(some: Iterable[Any], others: Sequence[Any]) -> list[Any]:
    """For `parametrize` of two names: each with one of the others in turn; with the rest, deep."""
    found: list[Any] = []
    for at, one in enumerate(some):
        rest = [*others]
        found.append((one, rest.pop(at % len(rest))))
        found += only_deep(*((one, other) for other in rest))
    return found


def some_of(every: Iterable[Any], *ordinary: Any) -> list[Any]:
    """For `parametrize`: all of them; but for those that are named (paths by their names), deep."""
    return [one if _name(one) in ordinary else only_deep(one)[0] for one in every]


def each_nth(every: Iterable[Any], n: int, first: int = 0) -> list[Any]:
    """For `parametrize`: all of them; but for each n-th, counted from `first`, deep."""
    return [one if at % n == first else only_deep(one)[0] for at, one in enumerate(every)]


def _name(one: Any) -> Any:
    return one.name if isinstance(one, Path) else one


def only_deep(*values: Any) -> list[Any]:
    """For `parametrize`: values that are deep; a tuple is one for each of several names."""
    rows = [cast("tuple[Any]", one) if isinstance(one, tuple) else (one,) for one in values]
    return [pytest.param(*row, marks=pytest.mark.deep) for row in rows]


def examples(ordinary: int, deep: int) -> int:
    """For `settings(max_examples=…)`."""
    return deep if settings.default is settings.get_profile(DEEP) else ordinary
