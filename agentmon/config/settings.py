"""Every setting with its default, resolved and typed: what a program is given.

Not imported by `agentmon.config` itself until somebody asks: what reads one or two settings, as
`agentmon send` does, is done before msgspec would be there.
"""

from msgspec import Struct, field


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
