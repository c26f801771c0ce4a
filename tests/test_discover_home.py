"""The homes that the benchmark writes: all of it is found, and every line of it is understood."""

import time
from pathlib import Path

import pytest

from agentmon.core.events import Malformed, Prompt, Unknown
from agentmon.sources import formats
from agentmon.sources.decoding import Context, Decoded
from agentmon.sources.discover import discover
from tests.bench import transcripts
from tests.bench.transcripts import Home

NOW = time.time()
FILES, SIZE = 30, 600_000


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return transcripts.write(tmp_path, FILES, SIZE, now=NOW, recent=5)


def test_all_of_it_is_found_newest_first(home: Home) -> None:
    found = discover(home.environ(), home.path, home.path / "state")
    assert len(found.files) == home.files == FILES
    assert 0.5 * SIZE < home.bytes == sum(one.size for one in found.files) < 2 * SIZE
    assert {(one.product, one.kind) for one in found.files} == {
        ("claude", "transcript"),
        ("codex", "rollout"),
    }
    names = [name for one in found.files for name in home.fresh if name in one.path]
    assert list(dict.fromkeys(names)) == home.fresh
    assert all(one.mtime < NOW - 86_400 for one in found.files[len(names) :])


def decoded(path: str) -> list[Decoded]:
    content = Path(path).read_bytes()
    known = formats.recognise(content[: formats.SAMPLE], strict=True)
    assert known is not None
    decoder = known.open(Context(path, time.time))
    events: list[Decoded] = []
    offset = 0
    for line in content.splitlines(keepends=True):
        events += decoder.decode(line.rstrip(b"\n"), offset)
        offset += len(line)
    return events


def test_every_line_is_understood(home: Home) -> None:
    for one in discover(home.environ(), home.path, home.path / "state").files:
        events = decoded(one.path)
        assert not [event for event in events if isinstance(event, Malformed | Unknown)]
        assert "subagents" in one.path or any(isinstance(event, Prompt) for event in events)


def test_one_more_prompt(home: Home) -> None:
    before = len(decoded(str(home.newest)))
    home.ask("what now?")
    *_, last = decoded(str(home.newest))[before:]
    assert isinstance(last, Prompt)
    assert (last.text, last.sid) == ("what now?", home.newest.stem)
    found = discover(home.environ(), home.path, home.path / "state")
    assert found.files[0].path == str(home.newest)


def test_a_seed_is_a_home(tmp_path: Path) -> None:
    homes = [transcripts.write(tmp_path / name, 6, 60_000, now=NOW, recent=2) for name in "ab"]
    told = [
        {path.relative_to(home.path): path.read_bytes() for path in home.path.rglob("*.jsonl")}
        for home in homes
    ]
    assert told[0] == told[1]
