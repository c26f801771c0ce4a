"""A backlog of many megabytes, read by a child process so that the screen has its core to itself.

The child is `agentmon ingest`: it takes the store over, tells how far it is, and leaves a position
to go on from (perf.md 6: a process started beside the screen costs its keys nothing).
"""

import contextlib
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from agentmon.engine.children import child
from agentmon.logfile import log


async def read_in_child(
    data_dir: Path,
    paths: Sequence[str],
    on_progress: Callable[[float], None],
    forced: str | None = None,
) -> None:
    """Runs until the child is through, or ends it when cancelled. Progress is 0 to 1.

    What the child could not do, or all of it where there can be no child, is left to whoever reads
    on from its position.
    """
    reading = child(
        *(sys.executable, "-m", "agentmon", "ingest", "--progress", "--found"),
        *(["--format", forced] if forced else []),
        *("--data-dir", str(data_dir), "--"),
        *(path for path in paths if path != "-"),
    )
    try:
        async with reading as process:
            async for line in process.lines():
                with contextlib.suppress(msgspec.DecodeError, msgspec.ValidationError):
                    done, left = msgspec.json.decode(line, type=tuple[int, int])
                    on_progress(done / (done + left) if done + left else 1.0)
            await process.code()
    except OSError as problem:
        log.warning("a backlog is read without a child: %s", problem)
