"""`agentmon compare`: alignment and divergence by property, figures against the raw lines."""

import json
from pathlib import Path
from statistics import median
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from agentmon import cli
from agentmon.core import comparing
from agentmon.core.comparing import Call, Figure, Message, Round, Story, align
from agentmon.store import db, read_compare
from tests import feeds, golden
from tests.deep import examples
from tests.differential import ingest
from tests.nearly import close
from tests.oracle import dump_of
from tests.ui_store import UiStore, fill
from tests.wire import TEXT, Talk, tool_result

prompts = st.lists(st.sampled_from(["go on", "go  on", "fix it", "why?", "again", ""]), max_size=9)


@given(prompts, prompts)
def test_every_round_is_aligned_once_and_in_order(one: list[str], other: list[str]) -> None:
    pairs = align(one, other)
    assert [a for a, _ in pairs if a is not None] == list(range(len(one)))
    assert [b for _, b in pairs if b is not None] == list(range(len(other)))
    assert (None, None) not in pairs


@given(prompts, prompts)
def test_alignment_looks_the_same_from_both_sides(one: list[str], other: list[str]) -> None:
    assert [(b, a) for a, b in align(other, one)] == align(one, other)


@given(prompts)
def test_equal_sessions_are_aligned_by_place(one: list[str]) -> None:
    assert align(one, list(one)) == [(at, at) for at in range(len(one))]


@given(prompts, st.integers(0, 9), st.text("xyz", min_size=1, max_size=3))
def test_one_more_round_moves_no_other(one: list[str], at: int, more: str) -> None:
    at = min(at, len(one))
    pairs = align(one, [*one[:at], more, *one[at:]])
    assert [pair for pair in pairs if pair[0] is None] == [(None, at)]


def test_what_crosses_gives_way() -> None:
    assert align(["a", "b", "c", "d"], ["d", "a", "b", "c"]) == [
        (None, 0),
        (0, 1),
        (1, 2),
        (2, 3),
        (3, None),
    ]
    assert align(["a", "x", "b"], ["a", "y", "z", "b"]) == [(0, 0), (1, 1), (None, 2), (2, 3)]


calls = st.builds(
    Call, st.sampled_from(["m1", "m2"]), st.integers(0, 2), st.sampled_from(["Bash", "Read", None])
)
messages = st.builds(
    Message,
    st.sampled_from(["m1", "m2"]),
    st.none(),
    st.sampled_from(["opus", None]),
    st.sampled_from(["end_turn", "tool_use", None]),
    calls=st.lists(calls, max_size=3).map(tuple),
)


@st.composite
def stories(draw: st.DrawFn) -> Story:
    asked = draw(prompts)
    said = [draw(st.lists(messages, max_size=3)) for _ in asked]
    rounds = tuple(
        Round(n, f"r{n}", prompt, messages=tuple(m))
        for n, (prompt, m) in enumerate(zip(asked, said, strict=True), 1)
    )
    every = tuple(m for round_ in rounds for m in round_.messages)
    tokens = draw(st.tuples(*[st.integers(0, 9)] * 4))
    return Story("s", "claude", rounds, every, *tokens)


def same_place(one: Call, other: Call) -> bool:
    return one.index == other.index


@settings(max_examples=examples(6, 30))
@given(stories())
def test_a_session_does_not_part_from_itself(one: Story) -> None:
    assert comparing.divergence(one, one, lambda a, b: a == b) is None
    for figure in [*comparing.figures([one, one]), *comparing.tool_figures([one, one])]:
        assert figure.differences[1] in (0, None)
        assert figure.ratios[1] in (1, None)


@settings(max_examples=examples(8, 40))
@given(stories(), stories())
def test_divergence_is_the_same_from_both_sides(one: Story, other: Story) -> None:
    found = comparing.divergence(one, other, same_place)
    back = comparing.divergence(other, one, same_place)
    if found is None:
        assert back is None
    else:
        assert back == replace(found, one=found.other, other=found.one)


@given(prompts, prompts, prompts)
def test_a_table_has_every_round_once(one: list[str], two: list[str], three: list[str]) -> None:
    lists = [one, two, three]
    rows = comparing.table([align(lists[0], other) for other in lists[1:]], len(lists[0]))
    for column, asked in enumerate(lists):
        found = [row[column] for row in rows if row[column] is not None]
        assert found == list(range(len(asked)))


def test_figures_know_what_they_do_not_know() -> None:
    figure = Figure("x", (None, 3.0))
    assert (figure.differences, figure.ratios) == ((None, None), (None, None))
    figure = Figure("x", (0, 3))
    assert (figure.differences, figure.ratios) == ((0, 3), (None, None))
    figure = Figure("x", (4, 2, None))
    assert (figure.differences, figure.ratios) == ((0, -2, None), (1, 0.5, None))


