"""Files of agents that are cut, rewritten or continued while they are followed (formats.md 0.8).

What a decoder remembers belongs to one life of a file: another begins with nothing.
"""

from pathlib import Path

import pytest

from agentmon.engine.ingest import Ingestion
from tests.deep import only_deep
from tests.differential import Row, assert_same, dumped
from tests.rollout_rows import assistant, call, meta, output, tokens, user
from tests.two_tales import SID, Storyteller

ROLLOUT = [
    meta(),
    user("look"),
    assistant("I look."),
    call("call_1"),
    output("call_1"),
    tokens(100, 100),
    assistant("Done."),
    tokens(220, 120),
]
NAME = "rollout-2026-02-20T11-40-23-019c0000-0000-7000-8000-000000000001.jsonl"
FILES = {NAME: ROLLOUT, f"{SID}.jsonl": Storyteller(3).tales.main}
each_file = pytest.mark.parametrize("name", FILES)


def lines_of(name: str) -> bytes:
    return b"\n".join(FILES[name]) + b"\n"


def truth(tmp_path: Path, name: str) -> list[Row]:
    path = tmp_path / "whole" / name
    path.parent.mkdir()
    path.write_bytes(lines_of(name))
    with Ingestion(tmp_path / "truth") as run:
        run.read_all([str(path)])
    return told(tmp_path / "truth")


def told(store: Path) -> list[Row]:
    return [row for row in dumped(store) if row["kind"] != "counts"]


@each_file
@pytest.mark.parametrize("half", [2, *only_deep(5)])
@pytest.mark.parametrize("restarts", [False, True], ids=["followed", "restarted"])
def test_a_file_cut_in_place_and_written_again(
    name: str, half: int, restarts: bool, tmp_path: Path
) -> None:
    path = tmp_path / name
    whole = lines_of(name)
    stages = [b"\n".join(FILES[name][:half]) + b"\n", whole[:0], whole]
    if restarts:
        for stage in stages:
            path.write_bytes(stage)
            with Ingestion(tmp_path / "store") as run:
                run.read_all([str(path)])
    else:
        path.write_bytes(b"")
        with Ingestion(tmp_path / "store") as run:
            run.engine.open_paths([str(path)], follow=True)
            for stage in stages:
                with path.open("r+b") as file:
                    file.truncate(0)
                    file.write(stage)
                run.engine.inputs.woke([str(path)])
                while run.engine.pump(100) or not run.engine.is_whole:
                    continue
                run.commit()
    assert_same(told(tmp_path / "store"), truth(tmp_path, name))


@each_file
def test_a_file_that_is_replaced_and_goes_on(name: str, tmp_path: Path) -> None:
    """Written anew beside and moved over it, with more in it: nothing comes twice."""
    path, beside = tmp_path / name, tmp_path / "beside"
    half = b"\n".join(FILES[name][:4]) + b"\n"
    with Ingestion(tmp_path / "store") as run:
        path.write_bytes(half)
        run.engine.open_paths([str(path)], follow=True)
        for stage in (half, lines_of(name)):
            beside.write_bytes(stage)
            beside.replace(path)
            run.engine.inputs.woke([str(path)])
            while run.engine.pump(100) or not run.engine.is_whole:
                continue
            run.commit()
    assert_same(told(tmp_path / "store"), truth(tmp_path, name))
