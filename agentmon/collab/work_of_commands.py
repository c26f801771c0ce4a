"""What shell commands do that counts as work: commits, files taken away or moved, tests,
deployments. Pure: from a command line, its output, and how the call ended."""

import posixpath
import re
from collections.abc import Sequence
from functools import cached_property

from msgspec import Struct, field

from agentmon.collab.shell import Simple, folder, joined
from agentmon.collab.tallies import Tally, tallies
from agentmon.collab.worklog import WorkEvent, WorkFile

MOST_FILES = 500
"""Files of one event that are kept."""


class Ended(Struct, dict=True):
    """How a call ended."""

    outcome: bool | None
    """Whether it succeeded; None: not known, or it still runs."""
    output: str = ""

    @cached_property
    def had_nothing(self) -> bool:
        """Git said that there was nothing to commit."""
        return any(sign in self.output for sign in _NOTHING)


class _Doing(Struct):
    """A command that is work."""

    kind: str
    command: Simple
    argv: list[str] = field(default_factory=list[str])
    """Its words after the program (and the subcommand)."""
    framework: str | None = None
    proof: bool = False
    """Its output shows that it ran."""


def events(commands: Sequence[Simple], ended: Ended) -> list[WorkEvent]:
    """The work in a command line, in its order. Nothing raises."""
    doing = [_doing(command) for command in commands]
    headers = list(_HEADER.finditer(ended.output)) if any(_is(doing, "git_commit")) else []
    counted = tallies(ended.output, _framework(doing)) if any(_is(doing, "test_run")) else []
    proved = -1
    found: list[tuple[int, _Doing, re.Match[str] | Tally | None]] = []
    for at, one in enumerate(doing):
        if one is None:
            continue
        evidence: re.Match[str] | Tally | None = None
        if one.kind == "git_commit" and headers:
            evidence = headers.pop(0)
        elif one.kind == "test_run" and counted:
            evidence = counted.pop(0)
        proved = at if evidence is not None else proved
        found.append((at, one, evidence))
    chain = proved  # where the commands begin that must have succeeded for that one to run
    while chain > 0 and commands[chain].before == "&&":
        chain -= 1
    made: list[WorkEvent] = []
    for at, one, evidence in found:
        fate = True if chain <= at < proved else _fate(one.command, ended.outcome)
        if one.command.before == "||" and evidence is None and ended.outcome is not False:
            continue  # what stands before it did not fail, as far as anybody knows
        event = _event(one, evidence, fate, ended)
        if event is not None:
            made.append(event)
    return made


def _is(doing: Sequence[_Doing | None], kind: str) -> list[bool]:
    return [one is not None and one.kind == kind for one in doing]


def _framework(doing: Sequence[_Doing | None]) -> str | None:
    return next((one.framework for one in doing if one is not None and one.framework), None)


def _fate(command: Simple, outcome: bool | None) -> bool | None:
    """Whether a command succeeded, as far as the end of the whole tells."""
    if command.after in (";", "&"):
        return None
    return None if outcome and command.is_masked else outcome


def _event(
    one: _Doing, evidence: re.Match[str] | Tally | None, fate: bool | None, ended: Ended
) -> WorkEvent | None:
    words = " ".join(one.command.argv)
    event = WorkEvent(kind=one.kind, summary=words[:200], is_success=fate)
    event.metadata["command"] = words[:500]
    if one.kind == "git_commit":
        found = None if isinstance(evidence, Tally) else evidence
        return _commit(event, one, found, ended)
    if one.kind == "test_run":
        _tests(event, evidence if isinstance(evidence, Tally) else None, one)
    elif one.kind in ("file_deleted", "file_moved"):
        return _files(event, one)
    return event


# What a command is

_GIT_TAKING = {"-C", "-c", "--git-dir", "--work-tree", "--namespace"}


def _doing(command: Simple) -> _Doing | None:
    argv = command.argv
    if not argv or (command.documents and argv[0] == "cat"):
        return None
    name, rest = posixpath.basename(argv[0]), argv[1:]
    if name == "git":
        return _git(command, rest)
    if name in ("rm", "unlink", "trash"):
        return _Doing("file_deleted", command, rest)
    if name == "mv":
        return _Doing("file_moved", command, rest)
    if {"--help", "--version", "--dry-run", "-h"} & set(rest):
        return None
    framework = _test_of(name, rest)
    if framework is not None:
        return _Doing("test_run", command, rest, framework or None)
    return _Doing("deployment", command, rest) if _is_deployment(name, rest) else None


