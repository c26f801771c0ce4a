"""A query as an expression of FTS5. Every word is quoted: nothing typed is syntax.

A row of the index has three columns: `text`, `parts` (of camelCase words) and `tags`, words of our
own making that say whose text it is. So filters are found as fast as words.
"""

from collections.abc import Sequence
from functools import lru_cache

from agentmon.store.search_query import Condition, Query, Word

ALL = "zall"
"""A tag of every row: FTS5 has no "not" by itself."""

_PLAIN = frozenset(b"abcdefghijklmnopqrstuvwxy0123456789")

TAG_MARKS = {"session": "s", "agent": "a", "tool": "t", "kind": "k"}


@lru_cache(maxsize=4096)
def tag(field: str, value: str) -> str:
    """One token for a value, whatever is in it; the start of a value gives the start of a token."""
    data = value.lower().encode("utf-8", "replace")[:200]
    return TAG_MARKS[field] + "".join(
        chr(byte) if byte in _PLAIN else f"z{byte:02x}" for byte in data
    )


def tags(sid: str, agents: Sequence[str], tool: str | None, kind: str) -> str:
    """The tags of a text; `agents` are all names that its agent answers to."""
    found = [ALL, tag("kind", kind), tag("session", sid)]
    found += [tag("agent", name) for name in dict.fromkeys(agents) if name]
    if tool:
        found.append(tag("tool", tool))
    return " ".join(found)


def expression(query: Query) -> str:
    """What goes behind MATCH."""
    wanted = [_word(word) for word in query.words if not word.inverted]
    unwanted = [_word(word) for word in query.words if word.inverted]
    by_field: dict[str, list[str]] = {}
    for condition in query.conditions:
        if condition.inverted:
            unwanted.append(_condition(condition))
        else:
            by_field.setdefault(condition.field, []).append(_condition(condition))
    wanted += [f"({' OR '.join(values)})" for values in by_field.values()]
    positive = " AND ".join(wanted or [f'tags : "{ALL}"'])
    if not unwanted:
        return positive
    return f"({positive}) NOT ({' OR '.join(unwanted)})"


def _word(word: Word) -> str:
    return f'({{text parts}} : "{word.text}"{" *" * word.is_start})'


def _condition(condition: Condition) -> str:
    """Sessions and agents by the start of their names, as on the board; tools and kinds whole."""
    is_start = condition.is_start or condition.field in ("session", "agent")
    found = f'(tags : "{tag(condition.field, condition.value)}"{" *" * is_start})'
    if condition.field != "session":
        return found
    named = f'(tags : "{tag("agent", condition.value)}")'
    return f"({found} OR {named})"
