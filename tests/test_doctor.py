"""Doctor: each trouble is named, with what mends it, and only failures fail."""

import os
import pty
from pathlib import Path

import msgspec
import pytest

from agentmon.config import ConfigError, Loaded
from agentmon.core.text import cells
from agentmon.report import doctor, places
from agentmon.report.doctor import Terminal
from agentmon.report.places import Check
from agentmon.report.words import size
from agentmon.sources.discover import discover
from agentmon.sources.identity import Problem
from agentmon.sources.paths import Found

NOW = 1_700_000_000.0
GOOD_TERMINAL = Terminal((80, 24), "utf-8", "xterm-256color", "256 colours", True)
GOOD_SETTINGS = Loaded({}, {"ui.theme": "default", "ui.ascii": "flag"}, [])


def examine_home(tmp_path: Path, home: Path, *paths: str, data: str = "data") -> dict[str, Check]:
    checks = doctor.examine(
        terminal=GOOD_TERMINAL,
        settings=GOOD_SETTINGS,
        discovery=discover({}, home, home / "state" / "capture", paths),
        data_dir=tmp_path / data,
        store=sound_store,
        inotify=tmp_path / "no-inotify",
        now=NOW,
    )
    return {check.name: check for check in checks}


def sound_store(folder: Path) -> Check:
    return Check("store", "ok", f"seen {folder.name}")


def examine(tmp_path: Path, *, data: str = "data") -> dict[str, Check]:
    return examine_home(tmp_path, tmp_path / "home", data=data)


WIRE = b'{"event":"claude.ping","line":"data: {}","sid":"x"}\n'
TRANSCRIPT = (
    b'{"type":"user","uuid":"u1","parentUuid":null,"isSidechain":false,"cwd":"/x","version":"2.1.1",'
    b'"sessionId":"0b1d2c3e-0000-4000-8000-000000000001","timestamp":"2026-11-21T10:00:00.000Z",'
    b'"message":{"role":"user","content":"hello"}}\n'
)


def make(path: Path, content: bytes = TRANSCRIPT, age: float = 60.0) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    os.utime(path, (NOW - age, NOW - age))
    return str(path)


def test_a_sound_machine_passes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "NO_SPACE", 0)
    monkeypatch.setattr(doctor, "LITTLE_SPACE", 0)
    (tmp_path / "data").mkdir(mode=0o700)
    make(tmp_path / "home" / ".claude" / "projects" / "-x" / "a.jsonl")
    checks = examine(tmp_path)
    places = [name for name in checks if name.startswith("source ")]
    assert len(places) == 6
    assert list(checks) == [
        "python",
        "terminal",
        "settings",
        "sources",
        *places,
        "data folder",
        "disk space",
        "store",
        "processes",
        "notification",
    ]
    del checks["notification"]  # a matter of the machine that runs the tests
    assert {check.status for check in checks.values()} == {"ok"}
    assert checks["store"].message == "seen data"
    assert checks["settings"].message == "set: ui.ascii"
    assert not doctor.has_failed(list(checks.values()))


def test_the_store_is_not_asked_before_it_exists(tmp_path: Path) -> None:
    checks = examine(tmp_path)
    assert "store" not in checks
    assert checks["data folder"].status == "ok"
    assert "will be made" in checks["data folder"].message
    assert not (tmp_path / "data").exists()


def test_only_failures_fail() -> None:
    warned = [Check("a", "ok", ""), Check("b", "warn", "")]
    assert not doctor.has_failed(warned)
    assert doctor.has_failed([*warned, Check("c", "fail", "")])


def test_an_old_sqlite_fails() -> None:
    check = doctor.check_python((3, 30, 1))
    assert (check.status, check.remedy) == ("fail", "use a Python with SQLite 3.31.0 or newer")


