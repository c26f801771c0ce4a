"""Subagents on the screen: below their session, below the call that started them, and inside."""

from pathlib import Path

import pytest

from agentmon.report import family
from agentmon.report.board import Board, Thread
from agentmon.report.board import load as load_board
from agentmon.ui import tree as trees
from tests.ui_app import Shown, shown
from tests.ui_family import TEAM, fill_family
from tests.ui_store import NOW, StoreFeed, UiStore, fill


@pytest.fixture
def store(tmp_path: Path) -> UiStore:
    return UiStore(tmp_path / "store")


@pytest.fixture
def feed(store: UiStore) -> StoreFeed:
    fill_family(store)
    return StoreFeed(store)


@pytest.fixture
def board(feed: StoreFeed) -> Board:
    return load_board(feed.store.conn)


def labels(screen: Shown) -> list[str]:
    """The lines of the tree."""
    return [line for line in screen.rows(screen.main.rounds)[1:] if line]


# -- the tree of threads, pure


def test_children_stand_below_their_parents(board: Board) -> None:
    members = family.lines(board.threads)
    assert [(member.thread.row.agent_id, member.depth) for member in members] == [
        ("", 0),
        ("a1f", 1),
        ("a2g", 2),
    ]
    assert [member.has_children for member in members] == [True, True, False]


def test_what_is_folded_away_is_summed_up(board: Board) -> None:
    members = family.lines(board.threads, {(TEAM, "")})
    assert len(members) == 1
    folded = members[0].folded
    assert folded == family.Rollup(agents=2, needs_you=1, trouble=0, working=1)
    assert folded is not None
    assert folded.words == "+2 agents, 1 needs you, 1 working"
    assert family.Rollup(1, 0, 3, 0).words == "+1 agent, 3 in trouble"


def test_a_parent_that_is_over_hands_its_children_on(board: Board) -> None:
    threads = [thread for thread in board.threads if thread.row.agent_id != "a1f"]
    assert [member.depth for member in family.lines(threads)] == [0, 1]
    assert family.ancestors((TEAM, "a2g"), family.parents_of(threads)) == [(TEAM, "")]


def test_agents_that_name_each_other_are_all_shown(board: Board) -> None:
    main, first, second = board.threads
    first.row.parent_agent_id, second.row.parent_agent_id = "a2g", "a1f"
    for threads in ([main, first, second], [first, second]):
        members = family.lines(threads)
        assert sorted(m.thread.row.agent_id for m in members) == sorted(
            t.row.agent_id for t in threads
        )
        folded = family.lines(threads, {member.key for member in members})
        assert 1 <= len(folded) < len(members)
    assert family.ancestors((TEAM, "a1f"), family.parents_of([first, second]))


def test_an_agent_below_itself_is_below_its_session(board: Board) -> None:
    thread: Thread = board.threads[1]
    thread.row.parent_agent_id = thread.row.agent_id
    assert [member.depth for member in family.lines(board.threads[:2])] == [0, 1]


# -- the sessions list


async def test_sessions_show_a_tree(feed: StoreFeed) -> None:
    async with shown(feed, (160, 50)) as screen:
        rows = screen.rows(screen.main.sessions)
        assert rows[2].startswith("⚙ team ")
        assert rows[3].startswith("⚙ └ find usages")
        assert rows[4].startswith("◆   └ grep the")
        assert "34%" in rows[2]
        assert rows[3].split()[-1] == "—"


async def test_folding_keeps_what_matters_in_sight(feed: StoreFeed) -> None:
    fill(feed.store)
    async with shown(feed, (160, 50)) as screen:
        sessions = screen.main.sessions
        await screen.press("j", "j")
        assert screen.main.selected == (TEAM, "a2g")
        await screen.press("h")
        assert sessions.cursor == (TEAM, "a1f")
        await screen.press("h")
        assert sessions.cursor == (TEAM, "a1f")
        row = screen.rows(sessions)[3]
        assert "▸ find us" in row
        assert "+1 ◆1" in row
        await screen.press("h", "h")
        assert sessions.cursor == (TEAM, "")
        assert "+2 ◆1 ●1" in screen.rows(sessions)[2]
        assert (TEAM, "a2g") not in sessions.keys
        await screen.press("z")
        assert "+2 agents, 1 needs you, 1 working" in screen.text()
        await screen.press("z", "l")
        assert (TEAM, "a1f") in sessions.keys
        await screen.press("l")
        assert sessions.cursor == (TEAM, "a1f")


