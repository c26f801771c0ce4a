"""Writes agentmon/demo.jsonl, the recording behind `agentmon --demo`.

Run as `python -m tests.tools.make_demo`. Deterministic: the story told with one seed is one file.
"""

from pathlib import Path

from tests.tools.demo_story import tell
from tests.tools.demo_tape import Tape

TARGET = Path(__file__).parents[2] / "agentmon" / "demo.jsonl"
SEED = 20261120


def build() -> bytes:
    """The whole recording."""
    tape = Tape(SEED)
    tell(tape)
    return b"".join(tape.lines())


if __name__ == "__main__":
    recording = build()
    TARGET.write_bytes(recording)
    print(f"{TARGET}: {len(recording.splitlines()):,} lines, {len(recording):,} bytes")
