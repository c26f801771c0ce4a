"""What the fold asks of the store besides streams: prompts by what they are, told blocks."""

import sqlite3
from typing import Any

from agentmon.core.model import Message, PromptState, ToldText


class ToldLoader:
    """A part of `StoreLoader`."""

    def __init__(self, conn: sqlite3.Connection) -> None:
        self._conn = conn

    def _one(self, sql: str, *args: object) -> tuple[Any, ...] | None:
        return self._conn.execute(sql, args).fetchone()

    def _all(self, sql: str, *args: object) -> list[tuple[Any, ...]]:
        return self._conn.execute(sql, args).fetchall()

    def told_prompt(self, sid: str, told_round: str) -> PromptState | None:
        row = self._one(f"{PROMPT} WHERE sid = ? AND told_round = ? LIMIT 1", sid, told_round)
        return prompt_of_row(row) if row is not None else None

    def like_prompt(
        self, sid: str, text: str, since: float, until: float, kind: int
    ) -> PromptState | None:
        sql = f"{PROMPT} WHERE sid = ? AND time BETWEEN ? AND ? AND NOT kinds & ?"
        rows = self._all(sql, sid, since, until, kind)
        found = [prompt for prompt in map(prompt_of_row, rows) if prompt.text.strip() == text]
        middle = (since + until) / 2
        return min(found, key=lambda prompt: abs(prompt.time - middle), default=None)

    def prompt_of(self, sid: str, message_uuid: str) -> PromptState | None:
        row = self._one(f"{PROMPT} WHERE sid = ? AND message_uuid = ?", sid, message_uuid)
        return prompt_of_row(row) if row is not None else None

    def add_told(self, message: Message) -> None:
        sql = """SELECT block_index, item_id, time, bytes, sha256, is_exact, kind, text, is_cut
                 FROM told_blocks WHERE flow_id = ?"""
        for index, item_id, time, size, digest, exact, *rest in self._all(sql, message.flow_id):
            block = message.blocks.get(index)
            if block is not None:
                kind, text, cut = rest
                block.told = ToldText(
                    item_id, time, size, digest, bool(exact), kind, text, bool(cut), is_dirty=False
                )

    def item(self, item_id: str) -> tuple[str, int] | None:
        return self._one(
            "SELECT flow_id, block_index FROM told_blocks WHERE item_id = ? LIMIT 1", item_id
        )


PROMPT = """
SELECT sid, ordinal, pid, time, message_uuid, text, own_round, is_queued, answer_time,
       answer_round, round_id, told_round, kinds, told_end
FROM prompts"""


def prompt_of_row(row: tuple[Any, ...]) -> PromptState:
    values = list(row)
    values[7] = bool(values[7])
    return PromptState(*values)
