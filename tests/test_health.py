"""The judge over a real store: verdicts begin, go on and end; what is known of processes."""

import json
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path

import msgspec
import pytest

from agentmon.core.events import Facts, Meta
from agentmon.core.health import Limits, ProcessFact
from agentmon.engine.ingest import Ingestion
from agentmon.engine.judging import DETAILS_AFTER, TOLD_AGAIN, Judge
from agentmon.report import board
from agentmon.report.board import Board
from agentmon.sources.procs import Asked, Details, Doing, Seen, Wanted
from agentmon.store import db, read, verdicts
from agentmon.store.rows import VerdictRow
from tests.life import Arrival, Life, facts_of
from tests.small_lives import PID, T0, ToldRun, WireRun
from tests.test_status_table import RUNS, Run
from tests.wire import SID

LIMITS = Limits()


class Watch:
    """A store that is fed with arrivals and judged now and then."""

    def __init__(self, data_dir: Path) -> None:
        self.run = Ingestion(data_dir)
        self.judge = Judge(LIMITS)

    def hear(self, run: WireRun | ToldRun | Sequence[Arrival]) -> None:
        """Everything of a run; what was heard before is heard only once."""
        arrivals = run.arrivals if isinstance(run, WireRun | ToldRun) else run
        for _, events in arrivals:
            self.run.engine.fold.line(events)
        self.run.commit()

    def board(self) -> Board:
        return board.load(self.run.conn)

    def look(self, at: float, seen: Seen | None = None) -> list[tuple[str, str]]:
        """Judges `at` seconds after the beginning; the verdicts that hold then: (agent, word)."""
        changes = self.judge.judge(self.board(), seen, T0 + at)
        verdicts.write(self.run.conn, changes)
        return [(row.agent_id, row.verdict) for row in read.open_verdicts(self.run.conn)]

    def wanted(self) -> Wanted:
        return self.judge.pids(self.board())

    def stored(self) -> list[VerdictRow]:
        return read.verdicts(self.run.conn, SID)

    def evidence(self) -> dict[str, object]:
        (row,) = read.open_verdicts(self.run.conn)
        return json.loads(row.evidence)


@pytest.fixture
def watch(tmp_path: Path) -> Iterator[Watch]:
    found = Watch(tmp_path / "data")
    yield found
    found.run.close()


def writing() -> WireRun:
    run = WireRun().prompt(0)
    return run.text(run.begin(1), 2)


def calling(name: str = "Bash") -> WireRun:
    return WireRun().prompt(0).message(1, 2, ("toolu_1", name))


def gone(at: float, *, alive_at: float | None = None) -> Seen:
    known = T0 + alive_at if alive_at is not None else None
    return Seen({SID: ProcessFact(PID, T0 + at, "no such process", known)})


def doing(pid: int, command: str) -> Doing:
    return Doing(pid, command, "sleeping", T0, 1.5, 0.0)


def at_work(at: float) -> Seen:
    return Seen(details={SID: Details(doing(PID, "claude"), [doing(9, "pytest -x")], T0 + at)})


# -- beginning and end


def test_a_stall_begins_and_ends(watch: Watch) -> None:
    run = writing()
    watch.hear(run)
    assert watch.look(31.9) == []
    assert watch.look(32.5) == []
    assert watch.look(33.1) == [("", "stalled")]
    assert watch.look(40) == [("", "stalled")]
    watch.hear(run.text(1, 50))
    assert watch.look(50.1) == []
    (row,) = watch.stored()
    assert (row.since, row.until) == (T0 + 2, T0 + 50.1)


def test_a_restart_goes_on_with_what_was_stored(watch: Watch) -> None:
    watch.hear(writing())
    watch.look(40)
    watch.judge = Judge(LIMITS)
    assert watch.look(41) == [("", "stalled")]
    assert len(watch.stored()) == 1
    (thread,) = watch.board().threads
    assert thread.held is not None
    assert thread.verdict(T0 + 41, LIMITS).evidence["version"] == "claude-code-2.0.42"
    watch.judge = Judge(LIMITS)
    watch.hear(writing().text(1, 60))
    assert watch.look(61) == []


def test_the_screen_says_what_the_judge_says(watch: Watch) -> None:
    """Though it judges by itself, and at other moments."""
    watch.hear(writing())
    (thread,) = watch.board().threads
    words = [thread.verdict(T0 + at, LIMITS).word for at in (31, 32.5, 33.1)]
    assert words == ["ok", "ok", "stalled"]
    assert thread.suspicion(T0 + 32.5, LIMITS).word == "stalled"


