"""Secrets in text that leaves the machine: found by their shapes, replaced by a mark.

`[redacted:github]` says what was there; `[redacted:random]` that it looked like a key of no known
kind. Code that only speaks of secrets (`password = ask()`, `max_tokens=4096`), hashes and ids stay
as they are. Home folders become `~`, since they carry a person's name; names of people and machines
that are known become `[user]` and `[host]`. What nobody can tell from other text is not found:
redaction lowers a risk, it removes none.
"""

import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence

from agentmon.core.random_words import random_words
from agentmon.core.secret_shapes import RULES, Rule

RULES_VERSION = 2
"""Named in what is exported, so that a reader knows what was looked for."""

ROUNDS = 5
"""How often a text is gone through at most."""

Edit = tuple[int, int, str]
"""(start, end, what takes its place)."""


def _mark(kind: str) -> str:
    return f"[redacted:{kind}]"


_HOME = re.compile(
    r"(?<![\w.~-])(?:/home/|/Users/|[A-Za-z]:\\{1,2}Users\\{1,2})([^/\\\s\"'`:;,)\]}>]+)"
)
_PROJECT = re.compile(r"(?<=/)-(?:home|Users)-[^-/\s]+(?=[-/\s]|$)")

COMMON = re.compile(
    r"(?i)(?:root|users?|admin|administrator|ubuntu|debian|fedora|centos|ec2-user|runner|vagrant"
    r"|docker|node|app|git|dev|test|guest|nobody|www-data|home|work|agents?|build|jenkins|claude"
    r"|codex|python|shared|public|default|host|localhost|localdomain|server|desktop|laptop"
    r"|macbook)\Z"
)
"""Names of users and machines that tell nothing of anybody, and are words of code besides."""


def _names(names: Iterable[str]) -> re.Pattern[str] | None:
    """Finds names as whole words. Short and common ones are left alone."""
    known = {name for name in names if len(name) >= 3 and not COMMON.match(name)}
    if not known:
        return None
    pattern = "|".join(map(re.escape, sorted(known, key=lambda name: (-len(name), name))))
    return re.compile(rf"(?i)(?:(?<![A-Za-z0-9])|(?<=\\[nrtbf]))(?:{pattern})(?![A-Za-z0-9])")


class Redactor:
    """Redacts text: secrets, the homes of people, and names that are known.

    `homes` are folders known to be homes, `users` and `hosts` names of people and machines.
    """

    def __init__(
        self, homes: Sequence[str] = (), users: Sequence[str] = (), hosts: Sequence[str] = ()
    ) -> None:
        known = sorted({home.rstrip("/") for home in homes} - {""}, key=len, reverse=True)
        pattern = "|".join(map(re.escape, known))
        self._known = re.compile(rf"(?<![\w.~-])(?:{pattern})(?![\w.-])") if known else None
        self._users, self._hosts = _names(users), _names(hosts)
        self.counts: Counter[str] = Counter()
        """How often what was taken out, by kind."""

    def __call__(self, text: str) -> str:
        """The text without what was found. Redacting twice changes nothing more."""
        return self.cut(text, ())[0]

    def cut(self, text: str, ends: Sequence[int]) -> tuple[str, list[int]]:
        """The same for a text that was written in pieces, with the places where they end then.
        A mark belongs to the piece that its secret began in."""
        places = [*ends]
        for _ in range(ROUNDS):  # a mark may uncover what stood against a secret
            before = text
            for edits in self._stages(text):
                found = [*edits(text)]
                if found:
                    text, places = _apply(text, found, places)
            if text == before:
                break
        return text, places

    def _stages(self, text: str) -> Iterator[Callable[[str], Iterable[Edit]]]:
        low = text.lower()
        for rule in RULES:
            if any(hint in low for hint in rule.hints):
                yield lambda text, rule=rule: self._count(rule.kind, _found(rule, text))
        yield lambda text: self._count("random", _random(text))
        if self._known is not None:
            yield self._homes(self._known, "~")
        yield self._homes(_HOME, "~")
        yield self._homes(_PROJECT, "-~")
        if self._users is not None:
            yield self._homes(self._users, "[user]")
        if self._hosts is not None:
            yield self._homes(self._hosts, "[host]")

    def _homes(self, pattern: re.Pattern[str], mark: str) -> Callable[[str], Iterable[Edit]]:
        def edits(text: str) -> Iterator[Edit]:
            for found in pattern.finditer(text):
                yield (*found.span(), mark)

        return lambda text: self._count(_KINDS[mark], edits(text))

    def _count(self, kind: str, edits: Iterable[Edit]) -> Iterator[Edit]:
        for edit in edits:
            self.counts[kind] += 1
            yield edit


_KINDS = {"~": "home", "-~": "home", "[user]": "user", "[host]": "host"}


def _random(text: str) -> Iterator[Edit]:
    return ((start, end, _mark("random")) for start, end in random_words(text))


def _found(rule: Rule, text: str) -> Iterator[Edit]:
    """What a rule would take out."""
    mark = _mark(rule.kind)
    for match in rule.pattern.finditer(text):
        secret = match[rule.group]
        is_marked = secret.startswith("[redacted:")
        if not is_marked and (rule.check is None or rule.check(secret)):
            yield (*match.span(rule.group), mark)


def _apply(text: str, edits: Sequence[Edit], places: Sequence[int]) -> tuple[str, list[int]]:
    """A text after edits that do not overlap, and where places of it are then: one within an edit
    comes behind it."""
    pieces: list[str] = []
    moved: list[int] = []
    at = length = done = 0
    for start, end, mark in edits:
        pieces += (text[at:start], mark)
        until = bisect_left(places, start + 1, done)
        moved += (place - at + length for place in places[done:until])
        length += start - at + len(mark)
        done = bisect_left(places, end, until)
        moved += [length] * (done - until)
        at = end
    pieces.append(text[at:])
    moved += (place - at + length for place in places[done:])
    return "".join(pieces), moved


def keep(text: str) -> str:
    """Redacts nothing."""
    return text
