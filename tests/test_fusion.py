"""Two sources of one session are one session, whichever comes first (formats.md H)."""

import itertools
import random
import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import pytest

from agentmon.engine.ingest import Ingestion
from tests.deep import some_of
from tests.differential import Row, assert_same, differences, dumped
from tests.two_tales import SID, Storyteller, Tales

SHARED = Path(__file__).parents[1].parent / "shared"
CLAUDE = sorted(SHARED.glob("captures/claude-*"))
CODEX = sorted(SHARED.glob("captures/codex-*"))

SOME = {
    *("claude-background", "claude-concurrent", "claude-cut", "claude-overloaded"),
    *("claude-permission", "codex-code", "codex-spawn"),
}
"""With subagents, several processes, cut messages, errors, scripts: the others are more of it."""


def name_of(scene: Path) -> str:
    return scene.name


def each(scenes: Iterable[Path], *names: str) -> pytest.MarkDecorator:
    rows = some_of(scenes, *(names or SOME))
    return pytest.mark.parametrize("scene", rows, ids=name_of)


needs_shared = pytest.mark.skipif(not CLAUDE, reason="the recordings are not here")

TELLINGS: dict[str, dict[str, Any]] = {
    "rounds": {"rounds": 3},
    "prompts with the round before": {"rounds": 4, "lag": True},
    "an old client": {"rounds": 3, "plain": True},
    "no message uuids on the wire": {"rounds": 4, "uuids": False},
    "no rounds on the wire": {"rounds": 3, "with_rounds": False},
    "many rounds": {"rounds": 24, "uuids": False},
    "many rounds of an old client": {"rounds": 21, "plain": True, "lag": True},
}


def tellings(*ordinary: str) -> pytest.MarkDecorator:
    """Ordinary runs have those that are named."""
    return pytest.mark.parametrize("telling", some_of(TELLINGS, *ordinary))


CLOCKS = {"start_time", "end_time", "duration_ms", "complete_time", "result_time"}
ONE_SIDED = {
    "session": {"pid", "end_reason", "version", *CLOCKS},
    "round": {"round_id", *CLOCKS},
    "message": {"round_id", *CLOCKS},
    "block": {"delta_count", *CLOCKS},
    "tool_result": {"execution_duration_ms", *CLOCKS},
}
"""What only one of the sources can know: the round's name, deltas, and when each heard of it."""


def ingest(store: Path, *runs: Iterable[Path]) -> list[Row]:
    read(store, *runs)
    return dumped(store)


def read(store: Path, *runs: Iterable[Path]) -> None:
    for paths in runs:
        with Ingestion(store) as run:
            run.read_all([str(path) for path in paths])
            assert not run.engine.problems


class Accounts(NamedTuple):
    """What the wire says alone, what the transcripts say alone, and both, the wire first."""

    wire: list[Row]
    told: list[Row]
    both: list[Row]


