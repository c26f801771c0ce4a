"""Every setting: its section and default, how it is read, and what it is."""

from collections.abc import Callable, Mapping

from msgspec import Struct, field

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


class Health(Struct, frozen=True):
    """When silence becomes a verdict, in seconds."""

    stalled_after: float = 30.0
    overdue_after: float = 600.0
    silent_after: float = 330.0
    overdue_per_tool: dict[str, float] = field(default_factory=dict[str, float])


class Ui(Struct, frozen=True):
    """How the screen looks and listens; `back`: how many seconds of the past it can go back to."""

    theme: str = "textual-dark"
    ascii: bool = False
    mouse: bool = False
    back: float = 86_400.0


class Store(Struct, frozen=True):
    """Where the store is; "" is `$XDG_DATA_HOME/agentmon`."""

    data_dir: str = ""


class Follow(Struct, frozen=True):
    """How inputs are followed; `poll` is the longest pause, in seconds, where nothing notifies."""

    poll: float = 0.25


class Discover(Struct, frozen=True):
    """What is read first: what was active in the last `since` seconds; older logs come after."""

    since: float = 86_400.0


class Attention(Struct, frozen=True):
    """What calls a person; `cooldown` is in seconds, for one kind of news of one session."""

    bell: bool = True
    title: bool = True
    on_permission: bool = True
    on_stall: bool = True
    on_death: bool = True
    on_finish: bool = True
    cooldown: float = 30.0


class Metrics(Struct, frozen=True):
    """What `serve-metrics` tells: at most `max_sessions`, active in the last `since` seconds."""

    since: float = 86_400.0
    max_sessions: int = 100


class Retention(Struct, frozen=True):
    """What is taken out of the store once a day; 0 is no limit, and without one nothing goes.

    `days` since a session's last activity, `max_size` in bytes of database and delta files.
    """

    days: float = 0.0
    max_size: int = 0
    action: str = "archive"


class Search(Struct, frozen=True):
    """The index of `search`, in bytes: how large it may get, how much of one text it reads."""

    max_size: int = 512 << 20
    max_text: int = 256 << 10


class Messages(Struct, frozen=True):
    """Messages between agents: who `agentmon send` and `inbox` speak for; bytes of one message."""

    agent: str = ""
    max_size: int = 1 << 20


class Balance(Struct, frozen=True):
    """When the balance of work is looked at: once all together did so many things, work events and
    tool calls."""

    least: int = 10


class Redis(Struct, frozen=True):
    """The server by which agents on several machines talk; "" is none, the store alone then.

    `max_inbox`: messages that an agent's inbox on it holds; what is beyond waits with its senders.
    """

    url: str = ""
    max_inbox: int = 10_000


class Capture(Struct, frozen=True):
    """What the tap and the hooks write; "" is `$XDG_STATE_HOME/agentmon/capture`.

    A log of `max_bytes`, or that was begun `max_age` seconds ago, is put aside for a new one; the
    oldest go while all of them take more than `keep_bytes`.
    """

    folder: str = ""
    max_bytes: int = 256 << 20
    max_age: float = 7 * 86_400.0
    keep_bytes: int = 2 << 30


class Settings(Struct, frozen=True):
    """Every setting, resolved. `paths` are followed besides what is found on this machine."""

    paths: tuple[str, ...] = ()
    health: Health = Health()
    ui: Ui = Ui()
    store: Store = Store()
    follow: Follow = Follow()
    discover: Discover = Discover()
    attention: Attention = Attention()
    metrics: Metrics = Metrics()
    retention: Retention = Retention()
    search: Search = Search()
    messages: Messages = Messages()
    balance: Balance = Balance()
    redis: Redis = Redis()
    capture: Capture = Capture()


class Setting(Struct, frozen=True):
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
