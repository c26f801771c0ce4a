"""Settings and where they came from, and the folders agentmon uses.

A value comes from a flag, else the environment (`AGENTMON_HEALTH__STALLED_AFTER`), else
`config.toml`, else what agents share in the store, else its default. `FIELDS` is the one list of
settings: parsing, `agentmon config` and the warnings about unknown keys all read it.
"""

from agentmon.config.loading import ConfigError, Loaded, load, nearest, rows
from agentmon.config.places import capture_dir, config_file, data_dir, state_dir
from agentmon.config.table import (
    FIELDS,
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
    Setting,
    Settings,
    Store,
    Ui,
    env_name,
)
from agentmon.config.values import days, duration, size

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
    "days",
    "duration",
    "env_name",
    "load",
    "nearest",
    "rows",
    "size",
    "state_dir",
]