def _git(command: Simple, rest: Sequence[str]) -> _Doing | None:
    at = 0
    while at < len(rest) and rest[at].startswith("-"):
        if rest[at] == "-C" and at + 1 < len(rest):
            command.cwd = folder(command.cwd, rest[at + 1])
        at += 2 if rest[at] in _GIT_TAKING else 1
    what, args = (rest[at], list(rest[at + 1 :])) if at < len(rest) else ("", [])
    if {"--dry-run", "--help"} & set(args) or (what in ("rm", "mv") and "-n" in args):
        return None
    if what == "commit":
        return _Doing("git_commit", command, args)
    if what == "rm" and "--cached" not in args:
        return _Doing("file_deleted", command, args)
    if what == "mv":
        return _Doing("file_moved", command, args)
    if what == "push" and args[:1] in (["heroku"], ["dokku"]):
        return _Doing("deployment", command, args)
    return None


_TESTS = {
    "pytest": "pytest", "py.test": "pytest", "jest": "jest", "vitest": "vitest", "mocha": "mocha",
    "rspec": "exunit", "phpunit": "phpunit", "pest": "phpunit", "tox": "", "nox": "", "ctest": "",
    "nose2": "unittest", "ava": "tap", "tap": "tap", "trial": "unittest",
}  # fmt: skip
_SUBCOMMANDS = {
    "cargo": {"test": "cargo", "nextest": "cargo", "t": "cargo"},
    "go": {"test": "go"},
    "mix": {"test": "exunit"},
    "dotnet": {"test": "dotnet"},
    "bun": {"test": "bun"},
    "deno": {"test": "cargo"},
    "swift": {"test": ""},
    "zig": {"test": ""},
    "flutter": {"test": ""},
    "playwright": {"test": "playwright"},
    "rails": {"test": ""},
    "mvn": {"test": "maven", "verify": "maven"},
    "gradle": {"test": "", "check": ""},
    "gradlew": {"test": "", "check": ""},
    "make": {"test": "", "tests": "", "check": ""},
    "just": {"test": ""},
    "rake": {"test": "", "spec": "exunit"},
    "bazel": {"test": ""},
}
_SCRIPTS = {"npm", "yarn", "pnpm", "bun"}
_LISTING = {"--collect-only", "--co", "--no-run", "--listTests", "--list", "--fixtures", "list"}


def _test_of(name: str, rest: Sequence[str]) -> str | None:
    """The framework of a test command, "" where only its output tells; None: it is none."""
    if _LISTING & set(rest):
        return None
    if re.fullmatch(r"python[\d.]*|py", name) and "-m" in rest[:-1]:
        module = rest[rest.index("-m") + 1]
        known = {"pytest": "pytest", "unittest": "unittest", "tox": "", "nox": ""}
        return known.get(module)
    if name in ("python", "python3") and list(rest[:2]) == ["manage.py", "test"]:
        return "unittest"
    if name == "node" and "--test" in rest:
        return "tap"
    if name == "vitest" and rest[:1] in (["bench"], ["list"]):
        return None
    if name in _TESTS:
        return _TESTS[name]
    words = [word for word in rest if not word.startswith("-")]
    if name in _SUBCOMMANDS and words:
        wanted = words if name in ("make", "gradle", "gradlew", "mvn") else words[:1]
        found = next((_SUBCOMMANDS[name][w] for w in wanted if w in _SUBCOMMANDS[name]), None)
        if found is not None:
            return found
    if name in _SCRIPTS and words:
        script = words[1] if words[0] in ("run", "run-script") and len(words) > 1 else words[0]
        if re.fullmatch(r"(t|tst|test)(:[\w:.-]+)?", script):
            return ""
        return _TESTS.get(script)
    return None


_DEPLOYMENTS: dict[str, tuple[tuple[str, ...], ...]] = {
    "kubectl": (("apply",), ("rollout", "restart"), ("set", "image")),
    "oc": (("apply",),),
    "helm": (("install",), ("upgrade",)),
    "argocd": (("app", "sync"),),
    "docker": (("push",), ("stack", "deploy"), ("compose", "push")),
    "podman": (("push",),),
    "terraform": (("apply",), ("destroy",)),
    "tofu": (("apply",), ("destroy",)),
    "pulumi": (("up",),),
    "cdk": (("deploy",),),
    "sam": (("deploy",),),
    "serverless": (("deploy",),),
    "sls": (("deploy",),),
    "vercel": ((), ("deploy",)),
    "netlify": (("deploy",),),
    "fly": (("deploy",),),
    "flyctl": (("deploy",),),
    "wrangler": (("deploy",), ("publish",), ("pages", "deploy")),
    "firebase": (("deploy",),),
    "railway": (("up",),),
    "eb": (("deploy",),),
    "cap": (("production", "deploy"), ("staging", "deploy")),
    "gcloud": (("app", "deploy"), ("run", "deploy"), ("functions", "deploy")),
    "aws": (
        ("cloudformation", "deploy"),
        ("lambda", "update-function-code"),
        ("ecs", "update-service"),
        ("s3", "sync"),
    ),
    "npm": (("publish",),),
    "pnpm": (("publish",),),
    "yarn": (("publish",), ("npm", "publish")),
    "bun": (("publish",),),
    "cargo": (("publish",),),
    "twine": (("upload",),),
    "uv": (("publish",),),
    "poetry": (("publish",),),
    "flit": (("publish",),),
    "hatch": (("publish",),),
    "gem": (("push",),),
    "gh": (("release", "create"),),
    "ansible-playbook": ((),),
    "skaffold": (("run",), ("deploy",)),
    "nomad": (("job", "run"),),
}


