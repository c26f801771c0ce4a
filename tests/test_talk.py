"""Real processes talk by a real server, which is killed with kill -9, as are listeners."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deep import only_deep
from tests.redis_server import Server, running
from tests.talk import Talk, expected, handed_twice


@pytest.fixture
def server() -> Iterator[Server]:
    yield from running()


@pytest.mark.parametrize("messages", [120, *only_deep(240)])
def test_each_message_is_archived_once_and_in_order(
    messages: int, server: Server, tmp_path: Path
) -> None:
    told = Talk(tmp_path, server, messages, forked=True).run(server_kills=1, listener_kills=2)
    assert told.archived == expected(messages)
    assert told.listener_kills == 2
    # what a listener had in hand when it was killed comes again, by the same id
    assert handed_twice(told) <= told.listener_kills
    once = {pair: [*dict.fromkeys(numbers)] for pair, numbers in told.handed.items()}
    assert once == expected(messages)
