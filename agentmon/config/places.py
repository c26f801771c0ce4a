"""The folders agentmon uses. As texts for who has no time to import `pathlib`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from agentmon.folders import usual

if TYPE_CHECKING:
    from pathlib import Path

    from agentmon.config.settings import Settings

FILE_NAME = "config.toml"


def config_path(environ: Mapping[str, str]) -> str:
    """`$XDG_CONFIG_HOME/agentmon/config.toml`, or where the system keeps settings."""
    return os.path.join(usual("CONFIG", environ), FILE_NAME)


def data_path(chosen: str, environ: Mapping[str, str]) -> str:
    """The folder of the store: the one that was chosen, else `$XDG_DATA_HOME/agentmon`."""
    return os.path.expanduser(chosen) if chosen else usual("DATA", environ)


def config_file(environ: Mapping[str, str] | None = None) -> Path:
    """The file of the settings."""
    return _path(config_path(_given(environ)))


def data_dir(settings: Settings | None = None, environ: Mapping[str, str] | None = None) -> Path:
    """The folder of the store: the setting, else `$XDG_DATA_HOME/agentmon`."""
    chosen = "" if settings is None else settings.store.data_dir
    return _path(data_path(chosen, _given(environ)))


def capture_dir(settings: Settings | None = None, environ: Mapping[str, str] | None = None) -> Path:
    """The folder of what is captured: the setting, else `capture` below the state folder.

    `capture.hook.folder` says the same without the settings.
    """
    if settings is not None and settings.capture.folder:
        return _path(os.path.expanduser(settings.capture.folder))
    return state_dir(environ) / "capture"


def state_dir(environ: Mapping[str, str] | None = None) -> Path:
    """The folder of agentmon's own log: `$XDG_STATE_HOME/agentmon`."""
    return _path(usual("STATE", _given(environ)))


def _given(environ: Mapping[str, str] | None) -> Mapping[str, str]:
    return os.environ if environ is None else environ


def _path(text: str) -> Path:
    from pathlib import Path

    return Path(text)
