"""What a shell command line runs: its simple commands, with the folder each runs in. Pure.

As much of the language as agents write: quotes, `&&`, `||`, `;`, `|`, `&`, subshells, redirections,
here-documents, `$(…)`, and the words that stand before a command (`sudo`, `timeout 60`,
`uv run`, `bash -lc '…'`). What is no shell is read as far as it goes; nothing raises.
"""

import posixpath
import re
from collections.abc import Iterator

from msgspec import Struct, field

MOST, MOST_WITH_DOCUMENTS = 1 << 16, 1 << 20
"""Characters of a command line that are read, and of one with its here-documents."""
MOST_PATH = 4096
"""Characters of a folder's path; beyond, it counts as not known."""
_DEEPEST = 8


class Simple(Struct):
    """A simple command: its words without quotes, and what it depends on."""

    argv: list[str] = field(default_factory=list[str])
    before: str = ""
    """What stands before it: "", "&&", "||", ";", "|", "&"."""
    after: str = ""
    """What stands after it."""
    documents: list[str] = field(default_factory=list[str])
    """Its here-documents."""
    cwd: str | None = None
    """Where it runs; None: not known."""
    open: set[int] = field(default_factory=set[int])
    """Which of its words hold something that only the shell knows: variables, substitutions."""

    @property
    def is_masked(self) -> bool:
        """Whether its exit code is not the one of what it is part of."""
        return self.after in ("|", "||", ";", "&")


_WORD = re.compile(r"[^\s;&|()<>'\"\\$`#*?\[{}!]+")
_HEREDOC = re.compile(r"<<(-?)[ \t]*(?:'([^'\n]*)'|\"([^\"\n]*)\"|\\?([^\s;&|()<>'\"]+))")
_REDIRECTION = re.compile(r"(?:\d*|&)(?:>>|>\||>&|<&|>|<>|<<<|<)")
_OPERATOR = re.compile(r"&&|\|\||;;|\|&|[;|&\n]")
_DOUBLE = re.compile(r"[^\"\\$`]+")
_VARIABLE = re.compile(r"\$(?:\{[^}\n]{0,256}\}|[A-Za-z_]\w*|[0-9@*#?$!-])")


