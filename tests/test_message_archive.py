"""The archive of messages: each once, marked once, listed by pages, found by words."""

import re
import sqlite3
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentmon.collab import archive, form
from agentmon.collab.mail import Draft, Mail
from agentmon.store import db
from agentmon.store.search_fields import wanted
from tests.deep import examples
from tests.mail import HOSTILE, NOW, draft, memory, put


@pytest.fixture
def conn() -> Iterator[sqlite3.Connection]:
    conn = memory()
    yield conn
    conn.close()


def ids(mails: list[Mail]) -> list[str]:
    return [mail.message_id for mail in mails]


def metric(conn: sqlite3.Connection, name: str) -> dict[str, float]:
    sql = "SELECT agent, value FROM daily_metrics WHERE metric = ? AND day = '2026-09-21'"
    return dict(conn.execute(sql, (name,)))


def test_a_message_is_archived_once_with_all_that_follows_from_it(conn: sqlite3.Connection) -> None:
    one = draft(to=["web", "docs"], message_id="m", context_understanding={"a": [1]})
    (mail,) = put(conn, one)
    assert put(conn, one, draft("mallory", message_id="m", body="other")) == []
    assert archive.recent(conn) == [mail] == [archive.get(conn, "m")]
    assert (mail.thread_id, mail.receivers, mail.archived_at) == ("m", ["web", "docs"], NOW)
    assert mail.context_understanding == {"a": [1]}
    assert [one.receiver for one in mail.deliveries] == ["docs", "web"]
    assert archive.names(conn) == ["api"]
    assert metric(conn, "messages_sent") == {"api": 1}
    assert metric(conn, "messages_received") == {"web": 1, "docs": 1}
    assert archive.message_of(mail) == archive.message_of(archive.recent(conn)[0])
    assert form.parse(form.encode(archive.message_of(mail))) == archive.message_of(mail)


def test_everybody_is_who_is_known_but_the_sender(conn: sqlite3.Connection) -> None:
    with db.transaction(conn):
        for name in ("web", "docs", "api"):
            archive.register(conn, name, NOW)
    (mail,) = put(conn, draft(to="*"))
    assert [one.receiver for one in mail.deliveries] == ["docs", "web"]
    assert mail.receivers == ["*"]
    (own,) = put(conn, draft(to="api"))
    assert [one.receiver for one in own.deliveries] == ["api"]


def test_answers_stay_in_the_thread_and_go_to_who_is_meant(conn: sqlite3.Connection) -> None:
    put(conn, draft("api", ["web", "docs"], message_id="first"))
    put(conn, draft("web", "api", message_id="second", reply_to="first"))
    (answer,) = put(conn, draft("docs", [], message_id="third", reply_to="second"))
    assert (answer.thread_id, answer.receivers) == ("first", ["web"])
    (to_all,) = put(conn, draft("api", [], message_id="fourth", thread_id="first"))
    assert sorted(to_all.receivers) == ["docs", "web"]
    assert ids(archive.thread(conn, "first")) == ["first", "second", "third", "fourth"]
    assert ids(archive.thread(conn, "first", limit=2)) == ["third", "fourth"]
    put(conn, draft("api", ["*"], message_id="fifth", thread_id="first"))
    (again,) = put(conn, draft("web", [], message_id="sixth", thread_id="first"))
    assert again.receivers == ["*"]
    (lost,) = put(conn, draft(reply_to="elsewhere"))
    assert lost.thread_id == "elsewhere"


def test_the_start_of_an_id_is_something(conn: sqlite3.Connection) -> None:
    put(conn, draft(message_id="one"))
    assert archive.by_start(conn, "") == []
    assert archive.by_start(conn, "o") == ["one"]
    put(conn, draft(message_id="on"), draft(message_id="two"))
    assert archive.by_start(conn, "on") == ["on"]
    assert archive.by_start(conn, "o") == ["on", "one"]


