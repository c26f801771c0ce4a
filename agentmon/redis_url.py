"""The address of a Redis server: whether it is one, and what of it may be shown and stored."""

from urllib.parse import parse_qs, unquote, urlsplit

SCHEMES = ("redis", "rediss", "unix")
PORT = 6379

_FORM = "redis://HOST:PORT/DB, rediss://HOST:PORT/DB or unix:///PATH?db=DB is needed"
_ENCODE = "in a user or password #, /, ? and @ are written %23, %2F, %3F and %40"


def shown(url: str) -> str:
    """The address without user, password and options. Raises ValueError, which tells no part of
    the URL: where it cannot be taken apart, any part may be the password."""
    try:
        parts = urlsplit(url.strip())
        host, port = parts.hostname or "", parts.port
        options = parse_qs(parts.query, strict_parsing=bool(parts.query))
    except ValueError:
        raise ValueError(f"{_FORM}; {_ENCODE}") from None
    if parts.scheme not in SCHEMES or not unquote(url).isprintable():
        raise ValueError(_FORM)
    if parts.fragment or "@" in parts.path or "#" in url:
        raise ValueError(_ENCODE)
    if parts.scheme == "unix":
        if host or port or not parts.path.startswith("/"):
            raise ValueError(_FORM)
        return f"unix://{unquote(parts.path)}?db={_db(options)}"
    path = parts.path.strip("/")
    if path and not path.isdecimal():
        raise ValueError(f"{_FORM}; {_ENCODE}")
    name = f"[{host}]" if ":" in host else host or "localhost"
    return f"{parts.scheme}://{name}:{port or PORT}/{_db(options, path)}"


def _db(options: dict[str, list[str]], path: str = "") -> str:
    """The number of the database; the option is stronger than the path, as redis-py has it."""
    found = options.get("db", [path or "0"])[0]
    if not found.isdecimal():
        raise ValueError(_FORM)
    return str(int(found))


def safely_shown(url: str) -> str:
    """The same, and where it is no address a word instead of it."""
    try:
        return shown(url)
    except ValueError:
        return "(not an address)"


def secrets(url: str) -> list[str]:
    """What must never be shown of it: user and password, as they are written and as they are."""
    parts = urlsplit(url.strip())
    options = parse_qs(parts.query)
    written = [parts.username, parts.password]
    written += [value for name in ("username", "password") for value in options.get(name, [])]
    found = {text for one in written if one for text in (one, unquote(one))}
    return sorted(found, key=len, reverse=True)