class _Lexer:
    """One pass over a text; `at` only moves forward, so the work is linear."""

    def __init__(self, text: str, at: int = 0, depth: int = 0) -> None:
        self.text = text
        self.at: int = at
        self.end: int = at + MOST
        """Where reading ends; here-documents, which cost little, move it."""
        self._depth = depth
        self._due: list[tuple[Simple, str, bool]] = []
        """Here-documents whose bodies begin after this line."""

    def commands(self, *, is_inner: bool = False) -> list[Simple]:
        """The simple commands up to the end, or to the ")" that ends a substitution."""
        found: list[Simple] = []
        now, nested = Simple(), 0
        text = self.text
        while self.at < min(self.end, len(text)):
            char = text[self.at]
            if char in " \t\r":
                self.at += 1
            elif char == "#" and (self.at == 0 or text[self.at - 1] in " \t\n;"):
                self.at = _line_end(text, self.at)
            elif char in "()":
                self.at += 1
                nested += 1 if char == "(" else -1
                if nested < 0 and is_inner:
                    break
                nested = max(nested, 0)
            elif self._document(now) or self._redirection():
                continue
            elif (operator := _OPERATOR.match(text, self.at)) is not None:
                self.at = operator.end()
                sign = operator[0].replace("\n", ";").replace(";;", ";").replace("|&", "|")
                now = _next(found, now, sign)
                if operator[0] == "\n":
                    self._bodies()
            else:
                word, is_open = self._word()
                if is_open:
                    now.open.add(len(now.argv))
                now.argv.append(word)
        _next(found, now, "")
        self._bodies()
        return found

    def _document(self, now: Simple) -> bool:
        found = _HEREDOC.match(self.text, self.at)
        if found is None or self.text.startswith("<<<", self.at):
            return False
        self.at = found.end()
        mark = next((mark for mark in found.groups()[1:] if mark is not None), "")
        self._due.append((now, mark, found[1] == "-"))
        return True

    def _redirection(self) -> bool:
        found = _REDIRECTION.match(self.text, self.at)
        if found is None:
            return False
        self.at = found.end()
        while self.at < len(self.text) and self.text[self.at] in " \t":
            self.at += 1
        if self.at < len(self.text) and self.text[self.at] not in "\n;|&()<>":
            self._word()
        elif self.text.startswith("&", self.at):
            self.at += 1
        return True

    def _bodies(self) -> None:
        """Reads the here-documents that begin here."""
        due, self._due = self._due, []
        start = self.at
        for command, mark, is_dashed in due:
            lines: list[str] = []
            while self.at < len(self.text):
                end = _line_end(self.text, self.at)
                line = self.text[self.at : end]
                self.at = end + 1
                line = line.lstrip("\t") if is_dashed else line
                if line.rstrip("\r") == mark:
                    break
                lines.append(line + "\n")
            command.documents.append("".join(lines))
        self.at = min(self.at, len(self.text))
        self.end += self.at - start

    def _word(self) -> tuple[str, bool]:
        """The word at this place; whether some of it is only known to the shell."""
        parts: list[str] = []
        text, start, is_open = self.text, self.at, False
        while self.at < len(text):
            char = text[self.at]
            if char in " \t\r\n;&|()<>":
                break
            plain = _WORD.match(text, self.at)
            if plain is not None:
                parts.append(plain[0])
                self.at = plain.end()
            elif char == "'":
                parts.append(self._single())
            elif char == '"':
                piece, more = self._double()
                parts.append(piece)
                is_open = is_open or more
            elif char == "\\":
                parts.append(
                    ""
                    if text[self.at + 1 : self.at + 2] == "\n"
                    else text[self.at + 1 : self.at + 2]
                )
                self.at += 2
            elif char in "$`":
                piece, more = self._expansion()
                parts.append(piece)
                is_open = is_open or more
            else:
                is_open = is_open or char in "*?["
                parts.append(char)
                self.at += 1
        if self.at == start:
            self.at += 1
        return "".join(parts), is_open

    def _single(self) -> str:
        end = self.text.find("'", self.at + 1)
        end = len(self.text) if end < 0 else end
        piece = self.text[self.at + 1 : end]
        self.at = end + 1
        return piece

    def _double(self) -> tuple[str, bool]:
        parts: list[str] = []
        text, is_open = self.text, False
        self.at += 1
        while self.at < len(text):
            char = text[self.at]
            plain = _DOUBLE.match(text, self.at)
            if plain is not None:
                parts.append(plain[0])
                self.at = plain.end()
            elif char == '"':
                self.at += 1
                break
            elif char == "\\":
                escaped = text[self.at + 1 : self.at + 2]
                parts.append(escaped if escaped in '"\\$`' else f"\\{escaped}")
                self.at += 2
            else:
                piece, more = self._expansion()
                parts.append(piece)
                is_open = is_open or more
        return "".join(parts), is_open

    def _expansion(self) -> tuple[str, bool]:
        """What stands at a "$" or "`": its text, and whether only the shell knows it."""
        text, start = self.text, self.at
        if text.startswith("$(", start) and self._depth < _DEEPEST:
            inner = _Lexer(text, start + 2, self._depth + 1)
            inner.end = self.end
            commands = inner.commands(is_inner=True)
            self.at, self.end = inner.at, inner.end
            if len(commands) == 1 and commands[0].argv == ["cat"] and commands[0].documents:
                return commands[0].documents[0].rstrip("\n"), False
            return text[start : self.at], True
        if text.startswith("$'", start):
            self.at += 1
            return self._single(), False
        if text[start] == "`":
            end = text.find("`", start + 1)
            self.at = len(text) if end < 0 else end + 1
            return text[start : self.at], True
        found = _VARIABLE.match(text, start)
        self.at = start + 1 if found is None else found.end()
        return text[start : self.at], found is not None or text.startswith("$(", start)


def _line_end(text: str, at: int) -> int:
    end = text.find("\n", at)
    return len(text) if end < 0 else end


def _next(found: list[Simple], now: Simple, sign: str) -> Simple:
    """Takes a command that is over; the one after it."""
    if now.argv or now.documents:
        now.after = sign
        found.append(now)
    elif found and sign and found[-1].after in ("", ";") and sign != ";":
        found[-1].after = sign
    return Simple(before=sign if found else "")


# What runs in it

