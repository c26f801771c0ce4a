"""The program against the oracle: whatever the input and however it came, the same dump."""

import itertools
import random
from collections.abc import Iterator
from functools import partialmethod
from pathlib import Path
from typing import Any

import pytest

from agentmon.core.model import Session
from agentmon.core.state import State
from agentmon.engine.ingest import Ingestion
from agentmon.store.load import StoreLoader
from tests.deep import only_deep, some_of
from tests.differential import assert_like_oracle, assert_same, dumped, ingest
from tests.generate import joined, permute, scenario
from tests.oracle import dump_of
from tests.test_oracle_captures import EXAMPLES, LOGS

OLD: dict[str, Any] = {"form": "old"}
TWO_LINE: dict[str, Any] = {"form": "two-line"}
PROXY: dict[str, Any] = {"proxy": True}

MIXES: dict[str, dict[str, Any]] = {
    "clean": {},
    "duplicates": {"duplicates": 0.4, "repeated_starts": 0.5, "second_results": 0.5},
    "misattributed": {"misattributed": 0.9, "missing_message_stops": 0.2, "warm_up": 0.5},
    "no starts": {"missing_starts": 0.5, "misattributed": 0.4, "cut": 0.2},
    "scrambled": {"scrambled": 0.8, "misattributed": 0.4, "duplicates": 0.2},
    "restarts": {"restarts": 0.3, "misattributed": 0.3, "resumes": 0.3},
    "spliced": {"spliced": 0.5, "missing_block_stops": 0.4},
    "lag": {"lag": 0.9, "warm_up": 0.9, "missing_stops": 0.4, "unanswered": 0.2},
    "queued": {"queued": 0.8, "lag": 0.5, "absent_prompts": 0.2},
    "absent rounds": {"absent_rounds": 0.5, "absent_prompts": 0.3, "resumes": 0.3, "ends": 0.5},
    "absent starts": {"absent_starts": 0.4, "missing_stops": 0.2},
    "old": {**OLD, "misattributed": 0.4, "missing_stops": 0.4, "duplicates": 0.2, "lag": 0.5},
    "two lines": {**TWO_LINE, "scrambled": 0.4, "duplicates": 0.3, "glued": 0.1, "unknown": 0.3},
    "subagents": {**PROXY, "subagents": 0.8, "side": 0.6, "resumes": 0.2, "ends": 0.6},
    "errors": {**PROXY, "errors": 0.5, "whole_messages": 0.4, "cut": 0.2, "missing_stops": 0.3},
    "hostile": {"torn": 0.1, "glued": 0.1, "noise": 0.3, "bad_sids": 0.2, "bad_bytes": 0.4},
    "surrogates": {**PROXY, "surrogates": 0.6, "noise": 0.1, "unknown": 0.5, "bad_bytes": 0.5},
}


STRAIGHT = [
    *("duplicates", "misattributed", "no starts", "spliced", "queued", "absent starts"),
    *("two lines", "surrogates"),
]
"""Those that ordinary runs read straight through; the others come there in another way, below."""

WAYS = ["scrambled", "restarts", "lag", "hostile", "errors"]
"""Those that arrival in another way may change."""


