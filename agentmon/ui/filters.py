"""The filter language of `/`: words that must all match; `status:`, `agent:`, `tool:`, `cwd:`; `!`.

Pure: a subject goes in, yes or no comes out.
"""

from msgspec import Struct

FIELDS = ("status", "agent", "tool", "cwd")


class Subject(Struct, frozen=True):
    """What a line of the board can be found by, in any case of letters."""

    status: tuple[str, ...] = ()
    agent: tuple[str, ...] = ()
    tool: tuple[str, ...] = ()
    cwd: tuple[str, ...] = ()
    other: tuple[str, ...] = ()

    def texts(self, field: str) -> tuple[str, ...]:
        match field:
            case "status":
                return self.status
            case "agent":
                return self.agent
            case "tool":
                return self.tool
            case "cwd":
                return self.cwd
            case _:
                return self.status + self.agent + self.tool + self.cwd + self.other


class Term(Struct, frozen=True):
    """One word of a filter. `field` "" looks everywhere."""

    field: str
    word: str
    inverted: bool

    def matches(self, subject: Subject) -> bool:
        found = any(self.word in text.lower() for text in subject.texts(self.field))
        return found != self.inverted


class Filter(Struct, frozen=True):
    """A parsed filter; without terms it lets everything through."""

    text: str
    terms: tuple[Term, ...]

    def __bool__(self) -> bool:
        return bool(self.terms)

    def matches(self, subject: Subject) -> bool:
        return all(term.matches(subject) for term in self.terms)


def parse(text: str) -> Filter:
    """A filter from what a person typed. Half-typed words ("status:", "!") do not narrow yet."""
    terms: list[Term] = []
    for piece in text.lower().split():
        inverted = piece.startswith("!")
        word = piece[1:] if inverted else piece
        name, colon, rest = word.partition(":")
        field, word = (name, rest) if colon and name in FIELDS else ("", word)
        if word:
            terms.append(Term(field, word, inverted))
    return Filter(text.strip(), tuple(terms))


NOTHING = parse("")
