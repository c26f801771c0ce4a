"""A round as spans, pure: names, ids, times, attributes, and what each adds to the metrics.

    invoke_agent {agent}                    the round
      chat {model}                          a message, from its request to its stop
        stalled                             a stall in it
      execute_tool {name}                   a call, from its completion to its result
        permission {name}                   a person was asked
        invoke_agent {kind}                 a subagent, below the call that started it

Ids come from the ids of the round, its messages and blocks alone: whoever exports a round, and
however often, gives its spans the same ones. A span whose end nobody knows yet is not there.
"""

from collections.abc import Iterator
from hashlib import blake2b

from msgspec import Struct, field

from agentmon.report.otel.names import INPUT_WITHOUT_CACHE, PROVIDERS, Names
from agentmon.report.otel.texts import Texts
from agentmon.report.roundtree import AgentPart, BlockPart, MessagePart, RoundTree, Wait

Value = str | int | float | bool | list[str]
Attributes = dict[str, Value]


class Measure(Struct, frozen=True):
    """A value for a metric; `name` is agentmon's own, whatever the conventions call it."""

    name: str
    value: float
    attributes: dict[str, str]


class Span(Struct):
    """A finished span. Times are epoch seconds."""

    trace_id: int
    span_id: int
    parent_id: int | None
    name: str
    start: float
    end: float
    attributes: Attributes
    is_client: bool = False
    error: str | None = None
    measures: list[Measure] = field(default_factory=list[Measure])


def id_of(size: int, *names: object) -> int:
    """An id of that many bytes, never 0."""
    text = "\0".join(map(str, names)).encode("utf-8", "replace")
    return int.from_bytes(blake2b(text, digest_size=size, person=b"agentmon otel").digest()) or 1


def trace_id_of(sid: str, round_id: str) -> int:
    return id_of(16, "round", sid, round_id)


