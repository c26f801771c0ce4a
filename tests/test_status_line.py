"""The board in one line, and waiting for something on it, over a store that another one writes."""

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agentmon.core.health import Limits
from agentmon.report import status
from agentmon.report.naming import Ambiguous, find_session
from agentmon.report.status import Outcome, Until, Waiting, wait
from agentmon.store import db
from tests.ui_store import NOW, UiStore, fill

API = "a0000000-0000-4000-8000-000000000001"
LIMITS = Limits()


def make(folder: Path) -> UiStore:
    store = UiStore(folder)
    store.insert("schema_version", version=db.SCHEMA_VERSION, applied_at=0)
    return store


@pytest.fixture
def store(tmp_path: Path) -> UiStore:
    return make(tmp_path / "store")


@pytest.fixture
def written(store: UiStore) -> Iterator[UiStore]:
    """A store with a board, and somebody who writes it."""
    fill(store)
    lock = db.WriterLock(store.folder)
    lock.acquire()
    yield store
    lock.release()


def test_one_line_for_tmux(written: UiStore) -> None:
    found = status.glance(written.folder, NOW, LIMITS)
    assert status.tmux_line(found) == "●2 ◆1 ✕1 †1 ⚙2"
    assert status.tmux_line(found, ascii=True) == "*2 ?1 x1 +1 %2"
    words = "6 agents · 2 working · 1 needs you · 1 stalled · 1 gone · 2 tools pending"
    assert status.plain_line(found) == words
    assert status.plain_line(found, ascii=True).isascii()
    values = json.loads(json.dumps(status.as_json(found)))
    assert (values["working"], values["needs_you"], values["is_live"]) == (2, 1, True)


def test_without_a_running_agentmon_figures_carry_their_age(store: UiStore) -> None:
    fill(store)
    store.insert("sources", source_id=1, path="/x", kind="file", last_read=NOW)
    later = status.glance(store.folder, NOW + 7200, LIMITS)
    assert status.tmux_line(later) == "●2 ◆1 ✕1 †1 ⚙2 (2h old)"
    assert "read 2h ago, no agentmon runs" in status.plain_line(later)
    assert status.as_json(later)["is_live"] is False


def test_a_calm_board_counts_who_rests(store: UiStore) -> None:
    lock = db.WriterLock(store.folder)
    lock.acquire()
    assert status.tmux_line(status.glance(store.folder, NOW, LIMITS)) == "○0"
    store.session("s1", "/w/calm")
    store.thread("s1", "idle", NOW - 5)
    assert status.tmux_line(status.glance(store.folder, NOW, LIMITS)) == "○1"
    lock.release()


def test_no_store_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(db.StoreError, match="no store"):
        status.glance(tmp_path / "nothing", NOW, LIMITS)


class Clock:
    """Time that passes by sleeping; `then` runs at the second it is given for."""

    def __init__(self, **then: Callable[[], None]) -> None:
        self.now = 0.0
        self._then = {float(name.lstrip("s")): act for name, act in then.items()}

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        for at in [at for at in self._then if at <= self.now]:
            self._then.pop(at)()


def phase(store: UiStore, word: str, sid: str = API, agent_id: str = "") -> None:
    store.thread(sid, word, NOW, agent_id=agent_id)


def waited(
    store: UiStore, until: Until, clock: Clock, *, name: str = API, timeout: float | None = 30.0
) -> Outcome:
    return wait(store.folder, name, until, timeout=timeout, clock=clock, sleep=clock.sleep)


def test_waits_until_the_turn_is_over(written: UiStore) -> None:
    clock = Clock(s5=lambda: phase(written, "idle"))
    assert waited(written, "idle", clock) == Outcome("held", "idle")
    assert 5 <= clock.now < 6
    assert waited(written, "idle", Clock()).exit_code == 0


def test_waits_until_a_subagent_asks(written: UiStore) -> None:
    clock = Clock(s3=lambda: phase(written, "permission", agent_id="sub"))
    assert waited(written, "permission", clock).word == "held"
    assert 3 <= clock.now < 4


def test_waits_for_the_calls_that_were_pending(written: UiStore) -> None:
    infra = "c0000000-0000-4000-8000-000000000003"

    def returned() -> None:
        sql = "UPDATE content_blocks SET result_time = ? WHERE tool_use_id = 'toolu_infra_1'"
        written.conn.execute(sql, (NOW,))
        written.conn.commit()

    assert waited(written, "tool-done", Clock(s2=returned), name=infra).word == "held"
    assert waited(written, "tool-done", Clock(), name=infra, timeout=0).word == "held"


def test_gives_up_in_time(written: UiStore) -> None:
    clock = Clock()
    outcome = waited(written, "idle", clock, timeout=2.0)
    assert (outcome.word, outcome.exit_code) == ("timeout", 1)
    assert "idle did not come in 2 s" in outcome.reason
    assert abs(clock.now - 2.0) < 0.01


def test_what_is_gone_is_not_waited_for(written: UiStore) -> None:
    batch = "e0000000-0000-4000-8000-000000000005"
    outcome = waited(written, "idle", Clock(), name=batch)
    assert (outcome.word, outcome.exit_code) == ("gone", 1)
    assert waited(written, "ended", Clock(), name=batch).word == "held"
    written.conn.execute("UPDATE sessions SET ended_at = ? WHERE sid = ?", (NOW, API))
    written.conn.commit()
    assert waited(written, "ended", Clock(), name=API).word == "held"
    assert waited(written, "permission", Clock(), name=API).word == "gone"


def test_a_session_goes_by_its_id_the_start_of_it_or_its_name(written: UiStore) -> None:
    for name in (API, "a0000", "api-server"):
        assert find_session(written.conn, name) == API
    assert find_session(written.conn, "nobody") is None
    written.session("a0000000-0000-4000-8000-000000000009", "/w/other")
    with pytest.raises(Ambiguous, match="2 sessions answer to 'a0000'"):
        find_session(written.conn, "a0000")


def test_a_session_that_is_not_there_yet_is_waited_for(tmp_path: Path) -> None:
    folder = tmp_path / "late"
    told: list[str] = []

    def begin() -> None:
        store = make(folder)
        store.session("s1", "/w/new")
        store.thread("s1", "idle", NOW)

    clock = Clock(s4=begin)
    outcome = wait(folder, "new", "idle", clock=clock, sleep=clock.sleep, tell=told.append)
    assert outcome.word == "held"
    assert told[0] == "no session 'new' yet: waiting for it"
    assert "no agentmon is reading" in told[1]
    assert len(told) == 2


def test_nothing_is_read_while_nothing_is_written(
    written: UiStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[object] = []
    look = Waiting.look

    def counted(self: Waiting, conn: object) -> Outcome | None:
        looks.append(conn)
        return look(self, written.conn)

    monkeypatch.setattr(Waiting, "look", counted)
    assert waited(written, "idle", Clock(), timeout=20.0).word == "timeout"
    assert len(looks) == 1


def test_waits_in_real_time_too(written: UiStore) -> None:
    timer = threading.Timer(0.1, phase, (written, "idle"))
    timer.start()
    assert wait(written.folder, API, "idle", timeout=20.0).word == "held"
    timer.join()
