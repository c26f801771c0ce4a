"""How many lines a change adds and deletes: edits of Claude Code, patches of Codex. Pure."""

import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Sequence

from msgspec import Struct

MOST_PAIRS = 50_000
"""Equal lines, counted in pairs, up to which the shortest way between two texts is found; beyond, a
line that is somewhere in both counts as not changed."""

Lines = tuple[int, int]
"""Added, deleted."""


def lines_of(text: str) -> int:
    """Lines of a file with this content."""
    return text.count("\n") + (not text.endswith("\n") and text != "")


def edited(old: str, new: str) -> Lines:
    """Lines added and deleted where `old` in a file becomes `new`.

    Both are pieces of a file, so their ends are not ends of lines: "a" that becomes "b" is a line
    deleted and one added. What becomes nothing goes with its line end, and what comes from nothing
    is a file that begins."""
    if not old:
        return lines_of(new), 0
    if not new:
        return 0, lines_of(old)
    return _difference(old.split("\n"), new.split("\n"))


def _difference(old: Sequence[str], new: Sequence[str]) -> Lines:
    start, most = 0, min(len(old), len(new))
    while start < most and old[start] == new[start]:
        start += 1
    end = 0
    while end < most - start and old[-1 - end] == new[-1 - end]:
        end += 1
    old, new = old[start : len(old) - end], new[start : len(new) - end]
    there, here = Counter(old), Counter(new)
    pairs = sum(count * here[line] for line, count in there.items())
    same = (there & here).total() if pairs > MOST_PAIRS else _common(old, new)
    return len(new) - same, len(old) - same


def _common(old: Sequence[str], new: Sequence[str]) -> int:
    """The length of the longest common subsequence, by pairs of equal lines (Hunt, Szymanski)."""
    places: dict[str, list[int]] = {}
    for at in range(len(new) - 1, -1, -1):
        places.setdefault(new[at], []).append(at)
    ends: list[int] = []  # of common subsequences, by length: where the first of them ends in `new`
    for line in old:
        for at in places.get(line, ()):
            length = bisect_left(ends, at)
            ends[length : length + 1] = [at]
    return len(ends)


class PatchFile(Struct):
    """A file in a patch of `apply_patch`."""

    what: str
    """add, update, delete."""
    path: str
    moved_to: str | None = None
    added: int = 0
    deleted: int | None = 0
    """None: a whole file, whose lines the patch does not say."""


_FILE = re.compile(r"\*\*\* (Add|Update|Delete) File: (.+)")
_MOVE = re.compile(r"\*\*\* Move to: (.+)")
_BEGIN = "*** Begin Patch"


def patches(text: str) -> Iterator[PatchFile]:
    """The files of the patches in a text; what is around them is passed over."""
    for piece in text.split(_BEGIN)[1:]:
        yield from _patch(piece.split("\n*** End Patch", 1)[0])


def _patch(text: str) -> Iterator[PatchFile]:
    now: PatchFile | None = None
    for line in text.split("\n"):
        found = _FILE.match(line)
        if found is not None:
            if now is not None:
                yield now
            what, path = found[1].lower(), found[2].strip()
            now = PatchFile(what, path, deleted=None if what == "delete" else 0)
        elif now is None:
            continue
        elif (moved := _MOVE.match(line)) is not None:
            now.moved_to = moved[1].strip()
        elif line.startswith("+"):
            now.added += 1
        elif line.startswith("-") and now.deleted is not None:
            now.deleted += 1
    if now is not None:
        yield now


# Scripts that call tools (`exec` of Codex)

_QUOTE = re.compile(r"[\"'`]")
_INSIDE = {
    '"': re.compile(r'(?:[^"\\\n]|\\.)*+', re.DOTALL),
    "'": re.compile(r"(?:[^'\\\n]|\\.)*+", re.DOTALL),
    "`": re.compile(r"(?:[^`\\]|\\.)*+", re.DOTALL),
}
_ESCAPE = re.compile(r"\\(u\{[0-9a-fA-F]{1,6}\}|u[0-9a-fA-F]{4}|x[0-9a-fA-F]{2}|\r\n|.)", re.DOTALL)
_ESCAPED = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", "v": "\v", "0": "\0", "\n": ""}


MOST_LITERALS = 2_000
"""Strings of a script that are read."""


class Literal(Struct):
    """A string in a script, and what stands before it."""

    text: str
    before: str


def literals(script: str) -> Iterator[Literal]:
    """The strings of a script, unescaped. Strings that begin in comments may mislead it."""
    start, count = _QUOTE.search(script), 0
    while start is not None and count < MOST_LITERALS:
        count += 1
        inside = _INSIDE[start[0]].match(script, start.end())
        end = start.end() if inside is None else inside.end()
        if inside is not None and script.startswith(start[0], end):
            before = script[max(0, start.start() - 40) : start.start()]
            yield Literal(_ESCAPE.sub(_unescape, inside[0]), before)
        start = _QUOTE.search(script, end + 1)


def _unescape(match: re.Match[str]) -> str:
    what = match[1]
    if len(what) == 1:
        return _ESCAPED.get(what, what)
    if what == "\r\n":
        return ""
    number = int(what[1:].strip("{}"), 16)
    return chr(number) if number < 0x110000 and not 0xD800 <= number < 0xE000 else "\ufffd"
