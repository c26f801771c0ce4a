"""Settings and where they came from, and the folders agentmon uses.

A value comes from a flag, else the environment (`AGENTMON_HEALTH__STALLED_AFTER`), else
`config.toml`, else what agents share in the store, else its default. `FIELDS` is the one list of
settings: parsing, `agentmon config` and the warnings about unknown keys all read it.
"""

import os
import re
from collections.abc import Callable, Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import cast

import msgspec
from msgspec import Struct, field

APP = "agentmon"
ENV_PREFIX = "AGENTMON_"
FILE_NAME = "config.toml"


class Health(Struct, frozen=True):
    """When silence becomes a verdict, in seconds."""

    stalled_after: float = 30.0
    overdue_after: float = 600.0
    silent_after: float = 330.0
    overdue_per_tool: dict[str, float] = field(default_factory=dict[str, float])


class Ui(Struct, frozen=True):
    """How the screen looks and listens."""

    theme: str = "textual-dark"
    ascii: bool = False
    mouse: bool = False


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


class Redis(Struct, frozen=True):
    """The server by which agents on several machines talk; "" is none, the store alone then.

    `max_inbox`: messages that an agent's inbox on it holds; what is beyond waits with its senders.
    """

    url: str = ""
    max_inbox: int = 10_000


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
    redis: Redis = Redis()


class Loaded(Struct, frozen=True):
    """Settings, where each came from by dotted key, and what was odd on the way."""

    settings: Settings
    origins: dict[str, str]
    warnings: list[str]


class ConfigError(Exception):
    """A value that cannot be used; the message names key, value and origin."""

    def __init__(self, key: str, value: object, origin: str, reason: str) -> None:
        super().__init__(f"{key} = {value!r} (from {origin}): {reason}")
        self.key = key
        self.value = value
        self.origin = origin
        self.reason = reason


class Setting(Struct, frozen=True):
    """How a setting is read: `parse` takes what a flag, a TOML file or the environment has,
    and raises ValueError with a reason."""

    parse: Callable[[object], object]
    help: str
    shown: Callable[[object], object] = lambda value: value
    """What may be shown of a value, in whatever form it was given."""


_DURATION = re.compile(r"(\d+(?:\.\d*)?|\.\d+)\s*(ms|s|m|h|d|)")
_SECONDS = {"": 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0}


def duration(value: object) -> float:
    """Seconds of "90s", "10m" or 30. Raises ValueError with a reason."""
    seconds = 0.0
    if isinstance(value, int | float) and not isinstance(value, bool):
        seconds = float(value) if value < 1e12 else 0.0
    elif isinstance(value, str) and (match := _DURATION.fullmatch(value.strip())):
        seconds = float(match[1]) * _SECONDS[match[2]]
    if not 0.0 < seconds < 1e12:
        raise ValueError('a time above zero is needed: seconds such as 30, or "90s", "10m", "2h"')
    return seconds


_OFF = frozenset({"", "0", "off", "no", "none"})
_DAYS = re.compile(r"(\d+(?:\.\d*)?|\.\d+)\s*(?:d|days?|)")


def days(value: object) -> float:
    """Days of 30, "30" or "30d"; 0 and "off" are 0. Raises ValueError with a reason."""
    if isinstance(value, str):
        text = value.strip().lower()
        match = _DAYS.fullmatch(text)
        value = 0 if text in _OFF else float(match[1]) if match else None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e6:
        raise ValueError("a number of days is needed, such as 30 or 0.5")
    return float(value)


_SIZE = re.compile(r"(\d+(?:\.\d*)?|\.\d+)\s*(?:([kmgt])i?b?|b|)")
_BYTES = {None: 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}


def size(value: object) -> int:
    """Bytes of 1048576, "500MB" or "2g"; a KB is 1,024 bytes; "off" is 0. Raises ValueError."""
    if isinstance(value, str):
        text = value.strip().lower()
        match = _SIZE.fullmatch(text)
        value = 0 if text in _OFF else float(match[1]) * _BYTES[match[2]] if match else None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1 << 62:
        raise ValueError('a size is needed: bytes, or "500MB", "2GB"')
    return int(value)


def _some(value: object) -> int:
    """A size that is not nothing."""
    found = size(value)
    if not found:
        raise ValueError('a size above zero is needed: bytes, or "512MB", "2GB"')
    return found


def _action(value: object) -> str:
    if value not in ("archive", "delete"):
        raise ValueError("archive or delete is needed")
    return str(value)


def _redis_url(value: object) -> str:
    """An address of a Redis server, with user and password where it needs them."""
    from agentmon import redis_url  # only where there is one

    text = _text(value).strip()
    redis_url.shown(text)
    return text


def _without_secrets(value: object) -> object:
    if not isinstance(value, str) or not value:
        return value
    from agentmon import redis_url

    return redis_url.safely_shown(value)


_TRUE = {"1", "true", "yes", "on"}
_FALSE = {"0", "false", "no", "off"}


def _boolean(value: object) -> bool:
    if isinstance(value, bool):
        return value
    word = value.strip().lower() if isinstance(value, str) else ""
    if word not in _TRUE | _FALSE:
        raise ValueError("true or false is needed")
    return word in _TRUE


