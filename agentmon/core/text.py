"""Agent text on its way to a screen or a terminal: made harmless, measured, cut and wrapped.

Everything that agents print is data. `clean` is the only door: what it returns cannot move the
cursor, set a title, reorder the line or hide, and shows what was there instead. Markup is left
alone: callers wrap text as rich or Textual text objects, never as markup strings.

Widths are terminal cells, as the Unicode tables of the interpreter have them.
"""

import json
import re
from functools import cache, lru_cache

ELLIPSIS = "…"

# Cc, Cf, Zl and Zp but for the visible Arabic, Syriac and Kaithi signs among Cf; lone surrogates;
# fillers that are letters by category and blank by shape; selectors.
_INVISIBLE = (
    "\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e"
    "\u2060-\u206f\u3164\ud800-\udfff\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb"
    "\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
_PICTOGRAPH = "\u203c-\u3299\U0001f000-\U0001faff"

_UNSAFE_LINES = f"[\x00-\x09\x0b-\x1f{_INVISIBLE}]"
_UNSAFE = f"[\x00-\x1f{_INVISIBLE}]"
_UNSAFE_JSON = "[\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ud800-\udfff\ufeff]"
# Emoji spelled with selectors and joiners: terminals disagree on their width, so the parts stand
# side by side. Alone and between pictographs these two hide nothing.
_EMOJI_GLUE = (
    f"(?<![{_INVISIBLE}\\s])[\ufe0e\ufe0f](?![\ufe00-\ufe0f\U000e0100-\U000e01ef])"
    f"|(?<=[{_PICTOGRAPH}\ufe0f])\u200d(?=[{_PICTOGRAPH}])"
)
_SPACES = re.compile(r"[ \t\r\n\v\f]+")
_WORDS = re.compile(r" +|[^ ]+")

_compiled = cache(re.compile)
"""Such patterns take milliseconds to compile: when they are needed, which is seldom."""


def clean(text: str, *, tabs: int = 4, newline: bool = True) -> str:
    """The text with everything that a terminal would obey, reorder or hide shown as a sign.

    C0 controls become control pictures (ESC → ␛), C1 controls, bidi controls and invisible
    characters their number (‹U+202E›), a lone surrogate U+FFFD. Line feeds stay with `newline`,
    else they are shown too; tabs become blanks up to the next multiple of `tabs` cells, or a sign
    with `tabs=0`. A carriage return is always shown.

    The output has no control character but line feeds. Cleaning it again changes nothing. Text
    that is clean already comes back as the same object.
    """
    if text.isascii() and text.isprintable():
        return text
    unsafe = _compiled(_UNSAFE_LINES if newline else _UNSAFE)
    if unsafe.search(text) is None:
        return text
    if tabs > 0 and "\t" in text:
        lines = text.split("\n") if newline else [text]
        text = "\n".join(_expand(line, tabs) for line in lines)
    if not text.isascii():
        text = _compiled(_EMOJI_GLUE).sub("", text)
    return unsafe.sub(_sign, text)


def clean_json(text: str) -> str:
    """JSON whose strings hold nothing that a terminal would obey or reorder: such characters are
    spelled as escapes, so it means the same."""
    if text.isascii() and "\x7f" not in text:
        return text
    return _compiled(_UNSAFE_JSON).sub(lambda match: f"\\u{ord(match.group()):04x}", text)


def json_text(value: object, indent: int | None = None) -> str:
    """JSON as it may go to a terminal as well as to a program. Raises TypeError."""
    return clean_json(json.dumps(value, ensure_ascii=False, indent=indent))


def _expand(line: str, tabs: int) -> str:
    """Tabs as blanks, by the columns that the rest of the cleaned line takes."""
    head, *rest = line.split("\t")
    parts = [head]
    column = cells(clean(head, newline=False))
    for piece in rest:
        gap = tabs - column % tabs
        parts.append(" " * gap + piece)
        column += gap + cells(clean(piece, newline=False))
    return "".join(parts)


def _sign(match: re.Match[str]) -> str:
    return _sign_of(match.group())


@lru_cache(maxsize=512)
def _sign_of(char: str) -> str:
    code = ord(char)
    if code < 0x20:
        return chr(0x2400 + code)
    if code == 0x7F:
        return "␡"
    if 0xD800 <= code <= 0xDFFF:
        return "\ufffd"
    return f"‹U+{code:04X}›"


@lru_cache(maxsize=8192)
def _width(char: str) -> int:
    code = ord(char)
    # Medial and final Hangul letters and skin tones join the character before them.
    if 0x1160 <= code <= 0x11FF or 0xD7B0 <= code <= 0xD7FF or 0x1F3FB <= code <= 0x1F3FF:
        return 0
    import unicodedata  # where a text is not ASCII

    if unicodedata.category(char) in ("Mn", "Me", "Mc", "Cc"):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def cells(text: str) -> int:
    """How many terminal cells a cleaned text takes, were it one line."""
    if text.isascii():
        return len(text)
    return sum(map(_width, text))


def cut(text: str, width: int) -> str:
    """A cleaned text in at most `width` cells, its end replaced by "…" where it is too long."""
    if width <= 0:
        return ""
    if cells(text) <= width:
        return text
    return text[: _fitting(text, 0, width - 1)[0]] + ELLIPSIS


def fit(text: str, width: int) -> str:
    """A cleaned text in exactly `width` cells: cut, or filled up with blanks."""
    short = cut(text, width)
    return short + " " * (width - cells(short))


def one_line(text: str, width: int) -> str:
    """Any text, cleaned, on one line of at most `width` cells; white space runs become one blank.

    The work is bounded by the width where the start of the text already fills it.
    """
    if width <= 0:
        return ""
    return _one_short_line(text, width) if len(text) <= _SHORT else _one_line(text, width)


_SHORT = 200
"""Characters up to which a line is remembered: names and paths are drawn again every second."""


def _one_line(text: str, width: int) -> str:
    head = text[: max(256, 4 * width)]
    line = _collapse(head)
    if len(head) < len(text) and cells(line) <= width:
        line = _collapse(text)
    return cut(line, width)


_one_short_line = lru_cache(maxsize=4096)(_one_line)


def _collapse(text: str) -> str:
    return clean(_SPACES.sub(" ", text).strip(" "), newline=False)


def _fitting(text: str, start: int, width: int) -> tuple[int, int]:
    """The end of the longest piece from `start` that has room, and the cells it takes."""
    used = 0
    for end in range(start, len(text)):
        size = _width(text[end])
        if used + size > width:
            return end, used
        used += size
    return len(text), used


def wrap(text: str, width: int) -> list[str]:
    """The lines of a cleaned text, hard-wrapped to `width` cells at blanks; long words are broken.

    Line feeds are kept as line ends, indentation too; blanks at a break are dropped. A character
    wider than `width` stands alone.
    """
    lines: list[str] = []
    for line in text.split("\n"):
        lines += [line[start:end] for start, end in wrap_spans(line, width)]
    return lines


def wrap_spans(line: str, width: int) -> list[tuple[int, int]]:
    """Where `wrap` breaks one line: (start, end) of each row, as indexes into the line.

    A line that grows is wrapped on from the start of its last row: earlier rows stay.
    """
    width = max(width, 1)
    if cells(line) <= width:
        return [(0, len(line))]
    rows: list[tuple[int, int]] = []
    start, column = 0, 0
    for match in _WORDS.finditer(line):
        word, size = match.group(), cells(match.group())
        if column + size <= width:
            column += size
            continue
        before = line[start : match.start()].rstrip(" ")
        if before:
            rows.append((start, start + len(before)))
            start, column = match.start(), 0
        if word.startswith(" "):
            start, column = match.end(), 0
        else:
            start, column = _break_word(line, match.span(), size, (start, column, width), rows)
    if start < len(line) or not rows:
        rows.append((start, len(line)))
    return rows


def _break_word(
    line: str,
    word: tuple[int, int],
    size: int,
    row: tuple[int, int, int],
    rows: list[tuple[int, int]],
) -> tuple[int, int]:
    """Adds the full rows of a word of `size` cells; the start and column of the row it ends on."""
    position, end = word
    start, column, width = row
    while column + size > width:
        broken, used = _fitting(line, position, width - column)
        if broken == start:  # one character wider than a row
            broken, used = start + 1, _width(line[start])
        rows.append((start, broken))
        size -= used
        start = position = broken
        column = 0
        if position >= end:
            break
    return start, column + size
