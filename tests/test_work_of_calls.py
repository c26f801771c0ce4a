"""What an agent did, derived from its calls: hand-written calls, and any calls at all."""

import json
import sqlite3
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentmon.collab import changes, shell, work_of_calls, worklog
from agentmon.collab.calls_seen import Call
from agentmon.collab.tallies import Tally, tallies
from agentmon.collab.worklog import WorkEvent
from tests.deep import examples, only_deep, some_of
from tests.worklogs import empty

Files = list[tuple[str, int | None, int | None]]


def call(
    name: str, given: dict[str, Any] | str, result: str | None = "", *, error: bool | None = None
) -> Call:
    return Call(
        tool_use_id="t1",
        name=name,
        input={"text": given} if isinstance(given, str) else given,
        result=result,
        is_error=error,
        sid="s",
        agent_id=None,
        round_id="r",
        flow_id="m",
        index=0,
        called_at=100.0,
        result_time=None if result is None else 101.0,
        cwd="/p",
        agent="api",
        product="claude",
    )


def work(name: str, given: dict[str, Any] | str, *result: Any, **more: Any) -> list[WorkEvent]:
    return work_of_calls.events(call(name, given, *result, **more))


def files(events: list[WorkEvent]) -> list[tuple[str, Files]]:
    return [
        (event.kind, [(f.path, f.lines_added, f.lines_deleted) for f in event.files])
        for event in events
    ]


def bash(command: str, *result: Any, **more: Any) -> list[WorkEvent]:
    return work("Bash", {"command": command}, *result, **more)


# Edits


@pytest.mark.parametrize(
    ("old", "new", "lines"),
    [
        ("a", "b", (1, 1)),
        ("a\nb\nc", "a\nx\nc", (1, 1)),
        ("a\nb", "a\nb\nc\nd", (2, 0)),
        ("a\nb\nc", "a\nc", (0, 1)),
        ("a\nb\n", "", (0, 2)),
        ("a\nb", "", (0, 2)),
        ("", "a\nb\n", (2, 0)),
        ("same", "same", (0, 0)),
        ("x\n" * 300 + "a", "y\n" + "x\n" * 300 + "b", (2, 1)),
        # the way between them is the shortest: none that follows long equal stretches is
        (
            "\n".join(f"x{n}\na{n}" for n in range(2500)),
            "\n".join(f"y{n}\na{n}" for n in range(2500)),
            (2500, 2500),
        ),
        ("p\nq\n" * 400 + "end", "q\np\n" * 400 + "END", (1, 1)),  # too alike: by lines as such
    ],
)
def test_lines_of_an_edit(old: str, new: str, lines: tuple[int, int]) -> None:
    assert changes.edited(old, new) == lines


@given(
    st.lists(st.sampled_from("abc"), max_size=12), st.lists(st.sampled_from("abcd"), max_size=12)
)
def test_lines_of_an_edit_add_up(old: list[str], new: list[str]) -> None:
    before, after = "\n".join(["<", *old, ">"]), "\n".join(["<", *new, ">"])
    added, deleted = changes.edited(before, after)
    assert len(new) - len(old) == added - deleted
    assert 0 <= deleted <= len(old)
    assert 0 <= added <= len(new)


@given(st.lists(st.sampled_from("abc"), max_size=9), st.lists(st.sampled_from("abcd"), max_size=9))
def test_lines_of_an_edit_are_the_fewest(old: list[str], new: list[str]) -> None:
    same = [[0] * (len(new) + 1) for _ in range(len(old) + 1)]
    for i, line in enumerate(old):
        for j, other in enumerate(new):
            longer = max(same[i][j + 1], same[i + 1][j])
            same[i + 1][j + 1] = same[i][j] + 1 if line == other else longer
    before, after = "\n".join(["<", *old, ">"]), "\n".join(["[", *new, "]"])
    lines = len(new) + 2 - same[-1][-1], len(old) + 2 - same[-1][-1]
    assert changes.edited(before, after) == lines


