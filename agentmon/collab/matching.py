"""A typed query over one of the full-text tables; nothing that is typed is syntax of FTS5."""

from agentmon.store.search_query import LONGEST, Word, parse


def matching(rowid: str, table: str, query: str, args: list[object]) -> str:
    """A condition of SQL on `rowid` that the rows of an FTS5 table fulfil which have all words,
    "phrases" and starts* of a query, and none of its -words. What it takes goes to `args`."""
    words = parse(query.replace(":", " ")).words  # of a colon nothing is a filter here
    wanted = [_quoted(word) for word in words if not word.inverted]
    unwanted = [_quoted(word) for word in words if word.inverted]
    found: list[str] = []
    for negation, expression in (("", " AND ".join(wanted)), ("NOT ", " OR ".join(unwanted))):
        if expression:
            found.append(f"{rowid} {negation}IN (SELECT rowid FROM {table} WHERE {table} MATCH ?)")
            args.append(expression)
    return " AND ".join(found) or "1"


def _quoted(word: Word) -> str:
    is_start = word.is_start or len(word.tokens[-1]) >= LONGEST
    return f'"{word.text}"{" *" * is_start}'
