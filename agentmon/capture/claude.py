"""Requests to the Anthropic Messages API, as Claude Code and others send them."""

import re
from collections.abc import Iterator, Sequence

from msgspec import Raw, Struct
from msgspec.json import Decoder

from agentmon.capture.asked import (
    SIDE,
    Asked,
    Came,
    Object,
    as_result,
    found_in,
    header,
    mapping,
    objects,
    read,
    session_in,
    texts,
    uuid_in,
    version_of,
    whole,
)

_ASIDES = (
    "CRITICAL: Respond with TEXT ONLY",
    "Your task is to create a detailed summary of the conversation",
    "[SUGGESTION MODE",
)
"""How the last text of a request begins that asks for a summary, or for what to type next."""

_WARM_UP = "Warmup"
"""The whole text of a request that only fills a cache."""

INTERRUPTED = "[Request interrupted"

_MADE_UP = re.compile(
    r"\s*(?:<(?:system-reminder|task-notification|local-command-|command-(?:name|message|args)"
    r"|bash-(?:input|stdout|stderr)|user-memory-input|ide_opened_file|ide_selection)"
    r"|\[SYSTEM NOTIFICATION|\[Request interrupted|Stop hook feedback:"
    r"|Your response above was cut off mid-stream|Output token limit hit"
    r"|This session is being continued|Caveat: The messages below were generated)"
)
"""User-role text that nobody typed, by its first words."""

_ADDED = re.compile(
    r"\n(?:Your response above was cut off mid-stream|Output token limit hit|\[Request interrupted"
    r"|<system-reminder>)"
)
"""What a client puts behind a typed text, into the same block."""

_QUEUED = re.compile(
    r"(?:<system-reminder>\s*)?The user sent (?:a new|the following) message"
    r"(?: while you were working)?:\n([\s\S]+?)\n\n(?:IMPORTANT|Please address)"
)
"""How a client hands on what was typed while tools ran."""

_COMMAND = re.compile(
    r"\s*<command-message>[^<]*</command-message>\s*<command-name>([^<]+)</command-name>"
    r"(?:\s*<command-args>([^<]*)</command-args>)?"
)
"""A command of the user's own; the text that it stands for comes next. Commands of the client
itself name themselves first, and ask nothing of the model."""

_CWD = re.compile(r"Primary working directory: ([^\n]+)")


class _Body(Struct):
    """Of a request only what is needed: a history may be megabytes long."""

    messages: list[Object]
    metadata: Object | None = None
    tools: list[Raw] | None = None


_decode = Decoder(_Body).decode


def asked(headers: Sequence[tuple[str, str]], body: bytes) -> Asked:
    """What a request to `/v1/messages` tells. Never raises."""
    messages, metadata, has_tools = _parts(headers, body)
    version, is_client = version_of(headers, "claude-cli")
    user = metadata.get("user_id")
    named = mapping(read(user)) if isinstance(user, str) and user.startswith("{") else {}
    sid = (
        uuid_in(header(headers, "x-claude-code-session-id"))
        or uuid_in(named.get("session_id"))
        or session_in(user)
    )
    agent = header(headers, "x-claude-code-agent-id")[:200]
    is_side = is_client and not agent and (not has_tools or _is_aside(messages))
    return Asked(
        product="claude",
        sid=sid,
        agent=SIDE if is_side else agent,
        version=version,
        cwd=found_in(messages, "system", _CWD),
        is_client=is_client,
        came=[] if is_side else list(_came(messages)),
    )


def _parts(headers: Sequence[tuple[str, str]], body: bytes) -> tuple[list[Object], Object, bool]:
    """(messages, metadata, whether there are tools)."""
    if not header(headers, "content-encoding"):
        try:
            found = _decode(body)
        except (ValueError, RecursionError):
            pass
        else:
            return found.messages, found.metadata or {}, bool(found.tools)
    row = mapping(whole(headers, body))
    return objects(row.get("messages")), mapping(row.get("metadata")), bool(row.get("tools"))


def _is_aside(messages: list[Object]) -> bool:
    said_last = (one for one in reversed(messages) if one.get("role") != "system")
    last = next(said_last, Object())
    said = texts(last) if last.get("role") == "user" else []
    return bool(said) and (said[-1].lstrip().startswith(_ASIDES) or said[-1].strip() == _WARM_UP)


def _came(messages: list[Object]) -> Iterator[Came]:
    turn = 0
    for message in messages:
        turn += 1
        role, content = message.get("role"), message.get("content")
        if role == "assistant":
            yield Came("reply")
        elif role in ("user", "system"):
            whole = [{"type": "text", "text": content}] if isinstance(content, str) else content
            for one in _of_parts(objects(whole), is_typed=role == "user"):
                one.turn = turn
                yield one
                turn += one.what == "interrupt"


def _of_parts(parts: list[Object], *, is_typed: bool) -> Iterator[Came]:
    stands_for = False
    for part in parts:
        call, text = part.get("tool_use_id"), part.get("text")
        if part.get("type") == "tool_result" and isinstance(call, str) and call:
            more = {"is_error": part["is_error"]} if "is_error" in part else {}
            yield as_result(call, part.get("content"), more)
        elif part.get("type") != "text" or not isinstance(text, str) or not text:
            continue
        elif queued := _QUEUED.match(text):
            yield Came("prompt", queued[1])
        elif is_typed and (command := _COMMAND.match(text)):
            stands_for = True
            yield Came("prompt", f"{command[1]} {command[2] or ''}".strip())
        elif is_typed and _MADE_UP.match(text) is None:
            if not stands_for:
                added = _ADDED.search(text)
                yield Came("prompt", text if added is None else text[: added.start()].rstrip("\n"))
            stands_for = False
        elif is_typed and text.lstrip().startswith(INTERRUPTED):
            yield Came("interrupt")