def test_marks_are_set_once_and_what_is_acknowledged_was_read(conn: sqlite3.Connection) -> None:
    put(conn, draft(to=["web", "docs"], message_id="m"), draft(message_id="n"))

    def marked(**marks: float) -> int:
        with db.transaction(conn):
            return archive.mark(conn, "web", ["m", "m", "none"], **marks)  # pyright: ignore[reportArgumentType]

    assert marked(delivered=1.0) == 1
    assert marked(delivered=2.0) == 0
    assert ids(archive.undelivered(conn, "web")) == ["n"]
    assert ids(archive.inbox(conn, "web")) == ["m", "n"]
    assert marked(acked=3.0) == 1
    assert marked(read=4.0) == marked(acked=5.0) == 0
    _, web = archive.recent(conn)[1].deliveries
    assert (web.delivered_at, web.read_at, web.acked_at) == (1.0, 3.0, 3.0)
    assert ids(archive.inbox(conn, "web")) == ["n"]
    assert ids(archive.inbox(conn, "web", unread=False)) == ["m", "n"]
    assert ids(archive.recent(conn, unread=True)) == ["n", "m"]  # docs has not read it
    assert ids(archive.recent(conn, unread=True, agent="web")) == ["n"]
    counts = archive.counts(conn)
    assert (counts.total, counts.unread) == (2, 2)


def test_lists_are_paged_by_number_whatever_the_clocks_say(conn: sqlite3.Connection) -> None:
    clocks = (NOW, 0.0, NOW * 2, NOW - 9e8, 253_402_300_799.0)
    put(conn, *(draft("api", "web", str(n), sent_at=clocks[n % 5]) for n in range(25)))
    put(conn, draft("web", "docs", "x"))
    seen: list[int] = []
    before: int | None = None
    while page := archive.recent(conn, limit=4, before=before, agent="api"):
        seen += [mail.seq for mail in page]
        before = page[-1].seq
    assert seen == list(range(25, 0, -1))
    assert [mail.body for mail in archive.conversation_history(conn, "web", "api", 3)] == [
        "22", "23", "24",
    ]  # fmt: skip
    assert archive.conversation_history(conn, "api", "docs") == []
    last = archive.recent(conn, agent="docs", excerpt=0)[0]
    assert last.body == ""


def test_an_agent_of_a_wrong_clock_is_not_seen_in_the_future(conn: sqlite3.Connection) -> None:
    put(conn, draft(sent_at=NOW + 1e9))
    assert conn.execute("SELECT last_seen FROM agent_names").fetchone() == (NOW,)


def test_hostile_text_is_data_in_every_field(conn: sqlite3.Connection) -> None:
    for text in HOSTILE:
        keys = ("subject", "type", "message_id", "thread_id", "reply_to", "host", "session_id")
        fields = dict.fromkeys(keys, text)
        (mail,) = put(
            conn, draft(text, [text, "web"], text, context_understanding=[text], **fields)
        )
        for key in keys:
            assert getattr(mail, key) == text
        assert (mail.sender, mail.receivers, mail.body) == (text, [text, "web"], text)
        assert mail.context_understanding == [text]
        assert archive.thread(conn, text) == [mail]
        assert archive.recent(conn, agent=text)[0] == mail
        for query in (text, f"from:{text}", f'"{text}"', f"subject:{text} -{text}", f"to:{text}*"):
            archive.search(conn, query)
        assert archive.search(conn, "to:web")[0] == mail
    assert archive.counts(conn).total == len(HOSTILE)


def test_a_megabyte_is_archived_listed_and_found(conn: sqlite3.Connection) -> None:
    body = "word " * 190_000 + "needle"
    put(conn, draft(body=body), draft(body="x" * 1_000_000))
    assert archive.search(conn, "needle")[0].body == body
    assert archive.recent(conn, excerpt=10)[0].body == "x" * 10
    assert archive.search(conn, "x" * 1_000_000)[0].body == "x" * 1_000_000


def test_words_phrases_starts_and_fields(conn: sqlite3.Connection) -> None:
    put(
        conn,
        draft("api", "web", "the rate limit is back", message_id="a", subject="Limits"),
        draft("web", "api", "limit the rate", message_id="b"),
        draft("api-2", ["docs", "api"], "nothing; café", message_id="c", subject="rate"),
        draft("🤖", "web", "beep", message_id="d"),
        draft("web", "*", "to all", message_id="e"),
    )
    for query, found in {
        "rate": "cba",
        "rate limit": "ba",
        '"rate limit"': "a",
        "lim*": "ba",
        "LIMIT": "ba",
        "cafe": "c",
        "from:api": "ca",
        "from:api -from:2": "a",
        "from:api-2": "c",
        "to:api": "cb",
        "subject:rate": "c",
        "rate -subject:rate -limits": "b",
        "-rate": "ed",
        "from:🤖": "d",
        "-from:🤖 -rate -all": "",
        "to:*": "e",
        "from:": "",
        "!!!": "",
        "": "",
    }.items():
        assert "".join(ids(archive.search(conn, query))) == found, query
    assert ids(archive.search(conn, "rate", limit=1)) == ["c"]
    assert ids(archive.search(conn, "rate", before=3)) == ["b", "a"]


