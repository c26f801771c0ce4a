"""agentmon about itself: sizes of the store, the figures in the header, the Health overlay."""

import asyncio
import json
import os
from functools import partialmethod
from pathlib import Path

import pytest

from agentmon.engine import weighing
from agentmon.engine.feed import Status
from agentmon.engine.weighing import Scale
from agentmon.store import db, sizes
from agentmon.ui import health
from tests import feeds, live_feed
from tests.cli_run import run
from tests.deep import only_deep
from tests.differential import ingest
from tests.ui_app import shown
from tests.ui_store import SIZES, StoreFeed, UiStore, fill


def store_of(folder: Path, files: int = 3) -> Path:
    """A store with texts of 10, 11, 12… bytes."""
    db.create(folder).close()
    for n in range(files):
        place = folder / "delta_store" / f"s{n % 7}" / f"m{n}"
        place.mkdir(parents=True)
        (place / "index_0.txt").write_bytes(b"x" * (10 + n))
    return folder


def test_a_store_is_weighed_as_the_file_system_has_it(tmp_path: Path) -> None:
    folder = store_of(tmp_path / "data")
    (folder / "agentmon.db-wal").write_bytes(b"w" * 99)
    found = sizes.glance(folder, sizes.weigh_texts(folder))
    assert found.texts == sizes.Texts(10 + 11 + 12, 3)
    assert (found.database, found.wal) == (os.stat(folder / "agentmon.db").st_size, 99)
    assert found.total == found.database + 99 + 33
    assert sizes.glance(tmp_path / "nowhere") == sizes.Sizes(0, 0)
    assert sizes.weigh_texts(tmp_path / "nowhere") == sizes.Texts(0, 0)


def test_a_walk_rests_stops_when_told_and_has_a_limit(tmp_path: Path) -> None:
    folder = store_of(tmp_path, sizes.REST_EVERY * 2 + 5)
    rests: list[int] = []

    def rest() -> bool:
        rests.append(1)
        return len(rests) < 2

    assert sizes.weigh_texts(folder, rest=rest) is None
    assert len(rests) == 2
    limited = sizes.weigh_texts(folder, most=7)
    assert limited is not None
    assert (limited.files, limited.is_whole) == (7, False)


async def test_the_scale_walks_off_the_loop_and_ends_with_its_task(tmp_path: Path) -> None:
    scale = Scale(lambda: store_of_once(tmp_path), first=0.0)
    scale.look()
    assert scale.sizes is not None
    assert scale.sizes.texts is None
    assert scale.weighed_ago is None
    task = asyncio.create_task(scale.run())
    await live_feed.until(lambda: scale.weighed_ago is not None)
    assert scale.sizes.texts is not None
    assert scale.sizes.texts.files == 3
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert not scale._rest()  # pyright: ignore[reportPrivateUsage]


def store_of_once(folder: Path) -> Path:
    return folder if (folder / db.DB_NAME).exists() else store_of(folder)


async def test_a_running_feed_knows_what_it_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weighing.Scale, "__init__", partialmethod(Scale.__init__, first=0.0))
    log = feeds.write(tmp_path / "sse_lines.jsonl", feeds.finished())
    async with live_feed.running(live_feed.feed(tmp_path / "data", log)) as feed:
        await live_feed.until(lambda: feed.status().weighed_ago is not None)
        status = feed.status()
        assert status.store is not None
        assert status.store.database > 0
        assert status.store.texts is not None


def test_doctor_tells_sizes_in_words_and_numbers(tmp_path: Path) -> None:
    data = tmp_path / "data"
    ingest(data, [feeds.write(tmp_path / "sse_lines.jsonl", feeds.finished())])
    answer = run("doctor", "--data-dir", data, "--json")
    (check,) = [row for row in json.loads(answer.out) if row["name"] == "sizes"]
    texts = [path.stat().st_size for path in data.joinpath("delta_store").rglob("*.txt")]
    values = check["values"]
    assert values["text_files"] == len(texts)
    assert values["texts"] >= sum(texts) > 0  # in whole clusters, as they lie on the disk
    assert values["database"] == data.joinpath("agentmon.db").stat().st_size
    assert "texts" in check["message"]


def test_what_is_not_known_is_not_said_to_be_zero() -> None:
    facts = {fact.label: fact.text for fact in health.answer(Status(), "~/x").facts}
    assert facts["store"] == "—"
    assert facts["behind"] == "nothing new came yet"
    unweighed = Status(store=sizes.Sizes(2048, 0))
    facts = {fact.label: fact.text for fact in health.answer(unweighed, "~/x").facts}
    assert facts["texts"] == "not measured yet"
    assert facts["store"] == "2.0 KB without texts"
    assert health.words(Status(lag_ms=5.0, rss_mb=41.2, cpu_percent=3.1, store=SIZES)) == [
        "5 ms",
        "store 1.2 GB",
        "mem 41 MB",
        "cpu 3 %",
    ]


@pytest.fixture
def feed(tmp_path: Path) -> StoreFeed:
    store = UiStore(tmp_path / "store")
    fill(store)
    return StoreFeed(store)


@pytest.mark.parametrize(
    ("size", "said"),
    [
        ((160, 50), ["12 ms behind", "store 1.2 GB", "mem 41 MB", "cpu 7 %"]),
        ((60, 20), ["12 ms"]),
        *only_deep(((80, 24), ["12 ms", "store 1.2 GB"])),
    ],
)
async def test_the_header_says_what_has_room(
    feed: StoreFeed, size: tuple[int, int], said: list[str]
) -> None:
    feed.told.cpu_percent = 7.0
    async with shown(feed, size) as screen:
        line = screen.main.header.render_line(0).text
        for words in said:
            assert words in line
        assert "✕ 1" in line  # the counts do not give way
        feed.told.backlog = 0.5
        screen.main.second()
        assert "50 %" in screen.main.header.render_line(0).text


@pytest.mark.parametrize("size", [(60, 20), *only_deep(((80, 24),))])
async def test_one_key_shows_all_of_it(feed: StoreFeed, size: tuple[int, int]) -> None:
    feed.told.cpu_percent = 7.0
    feed.told.backlog = 0.25
    async with shown(feed, size) as screen:
        await screen.press("H")
        text = screen.text()
        for words in ("agentmon itself", "12 ms behind", "25 % done", "41 MB", "7 % of a core"):
            assert words in text
        for words in ("1.2 GB", "310 MB", "6.0 MB", "884 MB in 40,912 files, measured 20s ago"):
            assert words in text
        await screen.press("H")
        assert "agentmon itself" not in screen.text()
        await screen.press("T", "H")
        assert "agentmon itself" in screen.text()
        await screen.press("escape")
        assert screen.page is not None
