"""The door for agent text: nothing harmful passes, nothing visible is lost, widths hold."""

import json
import re
import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from rich.cells import cell_len

from agentmon.core.text import cells, clean, clean_json, cut, fit, one_line, wrap, wrap_spans
from tests.deep import some_of

HARMFUL = (
    "\x00\x07\x08\t\n\r\x1b\x7f\x85\x9b\x9d\xad\u061c\u200b\u200d\u200e\u2028\u2029\u202a\u202e"
    "\u2060\u2066\u2069\ufe0e\ufe0f\ufeff\U000e0041\U000e0100"
)
TROUBLE = "❤🔥⚠✔👨💻👍🏽漢字한e\u0301\u20e3 ab[/]"
text = st.text(st.one_of(st.characters(), st.sampled_from(HARMFUL + TROUBLE)), max_size=200)
wild = st.one_of(text, st.text(st.characters(categories=("Cc", "Cf", "Cs", "Zl", "Zp", "Lo"))))
plain = st.text(st.sampled_from("ab de fgh  漢字é\n"), max_size=300)

CONTROLS = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
VISIBLE_FORMAT = {
    *range(0x600, 0x606),
    *(0x6DD, 0x70F, 0x890, 0x891, 0x8E2, 0x110BD, 0x110CD),
    *range(0x13430, 0x13460),
}


@given(wild, st.integers(0, 9))
def test_clean_output_has_no_control(raw: str, tabs: int) -> None:
    assert CONTROLS.search(clean(raw, tabs=tabs)) is None
    assert "\n" not in clean(raw, tabs=tabs, newline=False)


@pytest.mark.parametrize("plane", some_of(range(17), 0, 1, 14))
def test_every_control_and_invisible_character_is_shown(plane: int) -> None:
    """Of all planes; the others have none yet."""
    for code in range(plane << 16, (plane + 1) << 16):
        char = chr(code)
        if char == "\n" or code in VISIBLE_FORMAT:
            continue
        if unicodedata.category(char) in ("Cc", "Cf", "Cs", "Zl", "Zp"):
            shown = clean(char, tabs=0)
            assert char not in shown, hex(code)
            assert shown.isprintable() or shown == "\ufffd", hex(code)


@given(wild, st.booleans())
def test_clean_is_idempotent_and_keeps_clean_text_as_it_is(raw: str, newline: bool) -> None:
    once = clean(raw, newline=newline)
    assert clean(once, newline=newline) is once


@given(st.text(st.characters(categories=("L", "N", "P", "S", "Zs"), exclude_characters=HARMFUL)))
def test_clean_changes_no_visible_character(raw: str) -> None:
    blank_letters = set("\u115f\u1160\u3164\uffa0")
    assert blank_letters & set(raw) or clean(raw) is raw


@given(wild, wild)
def test_clean_works_piece_by_piece(first: str, second: str) -> None:
    glue = ("\ufe0e", "\ufe0f", "\u200d")
    if any(char in first + second for char in glue):
        return
    assert clean(first + second, tabs=0) == clean(first, tabs=0) + clean(second, tabs=0)


def test_clean_shows_what_was_there() -> None:
    assert clean("\x1b[31mred\x07\r\n") == "␛[31mred␇␍\n"
    assert clean("a\u202eb\x85\ud83d") == "a‹U+202E›b‹U+0085›\ufffd"
    assert clean("a\nb\tc", newline=False, tabs=0) == "a␊b␉c"
    assert clean("[/foo] [@click=app.quit]") == "[/foo] [@click=app.quit]"


def test_tabs_go_to_the_next_stop_of_their_line() -> None:
    assert clean("\ta\tbc\n漢\tx") == "    a   bc\n漢  x"
    assert clean("abcd\te", tabs=8) == "abcd    e"
    assert clean("\x1b\tx") == "␛   x"


