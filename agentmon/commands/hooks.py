"""`agentmon hook`, which clients run, and `agentmon hooks`, which tells them to."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from agentmon.commands import options
from agentmon.commands.options import Failure, clear_errors, complain, data_dir_option, json_option
from agentmon.core.text import clean

if TYPE_CHECKING:
    from agentmon.capture.hook_settings import Client, Found, Scope

F = TypeVar("F", bound=Callable[..., Any])


@click.command()
@click.argument("client", required=False)
@data_dir_option
@json_option
def hook(client: str | None, data_dir: Path | None, as_json: bool) -> None:
    """What a client runs for its hooks: reads the hook's JSON, writes one line into the log.

    Prints nothing and ends with exit code 0 whatever happens. `agentmon hooks install` sets it up.

    \b
    echo '{"hook_event_name": "Stop", "session_id": "…"}' | agentmon hook claude
    """
    del data_dir, as_json
    from agentmon.capture import hook as receiving

    receiving.main([] if client is None else [client])


@click.group()
def hooks() -> None:
    """Hooks of Claude Code and Codex: they tell of permission waits, tool starts, session ends.

    \b
    agentmon hooks install
    agentmon hooks install --client claude --scope project
    agentmon hooks status --json
    agentmon hooks uninstall
    """


def _common(fn: F) -> F:
    for option in (
        json_option,
        data_dir_option,
        click.option(
            "--client",
            "clients",
            type=click.Choice(["claude", "codex"]),
            multiple=True,
            help="Whose settings; otherwise of those that are on this machine.",
        ),
        click.option(
            "--scope",
            type=click.Choice(["user", "project"]),
            default="user",
            show_default=True,
            help="For this user everywhere, or for the project in this folder.",
        ),
    ):
        fn = option(fn)
    return fn


@hooks.command()
@_common
def install(
    scope: "Scope", clients: "tuple[Client, ...]", data_dir: Path | None, as_json: bool
) -> None:
    """Adds agentmon to the hooks in a client's settings; everything else stays byte for byte.

    Again it changes nothing. The file as it was is kept beside it as NAME.before-agentmon.

    \b
    agentmon hooks install
    """
    from agentmon.capture import hook_settings

    del data_dir

    def put(client: "Client", path: Path) -> str:
        is_new = hook_settings.install(client, path, hook_settings.command(client))
        return "added" if is_new else "were there"

    _each(scope, clients, as_json, put)


@hooks.command()
@_common
def uninstall(
    scope: "Scope", clients: "tuple[Client, ...]", data_dir: Path | None, as_json: bool
) -> None:
    """Takes agentmon out of a client's settings, which are then what they were before.

    \b
    agentmon hooks uninstall --scope project
    """
    from agentmon.capture import hook_settings

    del data_dir

    def take(client: "Client", path: Path) -> str:
        del client
        return "taken out" if hook_settings.uninstall(path) else "there were none"

    _each(scope, clients, as_json, take)


@hooks.command()
@_common
def status(
    scope: "Scope", clients: "tuple[Client, ...]", data_dir: Path | None, as_json: bool
) -> None:
    """Whether agentmon is in a client's settings, at which events, and what is run there.

    \b
    agentmon hooks status
    """
    del data_dir
    _each(scope, clients, as_json, lambda client, path: "")


def _each(
    scope: "Scope",
    clients: "tuple[Client, ...]",
    as_json: bool,
    act: "Callable[[Client, Path], str]",
) -> None:
    from agentmon.capture import hook_settings

    rows: list[dict[str, object]] = []
    failed: list[str] = []
    for client in clients or present_clients():
        path: Path | None = None
        try:
            with clear_errors():
                path = hook_settings.settings_file(client, scope, os.environ, Path.cwd())
                said = act(client, path)
                found = hook_settings.examine(client, path)
        except (hook_settings.Refused, Failure) as problem:
            failed.append(str(problem))
            where = None if path is None else str(path)
            rows.append({"client": client, "path": where, "problem": str(problem)})
            continue
        rows.append(_record(found, said))
        if not as_json:
            for line in _lines(found, said):
                click.echo(clean(line, newline=False))
    if as_json:
        options.print_json(rows)
    for problem in failed:
        complain(problem)
    if failed:
        raise SystemExit(1)


def present_clients() -> "tuple[Client, ...]":
    """The clients of this machine; Claude Code where there is none."""
    import shutil

    from agentmon.capture.hook_settings import CLIENTS, has_home

    found: list[Client] = [
        one for one in CLIENTS if has_home(one, os.environ) or shutil.which(one) is not None
    ]
    return tuple(found or CLIENTS[:1])


def _record(found: "Found", said: str) -> dict[str, object]:
    return {
        "client": found.client,
        "path": str(found.path),
        "state": found.state,
        "change": said or None,
        "events": list(found.events),
        "missing": list(found.missing),
        "commands": list(found.commands),
        "switched_off": found.is_off,
    }


def _lines(found: "Found", said: str) -> list[str]:
    state = {"installed": "all hooks are there", "absent": "no hook of agentmon"}.get(
        found.state, f"not at {', '.join(found.missing)}"
    )
    change = f", {said}" if said else ""
    lines = [f"{found.client}: {found.path}: {state}{change}"]
    lines += [f"  runs {command}" for command in found.commands]
    if found.is_off:
        lines.append("  but the file switches all hooks off (disableAllHooks)")
    if found.client == "codex" and said == "added":
        lines.append("  Codex asks before it runs new hooks: type /hooks in it and trust them")
    return lines
