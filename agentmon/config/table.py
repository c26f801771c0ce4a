"""Every setting: how it is read, and what it is."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from agentmon.config.values import (
    action,
    address,
    boolean,
    count,
    days,
    duration,
    fixed_folder,
    folder,
    paths,
    per_tool,
    size,
    some,
    text,
    without_secrets,
)

ENV_PREFIX = "AGENTMON_"


class Setting(NamedTuple):
    """How a setting is read: `parse` takes what a flag, a TOML file or the environment has,
    and raises ValueError with a reason."""

    parse: Callable[[object], object]
    help: str
    shown: Callable[[object], object] = lambda value: value
    """What may be shown of a value, in whatever form it was given."""
    not_shared: str = ""
    """Why the store cannot say it to all who use it; "": it can."""


FIELDS: Mapping[str, Setting] = {
    "paths": Setting(paths, "files and folders to follow besides those found"),
    "health.stalled_after": Setting(duration, "silence after which a due byte is a stall"),
    "health.overdue_after": Setting(duration, "time after which a pending tool is overdue"),
    "health.overdue_per_tool": Setting(per_tool, "the same for single tools, by name"),
    "ui.theme": Setting(text, "a theme of Textual"),
    "ui.ascii": Setting(boolean, "draw with ASCII characters only"),
    "ui.mouse": Setting(boolean, "let the screen take the mouse (no selecting of text)"),
    "ui.back": Setting(duration, "which sessions < can go back to: those heard of since"),
    "store.data_dir": Setting(
        folder, "where the store is", not_shared="where the store is, the store itself cannot say"
    ),
    "follow.poll": Setting(duration, "longest pause where the file system does not notify"),
    "attention.bell": Setting(boolean, "ring the terminal's bell"),
    "attention.title": Setting(boolean, "write into the terminal's title how many need you"),
    "attention.on_permission": Setting(boolean, "an agent that waits for you is news"),
    "attention.on_stall": Setting(boolean, "a stall is news"),
    "attention.on_death": Setting(boolean, "an agent that died is news"),
    "attention.on_finish": Setting(boolean, "a finished turn is news"),
    "attention.cooldown": Setting(duration, "time before the same news of a session rings again"),
    "health.silent_after": Setting(
        duration, "silence of a transcript in the middle of a turn that is a stall"
    ),
    "search.max_size": Setting(some, "how large the index of search may get; the oldest go first"),
    "search.max_text": Setting(some, "how much of one text can be searched"),
    "messages.agent": Setting(
        text,
        "the agent that send, inbox and listen speak for",
        not_shared="all who share the store would be called alike: set it in the agent's"
        " environment (AGENTMON_MESSAGES__AGENT) or in the file",
    ),
    "redis.url": Setting(address, "a Redis server by which agents talk", without_secrets),
    "redis.max_inbox": Setting(count, "messages an inbox on it holds; more wait with the senders"),
    "messages.max_size": Setting(some, "how large one message between agents may be"),
    "balance.least": Setting(count, "work events and calls before balance warns of anybody"),
    "discover.since": Setting(duration, "logs active in this time are read first"),
    "metrics.since": Setting(duration, "sessions active in this time have metrics of their own"),
    "metrics.max_sessions": Setting(count, "at most so many sessions, the most recent ones"),
    "capture.folder": Setting(
        fixed_folder,
        "where the tap and the hooks write what they saw",
        not_shared="hooks write there and do not ask the store: set it in the file",
    ),
    "capture.max_bytes": Setting(some, "how large one log of them gets"),
    "capture.max_age": Setting(duration, "how long one log of them is written to"),
    "capture.keep_bytes": Setting(some, "how much they may take together; the oldest go first"),
    "retention.days": Setting(days, "ended sessions silent for so many days go; 0: never"),
    "retention.max_size": Setting(size, "the oldest ended ones go until the store takes less"),
    "retention.action": Setting(action, "where they go: archive, or delete"),
}
"""Every setting by its dotted key."""


def env_name(key: str) -> str:
    """The environment variable of a setting."""
    return ENV_PREFIX + key.replace(".", "__").upper()
