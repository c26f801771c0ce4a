"""The pure parts of the screen: wrapping, columns, filters, arrangement, jumps, words."""

from hypothesis import example, given, settings
from hypothesis import strategies as st

from agentmon.core.names import gist
from agentmon.core.text import cells, clean
from agentmon.ui import arrangement, parts
from agentmon.ui.filters import Subject, parse
from agentmon.ui.jumps import Tour
from agentmon.ui.parts import Column, Part
from agentmon.ui.sites import Site
from agentmon.ui.widgets.rounds import span
from agentmon.ui.widgets.sessions import model_name
from agentmon.ui.wrapping import NARROW, WrapIndex

TEXT = st.text(st.sampled_from("ab  \n日é-\u0301🚀"), max_size=200).map(clean)


@settings(deadline=None)
@given(st.lists(TEXT, max_size=12), st.integers(2, 30), st.integers(2, 30))
@example(["   ", "\u0301"], 2, 2)
def test_wrapping_in_pieces_equals_wrapping_at_once(
    pieces: list[str], width: int, other: int
) -> None:
    grown, whole = WrapIndex(width), WrapIndex(width)
    for piece in pieces:
        grown.append(piece)
    if pieces:
        whole.append("".join(pieces))
    assert grown.paragraphs() == whole.paragraphs()
    grown.resize(other, 0)
    whole.resize(other, 0)
    for index in (grown, whole):
        assert "\n".join(index.paragraphs()) == "".join(pieces)
        assert all(cells(row.rstrip(" ")) <= other for row in index.rows)


def test_narrow_characters_are_one_cell() -> None:
    narrow = [chr(code) for code in range(0x20, 0x10000) if NARROW.fullmatch(chr(code))]
    assert len(narrow) > 1000
    assert [char for char in narrow if cells(char) != 1 or clean(char) != char] == []


def test_a_resize_finds_its_place_again() -> None:
    index = WrapIndex(10)
    index.append("\n".join(f"{n:03} " + "x " * 40 for n in range(50)))
    row = index.resize(37, index.starts[20] + 3)
    assert index.paragraph(row) == 20
    assert index.resize(10, row) in range(index.starts[20], index.starts[21])


def test_roles_belong_to_paragraphs() -> None:
    index = WrapIndex(5)
    index.begin("accent")
    index.append("a head that wraps")
    index.begin("")
    index.append("one\ntwo")
    assert index.role(0) == index.role(index.starts[1] - 1) == "accent"
    assert index.role(len(index) - 1) == ""


COLUMNS = (
    Column("a", 3),
    Column("b", 5, 1, grow=1, most=9),
    Column("c", 8, 2, grow=1, keep_end=True),
    Column("d", 4, 3, right=True),
)


@given(st.integers(1, 60), TEXT)
def test_table_lines_fit(width: int, text: str) -> None:
    slots = parts.arrange(COLUMNS, width)
    line = parts.table_line(slots, {name: Part(text) for name in "abcd"})
    assert parts.width_of(line) <= max(width, 3)
    assert [slot.column.name for slot in slots] == list("abcd")[: len(slots)]


def test_long_paths_keep_their_end() -> None:
    assert parts.keep_end("/home/dev/src/agentmon", 12) == "…rc/agentmon"
    assert parts.keep_end("short", 12) == "short"


@given(TEXT, TEXT, st.integers(6, 40))
def test_justified_lines_fit(left: str, right: str, width: int) -> None:
    left, right = clean(left, newline=False), clean(right, newline=False)
    line = parts.justify((Part(left),), (Part(right),), width)
    assert parts.width_of(line) <= width


def test_gist_of_a_call() -> None:
    assert gist('{"command":"ls \\"a b\\"","timeout":3}') == 'ls "a b"'
    assert gist('{"file_path": "/a/very/lo') == "/a/very/lo"
    assert gist('{"count":3}') == '{"count":3}'
    assert gist(None) == ""


API = Subject(("stalled", "writing"), ("api", "claude"), ("Bash",), ("/src/api",), ("opus",))


def test_filters() -> None:
    matching = ("", "status:stalled", "agent:API tool:bash", "!status:idle", "opus", "cwd:src !web")
    for text in (*matching, "status:", "!", "tool:"):
        assert parse(text).matches(API), text
    for text in ("status:idle", "!api", "tool:Edit", "status:stalled web", "other:api"):
        assert not parse(text).matches(API), text


@given(
    st.integers(8, 80),
    st.integers(0, 50),
    st.integers(0, 50),
    st.sampled_from(arrangement.PANELS),
    st.sampled_from(arrangement.LOWER),
)
def test_arrangements_fill_the_room(
    room: int, sessions: int, pending: int, focused: str, lower: str
) -> None:
    small = arrangement.small(room, sessions, focused, lower)
    assert sum(small.of(panel) for panel in arrangement.PANELS) == room
    assert small.of(lower) >= 2
    zoomed = arrangement.zoomed(room, focused)
    assert zoomed.of(focused) == room
    if room >= 18:
        stack = arrangement.stack(room, sessions, pending, focused)
        assert sum(stack.of(panel) for panel in arrangement.PANELS) == room
        assert min(stack.of(panel) for panel in arrangement.PANELS) >= 2
    if room >= 14:
        wide = arrangement.wide(room, sessions, pending)
        assert wide.sessions + wide.pending == wide.rounds + wide.stream == room
        assert min(wide.of(panel) for panel in arrangement.PANELS) >= 3


def test_the_focused_pane_grows() -> None:
    for panel in ("sessions", "pending", "rounds", "stream"):
        others = [
            arrangement.stack(22, 12, 9, other).of(panel)
            for other in arrangement.PANELS
            if other != panel
        ]
        assert arrangement.stack(22, 12, 9, panel).of(panel) > max(others)


def test_shapes() -> None:
    sizes = {(160, 50): "wide", (80, 24): "stack", (60, 20): "small", (39, 50): "tiny"}
    for size, shape in sizes.items():
        assert arrangement.shape(*size) == shape


def test_a_tour_keeps_its_place_when_sites_come() -> None:
    first, second, newer = (Site("error", sid, "", 1.0) for sid in ("a", "b", "c"))
    tour = Tour()
    assert tour.step("error", [first, second], 1) == (first, 0)
    assert tour.step("error", [newer, first, second], 1) == (second, 2)
    assert tour.step("error", [newer, first, second], 1) == (newer, 0)
    assert tour.step("error", [newer, first, second], -1) == (second, 2)
    assert tour.step("error", [], 1) is None


def test_words() -> None:
    assert [span(s) for s in (-1, 0.4, 41, 242, 3840)] == [
        "0.0 s",
        "0.4 s",
        "41 s",
        "4m02s",
        "1h04m",
    ]
    assert model_name("claude-opus-4-1-20250805") == "opus-4-1"
    assert model_name("gpt-5") == "gpt-5"
    assert model_name(None) == "—"
