"""The oracle's rounds: which prompt begins which round, what belongs to it and how it ended."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from tests.oracle_lines import Entry, text_or_none

_AGENT_ID = re.compile(r"\nYour agent Id is: [^\n]*\Z")


@dataclass
class Prompt:
    entry: Entry
    ordinal: int
    round_id: str = ""

    @property
    def text(self) -> str:
        """As typed: without the agent id that the client appends to the first one."""
        return _AGENT_ID.sub("", text_or_none(self.entry.payload.get("prompt")) or "")


class Rounds:
    """The rounds of one session, from all its events in the order of their payload times."""

    def __init__(self, sid: str, entries: Sequence[Entry]) -> None:
        self.sid = sid
        self.entries = sorted(entries, key=lambda entry: entry.key)
        self._ends = [entry for entry in self.entries if _ends_process(entry)]
        self._stops = [entry for entry in self.entries if entry.name in ("stop", "turn_end")]
        self.prompts: list[Prompt] = []
        asked = self._first_of_each_uuid()
        for number, entry in enumerate(asked):
            until = asked[number + 1].key if number + 1 < len(asked) else None
            prompt = Prompt(entry, number + 1)
            prompt.round_id = self._round_of(prompt, self._answer(entry, until))
            self.prompts.append(prompt)

    def _first_of_each_uuid(self) -> list[Entry]:
        found: list[Entry] = []
        seen: set[str] = set()
        for entry in self.entries:
            if entry.name != "user_prompt":
                continue
            uuid = text_or_none(entry.payload.get("message_uuid"))
            if not uuid or uuid not in seen:
                found.append(entry)
                seen.add(uuid or "")
        return found

    def _answer(self, prompt: Entry, until: tuple[int, int] | None) -> str | None:
        """The round that the next `message_start` of the same process says."""
        for entry in self.entries:
            if entry.key <= prompt.key or entry.name != "message_start":
                continue
            if until is not None and entry.key > until:
                return None
            if entry.pid == prompt.pid and entry.round:
                return entry.round
        return None

    def _round_of(self, prompt: Prompt, answer: str | None) -> str:
        if answer is not None:
            return answer
        own = prompt.entry.round
        if own and (self._is_new(own) or self._is_running(own, prompt.entry)):
            return own
        latest = self.prompts[-1].round_id if self.prompts else None
        if (
            own is None
            and latest
            and latest[:4] != "syn:"
            and self._is_running(latest, prompt.entry)
        ):
            return latest
        mark = text_or_none(prompt.entry.payload.get("message_uuid")) or prompt.ordinal
        return f"syn:{self.sid}:{mark}"

    def _is_new(self, round_id: str) -> bool:
        return all(prompt.round_id != round_id for prompt in self.prompts)

    def _is_running(self, round_id: str, at: Entry) -> bool:
        """Begun last, and not stopped or closed before."""
        if self.at(at) != round_id:
            return False
        return all(stop.key > at.key for stop in self.stops(round_id))

    def at(self, moment: Entry) -> str | None:
        """The round that an event without one belongs to: begun last, its session going on."""
        latest = [prompt for prompt in self.prompts if prompt.entry.key < moment.key]
        if not latest:
            return None
        begun = latest[-1].entry.key
        if any(begun < end.key < moment.key for end in self._ends):
            return None
        return latest[-1].round_id

    def written(self, entry: Entry) -> str | None:
        """The round of an event: as written, "" for none, the running one where absent."""
        return self.at(entry) if entry.round is None else entry.round or None

    def stops(self, round_id: str) -> list[Entry]:
        return [entry for entry in self._stops if self.written(entry) == round_id]

    def is_known(self, round_id: str | None) -> bool:
        """Traffic without a prompt is not a round."""
        return any(prompt.round_id == round_id for prompt in self.prompts)

    def rows(self) -> list[dict[str, object]]:
        by_id: dict[str, list[Prompt]] = {}
        for prompt in self.prompts:
            by_id.setdefault(prompt.round_id, []).append(prompt)
        return [self._row(n, *item) for n, item in enumerate(by_id.items(), start=1)]

    def _row(self, number: int, round_id: str, prompts: list[Prompt]) -> dict[str, object]:
        start = prompts[0].entry.time
        end = max((stop.time for stop in self.stops(round_id)), default=None)
        return {
            "kind": "round",
            "round_id": round_id,
            "sid": self.sid,
            "round_number": number,
            "user_prompt": prompts[0].text,
            "start_time": start / 1000,
            "end_time": None if end is None else end / 1000,
            "duration_ms": None if end is None else max(0, end - start),
            "is_complete": end is not None,
            "is_aborted": end is None and self._is_closed(prompts),
        }

    def _is_closed(self, prompts: list[Prompt]) -> bool:
        last = prompts[-1].entry.key
        for later in self.prompts:
            if later.entry.key > last and not self._is_queued(later, prompts[0].entry.key):
                return True
        return any(end.key > last for end in self._ends)

    def _is_queued(self, prompt: Prompt, since: tuple[int, int]) -> bool:
        """Typed while an earlier round ran, which it does not cut."""
        for entry in self.entries:
            if entry.name == "queue_operation" and since < entry.key < prompt.entry.key:
                says = entry.payload
                if says.get("operation") == "enqueue" and says.get("content") == prompt.text:
                    return True
        return False


def _ends_process(entry: Entry) -> bool:
    """Whatever ran before this is over: the session ended, or was taken up again."""
    is_resume = entry.name == "session_start" and entry.payload.get("source") == "resume"
    return is_resume or entry.name == "session_end"
