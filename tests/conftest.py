"""No test ever sees this machine's real home, settings or agents."""

import gc
import os
import signal
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# a loaded machine generates and runs slowly: that says nothing of what is tested
settings.register_profile("agentmon", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("agentmon")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # so starts a shell what it runs in the background, and commands that are told Ctrl+C would too
    signal.signal(signal.SIGINT, signal.default_int_handler)

_FOLDERS = {
    "HOME": "home",
    "XDG_CONFIG_HOME": "config",
    "XDG_DATA_HOME": "data",
    "XDG_STATE_HOME": "state",
    "CLAUDE_CONFIG_DIR": "claude",
    "CODEX_HOME": "codex",
}


@pytest.fixture(autouse=True)
def scratch_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Every place that agentmon looks at by default, in an empty scratch folder."""
    base = tmp_path_factory.mktemp("home")
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


def pytest_collection_finish() -> None:
    """The tests themselves stay, and so does what they import: the collector, which would walk all
    of it again and again (a tenth of the time of a screen), need not."""
    gc.collect()
    gc.freeze()
