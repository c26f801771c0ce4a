"""From a process to its tmux pane: by terminal, by what the agent wrote down, and why not."""

import os
import shutil
import subprocess
import sys
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path

import psutil
import pytest

from agentmon.sources import tmux
from agentmon.sources.tmux import NotFound, Pane, find, jump, terminals_of

LISTED = "%0 /dev/pts/3 0 main work\n%7 /dev/pts/9 2 api\nrubbish\n"
PANES = [Pane("%0", "/dev/pts/3", "0", "main work"), Pane("%7", "/dev/pts/9", "2", "api")]


class Server:
    """A tmux that remembers what it was told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, ...]] = []

    def __call__(self, command: Sequence[str]) -> str:
        self.told.append(tuple(command))
        return LISTED if "list-panes" in command else ""


@pytest.fixture
def inside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMUX", "/tmp/tmux-0/default,1,0")


def on_terminals(monkeypatch: pytest.MonkeyPatch, *terminals: str) -> None:
    monkeypatch.setattr(tmux, "terminals_of", lambda pid: list(terminals))  # pyright: ignore


def test_panes_are_read() -> None:
    assert tmux.panes(Server()) == PANES


@pytest.mark.usefixtures("inside")
def test_the_terminal_leads_to_the_pane(monkeypatch: pytest.MonkeyPatch) -> None:
    on_terminals(monkeypatch, "/dev/pts/12", "/dev/pts/9")
    server = Server()
    assert jump(4711, run=server) == "api:2"
    assert server.told[1:] == [
        ("tmux", "select-window", "-t", "%7", ";", "select-pane", "-t", "%7"),
        ("tmux", "switch-client", "-t", "%7"),
    ]


def test_only_inside_tmux(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TMUX", raising=False)
    with pytest.raises(NotFound, match="does not run inside tmux"):
        jump(os.getpid(), run=Server())


def test_what_was_written_down_stands_in_for_a_process_that_is_gone() -> None:
    gone = 2**22 + 7
    assert find(gone, "main work:@4.%0", PANES) == PANES[0]
    assert find(None, "api:@2.%7", PANES).place == "api:2"
    for told in ("other:@2.%7", "api:@2.%8", "nonsense", 7, None):
        with pytest.raises(NotFound, match=f"process {gone} is gone"):
            find(gone, told, PANES)


def test_a_living_process_goes_before_what_was_written_down(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    on_terminals(monkeypatch, "/dev/pts/77")
    with pytest.raises(NotFound, match="/dev/pts/77 of pid 4711 is no pane of this tmux server"):
        find(4711, "api:@2.%7", PANES)


def test_why_it_cannot() -> None:
    with pytest.raises(NotFound, match="pid of this agent is not known"):
        find(None, None, PANES)
    with pytest.raises(NotFound, match="is gone"):
        terminals_of(2**80)


def test_errors_of_tmux_are_sentences(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tmux, "TIMEOUT", 60.0)
    run = tmux._run  # pyright: ignore[reportPrivateUsage]
    with pytest.raises(NotFound, match="not installed"):
        run(("no-such-program-here",))
    with pytest.raises(NotFound, match="tmux says: no server"):
        run((sys.executable, "-c", "import sys; sys.exit('no server')"))
    monkeypatch.setattr(tmux, "TIMEOUT", 0.05)
    with pytest.raises(NotFound, match="does not answer"):
        run((sys.executable, "-c", "import time; time.sleep(9)"))


@pytest.fixture
def real_pane() -> Iterator[tuple[str, int]]:
    """A pane of a tmux server of our own, second window, and the pid that runs in it."""
    if shutil.which("tmux") is None:
        pytest.skip("no tmux here")
    name = f"agentmon-test-{uuid.uuid4().hex[:8]}"
    server = ("tmux", "-f", "/dev/null", "-L", name)
    done = subprocess.run(
        [*server, "new-session", "-d", "-s", "main", "sleep 60"], check=False, capture_output=True
    )
    if done.returncode:
        pytest.skip("tmux does not start here")
    socket = ""
    try:
        subprocess.run([*server, "new-window", "-d", "sleep 61"], check=True)
        listed = subprocess.run(
            [*server, "list-panes", "-s", "-F", "#{socket_path} #{window_index} #{pane_pid}"],
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        socket, _, pid = listed.splitlines()[1].split()
        yield socket, int(pid)
    finally:
        subprocess.run([*server, "kill-server"], check=False)
        if socket:
            Path(socket).unlink(missing_ok=True)  # tmux leaves it


def test_a_real_pane(real_pane: tuple[str, int], monkeypatch: pytest.MonkeyPatch) -> None:
    socket, pid = real_pane
    monkeypatch.setenv("TMUX", f"{socket},1,0")
    terminal = psutil.Process(pid).terminal()
    assert terminal is not None
    assert terminals_of(pid)[0] == terminal
    with pytest.raises(NotFound, match="tmux says"):  # no client looks at this server
        jump(pid)
    shown = subprocess.run(
        ["tmux", "-S", socket, "display-message", "-p", "-t", "main", "#{pane_pid}"],
        check=True,
        capture_output=True,
        text=True,
    )
    assert int(shown.stdout) == pid
