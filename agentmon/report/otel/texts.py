"""The content of spans, on request only: prompts, answers, arguments, results; redacted, cut."""

import json
from collections.abc import Callable

from agentmon.report.roundtree import AgentPart, BlockPart, MessagePart, RoundTree
from agentmon.store import read

LIMIT = 65_536
"""Characters of one attribute that are exported; what is beyond is counted."""

SLACK = 4_096
"""Characters read beyond it, so that a secret at the cut is recognised before it is cut."""


class Texts:
    """What is said of content: nothing at all, but names and descriptions without homes.

    `redact` is applied to whatever leaves, content or not.
    """

    def __init__(self, redact: Callable[[str], str]) -> None:
        self._redact = redact

    def told(self, text: str | None) -> str | None:
        """A name or a description."""
        return None if text is None else self._redact(text)

    def prompts(self, tree: RoundTree) -> str | None:
        del tree
        return None

    def answer(self, agent: AgentPart) -> str | None:
        del agent
        return None

    def message(self, message: MessagePart) -> str | None:
        del message
        return None

    def arguments(self, block: BlockPart) -> str | None:
        del block
        return None

    def result(self, block: BlockPart) -> str | None:
        del block
        return None


class FullTexts(Texts):
    """The content too. `has_parts`: messages as JSON, as the newer conventions want them."""

    def __init__(
        self,
        redact: Callable[[str], str],
        block_text: Callable[[read.BlockRow, int], str],
        result_text: Callable[[str, int], str | None],
        *,
        has_parts: bool,
    ) -> None:
        super().__init__(redact)
        self._block_text = block_text
        self._result_text = result_text
        self._has_parts = has_parts

    def prompts(self, tree: RoundTree) -> str | None:
        texts = [self._cut(prompt.text) for prompt in tree.prompts]
        if not self._has_parts:
            return "\n\n".join(texts)
        return _json(
            [{"role": "user", "parts": [{"type": "text", "content": text}]} for text in texts]
        )

    def answer(self, agent: AgentPart) -> str | None:
        """What it said last."""
        return self.message(agent.messages[-1]) if agent.messages else None

    def message(self, message: MessagePart) -> str | None:
        parts = [self._part(block) for block in message.blocks]
        if not self._has_parts:
            return "\n\n".join(str(part["content"]) for part in parts if part["type"] == "text")
        reason = message.row.stop_reason or ("error" if message.row.is_broken else "")
        return _json([{"role": "assistant", "parts": parts, "finish_reason": reason}])

    def _part(self, block: BlockPart) -> dict[str, object]:
        row = block.row
        text = self._cut(self._block_text(row, LIMIT + SLACK))
        if block.is_call:
            return {
                "type": "tool_call",
                "id": row.tool_use_id,
                "name": row.tool_name or "",
                "arguments": _parsed(text),
            }
        kind = {"thinking": "reasoning", None: "text"}.get(row.block_type, row.block_type)
        return {"type": kind, "content": text}

    def arguments(self, block: BlockPart) -> str | None:
        return self._cut(self._block_text(block.row, LIMIT + SLACK))

    def result(self, block: BlockPart) -> str | None:
        text = self._result_text(block.row.tool_use_id or "", LIMIT + SLACK)
        return None if text is None else self._cut(text)

    def _cut(self, text: str) -> str:
        """Redacted first, then cut: half a secret has no shape."""
        text = self._redact(text)
        if len(text) <= LIMIT:
            return text
        return f"{text[:LIMIT]}… [cut]"


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _parsed(text: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text