def test_emoji_glue_between_pictographs_goes_and_elsewhere_shows() -> None:
    assert clean("⚠\ufe0f ok") == "⚠ ok"
    assert clean("👨\u200d💻") == "👨💻"
    assert clean("a\u200db") == "a‹U+200D›b"
    assert clean("a\ufe0f\ufe0f") == "a‹U+FE0F›‹U+FE0F›"
    assert clean("a\U000e0101") == "a‹U+E0101›"


@example("\U00013430")  # joins hieroglyphs, and takes no room
@given(st.text(st.characters(codec="utf-8", exclude_categories=["Cn"]), max_size=80))
def test_cells_agree_with_the_library_that_draws(raw: str) -> None:
    shown = clean(raw, newline=False)
    # The interpreter's Unicode tables are older: these became wide later.
    newly_wide = re.compile("[☰-☷⚊-⚏䷀-䷿\U0001d300-\U0001d376\U0001f777-\U0001faff]")
    if not newly_wide.search(shown):
        assert cells(shown) == cell_len(shown)


@given(wild, st.integers(-2, 60))
def test_cut_fit_and_one_line_hold_their_width(raw: str, width: int) -> None:
    shown = clean(raw, newline=False)
    assert cells(cut(shown, width)) <= max(width, 0)
    assert cells(fit(shown, width)) == max(width, 0)
    line = one_line(raw, width)
    assert cells(line) <= max(width, 0)
    assert "\n" not in line


@given(st.text(st.sampled_from("ab \n\t\x1b漢"), max_size=2000), st.integers(1, 40))
def test_one_line_equals_the_slow_way(raw: str, width: int) -> None:
    joined = " ".join(re.split("[ \n\t]+", raw)).strip(" ")
    assert one_line(raw, width) == cut(clean(joined, newline=False), width)


def test_one_line_of_a_long_text_with_much_white_space() -> None:
    assert one_line("a" + " " * 100_000 + "b" + "\n" * 100_000, 10) == "a b"
    assert one_line("word " * 100_000, 12) == "word word w…"
    assert cut("漢字漢字", 6) == "漢字…"


@given(st.one_of(plain, wild), st.integers(1, 30))
def test_wrap_keeps_width_and_every_visible_character(raw: str, width: int) -> None:
    shown = clean(raw)
    rows = wrap(shown, width)
    assert "".join(rows).replace(" ", "") == shown.replace(" ", "").replace("\n", "")
    for row in rows:
        assert cells(row) <= width or (cells(row) == 2 and width == 1)


@given(plain, st.integers(2, 20))
def test_wrap_keeps_line_ends_and_indentation(raw: str, width: int) -> None:
    for line, rows in [(line, wrap(line, width)) for line in raw.split("\n")]:
        indent = len(line) - len(line.lstrip(" "))
        if indent < width and line.strip(" "):
            assert rows[0].startswith(" " * indent)
    assert len(wrap(raw, 10_000)) == raw.count("\n") + 1


@given(plain.map(lambda raw: raw.replace("\n", " ")), st.integers(2, 20), st.integers(0, 300))
def test_a_growing_line_is_wrapped_on_from_its_last_row(line: str, width: int, at: int) -> None:
    before = wrap_spans(line[:at], width)
    start = before[-1][0]
    grown = [(first + start, last + start) for first, last in wrap_spans(line[start:], width)]
    assert before[:-1] + grown == wrap_spans(line, width)


def test_wrap_examples() -> None:
    assert wrap("The quick brown fox", 10) == ["The quick", "brown fox"]
    assert wrap("a\n\nb", 10) == ["a", "", "b"]
    assert wrap("    indented code", 10) == ["    indent", "ed code"]
    assert wrap("abcdefghijkl mn", 5) == ["abcde", "fghij", "kl mn"]
    assert wrap("漢字漢字", 5) == ["漢字", "漢字"]


@given(st.recursive(wild, lambda inner: st.lists(inner) | st.dictionaries(wild, inner)))
def test_clean_json_means_the_same_and_moves_no_terminal(value: object) -> None:
    text = clean_json(json.dumps(value, ensure_ascii=False))
    assert json.dumps(json.loads(text)) == json.dumps(value)
    assert CONTROLS.search(text) is None
