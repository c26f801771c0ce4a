"""A session of the store retold as a wire log: folding it again gives the same dump and spans."""

import json
import os
import random
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from agentmon.assets import asset
from agentmon.core.events import Event, Unknown
from agentmon.core.spans import Round
from agentmon.report import retelling
from agentmon.report.merging import merged
from agentmon.report.retelling import pieces, retell
from agentmon.sources.sse_lines import Decoder
from agentmon.sources.times import reader_of
from agentmon.store import read, read_retelling
from agentmon.store.codec import decode_tail
from agentmon.store.db import open_reading
from agentmon.store.read_round import round_in_time
from tests.deep import examples, only_deep, seeds
from tests.differential import differences, dumped, ingest
from tests.generate import DEFECTS, joined, permute, scenario
from tests.two_tales import SID, Storyteller
from tests.wire import Talk

SHARED = Path(__file__).resolve().parents[1].parent / "shared"
FILES = [
    *sorted(SHARED.glob("captures/*/sse_lines.jsonl")),
    *sorted(SHARED.glob("captures/*/*.stream.jsonl")),
    *sorted(SHARED.glob("samples/codex_rollouts/*")),
    *sorted(SHARED.glob("samples/claude_transcripts/*.jsonl")),
    *sorted(SHARED.glob("samples/*_sse/*.txt")),
]
EXAMPLES = sorted(SHARED.glob("samples/examples/*.jsonl"))
"""Their ids are made up and mean other things in each."""
FOLDERS = [SHARED / "captures" / name for name in ("claude-tui", "claude-full", "codex-spawn")]


def tell(store: Path, log: Path) -> list[bytes]:
    """Writes the retelling of all sessions; its lines."""
    conn = open_reading(store)
    try:
        conn.execute("BEGIN")
        told = [*retell(conn, store, read_retelling.sessions(conn))]
        lines = [b"".join(pieces(line)) for _, line in told]
    finally:
        conn.close()
    assert [at for at, _ in told] == sorted(at for at, _ in told)
    assert all(line.count(b"\n") == 1 and line.endswith(b"\n") for line in lines)
    log.write_bytes(b"".join(lines))
    return lines


def spans(store: Path) -> dict[tuple[str, str], Round | None]:
    conn = open_reading(store)
    try:
        return {
            (session.sid, row.round_id): round_in_time(conn, session.sid, row.round_id)
            for session in read.sessions(conn, limit=10_000)
            for row in read.rounds(conn, session.sid)
        }
    finally:
        conn.close()


def times(store: Path) -> dict[tuple[str, int], tuple[list[float], list[int]]]:
    """When each delta came, and how many characters it had, block by block."""
    conn = open_reading(store)
    try:
        found: dict[tuple[str, int], tuple[list[float], list[int]]] = {}
        for flow_id, index in conn.execute("SELECT flow_id, block_index FROM content_blocks"):
            chunks = read_retelling.delta_chunks(conn, flow_id, index)
            entries = [one for chunk in chunks for one in _entries(chunk, flow_id)]
            entries.sort()
            if entries:
                found[flow_id, index] = ([at for at, _ in entries], [size for _, size in entries])
        return found
    finally:
        conn.close()


def _entries(chunk: bytes, flow_id: str) -> list[tuple[float, int]]:
    return [(one.time, one.chars) for one in decode_tail(chunk, flow_id)]


def known(store: Path) -> list[dict[str, Any]]:
    """The dump, but for its counts: a retelling has other lines. A session that was told a message
    of an older one, which its transcript repeats, is taken to begin with that."""
    rows = [row for row in dumped(store) if row["kind"] != "counts"]
    starts = [(row["sid"], row["start_time"]) for row in rows if row["kind"] == "message"]
    for row in rows:
        if row["kind"] == "session" and row["start_time"] is not None:
            own = [at for sid, at in starts if sid == row["sid"] and at is not None]
            row["start_time"] = min([row["start_time"], *own])
    return sorted(rows, key=lambda row: (row["kind"], str(row.get("start_time"))))


