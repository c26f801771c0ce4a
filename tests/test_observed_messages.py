"""Messages that agents exchange by their own means: over real recordings and lines of ours."""

import json
from pathlib import Path
from typing import Any

import pytest

from agentmon.collab import archive
from agentmon.collab.archive import Mail
from agentmon.collab.calls_seen import Heard
from agentmon.collab.deriving import catch_up
from agentmon.collab.observed_messages import RULE, report
from agentmon.collab.settling import rename
from agentmon.store import db
from tests.derived import asked
from tests.differential import ingest
from tests.mail import draft, memory, put
from tests.retention import NOW, bring_back, clean, gone, query

SID = "5b1d2c3e-0000-4000-8000-000000000001"


def mails(data_dir: Path) -> list[Mail]:
    assert catch_up(data_dir, [RULE]) == 0
    conn = db.open_reading(data_dir)
    try:
        return archive.recent(conn, limit=1000)[::-1]
    finally:
        conn.close()


def scene(shared: Path, data_dir: Path, name: str) -> list[Mail]:
    ingest(data_dir, [shared / "captures" / name])
    return mails(data_dir)


def told(mail: Mail) -> tuple[str, list[str], str, str]:
    return mail.sender, mail.receivers, mail.type, mail.body


def test_a_subagent_that_is_waited_for(shared: Path, tmp_path: Path) -> None:
    task, answer = scene(shared, tmp_path, "claude-wait")
    prompt = "e2e:sub@0.01 Count the text files here."
    assert told(task) == ("claude-wait-p", ["Count text files"], "task", prompt)
    assert told(answer) == (
        "Count text files",
        ["claude-wait-p"],
        "answer",
        "There is 1 text file.",
    )
    assert (answer.reply_to, answer.thread_id) == (task.message_id, task.message_id)
    assert task.tool_use_id == answer.tool_use_id == "toolu_012101ff740ca66e7ce5da"
    assert (task.origin, task.thread_agent, answer.thread_agent) == (
        "claude",
        None,
        "a5a31d179924da85d",
    )
    rounds = asked(tmp_path, "SELECT round_id FROM rounds WHERE prompts > 0")
    assert {(mail.round_id,) for mail in (task, answer)} == set(rounds)
    (read,), (read_back,) = task.deliveries, answer.deliveries
    # the subagent's first message began at 51.839, the parent's next one at 53.773
    assert round(read.read_at or 0.0, 3) == 1795289651.839
    assert round(read_back.read_at or 0.0, 3) == 1795289653.773
    assert {(one.session_id, one.round_id) for one in (read, read_back)} == {
        (task.session_id, task.round_id)
    }


def test_a_subagent_in_the_background_answers_by_a_notification(
    shared: Path, tmp_path: Path
) -> None:
    task, answer = scene(shared, tmp_path, "claude-full")
    assert told(task)[:3] == ("claude-full-p", ["Count text files"], "task")
    assert told(answer) == (
        "Count text files",
        ["claude-full-p"],
        "answer",
        "There is 1 text file.",
    )
    assert round(answer.sent_at or 0.0, 3) == 1795289646.681
    assert all(mail.deliveries[0].read_at for mail in (task, answer))


def test_tags_that_never_end_take_no_time_of_their_own() -> None:
    """A notification of a mebibyte that is nothing but begins of tags: once hours of looking
    for their ends."""
    conn = memory()
    put(conn, draft(message_id="call-t1", type="task"))
    inside = "<tool-use-id>t2</tool-use-id> <summary>done"
    begins = "<summary>" * 120_000
    content = (
        f"<task-notification>\n<tool-use-id>t1</tool-use-id>\n<result>{inside}</result>\n"
        f"<result>later</result>{begins}"
    )
    heard = Heard(1, "queue_operation", {"operation": "enqueue", "content": content},
                  "s", None, 5.0, None, "claude")  # fmt: skip
    assert RULE.hear is not None
    RULE.hear(conn, heard)
    (answer,) = (mail for mail in archive.recent(conn) if mail.type == "answer")
    assert (answer.reply_to, answer.body) == ("call-t1", inside)


