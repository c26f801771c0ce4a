"""Codex rollouts: one file per thread, one record per finished thing (formats.md D).

A message is the group of items of one response. In current files a `token_usage_record` names it
and ends it; before that the tokens that came with it do, and it goes by a name made up here. Text
is taken from `response_item`, prompts from `user_message` or the item `UserMessage`; the copies of
either tell only that the agent works.
"""

import re
from collections.abc import Sequence
from contextlib import suppress
from zlib import crc32

import msgspec

from agentmon.core.events import (
    AgentSaid,
    Event,
    Facts,
    Kind,
    Meta,
    Other,
    Prompt,
    Told,
    ToldBlock,
    ToolResults,
    Unknown,
)
from agentmon.sources import codex_items as codex
from agentmon.sources import rollout_records as records
from agentmon.sources.codex_items import Item, index_of, kind_of, text_of
from agentmon.sources.decoding import (
    Bad,
    Context,
    Decoded,
    Format,
    Record,
    RecordDecoder,
    line_key,
    malformed,
    mapping,
)
from agentmon.sources.envelopes import epoch_of
from agentmon.sources.payloads import Base, optional_text
from agentmon.sources.rollout_thread import Thread

_KIND: Kind = "rollout"
_FLOW = "rollout"

_STEP = 0.001
"""Seconds between the records of a file without times: made up, so that they keep their order."""

_INJECTED = re.compile(
    r"\s*(?:<(?:environment_context|user_instructions|permissions|turn_aborted|skill"
    r"|subagent_notification|user_shell_command|INSTRUCTIONS)\b|# AGENTS\.md instructions)"
)
"""User-role text that nobody typed (formats.md D.5)."""

_WRAPPED = frozenset(
    {
        "session_meta",
        "turn_context",
        "response_item",
        "event_msg",
        "compacted",
        "world_state",
        "token_usage_record",
        "inter_agent_communication",
        "inter_agent_communication_metadata",
    }
)

_QUIET_ITEMS = frozenset({"agent_message", "additional_tools", "ghost_snapshot"})
"""What stands among the items and is neither the model's nor an answer to it."""


