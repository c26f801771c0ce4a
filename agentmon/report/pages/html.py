"""One static page: no script, no request to anywhere, everything that agents said escaped.

The policy in its head lets nothing load, not even from itself, but the one style whose hash it
names. Control characters and reordering marks are shown as signs.
"""

import base64
from collections.abc import Iterable, Iterator
from hashlib import sha256
from html import escape
from typing import Any

from agentmon.report.pages import said
from agentmon.report.pages.shape import agents_of

Object = dict[str, Any]

STYLE = """
:root { color-scheme: light dark; --line: #8884; --dim: #777; --bad: #c33; --wait: #b70; }
body { font: 15px/1.45 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto;
  padding: 0 1rem; }
h1 { font-size: 1.3rem; } h2 { font-size: 1.1rem; border-top: 1px solid var(--line);
  padding-top: 1rem; margin-top: 2rem; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; margin: .3rem 0; padding: .5rem .7rem;
  border: 1px solid var(--line); border-radius: 4px; font: 13px/1.4 ui-monospace, monospace;
  max-height: 32rem; overflow: auto; }
.dim { color: var(--dim); } .bad { color: var(--bad); font-weight: 600; }
.wait { color: var(--wait); }
.prompt { border-left: 3px solid #48f; } .message, .agent { border-left: 2px solid var(--line);
  padding-left: .8rem; margin: .8rem 0; }
.agent { border-left: 3px solid #3a7; } summary { cursor: pointer; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .1rem 1rem; } dd { margin: 0; }
svg { width: 100%; height: 6px; display: block; background: var(--line); }
rect { fill: #48f; } rect.tool { fill: #3a7; } rect.failed { fill: var(--bad); }
"""


def policy(style: str) -> str:
    """What a page may load: one style, and nothing from anywhere."""
    digest = base64.b64encode(sha256(style.encode()).digest()).decode()
    return f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"


def pieces(head: Object, rounds: Iterable[Object]) -> Iterator[str]:
    """The page, piece by piece, as the rounds come."""
    yield top(said.title(head), STYLE)
    yield facts(head)
    for round_ in rounds:
        yield from _round(round_)
    yield "</body>\n</html>\n"


def text(text: object) -> str:
    """Any text, harmless between tags and in attributes."""
    return escape(said.harmless(str(text)), quote=True)


_t = text


def top(title: str, style: str) -> str:
    """Everything up to the heading of the page."""
    return (
        "<!DOCTYPE html>\n<html lang=en>\n<head>\n<meta charset=utf-8>\n"
        f'<meta http-equiv="Content-Security-Policy" content="{policy(style)}">\n'
        '<meta name=viewport content="width=device-width, initial-scale=1">\n'
        '<meta name=referrer content="no-referrer">\n'
        f"<title>{_t(title)}</title>\n<style>{style}</style>\n</head>\n<body>\n"
        f"<h1>{_t(title)}</h1>\n"
    )


def facts(head: Object) -> str:
    """What is known of a session, by name."""
    rows = "".join(
        f"<dt class=dim>{_t(name)}</dt><dd>{_t(text)}</dd>"
        for name, text in said.facts(head).items()
    )
    return f"<dl>{rows}</dl>\n"


def closed_round(round_: Object, anchor: str) -> Iterator[str]:
    """A round that shows what it is of until it is opened."""
    prompt = next((one["text"] or "" for one in round_["prompts"]), "")
    bad = f" <span class=bad>{_t(said.errors(round_))}</span>" if round_["errors"] else ""
    yield (
        f"<details class=round><summary>#{_t(round_['round_number'])} "
        f"{_t(said.duration(round_['duration_ms']))}{bad} "
        f"<span class=dim>{_t(said.state(round_))}</span> {_t(prompt[:160])}</summary>\n"
        f'<a id="{anchor}"></a>'  # within: a browser that is led there opens it
    )
    yield from _round(round_)
    yield "</details>\n"


def _round(round_: Object) -> Iterator[str]:
    errors = f", <span class=bad>{said.errors(round_)}</span>" if round_["errors"] else ""
    yield (
        f"<h2>Round {_t(round_['round_number'])} "
        f"<span class=dim>{_t(round_['round_id'])}</span></h2>\n"
        f"<p>{_t(said.moment(round_['start_time']))}, {_t(said.duration(round_['duration_ms']))}, "
        f"{_t(said.state(round_))}, tokens {_t(said.usage(round_['tokens']))}{errors}</p>\n"
    )
    for prompt in round_["prompts"]:
        queued = " (queued)" if prompt["is_queued"] else ""
        yield f"<p class=dim>prompt{queued}, {_t(said.moment(prompt['time']))}</p>\n"
        yield _pre(prompt, "prompt")
    span = _Span(round_)
    for agent in agents_of(round_):
        yield from _agent(agent, span)


