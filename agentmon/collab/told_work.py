"""The work that a message tells of (`work_completed`), as an event of the work log."""

import re
import sqlite3
from collections.abc import Mapping
from typing import Any, cast

from agentmon.collab.mail import Mail

KIND = "work_completed"
_KIND = re.compile(r"[a-z][a-z0-9_]{0,39}")
_MOST_LINES = 1 << 40
_MOST_PATH = 4096


def log(conn: sqlite3.Connection, mail: Mail) -> None:
    """Adds the event of a message, once. In the caller's transaction.

    `work_completed` may be a text, a list of files, or an object; of an object `kind`, `summary`,
    `files` (paths, or objects with `path`, `lines_added`, `lines_deleted`), `lines_added`,
    `lines_deleted`, `commit` and `success` are understood, and all of it is kept.
    """
    from agentmon.collab import worklog

    told: object = mail.work_completed
    fields = _object(told)
    files = [
        worklog.WorkFile(path, _lines(file.get("lines_added")), _lines(file.get("lines_deleted")))
        for path, file in _files(fields.get("files") if fields else told).items()
    ]
    event = worklog.WorkEvent(
        event_key=f"message:{mail.message_id}",
        time=mail.sent_at,
        kind=_kind(fields.get("kind")),
        agent=mail.sender,
        summary=_summary(told, fields) or mail.subject,
        lines_added=_lines(fields.get("lines_added")),
        lines_deleted=_lines(fields.get("lines_deleted")),
        commit_hash=_text(fields.get("commit") or fields.get("commit_hash")),
        is_success=_flag(fields.get("success", fields.get("is_success"))),
        metadata={"message_id": mail.message_id, "work_completed": told},
        origin="said",
        session_id=mail.session_id,
        thread_agent=mail.thread_agent,
        round_id=mail.round_id,
        tool_use_id=mail.tool_use_id,
        files=files,
    )
    worklog.add(conn, event)


def _object(value: object) -> Mapping[str, Any]:
    return cast("Mapping[str, Any]", value) if isinstance(value, dict) else {}


def _kind(value: object) -> str:
    return value if isinstance(value, str) and _KIND.fullmatch(value) else KIND


def _summary(told: object, fields: Mapping[str, Any]) -> str:
    if isinstance(told, str):
        return told
    return _text(fields.get("summary") or fields.get("description")) or ""


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _flag(value: object) -> bool | None:
    return value if isinstance(value, bool) else None


def _lines(value: object) -> int | None:
    is_number = isinstance(value, int) and not isinstance(value, bool)
    return cast("int", value) if is_number and 0 <= cast("int", value) <= _MOST_LINES else None


def _files(value: object) -> dict[str, Mapping[str, Any]]:
    """Paths, each once, with what is said of them; what is no path is left out."""
    found: dict[str, Mapping[str, Any]] = {}
    for one in cast("list[object]", value) if isinstance(value, list) else ():
        file = cast("Mapping[str, Any]", one) if isinstance(one, dict) else {"path": one}
        path = file.get("path")
        if isinstance(path, str) and 0 < len(path) <= _MOST_PATH and "\0" not in path:
            found[path] = file
    return found
