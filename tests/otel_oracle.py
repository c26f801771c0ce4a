"""What a log of the wire should become as spans: worked out from the oracle's rows and raw lines,
with nothing of the program."""

import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from tests.oracle import dump_of

Row = dict[str, Any]


def nanoseconds(seconds: float) -> int:
    return round(seconds * 1000) * 1_000_000


def prompts_of(log: Path) -> dict[str, list[float]]:
    """The times of the prompts of each session."""
    found: dict[str, list[float]] = {}
    for line in log.read_bytes().splitlines():
        row = json.loads(line)
        if row["event"] == "claude.user_prompt":
            inner = json.loads(row["line"].removeprefix("data: "))
            found.setdefault(row["sid"], []).append(_epoch(inner["timestamp"]))
    return found


def _epoch(stamp: str) -> float:
    return datetime.fromisoformat(stamp.replace("Z", "+00:00")).timestamp()


class Expected:
    """The spans of every complete round of a log, as plain values."""

    def __init__(self, log: Path) -> None:
        rows: list[Row] = [*dump_of([log])]
        self.sessions: dict[str, Row] = {
            row["sid"]: row for row in rows if row["kind"] == "session"
        }
        self.rounds: list[Row] = [
            row for row in rows if row["kind"] == "round" and row["is_complete"]
        ]
        self.messages: list[Row] = [row for row in rows if row["kind"] == "message"]
        self.blocks: list[Row] = [row for row in rows if row["kind"] == "block"]
        self.results: dict[str, Row] = {
            row["tool_use_id"]: row for row in rows if row["kind"] == "tool_result"
        }
        self._prompts = prompts_of(log)

    def of(self, round_: Row) -> list[Row]:
        """Messages of a round, oldest first."""
        return [row for row in self.messages if row["round_id"] == round_["round_id"]]

    def calls(self, message: Row) -> Iterator[tuple[Row, Row]]:
        """Calls of a message that came back, with their results."""
        for block in self.blocks:
            if block["flow_id"] == message["flow_id"] and block["tool_use_id"] in self.results:
                yield block, self.results[block["tool_use_id"]]

    def asked(self, message: Row, began: float | None) -> float | None:
        """The last prompt or result of its thread that no earlier message had answered."""
        thread = [
            row
            for row in self.messages
            if row["round_id"] == message["round_id"] and row["agent_id"] == message["agent_id"]
        ]
        earlier = [row["start_time"] for row in thread if row["start_time"] < message["start_time"]]
        results = [result["result_time"] for row in thread for _, result in self.calls(row)]
        begun = [began] if message["agent_id"] else self._prompts[message["sid"]]
        triggers = [at for at in [*results, *begun] if at is not None]
        after = max(earlier, default=float("-inf"))
        return max((at for at in triggers if after < at <= message["start_time"]), default=None)

    def input_tokens(self, message: Row) -> int:
        """All of them: Anthropic's own count leaves out what a cache took part in."""
        names = ("input_tokens", "cache_read_tokens", "cache_write_tokens")
        return sum(message[name] or 0 for name in names)
