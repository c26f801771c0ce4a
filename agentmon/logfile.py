"""agentmon's own log: a small file in the state folder, never the screen and never stderr.

What is logged are problems of agentmon itself. No content of agents gets in.
"""

import logging
import logging.handlers
from pathlib import Path

NAME = "agentmon.log"
SIZE = 1 << 20
KEPT = 2

log = logging.getLogger("agentmon")
log.addHandler(logging.NullHandler())
log.propagate = False


def keep(folder: Path) -> None:
    """Writes warnings and worse to `folder`/agentmon.log from now on; silently not, if it can't."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        handler = logging.handlers.RotatingFileHandler(
            folder / NAME, maxBytes=SIZE, backupCount=KEPT, encoding="utf-8", delay=True
        )
    except OSError:
        return
    handler.setFormatter(logging.Formatter("%(asctime)s %(process)d %(levelname)s %(message)s"))
    log.addHandler(handler)
    log.setLevel(logging.WARNING)
