"""What lies in the places that were looked at: for `agentmon doctor`, and for a screen without
agents. Reads the beginnings of a few files; changes nothing."""

import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from msgspec import Struct, field

from agentmon.core.text import one_line
from agentmon.report.words import age, size
from agentmon.sources import formats, procs
from agentmon.sources.discover import Discovery, Place
from agentmon.sources.identity import failure
from agentmon.sources.inflate import compression_of, first_bytes
from agentmon.sources.paths import Found
from agentmon.sources.registry import Entry, Registry

Status = Literal["ok", "warn", "fail"]

SAMPLED = 20
"""Of how many of the newest files of a place the beginning is read."""

BIRTH_TOLERANCE = 2.0
"""Seconds by which a process may seem younger than what it wrote (clock ticks)."""

WAYS_ON = (
    ("Start claude or codex", "they appear here by themselves"),
    ("Follow a log or a folder", "agentmon PATH"),
    ("See a lively board", "agentmon --demo"),
    ("See words as they come", "agentmon run -- claude"),
    ("", "agentmon run -- codex"),
    ("See permission waits", "agentmon hooks install"),
    ("Ask what is wrong", "agentmon doctor"),
)
"""What to do where there is nothing to see: in words, and how."""


EMPTY, NO_LOG = "empty", "no log"
_MEND_RIGHTS = "give your user the right to read it"


class Check(Struct, frozen=True):
    """One thing that was looked at; `remedy` says what to do where it is not ok."""

    name: str
    status: Status
    message: str
    remedy: str = ""
    values: dict[str, int] = field(default_factory=dict[str, int])
    """What was measured, by name; sizes are bytes."""


def empty_state(looked_for: Sequence[str], width: int = 80) -> list[str]:
    """Lines for a screen without agents: what was looked for, where, and what to do."""
    lines = ["No agents seen yet."]
    if looked_for:
        lines += ["Looked for:", *(f"  {one_line(place, width - 2)}" for place in looked_for)]
    ways = (f"{words}: {how}" if words else f"  {how}" for words, how in WAYS_ON)
    return [*lines, *(one_line(way, width) for way in ways)]


def check_places(discovery: Discovery, now: float) -> list[Check]:
    """All sources in one line, then each place, then what could not be looked at."""
    places = [_check_place(place, now) for place in discovery.looked_for]
    problems = [
        Check(f"source {problem.path}", "fail", problem.message, _MEND_RIGHTS)
        for problem in discovery.inputs.problems
    ]
    return [_check_all(discovery, now), *places, *problems]


def _check_all(discovery: Discovery, now: float) -> Check:
    if not discovery.files:
        places = "; ".join(place.line for place in discovery.looked_for)
        remedy = (
            "start claude or codex (best as agentmon run -- claude), name a log (agentmon PATH), "
            "or try agentmon --demo"
        )
        return Check("sources", "warn", f"no logs found. {places}", remedy)
    return Check("sources", "ok", _weight(discovery.files, now))


def _weight(files: Sequence[Found], now: float) -> str:
    """ "1,612 files, 812 MB, newest 4m ago"."""
    newest = max(one.mtime for one in files)
    count = f"{len(files):,} file{'' if len(files) == 1 else 's'}"
    when = age(now - newest)
    return f"{count}, {size(sum(one.size for one in files))}, newest {when}{_ago(when)}"


def _ago(when: str) -> str:
    return "" if when == "now" else " ago"


def _check_place(place: Place, now: float) -> Check:
    name = f"source {place.what}"
    if not place.is_found:
        why = f": {place.filled}" if place.filled else ""
        return Check(name, "ok", f"{place.where} (not there{why})")
    if place.is_registry:
        return _check_registry(name, place)
    if not place.files:
        return Check(name, "ok", f"{place.where}: nothing yet")
    sample = place.files[:SAMPLED]
    kinds, problems = _kinds(sample)
    which = "" if len(sample) == len(place.files) else f" of the newest {len(sample)}"
    message = f"{place.where}: {_weight(place.files, now)}; formats{which}: {_counted(kinds)}"
    if problems:
        return Check(name, "fail", f"{message}; {problems[0]}", _MEND_RIGHTS)
    if kinds[NO_LOG] and place.files[0].is_given:
        remedy = f"name another file, or its format (--format {'|'.join(formats.NAMES)})"
        return Check(name, "warn", message, remedy)
    return Check(name, "ok", message)


def _kinds(files: Iterable[Found]) -> tuple[Counter[str], list[str]]:
    """How many files there are of each format, and why some can't be read."""
    kinds: Counter[str] = Counter()
    problems: list[str] = []
    for one in files:
        try:
            kinds[_format(one)] += 1
        except OSError as error:
            kinds["not readable"] += 1
            problems.append(failure(one.path, error).message)
    return kinds, problems


def _format(found: Found) -> str:
    """What a file is by its beginning. Raises OSError."""
    if found.is_pipe:
        return "pipe"
    with open(found.path, "rb") as file:
        head = file.read(formats.SAMPLE)
    if not head.strip():
        return EMPTY
    if compression_of(found.path) is not None:
        head = first_bytes(found.path)
        if not head:
            return "compressed"
    known = formats.recognise(head, strict=True)
    return known.name if known is not None else NO_LOG


def _counted(kinds: Counter[str]) -> str:
    return ", ".join(f"{kind} {count}" for kind, count in kinds.most_common())


# -- the registry


def _check_registry(name: str, place: Place) -> Check:
    try:
        os.listdir(place.path)
    except OSError as problem:
        return Check(name, "fail", failure(place.path, problem).message, _MEND_RIGHTS)
    registry = Registry(place.path)
    registry.poll()
    return Check(name, "ok", f"{place.where}: {_processes(registry.entries)}")


def _processes(entries: Mapping[int, Entry]) -> str:
    """ "3 running (1 busy, 2 idle), 1 left behind by a process that is gone (pid 4711)"."""
    running: Counter[str] = Counter()
    left: list[int] = []
    for pid, entry in sorted(entries.items()):
        if _still_runs(pid, entry):
            running[entry.status or "no status yet"] += 1
        else:
            left.append(pid)
    states = ", ".join(f"{count} {state}" for state, count in running.most_common())
    said = f"{running.total()} running" + (f" ({states})" if states else "")
    if left:
        whose = "a process that is" if len(left) == 1 else "processes that are"
        said += f", {len(left)} left behind by {whose} gone (pid {', '.join(map(str, left))})"
    return said


def _still_runs(pid: int, entry: Entry) -> bool:
    """Whether the process lives, and is not another one that was given the pid later."""
    if not procs.is_running(pid):
        return False
    born, since = procs.born_at(pid), entry.status_since
    return born is None or since is None or born <= since + BIRTH_TOLERANCE
