"""The oracle's sessions, rounds and lines against expectations written by hand."""

from typing import Any

import pytest

from tests.oracle import dump_of
from tests.test_oracle import Row, at, counts, dump, of, sha, texts
from tests.wire import SID, TEXT, Pen, Talk, encoded


def rounds(*lines: bytes) -> list[tuple[Any, ...]]:
    """(id, number, prompt, start, end, "complete" | "aborted" | "open") of each round."""
    found: list[tuple[Any, ...]] = []
    for row in of(dump(*lines), "round"):
        state = "complete" if row["is_complete"] else "aborted" if row["is_aborted"] else "open"
        names = ("round_id", "round_number", "user_prompt", "start_time", "end_time")
        found.append((*[row[name] for name in names], state))
    return found


def stop(pen: Pen, ms: int, round_id: str | None = None) -> bytes:
    return pen.line("stop", ms, {"agent_id": SID}, round_id=round_id)


def test_a_prompt_takes_the_round_of_what_answers_it() -> None:
    pen = Talk()
    lines = [
        pen.line("session_start", 0, {"source": "new"}, round_id="w"),
        pen.start(1, 1, round_id="w"),  # warm-up: no prompt has this round
        pen.prompt(10, "one", "u1", round_id="w"),
        pen.start(9, 15, round_id=""),
        pen.start(2, 20, round_id="a"),
        stop(pen, 30, "a"),
        pen.prompt(40, "two", "u2", round_id="a"),
        pen.start(3, 50, round_id="b"),
    ]
    assert rounds(*lines) == [
        ("a", 1, "one", at(10), at(30), "complete"),
        ("b", 2, "two", at(40), None, "open"),
    ]
    assert [m["round_id"] for m in of(dump(*lines), "message")] == [None, None, "a", "b"]


def test_only_the_process_that_was_asked_answers() -> None:
    pen, other = Talk(), Talk(pid=2)
    lines = [pen.prompt(0, "one", "u1", round_id="a"), other.start(1, 5, round_id="b")]
    assert rounds(*lines) == [("a", 1, "one", at(0), None, "open")]


@pytest.mark.parametrize(
    ("stopped", "second"), [(False, "a"), (True, f"syn:{SID}:u2")], ids=["running", "over"]
)
def test_an_unanswered_prompt_keeps_a_round_that_runs(stopped: bool, second: str) -> None:
    pen = Talk()
    lines = [pen.prompt(0, "one", "u1", round_id="a"), pen.start(1, 5, round_id="a")]
    lines += [stop(pen, 8, "a")] if stopped else []
    lines += [pen.prompt(10, "two", "u2", round_id="a")]
    found = [row[0] for row in rounds(*lines)]
    assert found == (["a"] if second == "a" else ["a", second])


def test_a_prompt_without_round_or_uuid_has_its_ordinal() -> None:
    pen = Talk()
    lines = [
        pen.prompt(0, "one"),
        pen.start(1, 1),
        pen.prompt(5, "two"),
        pen.start(2, 6),
        stop(pen, 7),
    ]
    assert rounds(*lines) == [
        (f"syn:{SID}:1", 1, "one", at(0), None, "aborted"),
        (f"syn:{SID}:2", 2, "two", at(5), at(7), "complete"),
    ]
    assert [m["round_id"] for m in of(dump(*lines), "message")] == [f"syn:{SID}:1", f"syn:{SID}:2"]


def test_a_queued_prompt_does_not_cut_the_running_round() -> None:
    pen = Talk()
    queued = {"operation": "enqueue", "content": "two"}
    lines = [
        pen.prompt(0, "one", "u1"),
        pen.start(1, 1),
        pen.line("queue_operation", 4, queued),
        pen.prompt(5, "two", "u2"),
        pen.start(2, 6),
        stop(pen, 7),
    ]
    assert [row[-1] for row in rounds(*lines)] == ["open", "complete"]


def test_several_prompts_in_a_round() -> None:
    pen = Talk()
    lines = [
        pen.prompt(0, "one", "u1", round_id="a"),
        pen.start(1, 1, round_id="a"),
        pen.prompt(5, "two", "u2", round_id="a"),
        pen.start(2, 6, round_id="a"),
        stop(pen, 7, "a"),
        pen.line("turn_end", 9, {}, round_id="a"),
    ]
    assert rounds(*lines) == [("a", 1, "one", at(0), at(9), "complete")]


@pytest.mark.parametrize(
    ("closing", "state"),
    [
        (("session_end", {"reason": "other"}), "aborted"),
        (("session_start", {"source": "resume"}), "aborted"),
        (("session_start", {"source": "compact"}), "open"),
        (("user_prompt", {"prompt": "next"}), "aborted"),
        (("notification", {"message": "?"}), "open"),
    ],
)
def test_what_closes_a_round_without_a_stop(closing: tuple[str, Row], state: str) -> None:
    pen = Talk()
    lines = [
        pen.prompt(0, "one", "u1", round_id="a"),
        pen.start(1, 1, round_id="a"),
        pen.line(closing[0], 5, closing[1], round_id="b"),
    ]
    assert rounds(*lines)[0] == ("a", 1, "one", at(0), None, state)


