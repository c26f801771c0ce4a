"""`agentmon incidents`: what it prints of files and of a store, and where the time went."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentmon.commands import options
from agentmon.core.spending import USES, Stretch, spent
from agentmon.report import incident_pages, incidents
from agentmon.report.landmarks import Terms
from agentmon.report.table import Painter
from tests import golden
from tests.cli_run import assert_one_sentence, inside, run
from tests.near import near
from tests.runs import Log, stored
from tests.test_landmarks import ALL, hooks, wire
from tests.wire import START

T0 = START / 1000
Json = dict[str, Any]


def eventful() -> Log:
    """A stall, an error, a loop, a failed call, an answer that took a person a while, a cut end."""
    log = Log().prompt(0, "fix \x1b[31mit")
    n = log.begin(2)
    log.text(n, 3, 43).end(n, 44, ("c1", "Bash", '{"command":"make"}'))
    log.result(50, "c1", "no rule\x07 to make", is_error=True)
    n = log.begin(51)
    log.text(n, 52).error(53, n).message(54, ("c2", "Write", '{"file_path":"/x"}'))
    log.hook("permission_request", 55, tool_name="Write", tool_input={"file_path": "/x"})
    log.result(75, "c2").message(76).stop(77).prompt(100, "again", "r2")
    for number in range(3):
        at = 101.0 + 3 * number
        log.message(at, (f"l{number}", "Read", '{"file_path":"/a"}')).result(at + 1, f"l{number}")
    log.text(log.begin(111), 112)
    return log


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return eventful().write(tmp_path)


def answer(*args: object) -> Json:
    found = inside("incidents", *args, "--json")
    assert found.code == 0, found
    return json.loads(found.out)


def test_what_happened_in_a_file(log: Path) -> None:
    found = answer(log)
    assert [(one["kind"], near(one["time"] - T0, abs=1e-3)) for one in found["incidents"]] == [
        ("stall", 3.0),
        ("failed", 50.0),
        ("error", 53.0),
        ("permission", 55.0),
        ("loop", 101.5),
        ("kill", 112.0),
    ]
    assert [one["round_number"] for one in found["incidents"]] == [1, 1, 1, 1, 2, 2]
    assert found["counts"]["prompt"] == 2
    golden.check("incidents", found)


def test_where_the_time_went(log: Path) -> None:
    """By hand, from the times in `eventful`."""
    first, second = answer(log)["slowest_rounds"]
    assert (first["round_number"], first["seconds"]) == (1, near(77.0))
    assert first["time"] == near(
        {
            "thinking": 0.0,
            "writing": 2 + 2 + 0.5 + 0.5 - 1 + 1,  # 2 to 44 less the stall; 51 to 53; 54; 76
            "tools": 6 + 0.5,
            "person": 20.0,
            "api": 2 + 40 + 1 + 1 + 1,
            "other": 0.5,
            "total": 77.0,
        }
    )
    assert second["time"]["person"] == 0.0
    assert second["time"]["tools"] == near(3 * 0.5)


def test_the_time_of_a_recording(shared: Path) -> None:
    """Two messages without thinking, a call that a person was asked about between them."""
    scene = "claude-permission"
    rows = wire(shared, scene)
    prompt, again = [row["at"] for row in rows if row["event"] == "claude.user_prompt"]
    stop = next(row["at"] for row in rows if row["event"] == "claude.stop")
    asked = hooks(shared, scene, "PermissionRequest")[0]["t"]
    mine = [row for row in rows if prompt < row["at"] < again]
    (answered,) = [row["at"] for row in mine if row["event"] == "claude.tool_result"]
    flows = {row["flow_id"]: [0.0] for row in mine if row["event"] == "claude.message_start"}
    for flow in flows:
        flows[flow] = [row["at"] for row in mine if row["flow_id"] == flow]
    one, two = flows.values()
    found = answer(*(shared / "captures" / scene / name for name in ALL))
    time = next(row["time"] for row in found["slowest_rounds"] if row["round_number"] == 1)
    assert time["total"] == near(stop - prompt)
    assert time["thinking"] == 0.0
    assert time["writing"] == near(one[-1] - one[0] + two[-1] - two[0], abs=0.002)
    # a transcript told the result some milliseconds before the wire did
    assert time["person"] == near(answered - asked, abs=0.1)
    assert time["api"] == near(one[0] - prompt + two[0] - answered, abs=0.1)


def test_messages_between_agents_are_told_with_all(shared: Path) -> None:
    """The task that started a subagent, and its answer, by the call in the raw lines."""
    starts = [
        row["payload"]["content_block"]
        for row in wire(shared, "claude-tui")
        if row["event"] == "claude.content_block_start"
    ]
    (call,) = [block["id"] for block in starts if block.get("name") == "Agent"]
    paths = [shared / "captures" / "claude-tui" / name for name in ALL]
    found = answer(*paths, "--all")["incidents"]
    mail = [one for one in found if one["kind"] == "message"]
    assert [one["tool_use_id"] for one in mail] == [call, call]
    assert [one["text"].split(":")[0] for one in mail] == [
        "claude-tui-t to Count text files",
        "Count text files to claude-tui-t",
    ]
    assert [one for one in answer(*paths)["incidents"] if one["kind"] == "message"] == []


STRETCHES = st.lists(
    st.tuples(st.integers(0, 40), st.integers(0, 40), st.sampled_from(USES)), max_size=12
)


@given(STRETCHES)
def test_every_moment_counts_once(given_: list[tuple[int, int, Any]]) -> None:
    stretches: list[Stretch] = [(float(a), float(b), use) for a, b, use in given_]
    found = spent(stretches, 5.0, 30.0)
    plain: dict[str, int] = dict.fromkeys((*USES, "other"), 0)
    for second in range(5, 30):
        uses = {use for a, b, use in given_ if a <= second < b}
        plain[next((use for use in USES if use in uses), "other")] += 1
    assert {name: getattr(found, name) for name in plain} == near(plain)


def test_as_text_and_markdown(log: Path) -> None:
    shown = inside("incidents", log).out
    assert "\x1b" not in shown
    assert "\x07" not in shown
    assert "1 error · 1 stall · 1 permission · 1 failed tool · 1 no stop · 1 loop" in shown
    assert "asked again after 1.0 s" in shown
    assert "3 times Read /a" in shown
    assert "limit 30 s" in shown
    plain = inside("incidents", log, "--ascii").out
    assert plain.isascii()
    document = inside("incidents", log, "--markdown").out
    assert document.startswith("# Incidents: `p · claude · ")
    assert "**loop**, 6.5s (`#2`): `3 times Read /a`\n" in document
    assert "prompt**" not in document
    assert "**prompt** (`#1`): `fix ␛[31mit`" in inside("incidents", log, "--markdown", "--all").out


def test_lines_fit_the_width(log: Path, tmp_path: Path) -> None:
    with stored([log], tmp_path / "store") as conn:
        found = incidents.load(conn, tmp_path / "store", Terms())
    for width in (60, 80, 200):
        pieces = incident_pages.text_pieces(found, width=width, paint=Painter(ascii=True))
        assert max(len(line) for line in "".join(pieces).split("\n")) <= width


def test_limits_can_be_given(log: Path) -> None:
    found = answer(log, "--stalled-after", "50s", "--slow-after", "5s")
    assert found["counts"]["stall"] == 0
    assert found["counts"]["slow"] == 1


def test_the_users_store_is_never_touched(log: Path, scratch_home: Path) -> None:
    assert answer(log)["incidents"]
    assert list((scratch_home / "data").iterdir()) == []


def test_a_session_of_the_store(log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    where = tmp_path / "store"
    assert inside("ingest", log, "--data-dir", where).code == 0
    monkeypatch.setattr(options, "now", lambda: T0 + 120)
    running = answer("--session", "p", "--data-dir", where)
    assert running["counts"]["kill"] == 0
    assert running["counts"]["stall"] == 1
    monkeypatch.setattr(options, "now", lambda: T0 + 300)
    silent = answer("--session", "p", "--data-dir", where)
    assert (silent["incidents"][-1]["kind"], silent["incidents"][-1]["end_time"]) == ("stall", None)
    assert silent["slowest_rounds"][0]["seconds"] == near(200.0)


def test_what_cannot_be_read_is_one_sentence(log: Path, tmp_path: Path) -> None:
    assert_one_sentence(inside("incidents", tmp_path / "none.jsonl"), "no such file")
    assert_one_sentence(inside("incidents", log, "--session", "nobody"), "nobody")
    assert inside("incidents").code == 2
    assert inside("incidents", log, "--json", "--markdown").code == 2
    assert inside("incidents", log, "--data-dir", tmp_path).code == 2
    empty = tmp_path / "empty.jsonl"
    empty.touch()
    assert "nothing was recorded" in inside("incidents", empty).out


def test_from_a_pipe(log: Path) -> None:
    found = run("incidents", "-", "--json", stdin=log.read_bytes())
    assert found.code == 0, found
    assert json.loads(found.out)["counts"]["loop"] == 1
