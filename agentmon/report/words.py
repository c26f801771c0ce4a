"""How numbers and calls read: ages, running times, tokens, sizes, shares, arguments.

A value that is not known is "—", never 0.
"""

from collections.abc import Sequence
from datetime import datetime

UNKNOWN = "—"


def age(seconds: float | None) -> str:
    """How long ago, in one unit: "now", "12s", "4m", "2h", "3d"."""
    if seconds is None:
        return UNKNOWN
    whole = int(seconds)
    if whole < 1:
        return "now"
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "m")):
        if whole >= size:
            return f"{whole // size}{unit}"
    return f"{whole}s"


def timer(seconds: float | None) -> str:
    """A running time: "0:08", "2:14", "1:02:03". Never below zero."""
    if seconds is None:
        return UNKNOWN
    minutes, whole = divmod(max(int(seconds), 0), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{whole:02}" if hours else f"{minutes}:{whole:02}"


def micros(seconds: float | None) -> float | None:
    """A duration without the noise of subtracting two times: whole microseconds."""
    return None if seconds is None else round(seconds, 6)


def moment(time: float | None) -> str:
    """A local time: "2026-03-01 09:30:12"."""
    if time is None:
        return UNKNOWN
    try:
        return f"{datetime.fromtimestamp(time).astimezone():%Y-%m-%d %H:%M:%S}"
    except (ValueError, OverflowError, OSError):
        return UNKNOWN


def span(seconds: float) -> str:
    """How long something took: "0.4 s", "41 s", "4m02s", "1h04m"."""
    if seconds < 10:
        return f"{max(seconds, 0.0):.1f} s"
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02}m" if hours else f"{minutes}m{rest:02}s"


def lasted(seconds: float | None) -> str:
    """How long something took, in few characters: "82ms", "1.3s", "12s", "2m14s", "3h05m"."""
    if seconds is None:
        return UNKNOWN
    if seconds < 0.9995:
        return f"{max(seconds, 0.0) * 1000:.0f}ms"
    if seconds < 9.95:
        return f"{seconds:.1f}s"
    minutes, rest = divmod(round(seconds), 60)
    if not minutes:
        return f"{rest}s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02}m" if hours else f"{minutes}m{rest:02}s"


def clock_text(time: float | None) -> str:
    """A time of day in the local zone."""
    if time is None:
        return UNKNOWN
    return datetime.fromtimestamp(time).astimezone().strftime("%H:%M:%S")


def brief(seconds: float | None) -> str:
    """The same for what may be short: "37 ms", "1.9 s"; "—"."""
    if seconds is None:
        return UNKNOWN
    return f"{1000 * seconds:.0f} ms" if seconds < 1 else span(seconds)


def per_second(amount: float | None) -> str:
    """A rate without its unit: "0.4", "7.8", "292", "1.2k"."""
    if amount is None:
        return UNKNOWN
    return f"{amount:.1f}" if amount < 9.95 else tokens(round(amount))


def tokens(count: int | None) -> str:
    """A count of tokens in at most five characters: "999", "18.2k", "182k", "1.2M"."""
    if count is None:
        return UNKNOWN
    return _scaled(count, 1000, ("", "k", "M", "G"), "")


def counted(count: int, noun: str) -> str:
    """ "1 message", "1,200 messages"."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def percent(share: float | None) -> str:
    """A share as "34%"."""
    return UNKNOWN if share is None else f"{min(share, 9.99) * 100:.0f}%"


def size(count: int | None) -> str:
    """A count of bytes: "12 B", "1.1 KB", "41 MB"; a KB is 1,024 bytes."""
    if count is None:
        return UNKNOWN
    return _scaled(count, 1024, ("B", "KB", "MB", "GB", "TB"), " ")


def _scaled(count: int, base: int, units: Sequence[str], blank: str) -> str:
    if count < 1000:
        return f"{count}{blank}{units[0]}"
    value = float(count)
    for unit in units[1:]:
        value /= base
        if value < 99.95:
            return f"{value:.1f}{blank}{unit}"
        if value < 999.5:
            return f"{value:.0f}{blank}{unit}"
    return f"{value:.0f}{blank}{units[-1]}"