_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*\+?=")
_KEYWORDS = {
    "if",
    "then",
    "else",
    "elif",
    "do",
    "while",
    "until",
    "!",
    "{",
    "}",
    "time",
    "fi",
    "done",
}
_PREFIXES = {"sudo", "env", "command", "exec", "nohup", "nice", "builtin", "stdbuf", "xvfb-run"}
_RUNNERS = {
    ("uv", "run"), ("poetry", "run"), ("pipenv", "run"), ("pdm", "run"), ("hatch", "run"),
    ("rye", "run"), ("pixi", "run"), ("bundle", "exec"), ("pnpm", "exec"), ("pnpm", "dlx"),
    ("yarn", "exec"), ("yarn", "dlx"), ("npm", "exec"), ("bun", "x"), ("docker", "exec"),
    ("mise", "exec"),
}  # fmt: skip
_TAKING = {"-u", "-n", "-s", "-k", "-C", "-p", "--with", "--extra", "--group", "--python", "--user"}
_SHELLS = {"bash", "sh", "zsh", "dash", "ksh"}


def run_by(text: str, cwd: str | None = None) -> list[Simple]:
    """The simple commands of a command line, what stands before them taken off."""
    return list(_run(_parsed(text), cwd, 0))


def _parsed(text: str) -> list[Simple]:
    found = _Lexer(text[: MOST_WITH_DOCUMENTS if "<<" in text else MOST]).commands()
    if found and found[-1].after == ";":
        found[-1].after = ""
    return found


def run_by_words(argv: list[str], cwd: str | None = None) -> list[Simple]:
    """The same of a command that was given as words, which no shell reads."""
    return list(_run([Simple(argv=argv)], cwd, 0))


def _run(commands: list[Simple], cwd: str | None, depth: int) -> Iterator[Simple]:
    for command in commands:
        _strip(command)
        argv = command.argv
        command.cwd = cwd
        name = posixpath.basename(argv[0]) if argv else ""
        if name in ("cd", "pushd"):
            cwd = _changed(cwd, command)
        inner = _inner(name, argv) if depth < _DEEPEST and not command.documents else None
        if inner is None:
            yield command
            continue
        found = list(_run(_parsed(inner), cwd, depth + 1))
        if found:
            found[0].before = found[0].before or command.before
            found[-1].after = found[-1].after or command.after
        yield from found


def _inner(name: str, argv: list[str]) -> str | None:
    """The command line that a shell is given: of `bash -lc '…'` the last."""
    if name == "eval" and len(argv) > 1:
        return " ".join(argv[1:])
    if name not in _SHELLS:
        return None
    for at, word in enumerate(argv[1:], 1):
        if word.startswith("-") and not word.startswith("--") and word.endswith("c"):
            return argv[at + 1] if at + 1 < len(argv) else None
        if not word.startswith("-"):
            return None
    return None


def _changed(cwd: str | None, command: Simple) -> str | None:
    """The folder after a `cd`."""
    target = next((word for word in command.argv[1:] if not word.startswith("-")), None)
    if target is None or command.open or target.startswith("~"):
        return None
    return folder(cwd, target)


def folder(cwd: str | None, path: str) -> str | None:
    """A folder as seen from another; None where its path is too long to be one."""
    found = joined(cwd, path)
    return found if len(found) <= MOST_PATH else None


def joined(cwd: str | None, path: str) -> str:
    """A path as seen from a folder; as it is where the folder is not known."""
    if path.startswith("/"):
        return posixpath.normpath(path)
    if path.startswith("~") or not cwd:
        return posixpath.normpath(path) if path else path
    return posixpath.normpath(posixpath.join(cwd, path))


def _strip(command: Simple) -> None:
    """Takes off what stands before a command: keywords, assignments, `sudo`, `timeout 60`, …"""
    argv, at = command.argv, 0
    while at < len(argv):
        name = posixpath.basename(argv[at])
        if name in _KEYWORDS or _ASSIGNMENT.match(argv[at]):
            at += 1
        elif name in _PREFIXES:
            at = _past_options(argv, at + 1)
        elif name in ("npx", "bunx", "uvx", "pipx") and at + 1 < len(argv):
            at = _past_options(argv, at + 1 + (name == "pipx" and argv[at + 1] == "run"))
        elif name == "timeout":
            at = _past_options(argv, at + 1) + 1
        elif tuple(argv[at : at + 2]) in _RUNNERS:
            at = _past_options(argv, at + 2) + (name == "docker")
        else:
            break
    command.argv = argv[at:]
    command.open = {place - at for place in command.open if place >= at}


def _past_options(argv: list[str], at: int) -> int:
    while at < len(argv) and argv[at].startswith("-"):
        is_last = argv[at] == "--"
        at += 2 if argv[at] in _TAKING else 1
        if is_last:
            break
    return at