WORDS = ("alpha", "beta", "gamma", "alphabet", "naïve", "x1")
plain = st.lists(st.sampled_from(WORDS), max_size=6).map(" ".join)


@st.composite
def drafts(pick: st.DrawFn) -> Draft:
    sender, to = pick(st.sampled_from(WORDS)), pick(st.sampled_from(WORDS))
    return draft(sender, to, pick(plain), subject=pick(plain))


def has(text: str, word: str) -> bool:
    """Whether a plain text has the word, or one that it begins."""
    words = text.replace("ï", "i").split()
    start, word = word.endswith("*"), word.rstrip("*").replace("ï", "i")
    return any(one.startswith(word) if start else one == word for one in words)


terms = st.tuples(
    st.booleans(),
    st.sampled_from(["", "from:", "to:", "subject:"]),
    st.sampled_from(WORDS),
    st.booleans(),
)


@settings(max_examples=examples(16, 40), deadline=None)
@given(st.lists(drafts(), max_size=8), st.lists(terms, min_size=1, max_size=4))
def test_search_finds_what_reading_finds(
    given_drafts: list[Draft], asked: list[tuple[bool, str, str, bool]]
) -> None:
    conn = memory()
    try:
        mails = put(conn, *given_drafts)
        query = " ".join(f"{'-' * no}{field}{word}{'*' * star}" for no, field, word, star in asked)
        expected = [mail.message_id for mail in reversed(mails) if fits(mail, asked)]
        assert ids(archive.search(conn, query)) == expected
    finally:
        conn.close()


def fits(mail: Mail, asked: list[tuple[bool, str, str, bool]]) -> bool:
    parts = {"from:": mail.sender, "to:": " ".join(mail.receivers), "subject:": mail.subject}
    for inverted, field, word, star in asked:
        texts = [parts[field]] if field else [*parts.values(), mail.body]
        if any(has(text, word + "*" * star) for text in texts) == inverted:
            return False
    return True


@settings(max_examples=examples(33, 100), deadline=None)
@given(st.text(max_size=60) | st.lists(st.sampled_from(HOSTILE), max_size=3).map(" ".join))
def test_no_query_is_an_error(query: str) -> None:
    conn = sqlite3.connect(":memory:")
    try:
        conn.execute("CREATE VIRTUAL TABLE t USING fts5 (sender, receivers, subject, body)")
        found = wanted(query, archive.SEARCH_FIELDS)
        for expression in filter(None, (found.match, found.unlike)):
            conn.execute("SELECT rowid FROM t WHERE t MATCH ?", (expression,)).fetchall()
        assert bool(found) or not re.search(
            r"[a-zA-Z]", re.sub(r"(?i)(from|to|subject):", "", query)
        )
    finally:
        conn.close()


def test_lists_and_searches_are_served_by_indexes(conn: sqlite3.Connection) -> None:
    seen: list[str] = []
    conn.set_trace_callback(
        lambda sql: seen.append(sql) if sql.startswith(("\nSELECT", "SELECT")) else None
    )
    archive.recent(conn, unread=True)
    archive.recent(conn, agent="api")
    archive.recent(conn, agent="api", unread=True)
    archive.inbox(conn, "api")
    archive.undelivered(conn, "api")
    archive.thread(conn, "t")
    archive.conversation_history(conn, "a", "b")
    archive.search(conn, "from:api rate")
    conn.set_trace_callback(None)
    assert len(seen) >= 8
    for sql in seen:
        plan = [row[3] for row in conn.execute("EXPLAIN QUERY PLAN " + sql)]
        scans = [line for line in plan if re.match(r"SCAN (agent_|m|d)\b", line)]
        assert all("agent_deliveries_waiting" in line for line in scans), (sql, plan)