def test_edits_of_claude() -> None:
    edit = {"file_path": "/p/a.py", "old_string": "x = 1", "new_string": "x = 1\ny = 2"}
    (event,) = work("Edit", edit, "The file /p/a.py has been updated.")
    assert files([event]) == [("file_modified", [("/p/a.py", 1, 0)])]
    assert (event.event_key, event.time, event.agent) == ("call:t1:0", 101.0, "api")
    assert (event.is_success, event.origin, event.round_id) == (True, "derived", "r")
    many = {"file_path": "b.py", "edits": [edit, {"old_string": "c\nd", "new_string": "d"}]}
    assert files(work("MultiEdit", many, "Applied 2 edits")) == [
        ("file_modified", [("/p/b.py", 1, 1)])
    ]
    all_ = {**edit, "replace_all": True}
    (event,) = work("Edit", all_, "All 3 occurrences of 'x' were replaced.")
    assert (event.files[0].lines_added, event.metadata["replacements"]) == (3, 3)
    (event,) = work("Edit", all_, "All occurrences were successfully replaced.")
    assert (event.files[0].lines_added, event.metadata["replacements"]) == (1, None)


def test_a_failed_call_changed_nothing() -> None:
    edit = {"file_path": "/p/a.py", "old_string": "x", "new_string": "y"}
    for result, error in (("String to replace not found", True), ("<tool_use_error>no", None)):
        (event,) = work("Edit", edit, result, error=error)
        assert event.is_success is False
        assert files([event]) == [("file_modified", [("/p/a.py", None, None)])]
    (event,) = work("Edit", edit, None)
    assert event.is_success is None
    assert (event.time, event.files[0].lines_added) == (100.0, 1)


def test_what_a_file_says_is_no_exit_code() -> None:
    edit = {"file_path": "/p/a.py", "old_string": "x", "new_string": "y"}
    snippet = (
        "The file has been updated:\nProcess exited with code 1\nCommand running in background"
    )
    (event,) = work("Edit", edit, snippet)
    assert event.is_success is True
    printed = "Chunk ID: 1\nProcess exited with code 0\nOutput:\nProcess exited with code 7\n"
    (event,) = work("exec_command", {"cmd": "rm a"}, printed)
    assert event.is_success is True
    (event,) = work("Edit", edit, "[Request interrupted by user for tool use]")
    assert event.is_success is False


def test_writes_of_claude() -> None:
    given = {"file_path": "/p/new.txt", "content": "a\nb\nc"}
    assert files(work("Write", given, "File created successfully at: /p/new.txt")) == [
        ("file_created", [("/p/new.txt", 3, 0)])
    ]
    (event,) = work("Write", given, "The file /p/new.txt has been updated.")
    assert files([event]) == [("file_modified", [("/p/new.txt", None, None)])]
    assert event.metadata["lines"] == 3
    cell = {"notebook_path": "/p/n.ipynb", "new_source": "a\nb", "edit_mode": "insert"}
    assert files(work("NotebookEdit", cell, "Inserted cell")) == [
        ("file_modified", [("/p/n.ipynb", 2, 0)])
    ]


PATCH = """*** Begin Patch
*** Add File: new.py
+one
+two
*** Update File: src/a.py
@@ def f():
 same
-old
+new
+more
*** Update File: old.py
*** Move to: moved.py
@@
-x
*** Delete File: gone.py
*** End Patch
"""
PATCHED: list[tuple[str, Files]] = [
    ("file_created", [("/p/new.py", 2, 0)]),
    ("file_modified", [("/p/src/a.py", 2, 1)]),
    ("file_moved", [("/p/old.py", 0, 0), ("/p/moved.py", 0, 1)]),
    ("file_deleted", [("/p/gone.py", None, None)]),
]
SUCCESS = "Exit code: 0\nWall time: 0 seconds\nOutput:\nSuccess. Updated the following files:\nA n"


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("apply_patch", PATCH),
        ("apply_patch", {"patch": PATCH}),
        ("shell", {"command": ["apply_patch", PATCH]}),
        ("shell", {"command": ["bash", "-lc", f"apply_patch <<'EOF'\n{PATCH}EOF\n"]}),
        ("exec_command", {"cmd": f"cd /p && apply_patch <<'EOF'\n{PATCH}EOF"}),
        ("local_shell_call", {"action": {"command": ["apply_patch", PATCH]}}),
        ("exec", f"text(await tools.apply_patch({json.dumps(PATCH)}));\n"),
        ("exec", f"const p = `{PATCH}`;\nawait tools.apply_patch(p);"),
    ],
)
def test_patches_of_codex(name: str, given: Any) -> None:
    assert files(work(name, given, SUCCESS)) == PATCHED
    failed = work(name, given, SUCCESS.replace("code: 0", "code: 1"))
    assert {event.is_success for event in failed} == {False}
    assert all(f.lines_added is None for event in failed for f in event.files)