# -- over recorded lines


def run(
    talk: Talk, at: int, n: int, prompt: str, command: str, *, name: str = "Bash"
) -> list[bytes]:
    """A round: a call, its result, a closing text. Flow ids are the session's own."""
    call = feeds.call_block(f"toolu_{n}", name)
    round_id = f"round-{n}"
    return [
        talk.prompt(at, prompt, f"u{n}", round_id=round_id),
        talk.start(n, at + 400, round_id=round_id),
        talk.begin(n, at + 500, call),
        talk.json(n, at + 600, json.dumps({"command": command})),
        talk.end(n, at + 700),
        talk.reason(n, at + 800, "tool_use", output_tokens=40),
        talk.stop(n, at + 900),
        talk.line("tool_result", at + 1_700, tool_result(f"toolu_{n}", "ok"), round_id=round_id),
        talk.start(n + 500, at + 2_000, round_id=round_id),
        talk.begin(n + 500, at + 2_100, TEXT),
        talk.text(n + 500, at + 2_500, "Done."),
        talk.end(n + 500, at + 2_600),
        talk.reason(n + 500, at + 2_700, "end_turn", output_tokens=20),
        talk.stop(n + 500, at + 3_000 + n),
        talk.line("stop", at + 3_100 + n, {"agent_id": talk.sid}, round_id=round_id),
    ]


def talks() -> list[bytes]:
    one, other = Talk(feeds.sid_of(1), cwd="/u/one"), Talk(feeds.sid_of(2), cwd="/u/other")
    third = Talk(feeds.sid_of(3), cwd="/u/third")
    return [
        *run(one, 0, 1, "list it", "ls"),
        *run(one, 10_000, 2, "count it", "wc -l"),
        *run(one, 20_000, 3, "sum it", "paste"),
        *run(other, 100_000, 11, "list it", "ls"),
        *run(other, 110_000, 12, "look around", "pwd"),
        *run(other, 120_000, 13, "count  it", "wc -c"),
        *run(third, 200_000, 21, "list it", "ls", name="Shell"),
    ]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    where = tmp_path_factory.mktemp("compare")
    ingest(where / "data", [feeds.write(where / "sse_lines.jsonl", talks())])
    return where / "data"


def answer(folder: Path, *args: str) -> dict[str, Any]:
    given = ["compare", "--data-dir", str(folder), "--json", *args]
    done = CliRunner().invoke(cli.main, given)
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def test_json_is_pinned(folder: Path) -> None:
    golden.check("compare", answer(folder, "one", "other", "third"))


def test_rounds_are_aligned_by_prompt(folder: Path) -> None:
    found = answer(folder, "one", "other")
    numbers = [
        [side and side["round_number"] for side in row["sessions"]] for row in found["rounds"]
    ]
    assert numbers == [[1, 1], [None, 2], [2, 3], [3, None]]
    assert [row["same_prompt"] for row in found["rounds"]] == [True, False, True, False]


def test_the_figures_are_those_of_the_raw_log(folder: Path) -> None:
    log = b"".join(line + b"\n" for line in talks())
    rows: list[dict[str, Any]] = [dict(row) for row in dump_of([log])]
    found = answer(folder, "one", "other")
    values = {figure["name"]: figure["values"] for figure in found["figures"]}
    for at, sid in enumerate((feeds.sid_of(1), feeds.sid_of(2))):
        of_session = [row for row in rows if row.get("sid") == sid]
        rounds = [row for row in of_session if row["kind"] == "round"]
        messages = [row for row in of_session if row["kind"] == "message"]
        flows = {row["flow_id"] for row in messages}
        blocks = [r for r in rows if r["kind"] == "block" and r["flow_id"] in flows]
        results = [r for r in rows if r["kind"] == "tool_result" and r["flow_id"] in flows]
        took = [row["duration_ms"] / 1000 for row in rounds]
        assert values["rounds"][at] == len(rounds)
        assert values["messages"][at] == len(messages)
        assert values["tool_calls"][at] == sum(b["block_type"] == "tool_use" for b in blocks)
        assert values["output_tokens"][at] == sum(row["output_tokens"] for row in messages)
        assert close(values["round_seconds"][at], sum(took))
        assert close(values["median_round_seconds"][at], median(took))
        ran = sum(row["execution_duration_ms"] for row in results) / 1000
        assert close(values["tool_seconds"][at], ran)
        first = [
            min(b["start_time"] for b in blocks if b["flow_id"] in ids) - row["start_time"]
            for row in rounds
            for ids in [{m["flow_id"] for m in messages if m["round_id"] == row["round_id"]}]
        ]
        assert close(values["median_first_token_seconds"][at], median(first))
        # the last delta of a call comes 200 ms after its start, that of a text 500 ms
        streamed = 0.2 * len(rounds) + 0.5 * len(rounds)
        speed = values["output_tokens"][at] / streamed
        assert close(values["tokens_per_second"][at], speed)


