"""How each client is told where its model is, so that a tap can stand in between."""

import json
import os
import tomllib
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, cast

from msgspec import Struct

Client = Literal["claude", "codex"]

PACKAGES: Mapping[str, Client] = {
    "claude": "claude",
    "@anthropic-ai/claude-code": "claude",
    "codex": "codex",
    "@openai/codex": "codex",
}
"""What a client may be called on a command line."""

_RUNNERS = frozenset({"npx", "bunx", "pnpx", "node", "bun", "env", "exec", "nice", "time"})
_ANTHROPIC = "https://api.anthropic.com"
_OPENAI = "https://api.openai.com/v1"
_CHATGPT = "https://chatgpt.com/backend-api/codex"
_CLOUDS = ("CLAUDE_CODE_USE_BEDROCK", "CLAUDE_CODE_USE_VERTEX", "CLAUDE_CODE_USE_FOUNDRY")
_PROVIDER = "agentmon"


class Unclear(Exception):
    """A command that cannot be led through a tap; the message says what to give."""


class Way(Struct, frozen=True):
    """A command on its way through a tap: where the tap passes requests on to, and what becomes of
    the command's words and environment once the tap's address is known."""

    upstream: str
    lead: Callable[[str], tuple[list[str], dict[str, str]]]


def client_of(words: Sequence[str]) -> tuple[Client, int] | None:
    """Which client a command starts, and which of its words says so."""
    for at, word in enumerate(words):
        name = word.partition("=")[0] if at and "=" in word else word
        known = PACKAGES.get(_package(name))
        if known is not None:
            return known, at
        if not (word.startswith("-") or "=" in word or os.path.basename(word) in _RUNNERS):
            return None
    return None


def _package(word: str) -> str:
    """ "claude" of /usr/bin/claude.exe, "@openai/codex" of @openai/codex@latest."""
    if word.startswith("@"):
        return "@" + word[1:].partition("@")[0]
    return os.path.basename(word).removesuffix(".exe").removesuffix(".js").partition("@")[0]


def way(
    words: Sequence[str],
    environ: Mapping[str, str],
    cwd: Path,
    *,
    client: Client | None = None,
    variables: Sequence[str] = (),
    upstream: str | None = None,
) -> Way:
    """How a command is led through a tap. `variables` are given as NAME={url}. Raises Unclear."""
    if variables:
        return _by_variables(words, variables, client, upstream)
    found = client_of(words)
    if client is None and found is None:
        raise Unclear(
            f"it is not known how {os.path.basename(words[0])} is told where its model is: give"
            " --env NAME={url} with its variable for that, or --client claude or codex"
        )
    if (client or (found[0] if found else None)) == "codex":
        return _codex(words, found, environ, upstream)
    return _claude(words, found, environ, cwd, upstream)


def _by_variables(
    words: Sequence[str], variables: Sequence[str], client: Client | None, upstream: str | None
) -> Way:
    pairs = [variable.partition("=") for variable in variables]
    for name, _, value in pairs:
        if not name or "{url}" not in value:
            raise Unclear(f"--env {name}: give NAME={{url}}, where {{url}} is the tap's address")
    names = " ".join(name for name, _, _ in pairs).upper()
    if upstream is None:
        if client == "claude" or "ANTHROPIC" in names:
            upstream = _ANTHROPIC
        elif client == "codex" or "OPENAI" in names:
            upstream = _OPENAI.removesuffix("/v1")
        else:
            raise Unclear("it is not known where the requests go: give --upstream URL")

    def lead(url: str) -> tuple[list[str], dict[str, str]]:
        return [*words], {name: value.replace("{url}", url) for name, _, value in pairs}

    return Way(upstream, lead)


def beside_proxies(environ: Mapping[str, str]) -> dict[str, str]:
    """What keeps a client's own proxy out of the way to a tap, where there is one."""
    names = {name.upper() for name, value in environ.items() if value}
    if not names & {"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"}:
        return {}
    known = environ.get("NO_PROXY") or environ.get("no_proxy") or ""
    direct = ",".join(part for part in (known, "127.0.0.1") if part)
    return {"NO_PROXY": direct, "no_proxy": direct}


# -- Claude Code


