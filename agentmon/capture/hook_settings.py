"""Hooks in the settings of Claude Code and Codex: put in, taken out, looked at.

Everything else in a file stays byte for byte; what cannot be read is refused, never mended.
"""

import json
import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Literal, TypeVar

from msgspec import Struct

import agentmon
from agentmon.capture import json_edit
from agentmon.capture.json_edit import Node, NotJson

T = TypeVar("T")

Client = Literal["claude", "codex"]
Scope = Literal["user", "project"]
State = Literal["installed", "partly", "absent"]

CLIENTS: tuple[Client, ...] = ("claude", "codex")

EVENTS: Mapping[Client, tuple[str, ...]] = {
    "claude": (
        "SessionStart",
        "UserPromptSubmit",
        "PreToolUse",
        "PermissionRequest",
        "PostToolUse",
        "PostToolUseFailure",
        "Notification",
        "Stop",
        "SubagentStart",
        "SubagentStop",
        "PreCompact",
        "SessionEnd",
    ),
    "codex": (
        "SessionStart",
        "UserPromptSubmit",
        "PreToolUse",
        "PermissionRequest",
        "PostToolUse",
        "Stop",
        "SubagentStart",
        "SubagentStop",
        "PreCompact",
        "SessionEnd",
    ),
}
"""What each client is asked to tell."""

TIMEOUT = 10
"""Seconds after which a client gives up on the hook; it takes a twentieth of one."""

LAST_TIMEOUT = 3
"""The same at the end of a session, where Codex grants no more."""

BACKUP = ".before-agentmon"
"""What the file before a change is called, behind its own name."""


class Refused(Exception):
    """A file that is left as it is; the message says why in one sentence."""


class Found(Struct, frozen=True):
    """What one settings file has of ours."""

    client: Client
    path: Path
    state: State
    events: tuple[str, ...]
    commands: tuple[str, ...]
    is_off: bool = False
    """The file switches all hooks off."""

    @property
    def missing(self) -> tuple[str, ...]:
        return tuple(name for name in EVENTS[self.client] if name not in self.events)


def settings_file(client: Client, scope: Scope, environ: Mapping[str, str], cwd: Path) -> Path:
    """Where a client reads its hooks: for this user everywhere, or for the project in `cwd`.

    Raises Refused where there is no home.
    """
    if scope == "project":
        return cwd / (".claude/settings.json" if client == "claude" else ".codex/hooks.json")
    if client == "claude":
        return _home(environ.get("CLAUDE_CONFIG_DIR") or "~/.claude") / "settings.json"
    return _home(environ.get("CODEX_HOME") or "~/.codex") / "hooks.json"


def has_home(client: Client, environ: Mapping[str, str]) -> bool:
    """Whether a client keeps settings on this machine."""
    try:
        return settings_file(client, "user", environ, Path()).parent.is_dir()
    except Refused:
        return False


def _home(path: str) -> Path:
    found = os.path.expanduser(path)
    if found.startswith("~"):
        raise Refused("it is not known where the home folder of this user is")
    return Path(found).absolute()


# -- the command


def command(client: Client) -> str:
    """What a settings file is told to run. An agentmon that is gone by then stops no agent: some
    of the exit codes of a missing program would."""
    return f"{shlex.join([*_program(), 'hook', client])} || true"


def _program() -> list[str]:
    """How this very agentmon is started from any folder."""
    started = Path(sys.argv[0])
    if started.name == "agentmon" and os.access(started, os.X_OK) and started.is_file():
        return [str(started.absolute())]
    # -P: what lies in the folder of a project is not imported
    module = [sys.executable, "-P", "-m", "agentmon"]
    above = str(Path(agentmon.__file__).absolute().parents[1])
    return module if _imports(above) else ["env", f"PYTHONPATH={above}", *module]


def _imports(above: str) -> bool:
    """Whether Python finds this package without the help of this environment or folder."""
    asked = "import agentmon; print(agentmon.__file__)"
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    said = subprocess.run(
        [sys.executable, "-P", "-c", asked], cwd="/", env=environ, capture_output=True, check=False
    )
    found = os.fsdecode(said.stdout).strip()
    return said.returncode == 0 and str(Path(found).parents[1]) == above


