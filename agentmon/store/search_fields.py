"""A person's words as an expression of FTS5 over a table with columns of its own: words that must
all be there, "phrases", starts*, -not, and fields that name a column (`from:api`).

Every word is quoted: nothing typed is syntax. Pure.
"""

from collections.abc import Mapping

from msgspec import Struct

from agentmon.store.search_query import MOST_WORDS, Piece, pieces, tokens_of


class Wanted(Struct, frozen=True):
    """What is to be found: `match` and not `unlike`, expressions of FTS5 ("": none).

    `names` are values of fields without a letter or digit, which no index has: (field, value,
    inverted), to be compared as a whole.
    """

    match: str = ""
    unlike: str = ""
    names: tuple[tuple[str, str, bool], ...] = ()

    def __bool__(self) -> bool:
        return bool(self.match or self.unlike or self.names)


def wanted(text: str, fields: Mapping[str, str]) -> Wanted:
    """Never fails. `fields` has the column for each field that can be named."""
    having: list[str] = []
    lacking: list[str] = []
    names: list[tuple[str, str, bool]] = []
    for piece in pieces(text, tuple(fields)):
        if len(having) + len(lacking) + len(names) >= MOST_WORDS:
            break
        if tokens_of(piece.text):
            (lacking if piece.inverted else having).append(_term(piece, fields.get(piece.field)))
        elif piece.field and (value := _whole(piece)):
            names.append((piece.field, value, piece.inverted))
    return Wanted(" AND ".join(having), " OR ".join(lacking), tuple(names))


def _term(piece: Piece, column: str | None) -> str:
    """No piece has a quote in it: it ends there."""
    found = f'"{piece.text}"{" *" * piece.is_start}'
    return f"({column} : {found})" if column else f"({found})"


def _whole(piece: Piece) -> str:
    return piece.text if piece.text == "*" else piece.text.rstrip("*").strip()