def _text(value: object) -> str:
    if not isinstance(value, str) or not value.strip() or "\0" in value:
        raise ValueError("a text is needed")
    return value


def _count(value: object) -> int:
    """A whole number above zero."""
    if isinstance(value, str) and value.strip().isdecimal():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < value <= 1_000_000:
        raise ValueError("a whole number from 1 to 1,000,000 is needed")
    return value


def _paths(value: object) -> tuple[str, ...]:
    """A list, or one text with the separator of $PATH."""
    if isinstance(value, str):
        return tuple(part for part in value.split(os.pathsep) if part)
    if isinstance(value, list | tuple):
        return tuple(_text(part) for part in cast("list[object]", value))
    raise ValueError("a list of files and folders is needed")


def _per_tool(value: object) -> dict[str, float]:
    """A table, or a text such as "Bash=20m,Agent=1h"."""
    if isinstance(value, str):
        pairs = [part.partition("=") for part in value.split(",") if part.strip()]
        return {_text(name).strip(): duration(seconds) for name, _, seconds in pairs}
    if isinstance(value, Mapping):
        table = cast("Mapping[object, object]", value)
        return {_text(name): duration(seconds) for name, seconds in table.items()}
    raise ValueError('a table of tool names and times is needed, such as "Bash=20m,Agent=1h"')


FIELDS: Mapping[str, Setting] = {
    "paths": Setting(_paths, "files and folders to follow besides those found"),
    "health.stalled_after": Setting(duration, "silence after which a due byte is a stall"),
    "health.overdue_after": Setting(duration, "time after which a pending tool is overdue"),
    "health.overdue_per_tool": Setting(_per_tool, "the same for single tools, by name"),
    "ui.theme": Setting(_text, "a theme of Textual"),
    "ui.ascii": Setting(_boolean, "draw with ASCII characters only"),
    "ui.mouse": Setting(_boolean, "let the screen take the mouse (no selecting of text)"),
    "store.data_dir": Setting(_text, "where the store is"),
    "follow.poll": Setting(duration, "longest pause where the file system does not notify"),
    "attention.bell": Setting(_boolean, "ring the terminal's bell"),
    "attention.title": Setting(_boolean, "write into the terminal's title how many need you"),
    "attention.on_permission": Setting(_boolean, "an agent that waits for you is news"),
    "attention.on_stall": Setting(_boolean, "a stall is news"),
    "attention.on_death": Setting(_boolean, "an agent that died is news"),
    "attention.on_finish": Setting(_boolean, "a finished turn is news"),
    "attention.cooldown": Setting(duration, "time before the same news of a session rings again"),
    "health.silent_after": Setting(
        duration, "silence of a transcript in the middle of a turn that is a stall"
    ),
    "search.max_size": Setting(_some, "how large the index of search may get; the oldest go first"),
    "search.max_text": Setting(_some, "how much of one text can be searched"),
    "messages.agent": Setting(_text, "the agent that send, inbox and listen speak for"),
    "redis.url": Setting(_redis_url, "a Redis server by which agents talk", _without_secrets),
    "redis.max_inbox": Setting(_count, "messages an inbox on it holds; more wait with the senders"),
    "messages.max_size": Setting(_some, "how large one message between agents may be"),
    "discover.since": Setting(duration, "logs active in this time are read first"),
    "metrics.since": Setting(duration, "sessions active in this time have metrics of their own"),
    "metrics.max_sessions": Setting(_count, "at most so many sessions, the most recent ones"),
    "retention.days": Setting(days, "ended sessions silent for so many days go; 0: never"),
    "retention.max_size": Setting(size, "the oldest ended ones go until the store takes less"),
    "retention.action": Setting(_action, "where they go: archive, or delete"),
}
"""Every setting by its dotted key."""


def env_name(key: str) -> str:
    """The environment variable of a setting."""
    return ENV_PREFIX + key.replace(".", "__").upper()


def load(
    overrides: Mapping[str, object],
    environ: Mapping[str, str],
    shared: Mapping[str, tuple[object, str]] | None = None,
) -> Loaded:
    """Settings from flags (dotted keys; None means not given), environment, file, `shared` (what
    the store has: values and who set them) and defaults.

    Raises ConfigError for a value that cannot be used and a file that cannot be read. A shared one
    that cannot be used is a warning: whoever set it must not stop us.
    """
    path = config_file(environ)
    from_file, warnings = _read_file(path)
    from_env = {key: environ[env_name(key)] for key in FIELDS if environ.get(env_name(key))}
    warnings += _unknown_variables(environ)
    values: dict[str, object] = {}
    origins = dict.fromkeys(FIELDS, "default")
    for key, (value, who) in (shared or {}).items():
        try:
            values[key], origins[key] = _parse(key, value, "store"), f"store, set by {who}"
        except ConfigError as problem:
            warnings.append(str(problem))
    layers: tuple[tuple[Mapping[str, object], str], ...] = (
        (from_file, f"file {path}"),
        (from_env, "environment"),
        (overrides, "flag"),
    )
    for layer, origin in layers:
        for key, value in layer.items():
            if value is not None:
                named = f"{origin} {env_name(key)}" if layer is from_env else origin
                origins[key] = named
                values[key] = _parse(key, value, named)
    return Loaded(msgspec.convert(_nested(values), Settings), origins, warnings)


