"""Writes homes full of transcripts and rollouts of any number and size, as Claude Code and Codex
leave them behind after months: few that are recent, most of them old (formats.md C, D).

The same seed gives the same names and texts. All turns are over: nothing waits, nothing is pending.
"""

import json
import os
import random
import uuid
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

from msgspec import Struct

DAY = 86_400.0
SLUGS = 100
ROLLOUTS = 0.2
"""Share of the sessions that are Codex's."""
SUBAGENTS = 0.2
"""Share of Claude's sessions that have the transcript of a subagent."""
OLDEST = 90 * DAY
_SNAPSHOT = 40_000
"""Bytes of what a client writes about itself before anything is said."""

_PROSE = (
    "the reader keeps its offset when a writer rotates the log and the next line is torn "
    "so compare inodes first run the tests again and then look at what the cache returns "
)


class Home(Struct):
    """What was written. `fresh` names the newest sessions' folders, newest first."""

    path: Path
    fresh: list[str]
    files: int = 0
    bytes: int = 0
    newest: Path = Path()
    """The transcript of the newest session."""

    @property
    def claude(self) -> Path:
        return self.path / ".claude"

    @property
    def codex(self) -> Path:
        return self.path / ".codex"

    def environ(self) -> dict[str, str]:
        """What makes a process at home there, and only there."""
        own = {"HOME": self.path, "CLAUDE_CONFIG_DIR": self.claude, "CODEX_HOME": self.codex}
        return {name: str(folder) for name, folder in own.items()}

    def ask(self, prompt: str) -> None:
        """Writes one more prompt to the newest session, as of now."""
        stamp = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
        row: dict[str, object] = {"type": "user", "uuid": str(uuid.uuid4()), "timestamp": stamp}
        row |= {"sessionId": self.newest.stem, "cwd": "/home/u/fresh-00", "isSidechain": False}
        row |= {"version": "2.1.330", "message": {"role": "user", "content": prompt}}
        with self.newest.open("a") as file:
            file.write(json.dumps(row) + "\n")


