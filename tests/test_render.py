"""The board as text and values: one look for each state, numbers that fit, nothing harmful."""

import json
import re
from typing import get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentmon.core.health import Limits, Phase, ProcessFact, Word
from agentmon.core.text import cells
from agentmon.report import render
from agentmon.report.board import Board, Thread
from agentmon.report.table import Cell, Column, Painter, table
from agentmon.store.read import AgentRow, PendingRow, SessionRow

NOW = 1_800_000_000.0
LIMITS = Limits()
SID = "5b1d2c3e-0000-4000-8000-000000000001"
WEB = "5b1d2c3e-0000-4000-8000-000000000002"
DOCS = "5b1d2c3e-0000-4000-8000-000000000003"


def session(sid: str = SID, cwd: str | None = "/home/u/api", **values: object) -> SessionRow:
    fields: dict[str, object] = {
        "sid": sid,
        "agent": "claude",
        "pid": 4711,
        "cwd": cwd,
        "version": "2.1.330",
        "model": "claude-opus-5-5",
        "first_time": NOW - 500,
        "last_time": NOW - 3,
        "end_time": None,
        "end_reason": None,
        "input_tokens": 1_200,
        "output_tokens": 7_000,
        "cache_read_tokens": 900_000,
        "cache_write_tokens": 10_000,
        "context_tokens": 68_000,
        "round_count": 12,
        "round_id": "r12",
        "round_start": NOW - 100,
        "round_end": None,
        "round_open": True,
        **values,
    }
    return msgspec.convert(fields, SessionRow)


def call(name: str | None = "Bash", seconds: float = 134, **values: object) -> PendingRow:
    fields: dict[str, object] = {
        "sid": SID,
        "agent_id": None,
        "round_id": "r12",
        "flow_id": "msg_1",
        "index": 1,
        "tool_use_id": f"toolu_{name}{seconds}",
        "tool_name": name,
        "called_at": NOW - seconds,
        "input_preview": "pytest -x tests/",
        **values,
    }
    return msgspec.convert(fields, PendingRow)


def thread(
    phase: str,
    *,
    silent: float = 1.0,
    agent_id: str = "",
    calls: tuple[PendingRow, ...] = (),
    gone: ProcessFact | None = None,
    detail: str | None = None,
    of: SessionRow | None = None,
) -> Thread:
    of = of or session()
    row = AgentRow(of.sid, agent_id, phase, NOW - 60, detail, NOW - silent, NOW - 60, "msg_1", None)
    return Thread(row, of, list(calls), gone)


def board(*threads: Thread) -> Board:
    return Board(list(threads), [pending for one in threads for pending in one.pending])


GONE = ProcessFact(4711, NOW - 10, "no such process")


def test_every_phase_and_verdict_has_a_look_of_its_own() -> None:
    names = [*get_args(Phase), *(word for word in get_args(Word) if word != "ok")]
    for name in names:
        look = render.LOOKS[name]
        assert cells(look.glyph) == 1
        assert look.ascii.isascii()
        assert len(look.ascii) == 1
        assert look.role
    assert render.look("something new").glyph == "?"


def test_kinds_of_state_differ_without_colour() -> None:
    kinds = ("writing", "tool", "permission", "retrying", "idle", "ended", "stalled", "overdue")
    for signs in ([render.look(k).glyph for k in kinds], [render.look(k).ascii for k in kinds]):
        assert len(set(signs)) == len(kinds)


def test_state_of_a_working_agent() -> None:
    shown = render.state(thread("writing"), NOW, LIMITS)
    assert (shown.glyph, shown.label, shown.color_role) == ("●", "writing", "success")
    assert shown.is_flowing
    assert not render.state(thread("writing", silent=5), NOW, LIMITS).is_flowing


def test_state_names_what_is_wrong() -> None:
    stalled = render.state(thread("writing", silent=41), NOW, LIMITS)
    assert (stalled.glyph, stalled.label, stalled.color_role) == ("✕", "stalled 41s", "error")
    overdue = render.state(thread("tool", calls=(call(seconds=601),)), NOW, LIMITS)
    assert (overdue.glyph, overdue.label) == ("▲", "overdue Bash 10:01")
    orphan = render.state(thread("writing", silent=60, gone=GONE), NOW, LIMITS, ascii=True)
    assert (orphan.glyph, orphan.label, orphan.dim) == ("+", "orphaned", True)


