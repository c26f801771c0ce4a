"""Rows of Codex in a wire log, as the patched client writes them: a small pen for tests."""

import json
from collections.abc import Iterable
from typing import Any

from agentmon.core.events import Delta
from agentmon.sources.codex_wire import CodexDecoder
from agentmon.sources.decoding import Decoded, Format
from tests.stream_tools import decode, of

FORMAT = Format("codex-wire", "wire", "codex rows", lambda rows: True, CodexDecoder)

SID = "019c0000-0000-7000-8000-000000000001"
TURN = "019c0000-0000-7000-8000-0000000000a1"
Row = dict[str, Any]

MESSAGE: Row = {"id": "msg_1", "type": "message", "role": "assistant", "content": []}
CALL: Row = {"id": "fc_1", "type": "function_call", "call_id": "call_1", "name": "exec_command"}


def raw(name: str, inner: Row, count: int = 0, *, pid: int = 5150, **more: object) -> bytes:
    """A row of the patched client: no inner time, one flow for all responses of a session."""
    line = {"type": name, **inner}
    row = {
        "event": name,
        "t": f"2025-11-23T20:00:{count % 60:02d}.000",
        "line": "data: " + json.dumps(line),
        "metadata": json.dumps({"turn_id": TURN, "ver": "codex.0.60.1", "pid": pid, "cwd": "/p"}),
        "flow_id": SID,
        "data_count": count,
        "sid": SID,
        **more,
    }
    return json.dumps(row).encode()


def turn(name: str, **payload: object) -> bytes:
    return raw(name, {"payload": payload}, flow_id=f"{SID}__turn_{TURN}")


def begun(response: str) -> bytes:
    body: Row = {"id": response, "model": "gpt-5-codex", "status": "in_progress", "output": []}
    return raw("response.created", {"sequence_number": 0, "response": body})


def added(sequence: int, index: int, item: Row) -> bytes:
    body = {"sequence_number": sequence, "output_index": index, "item": item}
    return raw("response.output_item.added", body)


def done(sequence: int, index: int, item: Row) -> bytes:
    body = {"sequence_number": sequence, "output_index": index, "item": item}
    return raw("response.output_item.done", body)


def delta(sequence: int, item_id: str, text: str, index: int | None = 0) -> bytes:
    place = {} if index is None else {"output_index": index}
    body = {"sequence_number": sequence, "item_id": item_id, **place, "delta": text}
    return raw("response.output_text.delta", body)


def read(rows: Iterable[bytes]) -> list[Decoded]:
    return decode(FORMAT, b"\n".join(rows))


def one(row: bytes) -> list[Decoded]:
    return read([row])


def texts(events: Iterable[Decoded]) -> dict[str, str]:
    """The streamed text of each response."""
    out: dict[str, str] = {}
    for event in of([*events], Delta):
        out[event.flow] = out.get(event.flow, "") + (event.text or "")
    return out
