"""What the output of a test run says of passed, failed and skipped tests. Pure."""

import re
from collections.abc import Callable, Sequence

from msgspec import Struct


class Tally(Struct):
    """Tests of a run; None: the output does not say."""

    framework: str
    passed: int | None
    failed: int | None
    """With those that ended in an error."""
    skipped: int | None = None


_ANSI = re.compile(r"\x1b\[[0-9;:?]*[ -/]*[@-~]")
_LONGEST = 400
MOST = 1 << 18
"""Characters of an output that are read, from its end."""
_ITEM = re.compile(r"(\d{1,9}) ([A-Za-z]+)")


def tallies(output: str, framework: str | None = None) -> list[Tally]:
    """The runs that an output tells of, in their order: by the rules of a framework, or of the
    first one that finds any."""
    lines = [_ANSI.sub("", line[:_LONGEST]).rstrip() for line in output[-MOST:].split("\n")]
    tried = [framework] if framework in _READERS else list(_READERS)
    for name in (*tried, *(other for other in _READERS if other not in tried)):
        found = _READERS[name](lines)
        if found:
            return found
    return []


def _items(text: str) -> dict[str, int]:
    """ "3 passed, 1 failed": what there is how often, in the singular."""
    found: dict[str, int] = {}
    for number, word in _ITEM.findall(text):
        name = word.lower()
        name = name.removesuffix("s") if name in _PLURALS else name
        found[name] = found.get(name, 0) + int(number)
    return found


_PLURALS = {"errors", "tests", "doctests", "examples", "failures", "features"}

_PYTEST = re.compile(
    r"(?:\d{1,9} (?:failed|passed|skipped|deselected|xfailed|xpassed|errors?|warnings?|rerun)"
    r"(?:, )?)+(?: in [\d.]+ ?s(?:econds)?(?: \([\d:., days]+\))?)?"
)


def _pytest(lines: Sequence[str]) -> list[Tally]:
    found: list[Tally] = []
    for line in lines:
        text = line.strip("= ")
        if text.startswith("no tests ran"):
            found.append(Tally("pytest", 0, 0, 0))
        elif _PYTEST.fullmatch(text):
            items = _items(text)
            passed = items.get("passed", 0) + items.get("xpassed", 0)
            failed = items.get("failed", 0) + items.get("error", 0)
            skipped = items.get("skipped", 0) + items.get("xfailed", 0)
            if passed or failed or skipped or "deselected" in items:
                found.append(Tally("pytest", passed, failed, skipped))
    return found


_UNITTEST = re.compile(r"Ran (\d{1,9}) tests? in ")
_UNITTEST_END = re.compile(r"(OK|FAILED)(?: \((.*)\))?")
_PAIR = re.compile(r"([a-z ]+)=(\d{1,9})")


def _unittest(lines: Sequence[str]) -> list[Tally]:
    found: list[Tally] = []
    ran: int | None = None
    for line in lines:
        start, end = _UNITTEST.match(line), _UNITTEST_END.fullmatch(line)
        if start is not None:
            ran = int(start[1])
        elif end is not None and ran is not None:
            said = {name.strip(): int(number) for name, number in _PAIR.findall(end[2] or "")}
            failed = said.get("failures", 0) + said.get("errors", 0)
            failed += said.get("unexpected successes", 0)
            skipped = said.get("skipped", 0) + said.get("expected failures", 0)
            found.append(Tally("unittest", max(0, ran - failed - skipped), failed, skipped))
            ran = None
    return found


_JEST = re.compile(r"\s*Tests:\s+(?=\S)(.*\d total)")
_VITEST = re.compile(r"\s*Tests\s+(?=\S)(.*\S)\s+\(\d+\)")


def _of_lines(name: str, form: re.Pattern[str]) -> Callable[[Sequence[str]], list[Tally]]:
    """Reads lines that list what passed, failed, and was skipped."""

    def read(lines: Sequence[str]) -> list[Tally]:
        matches = [found for found in map(form.match, lines) if found is not None]
        items = [_items(found[1]) for found in matches]
        return [
            Tally(
                name, i.get("passed", 0), i.get("failed", 0), i.get("skipped", 0) + i.get("todo", 0)
            )
            for i in items
        ]

    return read


_CARGO = re.compile(r"test result: \w+\. (\d{1,9}) passed; (\d{1,9}) failed; (\d{1,9}) ignored")
_DOTNET = re.compile(r".*Failed:\s+(\d{1,9}), Passed:\s+(\d{1,9}), Skipped:\s+(\d{1,9})")


def _cargo(lines: Sequence[str]) -> list[Tally]:
    """One run has a result for each binary."""
    sums = [[int(n) for n in found.groups()] for found in map(_CARGO.match, lines) if found]
    return [Tally("cargo", *(sum(column) for column in zip(*sums, strict=True)))] if sums else []


def _dotnet(lines: Sequence[str]) -> list[Tally]:
    sums = [[int(n) for n in found.groups()] for found in map(_DOTNET.match, lines) if found]
    failed, passed, skipped = (sum(row[at] for row in sums) for at in range(3))
    return [Tally("dotnet", passed, failed, skipped)] if sums else []


