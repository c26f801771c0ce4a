"""Golden files: the JSON that commands print, pinned. A change to one is a CHANGELOG entry.

`AGENTMON_GOLDEN=write python -m pytest …` writes them anew; look at the diff before you commit it.
"""

import json
import os
from pathlib import Path

FOLDER = Path(__file__).parent / "data" / "golden"


def check(name: str, value: object) -> None:
    """Compares a value with `tests/data/golden/<name>.json`."""
    path = FOLDER / f"{name}.json"
    text = json.dumps(value, ensure_ascii=False, indent=2) + "\n"
    if os.environ.get("AGENTMON_GOLDEN") == "write":
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    assert path.is_file(), f"{path} is missing: AGENTMON_GOLDEN=write makes it"
    assert json.loads(text) == json.loads(path.read_text("utf-8"))
