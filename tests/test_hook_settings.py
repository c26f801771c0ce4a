"""`agentmon hooks`: what stands in settings files beside our hooks stays byte for byte."""

import json
import os
import shlex
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from agentmon.capture import hook_settings, json_edit
from agentmon.capture.hook_settings import CLIENTS, EVENTS, Client, Refused
from tests import cli_run, golden
from tests.cli_run import assert_one_sentence, inside
from tests.deep import examples

COMMAND = "/opt/a b/agentmon hook claude || true"

# -- any settings file


def spaces(is_lenient: bool) -> st.SearchStrategy[str]:
    plain = st.text(" \t\n\r", max_size=3)
    if not is_lenient:
        return plain
    return st.one_of(plain, st.sampled_from(['// "a": [1],\n', "/* {\n */", "\n  // why\n  "]))


@st.composite
def containers(draw: st.DrawFn, inner: st.SearchStrategy[str], is_lenient: bool) -> str:
    blank, is_object = spaces(is_lenient), draw(st.booleans())
    parts = draw(st.lists(inner, max_size=4))
    if is_object:
        keys = st.one_of(st.text(max_size=4), st.sampled_from(["hooks", "Stop", "a"]))
        names = draw(st.lists(keys, min_size=len(parts), max_size=len(parts)))
        parts = [
            json.dumps(name) + draw(blank) + ":" + draw(blank) + part
            for name, part in zip(names, parts, strict=True)
        ]
    text = ",".join(draw(blank) + part + draw(blank) for part in parts) or draw(blank)
    if parts and is_lenient and draw(st.booleans()):
        text += "," + draw(blank)
    return f"{{{text}}}" if is_object else f"[{text}]"


def values(is_lenient: bool) -> st.SearchStrategy[str]:
    scalars = st.one_of(
        st.text(max_size=6).map(json.dumps),
        st.text(max_size=6).map(lambda text: json.dumps(text, ensure_ascii=False)),
        st.sampled_from(["1", "-2.5e3", "true", "null", '"// no comment"', '"\\"}"']),
    )
    return st.recursive(scalars, lambda inner: containers(inner, is_lenient), max_leaves=6)


OTHERS = st.sampled_from(
    [
        '{"hooks": [{"type": "command", "command": "beep"}]}',
        '{ "matcher": "Bash",\n "hooks": [ ] }',
        '{"matcher": "*", "hooks": [{"type": "command", "command": "agentmon status"}]}',
    ]
)


@st.composite
def settings_texts(draw: st.DrawFn) -> str:
    """A settings file with any hooks of others, laid out in any way."""
    is_lenient = draw(st.booleans())
    blank = spaces(is_lenient)
    events = draw(st.lists(st.sampled_from([*EVENTS["claude"], "Other"]), unique=True, max_size=4))
    members = {
        json.dumps(event): "["
        + ",".join(
            draw(blank) + group + draw(blank) for group in draw(st.lists(OTHERS, max_size=2))
        )
        + draw(blank)
        + "]"
        for event in events
    }
    parts = [
        (json.dumps(name), draw(values(is_lenient)))
        for name in draw(st.lists(st.text(max_size=5).filter(lambda text: text != "hooks")))
    ]
    if draw(st.booleans()):
        inside = ",".join(
            draw(blank) + name + ":" + draw(blank) + value + draw(blank)
            for name, value in members.items()
        )
        hooks = ('"hooks"', f"{{{inside or draw(blank)}}}")
        parts.insert(draw(st.integers(0, len(parts))), hooks)
    text = ",".join(draw(blank) + name + draw(blank) + ":" + value for name, value in parts)
    return f"{draw(blank)}{{{text}{draw(blank)}}}{draw(blank)}"


def told(text: str) -> Any:
    return json_edit.data(text, json_edit.parse(text))


def without_ours(value: Any) -> Any:
    """What a settings value means beside our hooks, worked out on the value itself."""
    if not isinstance(value, dict):
        return value
    tree = dict(cast("dict[str, Any]", value))
    kept: dict[str, Any] = {}
    for event, groups in tree.pop("hooks", {}).items():
        others = [group for group in groups if COMMAND not in json.dumps(group)]
        if others:
            kept[event] = others
    return {**tree, "hooks": kept}


