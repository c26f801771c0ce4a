"""What is usual for an agent or a tool: the yardsticks of the verdicts. Pure."""

import re
from collections.abc import Iterable, Sequence
from itertools import pairwise

from msgspec import Struct

MIN_GAPS = 50
"""Pauses between bytes that must be known before they tell what is usual."""

MIN_CALLS = 5
"""The same for runs of a tool, and for waits for a first byte."""


class Yardstick(Struct, frozen=True):
    """The 99th percentile in seconds, and over how many it was taken."""

    p99: float
    count: int


def percentile(values: Iterable[float], share: float) -> float:
    """The lower nearest rank. Of 100 values or fewer the highest never counts: one old hang must
    not make the next one usual."""
    ordered = sorted(values)
    return ordered[int(share * (len(ordered) - 1))]


def yardstick(values: Sequence[float], at_least: int) -> Yardstick | None:
    """None where too little is known."""
    if len(values) < at_least:
        return None
    return Yardstick(percentile(values, 0.99), len(values))


def gaps(times: Iterable[float]) -> list[float]:
    """The pauses between moments, in whatever order these come."""
    ordered = sorted(times)
    return [later - earlier for earlier, later in pairwise(ordered)]


# -- what is the same kind of command

_COMMAND_TOOLS = frozenset({"Bash", "exec_command", "local_shell", "shell", "shell_command"})

_FIELDS = re.compile(r'"(?:command|cmd)"\s*:\s*(?:"((?:[^"\\]|\\.)*)|\[([^\]]*))')
_WORD = re.compile(r"""[^\s"']+|"[^"]*"|'[^']*'""")
_SHELLS = frozenset({"bash", "sh", "zsh", "dash"})
_WRAPPERS = frozenset({"sudo", "time", "nice", "nohup", "env", "exec", "command", "timeout", "uv"})
_FAMILIES = frozenset(
    {
        *("git", "npm", "npx", "pnpm", "yarn", "bun", "cargo", "go", "docker", "kubectl", "make"),
        *("gradle", "mvn", "pip", "poetry", "terraform", "gh", "apt", "brew", "just", "dotnet"),
    }
)
"""Programs whose first word says what they do."""

_PYTHON = re.compile(r"python[\d.]*")
_SEPARATOR = re.compile(r"\s*(?:&&|\|\||;|\n)\s*")


def command_prefix(tool_name: str | None, arguments: str | None) -> str:
    """What a call runs, in a word or two: "pytest", "git push", "npm test"; "" for other tools.

    `arguments` are as the store previews them: the command itself, or JSON that holds it.
    """
    if tool_name not in _COMMAND_TOOLS or not arguments:
        return ""
    command = _command_of(arguments)
    for part in _SEPARATOR.split(command):
        words = _program(part)
        if words and words[0] not in ("cd", "export", "set", "source", "."):
            return " ".join(words)
    return ""


def _command_of(arguments: str) -> str:
    if not arguments.lstrip().startswith(("{", "[")):
        return arguments
    found = _FIELDS.search(arguments)
    text = (found[1] or found[2] or "") if found is not None else arguments.strip("[]{} ")
    return text.replace('","', " ").replace('", "', " ").replace('\\"', '"').replace('"', "")


def _program(part: str) -> list[str]:
    """The program of a simple command, without what only stands before it."""
    words = [word.strip("\"'") for word in _WORD.findall(part)]
    while words:
        name = words[0].rsplit("/", 1)[-1]
        rest = words[1:]
        if "=" in name or name in _WRAPPERS or name.startswith("-") or name[:1].isdigit():
            words = rest[1:] if name == "uv" and rest[:1] == ["run"] else rest
        elif name in _SHELLS and rest and rest[0] in ("-c", "-lc"):
            words = " ".join(rest[1:]).split()
        elif _PYTHON.fullmatch(name):
            return _of_python(rest)
        else:
            first = next((word for word in rest if not word.startswith("-")), "")
            return [name, first] if name in _FAMILIES and first else [name]
    return []


def _of_python(rest: Sequence[str]) -> list[str]:
    if rest[:1] == ["-m"] and len(rest) > 1:
        return [rest[1]]
    script = next((word for word in rest if not word.startswith("-")), "")
    return ["python", script.rsplit("/", 1)[-1]] if script.endswith(".py") else ["python"]
