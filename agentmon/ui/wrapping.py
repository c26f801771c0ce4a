"""Text that grows at its end, wrapped into rows: only the last row is ever wrapped again. Pure."""

import re
from bisect import bisect_right
from functools import lru_cache

from agentmon.core.text import wrap_spans

NARROW = re.compile(
    "[\x20-\x7e\xa0-\xac\xae-\u02ff\u0391-\u03a1\u03a3-\u0482\u048a-\u052f\u2010-\u2027\u2030-\u205e"
    "\u20a0-\u20bf\u2190-\u2311\u2500-\u25fc\u2713-\u2718]*"
)
"""Text of which each character is one cell: what can be wrapped by counting. Not all such."""


@lru_cache(maxsize=64)
def _narrow_rows(width: int) -> re.Pattern[str]:
    """Rows of narrow text: as many characters as fit, ending at a blank; else a broken word."""
    return re.compile(rf".{{1,{width}}}(?: |$)|.{{1,{width}}}")


class WrapIndex:
    """Rows of at most `width` cells over paragraphs with roles.

    Rows keep the blank they were broken at, so that the paragraph is their concatenation and a new
    width can be taken without a second copy of the text.
    """

    def __init__(self, width: int = 80) -> None:
        self.width = max(1, width)
        self.rows: list[str] = []
        self.starts: list[int] = []
        """The first row of each paragraph."""
        self.roles: list[str] = []

    def __len__(self) -> int:
        return len(self.rows)

    def clear(self) -> None:
        self.rows.clear()
        self.starts.clear()
        self.roles.clear()

    def begin(self, role: str = "") -> None:
        """Starts a paragraph; `append` goes on with it."""
        self.starts.append(len(self.rows))
        self.roles.append(role)
        self.rows.append("")

    def append(self, text: str) -> None:
        """Goes on with the last paragraph; line feeds begin further ones of the same role."""
        if not self.starts:
            self.begin()
        first, *rest = text.split("\n")
        tail = self.rows.pop() + first
        self.rows += self._wrap(tail)
        role = self.roles[-1]
        for paragraph in rest:
            self.starts.append(len(self.rows))
            self.roles.append(role)
            self.rows += self._wrap(paragraph)

    def _wrap(self, line: str) -> list[str]:
        width = self.width
        if line.isascii() or NARROW.fullmatch(line):
            return [line] if len(line) <= width else _narrow_rows(width).findall(line)
        spans = wrap_spans(line, width)
        edges = [start for start, _ in spans if start]  # also after blanks that fill a row
        return [line[a:b] for a, b in zip([0, *edges], [*edges, len(line)], strict=True)]

    def resize(self, width: int, row: int) -> int:
        """Takes another width; returns where what was in `row` is now."""
        width = max(1, width)
        if width == self.width:
            return row
        paragraph = self.paragraph(row)
        before = sum(map(len, self.rows[self.starts[paragraph] : row])) if self.starts else 0
        texts = self.paragraphs()
        self.width = width
        self.rows, self.starts = [], []
        for text in texts:
            self.starts.append(len(self.rows))
            self.rows += self._wrap(text)
        return self._row_of(paragraph, before)

    def paragraph(self, row: int) -> int:
        """Which paragraph a row belongs to."""
        return max(0, bisect_right(self.starts, row) - 1)

    def role(self, row: int) -> str:
        return self.roles[self.paragraph(row)] if self.roles else ""

    def paragraphs(self) -> list[str]:
        """The text, paragraph by paragraph."""
        ends = [*self.starts[1:], len(self.rows)][: len(self.starts)]
        return ["".join(self.rows[start:end]) for start, end in zip(self.starts, ends, strict=True)]

    def _row_of(self, paragraph: int, offset: int) -> int:
        if not self.starts:
            return 0
        row = self.starts[paragraph]
        end = self.starts[paragraph + 1] if paragraph + 1 < len(self.starts) else len(self.rows)
        while row + 1 < end and offset >= len(self.rows[row]):
            offset -= len(self.rows[row])
            row += 1
        return row
