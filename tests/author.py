"""What a made-up session says: its streams, blocks and texts."""

import random
from dataclasses import dataclass

from tests.wire import Form, Payload, encoded, message

_WORDS = (
    *("fix ", "the\n", "test ", "", '"quoted" ', "\\n ", "đây ", "日本 ", "🎉", "data: "),
    *("\t\x1b[1m", '{"event":"claude.', "\u2028", "~ ", "\x00", "0123456789" * 9),
)


@dataclass(frozen=True)
class Knobs:
    """How a log is made; each float is a chance from 0 to 1."""

    sessions: int = 2
    first: int = 0  # the number of the first session: all ids come from it
    rounds: int = 3
    proxy: bool = False  # written by the recording proxy, else by the patched client
    form: Form = "current"
    duplicates: float = 0.0  # a line again, sometimes with another local time
    repeated_starts: float = 0.0
    misattributed: float = 0.0  # a second stream takes over the flow id
    spliced: float = 0.0  # another message on an open request
    missing_starts: float = 0.0
    scrambled: float = 0.0
    restarts: float = 0.0  # the counter goes back
    lag: float = 0.0  # prompts written with the round before
    absent_rounds: float = 0.0
    absent_starts: float = 0.0  # a message_start without its round
    absent_prompts: float = 0.0
    queued: float = 0.0  # several prompts in a round, prompts typed while one runs
    unanswered: float = 0.0
    warm_up: float = 0.0
    subagents: float = 0.0
    side: float = 0.0
    missing_stops: float = 0.0
    missing_block_stops: float = 0.0
    missing_message_stops: float = 0.0
    cut: float = 0.0  # a stream ends anywhere
    errors: float = 0.0
    whole_messages: float = 0.0
    second_results: float = 0.0
    resumes: float = 0.0
    ends: float = 0.0
    surrogates: float = 0.0
    unknown: float = 0.0
    glued: float = 0.0
    torn: float = 0.0
    noise: float = 0.0
    bad_sids: float = 0.0
    bad_bytes: float = 0.0


@dataclass
class Event:
    name: str
    payload: Payload
    ms: int = 0
    flow: str = ""  # of its own stream; "" for what no stream says
    round_id: str | None = None
    agent: str | None = None
    pid: int = 0

    @property
    def request(self) -> str | None:
        return self.payload.get("request_id")


