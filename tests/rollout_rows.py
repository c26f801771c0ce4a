"""Records of a rollout: a small pen for tests."""

import json
from collections.abc import Iterable
from typing import Any

from msgspec import Struct, field

from agentmon.core.events import Told
from agentmon.sources.decoding import Context, Decoded
from agentmon.sources.rollouts import RolloutDecoder
from tests.stream_tools import NOW, of

SID = "019c0000-0000-7000-8000-000000000001"
CHILD = "019c0000-0000-7000-8000-000000000002"
TURN = "019c0000-0000-7000-8000-0000000000a1"
Row = dict[str, Any]


def record(kind: str, **payload: object) -> bytes:
    row = {"timestamp": "2026-02-20T11:40:23.410Z", "type": kind, "payload": payload}
    return json.dumps(row).encode()


def meta(**more: object) -> bytes:
    return record("session_meta", **{"id": SID, "cwd": "/p", "cli_version": "0.104.0", **more})


def event(kind: str, **fields: object) -> bytes:
    return record("event_msg", type=kind, **fields)


def item(payload: Row, through: int | None = None) -> bytes:
    row = json.loads(record("response_item", **payload))
    if through is not None:
        row["metadata"] = {"sampled_through_sequence": through}
    return json.dumps(row).encode()


def assistant(text: str, through: int | None = None) -> bytes:
    content = [{"type": "output_text", "text": text}]
    return item({"type": "message", "role": "assistant", "content": content}, through)


def user(text: str) -> bytes:
    content = [{"type": "input_text", "text": text}]
    return item({"type": "message", "role": "user", "content": content})


def call(call_id: str, name: str = "shell", arguments: str = "{}") -> bytes:
    given = {"name": name, "arguments": arguments, "call_id": call_id}
    return item({"type": "function_call", **given})


def output(call_id: str, text: str = "ok") -> bytes:
    return item({"type": "function_call_output", "call_id": call_id, "output": text})


def tokens(total: int | None, last: int | None = None) -> bytes:
    """A `token_count`: input tokens of the thread so far, and of the last request of it."""
    if total is None:
        return event("token_count", info=None, rate_limits=None)
    info = {
        "total_token_usage": {"input_tokens": total, "output_tokens": total // 10},
        "last_token_usage": {"input_tokens": last or total, "output_tokens": 10},
    }
    return event("token_count", info=info)


def read(rows: Iterable[bytes], path: str = "/log") -> list[Decoded]:
    decoder = RolloutDecoder(Context(path, lambda: NOW))
    out: list[Decoded] = []
    at = 0
    for row in rows:
        out += decoder.decode(row, at)
        at += len(row) + 1
    return out


class Known(Struct):
    """A message as one side tells it."""

    agent_id: str | None = None
    model: str | None = None
    is_done: bool = False
    usage: dict[str, int] = field(default_factory=dict[str, int])
    blocks: list[tuple[str, str | None, str | None, str]] = field(
        default_factory=list[tuple[str, str | None, str | None, str]]
    )


def rollout_messages(events: Iterable[Decoded]) -> dict[str, Known]:
    """Of rollouts: by the name that a message gets in the end, else by its group."""
    told = of([*events], Told)
    names = {one.group: one.message_id for one in told if one.message_id}
    out: dict[str, Known] = {}
    for one in told:
        name = names.get(one.group) or one.message_id or one.group
        message = out.setdefault(name, Known(one.meta.agent_id))
        message.model = one.model or message.model
        message.is_done |= one.is_done
        message.usage |= one.usage
        message.blocks += [
            (block.block_type, block.tool_use_id, block.tool_name, block.text)
            for block in one.blocks
        ]
    return out