_GO_TEST = re.compile(r"--- (PASS|FAIL|SKIP): ")
_GO_PACKAGE = re.compile(r"(ok|FAIL)\s+\S+\s+(?:[\d.]+s|\(cached\)|\[)")


def _go(lines: Sequence[str]) -> list[Tally]:
    """Passed tests are named with `-v` only."""
    tests = [found[1] for found in map(_GO_TEST.match, lines) if found]
    packages = [found[1] for found in map(_GO_PACKAGE.match, lines) if found]
    if not tests and not packages:
        return []
    failed = tests.count("FAIL") or packages.count("FAIL")
    is_told = "PASS" in tests
    passed, skipped = (tests.count("PASS"), tests.count("SKIP")) if is_told else (None, None)
    return [Tally("go", passed, failed, skipped)]


_SUMMED = re.compile(
    r"\d{1,9} (?:doctests?|tests?|examples?|features?|propert(?:y|ies))\b.*\d failures?"
)


def _exunit(lines: Sequence[str]) -> list[Tally]:
    """ExUnit and RSpec: "2 doctests, 40 tests, 1 failure, 3 skipped"."""
    found: list[Tally] = []
    for line in lines:
        if _SUMMED.match(line):
            items = _items(line)
            kinds = ("test", "doctest", "example", "feature", "property", "properties")
            total = sum(items.get(kind, 0) for kind in kinds)
            failed = items.get("failure", 0) + items.get("invalid", 0)
            skipped = sum(items.get(kind, 0) for kind in ("skipped", "excluded", "pending"))
            name = "rspec" if "example" in items else "exunit"
            found.append(Tally(name, max(0, total - failed - skipped), failed, skipped))
    return found


_MOCHA = re.compile(r"\s*(\d{1,9}) (passing|failing|pending)(?: \(.*\))?")
_BUN = re.compile(r"\s*(\d{1,9}) (pass|fail|skip)")
_PLAYWRIGHT = re.compile(r"\s+(\d{1,9}) (passed|failed|skipped|flaky|did not run)(?: \([\w. ]+\))?")
_TAP = re.compile(r"(?:#|ℹ) (?P<name>pass|fail|skipped) (?P<number>\d{1,9})")


def _one_a_line(
    name: str, form: re.Pattern[str], passed: str, failed: str, skipped: str
) -> Callable[[Sequence[str]], list[Tally]]:
    """Reads what has a line for each of passed, failed and skipped; together they are one run."""

    def read(lines: Sequence[str]) -> list[Tally]:
        sums: dict[str, int] = {}
        for found in filter(None, map(form.fullmatch, lines)):
            number, word = sorted(found.groups())  # digits come before letters
            sums[word] = sums.get(word, 0) + int(number)
        if passed not in sums and failed not in sums:
            return []
        return [Tally(name, sums.get(passed, 0), sums.get(failed, 0), sums.get(skipped, 0))]

    return read


_MAVEN = re.compile(
    r"(?:\[\w+\] )?Tests run: (\d{1,9}), Failures: (\d{1,9}), Errors: (\d{1,9}), Skipped: (\d{1,9})"
)


def _maven(lines: Sequence[str]) -> list[Tally]:
    """The last line is the sum."""
    rows = [found for found in map(_MAVEN.match, lines) if found]
    if not rows:
        return []
    ran, failures, errors, skipped = (int(number) for number in rows[-1].groups())
    failed = failures + errors
    return [Tally("maven", max(0, ran - failed - skipped), failed, skipped)]


_PHPUNIT_OK = re.compile(r"OK \((\d{1,9}) tests?, ")
_PHPUNIT = re.compile(r"Tests: (\d{1,9}), Assertions: \d+(.*)")
_COLON = re.compile(r"([A-Z][a-z]+): (\d{1,9})")


def _phpunit(lines: Sequence[str]) -> list[Tally]:
    found: list[Tally] = []
    for line in lines:
        fine, other = _PHPUNIT_OK.match(line), _PHPUNIT.match(line)
        if fine is not None:
            found.append(Tally("phpunit", int(fine[1]), 0, 0))
        elif other is not None:
            said = {name: int(number) for name, number in _COLON.findall(other[2])}
            failed = said.get("Failures", 0) + said.get("Errors", 0)
            skipped = said.get("Skipped", 0) + said.get("Incomplete", 0)
            found.append(
                Tally("phpunit", max(0, int(other[1]) - failed - skipped), failed, skipped)
            )
    return found


_READERS: dict[str | None, Callable[[Sequence[str]], list[Tally]]] = {
    "pytest": _pytest,
    "unittest": _unittest,
    "jest": _of_lines("jest", _JEST),
    "vitest": _of_lines("vitest", _VITEST),
    "cargo": _cargo,
    "dotnet": _dotnet,
    "go": _go,
    "exunit": _exunit,
    "maven": _maven,
    "phpunit": _phpunit,
    "mocha": _one_a_line("mocha", _MOCHA, "passing", "failing", "pending"),
    "bun": _one_a_line("bun", _BUN, "pass", "fail", "skip"),
    "tap": _one_a_line("tap", _TAP, "pass", "fail", "skipped"),
    "playwright": _one_a_line("playwright", _PLAYWRIGHT, "passed", "failed", "skipped"),
}