@pytest.mark.deep
async def test_folding_away_the_cursor_hands_it_up(feed: StoreFeed) -> None:
    async with shown(feed) as screen:
        sessions = screen.main.sessions
        await screen.press("j", "j")
        sessions.choose((TEAM, ""))
        await screen.press("h")
        assert screen.main.selected == (TEAM, "")
        await screen.press("p")
        assert screen.main.selected == (TEAM, "a2g")
        assert sessions.cursor == (TEAM, "a2g")


@pytest.mark.deep
async def test_a_filter_finds_what_is_folded_away(feed: StoreFeed) -> None:
    async with shown(feed) as screen:
        await screen.press("h", "slash", *"status:perm", "enter")
        assert screen.main.sessions.keys == [(TEAM, "a2g")]
        await screen.press("escape", "slash", *"agent:explore", "enter")
        assert screen.main.sessions.keys == [(TEAM, "a1f")]
        await screen.press("escape")
        assert screen.main.sessions.keys == [(TEAM, "")]


# -- the tree of rounds


async def test_agents_stand_below_their_calls(feed: StoreFeed) -> None:
    async with shown(feed, (160, 50)) as screen:
        await screen.press("3", "g", "l", "l")
        found = labels(screen)
        assert found[0].startswith(" ▾ #2  find every place")
        assert found[1].startswith("   ▾ ✓ tool_use")
        assert found[3].startswith("     ▾ ⚙ Agent  69 B  find usages")
        assert found[4].startswith("       ▸ ⚙ agent Explore: find usages")
        assert found[5].startswith("     ▾ ✓ Agent  71 B  read the docs")
        assert found[6].startswith("       ▸ ✓ agent Docs: read the docs")
        lines = screen.rows(screen.main.rounds)
        assert lines[5].rstrip().endswith("300 tok  tool Agent 1:00  1m")
        assert lines[7].rstrip().endswith("90 tok  done")
        assert not any("msg_find" in line or "opus-4-1  1 block" in line for line in lines)


@pytest.mark.deep
async def test_nested_agents_open_all_the_way_down(feed: StoreFeed) -> None:
    async with shown(feed, (160, 50)) as screen:
        rounds = screen.main.rounds
        await screen.press("3")
        rounds.choose(trees.agent_key("a1f"), by_person=True)
        await screen.settle()
        await screen.press("l")
        assert trees.message_key("msg_find") in rounds.keys
        assert trees.agent_key("a2g") in rounds.keys
        rounds.choose(trees.agent_key("a2g"), by_person=True)
        await screen.press("l")
        keys = rounds.keys
        assert trees.block_key("msg_grep", 0) in keys
        assert keys.index(trees.agent_key("a2g")) > keys.index(trees.agent_key("a1f"))
        assert "grep -rn bucket tests" in screen.text()
        await screen.press("h")
        assert trees.block_key("msg_grep", 0) not in rounds.keys


@pytest.mark.deep
async def test_an_agent_without_a_call_stands_in_its_first_round(feed: StoreFeed) -> None:
    async with shown(feed, (160, 50)) as screen:
        await screen.press("3", "G", "l")
        found = labels(screen)
        place = next(at for at, line in enumerate(found) if "#1  say hello" in line)
        assert "tool_use" not in found[place + 1]
        assert found[place + 2].startswith("   ▸ ✓ agent a4x")


async def test_enter_goes_into_an_agent_and_esc_comes_back(feed: StoreFeed) -> None:
    async with shown(feed, (160, 50)) as screen:
        main = screen.main
        await screen.press("enter")
        assert main.desk.panel == "rounds"
        main.rounds.choose(trees.agent_key("a3d"), by_person=True)
        await screen.press("enter")
        assert main.selected == (TEAM, "a3d")
        rows = screen.rows(main.rounds)
        assert "Rounds · team/Docs: read the docs" in rows[0]
        assert "✓ done" in rows[0]
        assert "#2  find every place" in rows[1]
        assert "90 tok" in rows[1]
        assert len([row for row in rows if row]) == 4
        assert "Nothing about buckets." in "\n".join(screen.rows(main.stream))
        await screen.press("escape")
        assert main.selected == (TEAM, "")
        assert main.rounds.cursor == trees.agent_key("a3d")
        await screen.press("escape")
        assert main.desk.panel == "sessions"


