"""No credential gets into any file, whatever is recorded."""

import json
import threading
from pathlib import Path
from typing import Any

import pytest

from agentmon.capture.log import CaptureLog
from agentmon.capture.recorder import Recorder
from agentmon.capture.requests import RequestLog
from tests.captured import Clock, process, wire
from tests.heard import SID, stream, user

KEY = "sk-ant-api03-" + "Zq9" * 20
OPAQUE = "correct-horse-battery"
"""A credential without a shape that gives it away."""


@pytest.fixture
def recorder(tmp_path: Path) -> Recorder:
    clock = Clock()
    requests = RequestLog(CaptureLog(tmp_path / "requests.jsonl", clock=clock))
    return Recorder(CaptureLog(tmp_path / "sse_lines.jsonl", clock=clock), clock, requests)


def requests(tmp_path: Path) -> list[dict[str, Any]]:
    data = (tmp_path / "requests.jsonl").read_bytes()
    return [json.loads(line) for line in data.split(b"\n") if line]


def test_no_file_has_a_credential(recorder: Recorder, tmp_path: Path) -> None:
    headers = [
        ("X-Claude-Code-Session-Id", SID),
        ("Authorization", f"Bearer {OPAQUE}"),
        ("x-api-key", KEY),
        ("Proxy-Authorization", OPAQUE),
        ("Cookie", f"session={OPAQUE}"),
        ("X-My-Token", OPAQUE),
        ("X-Note", f"uses {KEY}"),
    ]
    body = {
        "messages": [user("look")],
        "tools": [{"name": "fetch", "authorization_token": OPAQUE}],
        "mcp_servers": [{"url": f"https://u:{OPAQUE}@h/", "headers": {"X-Api-Key": OPAQUE}}],
        "note": f"the key is {KEY}",
    }
    path = f"/v1/messages?beta=true&api_key={OPAQUE}&key={KEY}"
    exchange = recorder.begin("POST", path, headers, json.dumps(body).encode(), process(1, "/p"))
    exchange.response(200, [("content-type", "text/event-stream"), ("set-cookie", OPAQUE)])
    for event in stream():
        exchange.feed(wire(event))
    exchange.end("complete")
    recorder.begin("GET", f"/other?token={OPAQUE}", headers, b"", None).end("complete")
    recorder.close(lambda pid: False)
    assert recorder.faults == 0
    for file in tmp_path.iterdir():
        data = file.read_bytes()
        assert data
        assert KEY.encode() not in data
        assert OPAQUE.encode() not in data
    asked, other = requests(tmp_path)
    assert (asked["method"], other["path"]) == ("POST", "/other?token=[redacted:parameter]")
    assert asked["path"] == "/v1/messages?beta=true&api_key=[redacted:parameter]&key=" + (
        "[redacted:parameter]"
    )
    assert dict(asked["headers"])["x-api-key"] == "[redacted:header]"
    assert dict(asked["headers"])["X-Claude-Code-Session-Id"] == SID
    assert asked["body"]["messages"] == [user("look")]
    assert asked["body"]["note"] == "the key is [redacted:anthropic]"


def test_requests_are_not_recorded_unless_asked_for(tmp_path: Path) -> None:
    recorder = Recorder(CaptureLog(tmp_path / "sse_lines.jsonl"))
    body = json.dumps({"messages": [user("look")], "system": "SYSTEM"}).encode()
    recorder.begin("POST", "/v1/messages", [("X-Claude-Code-Session-Id", SID)], body, None)
    recorder.close(lambda pid: True)
    assert [file.name for file in tmp_path.iterdir()] == ["sse_lines.jsonl"]
    assert b"SYSTEM" not in (tmp_path / "sse_lines.jsonl").read_bytes()


def test_bodies_that_can_not_be_read_are_told_by_their_size(
    recorder: Recorder, tmp_path: Path
) -> None:
    for body in (b"not JSON " + KEY.encode(), b"{" * 100_000, b'"' + b"x" * (9 << 20) + b'"'):
        recorder.begin("POST", "/v1/messages", [], body, None).end("client_gone")
    recorder.close(lambda pid: True)
    assert [row["body"] for row in requests(tmp_path)] == [None] * 3
    assert [row["bytes"] for row in requests(tmp_path)] == [9 + len(KEY), 100_000, (9 << 20) + 2]


def test_requests_that_come_too_quickly_are_counted(
    recorder: Recorder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = recorder.requests
    assert found is not None

    def never(thread: threading.Thread) -> None:
        pass

    monkeypatch.setattr(threading.Thread, "start", never)
    for _ in range(40):
        recorder.begin("GET", "/", [], b"", None)
    assert found.left_out == 8
    monkeypatch.undo()
