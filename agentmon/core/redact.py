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
from functools import partial

from msgspec import Struct

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

WORDS = re.compile(
    r"(?i)(?:will|mark|bill|may|june|april|august|art|guy|pat|sue|rob|ray|max|drew|frank|jack|rich"
    r"|nick|chip|cliff|dale|dean|gene|grant|chase|rose|grace|hope|faith|joy|dawn|summer|amber|iris"
    r"|robin|victor|norm|stew|miles|penny|lane|page|case|field|price|read|white|black|green|brown"
    r"|king|rock|sandy|storm|sky|star|dev\w?|main|master|local|remote|laptop\d?|pc|mac|tower|hub)\Z"
)
"""Names that are words, too: they are taken out only where they stand as a name does."""


class _Step(Struct, frozen=True):
    """Something that is looked for. `hints`: one of them is in every text that has it, in lower
    case."""

    kind: str
    hints: tuple[str, ...]
    edits: Callable[[str], Iterable[Edit]]


class Redactor:
    """Redacts text: secrets, the homes of people, and names that are known.

    `homes` are folders known to be homes, `users` and `hosts` names of people and machines.
    """

    def __init__(
        self, homes: Sequence[str] = (), users: Sequence[str] = (), hosts: Sequence[str] = ()
    ) -> None:
        self.counts: Counter[str] = Counter()
        """How often what was taken out, by kind."""
        kinds = ["secrets of known shapes", "home folders"]
        kinds += ["names of users and of this machine"] if users or hosts else []
        self.says = f"{', '.join(kinds[:-1])} and {kinds[-1]}, rules {RULES_VERSION}"
        """What it takes out, in words."""
        self._steps = [
            *(_Step(rule.kind, rule.hints, partial(_found, rule)) for rule in RULES),
            _Step("random", ("",), _random),
            *_known_homes(homes),
            _Step("home", ("/home/", "/users/", ":\\"), partial(_all, _HOME, "~")),
            _Step("home", ("-home-", "-users-"), partial(_all, _PROJECT, "-~")),
            *_names("user", users),
            *_names("host", hosts),
        ]
        self._by_hint: dict[str, list[int]] = {}
        for place, step in enumerate(self._steps):
            for hint in step.hints:
                self._by_hint.setdefault(hint, []).append(place)

    def __call__(self, text: str) -> str:
        """The text without what was found. Redacting twice changes nothing more."""
        return self.cut(text, ())[0]

    def cut(self, text: str, ends: Sequence[int]) -> tuple[str, list[int]]:
        """The same for a text that was written in pieces, with the places where they end then.
        A mark belongs to the piece that its secret began in."""
        places = [*ends]
        for _ in range(ROUNDS):  # a mark may uncover what stood against a secret
            before = text
            for step in self._due(text.lower()):
                found = [*step.edits(text)]
                if found:
                    self.counts[step.kind] += len(found)
                    text, places = _apply(text, found, places)
            if text == before:
                break
        return text, places

    def _due(self, low: str) -> list[_Step]:
        """What may be in a text, in the order in which it is looked for."""
        due: set[int] = set()
        for hint, places in self._by_hint.items():
            if hint in low:
                due.update(places)
        return [self._steps[place] for place in sorted(due)]


def _known_homes(homes: Sequence[str]) -> Iterator[_Step]:
    known = sorted({home.rstrip("/") for home in homes} - {""}, key=len, reverse=True)
    if known:
        found = re.compile(rf"(?<![\w.~-])(?:{'|'.join(map(re.escape, known))})(?![\w.-])")
        yield _Step("home", tuple(home.lower() for home in known), partial(_all, found, "~"))


def _names(kind: str, names: Sequence[str]) -> Iterator[_Step]:
    """Finds names as whole words. Short and common ones are left alone; those that are words of
    the language go where a `@` or a path says what they are."""
    known = {name.lower() for name in names if len(name) >= 3 and not COMMON.match(name)}
    ordered = sorted(known, key=lambda name: (-len(name), name))
    begin, end = r"(?:(?<![A-Za-z0-9])|(?<=\\[nrtbf]))", r"(?![A-Za-z0-9])"
    patterns: list[str] = []
    for name in ordered:
        found = f"{re.escape(name)}{end}"
        is_word = WORDS.match(name)
        patterns.append(f"(?<=[@/~]){found}|{found}(?=@)" if is_word else found)
    if patterns:
        whole = re.compile(rf"(?i){begin}(?:{'|'.join(patterns)})")
        yield _Step(kind, tuple(ordered), partial(_all, whole, f"[{kind}]"))


def _all(pattern: re.Pattern[str], mark: str, text: str) -> Iterator[Edit]:
    return ((*found.span(), mark) for found in pattern.finditer(text))


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