def test_a_script_runs_commands_in_folders() -> None:
    script = (
        'const r = await tools.exec_command({cmd: "rm a.txt", workdir: "sub"});\n'
        "await tools.exec_command({workdir: '/q', cmd: 'pytest -q'}); text(r);"
    )
    told = '{"exit_code":0,"output":"3 passed in 0.1s\\n"}'
    removed, ran = work("exec", script, f"Script completed\nWall time 0.1 seconds\nOutput:\n{told}")
    assert files([removed]) == [("file_deleted", [("/p/sub/a.txt", None, None)])]
    assert (ran.kind, ran.is_success, ran.metadata["passed"]) == ("test_run", True, 3)


def test_what_codex_exec_says_of_files() -> None:
    given = {"changes": [{"path": "/p/a", "kind": "add"}, {"path": "b", "kind": "update"}]}
    assert files(work("file_change", given)) == [
        ("file_created", [("/p/a", None, None)]),
        ("file_modified", [("/p/b", None, None)]),
    ]


# Commits

COMMITTED = """[main 5c1b231] Add music
 14 files changed, 3289 insertions(+), 1 deletion(-)
 create mode 100644 CLAUDE.md
"""


def test_commits() -> None:
    message = "$(cat <<'EOF'\nAdd music\n\nIt's; rm -rf (x\nEOF\n)"
    text = f'git add -A && git commit -m "{message}" && git push'
    (event,) = bash(text, COMMITTED)
    assert (event.kind, event.commit_hash, event.summary) == ("git_commit", "5c1b231", "Add music")
    assert (event.lines_added, event.lines_deleted, event.is_success) == (3289, 1, True)
    assert event.metadata["files_changed"] == 14
    assert event.metadata["branch"] == "main"
    (event,) = bash("git commit -qm 'quiet one'", "")
    assert (event.summary, event.is_success, event.commit_hash) == ("quiet one", True, None)
    (event,) = bash("git -C /q commit -m x", "Pre-commit validation failed", error=True)
    assert (event.is_success, event.summary, event.lines_added) == (False, "x", None)
    (event,) = bash("git commit -am x || true", "On branch main\nnothing to commit, clean")
    assert event.is_success is False
    (event,) = bash(
        "git commit --amend --no-edit 2>&1", "[(no branch) 311421533] feat\n 1 file changed"
    )
    assert (event.commit_hash, event.metadata["amend"]) == ("311421533", True)
    assert (event.lines_added, event.metadata["files_changed"]) == (None, 1)
    two = bash("git commit -m a; git commit -m b", "[m 1234567] a\n[m 89abcde] b\n")
    assert [event.commit_hash for event in two] == ["1234567", "89abcde"]
    (event,) = bash(
        "git commit -m r", "[main (root-commit) 1234567] r\n 2 files changed, 5 insertions(+)"
    )
    assert (event.lines_added, event.lines_deleted) == (5, 0)
    assert bash("git commit --dry-run && git log && echo 'git commit -m x'", COMMITTED) == []


# Tests


