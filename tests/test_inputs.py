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


def test_where_odd_lines_are_is_known_in_blocks_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agentmon.sources.lines.BLOCK", 2000)
    lines: list[bytes] = []
    odd: list[int] = []
    for number, line in enumerate(finished() * 2):
        lines.append(line)
        if number % 3:
            odd.append(sum(len(one) + 1 for one in lines))
            lines.append(b"{torn")
    path = write(tmp_path / "log.jsonl", lines)
    assert path.stat().st_size > 10_000
    with Ingestion(tmp_path / "s") as run:
        run.read_all([str(path)])
        stored = run.conn.execute("SELECT offset FROM bad_lines ORDER BY offset").fetchall()
    assert [offset for (offset,) in stored] == odd
    assert lines_stored(tmp_path / "s") == SIZE + len(odd)