@pytest.mark.parametrize(
    ("changes", "status", "says"),
    [
        ({"size": None}, "ok", "none here"),
        ({"size": (39, 24)}, "warn", "make it 40x10"),
        ({"size": (80, 9)}, "warn", "make it 40x10"),
        ({"encoding": "ascii"}, "warn", "UTF-8 locale"),
        ({"encoding": "UTF8"}, "ok", "in tmux"),
        ({"term": "dumb"}, "warn", "set TERM"),
        ({"term": ""}, "warn", "no $TERM"),
    ],
)
def test_terminal(changes: dict[str, object], status: str, says: str) -> None:
    check = doctor.check_terminal(msgspec.structs.replace(GOOD_TERMINAL, **changes))
    assert check.status == status
    assert says in check.message + check.remedy


@pytest.mark.parametrize(
    ("environ", "colors"),
    [
        ({"TERM": "xterm-256color"}, "256 colours"),
        ({"TERM": "xterm"}, "16 colours"),
        ({"TERM": "xterm", "COLORTERM": "truecolor"}, "16 million colours"),
        ({"TERM": "xterm-256color", "NO_COLOR": "1"}, "no colours (NO_COLOR)"),
        ({}, "16 colours"),
    ],
)
def test_colours(environ: dict[str, str], colors: str) -> None:
    assert doctor.terminal(environ, "utf-8", None).colors == colors


def test_a_real_terminal_is_measured(tmp_path: Path) -> None:
    main, other = pty.openpty()
    try:
        found = doctor.terminal({"TMUX": "/tmp/x,1,0"}, "utf-8", other)
    finally:
        os.close(main)
        os.close(other)
    assert found.size is not None
    assert found.in_tmux
    with open(make(tmp_path / "plain")) as plain:
        assert doctor.terminal({}, "utf-8", plain.fileno()).size is None


def test_settings() -> None:
    refused = ConfigError("ui.ascii", "x", "flag", "true or false is needed")
    check = doctor.check_settings(refused)
    assert (check.status, check.message) == ("fail", str(refused))
    odd = doctor.check_settings(Loaded({}, {}, ["unknown key 'a'"]))
    assert (odd.status, odd.message) == ("warn", "unknown key 'a'")
    assert doctor.check_settings(Loaded({}, {}, [])).message == "all defaults"


def test_no_source_says_where_it_looked_and_what_to_do(tmp_path: Path) -> None:
    checks = examine(tmp_path)
    check = checks["sources"]
    assert check.status == "warn"
    assert "~/centralized-logs/*/sse_lines.jsonl (not there)" in check.message
    assert "--demo" in check.remedy
    codex = checks["source Codex rollouts"]
    assert (codex.status, codex.remedy) == ("ok", "")
    assert codex.message == (
        "~/.codex/sessions/*/*/*/rollout-*.jsonl "
        "(not there: Codex never ran as this user, or its CODEX_HOME is elsewhere)"
    )


def test_what_lies_in_each_place(tmp_path: Path) -> None:
    home = tmp_path / "home"
    slug = home / ".claude" / "projects" / "-x"
    for number in range(25):
        make(slug / f"{number}.jsonl", age=3_600.0 + number)
    make(slug / "new.jsonl", b"", age=120.0)
    make(slug / "odd.jsonl", b'{"a":1}\n', age=180.0)
    make(home / "centralized-logs" / "claude" / "sse_lines.jsonl", WIRE, age=0.0)
    (home / ".codex" / "sessions").mkdir(parents=True)
    checks = examine(tmp_path)
    total = 25 * len(TRANSCRIPT) + 8 + len(WIRE)
    assert checks["sources"].message == f"28 files, {size(total)}, newest now"
    assert checks["source Claude Code transcripts"] == Check(
        "source Claude Code transcripts",
        "ok",
        f"~/.claude/projects/*/*.jsonl: 27 files, {size(total - len(WIRE))}, newest 2m ago; "
        "formats of the newest 20: transcript 18, empty 1, no log 1",
    )
    assert checks["source centralized logs"].message == (
        f"~/centralized-logs/*/sse_lines.jsonl: 1 file, {len(WIRE)} B, newest now; "
        "formats: sse-lines 1"
    )
    assert checks["source Codex rollouts"].message.endswith("rollout-*.jsonl: nothing yet")


