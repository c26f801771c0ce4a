"""The work that is in tool calls: what an agent did, derived from what it called. Pure but for
`take`, which logs it.

- Files: Edit, MultiEdit, Write, NotebookEdit of Claude Code; `apply_patch` of Codex, as a tool, in
  a script of `exec`, or in a shell command; what Codex says of files it changed (`file_change`).
- Shell commands: commits, files taken away or moved, test runs, deployments (`work_of_commands`).

A call that failed changed nothing: its events say so and have no lines. Where nobody told how a
call ended, `is_success` is None and the lines are those that it asked for.
"""

import json
import re
import sqlite3
from collections.abc import Callable, Iterable, Mapping
from itertools import islice
from typing import Any, cast

from agentmon.collab import changes, shell, work_of_commands, worklog
from agentmon.collab.calls_seen import Call, Rule
from agentmon.collab.work_of_commands import Ended
from agentmon.collab.worklog import DERIVED, WorkError, WorkEvent, WorkFile

MOST_EVENTS = 500
"""Events of one call that are kept."""

MOST_EDITS = 200
"""Edits of one call up to which its lines are counted; beyond, they are not known."""

VERSION = 1

SHELLS = {
    "Bash", "bash", "exec", "exec_command", "shell", "shell_command", "local_shell",
    "local_shell_call", "command_execution", "container.exec", "run_terminal_cmd",
    "run_shell_command", "functions.exec",
}  # fmt: skip
PATCHES = {"apply_patch", "functions.apply_patch"}


def wants(name: str) -> bool:
    """Whether calls of a tool may be work."""
    return name in _READERS or name in SHELLS or name in PATCHES


def take(conn: sqlite3.Connection, call: Call) -> None:
    """Logs the work in a call, in the caller's transaction; again, it replaces what was logged."""
    worklog.replace(conn, call.tool_use_id, events(call))


RULE = Rule("work", VERSION, wants, take)


def events(call: Call) -> list[WorkEvent]:
    """The work in a call, in its order; nothing raises on what an agent wrote."""
    ended = _ended(call)
    if call.name in _READERS:
        found = list(_READERS[call.name](call, ended.outcome))
    elif call.name in PATCHES:
        found = _patched(_patch_text(call.input), call.cwd, ended.outcome)
    elif call.name in SHELLS:
        found = _shell(call, ended)
    else:
        found = []
    return [event for event in map(_Finish(call), found[:MOST_EVENTS]) if event is not None]