class RolloutDecoder(RecordDecoder):
    """Decodes the records of one rollout."""

    def __init__(self, context: Context) -> None:
        self._path = context.path
        self._receipt = context.receipt
        self._thread = Thread()
        if context.state:
            with suppress(msgspec.DecodeError):
                self._thread = msgspec.json.decode(context.state, type=Thread)
        self._metas: dict[tuple[str | None, ...], Meta] = {}

    def record(self, row: Record, raw: bytes, offset: int) -> list[Decoded]:
        """The events of a record that is parsed already."""
        try:
            return self._record(row, raw, offset)
        except Bad as problem:
            return [malformed(str(problem), raw, offset)]
        except RecursionError:
            return [malformed("nested too deep", raw, offset)]

    def save(self) -> bytes:
        """The thread, its open response, its calls."""
        return msgspec.json.encode(self._thread) if self._thread.id else b""

    # -- a record

    def _record(self, row: Record, raw: bytes, offset: int) -> list[Decoded]:
        thread = self._thread
        kind = text_of(row.get("type"))
        is_flat = not isinstance(row.get("payload"), dict)
        body = row if is_flat else mapping(row.get("payload"))
        is_meta = kind == "session_meta" or (is_flat and _is_flat_meta(row))
        time = self._time(row, body)
        if is_meta:
            thread.take_meta(body)
        elif not thread.id:
            thread.name_by_path(self._path)
        ordinal = index_of(row.get("ordinal"))
        is_copy = not is_meta and thread.is_copy(body, ordinal, time)
        if time is not None:
            thread.time = time
        if kind == "event_msg" and kind_of(body) in records.TURN_BEGINS and not is_copy:
            thread.turn = optional_text(body.get("turn_id"))
        base = self._base(body, raw, offset, ordinal)
        if is_copy:
            self._note_copied(kind, body)
            return [Other(*base)]
        if is_meta:
            return [*self._meta_said(base, body)]
        events = self._flat(base, row) if is_flat else self._wrapped(kind, base, row, body)
        if events is None:
            name = f"{kind}/{kind_of(body)}" if kind in _WRAPPED else kind or None
            return [Unknown(*base, name, raw, len(raw), offset)]
        return [*events]

    def _time(self, row: Record, body: Item) -> float | None:
        """As the record tells it; of a file without times its beginning, and a step for each."""
        stamp = optional_text(row.get("timestamp")) or optional_text(body.get("timestamp"))
        time = epoch_of(stamp) if stamp is not None else None
        if time is None and row is body and self._thread.time is not None:
            return self._thread.time + _STEP
        return time

    def _base(self, body: Item, raw: bytes, offset: int, ordinal: int | None) -> Base:
        thread = self._thread
        place = b"%d" % offset if ordinal is None else b"#%d" % ordinal
        count, digest = line_key(b"%s:%s:%s" % (thread.id.encode(), place, raw))
        round_id = None
        if thread.agent_id is None:
            round_id = optional_text(body.get("turn_id")) or thread.turn
        if thread.time is None:
            thread.time = self._receipt()
        flow = _FLOW if thread.agent_id is None else f"{_FLOW}:{thread.id}"
        return thread.sid, self._meta(), flow, count, round_id, thread.time, digest

    def _meta(self) -> Meta:
        thread = self._thread
        key = thread.version, thread.cwd, thread.agent_id
        meta = self._metas.get(key)
        if meta is None:
            if len(self._metas) > 1_000:
                self._metas.clear()
            meta = Meta("codex", thread.version, None, thread.cwd, thread.agent_id, _KIND)
            self._metas[key] = meta
        return meta

    def _note_copied(self, kind: str, body: Item) -> None:
        """Totals go on from those of the copied history."""
        if kind == "event_msg" and kind_of(body) == "token_count":
            total = mapping(body.get("info")).get("total_token_usage")
            self._thread.is_new_usage(codex.usage(total))

    def _meta_said(self, base: Base, body: Item) -> list[Event]:
        thread = self._thread
        if optional_text(body.get("id")) not in (None, thread.id):
            return [Other(*base)]
        events: list[Event] = []
        branch = optional_text(mapping(body.get("git")).get("branch"))
        if branch:
            events.append(Facts(*base, {"git_branch": branch}))
        if thread.agent_id is not None:
            events.append(AgentSaid(*base, thread.agent_id, kind=records.nickname(body)))
        return events or [Other(*base, said="session")]

    def _flat(self, base: Base, row: Record) -> list[Event] | None:
        """A record of the layout without envelopes, which has no prompts of its own."""
        if "record_type" in row:
            return [Other(*base)]
        if kind_of(row) == "message" and row.get("role") == "user":
            text = codex.content_text(row.get("content"))
            if text.strip() and _INJECTED.match(text) is None:
                return self._prompt(base, "flat", text, None)
        return self._item(base, row, row) if kind_of(row) else None

    def _wrapped(self, kind: str, base: Base, row: Record, body: Item) -> list[Event] | None:
        thread = self._thread
        if kind == "response_item":
            return self._item(base, row, body)
        if kind == "event_msg":
            return self._event(base, body)
        if kind == "token_usage_record":
            return self._named(base, body)
        if kind == "turn_context":
            thread.model = optional_text(body.get("model")) or thread.model
            thread.cwd = optional_text(body.get("cwd")) or thread.cwd
            return records.settings(base, body)
        if kind == "compacted":
            thread.compactions += 1
            return [
                Facts(*base, {"compactions": thread.compactions}),
                Other(*base, is_alive=True, said="compacted"),
            ]
        return [Other(*base)] if kind in _WRAPPED else None

    # -- responses and their items

    def _item(self, base: Base, row: Record, item: Item) -> list[Event] | None:
        thread, kind = self._thread, kind_of(item)
        if codex.is_output_of_model(item):
            return self._block(base, row, item)
        if kind in codex.OUTPUTS:
            thread.answered()
            result = codex.output_result(item)
            if result is None:
                return [Other(*base)]
            return [ToolResults(*base, [result]), *records.spawned(thread, base, result)]
        if kind == "message" or kind in _QUIET_ITEMS:
            thread.answered()
            return records.said_between(base, item) if kind == "agent_message" else [Other(*base)]
        return None

    def _block(self, base: Base, row: Record, item: Item) -> list[Event]:
        thread = self._thread
        through = index_of(mapping(row.get("metadata")).get("sampled_through_sequence"))
        over, group = thread.open_group(through, thread.time)
        thread.prompt = ""
        item_id = optional_text(item.get("id")) or f"{thread.id}:{base[3]:x}"
        block = codex.told_block(item, None, item_id)
        usage, thread.usage = thread.usage, {}
        events: list[Event] = [self._told(base, over, is_done=True)] if over else []
        events.append(self._told(base, group.name, usage=usage, blocks=[block]))
        if block.tool_use_id is not None:
            events += records.called(thread, base, block, item)
        return events

    def _told(
        self,
        base: Base,
        group: str,
        response_id: str = "",
        *,
        usage: dict[str, int] | None = None,
        blocks: list[ToldBlock] | None = None,
        is_done: bool = False,
        error: str | None = None,
    ) -> Told:
        return Told(
            *base,
            response_id or None,
            response_id,
            group,
            "assistant",
            self._thread.model,
            None,
            usage or {},
            blocks or [],
            is_done=is_done,
            error=error,
        )

    def _over(self, base: Base) -> list[Event]:
        """The open response is over, whatever it was called."""
        name = self._thread.close_group()
        return [self._told(base, name, is_done=True)] if name is not None else []

    def _named(self, base: Base, body: Item) -> list[Event]:
        """`token_usage_record`: the response that ended is told by its own id, with its tokens."""
        thread = self._thread
        response_id = optional_text(body.get("response_id"))
        if not response_id or optional_text(body.get("thread_id")) not in (None, thread.id):
            return [Other(*base)]
        thread.names_responses = True
        usage = codex.usage(body.get("usage"))
        group = thread.close_group() or ""
        return [self._told(base, group, response_id, usage=usage, is_done=True)]

    def _tokens(self, base: Base, body: Item) -> list[Event]:
        """`token_count`: in files without records of usage the end of a response."""
        thread = self._thread
        info = mapping(body.get("info"))
        usage = codex.usage(info.get("last_token_usage"))
        is_new = thread.is_new_usage(codex.usage(info.get("total_token_usage")))
        values = codex.token_facts(body)
        events: list[Event] = [Facts(*base, values)] if values else []
        if is_new and any(usage.values()) and not thread.names_responses:
            group = thread.group
            if group is not None and not group.has_usage and not thread.comes_after_usage:
                thread.group = None
                events.append(self._told(base, group.name, usage=usage, is_done=True))
            else:
                events += self._over(base)
                thread.usage, thread.usage_time = usage, thread.time or 0.0
        return events or [Other(*base)]

    # -- events

    def _event(self, base: Base, body: Item) -> list[Event] | None:
        thread, kind = self._thread, kind_of(body)
        if kind == "token_count":
            return self._tokens(base, body)
        if kind == "user_message":
            text = codex.content_text(body.get("message"))
            return self._prompt(base, kind, text, None)
        if kind in records.TURN_BEGINS:
            thread.group, thread.prompt = None, ""
            return records.turn_begun(thread, base, body)
        if kind in records.TURN_ENDS:
            return self._turn_ended(base, body)
        if kind == "turn_aborted":
            thread.group = thread.turn = None
            return records.turn_aborted(thread, base, body)
        if kind == "item_completed":
            return self._completed(base, body)
        return records.event(thread, kind, base, body)

    def _completed(self, base: Base, body: Item) -> list[Event] | None:
        """The newer view of what happened; another thread's is in its own file."""
        thread, item = self._thread, mapping(body.get("item"))
        if optional_text(body.get("thread_id")) not in (None, thread.id):
            return [Other(*base)]
        if item.get("type") == "UserMessage":
            text = codex.content_text(item.get("content"))
            item_id = optional_text(item.get("id")) or None
            return self._prompt(base, "UserMessage", text, item_id)
        return records.completed(thread, base, item)

    def _turn_ended(self, base: Base, body: Item) -> list[Event]:
        thread = self._thread
        thread.turn = None
        error = body.get("error")
        events: list[Event]
        if not error:
            events = self._over(base)
        else:
            said = records.error_words(error)
            name = thread.close_group()
            told = self._told(base, name, error=said) if name is not None else None
            events = [told or records.failed(base, error)]
        return [*events, *records.turn_over(thread, base, is_failed=bool(error))]

    def _prompt(self, base: Base, kind: str, text: str, item_id: str | None) -> list[Event]:
        """One prompt of a pair: some versions tell it in both ways."""
        thread = self._thread
        digest = f"{crc32(text.encode('utf-8', 'replace')):x}"
        known, thread.prompt = thread.prompt, f"{kind} {digest}"
        # where responses are named, a prompt may come into the middle of one
        events = [] if thread.names_responses else self._over(base)
        if known.endswith(f" {digest}") and known != thread.prompt:
            return [*events, Other(*base)]
        if thread.agent_id is not None:
            return [*events, AgentSaid(*base, thread.agent_id, description=codex.short(text))]
        return [*events, Prompt(*base, text, item_id)]


def _is_flat_meta(row: Record) -> bool:
    """The first line of the layout without envelopes."""
    return "type" not in row and "record_type" not in row and "id" in row and "timestamp" in row


def _knows(rows: Sequence[Record]) -> bool:
    return any(map(_is_ours, rows))


def _is_ours(row: Record) -> bool:
    if isinstance(row.get("payload"), dict):
        return text_of(row.get("type")) in _WRAPPED
    is_flat = "instructions" in row or "git" in row or "originator" in row
    return (_is_flat_meta(row) and is_flat) or row.get("record_type") == "state"


FORMAT = Format("rollout", _KIND, "Codex rollouts", _knows, RolloutDecoder)
