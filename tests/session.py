"""One made-up session: what happens in it, in the order of its clock, before it is written."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from tests.author import Author, Event
from tests.wire import Payload, tool_result

_PARTS: tuple[object, ...] = (
    {"type": "text", "text": "ok"},
    {"type": "image", "source": {"data": "é", "n": [1, 2.5, None, True]}},
    {"type": "text", "text": ""},
)


@dataclass
class Session(Author):
    """Makes the events of a session."""

    clock: int = 0
    pid: int = 0
    round_id: str = ""
    happened: list[Event] = field(default_factory=lambda: list[Event]())

    @property
    def sid(self) -> str:
        return f"5b1d2c3e-0000-4000-8000-{self.number:012x}"

    def events(self) -> list[Event]:
        self.clock = 1000 * self.number
        self._begin("new")
        for number in range(self.knobs.rounds):
            self._round(number == self.knobs.rounds - 1)
            if self.hits(self.knobs.resumes):
                self._end()
                self._begin("resume")
        if self.hits(self.knobs.ends):
            self._end()
        return self.happened

    def _new_round(self) -> str:
        self.made += 1
        return f"019aa701-{self.number:04x}-7000-8000-{self.made:012x}"

    def _say(
        self, name: str, payload: Payload, round_id: str | None, agent: str | None = None
    ) -> None:
        self._happen([[Event(name, payload, round_id=round_id, agent=agent)]])

    def _happen(self, streams: Sequence[list[Event]]) -> None:
        """Lets streams run at the same time, each in its own order."""
        queues: list[list[Event]] = [list(reversed(stream)) for stream in streams if stream]
        last: Event | None = None
        while queues:
            queue = self.rng.choice(queues)
            event = queue.pop()
            queues = [queue for queue in queues if queue]
            names = {event.name, last.name if last else ""}
            is_steady = names == {"content_block_delta"} and last and last.flow == event.flow
            self.clock += self.rng.choice((0, 1, 30) if is_steady else (1, 2, 7, 400))
            self.happened.append(replace(event, ms=self.clock, pid=self.pid))
            last = event

    def _begin(self, source: str) -> None:
        self.pid = 1000 * (self.number + 1) + self.rng.randint(1, 900)
        self.round_id = "" if self.knobs.proxy else self._new_round()
        self._say("session_start", {"source": source}, self.round_id)
        if self.hits(self.knobs.warm_up):
            self._happen([self.stream(self.round_id)])

    def _end(self) -> None:
        self._say("session_end", {"reason": self.rng.choice(("other", "clear"))}, self.round_id)

    def _prompt(self, round_id: str, text: str | None = None) -> None:
        says: Payload = {"prompt": self.text() if text is None else text, "mode": "prompt"}
        if not self.knobs.proxy and self.hits(0.8):
            says["message_uuid"] = self.new_id("uuid")
        if self.hits(0.3):
            says["prompt"] += f"\nYour agent Id is: {self.sid}"
        self._say("user_prompt", says, round_id)

    def _round(self, is_last: bool) -> None:
        before = self.round_id
        self.round_id = self._new_round()
        lags = not self.knobs.proxy and self.hits(self.knobs.lag)
        self._prompt(before if lags else self.round_id)
        if self.hits(self.knobs.unanswered):
            return
        turns = self.rng.randint(1, 3)
        for turn in range(turns):
            self._turn(turn < turns - 1)
        if self.hits(self.knobs.unknown):
            self._say("brand_new", {"value": [1, {"a": None}]}, self.round_id)
        is_cut = self.hits(self.knobs.missing_stops)
        queues = not is_cut and not is_last and self.hits(self.knobs.queued) and self._has_rounds()
        text = self.text()
        if queues and not self.knobs.proxy:
            self._say("queue_operation", {"operation": "enqueue", "content": text}, self.round_id)
            self._prompt(self.round_id, text)
        if not is_cut:
            self._say("stop", {"agent_id": self.sid, "is_subagent": False}, self.round_id)
            if not self.knobs.proxy and self.hits(0.8):
                self._say("turn_end", {}, self.round_id)
        if queues and not self.knobs.proxy:
            self.round_id = self._new_round()
            self._turn(False)
            self._say("stop", {"agent_id": self.sid}, self.round_id)

    def _has_rounds(self) -> bool:
        return self.knobs.form == "current" and not (
            self.knobs.absent_rounds or self.knobs.absent_starts or self.knobs.absent_prompts
        )

    def _turn(self, goes_on: bool) -> None:
        """A request and what runs beside it, then the results of its calls."""
        knobs, here = self.knobs, self.round_id
        main = self.stream(here, calls=goes_on)
        streams = [main]
        if not knobs.proxy and self.hits(knobs.misattributed):
            streams += [self.stream(here) for _ in range(self.rng.randint(1, 2))]
        if knobs.proxy and self.hits(knobs.subagents):
            streams.append(self.stream(here, agent=self.new_id("a"), calls=True))
        if knobs.proxy and self.hits(knobs.side):
            streams.append(self.stream("", agent="side"))
        self._happen(streams)
        if knobs.proxy and self.hits(knobs.errors):
            self._say("error", {"error": {"type": "overloaded_error"}}, here)
        for event in [event for stream in streams for event in stream]:
            block = event.payload.get("content_block", {})
            if block.get("type") == "tool_use" and self.hits(0.7):
                self._result(block["id"], here, event.agent)
        if goes_on and self._has_rounds() and self.hits(knobs.queued):
            self._prompt(here)

    def _result(self, tool_use_id: str, round_id: str, agent: str | None) -> None:
        for _ in range(1 + self.hits(self.knobs.second_results)):
            parts = list(self.rng.choices(_PARTS, k=self.rng.randint(0, 3)))
            content = self.rng.choice((self.text(), parts, None))
            more = self.rng.choice(({}, {"is_error": True}, {"is_error": False}))
            bare = {"tool_use_id": tool_use_id, "content": content, **more}
            whole = tool_result(tool_use_id, content, **more)
            if content is None and self.hits(0.5):
                del bare["content"]
            self._say("tool_result", bare if self.knobs.proxy else whole, round_id, agent)