def _parse(key: str, value: object, origin: str) -> object:
    """One value; a bad one is an error even where a stronger origin hides it."""
    try:
        return FIELDS[key].parse(value)
    except ValueError as problem:
        raise ConfigError(key, FIELDS[key].shown(value), origin, str(problem)) from None


def _nested(values: Mapping[str, object]) -> dict[str, object]:
    tree: dict[str, object] = {}
    for key, value in values.items():
        *sections, name = key.split(".")
        place = tree
        for section in sections:
            place = cast("dict[str, object]", place.setdefault(section, {}))
        place[name] = value
    return tree


def _read_file(path: Path) -> tuple[dict[str, object], list[str]]:
    """The known keys of the file, and a warning for each other one. No file is no settings."""
    try:
        data = path.read_bytes()
        import tomllib  # not needed where there is no file

        tree = tomllib.loads(data.decode())
    except FileNotFoundError:
        return {}, []
    except (OSError, ValueError) as problem:  # ValueError: not UTF-8, not TOML
        reason = problem.strerror if isinstance(problem, OSError) else str(problem)
        raise ConfigError(FILE_NAME, str(path), "file", f"cannot be read: {reason}") from None
    known: dict[str, object] = {}
    warnings: list[str] = []
    for key, value in _flat(tree):
        if key in FIELDS:
            known[key] = value
        else:
            warnings.append(f"{path}: unknown key {key!r}{nearest(key, FIELDS)}")
    return known, warnings


def _flat(tree: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, object]]:
    """Dotted keys and values; a table that is itself a setting stays whole."""
    for name, value in tree.items():
        key = prefix + name
        if isinstance(value, dict) and key not in FIELDS:
            yield from _flat(cast("dict[str, object]", value), key + ".")
        else:
            yield key, value


def _unknown_variables(environ: Mapping[str, str]) -> list[str]:
    names = {env_name(key): key for key in FIELDS}
    return [
        f"environment: unknown variable {name}{nearest(name, names)}"
        for name in sorted(environ)
        if name.startswith(ENV_PREFIX) and name not in names
    ]


def nearest(name: str, known: Mapping[str, object]) -> str:
    """A hint at the known name that looks most alike: as a whole, or by its last part."""
    separator = "__" if name.startswith(ENV_PREFIX) else "."
    last = name.removeprefix(ENV_PREFIX).rpartition(separator)[2]
    tails = {key.removeprefix(ENV_PREFIX).rpartition(separator)[2]: key for key in known}
    whole = get_close_matches(name, list(known), 1, 0.75)
    found = whole or [tails[tail] for tail in get_close_matches(last, list(tails), 1, 0.75)]
    return f"; did you mean {found[0]}?" if found else ""


def rows(loaded: Loaded) -> list[dict[str, object]]:
    """Each setting with its value, origin and meaning, for `agentmon config`."""
    tree = msgspec.to_builtins(loaded.settings)
    found: list[dict[str, object]] = []
    for key, setting in FIELDS.items():
        value: object = tree
        for name in key.split("."):
            value = cast("dict[str, object]", value)[name]
        found.append(
            {
                "key": key,
                "value": setting.shown(value),
                "origin": loaded.origins[key],
                "help": setting.help,
            }
        )
    return found


def _usual(kind: str) -> Path:
    """Where this system keeps such things; imported when it is asked: a command has no time."""
    import platformdirs

    found = {
        "config": platformdirs.user_config_path,
        "data": platformdirs.user_data_path,
        "state": platformdirs.user_state_path,
    }
    return found[kind](APP)


def _xdg(variable: str, environ: Mapping[str, str] | None, fallback: Callable[[], Path]) -> Path:
    """The XDG folder, on every system; the specification ignores relative paths."""
    base = (os.environ if environ is None else environ).get(variable, "")
    return Path(base) / APP if os.path.isabs(base) else fallback()


def config_file(environ: Mapping[str, str] | None = None) -> Path:
    """`$XDG_CONFIG_HOME/agentmon/config.toml`, or where the system keeps settings."""
    folder = _xdg("XDG_CONFIG_HOME", environ, lambda: _usual("config"))
    return folder / FILE_NAME


def data_dir(settings: Settings | None = None, environ: Mapping[str, str] | None = None) -> Path:
    """The folder of the store: the setting, else `$XDG_DATA_HOME/agentmon`."""
    if settings is not None and settings.store.data_dir:
        return Path(settings.store.data_dir).expanduser()
    return _xdg("XDG_DATA_HOME", environ, lambda: _usual("data"))


def state_dir(environ: Mapping[str, str] | None = None) -> Path:
    """The folder of agentmon's own log: `$XDG_STATE_HOME/agentmon`."""
    return _xdg("XDG_STATE_HOME", environ, lambda: _usual("state"))
