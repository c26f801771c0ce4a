"""What a person searches for: words that must all be there, "phrases", starts*, -not, filters.

    parser error "no such file" read* -test tool:Bash agent:codex session:5b1d since:2h kind:result

Anything can be typed: what is no query in this language is a word to look for. Pure.
"""

import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache

from msgspec import Struct

from agentmon.config import duration

KINDS = ("prompt", "text", "thinking", "input", "result", "other")
"""What a text is: asked by a person, written or thought by a model, arguments, what came back."""

FIELDS = ("tool", "agent", "session", "kind", "since")

MOST_WORDS = 32
LONGEST = 64
"""Letters of a token that count: what is longer is data, not a word."""

_PIECE = (
    r"(?P<sign>-(?!-)|!)?(?:(?P<field>{}):)?"
    r'(?:"(?P<phrase>[^"]*)(?:"(?P<star>\*?)|$)|(?P<word>[^\s"]+))'
)
_TOKEN = re.compile(r"[^\W_]+")
_HUGE = re.compile(rf"([^\W_]{{{LONGEST}}})[^\W_]+")


class Word(Struct, frozen=True):
    """Tokens that stand side by side; of the last one the start is enough where `is_start`.

    `text` is what was typed, without quotes: the index finds its own tokens in it.
    """

    text: str
    tokens: tuple[str, ...]
    is_start: bool = False
    inverted: bool = False


class Condition(Struct, frozen=True):
    """A filter: its value is a whole name, or the start of one where `is_start`."""

    field: str
    value: str
    is_start: bool = False
    inverted: bool = False


class Query(Struct, frozen=True):
    """A parsed query. `within` is seconds back from now; `problems` are sentences on values that
    could not be read and do not count."""

    words: tuple[Word, ...] = ()
    conditions: tuple[Condition, ...] = ()
    within: float | None = None
    problems: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.words or self.conditions or self.within is not None)


class Piece(Struct, frozen=True):
    """One word, "phrase" or field:value as it was typed; `field` is "" where there is none."""

    field: str
    text: str
    is_start: bool
    inverted: bool


@lru_cache(maxsize=8)
def _pattern_of(fields: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile(_PIECE.format("|".join(fields)), re.IGNORECASE)


def pieces(text: str, fields: tuple[str, ...]) -> Iterator[Piece]:
    """What was typed, piece by piece. Half-typed filters ("tool:") are left out."""
    for found in _pattern_of(fields).finditer(_sound(text)):
        field = (found["field"] or "").lower()
        given = found["phrase"] if found["phrase"] is not None else found["word"]
        if field or not (given.endswith(":") and given[:-1].lower() in fields):
            is_start = bool(found["star"]) or given.endswith("*")
            yield Piece(field, given, is_start, found["sign"] is not None)


def parse(text: str) -> Query:
    """Never fails. Half-typed filters ("tool:") do not narrow yet."""
    words: list[Word] = []
    conditions: list[Condition] = []
    within: float | None = None
    problems: list[str] = []
    for piece in pieces(text, FIELDS):
        field, given = piece.field, piece.text
        is_start, inverted = piece.is_start, piece.inverted
        if not field:
            tokens = tokens_of(given)
            if tokens and len(words) < MOST_WORDS:
                words.append(Word(_tame(given), tokens, is_start, inverted))
        elif field == "since":
            try:
                within = duration(given)
            except ValueError:
                problems.append(f"since:{given} is no time: 30m, 2h and 3d are")
        elif (value := given.rstrip("*").strip()) and len(conditions) < MOST_WORDS:
            value = value.lower()
            if field == "kind" and not is_start and value not in KINDS:
                problems.append(f"there is no kind {value}: {', '.join(KINDS)}")
            conditions.append(Condition(field, value, is_start, inverted))
    return Query(tuple(words), tuple(conditions), within, tuple(problems))


def _sound(text: str) -> str:
    """Without what SQLite would take for the end of a text, or could not encode."""
    return text.replace("\0", " ").encode("utf-8", "replace").decode()


def tokens_of(text: str) -> tuple[str, ...]:
    """The tokens as the index has them: letters and digits, in any script."""
    return tuple(token[:LONGEST] for token in _TOKEN.findall(text) if _is_sayable(token))


def _is_sayable(token: str) -> bool:
    return any(unicodedata.category(char)[0] in "LN" for char in token)


def tame(text: str) -> str:
    """A text as it goes into the index: endless tokens (base64, hashes) are cut off."""
    return _tame(_sound(text))


def _tame(text: str) -> str:
    if max(map(len, text.split()), default=0) <= LONGEST:
        return text
    return _HUGE.sub(r"\1", text)


_HUMP = re.compile(r"[a-z0-9][A-Z]|[A-Z]{2}[a-z]")
_CAMEL = re.compile(r"[A-Za-z][A-Za-z0-9]*(?:[a-z0-9][A-Z]|[A-Z]{2}[a-z])[A-Za-z0-9]*")
_PART = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")


def parts_of(text: str) -> str:
    """The parts of camelCase words of a tamed text, each once: a word is found by them too."""
    if _HUMP.search(text) is None:
        return ""
    found: dict[str, None] = {}
    for word in dict.fromkeys(_CAMEL.findall(text)):
        if len(word) < LONGEST:  # longer ones are data
            found.update((part.lower(), None) for part in _PART.findall(word) if len(part) > 2)
    return " ".join(found)


class _Folded(dict[int, str]):
    """One letter for each letter: small, and without its marks."""

    def __missing__(self, code: int) -> str:
        first = unicodedata.normalize("NFKD", chr(code))[0].lower()
        found = self[code] = first if len(first) == 1 else chr(code)
        return found


_FOLDED = _Folded()


def fold(text: str) -> str:
    """The text in small letters without marks, letter for letter: places stay the same."""
    return text.lower() if text.isascii() else text.translate(_FOLDED)


def finder(query: Query, folded: str) -> re.Pattern[str] | None:
    """Finds the words that must be there in a folded text; group n is the n-th word. A word that
    stands nowhere by itself is looked for inside others: it may be a part of a camelCase one."""
    wanted = [_pattern(word, folded) for word in query.words if not word.inverted]
    return re.compile("|".join(f"({pattern})" for pattern in wanted)) if wanted else None


def _pattern(word: Word, folded: str) -> str:
    tokens = r"[\W_]+".join(re.escape(fold(token)) for token in word.tokens)
    whole = rf"(?<![^\W_]){tokens}" + ("[^\\W_]*" if word.is_start else r"(?![^\W_])")
    return whole if re.search(whole, folded) else tokens
