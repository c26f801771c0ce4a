"""What a cleanup or a restore did, or would do: typed, for text and JSON and between processes."""

from typing import Literal

from msgspec import Struct, field

from agentmon.store.retention.plan import Policy
from agentmon.store.retention.sizes import Sizes

Outcome = Literal["planned", "archived", "deleted", "kept"]


class Gone(Struct):
    """A session of a run. `bytes`: what it took, as estimated. "kept": it spoke meanwhile."""

    sid: str
    agent: str
    cwd: str | None
    last_time: float | None
    why: str
    bytes: int
    outcome: Outcome
    file: str | None = None
    archive_bytes: int | None = None


class Report(Struct):
    """What a run would do, or did. Bytes; `after` is None for a dry run."""

    is_dry: bool
    policy: Policy
    sessions: list[Gone]
    in_store: int
    kept: int
    before: Sizes
    after: Sizes | None = None
    expected: int = 0
    """What the store would take afterwards."""
    problems: list[str] = field(default_factory=list[str])

    @property
    def gone(self) -> list[Gone]:
        """Those that went, or would."""
        return [one for one in self.sessions if one.outcome != "kept" and self._is_meant(one)]

    def _is_meant(self, one: Gone) -> bool:
        return self.is_dry or one.outcome != "planned"

    @property
    def freed(self) -> int | None:
        """Bytes by which the store is smaller; None for a dry run."""
        return None if self.after is None else max(0, self.before.store - self.after.store)


class Restored(Struct):
    """What a restore did. `left`: rows whose place other sessions have taken meanwhile."""

    sid: str
    agent: str | None
    cwd: str | None
    last_time: float | None
    rows: int
    files: int
    left: int
    archive: str
    is_removed: bool
    """Whether the archive went, since it was one of ours."""
