"""Where this system keeps what programs remember: settings, data, state.

For all of agentmon, the hooks as well: so there is nothing here that takes long to import.
"""

import os
import sys
from collections.abc import Mapping

_USUAL = {"CONFIG": "~/.config", "DATA": "~/.local/share", "STATE": "~/.local/state"}
_MAC = "~/Library/Application Support"


def usual(kind: str, environ: Mapping[str, str]) -> str:
    """The folder of agentmon's CONFIG, DATA or STATE: below `$XDG_CONFIG_HOME` and so on, on every
    system, else where this one has such things. Relative only where there is no home."""
    base = environ.get(f"XDG_{kind}_HOME", "")
    if not os.path.isabs(base):  # the specification ignores relative ones
        base = os.path.expanduser(_MAC if sys.platform == "darwin" else _USUAL[kind])
    return os.path.join(base, "agentmon")