@pytest.mark.parametrize(
    ("names", "what", "numbers", "said"),
    [
        (("one", "other"), "round", [None, 2], [None, "look around"]),
        (("one", "third"), "tool", [1, 1], ["Bash", "Shell"]),
        (("one", "one"), None, [], []),
    ],
)
def test_where_two_part(
    folder: Path, names: tuple[str, ...], what: str | None, numbers: list[int], said: list[str]
) -> None:
    (found,) = [each["first"] for each in answer(folder, *names)["divergences"]]
    if what is None:
        assert found is None
        return
    assert found["what"] == what
    sides = [found["one"], found["other"]]
    assert [side["round_number"] for side in sides] == numbers
    assert [side["value"] for side in sides] == said


def ingested(where: Path, lines: list[bytes]) -> Path:
    ingest(where / "data", [feeds.write(where / "sse_lines.jsonl", lines)])
    return where / "data"


def test_inputs_are_compared_as_values(tmp_path: Path) -> None:
    one, other = Talk(feeds.sid_of(1), cwd="/u/one"), Talk(feeds.sid_of(2), cwd="/u/other")
    same = [*run(one, 0, 1, "go", "ls"), *run(other, 50_000, 2, "go", "ls")]
    spaced = [line.replace(b'{\\\\\\"command', b'{  \\\\\\"command') for line in same[15:]]
    assert spaced != same[15:]
    folder = ingested(tmp_path / "same", [*same[:15], *spaced])
    assert answer(folder, "one", "other")["divergences"][0]["first"] is None
    lines = [*run(one, 0, 1, "go", "ls"), *run(other, 50_000, 2, "go", "rm -rf x")]
    found = answer(ingested(tmp_path / "other", lines), "one", "other")["divergences"][0]["first"]
    assert found["what"] == "input"
    assert json.loads(found["other"]["value"]) == {"command": "rm -rf x"}
    assert (found["other"]["flow_id"], found["other"]["index"]) == ("m2", 0)


@pytest.mark.parametrize("width", [60, 80, 160])
def test_the_text_fits(folder: Path, width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    args = ["compare", "--data-dir", str(folder), "one", "other"]
    done = CliRunner().invoke(cli.main, args)
    assert done.exit_code == 0
    assert all(len(line) <= width for line in done.output.splitlines())
    assert "only one of them has this round" in done.output


def test_the_text_can_be_ascii(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENTMON_UI__ASCII", "true")
    done = CliRunner().invoke(cli.main, ["compare", "--data-dir", str(folder), "one", "other"])
    assert done.exit_code == 0
    assert done.output.isascii()


@pytest.mark.parametrize(
    ("names", "code", "said"),
    [
        (("one",), 2, "give two sessions or more"),
        (("one", "nobody"), 1, "no session answers to 'nobody'"),
    ],
)
def test_bad_input(folder: Path, names: tuple[str, ...], code: int, said: str) -> None:
    done = CliRunner().invoke(cli.main, ["compare", "--data-dir", str(folder), *names])
    assert done.exit_code == code
    assert said in done.output


def test_sessions_without_anything_compare_too(tmp_path: Path) -> None:
    store = UiStore(tmp_path)
    store.session("a", "/u/a", first_time=None, last_time=None)
    store.session("b", "/u/b")
    store.insert("schema_version", version=db.SCHEMA_VERSION, applied_at=0.0)
    store.conn.close()
    found = answer(tmp_path, "a", "b")
    assert found["rounds"] == []
    values = {figure["name"]: figure for figure in found["figures"]}
    assert values["tokens_per_second"]["values"] == [None, None]
    assert values["seconds"]["values"][0] is None


def test_reading_a_session_uses_its_indexes(tmp_path: Path) -> None:
    store = UiStore(tmp_path)
    fill(store)
    said: list[str] = []
    store.conn.set_trace_callback(said.append)
    read_compare.story(store.conn, "a0000000-0000-4000-8000-000000000001")
    store.conn.set_trace_callback(None)
    assert len(said) >= 4
    for sql in said:
        for row in store.conn.execute(f"EXPLAIN QUERY PLAN {sql}"):
            assert not row[3].startswith("SCAN") or "USING" in row[3] or "(sub" in row[3], sql
