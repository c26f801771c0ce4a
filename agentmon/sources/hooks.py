"""Hook events of a client, one JSON object per line (formats.md G).

Either the bare object that a hook gets on its stdin, or that object as `payload` beside the time
of the call (`t`, epoch seconds), the product (`source`) and the processes above the hook
(`parents`, `[pid, name]`, nearest first).
"""

import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import msgspec
from msgspec import Struct, field

from agentmon.core.events import (
    AgentSaid,
    Event,
    Facts,
    Kind,
    Meta,
    Prompt,
    SessionEnd,
    SessionStart,
    TurnStop,
    Unknown,
)
from agentmon.sources import codex_items
from agentmon.sources.decoding import (
    Bad,
    Context,
    Decoded,
    Format,
    Record,
    RecordDecoder,
    is_uuid,
    line_key,
    malformed,
    mapping,
)
from agentmon.sources.payloads import BUILDERS, Base, Head, build_hook, optional_text
from agentmon.sources.stream_records import items, number, whole_number
from agentmon.sources.transcript_records import read_user

_KIND: Kind = "hook"
_FLOW = "hook"
_WORDS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_SHELLS = frozenset({"sh", "bash", "dash", "zsh", "fish", "ksh", "ash", "busybox"})

_SOURCES = {"startup": "new"}
"""How the wire log names the ways in which a session begins."""

_TYPED_SOURCES = (None, "user", "sdk")
"""`source` of a prompt that a person or a program gave; others the client makes up itself."""

_HELPER = "side"
"""The agent of traffic that is nobody's turn: runs of the client itself, as for compaction."""

_MEMORY = 32


class _Memory(Struct):
    """What a decoder remembers."""

    prompts: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    """The ids of typed prompts, by session, newest last."""
    spawned: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    """Codex's subagents by the name that the call got which started them, by session, until the
    first hook of their own names their thread."""
    names: dict[str, str] = field(default_factory=dict[str, str])
    """The name of each thread: wire log and rollouts know subagents by name."""

    def add(self, sid: str, prompt_id: str) -> None:
        _append(self.prompts, sid, prompt_id)

    def name_of(self, sid: str, agent_id: str | None, *, is_start: bool) -> str | None:
        if agent_id is None:
            return None
        waiting = self.spawned.get(sid)
        if is_start and waiting and agent_id not in self.names:
            self.names[agent_id] = waiting.pop(0)
            _shrink(self.names)
        return self.names.get(agent_id, agent_id)

    def round_of(self, sid: str, prompt_id: str | None) -> str | None:
        """The round of an event: its prompt's, or that of the last one that somebody typed.

        A task that ends in the background begins a turn of its own, within the same round.
        """
        known = self.prompts.get(sid)
        if not known:
            return None
        return prompt_id if prompt_id in known else known[-1]


def _append(lists: dict[str, list[str]], sid: str, value: str) -> None:
    known = lists.pop(sid, [])
    lists[sid] = [*known, value][-_MEMORY:]
    _shrink(lists)


def _shrink(kept: dict[str, Any]) -> None:
    while len(kept) > _MEMORY:
        del kept[next(iter(kept))]


