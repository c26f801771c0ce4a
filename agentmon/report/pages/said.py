"""How the values of a page read in words, for HTML and Markdown alike. Nothing is escaped here."""

from datetime import UTC, datetime
from typing import Any

from agentmon.core.text import clean
from agentmon.report.words import UNKNOWN, size, tokens

Object = dict[str, Any]


def harmless(text: str) -> str:
    """A text with its controls, reordering marks and hidden characters as signs; tabs stay."""
    return "\t".join(map(clean, text.split("\t")))


def facts(head: Object) -> dict[str, str]:
    """What stands above the rounds, by name."""
    session = head["session"]
    return {
        "session": session["sid"],
        "agent": f"{session['agent']} {session['version'] or ''}".strip(),
        "model": session["model"] or UNKNOWN,
        "folder": session["cwd"] or UNKNOWN,
        "began": moment(session["start_time"]),
        "ended": moment(session["end_time"]),
        "tokens of the session": usage(session["tokens"]),
        "in this file": content(head),
        "redaction": redaction(head),
        "made by": f"agentmon {head['agentmon']}",
    }


def errors(round_: Object) -> str:
    """ "2 errors"."""
    count = round_["errors"]
    return f"{count} error{'' if count == 1 else 's'}"


def moment(seconds: float | None) -> str:
    """ "2026-11-21 19:34:03.240 UTC"."""
    if seconds is None:
        return UNKNOWN
    try:
        found = datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        return UNKNOWN
    return f"{found.replace(tzinfo=None).isoformat(' ', 'milliseconds')} UTC"


def duration(ms: int | None) -> str:
    """ "137 ms", "3.8 s", "2 min 14 s"."""
    if ms is None:
        return UNKNOWN
    if ms < 1000:
        return f"{ms} ms"
    if ms < 60_000:
        return f"{ms / 1000:.1f} s"
    return f"{ms // 60_000} min {ms % 60_000 // 1000} s"


def usage(found: Object) -> str:
    """ "in 24, out 188, cache 16.4k read, 512 written"."""
    said = f"in {tokens(found['input'])}, out {tokens(found['output'])}"
    if found["cache_read"] or found["cache_write"]:
        said += (
            f", cache {tokens(found['cache_read'])} read, {tokens(found['cache_write'])} written"
        )
    return said


def redaction(head: Object) -> str:
    """What was taken out."""
    if head["redaction"] is None:
        return "not redacted"
    return f"redacted: {head['redaction']}"


def content(head: Object) -> str:
    """What was left in."""
    return ", ".join(head["content"]) or "no content"


def state(round_: Object) -> str:
    """How a round ended."""
    if round_["is_complete"]:
        return "complete"
    if round_["orphaned_at"] is not None:
        return "orphaned"
    return "aborted" if round_["is_aborted"] else "running"


def outcome(call: Object) -> str:
    """How a call ended."""
    if call["result_time"] is None:
        return "no result"
    return "error" if call["is_error"] else "ok"


def wait(found: Object) -> str:
    """ "permission Write, 12.2 s"."""
    subject = f" {found['subject']}" if found["subject"] else ""
    return f"{found['kind']}{subject}, {duration(found['duration_ms'])}"


def result_size(call: Object) -> str:
    return size(call["result_bytes"])


def title(head: Object) -> str:
    session = head["session"]
    return f"{session['name'] or session['sid']} · {session['agent']} · {head['kind']}"
