"""Killed at any instant and started again equals an unbroken run, byte for byte."""

import contextlib
import random
import signal
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from agentmon.engine import core
from agentmon.engine.ingest import Ingestion
from agentmon.sources.follow import FollowedFile
from agentmon.store.deltas import DeltaFiles
from agentmon.store.write import Batch
from tests.cli_run import Running
from tests.deep import examples, only_deep
from tests.differential import ingest
from tests.feeds import Snapshot, changes, snapshot, texts_of, write
from tests.generate import joined, scenario
from tests.scripted import scripted
from tests.wire import SID, TEXT, Talk

SMALL_READS = 20 << 10
"""Bytes per read in the runs that are killed: many commits, and so many places to be killed in."""

CHILD = f"""
import signal, sys
from pathlib import Path
from agentmon.engine import core
from agentmon.engine.ingest import Ingestion
from agentmon.sources.follow import FollowedFile

core.BATCH_LINES = 40
FollowedFile.read.__defaults__ = ({SMALL_READS},)

data_dir, log, commits, delay = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), float(sys.argv[4])

def tell(progress):
    global commits
    commits -= 1
    if commits == 0:
        signal.setitimer(signal.ITIMER_REAL, delay)

with Ingestion(data_dir) as run:
    run.read_all([log], on_progress=tell, batch_lines=40)
"""
"""Killed by a clock of its own, so that it is the same on a busy machine: SIGALRM ends it on the
spot, as SIGKILL would. Arguments: data folder, log, after which commit, seconds after that."""

DEFECTS: dict[str, Any] = {
    **{"scrambled": 0.3, "misattributed": 0.3, "duplicates": 0.1, "repeated_starts": 0.1},
    **{"second_results": 0.1, "missing_stops": 0.1, "lag": 0.3, "resumes": 0.1, "cut": 0.05},
    **{"torn": 0.01, "noise": 0.02, "unknown": 0.1},
}


def long_message(talk: Talk, n: int, rng: random.Random) -> list[bytes]:
    """A block of 800 deltas that goes on over many commits, some of it in the wrong order."""
    at = n * 100_000
    deltas = [talk.text(n, at + 10 * count, f"{count} đây {rng.random()} ") for count in range(800)]
    for start in range(0, 800, 40):
        if rng.random() < 0.3:
            deltas[start : start + 8] = rng.sample(deltas[start : start + 8], 8)
    begin = [talk.prompt(at, "go on", f"u{n}"), talk.start(n, at + 1), talk.begin(n, at + 2, TEXT)]
    return [*begin, *deltas, talk.end(n, at + 9000), talk.stop(n, at + 9001)]


def load(seed: int, size: int) -> bytes:
    """About `size` lines of many sessions, and one session that writes at great length."""
    rng = random.Random(seed)
    talk = Talk()
    lines: list[bytes] = []
    first = 10
    while len(lines) < size:
        part = scenario(rng, sessions=4, rounds=8, first=first, **DEFECTS)
        first += 4
        talking = long_message(talk, first, rng)
        rest = iter(talking)
        for at, line in enumerate(part):
            lines.append(line)
            if at % 3 == 0:
                lines += [one for one in [next(rest, None)] if one is not None]
        lines += rest
    return joined(lines)


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("load") / "sse_lines.jsonl"
    path.write_bytes(load(7, examples(1_500, 3_000)))
    return path


@pytest.fixture(scope="module")
def unbroken(log: Path, tmp_path_factory: pytest.TempPathFactory) -> Snapshot:
    folder = tmp_path_factory.mktemp("unbroken")
    ingest(folder, [log])
    return snapshot(folder)


def child(data_dir: Path, log: Path, commits: int = -1, delay: float = 0.0) -> Running:
    return scripted(CHILD, data_dir, log, commits, delay)


def killed(data_dir: Path, log: Path, rng: random.Random, most: int) -> bool:
    """Kills a run between its next few commits; False if it was through before that."""
    commits, delay = 1 + rng.randrange(most), 0.0001 + 0.02 * rng.random()
    with child(data_dir, log, commits, delay) as run:
        answer = run.end()
    assert answer.code in (0, -signal.SIGALRM), answer
    return answer.code != 0


def finish(data_dir: Path, log: Path) -> None:
    with child(data_dir, log) as run:
        answer = run.end()
    assert (answer.code, answer.err) == (0, "")


@pytest.mark.deep
def test_the_size_of_batches_does_not_matter(log: Path, unbroken: Snapshot, tmp_path: Path) -> None:
    finish(tmp_path, log)
    assert changes(snapshot(tmp_path), unbroken) == []


@pytest.mark.parametrize("kills", only_deep(4, 8, 12, 20))
def test_killed_again_and_again(kills: int, log: Path, unbroken: Snapshot, tmp_path: Path) -> None:
    rng = random.Random(kills)
    most = 100 // kills
    happened = sum(killed(tmp_path, log, rng, most) for _ in range(kills))
    finish(tmp_path, log)
    assert happened >= kills * 3 // 4
    assert changes(snapshot(tmp_path), unbroken) == []