def ways(*ordinary: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("mix", some_of(WAYS, *ordinary))


def write(log: Path, lines: list[bytes]) -> Path:
    log.write_bytes(joined(lines))
    return log


def lines_of(mix: str, seed: int) -> list[bytes]:
    return scenario(random.Random(seed), sessions=3, rounds=4, **MIXES[mix])


def name_of(log: Path) -> str:
    return f"{log.parent.name} {log.name}"


def recorded(*ordinary: str) -> pytest.MarkDecorator:
    """Recordings; ordinary runs have those whose names begin so."""
    logs = [
        log if name_of(log).startswith(ordinary) else only_deep(log)[0] for log in [*LOGS, EXAMPLES]
    ]
    return pytest.mark.parametrize("log", logs, ids=name_of)


@recorded("claude-tui", "claude-concurrent", "claude-cut", "sse_lines claude__raw", "examples")
def test_recordings(log: Path, tmp_path: Path) -> None:
    if not log.exists():
        pytest.skip("the recordings are not here")
    assert_like_oracle(tmp_path, log)


@pytest.mark.parametrize(
    ("mix", "seed"),
    [
        *((mix, 0) if mix in STRAIGHT else only_deep((mix, 0))[0] for mix in MIXES),
        *only_deep(*itertools.product(MIXES, range(1, 8))),
    ],
)
def test_scenarios(mix: str, seed: int, tmp_path: Path) -> None:
    log = write(tmp_path / "log.jsonl", lines_of(mix, seed))
    assert_like_oracle(tmp_path / "data", log)


@ways("scrambled", "errors")
def test_any_order_of_arrival(mix: str, tmp_path: Path) -> None:
    lines = lines_of(mix, 11)
    log = write(tmp_path / "log.jsonl", permute(lines, random.Random(3)))
    ingest(tmp_path / "data", [log])
    assert_same(dumped(tmp_path / "data"), dump_of([joined(lines)]))


@ways("hostile")
def test_twice_and_from_a_copy(mix: str, tmp_path: Path) -> None:
    log = write(tmp_path / "log.jsonl", lines_of(mix, 12))
    ingest(tmp_path / "data", [log])
    once = dumped(tmp_path / "data")
    ingest(tmp_path / "data", [log])
    assert_same(dumped(tmp_path / "data"), once)
    copy = tmp_path / "copy.jsonl"
    copy.write_bytes(log.read_bytes())
    ingest(tmp_path / "data", [copy])
    assert_same(dumped(tmp_path / "data"), dump_of([log, copy]))
    assert_same(dumped(tmp_path / "data")[:-1], once[:-1])


def pieces(data: bytes, rng: random.Random, count: int) -> list[bytes]:
    """A file in parts, as it grows; most of them end within a line."""
    cuts = sorted(rng.randint(0, len(data)) for _ in range(count - 1))
    return [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]


@pytest.mark.parametrize("count", [5, *only_deep(2, 12, 30)])
@ways("restarts")
def test_in_parts_with_a_restart_after_each(mix: str, count: int, tmp_path: Path) -> None:
    data = joined(lines_of(mix, 13))
    log = tmp_path / "log.jsonl"
    with log.open("ab", buffering=0) as file:
        for piece in pieces(data, random.Random(count), count):
            file.write(piece)
            ingest(tmp_path / "data", [log])
    assert_same(dumped(tmp_path / "data"), dump_of([data]))


@ways("lag")
def test_while_it_grows(mix: str, tmp_path: Path) -> None:
    data = joined(lines_of(mix, 14))
    for size in grown(tmp_path / "log.jsonl", pieces(data, random.Random(1), 7), tmp_path / "data"):
        assert_same(dumped(tmp_path / "data"), dump_of([data[:size]]))


def grown(log: Path, parts: list[bytes], store: Path) -> Iterator[int]:
    """Follows a log while it grows; its size after each part, which is committed then."""
    with log.open("ab", buffering=0) as file, Ingestion(store) as run:
        run.engine.open_paths([str(log)], follow=True)
        for part in parts:
            file.write(part)
            run.engine.inputs.woke([str(log)])
            while run.engine.pump(1000) or not run.engine.is_whole:
                pass
            run.commit()
            yield log.stat().st_size


@pytest.mark.parametrize("mix", some_of(MIXES, "hostile", "misattributed", "restarts", "subagents"))
def test_what_left_memory_comes_back(
    mix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All that may be forgotten is, after each commit."""
    monkeypatch.setattr(State, "evict", partialmethod(State.evict, keep=0, sessions=0))
    back: set[str] = set()

    class Loader(StoreLoader):
        def session(self, sid: str) -> Session | None:
            found = super().session(sid)
            if found is not None:
                back.add(sid)
            return found

    monkeypatch.setattr("agentmon.engine.ingest.StoreLoader", Loader)
    data = joined(lines_of(mix, 15))
    sizes = [
        *grown(tmp_path / "log.jsonl", pieces(data, random.Random(2), 40), tmp_path / "data"),
    ]
    assert sizes[-1] == len(data)
    assert_same(dumped(tmp_path / "data"), dump_of([data]))
    assert back


@recorded("claude-permission", "claude-background", "claude-kill9", "sse_lines claude__old")
def test_recordings_in_parts(log: Path, tmp_path: Path) -> None:
    if not log.exists():
        pytest.skip("the recordings are not here")
    grown = tmp_path / "log.jsonl"
    with grown.open("ab", buffering=0) as file:
        for piece in pieces(log.read_bytes(), random.Random(5), 5):
            file.write(piece)
            ingest(tmp_path / "data", [grown])
    assert_same(dumped(tmp_path / "data"), dump_of([log]))


def test_several_inputs_at_once(tmp_path: Path) -> None:
    logs: list[Path] = []
    for number, mix in enumerate(("clean", "scrambled", "errors")):
        lines = scenario(random.Random(number), first=10 * number, rounds=4, **MIXES[mix])
        logs.append(write(tmp_path / f"{mix}.jsonl", lines))
    ingest(tmp_path / "data", logs)
    assert_same(dumped(tmp_path / "data"), dump_of(logs))


LONG = {("absent rounds", 5), ("old", 5), ("subagents", 1)}
"""Those of ordinary runs, of what goes wrong with rounds rather than within a message."""


@pytest.mark.parametrize(("mix", "parts"), some_of(itertools.product(MIXES, (1, 5)), *LONG))
def test_long_sessions(mix: str, parts: int, tmp_path: Path) -> None:
    """More rounds than the fold remembers: what is old must not change when it is forgotten."""
    lines = scenario(random.Random(5), sessions=1, rounds=24, **MIXES[mix])
    log = tmp_path / "log.jsonl"
    log.touch()
    for part in range(parts):
        with log.open("ab") as handle:
            handle.write(joined(_part(lines, part, parts)))
        ingest(tmp_path / "store", [log])
    assert_same(dumped(tmp_path / "store"), dump_of([log]))


def _part(lines: list[bytes], part: int, parts: int) -> list[bytes]:
    size = -(-len(lines) // parts)
    return lines[part * size : (part + 1) * size]