def test_an_absent_round_is_the_running_one_and_an_empty_one_is_none() -> None:
    pen = Talk()
    lines = [
        pen.start(1, 0),
        pen.prompt(5, "one", "u1", round_id="a"),
        pen.start(2, 6, round_id="a"),
        pen.start(3, 7),
        pen.start(4, 8, round_id=""),
        stop(pen, 9),
    ]
    assert [m["round_id"] for m in of(dump(*lines), "message")] == [None, "a", "a", None]
    assert [row[-1] for row in rounds(*lines)] == ["complete"]


def test_a_session_that_goes_on_has_no_end() -> None:
    pen, other = Talk(), Talk(pid=7, cwd="/home/u/q", version="")
    end = pen.line("session_end", 50, {"reason": "clear"})
    (row,) = of(dump(end, pen.prompt(0, "one")), "session")
    assert (row["start_time"], row["end_time"], row["end_reason"]) == (at(0), at(50), "clear")
    (row,) = of(dump(end, other.line("session_start", 60, {"source": "resume"})), "session")
    names = ("end_time", "end_reason", "pid", "cwd", "version")
    assert [row[name] for name in names] == [None, None, 7, "/home/u/q", "claude-code-2.0.42"]


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([b"", b"  ", b"\t\r"], [0, 0, 0, 0]),
        ([b"null", b"[1]", b'"{}"', b"7"], [4, 0, 4, 0]),
        ([b"{}", b"{}", b'{"event":"claude.ping"}'], [3, 3, 0, 3]),
        ([b'{"a":1,"b', b"nonsense"], [2, 0, 2, 0]),
        ([b'{"sid":"x"}', b'{"sid":"5b1d2c3e"}'], [2, 0, 2, 0]),
        ([b"\xff\xfe"], [1, 0, 1, 0]),
        ([f'{{"sid":"{SID}","event":"claude.new","line":"data: {{cut"}}'.encode()], [1, 1, 0, 1]),
    ],
)
def test_lines_that_say_nothing(rows: list[bytes], expected: list[int]) -> None:
    found = dump(*rows)
    assert counts(found, "lines", "events", "bad_lines", "unknown_events") == expected
    assert len(found) == 1


def test_glued_and_torn_lines() -> None:
    pen = Talk()
    one, two, three = pen.prompt(0, "1", "u1"), pen.prompt(1, "2", "u2"), pen.prompt(2, "3", "u3")
    rows = dump(one + two + b"\r", one[:90] + three, b'\xef\xbb\xbf{"t":')
    assert counts(rows, "lines", "events", "bad_lines", "duplicates") == [3, 3, 3, 0]
    assert [row["user_prompt"] for row in of(rows, "round")] == ["1", "2", "3"]


def test_a_last_line_without_its_newline_is_not_a_line_yet() -> None:
    line = Talk().prompt(0, "1")
    (row,) = dump_of([line])
    assert (row["lines"], row["torn"]) == (0, 1)
    assert dump_of([line + b"\n" + line[:9]])[:2] == dump_of([line + b"\n"])[:2]


def test_a_copy_adds_nothing_but_duplicates() -> None:
    pen = Talk()
    lines = [pen.prompt(0, "1"), b"null", b"{}", pen.start(1, 3), b"{}"]
    data = b"".join(line + b"\n" for line in lines)
    once, twice = dump_of([data]), dump_of([data, data])
    assert once[:-1] == twice[:-1]
    assert twice[-1] == {**once[-1], "duplicates": 5}


def test_old_and_two_line_rows_say_the_same() -> None:
    found: list[list[Row]] = []
    for form in ("current", "old", "two-line"):
        pen = Talk(form=form)
        rows = dump(
            pen.prompt(0, "1", "u1"),
            pen.start(1, 1),
            pen.begin(1, 2, TEXT),
            pen.text(1, 3, "a"),
            pen.text(1, 4, "b"),
        )
        assert counts(rows, "lines", "events") == [10 if form == "two-line" else 5, 5]
        assert texts(rows) == [("m1", 0, sha("ab"))]
        found.append([{**row, "version": None} for row in rows[:-1]])
    assert found[0] == found[1] == found[2]


def test_metadata_that_cannot_be_read_and_its_agent() -> None:
    pen = Talk()
    line = pen.start(1, 0, agent="a1")
    broken = pen.start(2, 1).replace(encoded('{"ver"').encode()[1:-1], b"x{")
    rows = dump(line, broken)
    assert [row["agent_id"] for row in of(rows, "message")] == ["a1", None]
    assert of(rows, "session")[0]["pid"] == 81551
