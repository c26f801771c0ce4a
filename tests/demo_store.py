"""The store of the demo, ingested once and copied for each test that changes or asks it."""

import atexit
import shutil
import tempfile
from functools import cache
from pathlib import Path

from tests.differential import ingest

DEMO = Path(__file__).parents[1] / "agentmon" / "demo.jsonl"


def demo_store(data_dir: Path) -> Path:
    """What `ingest(data_dir, [DEMO])` leaves in a new store."""
    return Path(shutil.copytree(_ingested(), data_dir, dirs_exist_ok=True))


@cache
def _ingested() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="demo-store-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    ingest(folder / "store", [DEMO])
    return folder / "store"