class HookDecoder(RecordDecoder):
    """Decodes the hook events of any number of sessions."""

    def __init__(self, context: Context) -> None:
        self._receipt = context.receipt
        self._memory = _Memory()
        if context.state:
            with suppress(msgspec.DecodeError):
                self._memory = msgspec.json.decode(context.state, type=_Memory)
        self._metas: dict[tuple[object, ...], Meta] = {}
        self._builders: dict[str, Callable[[Base, Record], list[Event]]] = {
            "session_start": _session_start,
            "session_end": _session_end,
            "user_prompt_submit": self._prompt,
            "stop": self._stop,
            "stop_failure": self._stop,
            "post_tool_use": self._tool,
            "subagent_start": _subagent_start,
            "subagent_stop": _subagent_stop,
        }

    def record(self, row: Record, raw: bytes, offset: int) -> list[Decoded]:
        """The events of an object that is parsed already."""
        payload = mapping(row.get("payload")) if "payload" in row else row
        try:
            base = self._base(row, payload, raw, offset)
        except Bad as problem:
            return [malformed(str(problem), raw, offset)]
        event_name = optional_text(payload.get("hook_event_name"))
        name = _WORDS.sub("_", event_name or "").lower()
        events = self._events(name, base, payload) if base[0] else None
        if events is None:
            return [Unknown(*base, event_name, raw, len(raw), offset)]
        return [*events, *_facts(base, payload)]

    def save(self) -> bytes:
        """Which prompts were typed, and how subagents are called."""
        return msgspec.json.encode(self._memory) if self._memory != _Memory() else b""

    def _events(self, name: str, base: Base, payload: Record) -> list[Event] | None:
        builder = self._builders.get(name)
        if builder is not None:
            return builder(base, payload)
        # the wire log carries the same hooks, so what it knows is known here
        return [_notice(name, base, payload)] if f"claude.{name}" in BUILDERS else None

    def _base(self, row: Record, payload: Record, raw: bytes, offset: int) -> Base:
        sid = payload.get("session_id")
        if sid is None:
            sid = ""
        elif not (isinstance(sid, str) and is_uuid(sid)):
            raise Bad("sid is not a UUID")
        time = _moment(row.get("t")) if payload is not row else None
        # two equal payloads are two events, unless a time tells that they are one
        key = raw if time is not None else b"%d:%s" % (offset, raw)
        count, digest = line_key(key)
        own = _prompt_id(payload)
        is_start = payload.get("hook_event_name") == "SubagentStart"
        agent_id = self._memory.name_of(sid, _agent_id(payload), is_start=is_start)
        round_id = self._memory.round_of(sid, own) if agent_id is None else None
        moment = self._receipt() if time is None else time
        return sid, self._meta(row, payload, agent_id), _FLOW, count, round_id, moment, digest

    def _meta(self, row: Record, payload: Record, agent_id: str | None) -> Meta:
        product = _product(row, payload)
        pid = _client_pid(product, row.get("parents"))
        cwd = optional_text(payload.get("cwd"))
        key = product, pid, cwd, agent_id
        meta = self._metas.get(key)
        if meta is None:
            if len(self._metas) > 1_000:
                self._metas.clear()
            meta = self._metas[key] = Meta(product, None, pid, cwd, agent_id, _KIND)
        return meta

    def _prompt(self, base: Base, payload: Record) -> list[Event]:
        text = optional_text(payload.get("prompt")) or ""
        said = read_user({}, [{"type": "text", "text": text}])
        if payload.get("source") not in _TYPED_SOURCES or said.prompt is None:
            return [_notice("user_prompt_submit", base, payload)]
        prompt_id = _prompt_id(payload)
        if prompt_id is not None:
            self._memory.add(base[0], prompt_id)
        return [Prompt(*base[:4], prompt_id, *base[5:], said.prompt, None)]

    def _stop(self, base: Base, payload: Record) -> list[Event]:
        """`StopFailure` comes in place of `Stop` after an error of the API."""
        stop = TurnStop(*base, "stop", False, _running(payload))
        if payload.get("hook_event_name") == "Stop":
            return [stop]
        notice = _notice("stop_failure", base, payload)
        return [notice, stop]

    def _tool(self, base: Base, payload: Record) -> list[Event]:
        notice = _notice("post_tool_use", base, payload)
        tool = optional_text(payload.get("tool_name")) or ""
        if base[1].agent != "codex" or not tool.endswith(codex_items.SPAWN):
            return [notice]
        response = codex_items.output_text(payload.get("tool_response"))
        agent_id, nickname = codex_items.agent_of(response)
        if not agent_id:
            return [notice]
        if not is_uuid(agent_id):
            _append(self._memory.spawned, base[0], agent_id)
        asked = codex_items.asked_of(mapping(payload.get("tool_input")))
        call = optional_text(payload.get("tool_use_id"))
        return [notice, AgentSaid(*base, agent_id, call, nickname, asked)]


