"""What settings mean for an engine: its limits, and which logs it reads."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from msgspec import Struct

from agentmon import config
from agentmon.core.health import Limits

if TYPE_CHECKING:  # a status line asks for limits alone
    from agentmon.sources.discover import Discovery
    from agentmon.sources.paths import Expanded
    from agentmon.store.retention.plan import Policy


class Inputs(Struct):
    """What is to be read: a look that was taken already, and in words where was looked."""

    expanded: Expanded
    looked_for: list[str]


def limits(settings: config.Settings) -> Limits:
    health = settings.health
    return Limits(
        stalled_after=health.stalled_after,
        overdue_after=health.overdue_after,
        overdue_per_tool=health.overdue_per_tool,
        silent_after=health.silent_after,
    )


def policy(settings: config.Settings) -> Policy:
    """What is taken out of the store once a day."""
    from agentmon.store.retention.plan import Policy

    given = settings.retention
    return Policy(given.days or None, given.max_size or None, given.action)


def found_logs(settings: config.Settings) -> Discovery:
    """Logs in the places that are known for them."""
    from pathlib import Path

    from agentmon.sources.discover import discover

    return discover(os.environ, Path.home(), config.capture_dir(settings), settings.paths)


def inputs(settings: config.Settings, paths: Sequence[str], *, follow: bool = True) -> Inputs:
    """The given paths, else what is found on this machine."""
    from agentmon.sources.paths import expand

    if paths:
        return Inputs(expand(paths, follow=follow), list(paths))
    discovery = found_logs(settings)
    return Inputs(discovery.inputs, [place.line for place in discovery.looked_for])