@pytest.mark.parametrize(
    ("output", "tally"),
    [
        ("==== 1 failed, 20 passed, 2 skipped, 1 warning in 3.21s ====", ("pytest", 20, 1, 2)),
        ("5 passed in 0.10s", ("pytest", 5, 0, 0)),
        ("1 failed", ("pytest", 0, 1, 0)),
        ("= 2 passed, 1 xfailed, 3 errors in 70.2s (0:01:10) =", ("pytest", 2, 3, 1)),
        ("no tests ran in 0.01s", ("pytest", 0, 0, 0)),
        ("Ran 5 tests in 0.1s\n\nFAILED (failures=1, errors=1, skipped=1)", ("unittest", 2, 2, 1)),
        ("Ran 1 test in 0.1s\n\nOK", ("unittest", 1, 0, 0)),
        ("Tests:       1 failed, 2 skipped, 3 passed, 6 total", ("jest", 3, 1, 2)),
        (" Test Files  1 passed (1)\n      Tests  2 failed | 3 passed (5)", ("vitest", 3, 2, 0)),
        (
            "test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured\n"
            "test result: FAILED. 1 passed; 2 failed; 0 ignored",
            ("cargo", 4, 2, 1),
        ),
        ("--- PASS: TestA (0.0s)\n    --- PASS: TestA/x\n--- FAIL: TestB (0.0s)", ("go", 1, 1, 0)),
        ("ok  \tpkg/a\t0.01s\nok  \tpkg/b\t(cached)", ("go", None, 0, None)),
        ("14 doctests, 410 tests, 2 failures, 3 skipped", ("exunit", 419, 2, 3)),
        ("5 examples, 1 failure, 1 pending", ("rspec", 3, 1, 1)),
        ("  5 passing (32ms)\n  1 pending\n  2 failing", ("mocha", 5, 2, 1)),
        ("Passed!  - Failed:     0, Passed:     7, Skipped:     1, Total: 8", ("dotnet", 7, 0, 1)),
        ("[ERROR] Tests run: 9, Failures: 1, Errors: 2, Skipped: 3", ("maven", 3, 3, 3)),
        ("OK (4 tests, 9 assertions)", ("phpunit", 4, 0, 0)),
        ("Tests: 5, Assertions: 9, Failures: 1, Skipped: 1.", ("phpunit", 3, 1, 1)),
        (" 12 pass\n 1 fail\nRan 13 tests", ("bun", 12, 1, 0)),
        ("# tests 3\n# pass 2\n# fail 1\n# skipped 0", ("tap", 2, 1, 0)),
        ("  1 failed\n  7 passed (3.2s)", ("playwright", 7, 1, 0)),
        ("\x1b[32m\x1b[1m3 passed\x1b[0m in 0.1s", ("pytest", 3, 0, 0)),
    ],
)
def test_what_an_output_says_of_tests(output: str, tally: tuple[Any, ...]) -> None:
    assert tallies(f"noise\n{output}\nnoise 7 passed", tally[0]) == [Tally(*tally)]
    if tally[0] != "playwright":  # whose lines may be pytest's
        assert tallies(output) == [Tally(*tally)]


@pytest.mark.parametrize(
    "command",
    [
        "pytest -q", "python3.12 -m pytest x", "uv run pytest", "cd web && npm test",
        "npm run test:ci", "yarn test", "pnpm run test -- --ci", "npx jest", "npx vitest run",
        "cargo test --all",
        "go test ./...", "python -m unittest discover", "tox -e py311", "mix test 2>&1 | tail -5",
        "CI=1 timeout 60 bash -lc 'pytest -x'", "make -j4 test", "bundle exec rspec", "bun test",
        "./gradlew test", "sudo -u app pytest", "(cd a; pytest)", "poetry run python -m pytest",
    ],
)  # fmt: skip
def test_commands_that_test(command: str) -> None:
    (event,) = bash(command, "4 passed in 0.1s")
    assert (event.kind, event.is_success, event.metadata["passed"]) == ("test_run", True, 4)


@pytest.mark.parametrize(
    "command",
    [
        "grep pytest x", "echo 'pytest -q'", "pip install pytest", "pytest --collect-only",
        "npm run build", "cat <<'EOF'\npytest -q\nEOF", "ls test", "# pytest",
        "cargo test --no-run", "git log --grep='npm test'", "vim tests/test_x.py",
        "npm run testimony",
    ],
)  # fmt: skip
def test_commands_that_do_not(command: str) -> None:
    assert bash(command, "4 passed in 0.1s") == []


