"""A session in buckets of time, against what is counted straight from the lines."""

import csv
import io
import math
import random
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest

from agentmon.report import series
from agentmon.store import parquet as store_parquet
from tests.asking import Ask, asker, near, oracle
from tests.deep import only_deep
from tests.differential import Row, ingest
from tests.feeds import answering, asking, sid_of, write
from tests.generate import scenario
from tests.oracle_lines import read
from tests.oracle_messages import messages_of
from tests.wire import START, Talk

NOW = START / 1000 + 3600
KNOBS: dict[str, Any] = {
    **{"sessions": 2, "rounds": 4, "subagents": 0.5, "errors": 0.3, "cut": 0.2},
    **{"misattributed": 0.3, "scrambled": 0.3, "queued": 0.3},
}


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("series")
    found = write(folder / "log.jsonl", scenario(random.Random(23), **KNOBS))
    ingest(folder / "store", [found])
    return found


@pytest.fixture
def ask(
    log: Path, capsysbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch
) -> Ask:
    return asker(capsysbinary, monkeypatch, NOW, "--data-dir", log.parent / "store")


def counted(log: Path, sid: str) -> Iterator[tuple[float, str, float]]:
    """(time, metric, value) of a session, from its lines."""
    rows = [row for row in oracle(log) if row["kind"] != "counts"]
    flows = {r["flow_id"]: r for r in rows if r["kind"] == "message" and r["sid"] == sid}
    results = {r["tool_use_id"]: r for r in rows if r["kind"] == "tool_result"}
    for row in rows:
        if row["kind"] == "round" and row["sid"] == sid and row["end_time"] is not None:
            yield row["end_time"], "rounds", 1
            yield row["end_time"], "round_seconds", row["duration_ms"] / 1000
        elif row["kind"] == "message" and row["sid"] == sid:
            yield row["start_time"], "messages", 1
            if row["end_time"] is not None:
                yield row["end_time"], "message_seconds", row["end_time"] - row["start_time"]
                yield row["end_time"], "output_tokens", row["output_tokens"] or 0
        elif row["kind"] == "block" and row["flow_id"] in flows:
            yield from of_block(row, results.get(row["tool_use_id"]))
    entries = [entry for entry in read([log]).entries if entry.sid == sid]
    for message in messages_of(sid, entries):
        for block in message.blocks():
            for delta in block.deltas:
                yield delta.entry.time / 1000, "deltas", 1


def of_block(row: Row, result: Row | None) -> Iterator[tuple[float, str, float]]:
    if row["complete_time"]:
        yield row["complete_time"], "blocks", 1
        if row["tool_use_id"]:
            yield row["complete_time"], "tools", 1
    if result is not None:
        yield result["result_time"], "results", 1
        if result["execution_duration_ms"] is not None:
            yield result["result_time"], "tool_seconds", result["execution_duration_ms"] / 1000


def sids(log: Path) -> list[str]:
    return [row["sid"] for row in oracle(log) if row["kind"] == "session"]


