"""Keys of no known kind: words that look as if they were drawn by lot."""

import re
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from math import log2

_TOKEN = re.compile(
    r"(?:(?<![\w+/\\-])|(?<=\\[nrtbf]))(?<!base64,)(?<!SHA256:)(?<!h1:)"
    r"[A-Za-z0-9+/_-]{24,512}={0,2}(?![\w+/=-])"
)
_KNOWN_IDS = re.compile(
    r"(?:sha(?:1|256|384|512)-|msg_|req_|toolu_|srvtoolu_|resp_|call_|rs_|fc_|ws_|mcp_|item_|run_"
    r"|chatcmpl-|thread_|file-|cmpl-|AAAA)"
)
"""How ids and public keys begin, which look the same and are no secret."""

_PUBLIC = re.compile(
    r"-----BEGIN (?P<what>CERTIFICATE(?: REQUEST)?|(?:[A-Z0-9]+ )*PUBLIC KEY(?: BLOCK)?"
    r"|(?:SSH|PGP) SIGNATURE|PGP MESSAGE)-----[\s\S]*?(?:-----END (?P=what)-----|\Z)"
)
_HEX = re.compile(r"(?:0x)?[0-9a-fA-F]+\Z")

SHORTEST = 24
"""Characters of a word that is looked at."""

ENTROPY = 3.7
"""Bits per character from which a word may be random: 24 characters of base 62 have 4.2 or so."""

CHANGES = 0.4
"""Share of neighbours of different classes (lower, upper, digit) from which on. Of random ones
two thirds are; of words that are written together less than a third."""


def is_random(token: str) -> bool:
    """Whether a word looks as if it was drawn: neither written by a person nor a hash or an id."""
    token = token.rstrip("=")
    if _KNOWN_IDS.match(token) or _HEX.match(token):
        return False
    letters = [char for char in token if char.isalnum()]
    classes = [_class(char) for char in letters]
    if len(letters) < 20 or set(classes) != {"a", "A", "0"} or classes.count("0") < 2:
        return False
    changes = sum(a != b for a, b in pairwise(classes)) / (len(classes) - 1)
    return changes >= CHANGES and _entropy(token) >= ENTROPY


def _class(char: str) -> str:
    return "0" if char.isdigit() else "A" if char.isupper() else "a"


def _entropy(text: str) -> float:
    size = len(text)
    return -sum(n / size * log2(n / size) for n in Counter(text).values())


def random_words(text: str) -> Iterator[tuple[int, int]]:
    """Where such words are. What is public by its nature (certificates, signatures) is none."""
    public = [(found.start(), found.end()) for found in _PUBLIC.finditer(text)]
    for found in _TOKEN.finditer(text):
        if not any(a <= found.start() < b for a, b in public):
            yield from _in_token(found[0], found.start())


def _in_token(token: str, at: int) -> Iterator[tuple[int, int]]:
    """All of a word, or what stands between the slashes of a path."""
    if is_random(token):
        yield at, at + len(token)
    elif "/" in token and not _KNOWN_IDS.match(token):
        for part in token.split("/"):
            if len(part) >= SHORTEST and is_random(part):
                yield at, at + len(part)
            at += len(part) + 1
