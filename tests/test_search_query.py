"""The language of search: whatever is typed is a query, and what it means; snippets."""

import sqlite3
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentmon.report.finding import snippet
from agentmon.store import search_db
from agentmon.store.read_search import plain
from agentmon.store.search_match import expression, tag, tags
from agentmon.store.search_query import LONGEST, parse, parts_of, tame
from agentmon.store.search_volumes import CREATE
from tests.deep import examples

TEXTS = {
    1: "The parser failed: no such file or directory /usr/lib/agentmon/store.py",
    2: "def read_config_file(path): return JsonParser(path).loadAll()",
    3: "Müller naïvely réads the FILE; файл и Ёлка",
    4: "no file such as that",
    5: "x" * 500 + " abc",
}
WHOSE = {
    1: ("s1", ["codex", "main", "api-server"], "Bash", "result"),
    2: ("s2-x", ["claude", "main", "web"], "Edit", "input"),
    3: ("s2-x", ["claude", "agent-7", "Explore"], None, "text"),
    4: ("s1", ["codex", "main", "api-server"], None, "prompt"),
    5: ("s3", ["claude", "main", "x z"], "mcp__git-hub__get", "input"),
}


@pytest.fixture(scope="module")
def conn() -> Iterator[sqlite3.Connection]:
    conn = sqlite3.connect(":memory:")
    conn.execute(CREATE.format(table="t"))
    for docid, text in TEXTS.items():
        tamed = tame(text)
        row = docid, tamed, parts_of(tamed), tags(*WHOSE[docid])
        conn.execute("INSERT INTO t (rowid, text, parts, tags) VALUES (?, ?, ?, ?)", row)
    yield conn
    conn.close()


def found(conn: sqlite3.Connection, text: str) -> list[int]:
    match = expression(parse(text))
    return [i for (i,) in conn.execute("SELECT rowid FROM t WHERE t MATCH ? ORDER BY 1", (match,))]


@pytest.mark.parametrize(
    ("typed", "ids"),
    [
        ("file", [1, 2, 3, 4]),
        ("no file", [1, 4]),
        ('"no such file"', [1]),
        ('"no such fil"*', [1]),
        ('"no such', [1]),
        ("no -parser", [4]),
        ("no !parser", [4]),
        ("-file", [5]),
        ("par*", [1, 2]),
        ("parser", [1, 2]),
        ("jsonparser", [2]),
        ("JsonParser", [2]),
        ("loadall", [2]),
        ("read_config_file", [2]),
        ("read_config", [2]),
        ("config", [2]),
        ("/usr/lib/agentmon/store.py", [1]),
        ("store.py", [1]),
        ("agentmon.store", [1]),
        ("muller", [3]),
        ("NAIVELY", [3]),
        ("reads", [3]),
        ("ФАЙЛ", [3]),
        ("x" * 300, [5]),
        ("x" * 64, [5]),
        ("tool:bash", [1]),
        ("tool:Ba", []),
        ("tool:Ba*", [1]),
        ("tool:mcp__git-hub__get", [5]),
        ("tool:bash tool:edit", [1, 2]),
        ("!tool:bash no", [4]),
        ("agent:codex", [1, 4]),
        ("agent:api", [1, 4]),
        ("agent:explore", [3]),
        ("agent:agent-7", [3]),
        ("session:s2", [2, 3]),
        ("session:web", [2]),
        ("kind:input file", [2]),
        ("--file", [1, 2, 3, 4]),
        ("NEAR(no file)", []),
        ("file AND", []),
        ("tool:", []),
    ],
)
def test_what_is_found(conn: sqlite3.Connection, typed: str, ids: list[int]) -> None:
    query = parse(typed)
    assert (found(conn, typed) if query else []) == ids


NASTY = st.text(
    st.one_of(
        st.sampled_from("\"*-!^(){}[]:+,.\\'%;\0\n\t ˆ́aAéZ_0|&~ANDORNOTEAR"),
        st.characters(),
        st.characters(categories=["Cs", "Mn", "No", "So"]),
    ),
    max_size=60,
)


def fielded(sign: str, field: str, value: str) -> str:
    return f"{sign}{field}:{value}"


FIELDED = st.builds(
    fielded,
    st.sampled_from(["", "-", "!"]),
    st.sampled_from(["tool", "agent", "session", "kind", "since", "text", "tags", "t"]),
    NASTY,
)


@settings(max_examples=examples(33, 200), deadline=None)
@given(typed=st.lists(NASTY | FIELDED, max_size=6).map(" ".join))
def test_nothing_that_is_typed_is_an_error(conn: sqlite3.Connection, typed: str) -> None:
    query = parse(typed)
    if query:
        found(conn, typed)
    for text in TEXTS.values():
        shown, matches = snippet(text, query, 40)
        assert all(0 <= start < end <= len(shown) for start, end in matches)


@given(value=NASTY, more=NASTY)
def test_a_tag_is_one_token_and_the_start_of_a_longer_ones(value: str, more: str) -> None:
    whole, start = tag("tool", value + more), tag("tool", value)
    assert whole.isalnum()
    assert whole.isascii()
    assert whole == whole.lower()
    if len((value + more).lower().encode("utf-8", "replace")) <= 200 and value.isascii():
        assert whole.startswith(start)


@given(text=NASTY)
def test_a_tamed_text_has_no_endless_token(text: str) -> None:
    assert all(len(word) <= LONGEST + 1 for word in tame(text * 40).split() if word.isalnum())


def test_problems_are_said() -> None:
    assert parse("since:soon a").problems == ("since:soon is no time: 30m, 2h and 3d are",)
    assert "there is no kind sql" in parse("kind:sql").problems[0]
    assert parse("since:2h").within == 7_200.0


def test_arguments_are_read_without_their_json() -> None:
    text = '{"command":"grep\\nfoo \\u00e9","args":[1,{"deep":true}]}'
    assert plain(text) == "command: grep\nfoo é\nargs: 1\ndeep: true"
    assert plain('{"cut":"of') == '{"cut":"of'
    assert plain("[" * 100_000) == "[" * 100_000


def test_a_snippet_is_where_most_words_are() -> None:
    text = "alpha " + "filler " * 100 + "Alpha\tand\n\x1b[2Jbeta here " + "more " * 50
    shown, matches = snippet(text, parse("alpha beta"), 80)
    assert "\x1b" not in shown
    assert [shown[start:end].lower() for start, end in matches] == ["alpha", "beta"]
    assert shown.startswith("…")
    assert shown.endswith("…")
    assert snippet("short text", parse("kind:text"), 80) == ("short text", [])
    assert snippet("a JsonParser", parse("parser"), 80) == ("a JsonParser", [(6, 12)])
    assert snippet("naïve", parse("naive"), 80) == ("naïve", [(0, 5)])


def test_times_outside_the_clock_have_a_place() -> None:
    assert [search_db.docid_at(t) for t in (1.0, -5.0, float("nan"), float("inf"))] == [64, 0, 0, 0]
