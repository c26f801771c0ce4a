"""Searching 1,000,000 blocks: how long queries take, how large the index is, how fast it grows."""

import random
import sqlite3
import time
from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path
from statistics import median, quantiles

from agentmon.config import Search
from agentmon.report.finding import search
from agentmon.store import db, search_db, search_index
from agentmon.store.search_query import parse
from tests.bench.bench import Bench
from tests.bench.table import Line, Row, at_most

LIMIT_MS = 100.0
NOW = 1_760_000_000.0
SPAN = 60 * 86_400.0
"""Seconds over which the texts are spread."""
PER_MESSAGE = 4
PER_SESSION = 500
VOCABULARY = 40_000
SENTENCES = 20_000
TOOLS = ("Bash", "Read", "Edit", "Grep", "WebFetch")
_SYLLABLES = [
    "ka",
    "lo",
    "mi",
    "ter",
    "sun",
    "pra",
    "de",
    "vo",
    "ni",
    "gar",
    "ble",
    "sto",
    "fu",
    "ri",
    "pan",
    "che",
    "ul",
    "os",
    "wen",
    "dra",
]
LIMITS = Search(max_size=4 << 30)


class Texts:
    """Sentences over a vocabulary in which, as in languages, the n-th word comes 1/n times."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        words = {"".join(self.random.choices(_SYLLABLES, k=2 + n % 3)) for n in range(90_000)}
        self.words = sorted(words)[:VOCABULARY]
        self.random.shuffle(self.words)
        weights = list(accumulate(1 / (n + 1) for n in range(len(self.words))))
        self.sentences = [
            self._joined(self.random.choices(self.words, cum_weights=weights, k=12))
            for _ in range(SENTENCES)
        ]

    def _joined(self, words: list[str]) -> str:
        """A third of it is code: paths, snake_case and camelCase."""
        kind = self.random.randrange(9)
        if kind == 0:
            return "/".join(words[:5]) + ".py " + " ".join(words[5:])
        if kind == 1:
            return "_".join(words[:3]) + "(" + ", ".join(words[3:]) + ")"
        if kind == 2:
            return words[0] + words[1].capitalize() + " = " + " ".join(words[2:])
        return " ".join(words).capitalize() + "."

    def text(self, number: int) -> str:
        """Of 1 to 12 sentences, with a word that no other text has."""
        count = 1 + int(self.random.random() ** 2 * 12)
        return " ".join([*self.random.choices(self.sentences, k=count), f"id{number}x"])


def fill(data_dir: Path, blocks: int, texts: Texts) -> None:
    """Rows as the writer leaves them for blocks that were told whole."""
    conn = db.create(data_dir)
    conn.execute("PRAGMA synchronous = OFF")
    with db.transaction(conn):
        for sql, rows in (
            ("INSERT INTO sessions (sid, agent, cwd, last_time) VALUES (?, ?, ?, ?)", _sessions),
            (
                "INSERT INTO messages (flow_id, seq, sid, round_id, start_time)"
                " VALUES (?, ?, ?, ?, ?)",
                _messages,
            ),
        ):
            conn.executemany(sql, rows(blocks))
        _fill_blocks(conn, blocks, texts)
    conn.close()


def _sid(session: int) -> str:
    return f"{session * 2654435761 % (1 << 32):08x}-0000-4000-8000-{session:012d}"


def _sessions(blocks: int) -> Iterator[tuple[object, ...]]:
    for number in range(blocks // PER_SESSION + 1):
        yield _sid(number), ("claude", "codex")[number % 2], f"/src/project{number % 40}", NOW


def _messages(blocks: int) -> Iterator[tuple[object, ...]]:
    for number in range(blocks // PER_MESSAGE + 1):
        at = NOW - SPAN + SPAN * number * PER_MESSAGE / blocks
        sid = _sid(number * PER_MESSAGE // PER_SESSION)
        yield f"msg_{number:024d}", number, sid, f"r{number // 3}", at


def _fill_blocks(conn: sqlite3.Connection, blocks: int, texts: Texts) -> None:
    block = (
        "INSERT INTO content_blocks (flow_id, block_index, sid, block_type, tool_use_id, tool_name,"
        " total_bytes, complete_time, uses_told) VALUES (?, ?, ?, ?, ?, ?, ?, ?, 1)"
    )
    told = (
        "INSERT INTO told_blocks (flow_id, block_index, time, bytes, sha256, is_exact, kind, text)"
        " VALUES (?, ?, ?, ?, '', 1, 'transcript', ?)"
    )
    for number in range(blocks):
        text = texts.text(number)
        message, index = divmod(number, PER_MESSAGE)
        flow_id = f"msg_{message:024d}"
        at = NOW - SPAN + SPAN * number / blocks
        kind = ("thinking", "text", "tool_use", "tool_use")[index]
        tool = TOOLS[number % len(TOOLS)] if kind == "tool_use" else None
        call = f"toolu_{number:024d}" if tool else None
        size = len(text)
        sid = _sid(number // PER_SESSION)
        conn.execute(block, (flow_id, index, sid, kind, call, tool, size, at))
        conn.execute(told, (flow_id, index, at, size, text))


def queries(texts: Texts, blocks: int, each: int) -> dict[str, list[str]]:
    """What people look for, by kind: so many of each."""
    choose, words = texts.random, texts.words

    def some(first: int, last: int) -> str:
        return words[choose.randrange(first, min(last, len(words)))]

    def phrase() -> str:
        sentence = choose.choice(texts.sentences).strip(".").split()
        start = choose.randrange(max(1, len(sentence) - 3))
        return f'"{" ".join(sentence[start : start + 3])}"'

    def session() -> str:
        return _sid(choose.randrange(blocks // PER_SESSION))[:8]

    made = {
        "one text": lambda: f"id{choose.randrange(blocks)}x",
        "no text": lambda: f"nowhere{choose.randrange(1000)}",
        "rare word": lambda: some(20_000, 40_000),
        "common word": lambda: some(0, 20),
        "three words": lambda: f"{some(0, 100)} {some(100, 1000)} {some(100, 1000)}",
        "phrase": phrase,
        "start of a word": lambda: f"{some(0, 40_000)[:4]}*",
        "word, not another": lambda: f"{some(100, 1000)} -{some(0, 20)}",
        "in a session": lambda: f"{some(0, 200)} session:{session()}",
        "of a tool": lambda: f"{some(1000, 9000)} tool:{choose.choice(TOOLS)}",
        "of an agent": lambda: f"{some(100, 1000)} agent:codex kind:thinking",
        "lately": lambda: f"{some(20, 2000)} since:3d",
        "while typing": lambda: f"{some(0, 200)} {some(0, 2000)[:2]}*",
    }
    return {name: [make() for _ in range(each)] for name, make in made.items()}


def search_(bench: Bench) -> Row:
    """Whole searches, as a command does them: open, find 50, snippets, close."""
    blocks, data_dir = bench.events, bench.new_folder("search")
    texts = Texts(7)
    fill(data_dir, blocks, texts)
    begun, cpu = time.perf_counter(), time.process_time()
    left = search_index.catch_up(data_dir, LIMITS, 3600.0)
    wall, cpu = time.perf_counter() - begun, time.process_time() - cpu
    main = db.open_reading(data_dir)
    (size,) = main.execute("SELECT SUM(bytes) FROM told_blocks").fetchone()
    main.close()
    index = search_db.open_reading(data_dir)
    if index is None or left:
        raise RuntimeError(f"{left} texts are not indexed")
    used = search_db.size(index)
    index.close()
    lines: list[Line] = []
    taken: dict[str, list[float]] = {}
    begun_cpu = 0.0
    asked = queries(texts, blocks, 20)
    for _ in range(2):  # the first round brings the file into the cache, as a user's second search
        begun_cpu = time.process_time()
        for name, given in asked.items():
            taken[name] = [_milliseconds(data_dir, text) for text in given]
    spent = (time.process_time() - begun_cpu) * 1000
    every = [one for times in taken.values() for one in times]
    p95 = quantiles(every, n=20)[-1]
    lines.append(
        at_most(
            f"{len(every)} queries over {blocks:,} blocks",
            p95,
            LIMIT_MS,
            f"p50 {median(every):.1f} ms, p95 {p95:.1f} ms, max {max(every):.1f} ms"
            f" ({spent / len(every):.1f} ms of CPU each)",
            " ms",
        )
    )
    lines += [
        Line(name, f"p50 {median(times):.1f} ms, p95 {quantiles(times, n=20)[-1]:.1f} ms")
        for name, times in taken.items()
    ]
    best = [_milliseconds(data_dir, text, ranked=True) for text in asked["common word"]]
    lines.append(Line("common word, the best first", f"p50 {median(best):.1f} ms"))
    lines.append(
        Line(
            "size of the index",
            f"{used / (1 << 20):.0f} MB for {size / (1 << 20):.0f} MB of text, {used / size:.2f}",
        )
    )
    lines.append(
        Line(
            "indexing",
            f"{blocks / wall:,.0f} blocks/s, {size / wall / (1 << 20):.1f} MB/s"
            f" ({blocks / cpu:,.0f} blocks per second of CPU)",
        )
    )
    return Row("search", lines)


def _milliseconds(data_dir: Path, text: str, *, ranked: bool = False) -> float:
    begun = time.perf_counter()
    search(data_dir, parse(text), LIMITS, now=NOW, limit=50, ranked=ranked)
    return (time.perf_counter() - begun) * 1000
