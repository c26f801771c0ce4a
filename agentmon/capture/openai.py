"""Requests to the OpenAI Responses API, as Codex and others send them."""

import re
from collections.abc import Iterator, Sequence

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
    text_of,
    texts,
    uuid_in,
    version_of,
    whole,
)

_MADE_UP = re.compile(
    r"\s*(?:<(?:environment_context|user_instructions|permissions|turn_aborted|skill"
    r"|subagent_notification|user_shell_command|INSTRUCTIONS)\b|# AGENTS\.md instructions"
    r"|Another language model started to solve this problem)"
)
"""User-role text that nobody typed (formats.md D.5)."""

_CWD = re.compile(r"<environment_context>\s*<cwd>([^<\n]+)</cwd>")
INTERRUPTED = "<turn_aborted>"
_OUTPUTS = frozenset({"function_call_output", "custom_tool_call_output", "local_shell_call_output"})
_REPLIES = frozenset({"reasoning", "function_call", "custom_tool_call", "local_shell_call"})
_ROOT = "/root"


def asked(headers: Sequence[tuple[str, str]], body: bytes) -> Asked:
    """What a request to `/v1/responses` tells. Never raises."""
    row = mapping(whole(headers, body))
    told = mapping(read(header(headers, "x-codex-turn-metadata") or "null"))
    version, is_client = version_of(
        headers, "codex_exec", "codex-tui", "codex_cli_rs", "codex_vscode", "codex"
    )
    sid = uuid_in(told.get("session_id")) or uuid_in(header(headers, "session-id"))
    agent = _agent(headers, told)
    given = row.get("input")
    items = [{"role": "user", "content": given}] if isinstance(given, str) else objects(given)
    return Asked(
        product="codex",
        sid=sid,
        agent=agent,
        version=version,
        cwd=found_in(items, "user", _CWD),
        is_client=is_client,
        is_whole=not row.get("previous_response_id"),
        came=[] if agent == SIDE else list(_came(items)),
    )


def _agent(headers: Sequence[tuple[str, str]], told: Object) -> str:
    """The subagent's name ("/root/counter"), its thread where it has none, `SIDE`, or ""."""
    source = text_of(told.get("thread_source"))
    kind = header(headers, "x-openai-subagent")
    request = text_of(told.get("request_kind"))
    if source not in ("", "user", "subagent") or request not in ("", "turn"):
        return SIDE
    if source != "subagent" and not kind:
        return ""
    name = text_of(told.get("agent_name"))
    if not name.startswith(_ROOT + "/") and source != "subagent":
        return SIDE  # reviews, summaries: runs of the client itself
    thread = text_of(told.get("thread_id")) or header(headers, "thread-id")
    return (name if name not in ("", _ROOT) else thread or kind)[:200]


def _came(items: list[Object]) -> Iterator[Came]:
    for turn, item in enumerate(items):
        kind, role = text_of(item.get("type", "message")), item.get("role")
        call = text_of(item.get("call_id"))
        if kind in _OUTPUTS and call:
            yield as_result(call, item.get("output"), {})
        elif kind in _REPLIES or role == "assistant":
            yield Came("reply")
        elif kind == "message" and role == "user":
            for text in texts(item):
                if text and _MADE_UP.match(text) is None:
                    yield Came("prompt", text, turn=turn)
                elif text.lstrip().startswith(INTERRUPTED):
                    yield Came("interrupt")
