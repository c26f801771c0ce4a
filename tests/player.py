"""Plays an agent in a process of its own, for tests of the real process table: writes a wire log
with its own pid and the time of day, until somebody kills it.

Run as `python -m tests.player ROLE SID LOG`.
"""

import os
import subprocess
import sys
import time
from pathlib import Path

from tests.wire import START, TEXT, Payload, Talk


def call_block(tool_use_id: str) -> Payload:
    return {"type": "tool_use", "id": tool_use_id, "name": "Bash", "input": {}}


def now() -> int:
    """As the lines count it: milliseconds after START."""
    return round(time.time() * 1000) - START


def play(role: str, sid: str, log: Path) -> None:
    """Roles: "writes" on and on, "falls silent", "holds a tool", "rests" after its turn."""
    talk = Talk(sid, pid=os.getpid(), cwd=f"/p/{role}")
    n = int(sid[-4:], 16)  # ids of messages are nobody else's

    def say(*lines: bytes) -> None:
        with log.open("ab") as file:
            file.write(b"".join(line + b"\n" for line in lines))

    say(talk.prompt(now(), role, "u1", round_id="r1"), talk.start(n, now(), round_id="r1"))
    say(talk.begin(n, now(), TEXT), talk.text(n, now(), "I begin. "))
    if role == "writes":
        while True:
            say(talk.text(n, now(), "word "))
            time.sleep(0.1)
    if role == "holds a tool":
        say(talk.end(n, now()), talk.begin(n, now(), call_block(f"toolu_{sid}"), index=1))
        say(talk.json(n, now(), '{"command":"sleep 60"}', index=1), talk.end(n, now(), index=1))
        say(talk.reason(n, now(), "tool_use"), talk.stop(n, now()))
        subprocess.run(["sleep", "60"], check=False)
    if role == "rests":
        say(talk.end(n, now()), talk.reason(n, now(), "end_turn"), talk.stop(n, now()))
        say(talk.line("stop", now(), {"background_tasks": []}, round_id="r1"))
    time.sleep(60)


if __name__ == "__main__":
    play(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
