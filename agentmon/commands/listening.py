"""`agentmon listen`: prints what comes until it is told to stop."""

import asyncio
import contextlib
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from agentmon.collab.mail import Mail
from agentmon.collab.messaging import MessagingSystem
from agentmon.commands.options import complain
from agentmon.config import Settings


class Listening:
    """One run of the command. `run` gives its exit code."""

    def __init__(
        self,
        agent: str,
        data_dir: Path,
        known: Settings,
        count: int | None,
        timeout: float | None,
        form: Callable[[Mail], str],
    ) -> None:
        self._system = MessagingSystem(
            agent,
            data_dir=data_dir,
            url=known.redis.url or None,
            limit_bytes=known.messages.max_size,
            max_inbox=known.redis.max_inbox,
            on_warning=complain,
        )
        self._count = count
        self._timeout = timeout
        self._form = form

    async def run(self) -> int:
        """Until it has enough (0), nothing comes in time (1), or SIGTERM (0). Raises StoreError."""
        task = asyncio.ensure_future(self._print())
        with contextlib.suppress(NotImplementedError, RuntimeError):
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
        try:
            return await task
        except asyncio.CancelledError:
            if task.cancelled() and not _is_cancelling():
                return 0
            raise

    async def _print(self) -> int:
        shown = 0
        async with self._system as system, contextlib.aclosing(system.listen()) as coming:
            while self._count is None or shown < self._count:
                try:
                    async with asyncio.timeout(self._timeout):
                        mail = await anext(coming)
                except TimeoutError:
                    complain(f"nothing came for {system.agent_id} in time")
                    return 1
                except StopAsyncIteration:
                    break
                try:
                    sys.stdout.write(self._form(mail))
                    sys.stdout.flush()
                except OSError:
                    system.give_back(mail.message_id)
                    raise
                await system.mark_read(mail.message_id)
                shown += 1
        return 0


def _is_cancelling() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
