"""No test ever sees this machine's real home, settings or agents."""

import contextlib
import itertools
import os
import shutil
import signal
import sqlite3
import sys
import tempfile
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from agentmon.store import db
from tests.deep import DEEP, ORDINARY

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # so starts a shell what it runs in the background, and commands that are told Ctrl+C would too
    signal.signal(signal.SIGINT, signal.default_int_handler)

_ROOM = 4 << 30
"""Bytes: many times what tests leave lying at once."""


def _in_memory() -> None:
    """What tests write goes to memory where there is a disk of it with room, and programs may lie
    there: they wait for no disk then. The environment's TMPDIR is another place."""
    shm = Path("/dev/shm")
    if "TMPDIR" in os.environ or not os.access(shm, os.W_OK | os.X_OK):
        return
    disk = os.statvfs(shm)
    if disk.f_bavail * disk.f_frsize > _ROOM and not disk.f_flag & os.ST_NOEXEC:
        tempfile.tempdir = os.environ["TMPDIR"] = str(shm)


_in_memory()


def pytest_addoption(parser: pytest.Parser) -> None:
    said = "run only what digs deeper: tests marked deep, and properties with more examples"
    parser.addoption("--deep", action="store_true", help=said)


def pytest_configure(config: pytest.Config) -> None:
    settings.load_profile(DEEP if config.getoption("deep") else ORDINARY)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """After hypothesis has marked its own."""
    wanted = config.getoption("deep")
    chosen: list[pytest.Item] = []
    others: list[pytest.Item] = []
    for item in items:
        marks = {mark.name for mark in item.iter_markers()}
        runs = bool(marks & {"deep", "hypothesis"}) if wanted else "deep" not in marks
        (chosen if runs else others).append(item)
    config.hook.pytest_deselected(items=others)
    items[:] = chosen


_FOLDERS = {
    "HOME": "home",
    "XDG_CONFIG_HOME": "config",
    "XDG_DATA_HOME": "data",
    "XDG_STATE_HOME": "state",
    "CLAUDE_CONFIG_DIR": "claude",
    "CODEX_HOME": "codex",
}


@pytest.fixture(scope="session")
def _homes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("homes")
    return (folder / str(number) for number in itertools.count())


@pytest.fixture(autouse=True)
def scratch_home(_homes: Iterator[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Every place that agentmon looks at by default, in an empty scratch folder.

    What a test patched is put back before its `tmp_path` goes, since that was made first here.
    """
    base = next(_homes)
    base.mkdir()
    for variable, name in _FOLDERS.items():
        folder = base / name
        folder.mkdir()
        monkeypatch.setenv(variable, str(folder))
    for variable in ("CLAUDE_CODE_LOG_DIR", "NO_COLOR", "TMUX"):
        monkeypatch.delenv(variable, raising=False)
    return base


@pytest.fixture(autouse=True, scope="session")
def compiled_once(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Where Python may not keep bytecode beside the sources, as in many containers, each command
    would compile them anew and take three times as long as an installed one: it goes to a scratch
    folder of all workers."""
    if os.environ.pop("PYTHONDONTWRITEBYTECODE", ""):
        base = tmp_path_factory.getbasetemp()
        shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
        os.environ["PYTHONPYCACHEPREFIX"] = str(shared / "bytecode")


_CONNECT = db._connect  # pyright: ignore[reportPrivateUsage]


@pytest.fixture(autouse=True, scope="session")
def schema_once(tmp_path_factory: pytest.TempPathFactory) -> Generator[None]:
    """An empty store is made once, and then copied: making one is a sixth of a small test."""
    folder = tmp_path_factory.mktemp("schema")
    db.create(folder).close()
    made = db.database(folder)

    def connect(path: Path) -> sqlite3.Connection:
        if not path.exists():
            fd, copy = tempfile.mkstemp(dir=path.parent)
            os.close(fd)
            shutil.copyfile(made, copy)
            with contextlib.suppress(FileExistsError):  # somebody else was quicker
                os.link(copy, path)
            os.unlink(copy)
        return _CONNECT(path)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(db, "_connect", connect)
        yield


@pytest.fixture
def own_schema(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each store is made from nothing."""
    monkeypatch.setattr(db, "_connect", _CONNECT)


SHARED = Path(__file__).resolve().parents[1].parent / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """Recordings of real clients; tests over them skip where the folder is absent."""
    if not SHARED.is_dir():
        pytest.skip("no recordings beside the project")
    return SHARED


@pytest.fixture(autouse=True)
def young_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """A screen does not walk the memory of all tests before it at its start (a tenth of its time);
    `test_endings` and `test_terminal` start it as it is."""
    module = sys.modules.get("agentmon.ui.screens.main")
    if module is not None:
        monkeypatch.setattr(module, "_settle_memory", lambda: None)
