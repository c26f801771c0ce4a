"""A round as a tree: who stands below whom, when requests went out, who waited for how long."""

import pytest

from agentmon.report.roundtree import Asking, RoundTree, build
from agentmon.store import read

SID = "s"


def session() -> read.SessionRow:
    return read.SessionRow(
        SID, "claude", 1, "/w/app", "2", "m", 0.0, 100.0, None, None, 0, 0, 0, 0, 0, 1, "r", 0.0,
        90.0, False,
    )  # fmt: skip


def round_(**more: object) -> read.RoundRow:
    found = read.RoundRow(SID, "r", 1, "do", 0.0, 90.0, True, False, None)
    for name, value in more.items():
        setattr(found, name, value)
    return found


def agent(agent_id: str, call: str | None = None, status: str | None = None) -> read.AgentRow:
    return read.AgentRow(
        SID, agent_id, "idle", None, None, None, None, None, call, kind="finder", status=status
    )


def message(flow: str, start: float, end: float, agent_id: str | None = None) -> read.MessageRow:
    return read.MessageRow(
        flow, None, SID, "r", agent_id, "assistant", "m", "end_turn", start, end, end, True, False,
        None, 1, 1, None, None, 1,
    )  # fmt: skip


def call(
    flow: str, tool_use_id: str, at: float, back: float | None, name: str = "Bash", n: int = 0,
    preview: str = "",
) -> read.BlockRow:  # fmt: skip
    return read.BlockRow(
        flow, n, SID, "tool_use", tool_use_id, name, 1, 1, 1, False, 0, at, at, at, True, back,
        False if back is not None else None, None, preview,
    )  # fmt: skip


def prompt(at: float) -> read.PromptRow:
    return read.PromptRow(1, at, "do", False, 1)


def tree(
    messages: list[read.MessageRow],
    blocks: list[read.BlockRow],
    agents: list[read.AgentRow] | None = None,
    askings: list[Asking] | None = None,
) -> RoundTree:
    given = [agent(""), *(agents or [])]
    return build(
        session(), round_(), [prompt(0.0)], given, messages, blocks, [], askings or [], "app"
    )


def test_a_subagent_of_a_subagent_stands_below_both() -> None:
    found = tree(
        [message("m1", 1, 2), message("m2", 3, 4, "a"), message("m3", 5, 6, "b")],
        [call("m1", "t1", 2, 20, "Agent"), call("m2", "t2", 4, 10, "Agent")],
        [agent("a", "t1"), agent("b", "t2")],
    )
    assert [part.agent_id for part in found.agents()] == ["", "a", "b"]
    assert found.loose == []
    assert found.main.messages[0].blocks[0].agents[0].messages[0].blocks[0].agents[0].begun == 4


@pytest.mark.parametrize(
    "agents",
    [
        [agent("a", "t2"), agent("b", "t1")],  # each started by the other
        [agent("a", "t1"), agent("b", "t2")],  # each started by itself
    ],
)
def test_agents_that_start_in_a_circle_are_told_once(agents: list[read.AgentRow]) -> None:
    found = tree(
        [message("m1", 1, 2, "a"), message("m2", 3, 4, "b")],
        [call("m1", "t1", 2, 20), call("m2", "t2", 4, 10)],
        agents,
    )
    assert sorted(part.agent_id for part in found.agents()) == ["", "a", "b"]


def test_a_subagent_whose_call_is_elsewhere_stands_loose() -> None:
    found = tree([message("m1", 1, 2), message("m2", 3, 4, "a")], [], [agent("a", "t9")])
    assert [part.agent_id for part in found.loose] == ["a"]
    assert found.loose[0].start == 3


def test_a_request_goes_out_with_what_it_answers() -> None:
    """Prompt, then the last of two parallel results; nothing tells of a third request."""
    found = tree(
        [message("m1", 1, 2), message("m2", 10, 11), message("m3", 30, 31)],
        [call("m1", "t1", 2, 5), call("m1", "t2", 2, 8, n=1)],
    )
    assert [part.asked for part in found.main.messages] == [0.0, 8.0, None]
    assert [part.start for part in found.main.messages] == [0.0, 8.0, 30]
    assert [part.first_chunk for part in found.main.messages] == [1.0, 2.0, None]


def test_messages_told_whole_have_no_first_chunk() -> None:
    told = message("m1", 1, 2)
    told.kinds = 2
    found = tree([told], [])
    assert (found.main.messages[0].asked, found.main.messages[0].first_chunk) == (0.0, None)


def waits(found: RoundTree) -> dict[str | None, list[tuple[float, float | None]]]:
    return {
        block.row.tool_use_id: [(wait.start, wait.end) for wait in block.waits]
        for part in found.messages()
        for block in part.blocks
    }


PARALLEL = [
    call("m1", "t1", 2, 40, "Write", preview="a.txt"),
    call("m1", "t2", 2, 50, "Write", 1, preview="b.txt"),
    call("m1", "t3", 2, 3, "Read", 2),
]


def test_a_permission_is_asked_about_the_call_with_its_arguments() -> None:
    found = tree(
        [message("m1", 1, 2)],
        PARALLEL,
        askings=[
            Asking("permission_request", 2.5, None, "Write", "b.txt"),
            Asking("permission_request", 30.0, None, "Write", "a.txt"),
            Asking("notification", 8.5, None, None),
        ],
    )
    assert waits(found) == {"t1": [(30.0, 40)], "t2": [(2.5, 50)], "t3": []}


def test_a_denial_ends_the_wait() -> None:
    askings = [
        Asking("permission_request", 2.5, None, "Write", "a.txt"),
        Asking("permission_denied", 7.0, None, "Write"),
    ]
    assert waits(tree([message("m1", 1, 2)], PARALLEL, askings=askings))["t1"] == [(2.5, 7.0)]


def test_a_notification_alone_tells_of_a_wait() -> None:
    found = tree([message("m1", 1, 2)], PARALLEL, askings=[Asking("notification", 8.5, None, None)])
    assert waits(found) == {"t1": [(8.5, 40)], "t2": [], "t3": []}


def test_a_question_is_a_wait_as_a_whole() -> None:
    found = tree([message("m1", 1, 2)], [call("m1", "t1", 2, 9, "AskUserQuestion")])
    assert waits(found) == {"t1": [(2, 9)]}


def test_the_end_of_a_round_without_a_stop() -> None:
    found = tree([message("m1", 1, 2)], [call("m1", "t1", 2, 9)])
    found.row = round_(end_time=None, is_complete=False)
    assert (found.is_over, found.end) == (False, None)
    found.row = round_(end_time=None, is_complete=False, is_aborted=True)
    assert (found.is_over, found.end) == (True, 9)


def test_an_empty_round() -> None:
    found = tree([], [])
    assert (found.start, found.end) == (0.0, 90.0)
    assert set(found.tokens().values()) == {None}
