"""What settings mean for an engine: its limits, and where logs are looked for."""

import os
from pathlib import Path

from agentmon import config
from agentmon.core.health import Limits
from agentmon.sources.discover import Discovery, discover


def limits(settings: config.Settings) -> Limits:
    health = settings.health
    return Limits(health.stalled_after, health.overdue_after, health.overdue_per_tool)


def found_logs(settings: config.Settings) -> Discovery:
    """Logs in the places that are known for them."""
    return discover(os.environ, Path.home(), config.state_dir(os.environ), settings.paths)