@cache
def accounts(what: str | Path) -> Accounts:
    """Of a telling, or of a recorded scene: made once for all that ask."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        if isinstance(what, str):
            wire, told = write(folder, Storyteller(**TELLINGS[what]).tales)
        else:
            wire, told = sources(what)
        both = [*ingests(folder / "a", wire, told)]
        return Accounts(both[0], ingest(folder / "b", told), both[1])


def ingests(store: Path, *runs: Iterable[Path]) -> Iterator[list[Row]]:
    """What the store says after each run."""
    for paths in runs:
        yield ingest(store, paths)


def write(folder: Path, tales: Tales) -> tuple[list[Path], list[Path]]:
    """(the wire log, the transcripts) as files where clients leave them."""
    wire, told = folder / "sse_lines.jsonl", folder / "projects/-home-u-p"
    (told / SID / "subagents").mkdir(parents=True)
    wire.write_bytes(b"\n".join(tales.wire) + b"\n")
    main = told / f"{SID}.jsonl"
    main.write_bytes(b"\n".join(tales.main) + b"\n")
    agents = [told / SID / "subagents" / f"agent-{name}.jsonl" for name in tales.agents]
    for path, lines in zip(agents, tales.agents.values(), strict=True):
        path.write_bytes(b"\n".join(lines) + b"\n")
    return [wire], [main, *agents]


def without_counts(rows: Iterable[Row]) -> list[Row]:
    """Lines of a transcript in several files count as they come; what they say does not."""
    return [row for row in rows if row["kind"] != "counts"]


def agreement(wire: Sequence[Row], told: Sequence[Row]) -> list[str]:
    """Where two accounts of a run differ in what both can know."""
    rounds = {row["round_id"]: row["round_number"] for row in (*wire, *told) if is_round(row)}
    return differences(known(told, rounds), known(wire, rounds))


def is_round(row: Row) -> bool:
    return row["kind"] == "round"


def known(rows: Iterable[Row], rounds: dict[str, int]) -> list[Row]:
    found: list[Row] = []
    for row in without_counts(rows):
        own = {key: value for key, value in row.items() if key not in ONE_SIDED[row["kind"]]}
        if row["kind"] == "round":
            own["round_id"] = row["round_number"]
        elif row["kind"] == "message":
            own["round_number"] = rounds.get(row["round_id"] or "")
        elif row["kind"] == "block" and row["block_type"].endswith("tool_use"):
            own |= {"total_bytes": None, "sha256": None}  # the transcript spells them its own way
        elif row["kind"] == "tool_result" and row["tool_use_id"].startswith("call_"):
            del own["is_error"]  # only Codex itself knows the exit code of a command
        found.append(own)
    return sorted(found, key=lambda row: str([row["kind"], *row.values()]))


# -- own recordings


@tellings("rounds", "an old client", "no rounds on the wire", "many rounds")
def test_wire_and_transcript_agree(telling: str) -> None:
    found = accounts(telling)
    said = agreement(found.wire, found.told)
    assert not said, "\n".join(said[:20])


@tellings("no message uuids on the wire", "many rounds")
def test_both_are_one_in_any_order(telling: str, tmp_path: Path) -> None:
    wire, told = write(tmp_path, Storyteller(**TELLINGS[telling]).tales)
    alone, _, first = accounts(telling)
    assert_same(ingest(tmp_path / "b", told, wire), first)
    assert_same(ingest(tmp_path / "c", [*told, *wire]), first)
    for kind in ("session", "round", "message", "block", "tool_result"):
        assert count(first, kind) == count(alone, kind), kind


def count(rows: Iterable[Row], kind: str) -> int:
    return sum(row["kind"] == kind for row in rows)


@tellings("an old client", "prompts with the round before")
def test_both_are_one_when_they_grow_together(telling: str, tmp_path: Path) -> None:
    """As they are written in life: a part of each, a restart, the next parts."""
    files = itertools.chain(*write(tmp_path / "whole", Storyteller(**TELLINGS[telling]).tales))
    parts = tmp_path / "parts"
    parts.mkdir()
    dice = random.Random(7)
    left: dict[Path, list[list[bytes]]] = {}
    for number, path in enumerate(files):
        lines = path.read_bytes().splitlines(keepends=True)
        most = 3 if number < 4 else 1  # of many transcripts, some come whole
        cut = sorted(dice.sample(range(len(lines) + 1), min(most, len(lines))))
        pieces = [lines[start:end] for start, end in itertools.pairwise([0, *cut, len(lines)])]
        left[parts / f"{number}-{path.name}"] = pieces
    order = [copy for copy, pieces in left.items() for _ in pieces]
    dice.shuffle(order)
    for copy in order:
        with copy.open("ab") as file:
            file.writelines(left[copy].pop(0))
        read(tmp_path / "b", [copy for copy in left if copy.exists() and copy.stat().st_size])
    found = dumped(tmp_path / "b")
    assert_same(without_counts(found), without_counts(accounts(telling).both))


def test_told_twice_is_told_once(tmp_path: Path) -> None:
    wire, told = write(tmp_path, Storyteller(3).tales)
    once = ingest(tmp_path / "a", wire, told)
    copies = [path.with_name(f"copy-{path.name}") for path in (*wire, *told)]
    for path, copy in zip((*wire, *told), copies, strict=True):
        copy.write_bytes(path.read_bytes())
    again = ingest(tmp_path / "a", copies)
    assert_same(without_counts(again), without_counts(once))
    before, after = once[-1], again[-1]
    assert after["lines"] == before["lines"]


def test_messages_that_share_a_request_id_stay_apart(tmp_path: Path) -> None:
    tales = Storyteller(4).tales
    same = [re.sub(rb'"requestId":"r\d+"', b'"requestId":"r1"', line) for line in tales.main]
    whole = ingest(tmp_path / "a", write(tmp_path / "1", tales)[1])
    found = ingest(tmp_path / "b", write(tmp_path / "2", Tales([], same, tales.agents))[1])
    for kind in ("message", "block", "tool_result"):
        assert count(found, kind) == count(whole, kind)


def test_a_transcript_completes_what_the_wire_lost(tmp_path: Path) -> None:
    """The tap began in the middle: the texts are those of the transcript."""
    tales = Storyteller(2).tales
    torn = Tales(tales.wire[9:], tales.main, tales.agents)
    wire, told = write(tmp_path, torn)
    whole = ingest(tmp_path / "a", told)
    for name, runs in {"b": (wire, told), "c": (told, wire)}.items():
        found = {row_id(row): row for row in ingest(tmp_path / name, *runs)}
        for row in whole:
            if row["kind"] == "block" and row["block_type"] in ("text", "thinking"):
                assert found[row_id(row)]["sha256"] == row["sha256"], row


def row_id(row: Row) -> tuple[object, ...]:
    return row["kind"], row.get("flow_id"), row.get("index"), row.get("round_id")


# -- real recordings


def sources(scene: Path) -> tuple[list[Path], list[Path]]:
    told = [*scene.glob("claude/projects/**/*.jsonl"), *scene.glob("codex/sessions/**/*.jsonl")]
    return [scene / "sse_lines.jsonl"], sorted(told)


@needs_shared
@each([*CLAUDE, *CODEX])
def test_real_runs_agree(scene: Path) -> None:
    """In all but the messages that were cut: how far they had come, each side saw otherwise."""
    ours, theirs, _ = accounts(scene)
    mutual = {row_id(row) for row in known(ours, {})} & {row_id(row) for row in known(theirs, {})}
    cut = {row["flow_id"] for row in ours if row["kind"] == "message" and not row["is_complete"]}
    both = [
        [row for row in rows if row_id(row) in mutual and row.get("flow_id") not in cut]
        for rows in (ours, theirs)
    ]
    rounds = {row["round_id"]: row["round_number"] for row in (*ours, *theirs) if is_round(row)}
    said = differences(*(known(rows, rounds) for rows in both))
    assert not said, "\n".join(said[:20])


@needs_shared
@each([*CLAUDE, *CODEX], "claude-concurrent", "claude-cut", "codex-spawn")
def test_real_runs_are_one_in_any_order(scene: Path, tmp_path: Path) -> None:
    wire, told = sources(scene)
    alone, _, first = accounts(scene)
    assert_same(ingest(tmp_path / "b", told, wire), first)
    assert_same(ingest(tmp_path / "c", [*wire, *told]), first)
    assert count(first, "round") == count(alone, "round")
    assert count(first, "message") == count(alone, "message")


STREAMED = [scene for scene in CLAUDE if (scene / "p.stream.jsonl").exists()]


@needs_shared
@each(STREAMED, "claude-background", "claude-cut")
def test_two_streams_of_a_run_are_one(scene: Path, tmp_path: Path) -> None:
    """What the client prints while it streams repeats the wire: no text is doubled."""
    wire, printed = [scene / "sse_lines.jsonl"], [scene / "p.stream.jsonl"]
    alone = {row_id(row): row for row in accounts(scene).wire}
    for name, runs in {"b": (wire, printed), "c": (printed, wire), "d": (wire + printed,)}.items():
        both = ingest(tmp_path / name, *runs)
        for kind in ("round", "message", "block"):
            assert count(both, kind) == count(alone.values(), kind), (name, kind)
        for row in both:
            known_row = alone.get(row_id(row))
            if row["kind"] == "block" and known_row is not None:
                assert row["sha256"] == known_row["sha256"], (name, row)
            elif row["kind"] == "message" and known_row is not None:
                assert row["output_tokens"] == known_row["output_tokens"], (name, row)


@needs_shared
@each(STREAMED, "claude-overloaded")
def test_what_is_printed_after_it_was_told_is_the_same(scene: Path, tmp_path: Path) -> None:
    """The stream names no requests; its messages are those of the transcript all the same."""
    wire, told = sources(scene)
    printed = [scene / "p.stream.jsonl"]
    first = accounts(scene).both
    texts = {row_id(row): row["sha256"] for row in first if row["kind"] == "block"}
    for name, runs in {"b": (told, printed, wire), "c": (printed, told, wire)}.items():
        found = ingest(tmp_path / name, *runs)
        assert {row_id(row): row["sha256"] for row in found if row["kind"] == "block"} == texts
        assert count(found, "message") == count(first, "message")
        assert tokens(found) == tokens(first)


@needs_shared
@each(CODEX)
def test_what_codex_prints_only_stands_in(scene: Path, tmp_path: Path) -> None:
    """It names neither responses nor calls: with a rollout beside it, it adds nothing."""
    told = sources(scene)[1]
    printed = [*scene.glob("x.stream.jsonl")]
    alone = accounts(scene).told
    for name, runs in {"b": (told, printed), "c": (printed, told), "d": (told + printed,)}.items():
        both = ingest(tmp_path / name, *runs)
        for kind in ("session", "round", "message", "block", "tool_result"):
            assert count(both, kind) == count(alone, kind), (name, kind)
        assert tokens(both) == tokens(alone)


def tokens(rows: Iterable[Row]) -> int:
    return sum(row["input_tokens"] or 0 for row in rows if row["kind"] == "message")
