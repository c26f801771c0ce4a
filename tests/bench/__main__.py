"""`python -m tests.bench [ROW…] [--events N] [--full] [--json FILE] [--keep DIR]`

Rows are measured in the order of the table. Exit code 1 if a limit is missed.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec

from tests.bench import (
    rows_discover,
    rows_ingest,
    rows_kill,
    rows_live,
    rows_messages,
    rows_replay,
    rows_retention,
    rows_scale,
    rows_search,
    rows_ship,
    rows_start,
    rows_talk,
    table,
)
from tests.bench.bench import Bench

ROWS = {
    "decode": rows_ingest.decode,
    "memory": rows_ingest.memory,
    "timing": rows_ingest.timing,
    "version": rows_start.version,
    "frame": rows_start.frame,
    "restart": rows_start.restart,
    "discover": rows_discover.discover,
    "scale": rows_scale.scale,
    "idle": rows_live.idle,
    "keys": rows_live.keys,
    "kill": rows_kill.kill,
    "retention": rows_retention.retention,
    "search": rows_search.search_,
    "messages": rows_messages.messages,
    "talk": rows_talk.talk,
    "ship": rows_ship.ship,
    "index": rows_replay.index,
    "seek": rows_replay.seek,
}


def arguments(given: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description="The benchmark.")
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"of {', '.join(ROWS)}")
    parser.add_argument("--events", type=int, default=1_000_000, help="size of the log (1000000)")
    parser.add_argument("--full", action="store_true", help="restart and discover over 1 GB")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows there too")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="keep logs and stores in there")
    found = parser.parse_args(given)
    unknown = set(found.rows) - set(ROWS)
    if unknown:
        parser.error(f"there is no row {', '.join(sorted(unknown))}; there are {', '.join(ROWS)}")
    return found


def run(bench: Bench, names: Sequence[str]) -> list[table.Row]:
    """Measures rows; one that fails is reported as missed, and the others go on."""
    rows: list[table.Row] = []
    for name in names:
        print(f"measuring {name} …", file=sys.stderr, flush=True)
        try:
            row = ROWS[name](bench)
        except Exception as problem:
            row = table.failed(name, problem)
        print(table.text([row]), file=sys.stderr, flush=True)
        rows.append(row)
    return rows


def main() -> int:
    given = arguments()
    is_named = "restart" in given.rows
    bench = Bench(given.events, full=given.full or is_named, keep=given.keep)
    try:
        rows = run(bench, given.rows or list(ROWS))
    finally:
        bench.close()
    print(table.text(rows))
    if given.json is not None:
        given.json.write_bytes(msgspec.json.format(msgspec.json.encode(rows)))
    return 0 if table.all_reached(rows) else 1


if __name__ == "__main__":
    sys.exit(main())
