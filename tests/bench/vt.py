"""What a terminal would show: enough of its language to read a Textual screen back.

Knows cursor movement, erasing, and of styles the background only. Unknown sequences are skipped.
"""

import re
from codecs import getincrementaldecoder

from agentmon.core.text import cells

_TOKEN = re.compile(
    r"\x1b\[(?P<private>[?<>=]?)(?P<args>[\d;:]*)[ -/]*(?P<final>[@-~])"
    r"|\x1b[\]P_^X][^\x07\x1b]*(?:\x07|\x1b\\)"
    r"|\x1b[ -/]*[0-Z\\^-~]"
    r"|(?P<text>[^\x00-\x1f\x1b\x7f]+)"
    r"|(?P<control>[\x00-\x1a\x1c-\x1f\x7f])"
)
_UNFINISHED = re.compile(r"\x1b(?:\[[?<>=\d;:]*[ -/]*|[\]P_^X][^\x07\x1b]*\x1b?|[ -/]*)?\Z")


class Terminal:
    """A grid of (character, background); a wide character is followed by an empty cell."""

    def __init__(self, columns: int, lines: int) -> None:
        self.columns, self.lines = columns, lines
        self._decode = getincrementaldecoder("utf-8")("replace").decode
        self._left = ""
        self._row = self._column = 0
        self._background = ""
        self._clear()

    def _clear(self) -> None:
        self._chars = [[" "] * self.columns for _ in range(self.lines)]
        self._grounds = [[""] * self.columns for _ in range(self.lines)]

    # -- reading it

    def line(self, row: int) -> str:
        return "".join(self._chars[row])

    def text(self) -> str:
        return "\n".join(self.line(row) for row in range(self.lines))

    def find(self, word: str) -> tuple[int, int] | None:
        """(row, column) of the first place of a word, columns counted in characters."""
        for row in range(self.lines):
            column = self.line(row).find(word)
            if column >= 0:
                return row, column
        return None

    def background(self, row: int, column: int) -> str:
        """The colour behind a cell, as its parameters; "" for the terminal's own."""
        return self._grounds[row][column]

    # -- being written to

    def feed(self, data: bytes) -> None:
        text = self._left + self._decode(data)
        cut = _UNFINISHED.search(text)
        self._left = text[cut.start() :] if cut else ""
        for token in _TOKEN.finditer(text, 0, cut.start() if cut else len(text)):
            if token["text"]:
                self._put(token["text"])
            elif token["control"]:
                self._control(token["control"])
            elif token["final"] and not token["private"]:
                self._sequence(token["final"], token["args"])

    def _put(self, text: str) -> None:
        row = self._row
        for char in text:
            width = 1 if char < "\u0300" else cells(char)
            if width == 0:
                continue
            for offset in range(width):
                column = self._column + offset
                if row < self.lines and column < self.columns:
                    self._chars[row][column] = "" if offset else char
                    self._grounds[row][column] = self._background
            self._column += width

    def _control(self, char: str) -> None:
        if char == "\r":
            self._column = 0
        elif char == "\n":
            self._row = min(self.lines - 1, self._row + 1)
        elif char == "\b":
            self._column = max(0, self._column - 1)

    def _sequence(self, final: str, args: str) -> None:
        if final == "m":
            self._style(args)
            return
        numbers = [int(arg) if arg.isdecimal() else 0 for arg in args.split(";")]
        first = max(1, numbers[0])
        if final in "Hf":
            second = max(1, numbers[1]) if len(numbers) > 1 else 1
            self._row, self._column = first - 1, second - 1
        elif final == "A":
            self._row = max(0, self._row - first)
        elif final == "B":
            self._row = min(self.lines - 1, self._row + first)
        elif final == "C":
            self._column += first
        elif final == "D":
            self._column = max(0, self._column - first)
        elif final == "J" and numbers[0] in (2, 3):
            self._clear()

    def _style(self, args: str) -> None:
        parts = args.split(";")
        at = 0
        while at < len(parts):
            part = parts[at]
            size = 1
            if part in ("38", "48"):
                size = 5 if parts[at + 1 : at + 2] == ["2"] else 3
            if part in ("", "0", "49"):
                self._background = ""
            elif part == "48" or part == "7" or re.fullmatch(r"4[0-7]|10[0-7]", part):
                self._background = ";".join(parts[at : at + size])
            at += size
