"""Where zstd comes from: the standard library of Python 3.14, or its backport (an extra)."""

from importlib import import_module
from typing import Any

INSTALL = "pip install 'agentmon[zstd]'"


def zstd_library() -> Any | None:
    """The module, None where neither is installed."""
    for name in ("compression.zstd", "backports.zstd"):
        try:
            return import_module(name)
        except ImportError:
            continue
    return None
