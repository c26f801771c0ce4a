"""Which inputs an engine opens, and how much it does between two turns of a loop."""

from pathlib import Path

import pytest

from agentmon.engine import inputs
from agentmon.engine.ingest import Ingestion
from tests.feeds import SIZE, finished, lines_stored, write


def test_many_files_without_anything_new_are_looked_at_in_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that a keypress never waits for thousands of them."""
    monkeypatch.setattr(inputs, "AT_A_TIME", 3)
    logs = tmp_path / "logs"
    for number in range(10):
        write(logs / f"{number}.jsonl", [])
    write(logs / "last.jsonl", finished())
    with Ingestion(tmp_path / "s") as run:
        run.engine.open_paths([str(logs)], follow=True)
        pumped = 1
        while run.engine.pump(1000) or not run.engine.is_whole:
            pumped += 1
        run.commit()
    assert pumped > 10 // 3
    assert lines_stored(tmp_path / "s") == SIZE