@dataclass
class Author:
    """Makes up what is said; its ids come from its number."""

    rng: random.Random
    knobs: Knobs
    number: int
    made: int = 0

    def hits(self, chance: float) -> bool:
        return self.rng.random() < chance

    def new_id(self, kind: str) -> str:
        self.made += 1
        return f"{kind}_{self.number}x{self.made}"

    def text(self) -> str:
        text = "".join(self.rng.choices(_WORDS, k=self.rng.randint(0, 4)))
        return text + ("\ud83d" if self.hits(self.knobs.surrogates) else "")

    def stream(self, round_id: str, agent: str | None = None, calls: bool = False) -> list[Event]:
        flow, request = self.new_id("msg"), self.new_id("req")
        if self.knobs.proxy and self.hits(self.knobs.whole_messages):
            return [Event("message", self._whole(flow, request), 0, flow, round_id, agent)]
        said: list[tuple[str, Payload]] = [("message_start", self._start(flow))]
        for index in range(self.rng.randint(1, 3)):
            said += self._block(index, calls and index > 0)
            if self.knobs.proxy and index == 0:
                said.insert(2, ("ping", {}))
        ends: Payload = {"stop_reason": self.rng.choice(("end_turn", "tool_use", None))}
        usage = {"output_tokens": self.rng.randint(2, 99), "input_tokens": self.rng.randint(0, 9)}
        said.append(("message_delta", {"delta": ends, "usage": usage}))
        if not self.hits(self.knobs.missing_message_stops):
            said.append(("message_stop", {}))
        if self.hits(self.knobs.cut):
            said = said[: self.rng.randint(1, len(said))]
        if self.knobs.proxy and self.hits(self.knobs.errors):
            failure = {"error": {"type": "overloaded_error", "message": "Overloaded"}}
            said = [*said[: self.rng.randint(1, len(said))], ("error", failure)]
        if self.hits(self.knobs.spliced):
            return self._spliced(said, flow, request, round_id, agent)
        return [Event(n, {**p, "request_id": request}, 0, flow, round_id, agent) for n, p in said]

    def _start(self, flow: str) -> Payload:
        said = self.rng.randint(0, 9)
        usage = {"input_tokens": said, "output_tokens": 1, "cache_read_input_tokens": 7}
        return {"message": message(flow) | {"usage": usage}}

    def _spliced(
        self,
        said: list[tuple[str, Payload]],
        flow: str,
        request: str,
        round_id: str,
        agent: str | None,
    ) -> list[Event]:
        """A stream in which a second message starts without an end of the first."""
        where, other = self.rng.randint(1, len(said)), self.new_id("msg")
        both = [
            *[(flow, *one) for one in said[:where]],
            (other, "message_start", self._start(other)),
        ]
        both += [(other, name, self._renamed(payload)) for name, payload in said[1:]]
        return [Event(n, {**p, "request_id": request}, 0, f, round_id, agent) for f, n, p in both]

    def _renamed(self, payload: Payload) -> Payload:
        """The same with a call id of its own."""
        block: Payload = payload.get("content_block", {})
        if "id" not in block:
            return payload
        return {**payload, "content_block": {**block, "id": self.new_id("toolu")}}

    def _whole(self, flow: str, request: str) -> Payload:
        call = {
            "type": "tool_use",
            "id": self.new_id("toolu"),
            "name": "Read",
            "input": {"é": [1, "x"]},
        }
        content: object = [{"type": "text", "text": self.text()}, call, {"type": "thinking"}]
        content = self.rng.choice((content, self.text()))
        body = {**message(flow, input_tokens=3, output_tokens=5), "content": content}
        body["stop_reason"] = "end_turn"
        if self.hits(0.5):
            return {"message": body, "request_id": request}
        return {**body, "type": "message", "request_id": request}

    def _block(self, index: int, is_call: bool) -> list[tuple[str, Payload]]:
        kind = "tool_use" if is_call else self.rng.choice(("text", "thinking", "text", "other"))
        block, deltas = self._content(kind)
        said = [("content_block_start", {"index": index, "content_block": block})]
        for delta in deltas:
            said.append(("content_block_delta", {"index": index, "delta": delta}))
        if not self.hits(self.knobs.missing_block_stops):
            said.append(("content_block_stop", {"index": index}))
        return said

    def _content(self, kind: str) -> tuple[Payload, list[Payload]]:
        texts = [self.text() for _ in range(self.rng.randint(0, 6))]
        if kind == "text":
            block: Payload = {"type": kind, "text": self.rng.choice(("", "", "a ", "\ud83d"))}
            if not self.knobs.surrogates:
                block["text"] = block["text"].replace("\ud83d", "")
            extra = [{"type": "citations_delta", "citation": {"cited_text": "x"}}]
            return block, [{"type": "text_delta", "text": text} for text in texts] + extra
        if kind == "thinking":
            found = [{"type": "thinking_delta", "thinking": text} for text in texts]
            return {"type": kind, "thinking": "", "signature": ""}, [
                *found,
                {"type": "signature_delta", "signature": "c2ln"},
            ]
        if kind == "tool_use":
            given = self.rng.choice(({}, {}, {"command": "ls", "n": [1, {"é": None}]}))
            pieces = ["", *texts] if not given else []
            pieces = [encoded(piece)[1:-1] for piece in pieces]
            return {"type": kind, "id": self.new_id("toolu"), "name": "Bash", "input": given}, [
                {"type": "input_json_delta", "partial_json": piece} for piece in pieces
            ]
        return self._rare()

    def _rare(self) -> tuple[Payload, list[Payload]]:
        found: list[tuple[Payload, list[Payload]]] = [
            ({"type": "redacted_thinking", "data": "ZW5j"}, []),
            ({"type": "container_upload", "file_id": "f"}, []),
            (
                {"type": "compaction", "content": None},
                [{"type": "compaction_delta", "content": "S"}],
            ),
            (
                {"type": "web_search_tool_result", "tool_use_id": "srv", "content": [{"url": "u"}]},
                [],
            ),
        ]
        return self.rng.choice(found)
