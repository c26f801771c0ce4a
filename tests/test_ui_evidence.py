"""The evidence overlay: why, who said what, where they disagree, and what else is known."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from agentmon.core.health import Limits
from agentmon.store.deltas import block_path
from agentmon.ui import evidence
from agentmon.ui import tree as trees
from agentmon.ui.screens.overlays import EvidenceScreen
from agentmon.ui.widgets.sessions import View
from agentmon.ui.witnesses import kinds_text
from tests.ui_app import Shown, shown
from tests.ui_family import TEAM, fill_family, told, witness
from tests.ui_store import NOW, StoreFeed, UiStore, fill

API = "a0000000-0000-4000-8000-000000000001"
TALL = (120, 60)


@pytest.fixture
def store(tmp_path: Path) -> UiStore:
    return UiStore(tmp_path / "store")


@pytest.fixture
def feed(store: UiStore) -> StoreFeed:
    fill_family(store)
    return StoreFeed(store)


def facts(screen: Shown) -> dict[str, str]:
    """The overlay by label; what goes on below a label belongs to it."""
    overlay = screen.app.screen
    assert isinstance(overlay, EvidenceScreen)
    found: dict[str, str] = {}
    label = ""
    for fact in overlay.answer.facts:
        if fact == evidence.SPACE:
            continue
        label = fact.label or label
        if label in found:
            found[label] += f" | {fact.text}"
        else:
            found[label] = fact.text
    return found


async def choose(screen: Shown, key: trees.NodeKey) -> None:
    """Puts the cursor of Rounds on a line, with the way to it open."""
    main = screen.main
    await screen.press("3")
    for above in trees.path(main.feed.store.conn, TEAM, key[1], view=""):  # pyright: ignore
        main.rounds.toggle(above, True)
    main.loader.ask()
    await screen.settle()
    assert main.rounds.choose(key, by_person=True)
    await screen.settle()


async def test_a_session_answers_with_every_source(feed: StoreFeed) -> None:
    async with shown(feed, TALL) as screen:
        await screen.press("i")
        assert 'Why "tool"? · team' in screen.text()
        found = facts(screen)
        assert found["sources"] == "registry: busy (38s old) · wire: tool_use Agent (1m old)"
        assert "disagree" not in found
        assert found["open"] == "no blocks, 1 tool pending"
        assert found["tools"] == "Agent 3:10, find usages, overdue after 10:00"
        assert found["context"] == "68.0k of 200k tokens, 34%"
        assert found["compacted"] == "2 times"
        assert found["plan"] == "1/2  look"
        assert found["queue"] == "1 prompt: and then run the linter"
        assert found["rate limit"] == "91% used, allowed warning"
        assert found["branch"] == "feature/bucket"
        assert found["tokens"] == "18,200"
        assert found["title"] == "—"
        assert found["cost"] == "—"


async def test_sources_that_disagree_are_named(feed: StoreFeed) -> None:
    witness(feed.store, "registry", "status idle", NOW - 2)
    async with shown(feed, TALL) as screen:
        await screen.press("i")
        found = facts(screen)
        assert found["disagree"] == "registry says status idle, the other sources tool"


async def test_a_stall_is_explained_where_the_jump_leads(store: UiStore) -> None:
    fill(store)
    async with shown(StoreFeed(store), TALL) as screen:
        await screen.press("s", "i")
        assert 'Why "stalled"? · api-server' in screen.text()
        found = facts(screen)
        assert found["state"].startswith("✕ stalled 41s")
        assert found["last byte"].startswith("41 s ago")
        assert found["open"] == "1 block, no tools pending"
        assert "stalled after 30 s without a due byte" in found["threshold"]
        assert "138 B in 17 deltas" in found["wire"]


@pytest.mark.deep
async def test_ages_go_on_while_it_is_open(store: UiStore) -> None:
    fill(store)
    feed = StoreFeed(store)
    async with shown(feed, TALL) as screen:
        await screen.press("s", "i")
        feed.time = NOW + 9
        screen.main.move_clock()
        overlay = screen.app.screen
        assert isinstance(overlay, EvidenceScreen)
        await overlay.renew()
        assert facts(screen)["last byte"].startswith("50 s ago")
        feed.failure = OSError("disk full")
        await overlay.renew()
        assert facts(screen)["last byte"].startswith("50 s ago")


async def test_an_agent_that_is_over_has_its_own(feed: StoreFeed) -> None:
    async with shown(feed, TALL) as screen:
        await choose(screen, trees.message_key("msg_docs"))
        await screen.press("h", "i")
        found = facts(screen)
        assert found["subagent"] == "a3d"
        assert found["agent"] == "Docs, completed"


async def test_a_message_says_who_told_it(feed: StoreFeed) -> None:
    async with shown(feed, TALL) as screen:
        await choose(screen, trees.message_key("msg_lead"))
        await screen.press("i")
        assert "Who told of this message?" in screen.text()
        found = facts(screen)
        assert found["told by"] == "wire, transcript"
        assert found["transcript"].startswith("1 of 3 blocks, 14 B")
        assert found["differ"] == "the sources tell different numbers of blocks"


async def test_a_round_says_who_told_its_prompt(feed: StoreFeed) -> None:
    prompt: dict[str, Any] = {"sid": TEAM, "round_id": "r-team-1", "ordinal": 2}
    feed.store.insert("prompts", **prompt, time=NOW - 200, text="find\nit", kinds=3, is_queued=1)
    async with shown(feed, TALL) as screen:
        await screen.press("3", "g", "i")
        found = facts(screen)
        assert found["prompt"].endswith("wire, transcript, queued: find␊it")


def write_deltas(feed: StoreFeed, text: str) -> None:
    path = feed.data_dir / block_path(TEAM, "msg_lead", 0)
    path.parent.mkdir(parents=True)
    path.write_text(text)


async def test_two_texts_of_a_block_are_compared(feed: StoreFeed) -> None:
    text = "Two will look."
    write_deltas(feed, text)
    same = hashlib.sha256(text.encode()).hexdigest()
    told(feed.store, "msg_lead", 0, text, sha256=same)
    async with shown(feed, TALL) as screen:
        await choose(screen, trees.block_key("msg_lead", 0))
        await screen.press("i")
        found = facts(screen)
        assert found["wire"] == "14 B in 1 deltas"
        assert found["transcript"].startswith("14 B, told whole at ")
        assert found["agree"] == "both texts are the same, byte for byte"
        await screen.press("escape")
        told(feed.store, "msg_lead", 0, text + " Maybe.")
        await screen.press("i")
        assert facts(screen)["differ"] == (
            "streamed 14 bytes, transcript 21 bytes; shown is the streamed one"
        )


@pytest.mark.deep
async def test_a_told_text_is_shown(feed: StoreFeed) -> None:
    async with shown(feed, TALL) as screen:
        await choose(screen, trees.block_key("msg_docs", 0))
        assert "Nothing about buckets." in "\n".join(screen.rows(screen.main.stream))
        await screen.press("i")
        found = facts(screen)
        assert found["transcript"].endswith("; this is the text shown")
        assert "agree" not in found
        assert "differ" not in found


async def test_keys_that_go_on_below(feed: StoreFeed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TMUX", raising=False)
    async with shown(feed, TALL) as screen:
        await screen.press("i", "o")
        assert screen.app.screen is screen.main
        assert "agentmon does not run inside tmux" in screen.text()
        await screen.press("i", "y")
        assert screen.app.clipboard == TEAM
        assert f"Copied {TEAM} (36 characters)" in screen.text()
        await screen.press("question_mark", "o")
        assert screen.app.screen is not screen.main


def test_children_of_a_hung_tool() -> None:
    view = View(NOW, Limits())
    child = {"command": "pytest -x\n\x1b[2J", "pid": 4711, "status": "sleeping"}
    text = evidence.process_text({**child, "started": NOW - 90, "cpu_percent": 0.0}, view)
    assert text.startswith("pytest -x ␛[2J, pid 4711, sleeping, cpu 0 %, since ")
    assert text.endswith("(1m30s)")
    assert evidence.process_text({}, view) == "—"
    assert evidence.process_text({"started": 1e300, "pid": "x", "command": 7}, view) == "—"


def test_evidence_in_words() -> None:
    given = {"told_by": "wire", "due_at": None, "threshold": 30.0, "children": [1], "why": "x\ny"}
    assert evidence.evidence_text(given) == "told by wire, why x y"


def test_kinds_have_names() -> None:
    assert kinds_text(3) == "wire, transcript"
    assert kinds_text(0) == "—"


async def test_hostile_facts_are_only_text(feed: StoreFeed) -> None:
    bad = "\x1b]0;owned\x07[bold]\u202e"
    for name in ("git_branch", "title", "model", "permission_mode", "tmux"):
        feed.store.insert(
            "facts", sid=TEAM, agent_id="", name=name, value=json.dumps(bad), time=1, kind=bad
        )
    for name, value in (
        ("todo", [{"content": bad, "status": "in_progress"}, 7, None]),
        ("queue", [{"text": bad}, 9]),
        ("rate_limit", {"primary": {"used_percent": 5, "resets_at": 1e300}, "status": bad}),
        ("context_window", "large"),
        ("compactions", [1]),
        ("cost_usd", True),
    ):
        feed.store.insert(
            "facts", sid=TEAM, agent_id="", name=name, value=json.dumps(value), time=1, kind="x"
        )
    witness(feed.store, bad, bad, NOW)
    feed.store.conn.execute("UPDATE agents SET kind = ?, description = ?, status = ?", (bad,) * 3)
    async with shown(feed, TALL) as screen:
        await screen.press("i")
        assert "\x1b" not in screen.text()
        found = facts(screen)
        assert found["compacted"] == "—"
        assert found["cost"] == "—"
        await screen.press("escape", "3", "i", "escape", "z")
        assert "\x1b" not in screen.text()
        assert "\u202e" not in screen.text()