def test_pauses_of_its_past_hold_a_verdict_back(watch: Watch) -> None:
    run = WireRun().prompt(0)
    n = run.begin(1)
    for number in range(60):
        run.text(n, 2 + number * 20)
    watch.hear(run.end(n, 1200).prompt(1300))
    watch.hear(run.text(run.begin(1301), 1302))
    assert watch.look(1302 + 38) == []
    assert watch.look(1302 + 41.1) == [("", "stalled")]
    evidence = watch.evidence()
    assert (evidence["usual"], evidence["threshold"]) == (20.0, 40.0)
    assert evidence["usual_count"] == 59


def test_a_tool_is_overdue_by_what_is_usual(watch: Watch) -> None:
    run = WireRun().prompt(0)
    for turn in range(7):
        at = 1 + turn * 2000
        run.message(at, at + 1, (f"toolu_{turn}", "Bash"))
        run.result(at + 1001, f"toolu_{turn}")
    start = 20_000
    watch.hear(run.message(start, start + 1, ("toolu_x", "Bash")))
    assert watch.look(start + 1400) == []
    assert watch.look(start + 1503) == [("", "overdue")]
    evidence = watch.evidence()
    assert (evidence["usual"], evidence["usual_count"]) == (1000.0, 7)
    assert evidence["tool_use_id"] == "toolu_x"


# -- evidence


def test_evidence_of_a_stall(watch: Watch) -> None:
    watch.hear(writing())
    watch.hear(ToldRun().status(0.1, "busy"))
    watch.look(40, at_work(38))
    evidence = watch.evidence()
    assert evidence["last_byte"] == T0 + 2
    assert evidence["threshold"] == 30.0
    said = msgspec.convert(evidence["said"], dict[str, dict[str, object]])
    assert {kind: words["said"] for kind, words in said.items()} == {
        "wire": "writing",
        "registry": "status busy",
    }
    (block,) = read_list(evidence["open_blocks"])
    assert (block["index"], block["block_type"]) == (0, "text")
    assert evidence["process_info"] == {
        "pid": PID,
        "command": "claude",
        "status": "sleeping",
        "started": T0,
        "cpu_seconds": 1.5,
        "cpu_percent": 0.0,
    }


def read_list(value: object) -> list[dict[str, object]]:
    return msgspec.convert(value, list[dict[str, object]])


def test_a_hung_tool_shows_its_children(watch: Watch) -> None:
    watch.hear(calling())
    watch.look(700, at_work(690))
    evidence = watch.evidence()
    (child,) = read_list(evidence["children"])
    assert (child["pid"], child["command"], child["status"]) == (9, "pytest -x", "sleeping")
    (pending,) = read_list(evidence["pending"])
    assert pending["tool_use_id"] == "toolu_1"


def test_evidence_that_comes_later(watch: Watch) -> None:
    watch.hear(calling())
    watch.look(700)
    assert "children" not in watch.evidence()
    watch.look(701, at_work(701))
    assert watch.evidence()["sampled_at"] == T0 + 701
    watch.look(720, at_work(716))
    assert watch.evidence()["sampled_at"] == T0 + 701
    watch.look(770, at_work(701 + TOLD_AGAIN))
    assert watch.evidence()["sampled_at"] == T0 + 701 + TOLD_AGAIN
    assert len(watch.stored()) == 1


# -- death


def test_a_death_in_a_round(watch: Watch) -> None:
    watch.hear(calling())
    dead = gone(5, alive_at=4)
    dead.details[SID] = Details(doing(PID, "claude"), [doing(9, "pytest -x")], T0 + 4)
    assert watch.look(6, dead) == [("", "orphaned")]
    (left,) = read_list(watch.evidence()["left_running"])
    assert left["pid"] == 9
    assert read.rounds(watch.run.conn, SID)[0].orphaned_at == T0 + 5
    assert watch.look(7, gone(5)) == [("", "orphaned")]
    watch.hear(calling().result(60, "toolu_1"))
    assert watch.look(61) == []
    assert read.rounds(watch.run.conn, SID)[0].orphaned_at is None


def test_a_board_knows_of_a_death_from_the_store(watch: Watch) -> None:
    watch.hear(writing())
    watch.look(6, gone(5, alive_at=4))
    (thread,) = watch.board().threads
    assert thread.process == ProcessFact(PID, T0 + 5, "no such process", T0 + 4)
    assert thread.verdict(T0 + 999, LIMITS).word == "orphaned"


def test_idle_agents_die_quietly(watch: Watch) -> None:
    watch.hear(WireRun().prompt(0).message(1, 2).hook("stop", 2.1))
    assert watch.look(9, gone(8)) == [("", "dead")]
    watch.hear(WireRun().prompt(0).message(1, 2).hook("session_end", 2.5, reason="other"))
    assert watch.look(10, gone(8)) == []