class _Span:
    """The time of a round, for the bars."""

    def __init__(self, round_: Object) -> None:
        self.start: float = round_["start_time"] or 0.0
        self.length = (round_["duration_ms"] or 0) / 1000

    def bar(self, start: float | None, end: float | None, kind: str) -> str:
        if self.length <= 0 or start is None or end is None:
            return ""
        left = min(max((start - self.start) / self.length * 1000, 0.0), 999.0)
        width = min(max((end - start) / self.length * 1000, 1.0), 1000.0 - left)
        return (
            '<svg viewBox="0 0 1000 1" preserveAspectRatio="none" role=presentation>'
            f'<rect class="{kind}" x="{left:.1f}" width="{width:.1f}" height="1"/></svg>\n'
        )


def _agent(agent: Object, span: _Span) -> Iterator[str]:
    is_sub = agent["agent_id"] is not None
    if is_sub:
        about = f": {_t(agent['description'])}" if agent["description"] else ""
        status = f", {_t(agent['status'])}" if agent["status"] else ""
        yield (
            f"<details class=agent open><summary>subagent <b>{_t(agent['name'])}</b>{about} "
            f"<span class=dim>{_t(agent['agent_id'])}{status}</span></summary>\n"
        )
    yield _waits(agent["waits"])
    for message in agent["messages"]:
        yield from _message(message, span)
    if is_sub:
        yield "</details>\n"


def _message(message: Object, span: _Span) -> Iterator[str]:
    first = message["first_chunk_ms"]
    chunk = f", first chunk after {_t(said.duration(first))}" if first is not None else ""
    start = message["asked_time"] or message["start_time"]
    yield (
        f"<div class=message>\n<p><b>{_t(message['model'] or 'message')}</b> "
        f"<span class=dim>{_t(message['flow_id'])}</span><br>"
        f"{_t(said.moment(message['start_time']))}, {_t(said.duration(message['duration_ms']))}"
        f"{chunk}, stop {_t(message['stop_reason'] or said.UNKNOWN)}, "
        f"{_t(said.usage(message['tokens']))}</p>\n" + span.bar(start, message["end_time"], "chat")
    )
    if message["error"]:
        yield f"<p class=bad>error: {_t(message['error'])}</p>\n"
    yield _waits(message["waits"])
    for block in message["blocks"]:
        yield from _block(block, span)
    yield "</div>\n"


def _block(block: Object, span: _Span) -> Iterator[str]:
    if block["call"] is not None:
        yield from _call(block, block["call"], span)
    elif block["block_type"] == "text":
        yield _pre(block, "text")
    else:
        about = f"{block['block_type'] or 'block'}, {said.size(block['total_bytes'])}"
        yield f"<details><summary class=dim>{_t(about)}</summary>\n"
        yield _pre(block, "thinking") + "</details>\n"


def _call(block: Object, call: Object, span: _Span) -> Iterator[str]:
    outcome = said.outcome(call)
    kind = "bad" if outcome == "error" else "dim"
    is_failed = call["is_error"] is True
    yield (
        f"<details{' open' if is_failed or call['agents'] else ''}><summary>⚙ "
        f"<b>{_t(call['tool_name'] or 'tool')}</b> <span class={kind}>{_t(outcome)}</span>, "
        f"{_t(said.duration(call['duration_ms']))} <span class=dim>{_t(call['tool_use_id'])}</span>"
        f"</summary>\n"
        + span.bar(call["called_time"], call["result_time"], "failed" if is_failed else "tool")
        + _waits(call["waits"])
        + f"<p class=dim>input, {_t(said.size(block['total_bytes']))}</p>\n"
        + _pre(block, "input")
    )
    if call["result_bytes"] is not None:
        yield f"<p class=dim>result, {_t(said.result_size(call))}</p>\n"
        yield _pre({"text": call["result"], "is_cut": call["is_result_cut"]}, "result")
    for agent in call["agents"]:
        yield from _agent(agent, span)
    yield "</details>\n"


def _waits(waits: Iterable[Object]) -> str:
    return "".join(f"<p class=wait>◆ {_t(said.wait(wait))}</p>\n" for wait in waits)


def _pre(found: Object, kind: str) -> str:
    """A text; nothing where it was left out."""
    if found["text"] is None:
        return ""
    cut = "<p class=dim>… the rest is too long for this file</p>\n" if found["is_cut"] else ""
    # a first line feed in a pre is dropped: one more keeps the text's own
    return f'<pre class="{kind}">\n{_t(found["text"])}</pre>\n{cut}'