def test_state_of_tools_and_permission() -> None:
    calls = (call("Read", 3), call("Bash", 134))
    assert render.state(thread("tool", calls=calls), NOW, LIMITS).label == "tool Bash 2:14 +1"
    asked = thread("permission", calls=(call("Edit", 700),))
    shown = render.state(asked, NOW, LIMITS)
    assert (shown.label, shown.color_role, shown.bold) == ("permission Edit", "warning", True)
    named = thread("permission", detail="Write", calls=(call("Edit", 8),))
    assert render.state(named, NOW, LIMITS).label == "permission Write"
    retrying = thread("retrying", detail="overloaded_error")
    assert render.state(retrying, NOW, LIMITS).label == "retrying overloaded_error"


def test_an_orderly_end_is_not_a_death() -> None:
    over = session(round_open=False)
    assert render.state(thread("ended", silent=60, gone=GONE, of=over), NOW, LIMITS).word == "ended"
    assert render.state(thread("idle", silent=60, gone=GONE, of=over), NOW, LIMITS).word == "dead"


def test_a_phase_from_a_newer_program_is_shown_harmlessly() -> None:
    shown = render.state(thread("\x1b[2Jdreaming for long"), NOW, LIMITS)
    assert shown.glyph == "?"
    assert "\x1b" not in shown.label


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (None, "—"),
        (-5.0, "now"),
        (0.4, "now"),
        (12.9, "12s"),
        (59.99, "59s"),
        (60, "1m"),
        (3_599, "59m"),
        (7_200, "2h"),
        (259_200, "3d"),
    ],
)
def test_age(seconds: float | None, expected: str) -> None:
    assert render.age(seconds) == expected


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(None, "—"), (-1, "0:00"), (8, "0:08"), (134, "2:14"), (3_600, "1:00:00"), (3_723, "1:02:03")],
)
def test_timer(seconds: float | None, expected: str) -> None:
    assert render.timer(seconds) == expected


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (None, "—"),
        (0, "0"),
        (999, "999"),
        (1_000, "1.0k"),
        (18_230, "18.2k"),
        (99_960, "100k"),
        (999_400, "999k"),
        (999_600, "1.0M"),
        (1_234_567, "1.2M"),
        (2_000_000_000_000, "2000G"),
    ],
)
def test_tokens(count: int | None, expected: str) -> None:
    assert render.tokens(count) == expected


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (None, "—"),
        (0, "0 B"),
        (410, "410 B"),
        (1_126, "1.1 KB"),
        (1_000, "1.0 KB"),
        (1_048_576, "1.0 MB"),
        (104_857_600, "100 MB"),
    ],
)
def test_size(count: int | None, expected: str) -> None:
    assert render.size(count) == expected


def fresh_session() -> SessionRow:
    return session(
        DOCS,
        cwd="/home/u/docs",
        model=None,
        input_tokens=0,
        output_tokens=0,
        cache_write_tokens=0,
        round_count=0,
    )


def lively() -> Board:
    return board(
        thread("writing", silent=41),
        thread("tool", agent_id="a13c6e66", calls=(call("Bash", 134, agent_id="a13c6e66"),)),
        thread("permission", calls=(call("Edit", 8, sid=WEB),), of=session(WEB, cwd="/home/u/web")),
        thread("idle", of=fresh_session()),
    )


def test_counts_and_summary_use_the_words_of_the_board() -> None:
    found = render.counts(lively(), NOW, LIMITS)
    assert found == render.Counts(4, 1, 1, 1, 0, 0, 2)
    assert (
        render.summary(found) == "4 agents · 1 working · 1 needs you · 1 stalled · 2 tools pending"
    )
    assert render.summary(render.counts(board(), NOW, LIMITS)) == "0 agents"


def test_board_text_shows_agents_and_pending_tools() -> None:
    lines = render.board_text(lively(), NOW, LIMITS, width=160).splitlines()
    agents = {line.split()[1]: line for line in lines[3:7]}
    assert re.search(
        r"✕ +api +stalled 41s +#12 +41s +18\.2k +— +claude +wire +claude-opus-5-5", lines[3]
    )
    assert "└ a13c6e66" in lines[4]
    assert "permission Edit" in agents["web"]
    assert re.search(r"○ +docs +idle +— +1s +— +— +claude +wire +— +/home/u/docs", agents["docs"])
    start = lines.index("Pending tools")
    assert re.search(r"⚙ +Bash +a13c6e66 +2:14 +pytest -x tests/", lines[start + 2])
    assert re.search(r"◆ +Edit +web +0:08 ", lines[start + 3])


