"""The folders agentmon uses."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path

from agentmon.config.table import Settings

APP = "agentmon"
FILE_NAME = "config.toml"


def _usual(kind: str) -> Path:
    """Where this system keeps such things; imported when it is asked: a command has no time."""
    import platformdirs

    found = {
        "config": platformdirs.user_config_path,
        "data": platformdirs.user_data_path,
        "state": platformdirs.user_state_path,
    }
    return found[kind](APP)


def _xdg(variable: str, environ: Mapping[str, str] | None, fallback: Callable[[], Path]) -> Path:
    """The XDG folder, on every system; the specification ignores relative paths."""
    base = (os.environ if environ is None else environ).get(variable, "")
    return Path(base) / APP if os.path.isabs(base) else fallback()


def config_file(environ: Mapping[str, str] | None = None) -> Path:
    """`$XDG_CONFIG_HOME/agentmon/config.toml`, or where the system keeps settings."""
    folder = _xdg("XDG_CONFIG_HOME", environ, lambda: _usual("config"))
    return folder / FILE_NAME


def data_dir(settings: Settings | None = None, environ: Mapping[str, str] | None = None) -> Path:
    """The folder of the store: the setting, else `$XDG_DATA_HOME/agentmon`."""
    if settings is not None and settings.store.data_dir:
        return Path(settings.store.data_dir).expanduser()
    return _xdg("XDG_DATA_HOME", environ, lambda: _usual("data"))


def capture_dir(settings: Settings | None = None, environ: Mapping[str, str] | None = None) -> Path:
    """The folder of what is captured: the setting, else `capture` below the state folder.

    `capture.hook.folder` says the same without the settings.
    """
    if settings is not None and settings.capture.folder:
        return Path(settings.capture.folder).expanduser()
    return state_dir(environ) / "capture"


def state_dir(environ: Mapping[str, str] | None = None) -> Path:
    """The folder of agentmon's own log: `$XDG_STATE_HOME/agentmon`."""
    return _xdg("XDG_STATE_HOME", environ, lambda: _usual("state"))
