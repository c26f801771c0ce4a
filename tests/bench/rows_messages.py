"""100,000 archived messages: how long a search, the first page of a list and the opening of the
Messages tab take, and what one `agentmon send` costs beside Python's own start."""

import sqlite3
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median, quantiles
from typing import TypeAlias

from agentmon.collab import archive
from agentmon.collab.mail import Draft
from agentmon.store import db
from tests.bench.bench import Bench, in_turn
from tests.bench.rows_search import NOW, Texts
from tests.bench.rows_start import PANEL, agentmon
from tests.bench.screen import Screen
from tests.bench.table import Line, Row, at_most, short

MESSAGES = 100_000
AGENTS = 40
LIMIT_SEARCH, LIMIT_PAGE, LIMIT_TAB = 50.0, 200.0, 200.0
LIMIT_SEND = 0.15
BATCH = 1000
OPENINGS = 12


def fill(data_dir: Path, texts: Texts) -> float:
    """Archives them as a sender would, a thousand to a transaction; seconds taken."""
    conn = db.create(data_dir)
    begun = time.perf_counter()
    for start in range(0, MESSAGES, BATCH):
        with db.transaction(conn):
            for number in range(start, start + BATCH):
                archive.add(conn, _draft(number, texts), NOW + number)
    conn.execute("UPDATE agent_deliveries SET delivered_at = 1, read_at = 1 WHERE seq % 50")
    took = time.perf_counter() - begun
    conn.close()
    return took


def _draft(number: int, texts: Texts) -> Draft:
    sender = number % AGENTS
    to = [f"agent-{(sender + 1 + number % 7) % AGENTS}"] if number % 100 else ["*"]
    return Draft(
        message_id=f"m{number}",
        sender=f"agent-{sender}",
        receivers=to,
        subject=texts.random.choice(texts.words),
        body=texts.text(number),
        sent_at=NOW + number,
        thread_id=f"t{number // 8}",
    )


def queries(texts: Texts, each: int) -> dict[str, list[str]]:
    choose, words = texts.random, texts.words

    def some(first: int, last: int) -> str:
        return words[choose.randrange(first, min(last, len(words)))]

    def phrase() -> str:
        return f'"{" ".join(choose.choice(texts.sentences).strip(".").split()[1:4])}"'

    made: dict[str, Callable[[], str]] = {
        "one text": lambda: f"id{choose.randrange(MESSAGES)}x",
        "rare word": lambda: some(20_000, 40_000),
        "common word": lambda: some(0, 20),
        "three words": lambda: f"{some(0, 100)} {some(100, 1000)} {some(100, 1000)}",
        "phrase": phrase,
        "start of a word": lambda: f"{some(0, 40_000)[:4]}*",
        "word, not another": lambda: f"{some(100, 1000)} -{some(0, 20)}",
        "from an agent": lambda: f"from:agent-{choose.randrange(AGENTS)} {some(0, 200)}",
        "to an agent": lambda: f"to:agent-{choose.randrange(AGENTS)} subject:{some(0, 200)}",
        "while typing": lambda: f"{some(0, 200)} {some(0, 2000)[: choose.randrange(1, 4)]}*",
    }
    return {name: [make() for _ in range(each)] for name, make in made.items()}


Ask: TypeAlias = Callable[[sqlite3.Connection], object]


def messages(bench: Bench) -> Row:
    """Searches, first pages, and sends, each from opening the store on."""
    data_dir, texts = bench.new_folder("messages"), Texts(11)
    took = fill(data_dir, texts)
    taken: dict[str, list[float]] = {}
    asked = queries(texts, 20)
    for _ in range(2):  # the first round brings the file into the cache
        for name, given in asked.items():
            taken[name] = [
                _milliseconds(data_dir, partial(archive.search, query=text)) for text in given
            ]
    every = [one for times in taken.values() for one in times]
    p95 = quantiles(every, n=20)[-1]
    said = f"p50 {median(every):.1f} ms, p95 {p95:.1f} ms, max {max(every):.1f} ms"
    what = f"{len(every)} searches over {MESSAGES:,} messages"
    lines = [at_most(what, p95, LIMIT_SEARCH, said, " ms")]
    lines += [
        Line(name, f"p50 {median(times):.1f} ms, p95 {quantiles(times, n=20)[-1]:.1f} ms")
        for name, times in taken.items()
    ]
    lines += [_page(data_dir), _tab(bench, data_dir), _send(bench, data_dir)]
    lines.append(Line("archived", f"{MESSAGES / took:,.0f} messages a second"))
    return Row("messages", lines)


def _page(data_dir: Path) -> Line:
    """What the tab and `agentmon messages` ask for first, the slowest of them."""
    pages: dict[str, Ask] = {
        "newest": lambda conn: (archive.recent(conn), archive.counts(conn), archive.names(conn)),
        "unread": lambda conn: archive.recent(conn, unread=True),
        "of an agent": lambda conn: archive.recent(conn, agent="agent-1"),
        "inbox": lambda conn: archive.inbox(conn, "agent-1"),
        "conversation": lambda conn: archive.conversation_history(conn, "agent-1", "agent-2"),
        "thread": lambda conn: archive.thread(conn, "t500"),
    }
    times = {
        name: max(_milliseconds(data_dir, ask) for _ in range(10)) for name, ask in pages.items()
    }
    said = ", ".join(f"{name} {ms:.1f}" for name, ms in times.items())
    return at_most("first page, ms", max(times.values()), LIMIT_PAGE, said, " ms")


def _tab(bench: Bench, data_dir: Path) -> Line:
    """From `M` to the first page on the terminal; the first time loads what only that tab needs."""
    times: list[float] = []
    with Screen(bench, agentmon("--data-dir", data_dir, bench.new_folder("quiet"))) as screen:
        screen.wait_for_word(PANEL)
        screen.settle(1.0)
        for _ in range(OPENINGS):
            pressed = screen.send("M")
            times.append((screen.wait_for_word(f" of {MESSAGES:,}") - pressed) * 1000)
            screen.settle(0.3)
            screen.send("\x1b")
            screen.wait_for_word(PANEL)
            screen.settle(0.3)
    first, *others = times
    said = f"p50 {median(others):.0f} ms, max {max(others):.0f} ms, the first {first:.0f} ms"
    return at_most("the tab opens", median(others), LIMIT_TAB, said, " ms")


def _milliseconds(data_dir: Path, ask: Ask) -> float:
    begun = time.perf_counter()
    conn = db.open_reading(data_dir)
    try:
        ask(conn)
    finally:
        conn.close()
    return (time.perf_counter() - begun) * 1000


def _send(bench: Bench, data_dir: Path) -> Line:
    send = agentmon("send", "web", "hello", "--data-dir", data_dir)
    found = in_turn(
        {
            "nothing": lambda: bench.run([sys.executable, "-c", "pass"]),
            "agentmon send": lambda: bench.run(send),
        },
        15,
    )
    return short("agentmon send", found, LIMIT_SEND)
