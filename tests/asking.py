"""Asks the command line in this process, at a fixed now."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agentmon.cli import main
from agentmon.commands import options
from agentmon.report import status
from tests.oracle import dump_of

Ask = Callable[..., Any]
"""ask("rounds", sid, "--json") → what it printed: bytes, or with --json the value."""


def asker(
    capture: pytest.CaptureFixture[bytes], patch: pytest.MonkeyPatch, now: float, *more: object
) -> Ask:
    """`more` is said with every question, such as --data-dir."""
    patch.setattr(options, "now", lambda: now)

    def ask(*args: object) -> Any:
        capture.readouterr()
        main([*map(str, args), *map(str, more)], standalone_mode=False)
        out = capture.readouterr().out
        return json.loads(out) if "--json" in args else out

    return ask


def oracle(log: Path) -> list[dict[str, Any]]:
    """What the oracle says of a log: the rows of its dump."""
    return [dict(row) for row in dump_of([log])]


def near(found: float | None, expected: float | None) -> bool:
    """Durations alike to the microsecond, or both unknown."""
    if found is None or expected is None:
        return found is expected
    return abs(found - expected) <= 2e-6


def stand_still(patch: pytest.MonkeyPatch, now: float) -> None:
    """As if a process kept the store up to date."""

    def time_of(*_: object) -> float:
        return now

    patch.setattr(status, "time_of", time_of)
