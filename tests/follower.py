"""What the tests of the file sources share: a store to read into, and lines to write."""

from pathlib import Path

from agentmon.sources.follow import FollowedFile, resume
from agentmon.sources.identity import SourceState
from agentmon.sources.lines import Line
from agentmon.sources.pipe import PipeSource
from agentmon.sources.reader import Chunk


class Store:
    """What an engine keeps: the lines it was given, and the committed state of every file."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []
        self.states: dict[str, SourceState] = {}

    def take(self, chunk: Chunk) -> None:
        for line in chunk.lines:
            self.lines.append(line.data if isinstance(line, Line) else b"".join(line.pieces()))
        self.states[chunk.state.key] = chunk.state

    def drain(self, source: FollowedFile | PipeSource, max_bytes: int = 1 << 20) -> list[bytes]:
        """Read until nothing is new; the lines that came."""
        known = len(self.lines)
        while (chunk := source.read(max_bytes)) is not None:
            self.take(chunk)
        return self.lines[known:]

    def source(self, path: Path) -> FollowedFile:
        return resume(str(path), list(self.states.values()))


def row(number: int, pad: int = 20) -> bytes:
    return b'{"n":%d,"pad":"%s"}' % (number, b"x" * pad)


def add(path: Path, *rows: bytes, end: bytes = b"\n") -> None:
    with path.open("ab") as file:
        file.write(b"\n".join(rows) + end)
