"""Prometheus: the numbers are the log's, the format holds any name, the server holds any client."""

import json
import re
import signal
import socket
import threading
import urllib.error
import urllib.request
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from agentmon.addresses import listen_address
from agentmon.cli import main
from agentmon.commands import options
from agentmon.core.health import Limits
from agentmon.report import serving
from agentmon.report.prometheus import Family, Metrics, bounded, text
from agentmon.store.read_metrics import ToolSum
from tests import golden
from tests.cli_run import Running
from tests.demo_store import demo_store
from tests.differential import ingest
from tests.feeds import Scene, asking, finished, sid_of, wait_for, write
from tests.otel_oracle import Expected
from tests.wire import START, Talk

DEMO = Path(__file__).parents[1] / "agentmon" / "demo.jsonl"
NOW = 1_795_183_500.0
Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]

_SAMPLE = re.compile(r'([a-zA-Z_:][\w:]*)(?:\{((?:\w+="(?:[^"\\\n]|\\["\\n])*",?)*)\})? (\S+)')
_LABEL = re.compile(r'(\w+)="((?:[^"\\\n]|\\["\\n])*)"')


def parsed(exposition: str) -> Samples:
    """Every sample, by the grammar of the text format; HELP and TYPE stand before each metric."""
    found: Samples = {}
    typed: set[str] = set()
    helped: set[str] = set()
    assert exposition.endswith("\n")
    for line in exposition.removesuffix("\n").split("\n"):
        if line.startswith("# HELP "):
            helped.add(line.split(" ")[2])
        elif line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            assert kind in ("counter", "gauge")
            assert name in helped
            assert name not in typed
            typed.add(name)
        else:
            match = _SAMPLE.fullmatch(line)
            assert match is not None, line
            assert match[1] in typed
            labels = [(key, _unescaped(said)) for key, said in _LABEL.findall(match[2] or "")]
            key = match[1], frozenset(labels)
            assert key not in found, "one series twice"
            found[key] = float(match[3])
    return found


def _unescaped(said: str) -> str:
    return re.sub(r"\\(.)", lambda m: {"n": "\n"}.get(m[1], m[1]), said)


def metrics(data_dir: Path, **more: int) -> Metrics:
    most = more.get("max_sessions", 100)
    return Metrics(data_dir, Limits(), since=1e6, max_sessions=most, redact=str)


def summed(samples: Samples, name: str, **labels: str) -> float:
    wanted = set(labels.items())
    return sum(value for key, value in samples.items() if key[0] == name and wanted <= key[1])


# -- values


def test_the_numbers_are_the_logs(tmp_path: Path) -> None:
    demo_store(tmp_path)
    samples = parsed(metrics(tmp_path).text(NOW))
    expected = Expected(DEMO)
    owner = {message["flow_id"]: message["sid"] for message in expected.messages}
    for sid in expected.sessions:
        messages = [message for message in expected.messages if message["sid"] == sid]
        for kind in ("input", "output", "cache_read", "cache_write"):
            told = summed(samples, "agentmon_session_tokens_total", sid=sid, type=kind)
            assert told == sum(message[f"{kind}_tokens"] or 0 for message in messages)
        calls = [b for b in expected.blocks if b["tool_use_id"] and owner[b["flow_id"]] == sid]
        for tool in {call["tool_name"] for call in calls}:
            labels = {"sid": sid, "tool": tool}
            own = [call for call in calls if call["tool_name"] == tool]
            results = [expected.results.get(call["tool_use_id"]) for call in own]
            back = [result for result in results if result is not None]
            assert summed(samples, "agentmon_tool_calls_total", **labels) == len(own)
            failed = sum(bool(result["is_error"]) for result in back)
            assert summed(samples, "agentmon_tool_errors_total", **labels) == failed
            assert summed(samples, "agentmon_tool_returned_total", **labels) == len(back)
            seconds = sum(result["execution_duration_ms"] for result in back) / 1000
            told = summed(samples, "agentmon_tool_duration_seconds_total", **labels)
            assert abs(told - seconds) < 0.01
    assert summed(samples, "agentmon_agents") >= len(expected.sessions)


