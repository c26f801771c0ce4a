"""Taps that run on this machine: each says where it is, so that `agentmon run` can use it."""

import json
import os
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil

from agentmon.addresses import is_loopback
from agentmon.capture.peer import Peer

FOLDER = "taps"
PATIENCE = 0.5
"""Seconds that a tap has to take a connection."""


def announce(
    url: str, upstream: str, log: Path, *, is_shared: bool = True, problem: str = ""
) -> Path:
    """Says that this process is a tap, for others or for one client only, and what went wrong in
    it; the file, which is to be deleted at its end. Raises OSError."""
    folder = log.parent / FOLDER
    folder.mkdir(0o700, parents=True, exist_ok=True)
    row = {
        "url": url,
        "upstream": upstream,
        "log": str(log),
        "shared": is_shared,
        "problem": problem,
        "pid": os.getpid(),
        "started": psutil.Process().create_time(),
    }
    path = folder / f"{os.getpid()}.json"
    beside = path.with_suffix(".new")
    beside.write_text(json.dumps(row), encoding="utf-8")
    beside.chmod(0o600)
    beside.replace(path)
    return path


def find(upstream: str, log: Path) -> str | None:
    """The address of a tap for others that passes on to this upstream, and records there. An
    upstream that is such a tap itself is used as it is: nothing is to be recorded twice."""
    for row in rows(log):
        if row.get("log") != str(log):
            continue
        is_it = row.get("url") == upstream
        if (is_it or (row.get("shared") and row.get("upstream") == upstream)) and _listens(row):
            return str(row["url"])
    return None


def rows(log: Path) -> Iterator[dict[str, Any]]:
    """What each tap that records to a log in this folder says of itself."""
    try:
        paths = sorted((log.parent / FOLDER).glob("*.json"))
    except OSError:
        return
    yield from filter(None, map(_read, paths))


def _read(path: Path) -> dict[str, Any]:
    """What a tap says of itself; {} and no file any more where its process is gone."""
    try:
        row: Any = json.loads(path.read_bytes())
        peer = Peer(int(row["pid"]), "", "", row["started"])
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return {}
    if peer.is_alive():
        return row
    with suppress(OSError):
        path.unlink()
    return {}


def _listens(row: dict[str, Any]) -> bool:
    try:
        parts = urlsplit(str(row["url"]))
        host, port = parts.hostname or "", parts.port or 0
        if not is_loopback(host):
            return False
        with socket.create_connection((host, port), PATIENCE):
            return True
    except (OSError, ValueError, KeyError):
        return False