def test_codex_agents_are_named_as_on_the_board(shared: Path, tmp_path: Path) -> None:
    task, answer = scene(shared, tmp_path, "codex-spawn")
    name = "Tesla: e2e:sub@0.01 Count the files."
    assert told(task) == ("codex-spawn-x", [name], "task", "e2e:sub@0.01 Count the files.")
    assert told(answer) == (name, ["codex-spawn-x"], "answer", "Counted.")
    assert (task.subject, task.tool_use_id) == ("counter", "call_t0_0_a4184e83")
    assert (answer.reply_to, answer.thread_agent) == (task.message_id, "/root/counter")
    assert round(answer.deliveries[0].read_at or 0.0, 3) == 1795289976.726


def test_the_wire_alone_tells_of_them_as_well(shared: Path, tmp_path: Path) -> None:
    for name in ("claude-wait", "claude-full"):
        ingest(tmp_path / name, [shared / "captures" / name / "sse_lines.jsonl"])
        (first, *_) = mails(tmp_path / name)
        assert first.type == "task"
        assert first.body == "e2e:sub@0.01 Count the text files here."


def test_transcripts_of_public_projects(shared: Path, tmp_path: Path) -> None:
    """Hand-counted: prompts of Task and Agent calls, and what came back of them."""
    samples = shared / "samples" / "claude_transcripts"
    ingest(tmp_path, sorted(samples.glob("microsoft__vscode-copilot-chat__b3a7bd3c*.jsonl")))
    found = mails(tmp_path)
    tasks = {mail.subject: mail for mail in found if mail.type == "task"}
    answers = {mail.subject: mail for mail in found if mail.type == "answer"}
    plural = ("", "s", "s", "s")
    assert {name: mail.body for name, mail in tasks.items()} == {
        f"Sleep for {n + 1} second{plural[n]}": f"Run: sleep {n + 1}" for n in range(4)
    }
    assert tasks["Sleep for 1 second"].receivers == ["Bash: Sleep for 1 second"]
    assert len(answers) == 4
    said = answers["Sleep for 3 seconds"].body
    assert said == "Done. The command completed successfully after 3 seconds."
    assert all(answers[name].reply_to == mail.message_id for name, mail in tasks.items())


@pytest.mark.parametrize(
    ("result", "answer"),
    [
        ("Done.\nagentId: a1 (for resuming to continue this agent's work)\n<usage>…", "Done."),
        ("A line.\nagentId: mine is not one", "A line.\nagentId: mine is not one"),
        ("Async agent launched successfully. …", None),
        ("[Subagent hand-back] … The report follows:\n  one\n    two\n  three\n"
         "agentId: a1 (use SendMessage with to: 'a1')\n<usage>", "one\n  two\nthree"),
    ],
)  # fmt: skip
def test_an_answer_is_told_from_what_the_client_says_around_it(
    result: str, answer: str | None
) -> None:
    assert report(result) == answer


# -- lines of ours


def transcript(*calls: tuple[str, dict[str, Any], str | None], cwd: str = "/home/u/web") -> str:
    """A transcript with these calls, one a message; a result where there is one."""
    common = {"sessionId": SID, "cwd": cwd, "version": "2.1.330", "isSidechain": False}
    rows: list[dict[str, Any]] = [
        {
            "type": "user",
            "uuid": "u0",
            "promptId": "p",
            "message": {"role": "user", "content": "go"},
        }
    ]
    for n, (name, given, result) in enumerate(calls):
        block = {"type": "tool_use", "id": f"toolu_{n}", "name": name, "input": given}
        message = {"id": f"msg_{n}", "type": "message", "role": "assistant", "model": "claude-x",
                   "content": [block], "stop_reason": "tool_use",
                   "usage": {"input_tokens": 1, "output_tokens": 1}}  # fmt: skip
        rows.append(
            {"type": "assistant", "uuid": f"a{n}", "requestId": f"r{n}", "message": message}
        )
        if result is not None:
            part = {"type": "tool_result", "tool_use_id": f"toolu_{n}", "content": result}
            rows.append({"type": "user", "uuid": f"t{n}",
                         "message": {"role": "user", "content": [part]}})  # fmt: skip
    for n, row in enumerate(rows):
        row.update(common, timestamp=f"2026-11-21T10:00:{n:02}.000Z")
    return "".join(json.dumps(row) + "\n" for row in rows)


