"""What happens in the demo: five agents on one machine, a little over four minutes.

All times are seconds since the start of the recording. Each function tells one session, or one
round of it; the tape interleaves them. Here: the ones that change a program.
"""

from tests.tools.demo_operations import docs, importer, infra
from tests.tools.demo_tape import OPUS, SONNET, Call, Session, Speaker, Tape, Text, Thinking


def tell(tape: Tape) -> None:
    """Every session onto the tape."""
    for session in (api, web, infra, importer, docs):
        session(tape)


def api(tape: Tape) -> None:
    """A flaky test: three tools at once, a failing run, a stall in mid-text, a queued prompt."""
    agent = Speaker(tape, Session(tape.uuid(), 48213, "/home/mia/api-server", OPUS), 0.0, 31_400)
    agent.start()
    agent.until(0.9)
    agent.prompt("test_tail is flaky, CI fails about once a day. Find out why and fix it.")
    agent.say(
        Thinking(
            "A test that fails once a day is a race, most likely between the writer that rotates "
            "the log and our reader. I should read the test, see how the tail loop handles a new "
            "inode, and run it many times to get a failure here."
        ),
        Text("I'll look at the test and the tail loop, and try to make it fail here."),
        Call("read", "Read", {"file_path": "/home/mia/api-server/tests/test_tail.py"}),
        Call("grep", "Grep", {"pattern": "st_ino|reopen", "path": "src"}),
        Call("loop", "Bash", {"command": "pytest -x -q tests/test_tail.py --count 50"}),
    )
    agent.result("read", 0.4, _TEST_TAIL)
    agent.result("grep", 0.7, "src/tail.py:41:        self._ino = os.stat(path).st_ino")
    agent.result("loop", 9.2, _FAILED_RUN, error=True)
    agent.say(
        Thinking(
            "There it is: run 31 lost two lines. _poll() calls os.stat(path) and only then opens "
            "the path, so a rotation in between gives the inode of the old file and the "
            "descriptor of the new one. fstat on the open descriptor can't be fooled."
        ),
        Text(
            "It failed on run 31. The inode comes from the path, but the descriptor may already "
            "belong to the rotated file. I'll take it from the descriptor."
        ),
        Call(
            "edit",
            "Edit",
            {
                "file_path": "/home/mia/api-server/src/tail.py",
                "old_string": "self._ino = os.stat(path).st_ino\nself._fd = open(path, 'rb')",
                "new_string": "self._fd = open(path, 'rb')\n"
                "self._ino = os.fstat(self._fd.fileno()).st_ino",
            },
        ),
    )
    agent.result("edit", 0.3, "The file src/tail.py has been updated.")
    agent.say(
        Text("Now the same test, 400 times."),
        Call("again", "Bash", {"command": "pytest -q tests/test_tail.py --count 400"}),
    )
    _confirm(agent)
    agent.stop()
    _lint(agent)
    agent.until(agent.clock + 21.0)
    agent.end("prompt_input_exit")


_LINTER = "when that is done, run the linter too"


def _confirm(agent: Speaker) -> None:
    agent.queue("enqueue", agent.clock + 6.0, _LINTER)
    agent.result("again", 17.4, "400 passed in 16.92s")
    agent.say(
        Text(
            "The test passes 400 times in a row now.\n\n"
            "**What was wrong.** `Tail._poll` asked the *path* for its inode and then opened it. "
            "A rotation between the two",
            47.5,
            " calls left the reader with the new file but the old inode, so the next poll "
            "believed that nothing had changed and skipped what was written meanwhile.\n\n"
            "**What changed.** `src/tail.py:41` asks the open descriptor with `os.fstat`; there "
            "is no window left between the two calls.",
        ),
    )