@pytest.mark.deep
async def test_the_tree_of_a_subagent_has_its_own_agents(feed: StoreFeed) -> None:
    async with shown(feed, (160, 50)) as screen:
        await screen.press("j", "3")
        rounds = screen.main.rounds
        assert trees.message_key("msg_find") in rounds.keys
        assert trees.agent_key("a2g") in rounds.keys
        assert trees.message_key("msg_lead") not in rounds.keys


async def test_the_tree_is_searched_by_words(feed: StoreFeed) -> None:
    async with shown(feed, (160, 50)) as screen:
        rounds = screen.main.rounds
        await screen.press("3", "g", "slash", *"tool:agent", "enter", "n")
        assert rounds.cursor == trees.block_key("msg_lead", 1)
        await screen.press("n")
        assert rounds.cursor == trees.block_key("msg_lead", 2)
        await screen.press("escape", "slash", *"agent:docs", "enter", "n")
        assert rounds.cursor == trees.agent_key("a3d")
        await screen.press("escape", "slash", *"status:complete tool:agent !find", "enter", "n")
        assert rounds.cursor == trees.block_key("msg_lead", 2)
        await screen.press("escape", "slash", *"nothing has this", "enter", "n")
        assert "No match" in screen.text()


@pytest.mark.deep
async def test_a_jump_chooses_the_pending_call_too(feed: StoreFeed) -> None:
    fill(feed.store)
    async with shown(feed, (160, 50)) as screen:
        await screen.press("p")
        chosen = screen.main.pending.chosen
        assert chosen is not None
        assert chosen.tool_use_id == "toolu_rm"


@pytest.mark.deep
async def test_an_error_in_an_agent_that_is_over_is_found(feed: StoreFeed) -> None:
    feed.store.message(
        TEAM,
        "r-team-1",
        "msg_bad",
        NOW - 100,
        agent_id="a3d",
        error="overloaded_error",
        is_broken=1,
    )
    async with shown(feed, (160, 50)) as screen:
        await screen.press("e")
        assert screen.main.selected == (TEAM, "")
        assert screen.main.rounds.cursor == trees.message_key("msg_bad")
        assert trees.agent_key("a3d") in screen.main.rounds.keys


def test_the_way_to_a_message(feed: StoreFeed) -> None:
    conn = feed.store.conn
    way = trees.path(conn, TEAM, "msg_grep", view="")
    assert way == [
        trees.round_key("r-team-1"),
        trees.message_key("msg_lead"),
        trees.block_key("msg_lead", 1),
        trees.agent_key("a1f"),
        trees.message_key("msg_find"),
        trees.block_key("msg_find", 0),
        trees.agent_key("a2g"),
        trees.message_key("msg_grep"),
    ]
    assert trees.path(conn, TEAM, "msg_grep", view="a2g") == [
        trees.round_key("r-team-1"),
        trees.message_key("msg_grep"),
    ]
    assert trees.path(conn, TEAM, "msg_loose", view="")[:2] == [
        trees.round_key("r-team-0"),
        trees.agent_key("a4x"),
    ]
    assert trees.path(conn, TEAM, "nowhere", view="") == []


def test_agents_that_started_each_other_end(feed: StoreFeed) -> None:
    feed.store.conn.execute(
        "UPDATE agents SET parent_tool_use_id = 'toolu_rm' WHERE agent_id = 'a1f'"
    )
    way = trees.path(feed.store.conn, TEAM, "msg_grep", view="")
    assert way[-1] == trees.message_key("msg_grep")
    opened = trees.Opened()
    for row in ("a1f", "a2g", "a3d"):
        opened.set_open(trees.agent_key(row), True)
    tree = trees.load(feed.store.conn, TEAM, "", opened, trees.SumCache())
    keys = [node.key for node in tree.nodes]
    assert len(keys) == len(set(keys))


async def test_a_subagent_whose_session_has_no_main_agent(store: UiStore) -> None:
    """Its transcript alone was kept: the board has it, and everything else."""
    fill_family(store)
    store.conn.execute("DELETE FROM agents WHERE sid = ? AND agent_id = ''", (TEAM,))
    async with shown(StoreFeed(store), (160, 50)) as screen:
        assert "cannot be shown" not in screen.text()
        keys = screen.main.sessions.keys
        assert [(TEAM, name) in keys for name in ("", "a1f", "a2g")] == [False, True, True]
