"""What other processes wrote into the store: `agentmon send` and the like make no revision here."""

from pathlib import Path

from agentmon.store import db

Stamp = tuple[tuple[int, int], ...]


class Outside:
    """Whether the files of a store changed since they were looked at; cheap."""

    def __init__(self, data_dir: Path) -> None:
        path = db.database(data_dir)
        self._paths = (path, path.with_name(f"{path.name}-wal"))
        self._seen = self._stamp()

    def changed(self) -> bool:
        """Once for each change; a store that cannot be looked at has not changed."""
        before, self._seen = self._seen, self._stamp()
        return before != self._seen

    def _stamp(self) -> Stamp:
        found: list[tuple[int, int]] = []
        for path in self._paths:
            try:
                stat = path.stat()
            except OSError:
                found.append((0, 0))
            else:
                found.append((stat.st_mtime_ns, stat.st_size))
        return tuple(found)