# -- what is asked of the process table


def test_what_is_asked(watch: Watch) -> None:
    watch.hear(writing())
    assert watch.wanted() == Wanted({SID: Asked(PID, T0 + 2, None, T0 + 2 + DETAILS_AFTER)})
    run = ToldRun().facts(1, proc_start="377115")
    watch.hear(run)
    assert watch.wanted().named[SID].proc_start == 377115
    watch.hear(run.facts(2, proc_start="Sat Nov 22 00:00:00 2025"))
    assert watch.wanted().named[SID].proc_start is None


def test_who_rests_is_asked_for_life_only(watch: Watch) -> None:
    watch.hear(WireRun().prompt(0).message(1, 2).hook("stop", 2.1))
    assert watch.wanted() == Wanted({SID: Asked(PID, T0 + 2.1)})
    watch.hear(WireRun().hook("session_end", 3, reason="other"))
    assert watch.wanted() == Wanted()


def test_the_process_of_a_session_that_names_none(watch: Watch) -> None:
    run = ToldRun("rollout", "codex").prompt(0).told(1, "r1", "exec:call_1")
    watch.hear(run)
    assert watch.wanted() == Wanted(nameless={SID: T0 + 1})
    watch.look(2, Seen(found={SID: 4711}))
    asked = watch.wanted()
    assert ([one.pid for one in asked.named.values()], asked.nameless) == ([4711], {})
    (thread,) = watch.board().threads
    assert (thread.session.pid, thread.has_found_pid) == (4711, True)
    lost = Seen({SID: ProcessFact(4711, T0 + 5, "no such process", T0 + 4)})
    assert watch.look(6, lost) == [("", "orphaned")]
    assert watch.wanted().nameless == {SID: T0 + 1}
    watch.look(36, Seen(lost.gone, found={SID: 4712}))  # it was taken up again
    assert watch.wanted().named[SID].pid == 4712
    assert watch.look(37, Seen()) == []


def test_a_claude_session_is_not_searched_for(watch: Watch) -> None:
    watch.hear(ToldRun().prompt(0))
    assert watch.wanted() == Wanted()


# -- subagents


def test_a_subagent_at_work_keeps_its_call_from_being_overdue(watch: Watch) -> None:
    run = calling("Agent").message(3, 4, ("toolu_a", "Read"), agent="a1")
    run.result(500, "toolu_a", agent="a1").message(501, 590, ("toolu_b", "Bash"), agent="a1")
    watch.hear(run)
    assert watch.look(1100) == []
    assert set(watch.look(1200)) == {("", "overdue"), ("a1", "overdue")}


def test_a_session_is_judged_by_what_its_sources_can_show(watch: Watch) -> None:
    watch.hear(ToldRun().prompt(0).status(0.1, "busy"))
    assert watch.look(300) == []
    assert watch.look(332) == [("", "stalled")]
    assert watch.evidence()["shown_by"] == "told"


RESTARTED = [
    run
    for run in RUNS
    if run.name in ("told permission", "told background", "told overload", "wire question")
]


@pytest.mark.parametrize("run", RESTARTED, ids=[run.name for run in RESTARTED])
def test_a_restart_after_every_moment_changes_no_phase(run: Run, tmp_path: Path) -> None:
    life = Life(run.make(), LIMITS)
    for at, arrivals in groupby(life.arrivals, key=lambda arrival: arrival[0]):
        known = life.at(at)[SID, ""]
        with Ingestion(tmp_path / "data") as again:
            for _, events in arrivals:
                again.engine.fold.line(events)
            again.commit()
            (thread,) = board.load(again.conn).threads
        session = life.state.sessions[SID]
        facts, stored = facts_of(session, session.threads[""]), thread.facts()
        assert (thread.row.phase, thread.row.phase_detail) == (known.phase, known.detail)
        for name in ("phase_since", "last_byte", "last_told", "phase_kind", "due_at"):
            assert getattr(stored, name) == getattr(facts, name), name


def test_facts_without_sense_are_no_harm(watch: Watch) -> None:
    watch.hear(writing())
    meta = Meta(kind="registry")
    odd: dict[str, object] = {"proc_start": {"x": 1}, "pid": "many"}
    watch.hear([(T0, [Facts(SID, meta, "registry", 77, None, T0, 77, odd)])])
    (thread,) = watch.board().threads
    assert (thread.proc_start, thread.session.pid) == (None, PID)
    conn = db.open_reading(watch.run.engine.data_dir)
    assert board.load(conn).threads[0].row.phase == "writing"
    conn.close()
