"""A round or a session as plain values: what `export --format json` prints and the pages show.

Text has gone through the redactor here, once for every format. Fields are always there, null where
unknown or not asked for. Times are epoch seconds, durations whole milliseconds.

    head    kind ("round" | "session"), agentmon, redaction, content, session
    session sid, agent, name, pid, cwd, version, model, start_time, end_time, end_reason, tokens
    round   sid, round_id, round_number, start_time, end_time, duration_ms, is_complete, is_aborted,
            orphaned_at, errors, tokens, prompts, agent, loose_agents
    prompt  time, is_queued, text, is_cut
    agent   agent_id, name, description, status, start_time, end_time, waits, messages
    message flow_id, request_id, model, stop_reason, asked_time, start_time, end_time, duration_ms,
            first_chunk_ms, is_complete, error, tokens, waits, blocks
    block   index, block_type, total_bytes, text, is_cut, call
    call    tool_use_id, tool_name, called_time, result_time, duration_ms, is_error, result,
            result_bytes, is_result_cut, waits, agents
    wait    kind (permission | stalled | overdue), start_time, end_time, duration_ms, subject

`tokens` are input, output, cache_read, cache_write; `is_cut` says that a text was too long for a
file. `agents` are the subagents that a call started, `loose_agents` those whose call is elsewhere.
"""

from collections.abc import Callable, Collection, Iterator
from typing import Any, Literal

from agentmon import __version__
from agentmon.core.redact import Redactor
from agentmon.report.dump import milliseconds
from agentmon.report.roundtree import AgentPart, BlockPart, MessagePart, RoundTree, Wait
from agentmon.report.texts import TextReader
from agentmon.store import read

Object = dict[str, Any]

Content = Literal["prompts", "text", "thinking", "inputs", "results"]
CONTENT: tuple[Content, ...] = ("prompts", "text", "thinking", "inputs", "results")

LIMIT = 262_144
"""Characters of one text that go into a file."""

SLACK = 4_096
"""Characters read beyond it, so that a secret at the cut is recognised before it is cut."""


