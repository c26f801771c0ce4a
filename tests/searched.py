"""The texts of raw logs and where words are in them, found the plain way: read all, split, compare.

Nothing is shared with the program but the names of the kinds.
"""

import json
import re
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

from agentmon.config import Search
from agentmon.report.finding import search
from agentmon.store import search_index
from agentmon.store.search_query import parse
from tests.oracle_lines import Entry, read
from tests.oracle_messages import (
    _result_parts,  # pyright: ignore[reportPrivateUsage]
    _result_text,  # pyright: ignore[reportPrivateUsage]
    messages_of,
    stored,
)
from tests.oracle_rounds import Rounds

LIMITS = Search()


class Text(NamedTuple):
    """One text of a log: its place as search tells it, and its words."""

    place: tuple[object, ...]
    words: tuple[str, ...]


def words_of(text: str) -> tuple[str, ...]:
    plain = "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))
    return tuple(re.findall(r"[^\W_]+", plain.lower()))


def texts_of(files: Sequence[bytes | Path]) -> list[Text]:
    """Prompts, complete blocks and results of claude wire logs."""
    by_sid: dict[str, list[Entry]] = {}
    for entry in read(files).entries:
        by_sid.setdefault(entry.sid, []).append(entry)
    found: list[Text] = []
    results: dict[str, tuple[tuple[int, int], str]] = {}
    for sid, entries in by_sid.items():
        for prompt in Rounds(sid, entries).prompts:
            if prompt.text:
                found.append(Text(("prompt", sid, prompt.ordinal), words_of(prompt.text)))
        for message in messages_of(sid, entries):
            for block in message.blocks():
                text = block.text().decode()
                if block.complete is not None and text:
                    if str(block.value.get("type")).endswith("tool_use"):
                        text = _flat(text)
                    found.append(Text(("block", message.flow, block.index), words_of(text)))
        for entry in entries:
            for part in _result_parts(entry):
                text = stored(_result_text(part.get("content"))).decode()
                call = str(part["tool_use_id"])
                if call not in results or entry.key < results[call][0]:
                    results[call] = entry.key, text
    found += [Text(("result", call), words_of(text)) for call, (_, text) in results.items() if text]
    return found


def _flat(text: str) -> str:
    """Names and values of arguments, as words."""
    try:
        value = json.loads(text)
    except ValueError:
        return text
    parts: list[str] = []

    def walk(value: Any) -> None:
        if isinstance(value, dict):
            for name, inner in cast("dict[str, Any]", value).items():
                parts.append(name)
                walk(inner)
        elif isinstance(value, list):
            for inner in cast("list[Any]", value):
                walk(inner)
        else:
            parts.append(value if isinstance(value, str) else json.dumps(value))

    walk(value)
    return " ".join(parts)


def having(texts: Iterable[Text], *words: str) -> set[tuple[object, ...]]:
    """Places of the texts with all of these words."""
    return {text.place for text in texts if set(words) <= set(text.words)}


def index(data_dir: Path, limits: Search = LIMITS) -> None:
    assert search_index.catch_up(data_dir, limits, 60.0) == 0


def places(data_dir: Path, query: str, limits: Search = LIMITS) -> set[tuple[object, ...]]:
    """What `search` finds, as places of `Text`."""
    answer = search(data_dir, parse(query), limits, now=0.0, limit=10_000, seconds=60.0)
    found: set[tuple[object, ...]] = set()
    for hit in answer.hits:
        one = hit.found
        if one.kind == "prompt":
            found.add(("prompt", *one.place[1:]))
        elif one.kind == "result":
            found.add(("result", one.tool_use_id))
        else:
            found.add(("block", one.flow_id, one.index))
    assert len(found) == len(answer.hits)
    return found
