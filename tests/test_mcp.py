"""`agentmon mcp` as an agent uses it: the SDK's own client, over standard input and output too."""

import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest
from click.testing import CliRunner

from agentmon.cli import main
from agentmon.collab import archive, worklog
from agentmon.commands import mcp_server
from agentmon.commands.options import settings
from agentmon.store import db
from tests.cli_run import environment, inside
from tests.deep import only_deep
from tests.mail import HOSTILE

if TYPE_CHECKING:
    from mcp import Client

if find_spec("mcp") is None:
    pytest.skip("the extra mcp is not installed", allow_module_level=True)


@asynccontextmanager
async def connected(store: Path, agent: str) -> AsyncGenerator["Client", None]:
    from mcp import Client, StdioServerParameters  # which takes longer than most tests
    from mcp.client.stdio import stdio_client

    args = ["-m", "agentmon", "mcp", "--agent", agent, "--data-dir", str(store)]
    server = StdioServerParameters(command=sys.executable, args=args, env=environment())
    async with Client(stdio_client(server)) as client:
        yield client


@asynccontextmanager
async def beside(store: Path, agent: str) -> AsyncGenerator["Client", None]:
    """Another agent's, whose server is in this process: starting one takes two seconds."""
    from mcp import Client

    known = settings(store__data_dir=str(store)).settings
    async with mcp_server.opened(agent, known) as server, Client(server) as client:
        yield client


Reached = Callable[[Path, str], AbstractAsyncContextManager["Client"]]


async def call(client: "Client", tool: str, **given: Any) -> dict[str, Any]:
    answer = await client.call_tool(tool, given)
    assert not answer.is_error, answer.content
    found: object = answer.structured_content
    assert isinstance(found, dict)
    return cast("dict[str, Any]", found)


async def refusal(client: "Client", tool: str, **given: Any) -> str:
    answer = await client.call_tool(tool, given)
    assert answer.is_error
    (content,) = answer.content
    assert content.type == "text"
    assert "Traceback" not in content.text
    return content.text


@pytest.mark.parametrize("reached", [beside, *only_deep(connected)])
async def test_two_agents_talk_work_and_decide(reached: Reached, tmp_path: Path) -> None:
    async with reached(tmp_path, "api") as api, beside(tmp_path, "web") as web:
        tools = {tool.name: tool for tool in (await api.list_tools()).tools}
        assert sorted(tools) == [
            "ack", "list_decisions", "log_decision", "log_work", "read_inbox", "search_messages",
            "send_message", "status", "who_is_working_on",
        ]  # fmt: skip
        assert all(tool.description for tool in tools.values())
        assert "'api'" in (api.instructions or "")

        sent = await call(
            api, "send_message", to="web", body="the endpoint is ready", subject="deploy",
            ack_required=True, work_completed={"summary": "endpoint", "files": ["/src/app.py"]},
        )  # fmt: skip
        inbox = await call(web, "read_inbox")
        assert inbox["unread_left"] == 0
        (mail,) = inbox["messages"]
        assert (mail["from"], mail["subject"]) == ("api", "deploy")
        assert (mail["message_id"], mail["ack_required"]) == (sent["message_id"], True)
        assert (await call(web, "read_inbox"))["messages"] == []
        assert await call(web, "ack", message_ids=[mail["message_id"]]) == {"acknowledged": 1}
        answer = await call(web, "send_message", body="thanks", reply_to=mail["message_id"])
        assert (answer["to"], answer["thread_id"]) == (["api"], sent["thread_id"])
        found = await call(api, "search_messages", query="from:web thanks")
        assert [one["body"] for one in found["messages"]] == ["thanks"]

        await call(web, "log_work", kind="deployment", summary="v2", files=["/src/app.py"])
        touches = (await call(api, "who_is_working_on", file="src/app.py"))["touches"]
        assert [(one["agent"], one["kind"]) for one in touches] == [
            ("web", "deployment"),
            ("api", "work_completed"),
        ]
        open_ = await call(
            api, "log_decision", question="tabs?", category="style", positions={"api": "no"}
        )
        assert open_["status"] == "open"
        assert (await call(web, "status"))["open_questions"] == 1
        await call(
            web, "log_decision", question="tabs?", category="style", decision="no",
            positions={"api": "no", "web": "no"}, method="consensus", impact=2,
            revises=open_["decision_id"], reason="agreed",
        )  # fmt: skip
        (decision,) = (await call(api, "list_decisions", query="tabs"))["decisions"]
        assert (decision["decision"], decision["revision"]) == ("no", 2)
        state = await call(api, "status")
        assert (state["you"], state["unread"], state["agents"]) == ("api", 1, ["api", "web"])
        assert state["sessions"]["idle"] == 0
        await what_is_wrong_is_said_and_hostile_text_is_data(api)

    conn = db.open_reading(tmp_path)
    assert archive.counts(conn).total == 2 + len(HOSTILE)
    assert len(worklog.recent(conn)) == 2
    conn.close()


async def what_is_wrong_is_said_and_hostile_text_is_data(api: "Client") -> None:
    for tool, given, said in [
        ("send_message", {"body": "x"}, "to: must name a receiver"),
        ("send_message", {"body": "x", "to": ["a", ""]}, "to[1]: must not be empty"),
        ("send_message", {"body": "x" * (1 << 20), "to": "a"}, "the limit is 1,048,576"),
        ("send_message", {"to": "a"}, "body"),
        ("ack", {"message_ids": ["none"]}, "there is no message none for you"),
        ("log_work", {"kind": "No Kind"}, "kind"),
        ("log_decision", {"question": ""}, "question"),
        ("log_decision", {"question": "q", "impact": 11}, "impact"),
        ("log_decision", {"question": "q", "revises": "none", "reason": "r"}, "none"),
    ]:
        assert said in await refusal(api, tool, **given), tool
    for text in HOSTILE:
        await call(api, "send_message", to="api", body=text, subject=text)
        for tool, name in [
            ("search_messages", "query"),
            ("list_decisions", "query"),
            ("who_is_working_on", "file"),
        ]:
            await call(api, tool, **{name: text})
    inbox = await call(api, "read_inbox", limit=100)
    assert [mail["body"] for mail in inbox["messages"]][1:] == list(HOSTILE)


def test_an_agent_is_called_after_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "api-server"
    folder.mkdir()
    monkeypatch.chdir(folder)
    answer = inside("mcp", "--data-dir", tmp_path / "store")  # its input ends at once
    assert answer.code == 0, answer.err
    assert answer.out == ""
    conn = db.open_reading(tmp_path / "store")
    assert archive.names(conn) == ["api-server"]
    conn.close()


def test_errors_are_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def said(*words: str) -> str:
        answer = CliRunner().invoke(main, ["mcp", "--data-dir", str(tmp_path), *words])
        assert answer.exit_code == 1
        assert answer.stderr.startswith("agentmon: ")
        assert answer.stderr.count("\n") == 1
        return answer.stderr

    assert "everybody" in said("--agent", "*")
    monkeypatch.setitem(sys.modules, "mcp.server", None)
    assert "agentmon[mcp]" in said()