def in_buckets(log: Path, sid: str, interval: float) -> dict[str, dict[int, list[float]]]:
    found: dict[str, dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    for time, name, value in counted(log, sid):
        found[name][math.floor(time / interval)].append(value)
    return found


COUNTS = ("rounds", "messages", "blocks", "tools", "results", "deltas")


@pytest.mark.parametrize("interval", [1.0, *only_deep(0.25, 60.0)])
def test_counts_and_means_are_those_of_the_lines(log: Path, ask: Ask, interval: float) -> None:
    names = ",".join([*COUNTS, "tool_seconds", "round_seconds", "message_seconds"])
    for sid in sids(log):
        expected = in_buckets(log, sid, interval)
        rows = ask("timeseries", sid, "--interval", interval, "--metric", names, "--json")
        assert rows
        for row in rows:
            at = round(row["time"] / interval)
            for name in COUNTS:
                assert row[name] == len(expected[name].get(at, [])), (name, row)
            for name in ("tool_seconds", "round_seconds", "message_seconds"):
                values = expected[name].get(at)
                mean = sum(values) / len(values) if values else None
                assert near(row[name], mean)
        for name in COUNTS:
            assert sum(row[name] for row in rows) == sum(map(len, expected[name].values()))


def test_buckets_have_no_holes(log: Path, ask: Ask) -> None:
    for sid in sids(log):
        rows = ask("timeseries", sid, "--interval", "100ms", "--metric", "deltas", "--json")
        times = [round(row["time"] * 10) for row in rows]
        assert times == list(range(times[0], times[0] + len(times)))
        assert 0 not in (rows[0]["deltas"], rows[-1]["deltas"])
        assert any(row["deltas"] == 0 for row in rows)


def test_bytes_are_those_of_each_delta(log: Path, ask: Ask) -> None:
    """What no delta brought (it came with the start of a block) counts at the block's end."""
    for sid in sids(log):
        expected: dict[int, int] = defaultdict(int)
        entries = [entry for entry in read([log]).entries if entry.sid == sid]
        blocks = [block for m in messages_of(sid, entries) for block in m.blocks()]
        for block in blocks:
            rest, last = len(block.text()), block.start
            for delta in block.deltas:
                size = len(delta.text.encode("utf-8", "replace"))
                expected[delta.entry.time // 1000] += size
                rest, last = rest - size, max(last, delta.entry.time)
            expected[(block.complete or last) // 1000] += rest
        rows = ask("timeseries", sid, "--interval", 1, "--metric", "bytes,deltas", "--json")
        found = {row["time"]: row["bytes"] for row in rows if row["bytes"]}
        assert found == {time: size for time, size in expected.items() if size}


def test_since_leaves_out_what_was_before(log: Path, ask: Ask) -> None:
    sid = sids(log)[0]
    rows = ask("timeseries", sid, "--interval", 1, "--metric", "deltas", "--json")
    middle = rows[len(rows) // 2]["time"]
    late = ask("timeseries", sid, "--interval", 1, "--since", f"{NOW - middle}s", "--json")
    assert late[0]["time"] >= middle
    assert sum(row["deltas"] for row in late) == sum(
        row["deltas"] for row in rows if row["time"] >= middle
    )


# -- formats


@pytest.fixture
def small(
    tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch
) -> Ask:
    """Two bursts with an empty bucket between."""
    talk = Talk(sid_of(1))
    lines = [*asking(talk), *answering(talk, 130_000)]
    ingest(tmp_path / "store", [write(tmp_path / "log.jsonl", lines)])
    return asker(capsysbinary, monkeypatch, NOW, "--data-dir", tmp_path / "store")


SMALL: list[Row] = [
    {"time": START // 1000, "deltas": 4, "tools": 1, "tool_seconds": None},
    {"time": START // 1000 + 60, "deltas": 0, "tools": 0, "tool_seconds": None},
    {"time": START // 1000 + 120, "deltas": 1, "tools": 0, "tool_seconds": 129.82},
]
ASKED = ("timeseries", sid_of(1), "--metric", "deltas,tools", "--metric", "tool_seconds")


def test_json_and_csv(small: Ask) -> None:
    assert small(*ASKED, "--json") == SMALL
    title, *lines = csv.reader(io.StringIO(small(*ASKED).decode()))
    assert title == ["time", "deltas", "tools", "tool_seconds"]
    assert lines == [["" if v is None else str(v) for v in row.values()] for row in SMALL]


def test_prometheus_text(small: Ask) -> None:
    text = small(*ASKED, "--format", "prometheus").decode()
    lines = text.splitlines()
    assert lines[-1] == "# EOF"
    assert "# TYPE agentmon_session_deltas gauge" in lines
    label = f'{{sid="{sid_of(1)}"}}'
    for name in ("deltas", "tools", "tool_seconds"):
        full = f"agentmon_session_{name}{label}"
        samples = [line.split() for line in lines if line.startswith(full)]
        known = [row for row in SMALL if row[name] is not None]
        assert samples == [[full, str(row[name]), str(row["time"])] for row in known]
        at = [number for number, line in enumerate(lines) if line.startswith(full)]
        assert at == list(range(at[0], at[0] + len(at)))  # a family stands together


def test_parquet(small: Ask, tmp_path: Path) -> None:
    parquet: Any = pytest.importorskip("pyarrow.parquet")
    out = tmp_path / "run.parquet"
    small(*ASKED, "--format", "parquet", "--output", out)
    table = parquet.read_table(out)
    rows = [{**row, "time": int(row["time"].timestamp())} for row in table.to_pylist()]
    assert rows == SMALL
    assert [str(field.type) for field in table.schema] == [
        *("timestamp[us, tz=UTC]", "int64", "int64", "double")
    ]
    piped = tmp_path / "piped.parquet"
    piped.write_bytes(small(*ASKED, "--format", "parquet"))
    assert parquet.read_table(piped).equals(table)


def test_without_pyarrow_it_says_what_to_do(
    small: Ask, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def find_spec(_: str) -> None:
        return None

    monkeypatch.setattr(store_parquet, "find_spec", find_spec)
    with pytest.raises(click.ClickException, match=r"agentmon\[parquet\]"):
        small(*ASKED, "--format", "parquet", "--output", tmp_path / "run.parquet")
    assert not (tmp_path / "run.parquet").exists()


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--metric", "nonsense"], "there is no metric 'nonsense'"),
        (["--interval", "0"], "above zero"),
        (["--interval", "50ms", "--metric", "rounds,prompts"], ""),
        (["--interval", "0.000001"], "give a longer one"),
    ],
)
def test_bad_requests_are_one_sentence(small: Ask, args: list[str], said: str) -> None:
    if not said:
        assert len(small("timeseries", sid_of(1), *args, "--json")) > 2_000
        return
    with pytest.raises(click.ClickException, match=said):
        small("timeseries", sid_of(1), *args)


def test_a_session_of_one_moment(
    tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = [Talk(sid_of(1)).prompt(0, "hi", "u1", round_id="r")]
    ingest(tmp_path / "store", [write(tmp_path / "log.jsonl", lines)])
    ask = asker(capsysbinary, monkeypatch, NOW, "--data-dir", tmp_path / "store")
    assert ask("timeseries", sid_of(1), "--json") == []
    assert ask("timeseries", sid_of(1)).splitlines() == [
        b"time,tokens,deltas,bytes,messages,tools,errors"
    ]
    (row,) = ask("timeseries", sid_of(1), "--metric", "prompts,round_seconds", "--json")
    assert (row["prompts"], row["round_seconds"]) == (1, None)


def test_each_metric_says_what_it_counts(small: Ask) -> None:
    text = small("timeseries", "--list").decode()
    assert {line.split()[0] for line in text.splitlines()} == set(series.METRICS)
    with pytest.raises(click.UsageError, match="give a SID"):
        small("timeseries")