def test_a_pending_call_and_a_second_look(tmp_path: Path) -> None:
    talk = Talk(sid_of(1), pid=4_000_001)
    now = START / 1000 + 1
    with Scene(tmp_path) as scene:
        scene.say(*asking(talk))
        found = metrics(scene.data_dir)
        samples = parsed(found.text(now))
        assert summed(samples, "agentmon_tool_calls_pending", sid=sid_of(1), tool="Bash") == 1
        assert summed(samples, "agentmon_session_state", state="tool") == 1
        assert found.text(now) == found.text(now)
        scene.say(*asking(talk, 5000, n=2))
        samples = parsed(found.text(now + 6))
    assert summed(samples, "agentmon_tool_calls_total", sid=sid_of(1)) == 2


def test_the_metrics_as_json_are_pinned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(options, "now", lambda: START / 1000 + 60)
    ingest(tmp_path, [write(tmp_path / "log", finished(1))])
    found = CliRunner().invoke(
        main, ["serve-metrics", "--once", "--json", "--data-dir", str(tmp_path)]
    )
    families = json.loads(found.stdout)["families"]
    kept = [family for family in families if family["name"] != "agentmon_database_bytes"]
    golden.check("serve_metrics", kept)


# -- few series, any name


def test_only_the_newest_sessions_have_series(tmp_path: Path) -> None:
    lines = [line for n in range(6) for line in finished(n, 1000 * n)]
    ingest(tmp_path, [write(tmp_path / "log", lines)])
    samples = parsed(metrics(tmp_path, max_sessions=2).text(START / 1000 + 60))
    sids = {dict(labels)["sid"] for name, labels in samples if name == "agentmon_session_info"}
    assert sids == {sid_of(4), sid_of(5)}


def test_later_tools_are_one() -> None:
    sums = [ToolSum(f"t{n}", 2, 1, 0, 2, 0.5) for n in range(70)]
    found = bounded(sums)
    assert len(found) == 51
    assert [one.tool for one in found[:50]] == [f"t{n}" for n in range(50)]
    assert (found[50].tool, found[50].calls, found[50].seconds) == ("other", 40, 10.0)


def test_tools_that_read_the_same_are_one_series() -> None:
    found = bounded([ToolSum("a  b", 1, 0, 0, 1, 1.0), ToolSum("a b", 2, 1, 0, 1, 1.0)])
    assert [(one.tool, one.calls) for one in found] == [("a b", 3)]


@given(st.text(max_size=40), st.text(max_size=40), st.floats(allow_nan=False, width=32))
def test_any_label_can_be_read_back(one: str, two: str, value: float) -> None:
    exposition = text([Family("m", "gauge", one, [({"a": one, "b": two}, value)])])
    ((name, labels),) = parsed(exposition)
    assert (name, {key for key, _ in labels}) == ("m", {"a", "b"})
    assert parsed(exposition)[name, labels] == value


# -- the server


@contextmanager
def served(*args: object) -> Generator[tuple[Running, str]]:
    with Running("serve-metrics", "--listen", "127.0.0.1:0", *args) as server:
        url = server.line().decode().strip()
        assert re.fullmatch(r"http://127\.0\.0\.1:[1-9]\d*/metrics", url), url
        yield server, url


def _asked(url: str, method: str = "GET", **headers: str) -> tuple[int, bytes, str]:
    request = urllib.request.Request(url, method=method, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, answer.read(), answer.headers["Content-Type"]
    except urllib.error.HTTPError as problem:
        return problem.code, problem.read(), problem.headers["Content-Type"]


def _raw(url: str, data: bytes) -> bytes:
    port = int(url.rpartition(":")[2].partition("/")[0])
    with socket.create_connection(("127.0.0.1", port), timeout=30) as client:
        client.sendall(data)
        client.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: client.recv(65_536), b""))