@settings(max_examples=examples(5, 40), deadline=None)
@given(text=settings_texts(), client=st.sampled_from(CLIENTS))
@example(text="{}", client="claude")
@example(text="{\n}", client="claude")
@example(text='{"hooks":{}}', client="codex")
@example(text='{"hooks": {\n}, "a": 1}', client="codex")
@example(text='{\r\n\t"a": 1, // why\r\n}\r\n', client="claude")
@example(text='{"hooks": {"Stop": [ ]}}', client="claude")
def test_what_was_put_in_is_taken_out_again_to_the_byte(text: str, client: Client) -> None:
    after = hook_settings.installed(client, text, COMMAND)
    events, commands, _ = hook_settings.look(after)
    assert sorted(events) == sorted(EVENTS[client])
    assert set(commands) == {COMMAND}
    assert hook_settings.installed(client, after, COMMAND) == after
    assert hook_settings.uninstalled(after) == text
    assert without_ours(told(after)) == without_ours(told(text))


@settings(max_examples=examples(12, 60), deadline=None)
@given(text=values(False))
def test_a_text_means_what_json_says_it_means(text: str) -> None:
    assert told(text) == json.loads(text)


@given(text=st.text('{}[]",:/*\\ \n1atrue', max_size=12))
def test_what_is_no_settings_file_is_refused_in_words(text: str) -> None:
    said = ""
    try:
        hook_settings.installed("claude", text, COMMAND)
    except (json_edit.NotJson, Refused) as problem:
        said = str(problem)
    assert said or isinstance(told(text), dict)


def test_a_file_full_of_brackets_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "settings.json"
    path.write_text('{"a": ' + "[" * 100_000)
    with pytest.raises(Refused, match="nested too deeply"):
        hook_settings.install("claude", path, COMMAND)


def test_an_older_command_is_replaced_and_hooks_of_others_in_its_group_stay() -> None:
    text = (
        '{"hooks": {"Stop": [{"hooks": [{"type": "command", "command": "beep"}, '
        '{"command": "/old/bin/python -m agentmon hook", "type": "command"}]}]}}'
    )
    after = hook_settings.installed("claude", text, COMMAND)
    assert set(hook_settings.look(after)[1]) == {COMMAND}
    left = told(hook_settings.uninstalled(after))
    assert left == {"hooks": {"Stop": [{"hooks": [{"type": "command", "command": "beep"}]}]}}


@pytest.mark.parametrize(
    ("command", "is_ours"),
    [
        ("agentmon hook", True),
        ("'/home/u/my tools/agentmon' hook claude || true", True),
        ("env PYTHONPATH=/x /usr/bin/python3 -P -m agentmon hook codex || true", True),
        ("agentmon status", False),
        ("echo agentmon; hook", False),
        ("my-agentmon hook", False),
        ("agentmon 'hook", False),
    ],
)
def test_our_command_is_known_however_it_was_written(command: str, is_ours: bool) -> None:
    assert hook_settings.is_ours(command) is is_ours


# -- files


