"""Asks the command line in this process, at a fixed now."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from agentmon.cli import main
from agentmon.commands import options

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