def _notice(name: str, base: Base, payload: Record) -> Event:
    return build_hook(Head(name, base), payload)


def _session_start(base: Base, payload: Record) -> list[Event]:
    source = optional_text(payload.get("source")) or ""
    return [SessionStart(*base, _SOURCES.get(source, source))]


def _session_end(base: Base, payload: Record) -> list[Event]:
    return [SessionEnd(*base, optional_text(payload.get("reason")))]


def _subagent_start(base: Base, payload: Record) -> list[Event]:
    notice = _notice("subagent_start", base, payload)
    agent_id, kind = base[1].agent_id, optional_text(payload.get("agent_type"))
    if agent_id in (None, _HELPER):
        return [notice]
    return [notice, AgentSaid(*base, agent_id, None, kind or None, None, "running")]


def _subagent_stop(base: Base, payload: Record) -> list[Event]:
    notice = _notice("subagent_stop", base, payload)
    agent_id, kind = base[1].agent_id, optional_text(payload.get("agent_type"))
    if agent_id in (None, _HELPER):
        return [notice]
    said = AgentSaid(*base, agent_id, None, kind or None, None, "completed")
    return [notice, said, TurnStop(*base, "stop", True, [])]


def _facts(base: Base, payload: Record) -> list[Event]:
    found = {
        "permission_mode": optional_text(payload.get("permission_mode")),
        "effort": optional_text(mapping(payload.get("effort")).get("level")),
        "model": optional_text(payload.get("model")),
        "context_tokens": whole_number(payload.get("context_tokens")),
        "title": optional_text(payload.get("session_title")),
    }
    values: dict[str, object] = {name: value for name, value in found.items() if value}
    return [Facts(*base, values)] if values else []


def _moment(value: object) -> float | None:
    """Epoch seconds, within the years that there are dates for."""
    found = number(value)
    return float(found) if found is not None and 0 <= found < 253_402_300_800 else None


def _running(payload: Record) -> list[str]:
    tasks = [mapping(task) for task in items(payload.get("background_tasks"))]
    return [str(task.get("id")) for task in tasks if task.get("status") == "running"]


def _prompt_id(payload: Record) -> str | None:
    """What names a turn: Claude's `prompt_id`, Codex's `turn_id`."""
    return optional_text(payload.get("prompt_id") or payload.get("turn_id")) or None


def _agent_id(payload: Record) -> str | None:
    agent_id = optional_text(payload.get("agent_id")) or None
    return _HELPER if agent_id is not None and payload.get("agent_type") == "" else agent_id


def _product(row: Record, payload: Record) -> str:
    source = row.get("source") if payload is not row else None
    if isinstance(source, str) and source:
        return source
    return "codex" if "turn_id" in payload and "model" in payload else "claude"


def _client_pid(product: str, parents: object) -> int | None:
    """The client among the processes above a hook: Claude Code puts a shell in between."""
    chain = [items(parent) for parent in items(parents)]
    named = [(whole_number(pair[0]), str(pair[1])) for pair in chain if len(pair) >= 2]
    for pid, name in named:
        if name.removesuffix(".exe") == product:
            return pid
    return next((pid for pid, name in named if name not in _SHELLS), None)


def _knows(rows: Sequence[Record]) -> bool:
    return any(map(_is_ours, rows))


def _is_ours(row: Record) -> bool:
    payload = mapping(row.get("payload")) if "payload" in row else row
    return "hook_event_name" in payload and "session_id" in payload


FORMAT = Format("hooks", _KIND, "hook events of Claude Code or Codex", _knows, HookDecoder)