def test_a_file_that_was_made_for_hooks_is_deleted_with_them(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "settings.json"
    assert hook_settings.install("claude", path, COMMAND)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert set(json.loads(path.read_text())["hooks"]) == set(EVENTS["claude"])
    assert not hook_settings.install("claude", path, COMMAND)
    assert hook_settings.uninstall(path)
    assert list(path.parent.iterdir()) == []
    assert not hook_settings.uninstall(path)


@pytest.mark.parametrize("before", [b"", b"\n", b'\xef\xbb\xbf{"a": "\xff"}\n', b'{"a":1}'])
def test_bytes_mode_and_link_of_a_file_survive(tmp_path: Path, before: bytes) -> None:
    real = tmp_path / "dotfiles.json"
    real.write_bytes(before)
    real.chmod(0o640)
    path = tmp_path / "home" / "settings.json"
    path.parent.mkdir()
    path.symlink_to(real)
    assert hook_settings.install("claude", path, COMMAND)
    backup = path.with_name("settings.json.before-agentmon")
    assert backup.read_bytes() == before
    assert hook_settings.uninstall(path)
    assert path.is_symlink()
    assert real.read_bytes() == before
    assert stat.S_IMODE(real.stat().st_mode) == 0o640
    assert list(path.parent.iterdir()) == [path]
    assert list(tmp_path.iterdir()) == [path.parent, real] or len(list(tmp_path.iterdir())) == 2


def test_the_backup_is_what_was_before_agentmon_and_stays_where_it_differs(tmp_path: Path) -> None:
    path = tmp_path / "hooks.json"
    path.write_text("{}")
    hook_settings.install("codex", path, "/old/agentmon hook codex")
    hook_settings.install("codex", path, COMMAND)
    backup = tmp_path / "hooks.json.before-agentmon"
    assert backup.read_text() == "{}"
    path.write_text(path.read_text().replace("{", '{"description": "mine", ', 1))
    hook_settings.uninstall(path)
    assert json.loads(path.read_text()) == {"description": "mine"}
    assert backup.read_text() == "{}"


# -- the commands


def user_files(home: Path) -> tuple[Path, Path]:
    return home / "claude" / "settings.json", home / "codex" / "hooks.json"


def test_install_status_and_uninstall(scratch_home: Path) -> None:
    claude, codex = user_files(scratch_home)
    claude.write_text('{\n  "model": "opus"\n}\n')
    done = inside("hooks", "install")
    assert done.code == 0, done
    assert done.out.count("all hooks are there, added") == 2
    assert "/hooks" in done.out
    rows = json.loads(inside("hooks", "status", "--json").out)
    for row in rows:
        row["path"] = os.path.relpath(row["path"], scratch_home)
        row["commands"] = len(row["commands"])
    golden.check("hooks_status", rows)
    assert "were there" in inside("hooks", "install").out
    assert inside("hooks", "uninstall").code == 0
    assert claude.read_text() == '{\n  "model": "opus"\n}\n'
    assert not codex.exists()
    assert "there were none" in inside("hooks", "uninstall", "--client", "claude").out


def test_a_project_has_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert inside("hooks", "install", "--scope", "project", "--client", "claude").code == 0
    assert (tmp_path / ".claude" / "settings.json").is_file()
    assert not (tmp_path / ".codex").exists()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"a": }', "line 1 cannot be read"),
        ('{"a": 1', "ends too soon"),
        ("[]", "no JSON object"),
        ('{"hooks": []}', '"hooks" in it is no object'),
        ('{"hooks": {"Stop": {}}}', '"Stop" in its hooks is no array'),
    ],
)
def test_what_cannot_be_read_is_left_alone(scratch_home: Path, text: str, said: str) -> None:
    claude, codex = user_files(scratch_home)
    claude.write_text(text)
    done = inside("hooks", "install")
    assert_one_sentence(done, said, "nothing was changed")
    assert claude.read_text() == text
    assert list(claude.parent.iterdir()) == [claude]
    assert codex.exists()  # the other client is served


def test_switched_off_hooks_are_told(scratch_home: Path) -> None:
    user_files(scratch_home)[0].write_text('{"disableAllHooks": true}')
    assert "switches all hooks off" in inside("hooks", "install", "--client", "claude").out


def test_the_command_that_is_written_runs_from_anywhere(scratch_home: Path, tmp_path: Path) -> None:
    """What a client's shell makes of it, in a folder that would be imported from if it could."""
    (tmp_path / "json.py").write_text("raise SystemExit(2)")
    assert cli_run.run("hooks", "install", "--client", "codex").code == 0
    command = json.loads(user_files(scratch_home)[1].read_text())["hooks"]["Stop"][0]["hooks"][0]
    event = b'{"session_id": "s", "hook_event_name": "Stop"}'
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        ["sh", "-c", command["command"]],
        cwd=tmp_path,
        input=event,
        env=environ,
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    log = scratch_home / "state" / "agentmon" / "capture" / "hooks.jsonl"
    assert json.loads(log.read_text())["payload"]["hook_event_name"] == "Stop"


def test_the_script_that_was_started_is_the_one_that_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / "it's mine" / "agentmon"
    script.parent.mkdir()
    script.write_text("#!/bin/sh\n")
    script.chmod(0o755)
    monkeypatch.setattr(sys, "argv", [str(script), "hooks", "install"])
    written = hook_settings.command("claude")
    assert shlex.split(written) == [str(script), "hook", "claude", "||", "true"]
    assert hook_settings.is_ours(written)