def test_killed_while_the_file_grows(log: Path, unbroken: Snapshot, tmp_path: Path) -> None:
    """Each run finds more of the file, with a torn line at its end."""
    rng = random.Random(3)
    data = log.read_bytes()
    cuts = sorted(rng.sample(range(len(data)), 4))
    grown = tmp_path / "sse_lines.jsonl"
    kills = 0
    with grown.open("ab", buffering=0) as file:
        for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True):
            file.write(data[start:end])
            kills += killed(tmp_path / "data", grown, rng, 6)
    assert kills >= 3
    finish(tmp_path / "data", grown)
    assert changes(snapshot(tmp_path / "data"), unbroken) == []


@pytest.mark.deep
def test_a_broken_store_would_be_seen(log: Path, unbroken: Snapshot, tmp_path: Path) -> None:
    """The comparison can fail: killed and not restarted, a byte too many, a line read twice."""
    rng = random.Random(4)
    while not killed(tmp_path, log, rng, 10):
        continue
    if (tmp_path / "agentmon.db").exists():
        ingest(tmp_path, [write(tmp_path / "nothing.jsonl", [])])
        assert changes(snapshot(tmp_path), unbroken)
    ingest(tmp_path, [log])
    rows, texts = snapshot(tmp_path)
    longest = max(texts, key=lambda path: len(texts[path]))
    assert changes((rows, {**texts, longest: texts[longest] + b"!"}), unbroken)
    assert changes((rows, {**texts, "sid/flow/index_0.txt": b""}), unbroken)
    assert changes((rows[1:], texts), unbroken)
    with (tmp_path / "delta_store" / longest).open("ab") as file:
        file.write(b"!")
    assert changes(snapshot(tmp_path), unbroken)