def test_a_configured_file_that_is_no_log(tmp_path: Path) -> None:
    odd = make(tmp_path / "odd.bin", b"\x7fELF\x00")
    log = make(tmp_path / "log", WIRE)
    os.mkfifo(tmp_path / "pipe")
    checks = doctor.check_places(
        discover({}, tmp_path / "home", tmp_path, [odd, log, str(tmp_path / "pipe")]), NOW
    )
    status = {check.message.partition(":")[0]: check for check in checks}
    assert status[odd].status == "warn"
    assert "--format" in status[odd].remedy
    assert status[log].message.endswith("formats: sse-lines 1")
    assert status[str(tmp_path / "pipe")].message.endswith("formats: pipe 1")


def test_what_may_not_be_read_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "home"
    secret = make(home / ".claude" / "projects" / "-x" / "a.jsonl")
    (home / ".codex" / "sessions").mkdir(parents=True)
    found = discover({}, home, home / "state" / "capture")
    monkeypatch.setattr(places, "_format", refused)
    found.inputs.problems.append(Problem("/closed", "cannot read /closed: permission denied"))
    checks = {check.name: check for check in doctor.check_places(found, NOW)}
    transcripts = checks["source Claude Code transcripts"]
    assert transcripts.status == "fail"
    assert transcripts.message.endswith(f"cannot read {secret}: permission denied")
    assert "right to read" in transcripts.remedy
    assert checks["source /closed"].status == "fail"


def refused(found: Found) -> str:
    raise PermissionError(13, "Permission denied", found.path)


def test_who_is_in_the_registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    registry = tmp_path / "home" / ".claude" / "sessions"
    for pid, status in ((1, "busy"), (2, "idle"), (3, "busy"), (4, "waiting"), (5, None)):
        entry = {
            "pid": pid,
            "sessionId": f"0b1d2c3e-0000-4000-8000-00000000000{pid}",
            "statusUpdatedAt": NOW * 1000,
            "status": status,
        }
        make(registry / f"{pid}.json", msgspec.json.encode(entry))
    make(registry / "1.00ff.key", b"secret")
    monkeypatch.setattr(places.procs, "is_running", {1, 2, 4, 5}.__contains__)
    born = {1: NOW - 9, 2: None, 4: NOW + 9, 5: NOW - 9}
    monkeypatch.setattr(places.procs, "born_at", born.get)
    check = examine(tmp_path)["source Claude Code processes"]
    assert (check.status, check.message) == (
        "ok",
        "~/.claude/sessions/<pid>.json: 3 running (1 busy, 1 idle, 1 no status yet), "
        "2 left behind by processes that are gone (pid 3, 4)",
    )
    for pid in (1, 2, 3, 4, 5):
        (registry / f"{pid}.json").unlink()
    assert examine(tmp_path)["source Claude Code processes"].message.endswith("0 running")


def test_the_empty_state_says_what_to_do() -> None:
    lines = places.empty_state(["Codex rollouts: ~/.codex/sessions (not there)", "\x1b[31mred"], 60)
    assert lines[:3] == [
        "No agents seen yet.",
        "Looked for:",
        "  Codex rollouts: ~/.codex/sessions (not there)",
    ]
    text = "\n".join(lines)
    for words in ("--demo", "agentmon PATH", "agentmon doctor", "run -- claude", "hooks install"):
        assert words in text
    assert "\x1b" not in text
    assert all(cells(line) <= 60 for line in lines)
    assert "Looked for:" not in places.empty_state([])