def assert_retold(folder: Path, paths: Sequence[Path]) -> list[bytes]:
    """Ingests, retells, ingests that; both stores must say the same. The lines."""
    ingest(folder / "first", paths)
    lines = tell(folder / "first", folder / "retold.jsonl")
    ingest(folder / "second", [folder / "retold.jsonl"])
    said = differences(known(folder / "second"), known(folder / "first"))
    assert not said, "\n".join(said[:10])
    assert spans(folder / "second") == spans(folder / "first")
    assert times(folder / "second") == times(folder / "first")
    (counts,) = [row for row in dumped(folder / "second") if row["kind"] == "counts"]
    assert (counts["bad_lines"], counts["unknown_events"], counts["duplicates"]) == (0, 0, 0)
    return lines


def test_the_demo(tmp_path: Path) -> None:
    lines = assert_retold(tmp_path, [asset("demo.jsonl")])
    moment_of = reader_of("bundle")
    assert moment_of is not None
    assert None not in [moment_of(line.rstrip()) for line in lines]
    first = json.loads(lines[0])
    assert list(first) == [
        *("event", "t", "line", "metadata", "flow_id", "data_count", "sid"),
    ]


@pytest.mark.skipif(not FILES, reason="the recordings are not here")
@pytest.mark.parametrize("step", [20, *only_deep(3)])
def test_recordings_of_every_kind(step: int, tmp_path: Path) -> None:
    """Of the recordings one in `step`, of what is short half of that."""
    assert_retold(tmp_path / "all", FILES[::step])
    for path in EXAMPLES[:: step // 2]:
        assert_retold(tmp_path / path.stem, [path])


@pytest.mark.parametrize("micros", [0, 785949, 881986, 999700])
def test_lines_without_a_time_go_by_their_file_at_any_microsecond(
    tmp_path: Path, micros: int
) -> None:
    sid = "00000000-0000-4000-8000-000000000001"
    message: dict[str, object] = {
        "id": "msg_1",
        "role": "assistant",
        "model": "m",
        "content": [],
        "usage": {},
    }
    delta = {"type": "text_delta", "text": "Running tests."}
    events: list[dict[str, object]] = [
        {"type": "message_start", "message": message},
        {"type": "content_block_delta", "index": 0, "delta": delta},
        {"type": "message_stop"},
    ]
    rows: list[dict[str, object]] = [
        {"type": "system", "subtype": "init", "cwd": "/p", "model": "m"},
        *({"type": "stream_event", "event": event} for event in events),
        {"type": "conversation_reset", "new_conversation_id": "2", "trigger": "clear"},
    ]
    log = tmp_path / "run.stream.jsonl"
    log.write_text("".join(json.dumps({**row, "session_id": sid}) + "\n" for row in rows))
    os.utime(log, ns=(0, 1_673_971_849_000_000_000 + micros * 1000 + 321))
    assert_retold(tmp_path, [log])
    (session,) = [row for row in dumped(tmp_path / "first") if row["kind"] == "session"]
    assert session["end_reason"] == "clear"


@pytest.mark.skipif(not FILES, reason="the recordings are not here")
def test_what_several_sources_tell_of_one_session(tmp_path: Path) -> None:
    assert_retold(tmp_path, FOLDERS)


@settings(max_examples=examples(2, 15))
@given(st.integers(0, 1 << 32), st.booleans())
@example(178, False)  # a call's stop comes before its start
@example(23934, False)  # the stop of a round without a prompt ends a call
def test_logs_with_every_defect(
    tmp_path_factory: pytest.TempPathFactory, seed: int, is_mixed: bool
) -> None:
    folder, rng = tmp_path_factory.mktemp("generated"), random.Random(seed)
    chances = {name: 0.3 * rng.random() for name in DEFECTS}
    lines = scenario(rng, sessions=rng.randint(1, 3), **chances)
    log = folder / "log.jsonl"
    log.write_bytes(joined(permute(lines, rng) if is_mixed else lines))
    assert_retold(folder, [log])


@pytest.mark.parametrize("seed", seeds(1, 6))
def test_a_run_that_was_told_twice(tmp_path: Path, seed: int) -> None:
    tales = Storyteller(4, seed=seed, lag=bool(seed % 2)).tales
    folder = tmp_path / SID
    logs = {tmp_path / "wire.jsonl": tales.wire, tmp_path / f"{SID}.jsonl": tales.main}
    for name, lines in tales.agents.items():
        logs[folder / "subagents" / f"agent-{name}.jsonl"] = lines
    for path, lines in logs.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(joined(lines))
    assert_retold(tmp_path, [*logs])


def test_a_result_that_is_too_long_to_be_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its line comes in pieces, whose bytes are those of one line."""
    monkeypatch.setattr(retelling, "LONG", 20_000)
    talk = Talk()
    text = 'ä"\\\n\x1b' * 5_000
    lines = [
        talk.prompt(0, "read it", "u1", round_id="r1"),
        talk.line("tool_result", 10, {"tool_use_id": "toolu_1", "content": text, "is_error": True}),
    ]
    log = tmp_path / "log.jsonl"
    log.write_bytes(joined(lines))
    told = assert_retold(tmp_path, [log])
    (line,) = [line for line in told if len(line) > 20_000]
    assert json.loads(json.loads(line)["line"][6:])["payload"]["content"] == text


def test_a_line_says_nothing_of_files(tmp_path: Path) -> None:
    """Where a result lies is not for a log to say, whoever wrote it."""
    secret = tmp_path / "secret.txt"
    secret.write_text("mine")
    result = {"tool_use_id": "toolu_1", "is_error": None, "text": "x", "file": str(secret)}
    payload = {"results": [{**result, "size": 4, "sha256": "0" * 64}], "meta": {"kind": "hook"}}
    talk = Talk()
    row = json.loads(talk.line("tool_result", 10, payload))
    row["event"] = "agentmon.tool_result"
    log = tmp_path / "log.jsonl"
    log.write_bytes(joined([talk.prompt(0, "x", "u1", round_id="r1"), json.dumps(row).encode()]))
    ingest(tmp_path / "store", [log])
    (found,) = [row for row in dumped(tmp_path / "store") if row["kind"] == "tool_result"]
    assert found["content_size"] == 1
    assert secret.read_text() == "mine"


HOSTILE: list[Any] = [None, 0, -1, 1e300, "x", [], {}, [{}], {"a": None}, True]


@settings(max_examples=examples(15, 100))
@given(
    st.sampled_from(
        ["told", "facts", "notice", "retry", "agent_said", "other", "user_prompt", "?"]
    ),
    st.dictionaries(
        st.sampled_from(
            [*("blocks", "values", "data", "name", "delay", "agent_id", "time", "usage", "text")]
        ),
        st.sampled_from(HOSTILE),
    ),
)
def test_odd_payloads_are_kept_as_unknown(name: str, payload: dict[str, Any]) -> None:
    row = json.loads(Talk().line("other", 10, payload))
    row["event"] = f"agentmon.{name}"
    (event,) = Decoder().decode(json.dumps(row).encode())
    assert isinstance(event, Event)
    assert event.sid == row["sid"]


@pytest.mark.parametrize(
    ("name", "payload"),
    [
        ("content_block_stop", {"index": -1}),
        ("content_block_stop", {"index": 2**40}),
        ("message_delta", {"stop_reason": None, "usage": {"input_tokens": -5}}),
        ("content_block_delta", {"index": 0, "text": "x", "cut": -1}),
    ],
)
def test_numbers_that_no_decoder_makes_are_kept_as_unknown(name: str, payload: object) -> None:
    row = json.loads(Talk().line(name, 10, {"request_id": None, **cast("dict[str, Any]", payload)}))
    row["event"] = f"agentmon.{name}"
    (event,) = Decoder().decode(json.dumps(row).encode())
    assert isinstance(event, Unknown)


@given(st.lists(st.lists(st.integers(0, 50), max_size=8), max_size=6))
def test_sources_are_merged_and_begun_in_time(given_: list[list[int]]) -> None:
    begun: list[int] = []
    lists = sorted((sorted(numbers) for numbers in given_ if numbers), key=lambda one: one[0])

    def source(number: int) -> Iterator[tuple[float, tuple[int, int]]]:
        begun.append(number)
        for place, at in enumerate(lists[number]):
            yield float(at), (number, place)

    found: list[tuple[float, tuple[int, int]]] = []
    sources = [
        (float(numbers[0]), 0, lambda number=number: source(number))
        for number, numbers in enumerate(lists)
    ]
    for at, thing in merged(sources):
        found.append((at, thing))
        assert all(lists[number][0] <= at for number in begun)
    assert sorted(found) == sorted(
        (float(at), (number, place))
        for number, numbers in enumerate(lists)
        for place, at in enumerate(numbers)
    )
    assert [at for at, _ in found] == sorted(at for at, _ in found)


def test_no_read_walks_a_table(tmp_path: Path) -> None:
    ingest(tmp_path / "store", [asset("demo.jsonl")])
    conn = open_reading(tmp_path / "store")
    try:
        for sql in read_retelling.STATEMENTS:
            args = ("x",) * sql.count("?")
            plan = [str(row[3]) for row in conn.execute(f"EXPLAIN QUERY PLAN {sql}", args)]
            assert not [step for step in plan if step.startswith("SCAN")], (sql, plan)
    finally:
        conn.close()


def test_what_is_old_is_told_a_block_at_a_time(tmp_path: Path) -> None:
    """The same texts, times and rounds, in fewer lines; what is newer comes as it came."""
    ingest(tmp_path / "first", [asset("demo.jsonl")])
    rows = [row for row in known(tmp_path / "first") if row["kind"] == "block"]
    ends = sorted(row["complete_time"] for row in rows if row["complete_time"] is not None)
    since = ends[len(ends) // 2]
    conn = open_reading(tmp_path / "first")
    try:
        conn.execute("BEGIN")
        sessions = read_retelling.sessions(conn)
        told = [*retell(conn, tmp_path / "first", sessions, deltas_since=since)]
        every = [*retell(conn, tmp_path / "first", sessions)]
    finally:
        conn.close()
    (tmp_path / "told.jsonl").write_bytes(b"".join(b"".join(pieces(line)) for _, line in told))
    ingest(tmp_path / "second", [tmp_path / "told.jsonl"])
    assert len(told) < len(every)
    for before, after in zip(known(tmp_path / "first"), known(tmp_path / "second"), strict=True):
        if before["kind"] == "block":
            is_old = before["complete_time"] is not None and before["complete_time"] < since
            count = min(1, before["delta_count"]) if is_old else before["delta_count"]
            assert after == {**before, "delta_count": count}
        else:
            assert after == before


def test_only_some_sessions(tmp_path: Path) -> None:
    ingest(tmp_path / "store", [asset("demo.jsonl")])
    conn: sqlite3.Connection = open_reading(tmp_path / "store")
    try:
        every = read_retelling.sessions(conn)
        last = max(one.last_time or 0.0 for one in every)
        recent = read_retelling.sessions(conn, since=last)
        assert [one.sid for one in recent] == [
            one.sid for one in every if (one.last_time or 0.0) >= last
        ]
        (only,) = read_retelling.sessions(conn, sid=every[0].sid)
        told = [json.loads(b"".join(pieces(line))) for _, line in retell(conn, tmp_path, [only])]
        assert {row["sid"] for row in told} == {every[0].sid}
    finally:
        conn.close()
