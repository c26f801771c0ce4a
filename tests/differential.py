"""Runs the program over inputs in this process and compares its dump with the oracle's."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from agentmon.engine.ingest import Ingestion
from agentmon.report.dump import Dump
from agentmon.store.db import open_reading
from tests.oracle import dump_of

Row = dict[str, Any]

_IDS = {
    "session": ("sid",),
    "round": ("sid", "round_id"),
    "message": ("flow_id",),
    "block": ("flow_id", "index"),
    "tool_result": ("tool_use_id",),
    "counts": (),
}


def ingest(data_dir: Path, paths: Sequence[Path], *, batch_lines: int = 10_000) -> None:
    """One run of `agentmon ingest`."""
    with Ingestion(data_dir) as ingestion:
        ingestion.read_all([str(path) for path in paths], batch_lines=batch_lines)


def dumped(data_dir: Path) -> list[Row]:
    """What `agentmon dump` prints."""
    conn = open_reading(data_dir)
    try:
        return [json.loads(json.dumps(row)) for row in Dump(conn, data_dir).records()]
    finally:
        conn.close()


def of_file(data_dir: Path, log: Path) -> list[Row]:
    ingest(data_dir, [log])
    return dumped(data_dir)


def differences(found: Sequence[Row], expected: Sequence[Row]) -> list[str]:
    """One sentence for each record that is missing, too many or other than expected."""
    ours, theirs = _by_id(found), _by_id(expected)
    said = [f"missing: {_short(theirs[key])}" for key in theirs if key not in ours]
    said += [f"too many: {_short(ours[key])}" for key in ours if key not in theirs]
    for key, row in ours.items():
        other = theirs.get(key, row)
        for name in sorted({*row, *other}):
            if row.get(name) != other.get(name):
                said.append(f"{key}: {name} is {row.get(name)!r}, expected {other.get(name)!r}")
    if not said and list(found) != list(expected):
        said.append(f"the order is {list(ours)}, expected {list(theirs)}")
    return said


def _by_id(rows: Sequence[Row]) -> dict[str, Row]:
    found: dict[str, Row] = {}
    for row in rows:
        key = " ".join(str(row[name]) for name in ("kind", *_IDS[row["kind"]]))
        found[key if key not in found else f"{key} again"] = row
    return found


def _short(row: Row) -> str:
    return json.dumps(row, ensure_ascii=False)[:400]


def assert_same(found: Sequence[Row], expected: Sequence[Row]) -> None:
    said = differences(found, expected)
    assert not said, f"{len(said)} differences\n" + "\n".join(said[:20])


def assert_like_oracle(data_dir: Path, log: Path) -> None:
    """Ingests a log into an empty store; its dump must be what the oracle says."""
    assert_same(of_file(data_dir, log), dump_of([log]))