def test_a_file_in_place_of_the_data_folder_fails(tmp_path: Path) -> None:
    (tmp_path / "data").touch()
    assert "is not a folder" in examine(tmp_path)["data folder"].message
    below = examine(tmp_path, data="data/below")["data folder"]
    assert (below.status, "Not a directory" in below.message) == ("fail", True)


def test_a_read_only_place_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def read_only(_path: Path, mode: int) -> bool:
        return not mode & os.W_OK

    monkeypatch.setattr(os, "access", read_only)
    missing = doctor.check_folder(tmp_path / "data")
    assert (missing.status, "cannot be made" in missing.message) == ("fail", True)
    (tmp_path / "data").mkdir(mode=0o700)
    assert doctor.check_folder(tmp_path / "data").message.endswith("is read-only")


def test_what_others_may_read_is_named(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir(mode=0o700)
    database = data / "agentmon.db"
    database.write_bytes(b"x" * 2_048)
    database.chmod(0o640)
    check = doctor.check_folder(data)
    assert (check.status, check.message) == ("warn", f"others may look into {database}")
    database.chmod(0o600)
    assert doctor.check_folder(data).message == f"{data}, 2.0 KB, yours alone"
    data.chmod(0o755)
    assert doctor.check_folder(data).message == f"others may look into {data}"


def test_a_huge_folder_is_not_counted_to_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "_COUNT_FILES", 2)
    tmp_path.chmod(0o700)
    for name in "abc":
        (tmp_path / name).write_bytes(b"12345")
    assert "more than 10 B" in doctor.check_folder(tmp_path).message


@pytest.mark.parametrize(
    ("free", "status"), [(1 << 20, "fail"), (512 << 20, "warn"), (100 << 30, "ok")]
)
def test_disk_space(tmp_path: Path, free: int, status: str) -> None:
    assert doctor.check_space(tmp_path, free).status == status


def test_processes() -> None:
    assert doctor.check_processes(lambda _pid: True, lambda _pid: 1.0).status == "ok"
    assert doctor.check_processes(lambda _pid: False, lambda _pid: 1.0).status == "warn"
    assert doctor.check_processes(lambda _pid: True, lambda _pid: None).status == "warn"


def limits(tmp_path: Path, watches: int, instances: int) -> Path:
    (tmp_path / "max_user_watches").write_text(f"{watches}\n")
    (tmp_path / "max_user_instances").write_text(f"{instances}\n")
    return tmp_path


def test_notification_limits(tmp_path: Path) -> None:
    plenty = doctor.check_notification(tmp_path, limits(tmp_path, 65_536, 128))
    assert plenty.status == "ok"
    assert plenty.message == "works, max_user_watches 65536, max_user_instances 128"
    few = doctor.check_notification(tmp_path, limits(tmp_path, 65_536, 2))
    assert (few.status, few.remedy) == ("warn", "sysctl fs.inotify.max_user_instances=128")


def test_notification_that_does_not_start(tmp_path: Path) -> None:
    def fails(_folder: Path) -> None:
        raise OSError(24, "Too many open files")

    check = doctor.check_notification(tmp_path, tmp_path, fails)
    assert check.status == "warn"
    assert "Too many open files" in check.message
    assert "polled" in check.remedy
    missing = doctor.check_notification(tmp_path / "gone", tmp_path)
    assert missing.status == "warn"


def test_text_shows_status_message_and_remedy() -> None:
    checks = [
        Check("a", "ok", "fine"),
        Check("b", "fail", "broken \x1b[31m" + "word " * 30, "mend it"),
    ]
    for ascii in (False, True):
        text = doctor.checks_text(checks, width=60, ascii=ascii)
        assert "\x1b" not in text
        assert all(cells(line) <= 60 for line in text.splitlines())
        assert text.isascii() is ascii
        assert "FAIL" in text
        assert "mend it" in text
    assert "\x1b[31m✕ FAIL\x1b[0m" in doctor.checks_text(checks, color=True)