class Spans:
    """Makes the spans of one round."""

    def __init__(self, tree: RoundTree, names: Names, texts: Texts) -> None:
        self._tree = tree
        self._names = names
        self._texts = texts
        self._sid = tree.session.sid
        self._trace = trace_id_of(self._sid, tree.row.round_id)
        self._is_lost = tree.is_over and not tree.row.is_complete
        product = tree.session.agent
        self._provider = PROVIDERS.get(product, product)
        self._root = id_of(8, "round", self._sid, tree.row.round_id)

    def all(self) -> Iterator[Span]:
        """Every finished span, parents first."""
        tree, end = self._tree, self._tree.end
        if end is not None:
            yield self._round(end)
        yield from self._agent(tree.main, self._root)
        for agent in tree.loose:
            yield from self._subagent(agent, self._root)

    # -- agents

    def _round(self, end: float) -> Span:
        row, main = self._tree.row, self._tree.main
        attributes = self._common("invoke_agent", main)
        attributes["agentmon.round.id"] = row.round_id
        attributes["agentmon.round.number"] = row.round_number
        if self._tree.prompts:
            attributes["agentmon.round.prompts"] = len(self._tree.prompts)
        self._set(attributes, self._names.prompts, self._texts.prompts(self._tree))
        self._set(attributes, self._names.answers, self._texts.answer(main))
        error = "aborted" if row.is_aborted else None
        error = "orphaned" if row.orphaned_at is not None and not row.is_complete else error
        span = self._span(self._root, None, main, attributes, self._tree.start, end, error)
        span.measures.append(self._measure("agent_duration", span, agent=main.name))
        return span

    def _span(
        self,
        span_id: int,
        parent: int | None,
        agent: AgentPart,
        attributes: Attributes,
        start: float,
        end: float,
        error: str | None,
    ) -> Span:
        name = f"invoke_agent {attributes['gen_ai.agent.name']}"
        if error is not None:
            attributes["error.type"] = error
        model = next((m.row.model for m in agent.messages if m.row.model is not None), None)
        self._set(attributes, "gen_ai.request.model", model)
        return Span(
            self._trace, span_id, parent, name, start, max(start, end), attributes, error=error
        )

    def _subagent(self, agent: AgentPart, parent: int) -> Iterator[Span]:
        span_id = id_of(8, "agent", self._sid, self._tree.row.round_id, agent.agent_id)
        start, end = agent.start, agent.end
        is_over = agent.is_over or self._is_lost
        if start is not None and end is not None and is_over:
            attributes = self._common("invoke_agent", agent)
            attributes["agentmon.subagent.id"] = agent.agent_id
            row = agent.row
            if row is not None:
                self._set(attributes, "gen_ai.agent.description", self._texts.told(row.description))
                self._set(attributes, "agentmon.subagent.call", row.parent_tool_use_id)
            self._set(attributes, self._names.answers, self._texts.answer(agent))
            failed = row is not None and row.status in ("failed", "stopped")
            error = row.status if failed and row is not None else None
            span = self._span(span_id, parent, agent, attributes, start, end, error)
            span.measures.append(self._measure("agent_duration", span, agent=agent.name))
            yield span
        yield from self._agent(agent, span_id)

    def _agent(self, agent: AgentPart, parent: int) -> Iterator[Span]:
        for message in agent.messages:
            yield from self._message(agent, message, parent)
        yield from self._waits(agent.waits, agent, parent)

    # -- messages and calls

    def _message(self, agent: AgentPart, message: MessagePart, parent: int) -> Iterator[Span]:
        span_id = id_of(8, "message", message.row.flow_id)
        if message.is_over:
            yield self._chat(agent, message, span_id, parent)
        yield from self._waits(message.waits, agent, span_id)
        for block in message.blocks:
            if block.is_call and block.row.complete_time is not None:
                yield from self._call(agent, block, parent)

    def _chat(self, agent: AgentPart, message: MessagePart, span_id: int, parent: int) -> Span:
        row, names = message.row, self._names
        attributes = self._common("chat", agent)
        self._set(attributes, "gen_ai.request.model", row.model)
        self._set(attributes, "gen_ai.response.model", row.model)
        attributes["gen_ai.response.id"] = row.flow_id
        self._set(attributes, "agentmon.request.id", row.request_id)
        if row.stop_reason is not None:
            attributes["gen_ai.response.finish_reasons"] = [row.stop_reason]
        if message.is_streamed:
            self._set(attributes, names.stream, True)
        self._set(attributes, names.first_chunk, message.first_chunk)
        read, written = row.cache_read_tokens, row.cache_write_tokens
        self._set(attributes, "gen_ai.usage.input_tokens", self._input_tokens(message))
        self._set(attributes, "gen_ai.usage.output_tokens", row.output_tokens)
        self._set(attributes, names.cache_read, read)
        self._set(attributes, names.cache_write, written)
        self._set(attributes, names.answers, self._texts.message(message))
        error = None if row.is_complete else _error_type(row.error)
        if error is not None:
            attributes["error.type"] = error
        name = f"chat {row.model}" if row.model else "chat"
        span = Span(
            self._trace, span_id, parent, name, message.start, message.end, attributes, True, error
        )
        span.measures += self._chat_measures(message, span)
        return span

    def _input_tokens(self, message: MessagePart) -> int | None:
        """All tokens of the prompt, those from the cache and for it too."""
        row = message.row
        if row.input_tokens is None or self._provider not in INPUT_WITHOUT_CACHE:
            return row.input_tokens
        return row.input_tokens + (row.cache_read_tokens or 0) + (row.cache_write_tokens or 0)

    def _chat_measures(self, message: MessagePart, span: Span) -> Iterator[Measure]:
        row, model = message.row, message.row.model or ""
        yield self._measure("inference_duration", span, model=model)
        values = {
            "first_chunk": message.first_chunk,
            "input_tokens": self._input_tokens(message),
            "output_tokens": row.output_tokens,
            "cache_read": row.cache_read_tokens,
            "cache_write": row.cache_write_tokens,
        }
        for name, value in values.items():
            if value is not None:
                yield self._measure(name, None, value, model=model)

    def _call(self, agent: AgentPart, block: BlockPart, parent: int) -> Iterator[Span]:
        row = block.row
        span_id = id_of(8, "block", row.flow_id, row.index)
        start, end = row.complete_time or 0.0, block.end
        error = "tool_error" if row.result_is_error else None
        if end is None and self._is_lost:
            end, error = max(start, self._tree.end or start), "no_result"
        if end is not None:
            name = row.tool_name or "tool"
            attributes = self._common("execute_tool", agent)
            attributes["gen_ai.tool.name"] = name
            attributes["gen_ai.tool.call.id"] = row.tool_use_id or ""
            attributes["gen_ai.tool.type"] = "function"
            attributes["agentmon.message.id"] = row.flow_id
            self._set(attributes, "gen_ai.tool.call.arguments", self._texts.arguments(block))
            self._set(attributes, "gen_ai.tool.call.result", self._texts.result(block))
            if row.result_time is None:
                attributes["agentmon.result"] = "unseen"
            if error is not None:
                attributes["error.type"] = error
            span = Span(
                self._trace, span_id, parent, f"execute_tool {name}", start, end, attributes,
                error=error,
            )  # fmt: skip
            span.measures.append(self._measure("tool_duration", span, tool=name))
            yield span
        yield from self._waits(block.waits, agent, span_id)
        for started in block.agents:
            yield from self._subagent(started, span_id)

    def _waits(self, waits: list[Wait], agent: AgentPart, parent: int) -> Iterator[Span]:
        for wait in waits:
            end = wait.end
            if end is None and self._tree.is_over:
                end = self._tree.end
            if end is None:
                continue
            span_id = id_of(8, "wait", parent, wait.kind, wait.start)
            name = f"{wait.kind} {wait.subject}" if wait.subject else wait.kind
            attributes: Attributes = {
                "gen_ai.conversation.id": self._sid,
                "gen_ai.agent.name": self._texts.told(agent.name) or "",
                "agentmon.wait": wait.kind,
            }
            self._set(attributes, "gen_ai.tool.name", wait.subject)
            span = Span(
                self._trace, span_id, parent, name, wait.start, max(wait.start, end), attributes
            )
            span.measures.append(self._measure("wait_duration", span, wait=wait.kind))
            yield span

    # -- parts of each

    def _common(self, operation: str, agent: AgentPart) -> Attributes:
        attributes: Attributes = {
            "gen_ai.operation.name": operation,
            self._names.provider: self._provider,
            "gen_ai.conversation.id": self._sid,
            "gen_ai.agent.name": self._texts.told(agent.name) or "",
        }
        if self._names.has_agent_id and agent.agent_id:
            attributes["gen_ai.agent.id"] = agent.agent_id
        return attributes

    def _set(self, attributes: Attributes, name: str | None, value: Value | None) -> None:
        if name is not None and value is not None:
            attributes[name] = value

    def _measure(
        self, name: str, span: Span | None, value: float | None = None, **attributes: str
    ) -> Measure:
        given = {"provider": self._provider, **attributes}
        if "agent" in given:
            given["agent"] = self._texts.told(given["agent"]) or ""
        if span is not None:
            value = round(span.end - span.start, 6)
            if span.error is not None:
                given["error"] = span.error
        return Measure(name, float(value or 0), {key: text for key, text in given.items() if text})


def _error_type(error: str | None) -> str:
    """The kind of an error, as far as its first word is one: few different values."""
    word = (error or "").strip().partition(" ")[0].rstrip(":,.")
    is_name = word.isascii() and word.replace("_", "").replace(".", "").isalnum()
    return word[:60] if word and is_name else "_OTHER"