@pytest.mark.deep
def test_a_position_that_lags_behind_its_rows_would_be_seen(
    log: Path, unbroken: Snapshot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lines that are read twice are counted as duplicates: at-least-once is not exactly once."""
    apply = Batch.apply

    def forgetful(batch: Batch, *args: Any) -> None:
        batch.statements = [one for one in batch.statements if "INTO sources" not in one[0]]
        apply(batch, *args)

    monkeypatch.setattr(Batch, "apply", forgetful)
    ingest(tmp_path, [log])
    monkeypatch.undo()
    ingest(tmp_path, [log])
    found = changes(snapshot(tmp_path), unbroken)
    assert len(found) == 2
    assert all("counts" in line for line in found)


# -- between the commit and the file operations it announced


class Death(BaseException):
    """Ends a run like a kill: nobody handles it."""


def scrambled_halves() -> tuple[list[bytes], list[bytes]]:
    """A text whose second half has to be put before the first, and a message that gets its name."""
    talk = Talk()
    start = [talk.prompt(0, "go", "u1"), talk.start(1, 10), talk.begin(1, 20, TEXT)]
    early = [talk.text(1, 30 + at, f"early {at} ", count=at + 2) for at in range(50)]
    late = [talk.text(1, 90 + at, f"late {at} ", count=at + 52) for at in range(50)]
    begin = talk.start(2, 200)
    lost = [talk.text(2, 210 + at, f"lost {at} ", flow="m1") for at in range(50)]
    ends = [talk.end(1, 300), talk.stop(1, 310), begin, talk.end(2, 320), talk.stop(2, 330)]
    return [*start, *late, *lost], [*early, *ends]


def parts() -> list[Sequence[bytes]]:
    first, second = scrambled_halves()
    return [first, second, [Talk().line("stop", 999, {"agent_id": SID})]]


def in_parts(folder: Path, log: Path) -> Snapshot:
    for part in parts():
        with log.open("ab") as file:
            file.write(joined(part))
        ingest(folder, [log])
    return snapshot(folder)


@pytest.mark.parametrize("moment", ["before", "between", "after"])
def test_killed_between_commit_and_file_operations(
    moment: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = in_parts(tmp_path / "whole", tmp_path / "whole.jsonl")
    carry_out = DeltaFiles.carry_out
    deaths: list[str] = []

    def dies(files: DeltaFiles, operations: Any) -> None:
        done = list(operations)
        carry_out(files, {"before": [], "between": done[:1], "after": done}[moment])
        if deaths or not done:
            carry_out(files, done)
            return
        deaths.append(moment)
        raise Death

    log, data = tmp_path / "log.jsonl", tmp_path / "data"
    monkeypatch.setattr(DeltaFiles, "carry_out", dies)
    for part in parts():
        with log.open("ab") as file:
            file.write(joined(part))
        try:
            ingest(data, [log])
        except Death:
            # whoever reads before the next start sees the committed text already
            assert changes((snapshot(data)[0], {}), (dumps_with(expected, data), {})) == []
            ingest(data, [log])
    assert deaths == [moment]
    assert changes(snapshot(data), expected) == []


def dumps_with(expected: Snapshot, data: Path) -> list[dict[str, Any]]:
    """What a dump says once what the commit announced is carried out."""
    before = snapshot(data)[0]
    with Ingestion(data):
        after = snapshot(data)[0]
    assert before
    assert expected[0]
    return after


@pytest.mark.parametrize("operation", ["append", "write_whole"])
def test_killed_between_files_and_commit(
    operation: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The files are longer than committed; what is too long does not exist."""
    expected = in_parts(tmp_path / "whole", tmp_path / "whole.jsonl")
    log, data = tmp_path / "log.jsonl", tmp_path / "data"
    deaths: list[str] = []
    real = getattr(DeltaFiles, operation)

    def dies(files: DeltaFiles, path: str, *where_and_what: Any) -> None:
        *where, text = where_and_what
        real(files, path, *where, text + b"never committed")
        deaths.append(path)
        raise Death

    for part in parts():
        with log.open("ab") as file:
            file.write(joined(part))
        with monkeypatch.context() as patch:
            patch.setattr(DeltaFiles, operation, dies)
            with contextlib.suppress(Death):
                ingest(data, [log])
        ingest(data, [log])
    assert deaths
    assert changes(snapshot(data), expected) == []


def dies_soon(rng: random.Random, patch: pytest.MonkeyPatch) -> None:
    """One of the next commits is ended in the middle: some of its texts are written, or all of it
    is done but the file operations that it announced."""
    apply, left = Batch.apply, rng.randint(1, 3)

    def ended(*_: object) -> None:
        raise Death

    def dies(batch: Batch, conn: sqlite3.Connection, files: DeltaFiles) -> None:
        nonlocal left
        left -= 1
        if left and not batch.is_empty:
            apply(batch, conn, files)
            return
        if rng.random() < 0.3:
            patch.setattr(DeltaFiles, "carry_out", ended)
            apply(batch, conn, files)
        for path, data in batch.whole_files:
            files.write_whole(path, data)
        for append in batch.appends[: rng.randint(0, len(batch.appends))]:
            files.append(append.path, append.at, append.data)
        raise Death

    patch.setattr(Batch, "apply", dies)


@pytest.mark.parametrize("seed", [4, 15, *only_deep(*range(16, 30))])
def test_killed_in_commits_of_other_sizes(
    seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that comes after a kill has other borders between its batches than the one before: it
    may know the name of a message that the killed one did not, or give its place to another."""
    log, rng = tmp_path / "log.jsonl", random.Random(seed)
    log.write_bytes(load(seed, 1_500))
    ingest(tmp_path / "whole", [log])
    monkeypatch.setattr(FollowedFile.read, "__defaults__", (SMALL_READS,))
    deaths, is_through = 0, False
    while not is_through:
        with monkeypatch.context() as patch:
            patch.setattr(core, "BATCH_LINES", rng.choice([20, 40, 80, 200]))
            dies_soon(rng, patch)
            try:
                ingest(tmp_path / "data", [log])
                is_through = True
            except Death:
                deaths += 1
    ingest(tmp_path / "data", [log])
    assert deaths >= 5
    assert changes(snapshot(tmp_path / "data"), snapshot(tmp_path / "whole")) == []


def test_what_was_never_committed_goes_though_its_log_has_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody writes to the open block again, so nobody else would cut it."""
    log, data = tmp_path / "log.jsonl", tmp_path / "data"
    talk = Talk()
    begun = [talk.start(1, 0), talk.begin(1, 10, TEXT), talk.text(1, 20, "as far as here")]
    log.write_bytes(joined(begun))
    ingest(data, [log])
    committed = snapshot(data)
    with log.open("ab") as file:
        file.write(joined([talk.text(1, 30, " and on")]))
    real = DeltaFiles.append

    def dies(files: DeltaFiles, path: str, at: int, text: bytes) -> None:
        real(files, path, at, text)
        raise Death

    with monkeypatch.context() as patch:
        patch.setattr(DeltaFiles, "append", dies)
        with pytest.raises(Death):
            ingest(data, [log])
    assert texts_of(data) != committed[1]
    log.unlink()
    with Ingestion(data):
        pass
    assert changes(snapshot(data), committed) == []


def test_a_rewrite_that_was_never_committed_leaves_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed in the last rewrite of a run; for the next run it is the first."""
    monkeypatch.setattr(core, "BATCH_LINES", 10)
    monkeypatch.setattr(FollowedFile.read, "__defaults__", (4 << 10,))
    real, written = DeltaFiles.write_whole, list[str]()
    deadly = 0

    def write_whole(files: DeltaFiles, path: str, text: bytes) -> None:
        real(files, path, text)
        written.append(path)
        if len(written) == deadly:
            raise Death

    monkeypatch.setattr(DeltaFiles, "write_whole", write_whole)
    log = tmp_path / "log.jsonl"
    log.write_bytes(joined([line for part in parts() for line in part]))
    ingest(tmp_path / "whole", [log])
    deadly = len(written)
    assert deadly > 1
    written.clear()
    with pytest.raises(Death):
        ingest(tmp_path / "data", [log])
    ingest(tmp_path / "data", [log])
    assert changes(snapshot(tmp_path / "data"), snapshot(tmp_path / "whole")) == []
