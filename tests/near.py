"""Numbers that are the same but for what floats cannot hold."""

from typing import Any

import pytest


def near(value: object, *, rel: float | None = None, abs: float | None = None) -> Any:
    """Compares equal to what is close to a number, or to numbers in a list or mapping."""
    return pytest.approx(value, rel=rel, abs=abs)  # pyright: ignore[reportUnknownMemberType]
