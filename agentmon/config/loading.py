"""What every setting is, and where that came from: the strongest origin that has it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, cast

from agentmon.config.places import FILE_NAME, config_path
from agentmon.config.table import ENV_PREFIX, FIELDS, env_name

if TYPE_CHECKING:
    from agentmon.config.settings import Settings


class Loaded:
    """The values that were given by dotted key, where each setting came from, and what was odd on
    the way. `settings` has the defaults as well."""

    def __init__(
        self, given: Mapping[str, object], origins: Mapping[str, str], warnings: list[str]
    ) -> None:
        self.given = given
        self.origins = origins
        self.warnings = warnings

    @cached_property
    def settings(self) -> Settings:
        """Every setting, typed."""
        from msgspec import convert

        from agentmon.config.settings import Settings

        return convert(_nested(self.given), Settings)


class ConfigError(Exception):
    """A value that cannot be used; the message names key, value and origin."""

    def __init__(self, key: str, value: object, origin: str, reason: str) -> None:
        super().__init__(f"{key} = {value!r} (from {origin}): {reason}")
        self.key = key
        self.value = value
        self.origin = origin
        self.reason = reason


def load(
    overrides: Mapping[str, object],
    environ: Mapping[str, str],
    shared: Mapping[str, tuple[object, str]] | None = None,
) -> Loaded:
    """Settings from flags (dotted keys; None means not given), environment, file, `shared` (what
    the store has: values and who set them) and defaults.

    Raises ConfigError for a value that cannot be used and a file that cannot be read. A shared one
    that cannot be used, or not be shared, is a warning: whoever set it must not stop us.
    """
    path = config_path(environ)
    from_file, warnings = _read_file(path)
    from_env = {key: environ[env_name(key)] for key in FIELDS if environ.get(env_name(key))}
    warnings += _unknown_variables(environ)
    values: dict[str, object] = {}
    origins = dict.fromkeys(FIELDS, "default")
    for key, (value, who) in (shared or {}).items():
        if FIELDS[key].not_shared:
            warnings.append(f"{key} (from store, set by {who}) is left: {FIELDS[key].not_shared}")
            continue
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
    return Loaded(values, origins, warnings)


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


def _read_file(path: str) -> tuple[dict[str, object], list[str]]:
    """The known keys of the file, and a warning for each other one. No file is no settings."""
    try:
        with open(path, "rb") as file:
            data = file.read()
        import tomllib  # not needed where there is no file

        tree = tomllib.loads(data.decode())
    except FileNotFoundError:
        return {}, []
    except (OSError, ValueError, RecursionError) as problem:  # ValueError: not UTF-8, not TOML
        reason = problem.strerror if isinstance(problem, OSError) else str(problem)
        raise ConfigError(FILE_NAME, path, "file", f"cannot be read: {reason}") from None
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
    from difflib import get_close_matches  # only where a name is wrong

    separator = "__" if name.startswith(ENV_PREFIX) else "."
    last = name.removeprefix(ENV_PREFIX).rpartition(separator)[2]
    tails = {key.removeprefix(ENV_PREFIX).rpartition(separator)[2]: key for key in known}
    whole = get_close_matches(name, list(known), 1, 0.75)
    found = whole or [tails[tail] for tail in get_close_matches(last, list(tails), 1, 0.75)]
    return f"; did you mean {found[0]}?" if found else ""


def rows(loaded: Loaded) -> list[dict[str, object]]:
    """Each setting with its value, origin and meaning, for `agentmon config`."""
    from msgspec import to_builtins

    tree = to_builtins(loaded.settings)
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