def test_how_a_run_ended() -> None:
    (event,) = bash("pytest", "Exit code 1\n1 failed, 2 passed in 1s", error=True)
    assert (event.is_success, event.metadata["failed"]) == (False, 1)
    (event,) = bash("pytest | tail -1", "all is well")
    assert event.is_success is None, "tail went well, more is not known"
    (event,) = bash("pytest -q", "Command running in background with ID: b7")
    assert (event.is_success, event.metadata.get("passed")) == (None, None)
    (event,) = bash("pytest -q", "ImportError", error=True)
    assert event.is_success is False
    (event,) = work("exec_command", {"cmd": "pytest"}, "Chunk ID: 1\nProcess exited with code 1\n")
    assert event.is_success is False
    two = bash("pytest a; pytest b", "1 passed in 1s\n2 failed in 1s", error=True)
    assert [event.is_success for event in two] == [True, False]
    removed, ran = bash("rm x && pytest", "Exit code 1\n2 failed in 1s", error=True)
    assert (removed.is_success, ran.is_success) == (True, False), "the tests were reached"


# The rest


def test_files_that_commands_take_away() -> None:
    (event,) = bash('cd sub && rm -rf a.py "b c.py" /abs/d -- -e')
    assert [file.path for file in event.files] == [
        "/p/sub/a.py", "/p/sub/b c.py", "/abs/d", "/p/sub/-e",
    ]  # fmt: skip
    (event,) = bash("rm *.tmp $X keep.txt")
    assert files([event]) == [("file_deleted", [("/p/keep.txt", None, None)])]
    assert event.metadata["unnamed"] is True
    assert files(bash("git rm --quiet a && git mv b c/")) == [
        ("file_deleted", [("/p/a", None, None)]),
        ("file_moved", [("/p/b", None, None), ("/p/c/b", None, None)]),
    ]
    assert bash("git rm --cached a; rm --help; true || rm b; git rm -n c") == []
    (event,) = bash("rm a", "rm: cannot remove 'a'", error=True)
    assert event.is_success is False


@pytest.mark.parametrize(
    "command",
    [
        "kubectl apply -f k8s/", "docker push me/app:1", "terraform apply -auto-approve",
        "vercel --prod", "npx vercel deploy", "fly deploy", "netlify deploy --prod", "npm publish",
        "twine upload dist/*", "python -m twine upload dist/*", "helm upgrade app ./chart",
        "cargo publish", "uv publish", "git push heroku main", "npx wrangler deploy",
    ],
)  # fmt: skip
def test_deployments(command: str) -> None:
    (event,) = bash(command)
    assert (event.kind, event.is_success) == ("deployment", True)
    (event,) = bash(command, "denied", error=True)
    assert event.is_success is False


@pytest.mark.parametrize(
    "command",
    [
        "kubectl get pods",
        "terraform plan",
        "docker build .",
        "npm publish --dry-run",
        "vercel env ls",
    ],
)
def test_no_deployments(command: str) -> None:
    assert bash(command) == []


# Hostile


ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=8,
)
KEYS = st.sampled_from(
    ["file_path", "old_string", "new_string", "replace_all", "edits", "content", "command", "cmd",
     "text", "patch", "input", "changes", "action", "workdir", "notebook_path", "edit_mode"]
)  # fmt: skip
PIECES = st.lists(
    st.sampled_from(
        ["git commit -m", " ", "'", '"', "$(", ")", "<<'EOF'", "\n", "EOF", "rm", "&&", "||", ";",
         "|", "`", "\\", "*** Begin Patch\n", "*** Update File: a", "*** End Patch", "+x\n", "cd",
         "bash -c", "pytest", "\0", "\ud83d", "{", "(", "é", "$X", "2>&1", "mv a", "apply_patch"]
    ),
    max_size=25,
).map("".join)  # fmt: skip
NAMES = st.sampled_from(
    sorted(
        {*work_of_calls.SHELLS, *work_of_calls.PATCHES, "Edit", "MultiEdit", "Write", "file_change"}
    )
)


@settings(max_examples=examples(25, 150), deadline=None)
@given(
    name=NAMES,
    given_=st.dictionaries(KEYS, PIECES | ANY, max_size=5),
    result=st.none() | PIECES | st.text(max_size=60),
    error=st.none() | st.booleans(),
    agent=st.text(max_size=250),
)
def test_any_call_is_taken(
    name: str, given_: dict[str, Any], result: str | None, error: bool | None, agent: str
) -> None:
    conn = empty()
    one = call(name, given_, result, error=error)
    one.agent = agent
    assert work_of_calls.wants(name)
    work_of_calls.RULE.take(conn, one)
    first = rows(conn)
    work_of_calls.RULE.take(conn, one)
    assert rows(conn) == first, "taken twice is taken once"
    for event in worklog.recent(conn):
        assert event.is_success is not False or all(f.lines_added is None for f in event.files)


