"""Writes `sse_lines.jsonl` files of any size: several sessions at once, the event mix and delta
sizes of the published log, counters that go up through a whole flow (formats.md A.1).

The same seed gives the same bytes. Lines come out of templates: a million in well under a minute.
"""

import random
from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct

from tests.bench.envelope import START, Clock, Ids, Writer
from tests.bench.phrases import PROSE_MEAN, Pieces, cut, escaped

MODEL = "claude-sonnet-4-5-20250929"
TOOLS = ("Bash", "Read", "Edit", "Write", "Grep", "Glob", "Task", "TodoWrite", "WebFetch")
TOOL_WEIGHTS = (40, 25, 15, 5, 8, 4, 2, 4, 1)
PROJECTS = ("web-app", "data/pipeline", "infra", "handbook", "mobile")
RESULT_LIMIT = 200_000

_FLUSH_LINES = 2_000


class Written(Struct):
    """What a file holds."""

    events: int = 0
    bytes: int = 0


class Texts:
    """Cut text shared by all sessions of a file."""

    def __init__(self, random_: random.Random) -> None:
        self.prose = cut(random_, PROSE_MEAN, 2)
        self.arguments = cut(random_, 11.4, 3)
        self.output = cut(random_, 400.0, 2)


class SessionLoad:
    """A session that works through rounds of its own until it ends."""

    def __init__(self, clock: Clock, ids: Ids, texts: Texts, cwd: str) -> None:
        self.random, self.texts = ids.random, texts
        self.writer = Writer(clock, ids, cwd)
        self.pending: list[str] = []

    def lines(self, rounds: int | None = None) -> Iterator[str]:
        """All of it, with the clock as it stands when each line is asked for."""
        writer = self.writer
        yield writer.line("session_start", ',\\"source\\":\\"new\\"')
        for number in range(rounds or self.random.randint(2, 14)):
            writer.begin_round()
            yield writer.line("user_prompt", self._prompt(number == 0))
            for left in reversed(range(max(1, int(self.random.expovariate(1 / 8.1))))):
                yield from self.results()
                yield from self.message(is_last=left == 0)
            agent = f',\\"agent_id\\":\\"{writer.sid}\\",\\"is_subagent\\":false'
            yield writer.line("stop", agent)
            yield writer.line("turn_end", "")
        yield writer.line("session_end", ',\\"reason\\":\\"other\\"')

    def _prompt(self, is_first: bool) -> str:
        text = "".join(self.texts.output.run(self.random, self.random.randint(1, 2)))
        if is_first:
            text += f"\\\\nYour agent Id is: {self.writer.sid}"
        uuid = self.writer.ids.uuid()
        return f',\\"prompt\\":\\"{text}\\",\\"mode\\":\\"prompt\\",\\"message_uuid\\":\\"{uuid}\\"'

    def results(self) -> Iterator[str]:
        for tool_use_id in self.pending:
            size = min(RESULT_LIMIT, int(self.random.lognormvariate(6.2, 1.4)))
            pieces = self.texts.output.run(self.random, 1 + size // 400)
            yield self.writer.line("tool_result", self.result(tool_use_id, "".join(pieces)))
        self.pending = []

    def result(self, tool_use_id: str, text: str) -> str:
        is_error = "true" if self.random.random() < 0.05 else "false"
        return (
            ',\\"message\\":{\\"role\\":\\"user\\",\\"content\\":[{\\"tool_use_id\\":\\"'
            f'{tool_use_id}\\",\\"type\\":\\"tool_result\\",\\"content\\":\\"{text}\\",'
            f'\\"is_error\\":{is_error}}}]}}'
        )

    def message(self, *, is_last: bool) -> Iterator[str]:
        writer, random_ = self.writer, self.random
        writer.begin_message()
        yield writer.streamed("message_start", self.message_payload())
        tokens = 0
        for index, kind in enumerate(self._kinds(is_last)):
            size = max(1, int(random_.lognormvariate(3.62, 0.85)))
            tokens += 3 * size
            yield from self.block(index, kind, size)
        if random_.random() < 0.995:
            reason = "tool_use" if self.pending else "end_turn"
            yield writer.streamed(
                "message_delta",
                f',\\"delta\\":{{\\"stop_reason\\":\\"{reason}\\",\\"stop_sequence\\":null}},'
                f'\\"usage\\":{{\\"output_tokens\\":{tokens}}}',
            )
            yield writer.streamed("message_stop")

    def message_payload(self) -> str:
        cached = self.random.randint(0, 150_000)
        return (
            f',\\"message\\":{{\\"id\\":\\"{self.writer.flow}\\",\\"type\\":\\"message\\",'
            f'\\"role\\":\\"assistant\\",\\"model\\":\\"{MODEL}\\",\\"content\\":[],'
            '\\"stop_reason\\":null,\\"stop_sequence\\":null,\\"usage\\":{\\"input_tokens\\":'
            f'{self.random.randint(1, 20)},\\"cache_creation_input_tokens\\":{cached // 16},'
            f'\\"cache_read_input_tokens\\":{cached},\\"output_tokens\\":3}}}}'
        )

    def _kinds(self, is_last: bool) -> list[str]:
        """The blocks of a message; the last of a round calls no tool."""
        chance = self.random.random
        kinds = ["thinking"] if chance() < 0.3 else []
        if is_last or chance() < 0.4:
            kinds.append("text")
        if not is_last:
            kinds += ["tool_use"] * (1 if chance() < 0.95 else self.random.randint(2, 3))
        return kinds

    def block(self, index: int, kind: str, size: int) -> Iterator[str]:
        writer, random_ = self.writer, self.random
        yield writer.streamed("content_block_start", self._block_start(index, kind))
        if kind == "tool_use":
            yield from self._argument_deltas(index, size)
        else:
            for piece in self.texts.prose.run(random_, size):
                yield writer.delta(index, f"{kind}_delta", kind, piece)
        if kind == "thinking":
            signature = writer.ids.name("", 356) + "=="
            yield writer.delta(index, "signature_delta", "signature", signature)
        if random_.random() < 0.997:
            yield writer.streamed("content_block_stop", f',\\"index\\":{index}')

    def _block_start(self, index: int, kind: str) -> str:
        if kind == "tool_use":
            tool_use_id = self.writer.ids.name("toolu_01", 22)
            self.pending.append(tool_use_id)
            name = self.random.choices(TOOLS, TOOL_WEIGHTS)[0]
            body = f'\\"id\\":\\"{tool_use_id}\\",\\"name\\":\\"{name}\\",\\"input\\":{{}}'
        else:
            body = f'\\"{kind}\\":\\"\\"'
        return f',\\"index\\":{index},\\"content_block\\":{{\\"type\\":\\"{kind}\\",{body}}}'

    def _argument_deltas(self, index: int, size: int) -> Iterator[str]:
        opening = ("", escaped('{"command": "', 2))
        pieces = self.texts.arguments.run(self.random, size)
        for piece in (*opening, *pieces, escaped('"}', 2)):
            yield self.writer.delta(index, "input_json_delta", "partial_json", piece)


class Load:
    """An endless, interleaved log of so many sessions at a time.

    `rounds`: how long a session lasts; None: 2 to 14, so that sessions come and go.
    """

    def __init__(
        self, *, seed: int = 1, live: int = 10, start: float = START, rounds: int | None = None
    ) -> None:
        self.random = random.Random(seed)
        self.clock = Clock(start)
        self.ids = Ids(self.random)
        self.texts = Texts(self.random)
        self._rounds = rounds
        self._live = [self._session() for _ in range(live)]

    def session(self, cwd: str) -> SessionLoad:
        return SessionLoad(self.clock, self.ids, self.texts, cwd)

    def _session(self) -> Iterator[str]:
        return self.session(f"/home/u/{self.random.choice(PROJECTS)}").lines(self._rounds)

    def lines(self, *, moves: bool = True) -> Iterator[str]:
        """One line after the other; the clock moves before each, or is moved by the caller."""
        chance, at = self.random.random, 0
        while True:
            if chance() < 0.3:
                at = int(chance() * len(self._live))
            if moves:
                self.clock.now += self.random.expovariate(20) if chance() < 0.1 else 0.004
            line = next(self._live[at], None)
            if line is None:
                self._live[at] = self._session()
                line = next(self._live[at])
            yield line

    def huge_line(self, size: int) -> str:
        """A tool result of so many bytes of text."""
        load = self.session("/home/u/huge")
        load.writer.begin_round()
        text = "".join(Pieces(self.texts.output.lines).run(self.random, 40))
        return load.writer.line(
            "tool_result",
            load.result(self.ids.name("toolu_01", 22), text * (size // len(text.encode()) + 1)),
        )


def write(path: Path, events: int, *, seed: int = 1, live: int = 10, huge_mb: int = 0) -> Written:
    """Writes so many lines, with one huge line in the middle where it is asked for."""
    load = Load(seed=seed, live=live)
    lines = load.lines()
    written = Written()
    huge_at = events // 2 if huge_mb else -1
    with path.open("wb") as out:
        while written.events < events:
            count = min(_FLUSH_LINES, events - written.events)
            part = [next(lines) for _ in range(count)]
            if written.events <= huge_at < written.events + count:
                part[-1] = load.huge_line(huge_mb * 1_000_000)
            data = "".join(part).encode()
            out.write(data)
            written.events += count
            written.bytes += len(data)
    return written