def is_ours(given: object) -> bool:
    """Whether a hook's command is ours, however agentmon was installed when it was written."""
    if not isinstance(given, str) or "agentmon" not in given:
        return False
    try:
        words = shlex.split(given)
    except ValueError:
        return False
    return any(
        os.path.basename(one) == "agentmon" and two == "hook" for one, two in pairwise(words)
    )


# -- texts


def look(text: str) -> tuple[list[str], list[str], bool]:
    """The events that our hooks stand at, their commands, and whether all hooks are off.

    Raises NotJson, and Refused for hooks that are not as they should be.
    """
    root = _root(text)
    off = root.get("disableAllHooks")
    is_off = off is not None and json_edit.data(text, off.value) is True
    ours = list(_ours(text, root))
    return [one.event for one in ours], [one.command for one in ours], is_off


def installed(client: Client, text: str, wanted: str) -> str:
    """A settings text with our hook at each event of a client, once."""
    text = _updated(text, wanted)
    root = _root(text)
    known = {one.event for one in _ours(text, root)}
    missing = [event for event in EVENTS[client] if event not in known]
    style = _Style.of(text)
    if missing and root.get("hooks") is None:
        return json_edit.add(text, root, style.hooks(missing, wanted), style.lead(1))
    for event in missing:
        hooks = _root(text).get("hooks")
        assert hooks is not None
        groups = hooks.value.get(event)
        if groups is None:
            text = json_edit.add(text, hooks.value, style.event(event, wanted), style.lead(2))
        else:
            text = json_edit.add(text, groups.value, style.group(event, wanted), style.lead(3))
    return text


def _updated(text: str, wanted: str) -> str:
    """The text with the wanted command in place of those that an older agentmon wrote."""
    said = json.dumps(wanted, ensure_ascii=False)
    for one in reversed(list(_ours(text, _root(text)))):
        if one.command != wanted:
            text = text[: one.said.start] + said + text[one.said.end :]
    return text


def uninstalled(text: str) -> str:
    """A settings text without our hooks: what it was before them; blank where that was nothing."""
    while text.strip() and (ours := list(_ours(text, _root(text)))):
        text = json_edit.remove(text, ours[-1].path)
    return text


def _root(text: str) -> Node:
    root = json_edit.parse(text)
    if root.kind != "object":
        raise Refused("it is no JSON object")
    hooks = root.get("hooks")
    if hooks is not None and hooks.value.kind != "object":
        raise Refused('"hooks" in it is no object')
    for item in hooks.value.items if hooks is not None else ():
        if item.value.kind != "array":
            raise Refused(f'"{item.key}" in its hooks is no array')
    return root


class _Ours(Struct):
    """A handler of ours: its command, and the path to take it out by, which ends at its whole group
    where nothing else is in it."""

    event: str
    command: str
    said: Node
    path: list[tuple[Node, int]]


def _ours(text: str, root: Node) -> Iterator[_Ours]:
    """The handlers of ours, in the order in which they stand."""
    for at, item in enumerate(root.items):
        if item.key != "hooks" or item.value.kind != "object":
            continue
        for event_at, event in enumerate(item.value.items):
            for group_at, group in enumerate(event.value.items):
                path = [(root, at), (item.value, event_at), (event.value, group_at)]
                yield from _in_group(text, event.key or "", group.value, path)


def _in_group(text: str, event: str, group: Node, path: list[tuple[Node, int]]) -> Iterator[_Ours]:
    handlers = group.get("hooks")
    if handlers is None or handlers.value.kind != "array":
        return
    for number, handler in enumerate(handlers.value.items):
        found = handler.value.get("command")
        said = json_edit.data(text, found.value) if found is not None else None
        if found is not None and isinstance(said, str) and is_ours(said):
            alone = len(handlers.value.items) == 1
            whole = path if alone else [*path, (handlers.value, number)]
            yield _Ours(event, said, found.value, whole)


