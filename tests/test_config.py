"""Settings: the order of origins, what is warned about, what is refused."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentmon import config
from agentmon.config import ConfigError, Settings


@pytest.fixture
def home(tmp_path: Path) -> dict[str, str]:
    return {
        "XDG_CONFIG_HOME": str(tmp_path / "config"),
        "XDG_DATA_HOME": str(tmp_path / "data"),
        "XDG_STATE_HOME": str(tmp_path / "state"),
    }


def write(home: dict[str, str], text: str) -> Path:
    path = config.config_file(home)
    path.parent.mkdir(parents=True)
    path.write_text(text)
    return path


def test_defaults(home: dict[str, str]) -> None:
    loaded = config.load({}, home)
    assert loaded.settings == Settings()
    assert set(loaded.origins) == set(config.FIELDS)
    assert set(loaded.origins.values()) == {"default"}
    assert loaded.warnings == []


def test_a_flag_beats_the_environment_beats_the_file(home: dict[str, str]) -> None:
    path = write(home, '[health]\nstalled_after = 5\noverdue_after = "20m"\n[ui]\nascii = true\n')
    environ = home | {"AGENTMON_HEALTH__OVERDUE_AFTER": "2h", "AGENTMON_UI__ASCII": "off"}
    loaded = config.load({"ui.ascii": True, "ui.theme": None}, environ)
    assert loaded.settings.health.stalled_after == 5
    assert loaded.settings.health.overdue_after == 7_200
    assert loaded.settings.ui.ascii is True
    assert loaded.origins["health.stalled_after"] == f"file {path}"
    assert loaded.origins["health.overdue_after"] == "environment AGENTMON_HEALTH__OVERDUE_AFTER"
    assert loaded.origins["ui.ascii"] == "flag"
    assert loaded.origins["ui.theme"] == "default"


def test_every_setting_can_come_from_the_environment_and_from_the_file(
    home: dict[str, str],
) -> None:
    given_values = {
        "paths": "/a:/b",
        "health.stalled_after": "45",
        "health.overdue_after": "90s",
        "health.overdue_per_tool": "Bash=20m, Agent = 1h",
        "ui.theme": "nord",
        "ui.ascii": "yes",
        "ui.mouse": "1",
        "ui.back": "6h",
        "store.data_dir": "/data",
        "follow.poll": "100ms",
        "attention.bell": "no",
        "attention.title": "off",
        "attention.on_permission": "yes",
        "attention.on_stall": "false",
        "attention.on_death": "0",
        "attention.on_finish": "true",
        "attention.cooldown": "2m",
        "health.silent_after": "10m",
        "discover.since": "48h",
        "metrics.since": "2h",
        "metrics.max_sessions": "7",
        "capture.folder": "/capture",
        "capture.max_bytes": "64MB",
        "capture.max_age": "1d",
        "capture.keep_bytes": "1GB",
        "retention.days": "30d",
        "retention.max_size": "2GB",
        "retention.action": "delete",
        "search.max_size": "100 MB",
        "search.max_text": "64K",
        "messages.agent": "api",
        "balance.least": "50",
        "messages.max_size": "2MB",
        "redis.url": "redis://localhost",
        "redis.max_inbox": "100",
    }
    assert set(given_values) == set(config.FIELDS)
    environ = {config.env_name(key): value for key, value in given_values.items()}
    from_env = config.load({}, home | environ)
    sections: dict[str, list[str]] = {}
    for key, value in given_values.items():
        section, _, name = key.rpartition(".")
        sections.setdefault(section, []).append(f'{name} = "{value}"')
    write(
        home, "\n".join(f"[{name}]\n" * bool(name) + "\n".join(v) for name, v in sections.items())
    )
    from_file = config.load({}, home)
    assert from_env.settings == from_file.settings
    assert from_env.settings.paths == ("/a", "/b")
    assert from_env.settings.health.overdue_per_tool == {"Bash": 1_200.0, "Agent": 3_600.0}
    assert from_env.settings.follow.poll == 0.1
    assert from_env.settings.discover.since == 172_800.0
    assert from_env.settings.metrics.max_sessions == 7
    assert "default" not in from_env.origins.values()
    assert "default" not in from_file.origins.values()


def test_tables_and_lists_of_the_file(home: dict[str, str]) -> None:
    write(home, 'paths = ["/a", "~/b"]\n[health.overdue_per_tool]\nBash = 1200\n"my tool" = "1h"\n')
    loaded = config.load({}, home)
    assert loaded.settings.paths == ("/a", "~/b")
    assert loaded.settings.health.overdue_per_tool == {"Bash": 1_200.0, "my tool": 3_600.0}
    assert loaded.warnings == []


def test_unknown_keys_warn_with_the_nearest_name(home: dict[str, str]) -> None:
    path = write(home, "stalled_after = 3\n[health]\nstalled_afer = 3\n[zzz]\nqqq = 1\n")
    loaded = config.load({}, home | {"AGENTMON_DATA_DIR": "/x", "AGENTMON_QQQ": "1"})
    assert loaded.settings == Settings()
    assert loaded.warnings == [
        f"{path}: unknown key 'stalled_after'; did you mean health.stalled_after?",
        f"{path}: unknown key 'health.stalled_afer'; did you mean health.stalled_after?",
        f"{path}: unknown key 'zzz.qqq'",
        "environment: unknown variable AGENTMON_DATA_DIR; did you mean AGENTMON_STORE__DATA_DIR?",
        "environment: unknown variable AGENTMON_QQQ",
    ]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("health.stalled_after", "soon"),
        ("health.stalled_after", 0),
        ("health.stalled_after", -1.0),
        ("health.stalled_after", True),
        ("health.stalled_after", float("nan")),
        ("health.stalled_after", 10**400),
        ("health.stalled_after", -(10**400)),
        ("health.overdue_per_tool", {"Bash": -(10**400)}),
        ("health.overdue_per_tool", "Bash"),
        ("health.overdue_per_tool", {"Bash": "x"}),
        ("health.overdue_per_tool", 3),
        ("ui.ascii", "perhaps"),
        ("ui.mouse", 2),
        ("ui.theme", ""),
        ("ui.theme", 7),
        ("paths", 7),
        ("paths", ["/a", 7]),
        ("store.data_dir", "a\0b"),
        ("store.data_dir", "~nobody-of-that-name/x"),
    ],
)
def test_a_bad_value_is_refused_with_its_name(
    home: dict[str, str], key: str, value: object
) -> None:
    with pytest.raises(ConfigError) as caught:
        config.load({key: value}, home)
    assert (caught.value.key, caught.value.origin) == (key, "flag")
    assert str(caught.value).startswith(f"{key} = {value!r} (from flag): ")


def test_a_reason_is_ours_however_long_the_number(home: dict[str, str]) -> None:
    with pytest.raises(ConfigError) as caught:
        config.load({"metrics.max_sessions": "9" * 5_000}, home)
    assert caught.value.reason == "a whole number from 1 to 1,000,000 is needed"


def test_a_bad_value_names_its_file_or_variable(home: dict[str, str]) -> None:
    variable = {"AGENTMON_FOLLOW__POLL": "often"}
    with pytest.raises(ConfigError, match="from environment AGENTMON_FOLLOW__POLL"):
        config.load({}, home | variable)
    path = write(home, "[ui]\nascii = 3\n")
    with pytest.raises(ConfigError) as caught:
        config.load({"ui.ascii": True}, home)
    assert caught.value.origin == f"file {path}"


@pytest.mark.parametrize(
    "content",
    [b"[health\n", b"\xff\xfe", b"a = 1\na = 2\n", b"a = " + b"[" * 5_000],
    ids=["half", "bytes", "twice", "deep"],
)
def test_a_broken_file_is_one_clear_error(home: dict[str, str], content: bytes) -> None:
    path = write(home, "")
    path.write_bytes(content)
    with pytest.raises(ConfigError, match="cannot be read") as caught:
        config.load({}, home)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_folder_in_place_of_the_file_is_one_clear_error(home: dict[str, str]) -> None:
    config.config_file(home).mkdir(parents=True)
    with pytest.raises(ConfigError, match="directory"):
        config.load({}, home)


def shown(environ: dict[str, str], key: str) -> object:
    return config.FIELDS[key].shown(environ[config.env_name(key)])


@given(
    st.dictionaries(
        st.sampled_from([config.env_name(key) for key in config.FIELDS]),
        st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",))),
    )
)
def test_any_environment_loads_or_is_refused(environ: dict[str, str]) -> None:
    refused: ConfigError | None = None
    try:
        loaded = config.load({}, environ | {"XDG_CONFIG_HOME": "/nonexistent"})
        assert loaded.settings.health.stalled_after > 0
    except ConfigError as problem:
        refused = problem
    assert refused is None or shown(environ, refused.key) == refused.value


def test_rows_say_value_and_origin(home: dict[str, str]) -> None:
    loaded = config.load({"health.stalled_after": "45s"}, home)
    rows = {str(row["key"]): row for row in config.rows(loaded)}
    assert list(rows) == list(config.FIELDS)
    assert rows["health.stalled_after"]["value"] == 45.0
    assert rows["health.stalled_after"]["origin"] == "flag"
    assert rows["ui.theme"]["value"] == "textual-dark"


def test_folders_honour_xdg_and_the_setting(home: dict[str, str], tmp_path: Path) -> None:
    assert config.config_file(home) == tmp_path / "config/agentmon/config.toml"
    assert config.data_dir(environ=home) == tmp_path / "data/agentmon"
    assert config.state_dir(home) == tmp_path / "state/agentmon"
    chosen = config.load({"store.data_dir": str(tmp_path / "mine")}, home).settings
    assert config.data_dir(chosen, home) == tmp_path / "mine"
    assert config.data_dir(Settings(), home) == tmp_path / "data/agentmon"
    relative = home | {"XDG_DATA_HOME": "data"}
    assert config.data_dir(environ=relative).is_absolute()