class _Finish:
    """Says of each event where it comes from; what can't be logged is left out."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._number = 0

    def __call__(self, event: WorkEvent) -> WorkEvent | None:
        call = self._call
        event.event_key = f"call:{call.tool_use_id}:{self._number}"
        event.time = call.called_at if call.result_time is None else call.result_time
        event.agent = _CONTROL.sub(" ", call.agent)[:200].strip() or "unknown"
        event.origin = DERIVED
        event.session_id, event.thread_agent = call.sid, call.agent_id
        event.round_id, event.tool_use_id = call.round_id, call.tool_use_id
        event.files = [file for file in event.files if _is_path(file.path)]
        if event.is_success is False:
            if event.kind != "test_run":
                event.lines_added = event.lines_deleted = None
            for file in event.files:
                file.lines_added = file.lines_deleted = None
        try:
            worklog.check(event)
        except WorkError:
            return None
        self._number += 1
        return event


_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def _is_path(path: str) -> bool:
    return 0 < len(path) <= 4096 and "\0" not in path


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _tables(value: object) -> list[Mapping[str, Any]]:
    rows = cast("list[object]", value) if isinstance(value, list) else []
    return [cast("Mapping[str, Any]", row) for row in rows if isinstance(row, Mapping)]


# How it ended

_EXITED = re.compile(r"^(?:Process exited with code|Exit code:?) (-?\d{1,9})", re.MULTILINE)
_EXIT_CODE = re.compile(r"\"exit_code\": ?(-?\d{1,9})")
_RUNNING = re.compile(r"^(?:Command running in background|Process running with session)", re.M)
_REFUSED = (
    "Script failed",
    "<tool_use_error>",
    "apply_patch verification failed",
    "[Request interrupted",
)


def _ended(call: Call) -> Ended:
    text = call.result or ""
    if call.name in SHELLS:
        outputs, codes = _outputs(text)
    else:
        outputs, codes = [text], []
    return Ended(_outcome(call, text, codes), "\n".join(outputs))


def _outcome(call: Call, text: str, codes: list[int]) -> bool | None:
    if call.is_error:
        return False
    if call.result is None:
        return None if call.is_error is None else True
    if call.name in SHELLS or call.name in PATCHES:
        head = text.split("\nOutput:", 1)[0][:2000]  # what the tool says before what was printed
        if _RUNNING.search(head):
            return None
        found = _EXITED.search(head) if call.name != "Bash" else None
        if found is not None:
            return int(found[1]) == 0
        if codes:
            return not any(codes)
        if call.name in PATCHES and (code := _EXIT_CODE.search(text)) is not None:
            return int(code[1]) == 0
    return not text.startswith(_REFUSED)


def _outputs(text: str) -> tuple[list[str], list[int]]:
    """What the commands of a call printed, and exit codes: a script of `exec`, and older shells,
    return them in JSON objects, one a line."""
    outputs: list[str] = []
    codes: list[int] = []
    plain: list[str] = []
    for line in text.split("\n"):
        value = _json(line) if line.startswith("{") and line.rstrip().endswith("}") else None
        output = value.get("output") if value is not None else None
        if value is None or not isinstance(output, str):
            plain.append(line)
            continue
        outputs += ["\n".join(plain), output]
        plain = []
        inner: object = value.get("metadata")
        inner = cast("dict[str, Any]", inner) if isinstance(inner, dict) else value
        code = inner.get("exit_code")
        if isinstance(code, int) and not isinstance(code, bool):
            codes.append(code)
    return [*outputs, "\n".join(plain)], codes


def _json(text: str) -> dict[str, Any] | None:
    try:
        value = json.loads(text, strict=False)
    except (ValueError, RecursionError):
        return None
    return cast("dict[str, Any]", value) if isinstance(value, dict) else None


# Files, as Claude Code changes them


def _file_event(call: Call, kind: str, path: str, outcome: bool | None) -> WorkEvent:
    file = WorkFile(shell.joined(call.cwd, path))
    return WorkEvent(kind=kind, summary=call.name, is_success=outcome, files=[file])


def _edit(call: Call, outcome: bool | None) -> Iterable[WorkEvent]:
    given = call.input
    edits = _tables(given.get("edits")) if call.name == "MultiEdit" else [given]
    path = _text(given.get("file_path"))
    if not path or not edits:
        return
    first = _text(edits[0].get("old_string"))
    kind = "file_modified" if first or "old_string" not in edits[0] else "file_created"
    event = _file_event(call, kind, path, outcome)
    if len(edits) > MOST_EDITS:
        yield event
        return
    added = deleted = 0
    for edit in edits:
        more, less = changes.edited(_text(edit.get("old_string")), _text(edit.get("new_string")))
        times = _times(call.result, event) if edit.get("replace_all") is True else 1
        added, deleted = added + more * times, deleted + less * times
    event.files[0].lines_added, event.files[0].lines_deleted = added, deleted
    yield event


_REPLACED = re.compile(r"\b(\d{1,6}) (?:occurrences?|replacements?|instances?|matches)\b")


def _times(result: str | None, event: WorkEvent) -> int:
    """How often a text was replaced everywhere, where the result says so; else it counts once."""
    found = _REPLACED.search((result or "")[:2000])
    event.metadata["replace_all"] = True
    event.metadata["replacements"] = int(found[1]) if found is not None else None
    return max(1, int(found[1])) if found is not None else 1


def _write(call: Call, outcome: bool | None) -> Iterable[WorkEvent]:
    """What was in a file that is overwritten is not known, nor are the lines that changed."""
    path, content = _text(call.input.get("file_path")), _text(call.input.get("content"))
    if not path:
        return
    is_new = "created successfully" in (call.result or "")[:4096]
    event = _file_event(call, "file_created" if is_new else "file_modified", path, outcome)
    event.metadata["lines"] = changes.lines_of(content)
    if is_new:
        event.files[0].lines_added = changes.lines_of(content)
        event.files[0].lines_deleted = 0
    yield event


def _notebook(call: Call, outcome: bool | None) -> Iterable[WorkEvent]:
    """A cell; its source before is not known."""
    path = _text(call.input.get("notebook_path")) or _text(call.input.get("file_path"))
    if not path:
        return
    event = _file_event(call, "file_modified", path, outcome)
    mode = _text(call.input.get("edit_mode")) or "replace"
    event.metadata["edit_mode"] = mode[:40]
    if mode == "insert":
        event.files[0].lines_added = changes.lines_of(_text(call.input.get("new_source")))
        event.files[0].lines_deleted = 0
    yield event


_CHANGES = {"add": "file_created", "delete": "file_deleted", "update": "file_modified"}


def _file_change(call: Call, outcome: bool | None) -> Iterable[WorkEvent]:
    """What `codex exec --json` says that it changed: which files, not which lines."""
    for change in _tables(call.input.get("changes")):
        path = _text(change.get("path"))
        kind = _CHANGES.get(_text(change.get("kind")))
        if path and kind is not None:
            yield _file_event(call, kind, path, outcome)


_READERS: dict[str, Callable[[Call, bool | None], Iterable[WorkEvent]]] = {
    "Edit": _edit,
    "MultiEdit": _edit,
    "Write": _write,
    "NotebookEdit": _notebook,
    "file_change": _file_change,
}


# Patches


def _patch_text(given: Mapping[str, Any]) -> str:
    for name in ("text", "input", "patch", "diff", "command"):
        value: object = given.get(name)
        if isinstance(value, list):
            value = "\n".join(_text(part) for part in cast("list[object]", value))
        if isinstance(value, str) and "*** Begin Patch" in value:
            return value
    return ""


def _patched(text: str, cwd: str | None, outcome: bool | None) -> list[WorkEvent]:
    some = islice(changes.patches(text), MOST_EVENTS)
    return [_patched_file(file, cwd, outcome) for file in some]


_PATCHED = {"add": "file_created", "delete": "file_deleted", "update": "file_modified"}


def _patched_file(file: changes.PatchFile, cwd: str | None, outcome: bool | None) -> WorkEvent:
    event = WorkEvent(kind=_PATCHED[file.what], summary="apply_patch", is_success=outcome)
    path = shell.joined(cwd, file.path)
    added = None if file.what == "delete" else file.added
    if file.moved_to is not None:
        event.kind = "file_moved"
        event.files = [WorkFile(path, 0, 0)]
        path = shell.joined(cwd, file.moved_to)
    event.files.append(WorkFile(path, added, file.deleted))
    return event


# Shells


def _shell(call: Call, ended: Ended) -> list[WorkEvent]:
    given = call.input
    cwd = _folder(given, call.cwd)
    script = _text(given.get("text")) or _text(given.get("code"))
    if script and call.name in ("exec", "functions.exec"):
        return _script(script, cwd, ended)
    words = given.get("command", given.get("cmd", given.get("text")))
    inner = given.get("action")
    if words is None and isinstance(inner, dict):
        action = cast("dict[str, Any]", inner)
        words, cwd = action.get("command"), _folder(action, cwd)
    if isinstance(words, list):
        argv = [part for part in cast("list[object]", words) if isinstance(part, str)]
        return _commands(shell.run_by_words(argv, cwd), ended)
    return _commands(shell.run_by(_text(words), cwd), ended)


def _folder(given: Mapping[str, Any], cwd: str | None) -> str | None:
    for name in ("workdir", "working_directory", "cwd"):
        found = _text(given.get(name))
        if found:
            return shell.folder(cwd, found)
    return cwd


def _commands(commands: list[shell.Simple], ended: Ended) -> list[WorkEvent]:
    found: list[WorkEvent] = []
    for command in commands:
        if command.argv[:1] in (["apply_patch"], ["applypatch"]):
            text = "\n".join([*command.argv[1:], *command.documents])
            outcome = ended.outcome if not command.is_masked or not ended.outcome else None
            found += _patched(text, command.cwd, outcome)
    return found + work_of_commands.events(commands, ended)


_CALLING = re.compile(r"\b(?:cmd|command)\s*[:=]\s*$")
_WORKDIR = re.compile(r"(\{\s*)?\bworkdir\s*:\s*$")


def _script(script: str, cwd: str | None, ended: Ended) -> list[WorkEvent]:
    """A script of `exec`: its patches, and the commands that it runs."""
    found: list[WorkEvent] = []
    lines: list[tuple[str, str | None]] = []
    coming = cwd
    for literal in changes.literals(script):
        if "*** Begin Patch" in literal.text:
            found += _patched(literal.text, cwd, ended.outcome)
        elif _CALLING.search(literal.before):
            lines.append((literal.text, coming))
            coming = cwd
        elif (workdir := _WORKDIR.search(literal.before)) is not None:
            folder = shell.folder(cwd, literal.text)
            if workdir[1] or not lines:
                coming = folder
            else:
                lines[-1] = (lines[-1][0], folder)
    commands = [command for line, folder in lines for command in shell.run_by(line, folder)]
    return found + work_of_commands.events(commands, ended)