def of_lines(folder: Path, text: str) -> list[Mail]:
    log = folder / f"{SID}.jsonl"
    log.write_text(text)
    ingest(folder / "store", [log])
    return mails(folder / "store")


def test_send_message_in_its_forms(tmp_path: Path) -> None:
    found = of_lines(
        tmp_path,
        transcript(
            ("SendMessage", {"to": "researcher", "summary": "where", "message": "Look."}, "ok"),
            ("SendMessage", {"type": "message", "recipient": "tester", "content": "Run it."}, "ok"),
            ("SendMessage", {"to": "tester", "message": {"type": "shutdown_request"}}, "ok"),
            ("SendMessage", {"type": "broadcast", "content": "Stop."}, "ok"),
            ("SendMessage", {"to": "late", "message": "not sent yet"}, None),
        ),
    )  # fmt: skip
    assert [told(mail) for mail in found] == [
        ("web", ["researcher"], "message", "Look."),
        ("web", ["tester"], "message", "Run it."),
        ("web", ["tester"], "shutdown_request", '{"type":"shutdown_request"}'),
        ("web", ["*"], "message", "Stop."),
    ]
    assert found[0].subject == "where"
    assert [d.read_at for mail in found for d in mail.deliveries] == [None] * 3


HOSTILE: list[dict[str, Any]] = [
    {},
    {"prompt": 3, "description": ["x"]},
    {"prompt": {"deep": [1, None]}, "description": "\x1b[31m\n[bold]" * 99},
    {"prompt": "'); DROP TABLE agent_messages; --", "subagent_type": '"*" OR 1'},
    {"prompt": "\ud800 half", "description": "half \ud800"},
    {"prompt": "x" * 3_000_000, "description": "\x00"},
]


def test_hostile_arguments_stop_nothing(tmp_path: Path) -> None:
    calls = [("Agent", given, "fine") for given in HOSTILE]
    calls += [("SendMessage", {**given, "to": given.get("description"), "message": given}, "fine")
              for given in HOSTILE]  # fmt: skip
    calls.append(("Agent", {"prompt": "last", "description": "the last"}, "fine"))
    found = of_lines(tmp_path, transcript(*calls))
    assert [mail.body for mail in found if mail.subject == "the last"] == ["last", "fine"]
    assert len({mail.message_id for mail in found}) == len(found) > 10
    assert max(len(mail.body) for mail in found) == 1 << 20
    for mail in found:
        for name in (mail.sender, *mail.receivers):
            assert 0 < len(name) <= 200
            assert name.isprintable()


def test_seen_again_changes_nothing(tmp_path: Path) -> None:
    calls = ("Agent", {"prompt": "count", "description": "Count"}, "three")
    first = of_lines(tmp_path, transcript(calls))
    data_dir = tmp_path / "store"
    metrics = "SELECT * FROM daily_metrics ORDER BY 1, 2, 3"
    before = asked(data_dir, metrics)
    conn = db.create(data_dir)
    conn.execute("UPDATE derivations SET version = 0")
    conn.close()
    assert mails(data_dir) == first
    sids = gone(clean(data_dir, now=NOW))
    assert mails(data_dir) == first
    bring_back(data_dir, sids)
    assert mails(data_dir) == first
    assert asked(data_dir, metrics) == before
    assert [mail.type for mail in first] == ["task", "answer"]


def test_a_receiver_that_gets_its_name_later_is_found_by_it(tmp_path: Path) -> None:
    call = ("Agent", {"prompt": "count", "description": "Count"}, None)
    (task,) = of_lines(tmp_path, transcript(call))
    conn = db.create(tmp_path / "store")
    with db.transaction(conn):
        rename(conn, task.seq, "Count", "Tesla")
    assert [mail.seq for mail in archive.search(conn, "to:Tesla")] == [task.seq]
    assert archive.search(conn, "to:Count") == []
    conn.close()
    rows = query(tmp_path / "store", "SELECT agent, value FROM daily_metrics ORDER BY 1")
    assert rows == [("Tesla", 1.0), ("web", 1.0)]
