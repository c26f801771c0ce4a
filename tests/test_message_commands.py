"""`send`, `inbox`, `listen`, `messages` as somebody at a shell runs them; their JSON is pinned."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from agentmon.cli import main
from agentmon.collab import archive
from agentmon.commands import messages as room
from agentmon.commands import options
from agentmon.store import db
from tests import golden
from tests.cli_run import assert_one_sentence, run
from tests.mail import HOSTILE, NOW, draft, put


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(options, "now", lambda: NOW + 60)
    monkeypatch.setattr(room, "now", lambda: NOW + 60)
    conn = db.create(tmp_path)
    with db.transaction(conn):
        archive.register(conn, "docs", NOW)
    put(
        conn,
        draft("api", ["web", "docs"], "the endpoint is ready", message_id="aa1", subject="deploy",
              priority="high", ack_required=True),
        draft("web", "api", "[bold]thanks[/] \x1b[31m", message_id="bb2", reply_to="aa1"),
        draft("docs", "*", "all\nread this", message_id="bb3", type="notice", sent_at=NOW - 1e6),
    )  # fmt: skip
    conn.close()
    return tmp_path


def invoke(store: Path, *words: str, stdin: str | bytes = "") -> Result:
    command, *rest = words
    return CliRunner().invoke(main, [command, "--data-dir", str(store), *rest], input=stdin)


def asked(store: Path, *words: str, stdin: str = "") -> Any:
    answer = invoke(store, *words, "--json", stdin=stdin)
    assert answer.exit_code == 0, answer.output
    return json.loads(answer.stdout)


def ids(found: Any) -> list[str]:
    return [mail["message_id"] for mail in found]


def test_the_json_is_pinned(store: Path) -> None:
    golden.check("messages", asked(store, "messages"))
    golden.check("inbox", asked(store, "inbox", "--agent", "web"))
    lines = invoke(store, "messages", "--export").stdout.splitlines()
    golden.check("messages_export", [json.loads(line) for line in lines])


def test_lists(store: Path) -> None:
    assert ids(asked(store, "messages")) == ["bb3", "bb2", "aa1"]
    assert ids(asked(store, "messages", "--limit", "1", "--before", "3")) == ["bb2"]
    assert ids(asked(store, "messages", "--thread", "bb2")) == ["aa1", "bb2"]
    assert ids(asked(store, "messages", "--thread", "aa")) == ["aa1", "bb2"]
    assert ids(asked(store, "messages", "--between", "web", "api")) == ["aa1", "bb2"]
    assert ids(asked(store, "messages", "--search", "from:api ready")) == ["aa1"]
    assert ids(asked(store, "messages", "--agent", "docs")) == ["bb3", "aa1"]
    assert ids(asked(store, "messages", "--agent", "api", "--unread")) == ["bb3", "bb2"]
    text = invoke(store, "messages").stdout
    assert "\x1b" not in text
    assert "[bold]thanks[/] ␛[31m" in text
    assert [line.split()[-1] for line in text.splitlines()[1:]] == ["bb3", "bb2", "aa1"]


def test_an_export_has_all_whatever_the_page(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agentmon.commands.message_lists.PAGE", 2)

    def exported(*words: str) -> list[str]:
        answer = invoke(store, "messages", "--export", *words)
        return ids(json.loads(line) for line in answer.stdout.splitlines())

    assert exported() == ["bb3", "bb2", "aa1"]
    assert exported("--search", "the*") == ["aa1"]
    assert exported("--thread", "aa1") == ["aa1", "bb2"]
    assert exported("--search", "!!!") == []


def test_an_inbox_is_read_once_and_acknowledged(store: Path) -> None:
    peeked = asked(store, "inbox", "--agent", "web", "--peek")
    assert ids(peeked) == ["aa1", "bb3"]
    text = invoke(store, "inbox", "--agent", "web").stdout
    assert "deploy\n    the endpoint is ready\n" in text
    assert "[high, please acknowledge]" in text
    assert asked(store, "inbox", "--agent", "web") == []
    assert ids(asked(store, "inbox", "--agent", "web", "--all")) == ["aa1", "bb3"]
    assert asked(store, "inbox", "--agent", "web", "--ack", "aa")["changed"] == 1
    assert (
        invoke(store, "inbox", "--agent", "web", "--ack", "aa1").stdout == "acknowledged before\n"
    )
    (delivery,) = [d for d in asked(store, "messages", "--thread", "aa1")[0]["deliveries"]
                   if d["receiver"] == "web"]  # fmt: skip
    assert delivery["acked_at"] == delivery["read_at"] == NOW + 60


def test_sending(store: Path) -> None:
    sent = asked(store, "send", "web", "hi", "--from", "api", "--context", '{"sure": 0.5}')
    assert (sent["from"], sent["to"], sent["body"]) == ("api", ["web"], "hi")
    assert sent["context_understanding"] == {"sure": 0.5}
    sent = asked(store, "send", "--to", "a", "--to", "b", "--subject", "s", stdin="from\nstdin\n")
    assert (sent["to"], sent["body"]) == (["a", "b"], "from\nstdin")
    sent = asked(store, "send", "--reply-to", "aa", "fine", "--from", "web", "--ack")
    assert (sent["to"], sent["thread_id"], sent["ack_required"]) == (["api"], "aa1", True)
    sent = asked(store, "send", "--thread", "aa1", "to all", "--from", "api")
    assert sorted(sent["to"]) == ["docs", "web"]
    form = {"message_id": "x9", "from": "api", "content": {"body": "b"}, "to": ["web"]}
    assert asked(store, "send", "--form", json.dumps(form))["message_id"] == "x9"
    assert invoke(store, "send", "--form", json.dumps(form)).stdout == "x9\n"
    for text in HOSTILE:
        if text.isprintable():
            sent = asked(store, "send", "--to", text, "--subject", text, stdin=text)
            assert (sent["to"], sent["subject"], sent["body"]) == ([text], text, text)


def test_who_speaks_is_a_setting(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("USER", "ann")
    assert asked(store, "send", "web", "hi")["from"] == "ann"
    monkeypatch.setenv("AGENTMON_MESSAGES__AGENT", "web")
    assert asked(store, "send", "api", "hi")["from"] == "web"
    assert ids(asked(store, "inbox", "--peek"))[:1] == ["aa1"]
    monkeypatch.setenv("AGENTMON_MESSAGES__MAX_SIZE", "300")
    assert "the limit is 300" in invoke(store, "send", "api", "x" * 300).stderr


@pytest.mark.parametrize(
    ("words", "said", "code"),
    [
        (["send"], "to whom", 2),
        (["send", "a", "b", "c"], "quote the body", 2),
        (["send", "--form", "{}", "--subject", "s"], "--form", 2),
        (["send", "", "hi"], "to[0]: must not be empty", 1),
        (["send", "a\nb", "hi"], "U+000A", 1),
        (["send", "web", "hi", "--from", "*"], "from: * is everybody", 1),
        (["send", "--form", "[1]"], "message: must be an object, not a list", 1),
        (
            ["send", "--form", '{"content": {"body": "b"}, "to": "web", "bcc": "x"}'],
            "bcc: is no",
            1,
        ),
        (["send", "--reply-to", "bb", "hi"], "more than one message answers to 'bb'", 1),
        (["send", "--thread", "none", "hi"], "to: nobody else is in the thread", 1),
        (["send", "--to", "web", "--reply-to", "", "hi"], "reply_to: must not be empty", 1),
        (["send", "web", "hi", "--url", "http://x"], "", 1),
        (["inbox", "--agent", "web", "--ack", "bb2"], "no message bb2 for web", 1),
        (["inbox", "--agent", "*"], "agent: * is everybody", 1),
        (["listen", "--agent", "a\x1bb"], "agent_id: must not hold", 1),
        (["messages", "--thread", "none"], "no thread and no message", 1),
        (["messages", "--thread", "a", "--search", "b"], "give one of", 2),
    ],
)
def test_errors_are_one_sentence(store: Path, words: list[str], said: str, code: int) -> None:
    if "--url" in words:
        pytest.importorskip("agentmon.collab.redis_transport")
    answer = invoke(store, *words)
    assert answer.exit_code == code, answer.output
    assert said in answer.stderr
    if code == 1:
        assert answer.stderr.startswith("agentmon: ")
        assert answer.stderr.count("\n") == 1
    assert len(asked(store, "messages")) == 3


def test_work_that_a_message_tells_of_is_logged(store: Path) -> None:
    worklog = pytest.importorskip("agentmon.collab.worklog")
    work = {"kind": "deployment", "summary": "v2", "success": True, "lines_added": -1,
            "files": ["a.py", {"path": "b.py", "lines_added": 3}, 7, ""]}  # fmt: skip
    sent = asked(store, "send", "web", "done", "--from", "api", "--work", json.dumps(work))
    asked(store, "send", "web", "done", "--from", "api", "--work", "the parser")
    conn = db.open_reading(store)
    second, first = worklog.recent(conn)
    conn.close()
    assert (first.kind, first.summary, first.agent) == ("deployment", "v2", "api")
    assert (first.is_success, first.lines_added) == (True, None)
    assert [(file.path, file.lines_added) for file in first.files] == [("a.py", None), ("b.py", 3)]
    assert first.metadata["message_id"] == sent["message_id"]
    assert (second.kind, second.summary) == ("work_completed", "the parser")


def test_without_a_store(tmp_path: Path) -> None:
    assert_one_sentence(run("messages", "--data-dir", tmp_path / "none"), "no store")
    blocked = tmp_path / "file"
    blocked.write_text("x")
    assert_one_sentence(run("send", "web", "x", "--data-dir", blocked / "in"), "cannot")