def _claude(
    words: Sequence[str],
    found: tuple[Client, int] | None,
    environ: Mapping[str, str],
    cwd: Path,
    upstream: str | None,
) -> Way:
    said = _claude_environment(environ, cwd)
    cloud = next((name for name in _CLOUDS if said.get(name, environ.get(name))), None)
    if cloud is not None and upstream is None:
        raise Unclear(f"{cloud} is set: what Claude Code says to that service cannot be recorded")
    name = "ANTHROPIC_BASE_URL"
    goes_to = upstream or said.get(name) or environ.get(name) or _ANTHROPIC
    at = found[1] + 1 if found is not None and name in said else None
    has_own = any(word.partition("=")[0] == "--settings" for word in words)
    if name in said and (at is None or has_own):
        raise Unclear(
            f"{name} in a settings file of Claude Code goes before what CMD is told: put it into"
            " the environment"
        )

    def lead(url: str) -> tuple[list[str], dict[str, str]]:
        given = [*words]
        if at is not None:  # what a settings file says goes before the environment
            given[at:at] = ["--settings", json.dumps({"env": {name: url}})]
        return given, {name: url}

    return Way(goes_to, lead)


def _claude_environment(environ: Mapping[str, str], cwd: Path) -> dict[str, str]:
    """The environment that Claude Code's settings files make, the strongest last."""
    home = environ.get("CLAUDE_CONFIG_DIR") or os.path.expanduser("~/.claude")
    project = cwd / ".claude"
    found: dict[str, str] = {}
    for path in (
        Path(home) / "settings.json",
        project / "settings.json",
        project / "settings.local.json",
    ):
        try:
            said: Any = json.loads(path.read_bytes())
            variables = dict(said.get("env") or {})
        except (OSError, ValueError, AttributeError, TypeError, RecursionError):
            continue
        found.update({name: value for name, value in variables.items() if isinstance(value, str)})
    return found


# -- Codex


def _codex(
    words: Sequence[str],
    found: tuple[Client, int] | None,
    environ: Mapping[str, str],
    upstream: str | None,
) -> Way:
    if found is None:
        raise Unclear("Codex takes its model's address as arguments: name codex itself in CMD")
    home = Path(environ.get("CODEX_HOME") or os.path.expanduser("~/.codex"))
    provider, given = _provider(words, _table(home / "config.toml"))
    if given is None and provider not in (None, "openai"):
        raise Unclear(
            f"Codex's provider {provider!r} cannot be led through a tap: give its"
            " base_url in config.toml"
        )
    at = found[1] + 1

    def lead(url: str) -> tuple[list[str], dict[str, str]]:
        if given is not None:
            options = {f"model_providers.{provider}.base_url": url}
        else:
            options = _own_provider(url)
        flags = [word for key, value in options.items() for word in ("-c", f"{key}={_toml(value)}")]
        return [*words[:at], *flags, *words[at:]], {}

    if upstream is None:
        upstream = given or environ.get("OPENAI_BASE_URL") or _usual(home)
    return Way(upstream, lead)


def _own_provider(url: str) -> dict[str, object]:
    """Codex's own provider cannot be led elsewhere, so one that is like it but for the address."""
    return {
        "model_provider": _PROVIDER,
        f"model_providers.{_PROVIDER}.name": "OpenAI through agentmon",
        f"model_providers.{_PROVIDER}.base_url": url,
        f"model_providers.{_PROVIDER}.wire_api": "responses",
        f"model_providers.{_PROVIDER}.requires_openai_auth": True,
    }


def _toml(value: object) -> str:
    return json.dumps(value)


def _provider(words: Sequence[str], table: Mapping[str, object]) -> tuple[str | None, str | None]:
    """The name of the provider that Codex would use, and its address where it has one."""
    name, profile = table.get("model_provider"), table.get("profile")
    pairs = list(pairwise(words))
    for option, value in pairs:
        if option in ("-p", "--profile"):
            profile = value
    if isinstance(profile, str):
        name = _below(table, "profiles", profile).get("model_provider", name)
    for option, value in pairs:
        if option in ("-c", "--config") and value.startswith("model_provider="):
            name = value.partition("=")[2].strip("\"'")
    if not isinstance(name, str):
        return None, None
    address = _below(table, "model_providers", name).get("base_url")
    return name, address if isinstance(address, str) else None


def _below(table: object, *names: str) -> dict[str, object]:
    """A table in a table, {} where there is none."""
    for name in names:
        table = cast("dict[str, object]", table).get(name) if isinstance(table, dict) else None
    return cast("dict[str, object]", table) if isinstance(table, dict) else {}


def _table(path: Path) -> dict[str, object]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}


def _usual(home: Path) -> str:
    """Where Codex's own provider is: that depends on how its user is known there."""
    try:
        known: Any = json.loads((home / "auth.json").read_bytes())
        has_key = bool(known.get("OPENAI_API_KEY")) and known.get("auth_mode") != "chatgpt"
        return _CHATGPT if known.get("tokens") and not has_key else _OPENAI
    except (OSError, ValueError, AttributeError, RecursionError):
        return _OPENAI
