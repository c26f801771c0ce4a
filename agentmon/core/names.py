"""What people call an agent: the folder that a session works in; a subagent's type and task."""

import json
import re

_PLAIN_KINDS = ("", "general-purpose", "default", "agent", "worker")
"""Types of subagents that say nothing about them."""

_FIRST_TEXT = re.compile(r'^\{\s*"[^"\\]*"\s*:\s*"((?:[^"\\]|\\.)*)')


def session_name(sid: str, cwd: str | None) -> str:
    """The folder that a session works in, else the start of its id. Not cleaned."""
    return (cwd or "").rstrip("/").rpartition("/")[2] or sid[:8]


def subagent_name(
    agent_id: str, kind: str | None, description: str | None, started_by: str | None
) -> str:
    """A subagent's type and its task, as far as they are known; else its id. `started_by` is the
    preview of the call that started it. Not cleaned."""
    told = kind if kind and kind not in _PLAIN_KINDS else ""
    task = description or gist(started_by)
    if told and task:
        return f"{told}: {task}"
    return told or task or kind or agent_id


def gist(preview: str | None) -> str:
    """What a call is about: the first argument where it is a text, else the arguments as they are.

    Previews are shortened JSON, so the end may be missing.
    """
    found = _FIRST_TEXT.match(preview or "")
    if found is None:
        return preview or ""
    try:
        return str(json.loads(f'"{found[1]}"', strict=False))
    except ValueError:
        return found[1]