def _is_deployment(name: str, rest: Sequence[str]) -> bool:
    words = [word for word in rest if not word.startswith("-")]
    if any(word.startswith("--dry-run") or word == "--noop" for word in rest):
        return False
    forms = _DEPLOYMENTS.get(name, ())
    if name == "vercel":
        return not words or words[0] == "deploy"
    if name == "python" or name == "python3":
        return list(rest[:3]) == ["-m", "twine", "upload"]
    return any(tuple(words[: len(form)]) == form for form in forms)


# Commits

_HEADER = re.compile(
    r"^\[([^\n\]]{1,255}?)( \(root-commit\))? ([0-9a-f]{7,64})\] ?(.*)$", re.MULTILINE
)
_CHANGED = re.compile(
    r"^ (\d{1,9}) files? changed(?:, (\d{1,9}) insertions?\(\+\))?(?:, (\d{1,9}) deletions?\(-\))?",
    re.MULTILINE,
)
_NOTHING = ("nothing to commit", "nothing added to commit", "no changes added to commit")


def _commit(event: WorkEvent, one: _Doing, header: re.Match[str] | None, ended: Ended) -> WorkEvent:
    event.summary = _subject(one.argv)
    if "--amend" in one.argv:
        event.metadata["amend"] = True
    if header is None:
        if ended.had_nothing:
            event.is_success = False
        return event
    event.is_success = True
    event.commit_hash, event.summary = header[3], header[4].strip()[:500]
    event.metadata["branch"] = header[1]
    output, after = ended.output, _HEADER.search(ended.output, header.end())
    found = _CHANGED.search(output, header.end(), after.start() if after else len(output))
    if found is not None:
        event.metadata["files_changed"] = int(found[1])
        if found[2] or found[3]:
            event.lines_added, event.lines_deleted = int(found[2] or 0), int(found[3] or 0)
    return event


def _subject(argv: Sequence[str]) -> str:
    """The first line of the message that a commit is given."""
    for at, word in enumerate(argv):
        if word in ("-m", "--message") or re.fullmatch(r"-[a-zA-Z]*m", word):
            text = argv[at + 1] if at + 1 < len(argv) else ""
        elif word.startswith("--message="):
            text = word.removeprefix("--message=")
        else:
            continue
        return text.strip().split("\n", 1)[0][:500]
    return ""


# Tests


def _tests(event: WorkEvent, tally: Tally | None, one: _Doing) -> None:
    event.metadata["framework"] = tally.framework if tally else one.framework
    if tally is None:
        return
    counts = {"passed": tally.passed, "failed": tally.failed, "skipped": tally.skipped}
    event.metadata.update({name: n for name, n in counts.items() if n is not None})
    if tally.failed:
        event.is_success = False
    elif tally.passed:
        event.is_success = True


# Files


def _files(event: WorkEvent, one: _Doing) -> WorkEvent | None:
    command, words = one.command, one.command.argv
    first = len(words) - len(one.argv)
    is_literal = False
    named: list[str] = []
    for at in range(first, len(words)):
        if words[at] == "--" and not is_literal:
            is_literal = True
        elif (is_literal or not words[at].startswith("-")) and words[at]:
            if at in command.open:
                event.metadata["unnamed"] = True
            elif len(words[at]) <= 2000 and "\0" not in words[at]:
                named.append(words[at])
    if one.kind == "file_moved":
        return _moved(event, one, named)
    paths = (joined(command.cwd, name) for name in named[:MOST_FILES])
    event.files = [WorkFile(path) for path in dict.fromkeys(paths)]
    return event if event.files or "unnamed" in event.metadata else None


def _moved(event: WorkEvent, one: _Doing, named: Sequence[str]) -> WorkEvent | None:
    """From where to where; into a folder where it is written as one, or there are several."""
    if len(named) < 2 or "unnamed" in event.metadata:
        return event if "unnamed" in event.metadata else None
    is_folder = one.argv[-1].endswith("/") or len(named) > 2
    some = (*named[:-1][: MOST_FILES // 2], named[-1])
    *sources, target = (joined(one.command.cwd, name) for name in some)
    for path in sources:
        to = posixpath.join(target, posixpath.basename(path)) if is_folder else target
        event.files += [WorkFile(path), WorkFile(to)]
    event.files = list({file.path: file for file in event.files}.values())
    return event