def rows(conn: sqlite3.Connection) -> list[Any]:
    tables = ("work_events", "work_files", "daily_metrics")
    return [conn.execute(f"SELECT * FROM {table} ORDER BY 1, 2").fetchall() for table in tables]


@given(PIECES | st.text())
def test_any_command_line_is_read(text: str) -> None:
    for command in shell.run_by(text, "/p"):
        assert all(place >= 0 for place in command.open)


LARGE = [
    "$(",
    '"',
    "'",
    "`",
    "(",
    "<<EOF\n",
    "\\",
    "a=b ",
    "if ",
    '"$(',
    "bash -c ",
    "\n",
    "[x abcdef1] ",
]


@pytest.mark.parametrize("piece", some_of(LARGE, "`", "\\", '"$(', "bash -c ", "<<EOF\n"))
def test_large_inputs_take_no_time_of_their_own(piece: str) -> None:
    """Each of these is quadratic if it is read carelessly: 10¹⁰ steps would not come back."""
    text = piece * (30_000 // len(piece))
    bash(text, text)
    work("exec", text, text)
    work("apply_patch", "*** Begin Patch\n" + text, text)
    work("Edit", {"file_path": "a", "old_string": text, "new_string": text[1:] + "x"}, text)
    bash("pytest && git commit", text)


@pytest.mark.parametrize("size", [10_000, *only_deep(30_000, 100_000, 500_000)])
def test_what_agents_write_takes_no_time_of_its_own(size: int) -> None:
    """Each of these took minutes, or gigabytes, for a megabyte: the store could not be written."""
    document = "cat <<EOF\nEOF\n"
    assert bash(f"{document}echo {'${' * size}") == []
    some = min(size, 30_000)
    deep = shell.run_by(document + "cd a;" * (some * 13 // 30), "/p")
    assert deep[100].cwd == "/p" + "/a" * 99
    assert max(len(one.cwd or "") for one in deep) <= 4096, "no folder is deeper"
    assert len(bash(document + "git -C a " + "-C a " * (some * 12 // 30) + "commit")) == 1
    chain = bash("mv a b && " * (some // 5) + "git commit -m x", "[main 1234567] x\n")
    assert len(chain) == work_of_calls.MOST_EVENTS
    assert all(event.is_success for event in chain)
    many = bash(document + "git commit;" * (size * 9 // 10), "x" * (1 << 20))
    assert len(many) == work_of_calls.MOST_EVENTS
    (gone,) = bash("rm " + "a " * some)
    assert len(gone.files) == 1
    patch = "*** Begin Patch\n" + "*** Add File: a\n" * size
    assert len(work("apply_patch", patch)) == work_of_calls.MOST_EVENTS
    run = "Tests:" + " " * 100 + "1" * 290
    assert tallies("\n".join([run] * 600)) == []
    edit = {"old_string": "b\n" + "a\n" * 200 + "c", "new_string": "d\n" + "a\n" * 200 + "e"}
    (event,) = work("MultiEdit", {"file_path": "f", "edits": [edit] * 10_000})
    assert files([event]) == [("file_modified", [("/p/f", None, None)])]


def test_documents_do_not_count_as_commands() -> None:
    """What stands after long ones is read; beyond 64 Ki characters of commands nothing is."""
    document = "cat > f <<'EOF'\n" + "text\n" * 20_000 + "EOF\n"
    assert [event.kind for event in bash(document + "rm f && git commit -m x")] == [
        "file_deleted",
        "git_commit",
    ]
    inner = f'echo "$({document})" "$({document})"; rm f'
    assert [event.kind for event in bash(inner)] == ["file_deleted"]
    assert bash("cat <<EOF\nEOF\n" + "true;" * 20_000 + "rm f") == []


def test_where_a_chain_was_proved_to_run() -> None:
    chain = bash("rm a; rm b && git commit -m x || rm c", "[main 1234567] x\n", error=True)
    assert [(event.files[0].path if event.files else "", event.is_success) for event in chain] == [
        ("/p/a", None),
        ("/p/b", True),
        ("", True),
        ("/p/c", False),
    ]
