"""What the ordinary run of the tests leaves to `pytest --deep`: more seeds, kills and examples.

A test marked `deep` runs only with `--deep`, and with `--deep` run only such tests and properties,
which have more examples then. Whatever is deep has a smaller version in the ordinary run.
"""

from typing import Any

import pytest
from hypothesis import settings

ORDINARY, DEEP = "agentmon", "agentmon-deep"
"""The profiles of hypothesis."""


def seeds(ordinary: int, deep: int) -> list[Any]:
    """For `parametrize`: 0, 1, …; those from `ordinary` to `deep` are deep."""
    return [*range(ordinary), *only_deep(*range(ordinary, deep))]


def only_deep(*values: Any) -> list[Any]:
    """For `parametrize`: values that are deep."""
    return [pytest.param(value, marks=pytest.mark.deep) for value in values]


def examples(ordinary: int, deep: int) -> int:
    """For `settings(max_examples=…)`."""
    return deep if settings.default is settings.get_profile(DEEP) else ordinary