def _lint(agent: Speaker) -> None:
    agent.queue("dequeue", agent.clock + 0.1)
    agent.clock += 0.15
    agent.prompt(_LINTER)
    agent.say(Call("lint", "Bash", {"command": "ruff check . && ruff format --check ."}))
    agent.result("lint", 1.3, _LINT, error=True)
    agent.say(
        Text("Two findings, both from before my change; the first one is safe to fix."),
        Call("fix", "Bash", {"command": "ruff check --fix . && ruff format ."}),
    )
    agent.result("fix", 1.1, "Found 2 errors (2 fixed, 0 remaining).\n41 files left unchanged")
    agent.say(Text("Done: `import re` was unused, and an import block is sorted now."))
    agent.stop()


_TEST_TAIL = """\
     1\timport os
     2\timport threading
     3\t
     4\tfrom tail import Tail
     5\t
     6\t
     7\tdef test_rotation_loses_nothing(tmp_path):
     8\t    path = tmp_path / "app.log"
     9\t    writer = threading.Thread(target=write_and_rotate, args=(path, 5_000))
    10\t    writer.start()
    11\t    with Tail(path) as tail:
    12\t        got = [line for line in tail.until(b"end")]
    13\t    writer.join()
    14\t    assert len(got) == 5_000"""
_FAILED_RUN = """\
Exit code 1
..............................F
=================================== FAILURES ===================================
__________________ test_rotation_loses_nothing[31-50] __________________________
tests/test_tail.py:14: in test_rotation_loses_nothing
    assert len(got) == 5_000
E   assert 4998 == 5000
=========================== short test summary info ============================
FAILED tests/test_tail.py::test_rotation_loses_nothing[31-50] - assert 4998 == 5000
!!!!!!!!!!!!!!!!!!!!!!!!!! stopping after 1 failures !!!!!!!!!!!!!!!!!!!!!!!!!!!
1 failed, 30 passed in 8.61s"""
_LINT = """\
Exit code 1
src/rotate.py:3:8: F401 [*] `re` imported but unused
tests/conftest.py:1:1: I001 [*] Import block is un-sorted or un-formatted
Found 2 errors."""


def web(tape: Tape) -> None:
    """An edit that waits for a person; later a compaction, and on with the work."""
    agent = Speaker(tape, Session(tape.uuid(), 48377, "/home/mia/web", SONNET), 4.2, 148_600)
    agent.start("resume")
    agent.until(5.6)
    agent.prompt("The settings page should open on the tab that was used last.")
    agent.say(
        Text("Let me see how the page picks its tab."),
        Call("page", "Read", {"file_path": "/home/mia/web/src/pages/Settings.tsx"}),
        Call("params", "Grep", {"pattern": "useSearchParams", "path": "src/pages"}),
    )
    agent.result("page", 0.3, _SETTINGS)
    agent.result("params", 0.5, "src/pages/Orders.tsx:12\nsrc/pages/Invoices.tsx:9")
    edit = {
        "file_path": "/home/mia/web/src/pages/Settings.tsx",
        "old_string": "const [tab, setTab] = useState('profile')",
        "new_string": "const [tab, setTab] = useStored('settings.tab', 'profile')",
    }
    agent.say(
        Thinking(
            "useState forgets on every visit. The URL would be shareable, but the user asked for "
            "the last tab, across visits: localStorage. There is a useStored hook in hooks/ that "
            "the theme switch uses already."
        ),
        Text("The tab lives in component state. `useStored`, which the theme uses, fits here."),
        Call("tab", "Edit", edit),
    )
    agent.permission("tab", "Edit", dict(edit))
    agent.result("tab", 21.4, "The file src/pages/Settings.tsx has been updated.")
    agent.say(Call("vitest", "Bash", {"command": "npx vitest run src/pages/Settings"}))
    agent.result("vitest", 7.8, _VITEST)
    agent.say(
        Text(
            "The settings page remembers its tab now.\n\n"
            "- `Settings.tsx` keeps it with `useStored('settings.tab', 'profile')`\n"
            "- a name that no longer exists falls back to *Profile*\n\n"
            "All 6 tests of the page pass."
        ),
    )
    agent.stop()
    agent.until(67.0)
    _orders(agent)
    agent.until(139.0)
    agent.compaction(14.5, "Settings.tsx and Orders.tsx keep tab and filters with useStored.")
    agent.until(176.0)
    _changelog(agent)


