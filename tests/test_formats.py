"""Which format an input is of."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentmon.sources.formats import (
    NAMES,
    SAMPLE,
    UnknownFormat,
    by_name,
    formats,
    recognise,
)
from tests.stream_tools import DATA, SHARED, context

SID = "5b1d2c3e-0000-4000-8000-000000000001"

FIRST_LINES: dict[str, list[dict[str, object]]] = {
    "sse-lines": [
        {"event": "claude.message_stop", "t": "2025-11-21T20:00:01.481", "line": "data: {}"},
        {"t": "2025-11-12T20:00:01.250", "flow_id": "m", "sid": SID, "line": "event: claude.x"},
        {"event": "codex.response.created", "t": "2025-11-23T20:00:02.1", "line": "", "sid": SID},
    ],
    "transcript": [
        {"type": "user", "sessionId": SID, "uuid": "u", "parentUuid": None, "message": {}},
        {"type": "assistant", "sessionId": SID, "session_id": SID, "uuid": "u", "message": {}},
    ],
    "rollout": [{"timestamp": "2026-01-01T00:00:00Z", "type": "session_meta", "payload": {}}],
    "codex-exec": [{"type": "thread.started", "thread_id": SID}],
    "stream-json": [
        {"type": "system", "subtype": "init", "session_id": SID},
        {"type": "user", "message": {"content": []}},
        {"type": "brand_new", "session_id": SID},
        {"type": "control_request", "request_id": "r1", "request": {}},
    ],
    "sse": [
        {"type": "message_start", "message": {"id": "m"}},
        {"type": "response.created", "response": {"id": "r"}},
        {"type": "error", "error": {"type": "overloaded_error", "message": ""}},
        {"object": "chat.completion.chunk", "choices": []},
    ],
    "hooks": [
        {"session_id": SID, "hook_event_name": "Stop"},
        {"t": 1.0, "source": "codex", "payload": {"session_id": SID, "hook_event_name": "Stop"}},
    ],
}
CASES = [(name, row) for name, rows in FIRST_LINES.items() for row in rows]

EXAMPLES = {
    "A_sse_claude": "sse-lines",
    "B_sse_codex": "sse-lines",
    "C_transcript": "transcript",
    "D_rollout": "rollout",
    "E_stream_json": "stream-json",
    "F_raw_sse": "sse",
    "G_hooks": "hooks",
}
FOLDERS = {
    "anthropic_sse": "sse",
    "codex_exec": "codex-exec",
    "codex_rollouts": "rollout",
    "sse_lines": "sse-lines",
    "claude_transcripts": "transcript",
}
OTHERS = ("tap", "seen", "sent", "notes", "snapshots")
"""What the recorder of a run noted for itself."""


def name_of(head: bytes) -> str | None:
    found = recognise(head)
    return found.name if found is not None else None


@pytest.mark.parametrize(("name", "row"), CASES)
def test_one_line_is_enough(name: str, row: dict[str, object]) -> None:
    line = json.dumps(row).encode()
    for head in (line + b"\n", b"\xef\xbb\xbf" + line, b"\r\n \n" + line + b"\r\n", 3 * line):
        assert name_of(head) == name
    assert name_of(b"[notice] started\n\n" + line + b"\n") == name
    assert name_of(b'{"type":"torn","x\n' + line + b"\n") == name


@pytest.mark.parametrize(("name", "row"), CASES)
def test_a_first_line_longer_than_the_sample(name: str, row: dict[str, object]) -> None:
    line = json.dumps({**row, "more": "x" * 2 * SAMPLE}).encode()
    assert name_of(line[:SAMPLE]) == name


def test_the_huge_line_of_a_wire_log() -> None:
    line = json.dumps({"event": "claude.tool_result", "t": "2025", "line": "x" * 2 * SAMPLE})
    assert name_of(line.encode()[:SAMPLE]) == "sse-lines"


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("partial.stream.jsonl", "stream-json"),
        ("whole.stream.jsonl", "stream-json"),
        ("anthropic.sse", "sse"),
        ("openai.sse", "sse"),
        ("hooks.jsonl", "hooks"),
    ],
)
def test_recordings(file: str, name: str) -> None:
    assert name_of((DATA / file).read_bytes()[:SAMPLE]) == name


def test_what_stands_before_an_event_stream() -> None:
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n"
    assert name_of(head) is None
    assert name_of(head + b": comment\nevent: x\n") is None
    assert name_of(head + b'event: x\ndata: {"type":"ping"}\n') == "sse"
    assert name_of(b'data: {"type":"ping"}\n') == "sse"


@pytest.mark.parametrize(
    "head", [b"", b"\n \r\n", b'{"ev', b"plain text\nmore\n", b"[1]\n", b"{\n"]
)
def test_nothing_to_tell_by(head: bytes) -> None:
    assert recognise(head) is None


def test_json_lines_that_no_format_knows() -> None:
    """They are read as a wire log if a person named them, and passed over if found."""
    assert name_of(b'{"a":1}\n') == "sse-lines"
    assert name_of(b'{"a":1}') is None  # more may come
    assert recognise(b'{"a":1}\n', strict=True) is None


def test_names() -> None:
    assert [found.name for found in formats()] == [*NAMES]
    for name in NAMES:
        found = by_name(name)
        decoder = found.open(context())
        assert decoder.decode(b"") == []
        assert decoder.save() == b""
        assert found.what
    with pytest.raises(UnknownFormat) as caught:
        by_name("xml")
    assert all(name in str(caught.value) for name in ("xml", *NAMES))


def test_a_wire_log_costs_no_other_decoder() -> None:
    """Run apart: other tests have imported everything."""
    code = (
        "import sys; from agentmon.sources.formats import recognise\n"
        'recognise(b\'{"event":"claude.x","line":"","sid":"s"}\\n\')\n'
        "names = ('hooks', 'stream_json', 'codex_exec', 'raw_sse', 'rollouts', 'transcripts')\n"
        "sys.exit(any('agentmon.sources.' + name in sys.modules for name in names))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@given(st.binary())
def test_any_bytes_are_looked_at(head: bytes) -> None:
    recognise(head)
    recognise(b"{" + head)
    recognise(b'data: {"type":' + head)


@pytest.mark.skipif(not SHARED.is_dir(), reason="no recordings beside the project")
def test_samples() -> None:
    wrong: list[tuple[str, str | None]] = []
    for path in sorted((SHARED / "samples").glob("*/*")):
        expected = FOLDERS.get(path.parent.name) or EXAMPLES.get(path.stem)
        if path.parent.name == "stream_json" and path.suffix != ".json":
            expected = "stream-json"
        elif path.parent.name == "openai_sse":
            expected = "sse" if path.suffix == ".txt" else "sse-lines"
        elif "ccusage" in path.name and "chat" in path.name:
            continue  # lines cut down to their usage
        found = name_of(path.read_bytes()[:SAMPLE])
        if found != expected:
            wrong.append((path.name, found))
    assert not wrong


@pytest.mark.skipif(not SHARED.is_dir(), reason="no recordings beside the project")
def test_captures() -> None:
    wrong: list[tuple[str, str | None]] = []
    for path in sorted((SHARED / "captures").rglob("*.jsonl")):
        found = name_of(path.read_bytes()[:SAMPLE])
        if found != _expected(path):
            wrong.append((path.name, found))
    assert not wrong


def _expected(path: Path) -> str:
    if path.stem in OTHERS or path.stem == "sse_lines":
        return "sse-lines"
    if path.stem == "hooks":
        return "hooks"
    if path.name.endswith(".stream.jsonl"):
        return "codex-exec" if path.name.startswith("x.") else "stream-json"
    return "rollout" if path.name.startswith("rollout-") else "transcript"
