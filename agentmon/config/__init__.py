"""Settings and where they came from, and the folders agentmon uses.

A value comes from a flag, else the environment (`AGENTMON_HEALTH__STALLED_AFTER`), else
`config.toml`, else what agents share in the store, else its default. `FIELDS` is the one list of
settings: parsing, `agentmon config` and the warnings about unknown keys all read it.
"""

from typing import TYPE_CHECKING

from agentmon.config.loading import ConfigError, Loaded, load, nearest, rows
from agentmon.config.places import capture_dir, config_file, data_dir, data_path, state_dir
from agentmon.config.table import FIELDS, Setting, env_name
from agentmon.config.values import days, duration, size

if TYPE_CHECKING:
    from agentmon.config.settings import (
        Attention,
        Balance,
        Capture,
        Discover,
        Follow,
        Health,
        Messages,
        Metrics,
        Redis,
        Retention,
        Search,
        Settings,
        Store,
        Ui,
    )

__all__ = [
    "FIELDS",
    "Attention",
    "Balance",
    "Capture",
    "ConfigError",
    "Discover",
    "Follow",
    "Health",
    "Loaded",
    "Messages",
    "Metrics",
    "Redis",
    "Retention",
    "Search",
    "Setting",
    "Settings",
    "Store",
    "Ui",
    "capture_dir",
    "config_file",
    "data_dir",
    "data_path",
    "days",
    "duration",
    "env_name",
    "load",
    "nearest",
    "rows",
    "size",
    "state_dir",
]


def __getattr__(name: str) -> object:
    """The typed settings, imported when one is named."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from agentmon.config import settings

    return getattr(settings, name)
