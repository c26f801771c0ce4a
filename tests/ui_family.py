"""A session with subagents, and what several sources told of it, for tests of the screen."""

import json

from tests.ui_store import NOW, UiStore

TEAM = "70000000-0000-4000-8000-000000000001"


def fill_family(store: UiStore) -> None:
    """A lead with three agents: one at work with an agent of its own that asks a person, one that
    is done, and one whose call nobody told."""
    _lead(store)
    _finder(store)
    _asker(store)
    _done(store)
    _loose(store)


def fact(store: UiStore, name: str, value: object, *, agent_id: str = "") -> None:
    """A fact of the session."""
    told = {"value": json.dumps(value), "time": NOW - 30, "kind": "transcript"}
    store.insert("facts", sid=TEAM, agent_id=agent_id, name=name, **told)


def witness(store: UiStore, kind: str, said: str, at: float, *, agent_id: str = "") -> None:
    """What a kind of source said last."""
    store.insert("testimony", sid=TEAM, agent_id=agent_id, kind=kind, said=said, time=at)


def told(store: UiStore, flow_id: str, index: int, text: str, **more: object) -> None:
    """A block as a transcript told it."""
    values: dict[str, object] = {
        "time": NOW - 50,
        "bytes": len(text.encode()),
        "sha256": "0" * 64,
        "is_exact": 1,
        "kind": "transcript",
        "text": text,
    }
    store.insert("told_blocks", flow_id=flow_id, block_index=index, **{**values, **more})


def call(name: str, tool_use_id: str, at: float, preview: str, **more: object) -> dict[str, object]:
    """The columns of a finished tool call."""
    values: dict[str, object] = {
        "tool_use_id": tool_use_id,
        "tool_name": name,
        "start_time": at - 2,
        "complete_time": at,
        "input_preview": preview,
    }
    return {**values, **more}


def _task(description: str) -> str:
    return json.dumps({"description": description, "prompt": "Look everywhere.\nReport."})


def _lead(store: UiStore) -> None:
    store.session(TEAM, "/home/dev/src/team", first_time=NOW - 300, pid=4242)
    store.thread(TEAM, "tool", NOW - 90, flow_id="msg_lead")
    store.round(TEAM, "r-team-0", "say hello", NOW - 280, end_time=NOW - 270, is_closed=1)
    ended = {"stop_reason": "end_turn", "end_time": NOW - 271, "output_tokens": 12}
    store.message(TEAM, "r-team-0", "msg_hello", NOW - 279, **ended)
    store.block(TEAM, "msg_hello", 0, "text", "Hello.", complete_time=NOW - 271)
    store.round(TEAM, "r-team-1", "find every place where the bucket name is built", NOW - 200)
    done = {"stop_reason": "tool_use", "end_time": NOW - 90, "output_tokens": 640, "kinds": 3}
    store.message(TEAM, "r-team-1", "msg_lead", NOW - 198, **done)
    store.block(TEAM, "msg_lead", 0, "text", "Two will look.", complete_time=NOW - 195)
    told(store, "msg_lead", 0, "Two will look.")
    for index, (tool_use_id, description, at) in enumerate(
        (("toolu_find", "find usages", NOW - 190), ("toolu_docs", "read the docs", NOW - 120)), 1
    ):
        text = _task(description)
        more = call("Agent", tool_use_id, at, text)
        if tool_use_id == "toolu_docs":
            more |= {"result_time": NOW - 95, "result_is_error": 0}
        store.block(TEAM, "msg_lead", index, "tool_use", text, **more)
    store.result(TEAM, "toolu_docs", "Nothing about buckets.", NOW - 95)
    fact(store, "context_window", 200_000)
    fact(store, "git_branch", "feature/bucket")
    fact(store, "todo", [{"status": "completed"}, {"status": "in_progress", "content": "look"}])
    fact(store, "queue", ["and then run the linter"])
    fact(store, "compactions", 2)
    fact(store, "rate_limit", {"status": "allowed_warning", "utilization": 0.91})
    witness(store, "wire", "tool_use Agent", NOW - 90)
    witness(store, "registry", "busy", NOW - 38)


def _finder(store: UiStore) -> None:
    """Works, and has started one itself."""
    more = {"kind": "Explore", "description": "find usages", "status": "running"}
    store.thread(
        TEAM,
        "tool",
        NOW - 60,
        agent_id="a1f",
        flow_id="msg_find",
        parent_tool_use_id="toolu_find",
        **more,
    )
    done = {"stop_reason": "tool_use", "end_time": NOW - 60, "output_tokens": 300}
    store.message(TEAM, "r-team-1", "msg_find", NOW - 180, agent_id="a1f", **done)
    text = _task("grep the tests")
    store.block(
        TEAM, "msg_find", 0, "tool_use", text, **call("Agent", "toolu_grep", NOW - 60, text)
    )


def _asker(store: UiStore) -> None:
    """Below the finder; waits for a person."""
    store.thread(
        TEAM,
        "permission",
        NOW - 12,
        agent_id="a2g",
        flow_id="msg_grep",
        parent_tool_use_id="toolu_grep",
        phase_detail="Bash",
        kind="general-purpose",
        description="grep the tests",
    )
    done = {"stop_reason": "tool_use", "end_time": NOW - 12, "output_tokens": 44}
    store.message(TEAM, "r-team-1", "msg_grep", NOW - 55, agent_id="a2g", **done)
    text = json.dumps({"command": "grep -rn bucket tests"})
    store.block(TEAM, "msg_grep", 0, "tool_use", text, **call("Bash", "toolu_rm", NOW - 12, text))


def _done(store: UiStore) -> None:
    more = {"parent_tool_use_id": "toolu_docs", "status": "completed", "kind": "Docs"}
    store.thread(TEAM, "idle", NOW - 95, agent_id="a3d", flow_id="msg_docs", **more)
    ended = {"stop_reason": "end_turn", "end_time": NOW - 96, "output_tokens": 90, "kinds": 2}
    store.message(TEAM, "r-team-1", "msg_docs", NOW - 119, agent_id="a3d", **ended)
    store.block(
        TEAM,
        "msg_docs",
        0,
        "text",
        "",
        complete_time=NOW - 96,
        uses_told=1,
        total_bytes=22,
        stored_bytes=0,
    )
    told(store, "msg_docs", 0, "Nothing about buckets.")


def _loose(store: UiStore) -> None:
    store.thread(TEAM, "idle", NOW - 275, agent_id="a4x", flow_id="msg_loose")
    ended = {"stop_reason": "end_turn", "end_time": NOW - 275, "output_tokens": 5}
    store.message(TEAM, "r-team-0", "msg_loose", NOW - 278, agent_id="a4x", **ended)
    store.block(TEAM, "msg_loose", 0, "text", "Hi.", complete_time=NOW - 275)