def _orders(agent: Speaker) -> None:
    agent.prompt("Same for the filters on the orders page, please.")
    agent.say(
        Thinking("Orders keeps its filters in the URL. Both must agree: URL first, then storage."),
        Call("orders", "Read", {"file_path": "/home/mia/web/src/pages/Orders.tsx"}),
        Call("hook", "Read", {"file_path": "/home/mia/web/src/hooks/useStored.ts"}),
    )
    agent.result("orders", 0.4, _ORDERS)
    agent.result("hook", 0.4, _HOOK)
    agent.say(
        Text("The filters are in the URL here, so a shared link must win over the stored ones."),
        Call(
            "filters",
            "Edit",
            {
                "file_path": "/home/mia/web/src/pages/Orders.tsx",
                "old_string": "const filters = parse(params)",
                "new_string": "const [stored, keep] = useStored('orders.filters', NONE)\n"
                "const filters = params.size ? parse(params) : stored",
            },
        ),
    )
    agent.result("filters", 0.3, "The file src/pages/Orders.tsx has been updated.")
    agent.say(Call("all", "Bash", {"command": "npx tsc --noEmit && npx vitest run"}))
    agent.result("all", 22.3, " Test Files  38 passed (38)\n      Tests  214 passed (214)")
    agent.say(
        Text(
            "Done. A link with filters still opens with those; without any, the page opens with "
            "the ones used last. The types check, and all 214 tests pass."
        ),
    )
    agent.stop()


def _changelog(agent: Speaker) -> None:
    agent.prompt("Write the changelog entry for both.")
    agent.say(
        Call("log", "Read", {"file_path": "/home/mia/web/CHANGELOG.md", "limit": 12}),
    )
    agent.result("log", 0.3, "     1\t# Changelog\n     2\t\n     3\t## Unreleased\n     4\t")
    agent.say(
        Text("One entry for each, in the words of the people who will read it."),
        Call(
            "entry",
            "Edit",
            {
                "file_path": "/home/mia/web/CHANGELOG.md",
                "old_string": "## Unreleased\n",
                "new_string": "## Unreleased\n\n- Settings open on the tab you used last.\n"
                "- Orders remember your filters; a shared link still wins.\n",
            },
        ),
    )
    agent.result("entry", 0.3, "The file CHANGELOG.md has been updated.")
    agent.say(Text("Both entries are under *Unreleased*."))
    agent.stop()


_SETTINGS = """\
     1\timport { useState } from 'react'
     2\timport { Tabs } from '../ui/Tabs'
     3\t
     4\texport function Settings() {
     5\t  const [tab, setTab] = useState('profile')
     6\t  return <Tabs value={tab} onChange={setTab} items={TABS} />
     7\t}"""
_VITEST = """\
 RUN  v4.0.9 /home/mia/web

 ✓ src/pages/Settings.test.tsx (6 tests) 412ms

 Test Files  1 passed (1)
      Tests  6 passed (6)
   Duration  6.83s"""
_ORDERS = """\
     9\texport function Orders() {
    10\t  const [params, setParams] = useSearchParams()
    11\t  const filters = parse(params)
    12\t  const { data, isLoading } = useOrders(filters)"""
_HOOK = """\
     1\texport function useStored<T>(key: string, fallback: T) {
     2\t  const [value, set] = useState<T>(() => read(key) ?? fallback)
     3\t  const keep = (next: T) => { localStorage.setItem(key, JSON.stringify(next)); set(next) }
     4\t  return [value, keep] as const
     5\t}"""
