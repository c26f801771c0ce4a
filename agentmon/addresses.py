"""Addresses that something here listens on."""

import ipaddress
import re

_HOST = re.compile(r"\[([0-9A-Fa-f:.%]+)\]:(\d{1,5})|([^:\s\[\]]+):(\d{1,5})")


def listen_address(given: str, example: str = "127.0.0.1:9464") -> tuple[str, int]:
    """Host and port of "127.0.0.1:9464" or "[::1]:9464". Raises ValueError with a reason."""
    match = _HOST.fullmatch(given.strip())
    port = int(match[2] or match[4]) if match is not None else -1
    if match is None or not 0 <= port <= 65_535:
        raise ValueError(f"HOST:PORT is needed, such as {example}; port 0 takes a free one")
    return match[1] or match[3], port


def is_loopback(host: str) -> bool:
    """Whether what listens there is reached from this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return False
