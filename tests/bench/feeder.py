"""Appends to a log at a steady rate, in bursts of a few milliseconds, as busy agents do.

    python -m tests.bench.feeder FILE RATE SECONDS MARKS

All sessions begin at once, the last of them called `marks`; the rest follows at a line of standard
input. `marks` says a unique word MARKS times a second, and for each of them standard output gets
the word and the moment it was written.
"""

import os
import re
import sys
import time
from pathlib import Path

from tests.bench.load import Load, SessionLoad
from tests.bench.phrases import escaped

SESSIONS = 10
BURST = 0.005
PRELUDE_LINES = 400
MARK_FOLDER = "marks"
MARK = re.compile(r"mark\d\dx\d{5}")
_ENDLESS = 1_000_000


def mark_word(seed: int, number: int) -> str:
    return f"mark{seed:02d}x{number:05d}"


class Feeder:
    """Lines of `SESSIONS` agents, with the time of day, and of one that says words."""

    def __init__(self, path: Path, seed: int) -> None:
        self.seed = seed
        self.load = Load(seed=seed, live=SESSIONS, start=time.time(), rounds=_ENDLESS)
        self._lines = self.load.lines(moves=False)
        self._marks: SessionLoad | None = None
        self._said = 0
        self.lines = 0
        """All lines written so far."""
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def burst(self, count: int, extra: str = "") -> None:
        """So many lines in one write, and one more."""
        now = time.time()
        text = "".join(self._at(now + number * BURST / count) for number in range(count))
        self._write(text + extra)

    def _write(self, text: str) -> None:
        self.lines += text.count("\n")
        os.write(self._fd, text.encode())

    def _at(self, moment: float) -> str:
        self.load.clock.now = moment
        return next(self._lines)

    def begin(self) -> None:
        """Makes all sessions known, the one with the words as the newest."""
        self.burst(PRELUDE_LINES)
        self._marks = self.load.session(f"/home/u/{MARK_FOLDER}")
        writer = self._marks.writer
        self.load.clock.now = time.time() + BURST
        opening = self._marks.lines(rounds=1)
        lines = [next(opening), next(opening)]  # a session and a prompt
        writer.begin_message()
        self.load.clock.now += BURST
        lines.append(writer.streamed("message_start", self._marks.message_payload()))
        start = ',\\"index\\":0,\\"content_block\\":{\\"type\\":\\"text\\",\\"text\\":\\"\\"}'
        lines.append(writer.streamed("content_block_start", start))
        self._write("".join(lines))

    def mark(self) -> tuple[str, str]:
        """(word, line): the next word, on a line of its own in the text."""
        if self._marks is None:
            raise ValueError("begin first")
        word = mark_word(self.seed, self._said)
        self._said += 1
        self.load.clock.now = time.time()
        return word, self._marks.writer.delta(0, "text_delta", "text", escaped(f"{word}\n", 2))

    def feed(self, rate: float, seconds: float, marks: float) -> None:
        """Keeps the rate for so long."""
        begun = time.monotonic()
        written = said = 0
        while (passed := time.monotonic() - begun) < seconds:
            due = int(passed * rate) - written
            extra = ""
            if int(passed * marks) > said:
                said += 1
                word, extra = self.mark()
                print(word, time.monotonic(), flush=True)
            if due > 0 or extra:
                self.burst(due, extra)
                written += due
            time.sleep(BURST)


def main() -> None:
    path, rate, seconds, marks = sys.argv[1:]
    feeder = Feeder(Path(path), seed=1)
    feeder.begin()
    print("begun", time.monotonic(), flush=True)
    sys.stdin.readline()  # until the screen is up
    feeder.feed(float(rate), float(seconds), float(marks))
    print("written", feeder.lines, flush=True)


if __name__ == "__main__":
    main()
