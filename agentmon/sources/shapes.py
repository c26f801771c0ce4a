"""Which files below a folder may be logs, by names alone (formats.md A, C.1, D.1).

A shape says what the insides of a folder are like. Names only sort out what is surely no log and
spare the reading of whole trees; what a file really is, its content decides.
"""

import re
from collections.abc import Collection
from typing import Literal, TypeAlias

from msgspec import Struct

from agentmon.core.events import Kind

Shape: TypeAlias = Literal[
    "any",
    "logs",
    "log",
    "capture",
    "claude",
    "projects",
    "slug",
    "session",
    "agents",
    "workflows",
    "registry",
    "codex",
    "rollouts",
]
"""`any`: whatever is below. `logs`: one wire log per subfolder (`log`).
`capture`: what agentmon's own tap and hooks write. `claude`: the folder of
Claude Code, with `projects`, a `slug` per working directory, in it a `session` folder with the
transcripts of its `agents` and their `workflows`; `registry`: its `<pid>.json`. `codex`: the
folder of Codex, with `rollouts` by year, month and day."""

WIRE = re.compile(r"sse_lines.*\.jsonl")
HOOKS = re.compile(r"hooks.*\.jsonl")
COMPRESSED = (".zst", ".gz")

_ANY = re.compile(r".+\.(?:jsonl|jsonl\.zst|jsonl\.gz|sse)")
_LINES = re.compile(r".+\.jsonl")
_AGENT = re.compile(r"agent-.+\.jsonl")
_ROLLOUT = re.compile(r"rollout-.+\.jsonl(?:\.zst)?")
_UUID = "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_SESSION = re.compile(_UUID)
_TRANSCRIPT = re.compile(rf"(?:agent-.+|{_UUID})\.jsonl")
_NOTHING = re.compile(r"(?!)")
ENTRY = re.compile(r"\d+\.json")
"""An entry of the registry. Nothing else beside it is ever opened: there are keys."""

_NO_LOGS = frozenset({"history.jsonl", "journal.jsonl", "session_index.jsonl"})
"""Prompt histories, indexes: not what agents said and did."""

_SKIPPED = frozenset({"node_modules", "tool-results", "__pycache__", "venv", "site-packages"})

_CLAUDE_MARKS = frozenset(
    {".claude.json", ".credentials.json", "file-history", "history.jsonl", "ide", "plugins"}
    | {"session-env", "settings.json", "shell-snapshots", "statsig", "todos"}
)
_CODEX_MARKS = frozenset(
    {"archived_sessions", "auth.json", "config.toml", "history.jsonl", "session_index.jsonl"}
)


class _Rule(Struct, frozen=True):
    """Which files of a folder are taken, and which of its subfolders are looked into as what."""

    files: re.Pattern[str]
    below: tuple[tuple[re.Pattern[str], Shape], ...] = ()
    product: str = ""
    kind: Kind | None = None


_EACH = re.compile(r".+")
_RULES: dict[Shape, _Rule] = {
    "any": _Rule(_ANY),
    "logs": _Rule(_NOTHING, ((_EACH, "log"),), kind="wire"),
    "log": _Rule(WIRE, kind="wire"),
    "capture": _Rule(re.compile(f"{WIRE.pattern}|{HOOKS.pattern}")),
    "claude": _Rule(
        WIRE, ((re.compile("projects"), "projects"), (re.compile("sessions"), "registry"))
    ),
    "projects": _Rule(_NOTHING, ((_EACH, "slug"),)),
    "slug": _Rule(_LINES, ((_EACH, "session"),), "claude", "transcript"),
    "session": _Rule(_NOTHING, ((re.compile("subagents"), "agents"),)),
    "agents": _Rule(_AGENT, ((re.compile("workflows"), "workflows"),), "claude", "transcript"),
    "workflows": _Rule(_NOTHING, ((_EACH, "agents"),)),
    "registry": _Rule(_NOTHING),
    "codex": _Rule(WIRE, ((re.compile("(?:archived_)?sessions"), "rollouts"),)),
    "rollouts": _Rule(_ROLLOUT, ((re.compile(r"\d+"), "rollouts"),), "codex", "rollout"),
}


def takes(shape: Shape, name: str) -> bool:
    """Whether a file of this name in a folder of this shape may be a log."""
    return name not in _NO_LOGS and _RULES[shape].files.fullmatch(name) is not None


def below(shape: Shape, name: str) -> Shape | None:
    """The shape of a subfolder; None: it is not looked into."""
    if shape == "any":
        is_hidden = name.startswith(".") and not name.startswith((".claude", ".codex"))
        return None if is_hidden or name in _SKIPPED else "any"
    for names, inside in _RULES[shape].below:
        if names.fullmatch(name):
            return inside
    return None


def guess(shape: Shape, name: str) -> tuple[str, Kind | None]:
    """(product, kind) of a file as far as its place and name tell; ("", None) where they don't."""
    rule = _RULES[shape]
    if WIRE.fullmatch(name):
        return rule.product, "wire"
    if shape == "capture":
        return rule.product, "hook"
    if rule.kind is not None:
        return rule.product, rule.kind
    if _ROLLOUT.fullmatch(name):
        return "codex", "rollout"
    if _TRANSCRIPT.fullmatch(name):
        return "claude", "transcript"
    return "", None


def seen_as(name: str, folders: Collection[str], files: Collection[str]) -> Shape:
    """What a folder is that may be anything, by its name and what is in it."""
    inside = {*folders, *files}
    if "projects" in folders and (name in ("claude", ".claude") or inside & _CLAUDE_MARKS):
        return "claude"
    has_sessions = "sessions" in folders or "archived_sessions" in folders
    if has_sessions and (name in ("codex", ".codex") or inside & _CODEX_MARKS):
        return "codex"
    if name == "projects" and any(one.startswith("-") for one in folders):
        return "projects"
    if name.startswith("-") and any(map(_TRANSCRIPT.fullmatch, files)):
        return "slug"
    if "subagents" in folders and _SESSION.fullmatch(name):
        return "session"
    if name == "sessions" and any(map(ENTRY.fullmatch, files)):
        return "registry"
    if name in ("sessions", "archived_sessions") and (
        any(map(str.isdecimal, folders)) or any(map(_ROLLOUT.fullmatch, files))
    ):
        return "rollouts"
    return "any"


def may_be_log(name: str) -> bool:
    """Whether a new file of this name is worth a look at its folder."""
    return takes("any", name) or ENTRY.fullmatch(name) is not None
