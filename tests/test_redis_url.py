"""An address is shown without what is secret, and what is no address tells nothing of itself."""

import pytest

from agentmon import redis_url

SECRETS = ("hunter2", "h%2Fu@nter2", "alice")


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://localhost", "redis://localhost:6379/0"),
        ("redis://alice:hunter2@db.example:7000/3", "redis://db.example:7000/3"),
        ("rediss://:h%2Fu@nter2@db.example/1?ssl_cert_reqs=none", "rediss://db.example:6379/1"),
        ("redis://:hunter2@[::1]:7000", "redis://[::1]:7000/0"),
        ("redis://h:1/2?db=5&password=hunter2", "redis://h:1/5"),
        (" unix:///run/my%20redis.sock?db=2&password=hunter2", "unix:///run/my redis.sock?db=2"),
        ("unix://alice:hunter2@/run/redis.sock", "unix:///run/redis.sock?db=0"),
    ],
)
def test_shown(url: str, shown: str) -> None:
    assert redis_url.shown(url) == shown == redis_url.safely_shown(url)
    assert not [secret for secret in SECRETS if secret in shown]


@pytest.mark.parametrize(
    "url",
    [
        "",
        "hunter2",
        "http://alice:hunter2@h/",
        "redis://:hunt/er2@h:1/0",
        "redis://:12/hunter2@h:1/0",
        "redis://:hunter2#@h:1/0",
        "redis://:hunter2@h:port/0",
        "redis://h:99999/hunter2",
        "redis://h/hunter2",
        "redis://h/?db=hunter2",
        "redis://[hunter2/0",
        "unix://hunter2/x.sock",
        "unix:hunter2",
        "redis://h/\x1b[31mhunter2",
        "redis://h%0a:hunter2@h/0",
    ],
)
def test_no_address(url: str) -> None:
    with pytest.raises(ValueError, match=r"needed|are written") as refused:
        redis_url.shown(url)
    assert "hunter2" not in str(refused.value)
    assert redis_url.safely_shown(url) == "(not an address)"


def test_secrets() -> None:
    assert redis_url.secrets("redis://alice:h%2Fu@h/0?password=x") == ["h%2Fu", "alice", "h/u", "x"]
    assert redis_url.secrets("redis://h/0") == []
