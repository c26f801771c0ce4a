"""Child processes of the screen: who starts one is not left before it has ended.

Textual cancels a worker without waiting for it, and the end of the loop cancels it once more, in
the midst of ending its child; a child that lives on then would write into a folder that its parent
has deleted. So its end is waited for however often this happens. asyncio's own processes can't
promise that: at the end of the loop the tasks that serve their pipes are cancelled too, and their
end never comes, or is never told. Here a thread reads, which ends with its child.
"""

import asyncio
import subprocess
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import IO, TypeVar

T = TypeVar("T")


@asynccontextmanager
async def child(*words: str, is_killed: bool = False) -> AsyncGenerator["Child"]:
    """A process, which is asked to end, or killed, where it still runs when the block is left.
    Raises OSError if there can be none."""
    process = Child(words)
    try:
        yield process
    finally:
        await process.end(is_killed=is_killed)


class Child:
    """A process that writes lines, and ends."""

    def __init__(self, words: Sequence[str]) -> None:
        self._said: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - end() closes it
        try:
            self._process = subprocess.Popen(
                words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=self._said
            )
        except BaseException:
            self._said.close()
            raise
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="agentmon-child")

    async def lines(self) -> AsyncIterator[bytes]:
        """What it writes, until it ends."""
        assert self._process.stdout is not None
        while line := await self._run(self._process.stdout.readline):
            yield line

    async def code(self) -> int:
        """Waits for its end."""
        return await self._run(self._process.wait)

    def words(self) -> str:
        """What it said to a person, once it has ended."""
        self._said.seek(0)
        return self._said.read().decode("utf-8", "replace").strip()

    async def end(self, *, is_killed: bool) -> None:
        """Waits for its end, which is hurried, however often who waits is cancelled."""
        if self._process.poll() is None:
            (self._process.kill if is_killed else self._process.terminate)()
        ending = asyncio.get_running_loop().run_in_executor(self._thread, self._close)
        was_cancelled = False
        while not ending.done():
            try:
                await asyncio.wait([ending])
            except asyncio.CancelledError:
                was_cancelled = True
        self._thread.shutdown()
        if was_cancelled:
            raise asyncio.CancelledError

    def _close(self) -> None:
        """In the thread: after what it may still be reading."""
        self._process.communicate()
        self._said.close()

    async def _run(self, fn: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, fn)