class Shape:
    """Makes the values. `redact` None: nothing is redacted."""

    def __init__(
        self,
        reader: TextReader,
        content: Collection[Content] = CONTENT,
        redact: Redactor | None = None,
    ) -> None:
        self._reader = reader
        self._content = content
        self._redaction = redact.says if redact is not None else None
        self._redact: Callable[[str], str] = redact or str

    def head(self, kind: str, session: read.SessionRow, name: str) -> Object:
        """Everything but the rounds."""
        return {
            "kind": kind,
            "agentmon": __version__,
            "redaction": self._redaction,
            "content": [part for part in CONTENT if part in self._content],
            "session": {
                "sid": session.sid,
                "agent": session.agent,
                "name": self._told(name),
                "pid": session.pid,
                "cwd": self._told(session.cwd),
                "version": session.version,
                "model": session.model,
                "start_time": session.first_time,
                "end_time": session.end_time,
                "end_reason": session.end_reason,
                "tokens": {
                    "input": session.input_tokens,
                    "output": session.output_tokens,
                    "cache_read": session.cache_read_tokens,
                    "cache_write": session.cache_write_tokens,
                },
            },
        }

    def round(self, tree: RoundTree) -> Object:
        row, end = tree.row, tree.end
        return {
            "sid": row.sid,
            "round_id": row.round_id,
            "round_number": row.round_number,
            "start_time": row.start_time,
            "end_time": row.end_time,
            "duration_ms": milliseconds(row.start_time, end),
            "is_complete": row.is_complete,
            "is_aborted": row.is_aborted,
            "orphaned_at": row.orphaned_at,
            "errors": sum(_errors(message) for message in tree.messages()),
            "tokens": {
                name.removesuffix("_tokens"): value for name, value in tree.tokens().items()
            },
            "prompts": [
                {
                    "time": prompt.time,
                    "is_queued": prompt.is_queued,
                    **self._text("prompts", prompt.text),
                }
                for prompt in tree.prompts
            ],
            "agent": self._agent(tree.main),
            "loose_agents": [self._agent(agent) for agent in tree.loose],
        }

    def _agent(self, agent: AgentPart) -> Object:
        row = agent.row
        return {
            "agent_id": agent.agent_id or None,
            "name": self._told(agent.name),
            "description": self._about(row.description if row is not None else None),
            "status": row.status if row is not None else None,
            "start_time": agent.start,
            "end_time": agent.end,
            "waits": _waits(agent.waits),
            "messages": [self._message(message) for message in agent.messages],
        }

    def _message(self, message: MessagePart) -> Object:
        row, first = message.row, message.first_chunk
        return {
            "flow_id": row.flow_id,
            "request_id": row.request_id,
            "model": row.model,
            "stop_reason": row.stop_reason,
            "asked_time": message.asked,
            "start_time": row.start_time,
            "end_time": row.end_time,
            "duration_ms": milliseconds(message.start, row.end_time),
            "first_chunk_ms": None if first is None else round(first * 1000),
            "is_complete": row.is_complete,
            "error": self._told(row.error),
            "tokens": {
                "input": row.input_tokens,
                "output": row.output_tokens,
                "cache_read": row.cache_read_tokens,
                "cache_write": row.cache_write_tokens,
            },
            "waits": _waits(message.waits),
            "blocks": [self._block(block) for block in message.blocks],
        }

    def _block(self, block: BlockPart) -> Object:
        row = block.row
        part: Content = "inputs" if block.is_call else "text"
        part = "thinking" if row.block_type in ("thinking", "redacted_thinking") else part
        return {
            "index": row.index,
            "block_type": row.block_type,
            "total_bytes": row.total_bytes,
            **self._text(part, lambda: self._reader.block(row, LIMIT + SLACK)),
            "call": self._call(block) if block.is_call else None,
        }

    def _call(self, block: BlockPart) -> Object:
        row, call = block.row, block.row.tool_use_id or ""
        result = self._text("results", lambda: self._reader.result(call, LIMIT + SLACK))
        return {
            "tool_use_id": call,
            "tool_name": row.tool_name,
            "called_time": row.complete_time,
            "result_time": row.result_time,
            "duration_ms": _never_below_zero(milliseconds(row.complete_time, row.result_time)),
            "is_error": row.result_is_error,
            "result": result["text"],
            "result_bytes": self._reader.result_bytes(call),
            "is_result_cut": result["is_cut"],
            "waits": _waits(block.waits),
            "agents": [self._agent(agent) for agent in block.agents],
        }

    def _text(self, part: Content, text: str | Callable[[], str | None]) -> Object:
        """A text as `text` and `is_cut`; redacted first, then cut: half a secret has no shape."""
        if part not in self._content:
            return {"text": None, "is_cut": False}
        found = text if isinstance(text, str) else text()
        if found is None:
            return {"text": None, "is_cut": False}
        is_cut = len(found) > LIMIT
        return {
            "text": self._redact(found)[:LIMIT] if is_cut else self._redact(found),
            "is_cut": is_cut,
        }

    def _about(self, text: str | None) -> str | None:
        """What a subagent is for: words of the call's input, or all of it."""
        return self._told(text) if "inputs" in self._content else None

    def _told(self, text: str | None) -> str | None:
        return None if text is None else self._redact(text)


def _waits(waits: list[Wait]) -> list[Object]:
    return [
        {
            "kind": wait.kind,
            "start_time": wait.start,
            "end_time": wait.end,
            "duration_ms": milliseconds(wait.start, wait.end),
            "subject": wait.subject,
        }
        for wait in waits
    ]


def _errors(message: MessagePart) -> int:
    """A broken message and failed calls, as everywhere."""
    failed = sum(block.row.result_is_error is True for block in message.blocks)
    return failed + (message.row.error is not None)


def _never_below_zero(value: int | None) -> int | None:
    return None if value is None else max(0, value)


def agents_of(round_: Object) -> Iterator[Object]:
    """The agents of a round as values: the main one, then those whose call is elsewhere."""
    yield round_["agent"]
    yield from round_["loose_agents"]