@pytest.mark.parametrize("ascii", [False, True])
@pytest.mark.parametrize("width", [30, 40, 60, 80, 120, 200])
def test_board_text_fits_and_the_important_stays(width: int, ascii: bool) -> None:
    text = render.board_text(lively(), NOW, LIMITS, width=width, ascii=ascii)
    assert all(cells(line) <= width for line in text.splitlines())
    assert "stalled" in text
    assert "api" in text
    assert text.isascii() is ascii


def test_board_text_drops_columns_by_priority() -> None:
    narrow, wide = (
        next(line for line in text.splitlines() if " agent " in line and " state " in line)
        for text in (render.board_text(lively(), NOW, LIMITS, width=w) for w in (45, 140))
    )
    assert narrow.split() == ["agent", "state", "round", "last"]
    names = ["agent", "state", "round", "last", "tokens", "ctx", "product", "via", "model", "cwd"]
    assert wide.split() == names


def test_colour_changes_nothing_but_colour() -> None:
    plain = render.board_text(lively(), NOW, LIMITS, width=100)
    painted = render.board_text(lively(), NOW, LIMITS, width=100, color=True)
    assert painted != plain
    assert "\x1b[31mstalled 41s\x1b[0m" in painted
    assert re.sub(r"\x1b\[[0-9;]+m", "", painted) == plain


def test_empty_board_says_what_to_do() -> None:
    text = render.board_text(
        board(), NOW, LIMITS, width=60, looked_for=["~/centralized-logs/*/sse_lines.jsonl: none"]
    )
    assert "agentmon --demo" in text
    assert "~/centralized-logs/*/sse_lines.jsonl: none" in text


@given(st.text(), st.text(), st.integers(40, 200))
def test_hostile_names_cannot_leave_their_cell(cwd: str, preview: str, width: int) -> None:
    hostile = "\x1b]0;x\x07\u202e[/foo]\n" + cwd
    shown = board(
        thread("tool", calls=(call(hostile, input_preview=preview),), of=session(cwd=hostile))
    )
    text = render.board_text(shown, NOW, LIMITS, width=width)
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e]", text)
    assert len(text.split("\n")) == 8


def test_board_json_is_plain_and_complete() -> None:
    found = json.loads(json.dumps(render.board_json(lively(), NOW, LIMITS)))
    assert found["counts"]["stalled"] == 1
    stalled = found["agents"][0]
    assert (stalled["name"], stalled["state"], stalled["phase"]) == ("api", "stalled", "writing")
    assert stalled["evidence"]["last_byte"] == NOW - 41
    assert found["agents"][1]["agent_id"] == "a13c6e66"
    assert found["agents"][3]["round_number"] is None
    assert [tool["tool_name"] for tool in found["pending"]] == ["Bash", "Edit"]
    assert found["pending"][0]["seconds"] == 134


@given(
    st.lists(st.tuples(st.text(max_size=30), st.text(max_size=30)), max_size=5),
    st.integers(12, 60),
)
def test_table_lines_never_exceed_the_width(rows: list[tuple[str, str]], width: int) -> None:
    columns = (Column("name", 4, 20), Column("number", 6, 10, keep=1, right=True))
    cells_of = [[Cell(first), Cell(second)] for first, second in rows]
    lines = table(columns, cells_of, width, Painter())
    assert len(lines) == len(rows) + 1
    assert all(cells(line) <= width for line in lines)


def test_the_board_shows_how_full_a_context_is() -> None:
    found = board(thread("writing"))
    known: dict[tuple[str, str], dict[str, object]] = {
        (SID, ""): {"context_window": 200_000, "git_branch": "main"}
    }
    text = render.board_text(found, NOW, LIMITS, width=120, known=known)
    assert re.search(r"18\.2k +34% +claude", text)
    agent = json.loads(json.dumps(render.board_json(found, NOW, LIMITS, known=known)))["agents"][0]
    assert (agent["context_fill"], agent["facts"]["git_branch"]) == (0.34, "main")
    without = json.loads(json.dumps(render.board_json(found, NOW, LIMITS)))["agents"][0]
    assert (without["context_fill"], without["facts"]) == (None, {})


def test_subagents_are_indented_below_their_parents() -> None:
    outer = thread("tool", agent_id="outer")
    inner = thread("writing", agent_id="inner")
    inner.row.parent_agent_id = "outer"
    inner.row.kind, inner.row.description = "Explore", "find usages"
    lines = render.board_text(board(thread("tool"), outer, inner), NOW, LIMITS, width=120)
    assert "⚙  └ outer" in lines
    assert "●    └ Explore: find us" in lines
    agents = render.board_json(board(thread("tool"), outer, inner), NOW, LIMITS)["agents"]
    assert json.loads(json.dumps(agents))[2]["parent_agent_id"] == "outer"