class _Texts:
    """Pieces of one long text."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._text = " ".join(chance.choices(_PROSE.split(), k=60_000))

    def some(self, size: int) -> str:
        start = self._chance.randrange(len(self._text) - size)
        return self._text[start : start + size]


class _Session:
    """The records of one session, which ends at a given time."""

    def __init__(self, chance: random.Random, texts: _Texts, cwd: str, end: float) -> None:
        self.chance, self.texts, self.cwd, self.end = chance, texts, cwd, end
        self.sid = self.uuid()
        self.call = ""
        self.snapshot = 0

    def uuid(self) -> str:
        return str(uuid.UUID(int=self.chance.getrandbits(128), version=4))

    def stamp(self, before: float) -> str:
        moment = datetime.fromtimestamp(self.end - before, UTC)
        return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03}Z"

    def transcript(self, size: int, agent_id: str | None = None) -> Iterator[str]:
        """Rounds until so many bytes are there."""
        base: dict[str, object] = {"sessionId": self.sid, "cwd": self.cwd, "version": "2.1.330"}
        base |= {"isSidechain": agent_id is not None, "userType": "external", "gitBranch": "main"}
        if agent_id is not None:
            base["agentId"] = agent_id
        parent: str | None = None
        left, number = size, 0
        self.snapshot = min(_SNAPSHOT, size // 4)
        kinds = ["attachment", *self._round()]
        while left > 0:
            for kind in kinds:
                own = self.uuid()
                row = {"parentUuid": parent, **base, **self._record(kind, number), "uuid": own}
                row["timestamp"] = self.stamp(max(0.0, left / size * 3_600))
                line = json.dumps(row)
                left -= len(line) + 1
                parent = own
                yield line
            number += 1
            kinds = self._round()

    def _round(self) -> list[str]:
        return ["prompt", *["work", "result"] * self.chance.randint(1, 8), "answer", "turn_end"]

    def _record(self, kind: str, number: int) -> dict[str, object]:
        if kind == "attachment":
            snapshot = {"type": "prompt_snapshot", "text": self.texts.some(self.snapshot)}
            return {"type": "attachment", "attachment": snapshot}
        if kind == "prompt":
            prompt = f"{number}: {self.texts.some(120)}"
            return {"type": "user", "message": {"role": "user", "content": prompt}}
        if kind == "turn_end":
            return {"type": "system", "subtype": "turn_duration", "durationMs": 60_000}
        if kind == "result":
            content = self.texts.some(min(20_000, int(self.chance.lognormvariate(6.2, 1.4))))
            block = {"type": "tool_result", "tool_use_id": self.call, "content": content}
            told = {"stdout": content, "stderr": "", "interrupted": False}
            message = {"role": "user", "content": [block]}
            return {"type": "user", "message": message, "toolUseResult": told}
        return self._message(is_last=kind == "answer")

    def _message(self, *, is_last: bool) -> dict[str, object]:
        self.call = f"toolu_{self.chance.getrandbits(80):020x}"
        tool = {"command": self.texts.some(60), "description": self.texts.some(30)}
        call = {"type": "tool_use", "id": self.call, "name": "Bash", "input": tool}
        block = {"type": "text", "text": self.texts.some(600)} if is_last else call
        usage = {"input_tokens": 12, "output_tokens": 180, "cache_read_input_tokens": 20_000}
        message = {
            "id": f"msg_{self.chance.getrandbits(80):020x}",
            "type": "message",
            "role": "assistant",
            "model": "claude-opus-5-5",
            "content": [block],
            "stop_reason": "end_turn" if is_last else "tool_use",
            "usage": usage,
        }
        request = f"req_{message['id']}"
        return {"type": "assistant", "requestId": request, "message": message}

    def rollout(self, size: int) -> Iterator[str]:
        left = size
        meta = {"id": self.sid, "cwd": self.cwd, "originator": "codex_cli_rs", "source": "cli"}
        meta |= {"timestamp": self.stamp(3_600), "cli_version": "0.169.0"}
        for kind, payload in self._turns(meta):
            before = max(0.0, left / size * 3_600)
            line = json.dumps({"timestamp": self.stamp(before), "type": kind, "payload": payload})
            left -= len(line) + 1
            yield line
            if left <= 0 and payload.get("type") == "task_complete":
                return

    def _turns(self, meta: Mapping[str, object]) -> Iterator[tuple[str, Mapping[str, object]]]:
        yield "session_meta", meta
        while True:
            turn = self.uuid()
            yield "event_msg", {"type": "task_started", "turn_id": turn}
            yield "turn_context", {"turn_id": turn, "cwd": self.cwd, "model": "gpt-5.5"}
            yield "event_msg", {"type": "user_message", "message": self.texts.some(120)}
            for _ in range(self.chance.randint(1, 8)):
                call = f"call_{self.chance.getrandbits(64):016x}"
                arguments = json.dumps({"cmd": self.texts.some(60)})
                spoken = {"type": "function_call", "name": "exec_command", "call_id": call}
                yield "response_item", {**spoken, "arguments": arguments}
                output = self.texts.some(min(20_000, int(self.chance.lognormvariate(6.2, 1.4))))
                told = {"type": "function_call_output", "call_id": call, "output": output}
                yield "response_item", told
            text = {"type": "output_text", "text": self.texts.some(600)}
            yield "response_item", {"type": "message", "role": "assistant", "content": [text]}
            yield "event_msg", {"type": "task_complete", "turn_id": turn}


def write(
    path: Path, files: int, size: int, *, now: float, recent: int = 20, seed: int = 1
) -> Home:
    """A home with so many logs and bytes, `recent` of them changed in the last 20 hours."""
    chance = random.Random(seed)
    texts = _Texts(chance)
    home = Home(path, [])
    for number in range(files):
        if home.files >= files:
            break
        is_recent = number < recent
        age = (number + 1) * 20 * 3_600 / recent if is_recent else DAY + OLDEST * chance.random()
        cwd = f"/home/u/fresh-{number:02}" if is_recent else f"/home/u/old-{number % SLUGS:02}"
        if is_recent:
            home.fresh.append(os.path.basename(cwd))
        session = _Session(chance, texts, cwd, now - age)
        share = int(size / files * min(4.0, chance.expovariate(1.0) + 0.1))
        if not is_recent and chance.random() < ROLLOUTS:
            _save(home, _rollout_path(home, session), session.rollout(share), now - age)
            continue
        slug = home.claude / "projects" / cwd.replace("/", "-")
        _save(home, slug / f"{session.sid}.jsonl", session.transcript(share), now - age)
        if number == 0:
            home.newest = slug / f"{session.sid}.jsonl"
        if chance.random() < SUBAGENTS and home.files < files:
            agent = f"a{chance.getrandbits(64):016x}"
            below = slug / session.sid / "subagents" / f"agent-{agent}.jsonl"
            _save(home, below, session.transcript(share // 2, agent), now - age)
    return home


def _rollout_path(home: Home, session: _Session) -> Path:
    moment = datetime.fromtimestamp(session.end, UTC)
    name = f"rollout-{moment:%Y-%m-%dT%H-%M-%S}-{session.sid}.jsonl"
    return home.codex / "sessions" / f"{moment:%Y}" / f"{moment:%m}" / f"{moment:%d}" / name


def _save(home: Home, path: Path, lines: Iterator[str], changed: float) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")
    os.utime(path, (changed, changed))
    home.files += 1
    home.bytes += path.stat().st_size
