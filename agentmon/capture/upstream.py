"""Where a tap passes requests on to: one address, chosen at its start and never by a request."""

import os
import ssl
from collections.abc import Mapping
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from msgspec import Struct

from agentmon.addresses import is_loopback
from agentmon.logfile import log

KINDS = {"anthropic": "https://api.anthropic.com", "openai": "https://api.openai.com"}
"""What a client speaks → where it goes when nobody says otherwise."""

_PORTS = {"http": 80, "https": 443}


class Upstream(Struct, frozen=True):
    """One server and the path below which everything is."""

    scheme: str
    host: str
    port: int
    authority: str
    prefix: str = ""

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.authority}{self.prefix}"

    @property
    def is_plain(self) -> bool:
        """Whether credentials go over a network unencrypted."""
        return self.scheme == "http" and not is_loopback(self.host)


def parse(text: str) -> Upstream:
    """An address such as https://api.anthropic.com. Raises ValueError, which says what is wrong."""
    if any(ord(letter) <= 0x20 or ord(letter) >= 0x7F for letter in text):
        raise ValueError("an upstream has no spaces and only ASCII letters")
    parts = urlsplit(text)
    port = parts.port  # raises ValueError: no number
    if parts.scheme not in _PORTS or not parts.hostname:
        raise ValueError(f"{text!r} is no address: give https://HOST or http://HOST:PORT")
    if parts.username is not None or parts.password is not None:
        raise ValueError("an upstream holds no password: the client sends its own credentials")
    if parts.query or parts.fragment or "\\" in text:
        raise ValueError(f"{text!r} is no address: a query cannot be a part of it")
    host = parts.hostname
    name = f"[{host}]" if ":" in host else host
    default = _PORTS[parts.scheme]
    authority = name if port in (None, default) else f"{name}:{port}"
    return Upstream(parts.scheme, host, port or default, authority, parts.path.rstrip("/"))


def proxy_for(upstream: Upstream) -> str | None:
    """The proxy of this machine's settings (HTTPS_PROXY, NO_PROXY, …) for the upstream."""
    if is_loopback(upstream.host) or proxy_bypass(upstream.authority):
        return None
    proxies = getproxies()
    return proxies.get(upstream.scheme) or proxies.get("all")


def certificates(environ: Mapping[str, str] = os.environ) -> ssl.SSLContext:
    """Trusts what the system trusts, and what Node clients are told to trust besides: they would
    have spoken to the upstream with it. What can't be read is passed over, as Node does."""
    context = ssl.create_default_context()
    if more := environ.get("NODE_EXTRA_CA_CERTS"):
        try:
            context.load_verify_locations(more)
        except OSError as problem:  # ssl.SSLError is one
            log.warning("NODE_EXTRA_CA_CERTS could not be read: %s", problem)
    return context
