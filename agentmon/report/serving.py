"""A small HTTP server for one text: bounded in time and number, whoever asks.

Answers GET and HEAD of `/metrics`. Every request ends after `PATIENCE` seconds; more than `MOST`
at once are turned away. On loopback only names of loopback are answered, so that a page in a
browser cannot read it under a name of its own.
"""

import socket
import threading
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, cast

from agentmon.addresses import is_loopback

PATIENCE = 10.0
"""Seconds for one request, from its first byte to the last of the answer."""

MOST = 16
"""Requests at once."""

PATH = "/metrics"


class Unreadable(Exception):
    """The text can't be made now; the message says why."""


class Server(ThreadingHTTPServer):
    """Serves what `text` returns. Raises OSError: the address can't be had."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(self, host: str, port: int, content_type: str, text: Callable[[], str]) -> None:
        self.text = text
        self.content_type = content_type
        self.is_private = is_loopback(host)
        self.free = MOST
        """How many more requests have room."""
        self._counting = threading.Lock()
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        super().__init__((host, port), _Handler)

    @property
    def url(self) -> str:
        host, port = self.server_address[:2]
        shown = f"[{host!s}]" if self.address_family == socket.AF_INET6 else str(host)
        return f"http://{shown}:{port}{PATH}"

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._counting:
            is_full = self.free <= 0
            self.free -= not is_full
        if is_full:
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        ends = threading.Timer(PATIENCE, _cut, (request,))
        ends.daemon = True
        ends.start()
        try:
            super().process_request_thread(request, client_address)
        finally:
            ends.cancel()
            with self._counting:
                self.free += 1

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away, or sends what nobody reads, is no trouble of ours."""


def _cut(request: socket.socket) -> None:
    """Ends a connection that takes too long, whatever it waits for."""
    try:
        request.shutdown(socket.SHUT_RDWR)
    except OSError:
        return  # it has ended by itself


class _Handler(BaseHTTPRequestHandler):
    timeout = PATIENCE
    server_version = "agentmon"
    sys_version = ""

    @property
    def _asked(self) -> Server:
        return cast(Server, self.server)

    def do_GET(self) -> None:
        if not self._is_from_here():
            self._answer(HTTPStatus.MISDIRECTED_REQUEST, "ask for it by its address\n")
        elif self.path.partition("?")[0] == PATH:
            try:
                self._answer(HTTPStatus.OK, self._asked.text(), self._asked.content_type)
            except Unreadable as problem:
                self._answer(HTTPStatus.SERVICE_UNAVAILABLE, f"{problem}\n")
        elif self.path == "/":
            self._answer(HTTPStatus.OK, f"agentmon: the metrics are at {PATH}\n")
        else:
            self._answer(HTTPStatus.NOT_FOUND, f"nothing here; the metrics are at {PATH}\n")

    do_HEAD = do_GET

    def _is_from_here(self) -> bool:
        host = self.headers.get("Host", "")
        name = host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]
        return not self._asked.is_private or not host or is_loopback(name)

    def _answer(
        self, status: HTTPStatus, text: str, kind: str = "text/plain; charset=utf-8"
    ) -> None:
        body = text.encode("utf-8", "replace")
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        del format, args