class _Style(Struct, frozen=True):
    """How a text is laid out: its line ends and its indent; "" where it is one line."""

    newline: str
    indent: str

    @classmethod
    def of(cls, text: str) -> "_Style":
        root = json_edit.parse(text)
        if "\n" not in text.strip():
            return cls("" if root.items else "\n", "  ")
        newline = "\r\n" if "\r\n" in text else "\n"
        first = text[root.start + 1 : root.items[0].start] if root.items else ""
        indent = first.rpartition("\n")[2]
        return cls(newline, indent if "\n" in first and indent and not indent.strip() else "  ")

    def lead(self, depth: int) -> str:
        """What stands before an item at a depth. Never nothing: see `json_edit.add`."""
        return self.newline + self.indent * depth if self.newline else " "

    def hooks(self, events: Sequence[str], command: str) -> str:
        members = (self.event(event, command) for event in events)
        inside = ",".join(self.lead(2) + member for member in members)
        return f'"hooks": {{{inside}{self.lead(1)}}}'

    def event(self, event: str, command: str) -> str:
        group = self.lead(3) + self.group(event, command)
        return f"{json.dumps(event)}: [{group}{self.lead(2)}]"

    def group(self, event: str, command: str) -> str:
        timeout = LAST_TIMEOUT if event == "SessionEnd" else TIMEOUT
        handler = {"type": "command", "command": command, "timeout": timeout}
        said = json.dumps(handler, ensure_ascii=False)
        return f'{{"hooks": [{said}]}}'


# -- files


def examine(client: Client, path: Path) -> Found:
    """What a settings file has of ours; one that is not there has nothing. Raises Refused."""
    text = _read(path)
    if not text.strip():
        return Found(client, path, "absent", (), ())
    events, commands, is_off = _told(path, lambda: look(text))
    ours = tuple(name for name in EVENTS[client] if name in events)
    state: State = "installed" if ours == EVENTS[client] else "partly" if ours else "absent"
    return Found(client, path, state, ours, tuple(dict.fromkeys(commands)), is_off)


def install(client: Client, path: Path, wanted: str) -> bool:
    """Puts our hooks into a file. False: they were there. Raises Refused, OSError.

    The file as it was without them is kept beside it.
    """
    before = _read(path)
    if not before.strip():
        style = _Style("\n", "  ")
        after = f"{{{style.lead(1)}{style.hooks(EVENTS[client], wanted)}\n}}\n"
    else:
        after = _told(path, lambda: installed(client, before, wanted))
    if after == before:
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() and (not before.strip() or not _told(path, lambda: look(before))[0]):
        _write(_backup(path), before, path)
    _write(path, after, path)
    return True


def uninstall(path: Path) -> bool:
    """Takes our hooks out of a file; one that was made for them is deleted. False: there were none.

    Raises Refused, OSError. The backup goes where it has nothing to say.
    """
    before = _read(path)
    after = _told(path, lambda: uninstalled(before))
    if after == before:
        return False
    backup = _backup(path)
    kept = _read(backup) if backup.exists() else None
    if not after.strip() and kept is not None and not kept.strip():
        after = kept
    if after.strip() or after == kept:
        _write(path, after, path)
    else:
        os.unlink(os.path.realpath(path))
    if after == kept:
        backup.unlink()
    return True


def _backup(path: Path) -> Path:
    return path.with_name(path.name + BACKUP)


def _told(path: Path, asked: Callable[[], T]) -> T:
    try:
        return asked()
    except (NotJson, Refused) as problem:
        raise Refused(f"{path}: {problem}; nothing was changed") from problem


def _read(path: Path) -> str:
    """The text of a file, "" where there is none; bytes that are no UTF-8 survive it."""
    try:
        return path.read_bytes().decode("utf-8", "surrogateescape")
    except FileNotFoundError:
        return ""


def _write(path: Path, text: str, like: Path) -> None:
    """In one step, so that a client never reads half of it; behind a link, where that leads."""
    target = os.path.realpath(path)
    mode = like.stat().st_mode & 0o777 if like.exists() else 0o600
    file, name = tempfile.mkstemp(dir=os.path.dirname(target), prefix=".agentmon-")
    try:
        with os.fdopen(file, "wb") as made:
            made.write(text.encode("utf-8", "surrogateescape"))
            os.fchmod(made.fileno(), mode)
        os.replace(name, target)
    except BaseException:
        with suppress(OSError):
            os.unlink(name)
        raise
