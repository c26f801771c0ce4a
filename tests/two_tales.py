"""One run, told twice: as the wire has it, and as the client's transcript has it."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tests.wire import START, Payload, Talk, as_bytes, encoded, stamp, tool_result

SID = "5b1d2c3e-0000-4000-8000-0000000000f1"
_STEP = 20_000
"""Milliseconds from prompt to prompt."""


@dataclass
class Tales:
    """The lines of a wire log, of a main transcript, and of one transcript per subagent."""

    wire: list[bytes]
    main: list[bytes]
    agents: dict[str, list[bytes]]


class Storyteller:
    """Writes rounds of prompts, thinking, text and tool calls, some of them a subagent's.

    `lag`: prompts are written with the round before, as the patched client does. `plain`: the
    transcript is of an old client: no `apiBlockIndex`, no `promptId`, stop reasons on no line.
    """

    def __init__(
        self,
        rounds: int = 3,
        *,
        seed: int = 1,
        lag: bool = False,
        plain: bool = False,
        uuids: bool = True,
        with_rounds: bool = True,
    ) -> None:
        self._random = random.Random(seed)
        self._talk = Talk(SID, pid=4_100_000)
        self._lag, self._plain, self._uuids = lag, plain, uuids
        self._with_rounds = with_rounds
        self._uuid = 0
        self._call = 0
        self._message = 0
        self.tales = Tales([], [], {})
        for number in range(1, rounds + 1):
            self._round(number, number * _STEP)

    # -- a round

    def _round(self, number: int, at: int) -> None:
        wire, main = self.tales.wire, self.tales.main
        uuid, text = self._next_uuid(), f"do thing {number % 3}"
        mine = self._name(number)
        told = self._name(number - 1) if self._lag and number > 1 else mine
        shown = uuid if self._uuids else ""
        wire.append(self._talk.prompt(at + 140, text, shown, round_id=told))
        main.append(self._record("user", at, {"role": "user", "content": text}, uuid, number))
        self._answer(number, at + 500, None, "tool_use")
        if number % 2 == 0:
            self._subagent(number, at + 3000)
        self._answer(number, at + 8000, None, "end_turn")
        wire.append(self._talk.line("stop", at + 9000, {"agent_id": SID}, round_id=mine))
        end: Payload = {"subtype": "turn_duration", "durationMs": 9000}
        main.append(self._record("system", at + 9010, None, self._next_uuid(), number, **end))

    def _subagent(self, number: int, at: int) -> None:
        agent = f"a{number:016x}"
        self.tales.agents.setdefault(agent, [])
        self._answer(number, at, agent, "tool_use")
        self._answer(number, at + 2000, agent, "end_turn")

    def _name(self, number: int) -> str | None:
        return f"019aa7{number:02d}-0000-7000-8000-00000000000a" if self._with_rounds else None

    # -- a message, with its results

    def _answer(self, number: int, at: int, agent: str | None, stop: str) -> None:
        self._message += 1
        n, mine = 9000 + self._message, self._name(number)
        more: dict[str, Any] = {"round_id": mine, "agent": agent}
        wire = self.tales.wire
        wire.append(self._talk.start(n, at, **more))
        blocks = [*self._blocks(stop)]
        for index, block in enumerate(blocks):
            wire += self._streamed(n, at + 100 * (index + 1), index, block, more)
        delta = {"delta": {"stop_reason": stop}, "usage": {"output_tokens": 40 + n % 7}}
        wire.append(self._talk.stream("message_delta", n, at + 900, delta, **more))
        wire.append(self._talk.stream("message_stop", n, at + 910, {}, **more))
        records = self._told(n, at, number, agent, blocks, stop)
        for block in blocks:
            if block["type"] == "tool_use":
                records += self._result(block["id"], at + 1500, number, agent, more)
        into = self.tales.main if agent is None else self.tales.agents[agent]
        into += records

    def _blocks(self, stop: str) -> Iterator[Payload]:
        words = self._random.choice(["look", "đây là 🎉", 'a "quoted"\nline', "  spaced "])
        yield {"type": "thinking", "thinking": f"I think: {words}", "signature": "c2ln"}
        yield {"type": "text", "text": f"I say: {words}"}
        for _ in range(self._random.randint(1, 2) if stop == "tool_use" else 0):
            self._call += 1
            given = {"command": f"ls {words}"}
            yield {"type": "tool_use", "id": f"toolu_{self._call}", "name": "Bash", "input": given}

    def _streamed(
        self, n: int, at: int, index: int, block: Payload, more: dict[str, Any]
    ) -> list[bytes]:
        kind = block["type"]
        key = {"thinking": "thinking", "text": "text"}.get(kind)
        begun: Payload = {**block, **({key: ""} if key else {"input": {}})}
        # the wire spells the arguments of a call with blanks, the transcript does not keep them
        text = block[key] if key else '{"command": ' + encoded(block["input"]["command"]) + "}"
        field = {"thinking": "thinking", "text": "text"}.get(kind, "partial_json")
        name = {"thinking": "thinking_delta", "text": "text_delta"}.get(kind, "input_json_delta")
        lines = [self._talk.begin(n, at, begun, index, **more)]
        for place in range(0, len(text), 5):
            delta = {"type": name, field: text[place : place + 5]}
            payload = {"index": index, "delta": delta}
            lines.append(
                self._talk.stream("content_block_delta", n, at + place % 50, payload, **more)
            )
        stop = {"index": index}
        return [*lines, self._talk.stream("content_block_stop", n, at + 60, stop, **more)]

    def _told(
        self, n: int, at: int, number: int, agent: str | None, blocks: list[Payload], stop: str
    ) -> list[bytes]:
        usage = {"input_tokens": 4, "output_tokens": 40 + n % 7}
        records: list[bytes] = []
        for index, block in enumerate(blocks):
            body: Payload = {"id": f"m{n}", "type": "message", "role": "assistant"}
            reason = None if self._plain and index < len(blocks) - 1 else stop
            body |= {"model": "claude-x", "content": [block], "stop_reason": reason, "usage": usage}
            own: Payload = {"requestId": f"r{n}"}
            own |= {} if self._plain else {"apiBlockIndex": index}
            when = at + 100 * (index + 1) + 60
            uuid = self._next_uuid()
            records.append(self._record("assistant", when, body, uuid, number, agent, **own))
        return records

    def _result(
        self, call: str, at: int, number: int, agent: str | None, more: dict[str, Any]
    ) -> list[bytes]:
        payload = tool_result(call, f"out of {call}")
        self.tales.wire.append(self._talk.line("tool_result", at + 200, payload, **more))
        uuid = self._next_uuid()
        return [self._record("user", at, payload["message"], uuid, number, agent)]

    # -- records

    def _record(
        self,
        kind: str,
        at: int,
        body: Payload | None,
        uuid: str,
        number: int,
        agent: str | None = None,
        **more: Any,
    ) -> bytes:
        row: Payload = {"parentUuid": None, "isSidechain": agent is not None, "type": kind}
        row |= {} if agent is None else {"agentId": agent}
        row |= {} if body is None else {"message": body}
        row |= {} if self._plain else {"promptId": f"b{number:07d}-0000-4000-8000-000000000001"}
        row |= {"uuid": uuid, "timestamp": stamp(START + at) + "Z", "sessionId": SID}
        row |= {"cwd": "/home/u/p", "version": "claude-code-2.0.42", "gitBranch": "main"}
        return as_bytes(encoded(row | {"userType": "external"} | more))

    def _next_uuid(self) -> str:
        self._uuid += 1
        return f"a0000000-0000-4000-8000-{self._uuid:012x}"
