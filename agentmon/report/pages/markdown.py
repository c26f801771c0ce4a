"""The same as Markdown. Texts stand in fences longer than any run of backticks in them, names in
code spans: so nothing that agents said is ever read as Markdown or HTML."""

import re
from collections.abc import Iterable, Iterator
from typing import Any

from agentmon.core.text import one_line
from agentmon.report.pages import said
from agentmon.report.pages.shape import agents_of

Object = dict[str, Any]

_RUNS = re.compile(r"`+")


def fenced(text: str) -> str:
    """A text in a fence that it cannot close."""
    text = said.harmless(text)
    longest = max((len(run) for run in _RUNS.findall(text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}text\n{text}\n{fence}\n"


def code(text: object) -> str:
    """A short text as a code span that it cannot leave."""
    line = one_line(str(text), 200)
    longest = max((len(run) for run in _RUNS.findall(line)), default=0)
    ticks = "`" * (longest + 1)
    return (
        f"{ticks} {line} {ticks}"
        if line.strip("` ") != line or not line
        else f"{ticks}{line}{ticks}"
    )


def pieces(head: Object, rounds: Iterable[Object]) -> Iterator[str]:
    """The document, piece by piece, as the rounds come."""
    yield f"# {code(said.title(head))}\n\n"
    yield "".join(f"- {name}: {code(text)}\n" for name, text in said.facts(head).items()) + "\n"
    for round_ in rounds:
        yield from _round(round_)


def _round(round_: Object) -> Iterator[str]:
    errors = f", {said.errors(round_)}" if round_["errors"] else ""
    yield (
        f"## Round {round_['round_number']} {code(round_['round_id'])}\n\n"
        f"{said.moment(round_['start_time'])}, {said.duration(round_['duration_ms'])}, "
        f"{said.state(round_)}, tokens {said.usage(round_['tokens'])}{errors}\n\n"
    )
    for prompt in round_["prompts"]:
        queued = " (queued)" if prompt["is_queued"] else ""
        yield f"**Prompt**{queued}, {said.moment(prompt['time'])}\n\n" + _text(prompt)
    for agent in agents_of(round_):
        yield from _agent(agent, 3)


def _agent(agent: Object, depth: int) -> Iterator[str]:
    mark = "#" * min(depth, 6)
    if agent["agent_id"] is not None:
        about = f" {code(agent['description'])}" if agent["description"] else ""
        status = f", {code(agent['status'])}" if agent["status"] else ""
        who = f"{code(agent['name'])}{about} ({code(agent['agent_id'])})"
        yield f"{mark} Subagent {who}{status}\n\n"
    yield _waits(agent["waits"])
    for message in agent["messages"]:
        yield from _message(message, depth)
    if agent["agent_id"] is not None:
        yield f"(end of subagent {code(agent['name'])})\n\n"


def _message(message: Object, depth: int) -> Iterator[str]:
    first = message["first_chunk_ms"]
    chunk = f", first chunk after {said.duration(first)}" if first is not None else ""
    stop = code(message["stop_reason"] or said.UNKNOWN)
    yield (
        f"{'#' * min(depth + 1, 6)} Message {code(message['model'] or said.UNKNOWN)} "
        f"({code(message['flow_id'])})\n\n"
        f"{said.moment(message['start_time'])}, {said.duration(message['duration_ms'])}{chunk}, "
        f"stop {stop}, {said.usage(message['tokens'])}\n\n"
    )
    if message["error"]:
        yield f"**Error:** {code(message['error'])}\n\n"
    yield _waits(message["waits"])
    for block in message["blocks"]:
        yield from _block(block, depth)


def _block(block: Object, depth: int) -> Iterator[str]:
    if block["call"] is not None:
        yield from _call(block, block["call"], depth)
    elif block["block_type"] == "text":
        yield _text(block)
    elif block["text"] is not None:
        yield f"<details><summary>{_plain(block['block_type'])}</summary>\n\n"
        yield _text(block) + "</details>\n\n"


def _plain(kind: str | None) -> str:
    """A kind of block among tags: letters only."""
    return re.sub(r"[^A-Za-z0-9_]", "", kind or "") or "block"


def _call(block: Object, call: Object, depth: int) -> Iterator[str]:
    yield (
        f"**Call** {code(call['tool_name'] or 'tool')} ({code(call['tool_use_id'])}): "
        f"{said.outcome(call)}, {said.duration(call['duration_ms'])}\n\n"
        + _waits(call["waits"])
        + _text(block)
    )
    if call["result"] is not None:
        yield f"Result, {said.result_size(call)}:\n\n"
        yield _text({"text": call["result"], "is_cut": call["is_result_cut"]})
    for agent in call["agents"]:
        yield from _agent(agent, depth + 1)


def _waits(waits: Iterable[Object]) -> str:
    return "".join(f"- waited: {code(said.wait(wait))}\n" for wait in waits) + "\n" * bool(waits)


def _text(found: Object) -> str:
    if found["text"] is None:
        return ""
    cut = "… the rest is too long for this file\n\n" if found["is_cut"] else ""
    return fenced(found["text"]) + "\n" + cut