def test_the_server_answers_whoever_asks_and_ends_on_sigterm(tmp_path: Path) -> None:
    ingest(tmp_path, [write(tmp_path / "log", finished(1))])
    with served("--data-dir", tmp_path) as (server, url):
        status, body, kind = _asked(url)
        assert (status, kind) == (200, "text/plain; version=0.0.4; charset=utf-8")
        assert summed(parsed(body.decode()), "agentmon_info") == 1
        assert _asked(url, "HEAD")[:2] == (200, b"")
        assert _asked(url + "?x=1")[0] == 200
        base = url.removesuffix("/metrics")
        assert _asked(base + "/")[0] == 200
        assert _asked(base + "/etc/passwd")[0] == 404
        assert _asked(url, "POST")[0] == 501
        assert _asked(url, Host="evil.example")[0] == 421
        assert _asked(url, Host="localhost:1")[0] == 200
        assert b" 400 " in _raw(url, b"\x00\xff nonsense\r\n\r\n").split(b"\r\n")[0]
        assert _raw(url, b"GET /metrics HTTP/1.1\r\n" + b"X: " + b"y" * 70_000 + b"\r\n\r\n")
        port = int(url.rpartition(":")[2].partition("/")[0])
        slow = [socket.create_connection(("127.0.0.1", port)) for _ in range(5)]
        try:
            for client in slow:
                client.sendall(b"GET /met")
            assert _asked(url)[0] == 200
            answer = server.end(signal.SIGTERM)
        finally:
            for client in slow:
                client.close()
    assert (answer.code, answer.err) == (0, "")


def test_clients_beyond_the_limit_are_turned_away_and_room_comes_back() -> None:
    with serving.Server("127.0.0.1", 0, "text/plain", lambda: "x 1\n") as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        place = "127.0.0.1", int(server.server_address[1])
        many = [socket.create_connection(place) for _ in range(serving.MOST)]
        try:
            for client in many:
                client.sendall(b"GET /")
            wait_for(lambda: _is_full(server))
            with socket.create_connection(place) as extra:
                extra.settimeout(30)
                assert _closes(extra)
            for client in many:
                client.close()
            wait_for(lambda: _answers(server.url))
        finally:
            for client in many:
                client.close()
            server.shutdown()
            thread.join()


def _is_full(server: serving.Server) -> bool:
    return server.free == 0


def _closes(client: socket.socket) -> bool:
    try:
        return client.recv(10) == b""
    except ConnectionResetError:
        return True


def _answers(url: str) -> bool:
    try:
        return _asked(url)[1] == b"x 1\n"
    except OSError:
        return False


def test_a_store_that_is_not_there_yet_is_said(tmp_path: Path) -> None:
    with served("--data-dir", tmp_path / "none") as (_, url):
        status, body, _ = _asked(url)
        assert (status, b"no store" in body) == (503, True)
        ingest(tmp_path / "none", [write(tmp_path / "log", finished(1))])
        assert _asked(url)[0] == 200


def test_other_machines_are_warned_about_and_a_taken_port_is_said(tmp_path: Path) -> None:
    with Running("serve-metrics", "--listen", "0.0.0.0:0", "--data-dir", tmp_path) as server:
        url = server.line().decode()
        port = url.rpartition(":")[2].partition("/")[0]
        taken = CliRunner().invoke(
            main, ["serve-metrics", "--listen", f"127.0.0.1:{port}", "--data-dir", str(tmp_path)]
        )
        answer = server.end(signal.SIGTERM)
    assert "reached from other machines" in answer.err
    assert (taken.exit_code, "cannot listen on" in taken.stderr) == (1, True)


@pytest.mark.parametrize(
    ("given_", "expected"),
    [
        ("127.0.0.1:9464", ("127.0.0.1", 9464)),
        ("localhost:0", ("localhost", 0)),
        ("[::1]:80", ("::1", 80)),
    ],
)
def test_addresses(given_: str, expected: tuple[str, int]) -> None:
    assert listen_address(given_) == expected


@pytest.mark.parametrize("given_", ["", "9464", "::1:80", "h:70000", "h:x", "http://h:1"])
def test_bad_addresses(given_: str) -> None:
    with pytest.raises(ValueError, match="HOST:PORT"):
        listen_address(given_)
