"""Doctor: each trouble is named, with what mends it, and only failures fail."""

import os
import pty
from pathlib import Path

import msgspec
import pytest

from agentmon.config import ConfigError, Loaded, Settings
from agentmon.core.text import cells
from agentmon.report import doctor
from agentmon.report.doctor import Check, Terminal
from agentmon.sources.discover import Discovery, Place

GOOD_TERMINAL = Terminal((80, 24), "utf-8", "xterm-256color", "256 colours", True)
GOOD_SETTINGS = Loaded(Settings(), {"ui.theme": "default", "ui.ascii": "flag"}, [])


def discovery(*found: Path) -> Discovery:
    place = Place("centralized logs", "~/centralized-logs/*/sse_lines.jsonl", bool(found))
    return Discovery(found, (), (), (place,))


def sound_store(folder: Path) -> Check:
    return Check("store", "ok", f"seen {folder.name}")


def examine(tmp_path: Path, *found: Path, data: str = "data") -> dict[str, Check]:
    checks = doctor.examine(
        terminal=GOOD_TERMINAL,
        settings=GOOD_SETTINGS,
        discovery=discovery(*found),
        data_dir=tmp_path / data,
        store=sound_store,
        inotify=tmp_path / "no-inotify",
    )
    return {check.name: check for check in checks}


def make_log(tmp_path: Path, content: bytes = b'{"event":"claude.ping"}\n') -> Path:
    path = tmp_path / "sse_lines.jsonl"
    path.write_bytes(content)
    return path


def test_a_sound_machine_passes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "NO_SPACE", 0)
    monkeypatch.setattr(doctor, "LITTLE_SPACE", 0)
    (tmp_path / "data").mkdir(mode=0o700)
    log = make_log(tmp_path)
    checks = examine(tmp_path, log)
    assert list(checks) == [
        "python",
        "terminal",
        "settings",
        "sources",
        f"source {log}",
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
    with make_log(tmp_path).open() as plain:
        assert doctor.terminal({}, "utf-8", plain.fileno()).size is None


def test_settings() -> None:
    refused = ConfigError("ui.ascii", "x", "flag", "true or false is needed")
    check = doctor.check_settings(refused)
    assert (check.status, check.message) == ("fail", str(refused))
    odd = doctor.check_settings(Loaded(Settings(), {}, ["unknown key 'a'"]))
    assert (odd.status, odd.message) == ("warn", "unknown key 'a'")
    assert doctor.check_settings(Loaded(Settings(), {}, [])).message == "all defaults"


def test_no_source_says_where_it_looked(tmp_path: Path) -> None:
    check = examine(tmp_path)["sources"]
    assert check.status == "warn"
    assert "~/centralized-logs/*/sse_lines.jsonl (not there)" in check.message
    assert "--demo" in check.remedy


@pytest.mark.parametrize(
    ("content", "status", "says"),
    [
        (b"", "ok", "empty so far"),
        (b"\n \n", "ok", "empty so far"),
        (b'\xef\xbb\xbf  {"event":1}', "ok", "16 B, readable"),
        (b"\x7fELF\x00", "warn", "does not begin like a wire log"),
    ],
)
def test_a_source_file(tmp_path: Path, content: bytes, status: str, says: str) -> None:
    check = doctor.check_source(make_log(tmp_path, content))
    assert (check.status, check.message) == (status, says)


def test_other_kinds_of_source(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert doctor.check_source(tmp_path / "pipe").message.startswith("not a regular file")
    assert doctor.check_source(tmp_path).message.startswith("a folder")
    gone = doctor.check_source(tmp_path / "gone")
    assert (gone.status, gone.message) == ("fail", "cannot be read: No such file or directory")


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
