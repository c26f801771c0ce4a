"""Settings that agents share: exact values, their history, where they stand among the others."""

import json
import math
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given
from hypothesis import settings as tuned
from hypothesis import strategies as st

from agentmon import config
from agentmon.cli import main
from agentmon.collab import settings, typed
from agentmon.collab.settings import SettingError
from agentmon.collab.shared import shared
from agentmon.commands import options
from agentmon.store import db
from tests import golden
from tests.cli_run import Answer, assert_one_sentence, inside
from tests.deep import examples

NOW = 1_772_000_000.0


@pytest.fixture
def conn(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    found = db.create(tmp_path)
    yield found
    found.close()


_unicode = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=10)
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=12,
)  # fmt: skip
_values = (
    st.integers()
    | st.integers(min_value=10**400, max_value=10**3900)
    | st.floats()
    | st.booleans()
    | _unicode
    | st.lists(_json)
    | st.dictionaries(st.text(max_size=8), _json)
    | st.none()
)


def same(one: object, other: object) -> bool:
    """Equal, of the same types all the way down, and floats to the bit but for the kind of NaN."""
    return repr(one) == repr(other) and type(one) is type(other)


@tuned(
    max_examples=examples(25, 150),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(value=_values)
def test_what_comes_back_is_what_was_put_in(conn: sqlite3.Connection, value: object) -> None:
    settings.set_value(conn, "x", value, "ada")
    found = settings.get(conn, "x")
    assert found is not None
    assert same(found.value, value)
    assert found.type == typed.type_of(value)
    assert same(settings.history(conn, "x", limit=1)[0].value, value)


@pytest.mark.parametrize(
    ("value", "kind"),
    [(-0.0, "float"), (5e-324, "float"), (math.inf, "float"), (0.1 + 0.2, "float"), (2**70, "int"),
     ("", "string"), ("a\0b", "string"), ("true", "string"), ("1", "string"), (" 1\n", "string"),
     ([1, 1.0, True, None, {"é\ud800": [2**64]}], "json"), ([], "json"), (None, "json")],
)  # fmt: skip
def test_corners(conn: sqlite3.Connection, value: object, kind: str) -> None:
    assert same(settings.set_value(conn, "x", value, "ada").value, value)
    found = settings.get(conn, "x")
    assert found is not None
    assert (same(found.value, value), found.type) == (True, kind)


@pytest.mark.parametrize(
    ("name", "value", "kind", "field"),
    [
        ("", 1, None, "name"),
        ("a\nb", 1, None, "name"),
        ("x", "half \ud800", None, "value"),
        ("x", 10**5000, None, "value"),
        ("x", [10**5000], None, "value"),
        ("x", (1, 2), None, "value"),
        ("x", {1: 2}, None, "value"),
        ("x", [math.nan], None, "value"),
        ("x", {"a": {3}}, None, "value"),
        ("x", "y" * (1 << 20 | 1), None, "value"),
        ("x", True, "int", "value"),
        ("x", 1, "bool", "value"),
        ("x", 2**53 + 1, "float", "value"),
        ("x", 10**400, "float", "value"),
        ("x", 1, "string", "value"),
        ("x", 1, "number", "type"),
        ("health.stalled_after", "soon", None, "value"),
        ("ui.ascii", "perhaps", None, "value"),
        ("store.data_dir", "/tmp", None, "name"),
        ("redis.url", "redis://ada:hunter2@host/0", None, "value"),
        ("redis.url", "unix:///tmp/x?password=hunter2", None, "value"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_an_error_names_the_field(
    conn: sqlite3.Connection, name: str, value: object, kind: str | None, field: str
) -> None:
    with pytest.raises(SettingError) as refused:
        settings.set_value(conn, name, value, "ada", type=kind)
    assert refused.value.field == field
    assert settings.all_settings(conn) == settings.history(conn) == []


def test_an_address_without_a_secret_is_shared(conn: sqlite3.Connection) -> None:
    for address in ("redis://host:6379/0", "unix:///tmp/x.sock"):
        assert settings.set_value(conn, "redis.url", address, "ada").value == address


def test_endless_nesting_is_refused(conn: sqlite3.Connection) -> None:
    deep: list[Any] = []
    for _ in range(30_000):
        deep = [deep]
    with pytest.raises(SettingError, match="nested too deeply"):
        settings.set_value(conn, "x", deep, "ada")
    while deep:
        deep = deep.pop()  # else the interpreter recurses as it frees them


def test_what_is_kept_can_be_read_from_any_depth(conn: sqlite3.Connection) -> None:
    """A value that was set at the top of a program must not end another one."""

    def nested(levels: int) -> list[Any]:
        return [] if levels == 1 else [nested(levels - 1)]

    settings.set_value(conn, "x", nested(typed.DEEPEST), "ada")
    with pytest.raises(SettingError, match="nested too deeply"):
        settings.set_value(conn, "y", {"a": nested(typed.DEEPEST)}, "ada")

    def deep(levels: int) -> object:
        return settings.value(conn, "x") if not levels else deep(levels - 1)

    assert deep(500) == nested(typed.DEEPEST)


def test_what_is_broken_in_the_store_stops_nobody(conn: sqlite3.Connection, tmp_path: Path) -> None:
    settings.set_value(conn, "ui.theme", "nord", "ada")
    broken = [
        ("anything", "json", "[" * 5_000 + "]" * 5_000),
        ("ui.ascii", "json", "[" * 5_000 + "]" * 5_000),
        ("ui.mouse", "number", "1"),
        ("follow.poll", "float", "soon"),
    ]
    for row in broken:
        conn.execute("INSERT INTO config VALUES (?, ?, ?, 1.0, 'eve')", row)
    assert shared(tmp_path) == {"ui.theme": ("nord", "ada")}
    assert inside("decisions", "--data-dir", tmp_path).code == 0


def test_history_and_the_way_back(conn: sqlite3.Connection) -> None:
    settings.set_value(conn, "x", 1, "ada", now=1.0)
    settings.set_value(conn, "x", 1, "bob", now=2.0)  # the same again
    settings.set_value(conn, "x", 1.0, "bob", reason="finer", now=3.0)
    settings.set_value(conn, "y", {"a": [1]}, "ada", now=4.0)
    settings.unset(conn, "x", "eve", reason="away", now=5.0)
    told = [
        (row.change_id, row.name, row.type, row.value, row.changed_by, row.reason, row.changed_at)
        for row in settings.history(conn)
    ]
    assert told == [
        (4, "x", None, None, "eve", "away", 5.0),
        (3, "y", "json", {"a": [1]}, "ada", "", 4.0),
        (2, "x", "float", 1.0, "bob", "finer", 3.0),
        (1, "x", "int", 1, "ada", "", 1.0),
    ]
    assert settings.get(conn, "x") is None
    assert settings.value(conn, "x", 7) == 7
    back = settings.revert(conn, 1, "ada", now=6.0)
    assert back is not None
    assert (back.type, back.value, back.changed_by) == ("int", 1, "ada")
    assert settings.history(conn, "x", limit=1)[0].reason == "back to change 1"
    assert settings.revert(conn, 4, "ada", now=7.0) is None
    assert settings.get(conn, "x") is None
    assert settings.revert(conn, 4, "ada") is None  # it is so already
    assert [row.change_id for row in settings.history(conn, "x")] == [6, 5, 4, 2, 1]
    assert [row.change_id for row in settings.history(conn, "x", before=5, limit=2)] == [4, 2]
    for act in (
        lambda: settings.revert(conn, 99, "ada"),
        lambda: settings.unset(conn, "x", "ada"),
        lambda: settings.unset(conn, "\ud800", "ada"),
    ):
        with pytest.raises(SettingError):
            act()


# -- among the others


def test_above_the_default_and_below_everything_else() -> None:
    home = {"XDG_CONFIG_HOME": "/nowhere"}
    shared: dict[str, tuple[object, str]] = {"health.stalled_after": ("45s", "ada")}
    loaded = config.load({}, home, shared)
    assert loaded.settings.health.stalled_after == 45.0
    assert loaded.origins["health.stalled_after"] == "store, set by ada"
    env = {**home, "AGENTMON_HEALTH__STALLED_AFTER": "50"}
    assert config.load({}, env, shared).settings.health.stalled_after == 50.0
    flag = config.load({"health.stalled_after": "55"}, env, shared)
    assert flag.origins["health.stalled_after"] == "flag"


def test_who_an_agent_is_and_where_things_lie_is_not_shared(conn: sqlite3.Connection) -> None:
    for name in ("messages.agent", "store.data_dir", "capture.folder"):
        with pytest.raises(settings.SettingError, match=r"^name: "):
            settings.set_value(conn, name, "/api", "ada")
        # one that came into the store otherwise, as from a version before
        loaded = config.load({}, {"XDG_CONFIG_HOME": "/nowhere"}, {name: ("/api", "ada")})
        assert loaded.settings == config.Settings()
        assert loaded.origins[name] == "default"
        (warning,) = loaded.warnings
        assert warning.startswith(f"{name} (from store, set by ada) is left: ")
    assert settings.history(conn) == []


@pytest.mark.parametrize(
    "url",
    ["redis://ada@h/0", "redis://:pw@h", "rediss://h/0?password=pw", "redis://h/0?pass%77ord=pw",
     "unix:///run/redis.sock?db=1&username=ada"],
)  # fmt: skip
def test_no_secret_is_shared(conn: sqlite3.Connection, url: str) -> None:
    with pytest.raises(settings.SettingError, match=r"^value: a secret has no place"):
        settings.set_value(conn, "redis.url", url, "ada")
    assert settings.history(conn) == []
    assert settings.set_value(conn, "redis.url", "redis://h:1/0", "ada").value == "redis://h:1/0"


def test_a_bad_shared_value_is_a_warning() -> None:
    loaded = config.load({}, {"XDG_CONFIG_HOME": "/nowhere"}, {"ui.ascii": ("so-so", "eve")})
    assert loaded.settings == config.Settings()
    assert loaded.origins["ui.ascii"] == "default"
    (warning,) = loaded.warnings
    assert "so-so" in warning
    assert "store" in warning


def origin_of(key: str, answer: Answer) -> tuple[object, str]:
    found = {row["key"]: row for row in json.loads(answer.out)["settings"]}
    return found[key]["value"], found[key]["origin"]


def test_the_command_says_where_each_value_came_from(scratch_home: Path) -> None:
    """From the default up to the flag, each step over the one before it."""
    key, by = "health.stalled_after", ("--by", "ada")
    assert origin_of(key, inside("config", "--json")) == (30.0, "default")
    assert inside("config", "set", key, "1m", *by).code == 0
    assert origin_of(key, inside("config", "--json")) == (60.0, "store, set by ada")
    assert inside("config", "get", key).out == "60.0\n"
    file = scratch_home / "config" / "agentmon" / "config.toml"
    file.parent.mkdir()
    file.write_text('[health]\nstalled_after = "2m"\n')
    assert origin_of(key, inside("config", "--json")) == (120.0, f"file {file}")
    env = {config.env_name(key): "3m"}
    found = inside("config", "--json", env=env)
    assert origin_of(key, found) == (180.0, f"environment {config.env_name(key)}")
    assert json.loads(found.out)["shared"][0]["value"] == "1m"  # who is hidden is still shown
    assert inside("config", env={"AGENTMON_QQQ": "1"}).err.count("AGENTMON_QQQ") == 1


def said(*args: object) -> str:
    done = CliRunner().invoke(main, [*map(str, args)])
    assert done.exit_code == 0, done.output
    return done.stdout


def test_golden(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    at = ("--data-dir", tmp_path / "store")
    monkeypatch.setattr(options, "now", lambda: NOW)
    by = ("--by", "ada", *at)
    golden.check("config_set", json.loads(said("config", "set", "a.b", "-5", "--json", *by)))
    said("config", "set", "roles", '{"ada": ["é", 1.50, 18446744073709551616]}', *by)
    said("config", "set", "word", "true", "--type", "string", "--reason", "no flag", *by)
    said("config", "set", "limit", "inf", *by)
    golden.check("config_get", json.loads(said("config", "get", "roles", "--json", *at)))
    golden.check("config_unset", json.loads(said("config", "unset", "a.b", "--json", *by)))
    golden.check("config_history", json.loads(said("config", "history", "--json", *at)))
    golden.check("config_revert", json.loads(said("config", "revert", "1", "--json", *by)))
    golden.check("config_shared", json.loads(said("config", "--json", *at))["shared"])
    listed = said("config", *at).splitlines()
    assert "word = 'true'    # store, set by ada: string" in listed
    # the options may stand before the subcommand
    assert said("config", *at, "get", "word") == "true\n"
    assert json.loads(said("--json", *at, "config", "get", "word"))["type"] == "string"
    assert said("config", "get", "a.b", *at) == "-5\n"


@pytest.mark.parametrize(
    ("text", "wanted"),
    [("1", 1), ("1.0", 1.0), ("1e3", 1000.0), ("true", True), ("True", "True"), ("[1]", [1]),
     ("[1", "[1"), ("", ""), ("1_000", "1_000"), ("9" * 4001, "9" * 4001), ("\u0661", "\u0661"),
     ("0", 0), ("-5", -5), ("0.5", 0.5), (".5", 0.5), ("-1.5e-3", -0.0015), ("inf", math.inf),
     ("-inf", -math.inf), ("007", "007"), ("-0", "-0"), ("0e12345", "0e12345"),
     ("12e45678", "12e45678"), ("00.5", "00.5")],
    ids=lambda value: str(value)[:12],
)  # fmt: skip
def test_what_a_person_types(text: str, wanted: object) -> None:
    assert same(typed.parse(text)[1], wanted)


def test_bad_input_is_one_sentence(tmp_path: Path) -> None:
    at = ("--data-dir", tmp_path / "store")
    assert_one_sentence(inside("config", "set", "x", "y", "--type", "int", *at), "no int", code=2)
    soon = inside("config", "set", "health.stalled_after", "soon", *at)
    assert_one_sentence(soon, "value: a time above zero", code=2)
    assert_one_sentence(inside("config", "revert", "7", *at), "there is no change 7")
    assert_one_sentence(inside("config", "unset", "x", *at), "nothing is set as 'x'")
    assert_one_sentence(inside("config", "get", "x", *at), "nothing is set as 'x'")
    meant = inside("config", "set", "health.stalled_afer", "3", *at)
    assert meant.code == 0
    assert "did you mean health.stalled_after?" in meant.err
    hostile = inside("config", "set", "x", "a\x1b[31m", *at)
    assert "\x1b" not in hostile.out
