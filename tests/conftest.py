"""No test ever sees this machine's real home, settings or agents."""

import gc
import itertools
import os
import re
import shutil
import signal
import sys
import tempfile
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import cast

import pytest
from hypothesis import settings

from agentmon.store import db
from tests import ready_store
from tests.deep import DEEP, ORDINARY, SEARCHING

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
    profile = DEEP if config.getoption("deep") else ORDINARY
    is_given = config.getoption("--hypothesis-seed", None) is not None
    settings.load_profile(profile + SEARCHING if is_given else profile)


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


_COUNT = itertools.count()
_FAILED = pytest.StashKey[bool]()
_spare: list[Path] = []


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    item.stash[_FAILED] = report.failed or item.stash.get(_FAILED, False)
    return report


@pytest.fixture
def tmp_path(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Path]:
    """As pytest's own with the retention policy "failed", but named by a count: to find the next
    free name, that one reads the names of all before it."""
    test = cast("pytest.Item", request.node)  # pyright: ignore[reportUnknownMemberType]
    name = re.sub(r"\W", "_", test.name)[:30]
    folder = tmp_path_factory.getbasetemp() / f"{name}{next(_COUNT)}"
    folder.mkdir(mode=0o700)
    yield folder
    if not test.stash.get(_FAILED, False):
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(autouse=True)
def scratch_home(
    tmp_path_factory: pytest.TempPathFactory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Path]:
    """Every place that agentmon looks at by default, in an empty scratch folder.

    What a test patched is put back before its `tmp_path` goes, since that was made first here.
    """
    base = _spare.pop() if _spare else tmp_path_factory.mktemp("home")
    for variable, name in _FOLDERS.items():
        folder = base / name
        folder.mkdir(exist_ok=True)
        monkeypatch.setenv(variable, str(folder))
    for variable in ("CLAUDE_CODE_LOG_DIR", "NO_COLOR", "TMUX"):
        monkeypatch.delenv(variable, raising=False)
    yield base
    if sum(len(names) + len(files) for _, names, files in os.walk(base)) == len(_FOLDERS):
        _spare.append(base)  # as most tests leave it
    else:
        shutil.rmtree(base, ignore_errors=True)


@pytest.fixture(autouse=True, scope="session")
def compiled_once(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Where Python may not keep bytecode beside the sources, as in many containers, each command
    would compile them anew and take three times as long as an installed one: it goes to a scratch
    folder of all workers."""
    if os.environ.pop("PYTHONDONTWRITEBYTECODE", ""):
        base = tmp_path_factory.getbasetemp()
        shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
        os.environ["PYTHONPYCACHEPREFIX"] = str(shared / "bytecode")


@pytest.fixture(autouse=True, scope="session")
def schema_once(tmp_path_factory: pytest.TempPathFactory) -> Generator[None]:
    """An empty store is made once, and then copied: making one is a sixth of a small test."""
    folder = tmp_path_factory.mktemp("schema")
    db.create(folder).close()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(ready_store.VARIABLE, str(db.database(folder)))
        patch.setattr(db, "_connect", ready_store.connect)
        yield


@pytest.fixture
def own_schema(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each store is made from nothing."""
    monkeypatch.delenv(ready_store.VARIABLE)


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary folders are made, here and by commands: none may stay there."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


SHARED = Path(__file__).resolve().parents[1].parent / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """Recordings of real clients; tests over them skip where the folder is absent."""
    if not SHARED.is_dir():
        pytest.skip("no recordings beside the project")
    return SHARED


@pytest.fixture(autouse=True)
def young_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """A screen does not walk the memory of all tests before it at its start (a tenth of its time),
    nor make the collector walk it again; `test_endings` and `test_terminal` start it as it is."""
    module = sys.modules.get("agentmon.ui.screens.main")
    if module is not None:
        monkeypatch.setattr(module, "_settle_memory", lambda: None)
        monkeypatch.setattr(module, "_let_memory_go", lambda: None)


@pytest.fixture(autouse=True, scope="session")
def frozen_memory() -> Generator[None]:
    """What stays is frozen once (below): whoever freezes the rest for a while, as an ingestion
    does, would let go of all of it at the end."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gc, "freeze", lambda: None)
        patch.setattr(gc, "unfreeze", lambda: None)
        yield


def pytest_collection_finish() -> None:
    """The tests themselves stay, and so does what they import: the collector, which would walk all
    of it again and again (a tenth of the time of a screen), need not. What is left of a screen may
    lie about for some tests."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(2_000, 10, 20)
