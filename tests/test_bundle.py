"""`agentmon bundle`: one file that is ingested as the sessions were, without their secrets."""

import gzip
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from agentmon import compression
from agentmon.assets import asset
from agentmon.cli import main
from agentmon.commands import options
from agentmon.core.events import Event
from agentmon.sources.bundles import BundleDecoder
from agentmon.sources.decoding import Context
from tests import golden
from tests.deep import only_deep
from tests.demo_store import demo_store
from tests.differential import differences, dumped, ingest
from tests.generate import joined
from tests.wire import TEXT, Payload, Talk

INFRA = "93a0bb58-43a7-4920-a45b-a8e1f2fdf094"
SECRET = "ghp_Zk3vQ9tLw8RbX2nYp7McJd5sHf4gTa6e8KxW"
CALL: Payload = {"type": "tool_use", "id": "toolu_1", "name": "Bash", "input": {}}


def run(data_dir: Path, *args: object) -> Result:
    return CliRunner().invoke(main, [*map(str, args), "--data-dir", str(data_dir)])


def bundle(data_dir: Path, *args: object) -> Result:
    found = run(data_dir, "bundle", *args)
    assert found.exit_code == 0, found.output
    return found


def known(data_dir: Path) -> list[dict[str, Any]]:
    return [row for row in dumped(data_dir) if row["kind"] != "counts"]


@pytest.fixture
def demo(tmp_path: Path) -> Path:
    return demo_store(tmp_path / "data")


@pytest.mark.parametrize("name", ["run.agentmon.gz", *only_deep("run.agentmon.zst", "run.jsonl")])
def test_a_bundle_is_ingested_as_what_it_was_made_of(demo: Path, tmp_path: Path, name: str) -> None:
    if name.endswith(".zst") and compression.zstd_library() is None:
        pytest.skip("no zstd here")
    bundle(demo, "--since", "2020-01-01", "--no-redact", "-o", tmp_path / name)
    ingest(tmp_path / "again", [tmp_path / name])
    assert differences(known(tmp_path / "again"), known(demo)) == []
    assert (tmp_path / name).stat().st_mode & 0o777 == 0o600
    packed = (tmp_path / name).read_bytes()
    bundle(demo, "--since", "2020-01-01", "--no-redact", "-o", tmp_path / name)
    assert (tmp_path / name).read_bytes() == packed


def test_one_session_by_its_name(demo: Path, tmp_path: Path) -> None:
    out = tmp_path / "run.jsonl"
    found = bundle(demo, "--session", "infra", "--session", INFRA[:8], "-o", out, "--json")
    told = json.loads(found.stdout)
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert told["sessions"] == [INFRA]
    assert told["lines"] == len(rows)
    assert told["bytes"] == out.stat().st_size
    golden.check("bundle", {**told, "output": out.name, "bytes": 0})
    assert told["redacted"]["home"] > 0
    head = json.loads(rows[0]["line"].removeprefix("data: "))["payload"]
    assert head["sessions"] == [INFRA]
    assert head["redaction"] == 2
    assert {row["sid"] for row in rows[1:]} == {INFRA}
    assert "/home/" not in out.read_text()


def test_since_is_of_what_was_heard_last(
    demo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [row for row in known(demo) if row["kind"] == "session"]
    conn_last = max(row["end_time"] or 0.0 for row in rows)
    monkeypatch.setattr(options, "now", lambda: conn_last + 100_000)
    found = run(demo, "bundle", "--since", "60s", "-o", tmp_path / "x.gz")
    assert found.exit_code == 1
    assert "no session was heard of since then" in found.stderr
    assert not (tmp_path / "x.gz").exists()


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        (["--since", "1h"], 2, "give -o FILE, --html FILE, or both"),
        (["-o", "x.gz"], 2, "give --session or --since"),
        (["--session", "nobody", "-o", "x.gz"], 1, "no session answers to 'nobody'"),
        (["--since", "soon", "-o", "x.gz"], 2, "'soon' is no time"),
        (["--session", "infra", "-o", "/nowhere/x.gz"], 1, "/nowhere"),
    ],
)
def test_what_cannot_be_done_is_said(demo: Path, args: list[str], code: int, words: str) -> None:
    found = run(demo, "bundle", *args)
    assert found.exit_code == code
    assert words in found.stderr


def test_gzip_is_offered_where_zstd_cannot_be_written(
    demo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compression, "zstd_library", lambda: None)
    found = run(demo, "bundle", "--session", "infra", "-o", tmp_path / "run.agentmon.zst")
    assert found.exit_code == 1
    assert "agentmon[zstd]" in found.stderr
    assert "run.agentmon.gz" in found.stderr
    assert [*tmp_path.glob("*.agentmon*")] == []


@pytest.mark.parametrize("redact", ["--no-redact", *only_deep(None)])
def test_a_session_that_is_there_is_not_taken_again(
    demo: Path, tmp_path: Path, redact: str | None
) -> None:
    """Its lines are others than those it was read from: they would tell everything twice."""
    bundle(demo, "--session", "infra", *filter(None, [redact]), "-o", tmp_path / "one.gz")
    bundle(demo, "--since", "2020-01-01", *filter(None, [redact]), "-o", tmp_path / "all.gz")
    before = known(demo)
    found = run(demo, "ingest", tmp_path / "all.gz")
    assert found.exit_code == 1
    assert "5 of 5 sessions are in the store already and were not taken again" in found.stderr
    assert known(demo) == before

    fresh = tmp_path / "fresh"
    ingest(fresh, [tmp_path / "one.gz"])
    (session,) = [row["sid"] for row in known(fresh) if row["kind"] == "session"]
    assert session == INFRA
    found = run(fresh, "ingest", tmp_path / "all.gz")
    assert "1 of 5 sessions" in found.stderr
    ingest(tmp_path / "whole", [tmp_path / "all.gz"])
    assert known(fresh) == known(tmp_path / "whole")


@pytest.mark.parametrize("deltas", [100, *only_deep(0, 10_000)])
def test_only_the_newest_deltas_are_told_one_by_one(
    demo: Path, tmp_path: Path, deltas: int
) -> None:
    out = tmp_path / "run.jsonl"
    bundle(demo, "--since", "2020-01-01", "--no-redact", "--deltas", deltas, "-o", out)
    ingest(tmp_path / "again", [out])
    before = [row for row in known(demo) if row["kind"] == "block" and row["is_complete"]]
    after = [row for row in known(tmp_path / "again") if row["kind"] == "block"]
    told = {(row["flow_id"], row["index"]): row for row in after}
    newest = sorted(before, key=lambda row: -row["complete_time"])
    left = deltas
    for row in newest:
        found = told[row["flow_id"], row["index"]]
        left -= row["delta_count"]
        if left >= 0:
            assert found == row
        elif row["complete_time"] < newest[0]["complete_time"] - 200:
            assert found["delta_count"] == min(1, row["delta_count"])
        assert found["sha256"] == row["sha256"]


def test_what_was_passed_over_stays_so_after_a_restart(demo: Path, tmp_path: Path) -> None:
    out = tmp_path / "run.jsonl"
    bundle(demo, "--since", "2020-01-01", "-o", out)
    lines = out.read_bytes().splitlines()
    there = {INFRA}
    first = BundleDecoder(Context("", lambda: 0.0, b"", there.__contains__))
    for line in lines[:400]:
        first.decode(line)
    # by now the store has those sessions that were taken, too
    again = BundleDecoder(Context("", lambda: 0.0, first.save(), lambda sid: True))
    whole = BundleDecoder(Context("", lambda: 0.0, b"", there.__contains__))
    assert again.save() == first.save()
    for number, line in enumerate(lines):
        expected = whole.decode(line)
        assert all(event.sid != INFRA for event in expected if isinstance(event, Event))
        if number >= 400:
            assert again.decode(line) == expected


@given(st.binary(max_size=60) | st.sampled_from([b"null", b"[]", b'{"payload":{"sessions":7}}']))
def test_any_first_line_is_read(line: bytes) -> None:
    row = {"event": "agentmon.bundle", "line": "data: " + line.decode("utf-8", "replace")}
    decoder = BundleDecoder(Context("", lambda: 0.0))
    assert len(decoder.decode(json.dumps(row).encode())) == 1
    assert decoder.note is None


@pytest.mark.parametrize("name", ["run.agentmon.zst", *only_deep("run.agentmon.gz")])
def test_a_bundle_is_replayed(demo: Path, tmp_path: Path, name: str) -> None:
    """The board as of a moment is that of the log."""
    if name.endswith(".zst") and compression.zstd_library() is None:
        pytest.skip("no zstd here")
    bundle(demo, "--since", "2020-01-01", "--no-redact", "-o", tmp_path / name)

    def board(path: Path) -> list[tuple[str, ...]]:
        found = CliRunner().invoke(
            main, ["--replay", str(path), "--at", "2026-11-20T14:01:30+00:00", "--once", "--json"]
        )
        assert found.exit_code == 0, found.output
        rows = json.loads(found.stdout)["agents"]
        return sorted((str(row["sid"]), str(row["phase"]), str(row["verdict"])) for row in rows)

    assert board(tmp_path / name) == board(asset("demo.jsonl"))


# -- redaction


def leaky(log: Path) -> None:
    """A log in which a key lies in a text, in arguments, in a result and in a prompt; the first two
    are streamed a few characters at a time."""
    talk = Talk(cwd="/home/mia/app")
    arguments = json.dumps(
        {"command": f"push\ntoken={SECRET} /home/mia/x", "password": "tr0ub4dor"}
    )
    said = f"I use {SECRET} of mia, then go on with the work at hand."
    lines = [
        talk.prompt(0, f"push with {SECRET}", "u1", round_id="r1"),
        talk.start(1, 100, round_id="r1"),
        talk.begin(1, 110, TEXT),
        *(talk.text(1, 120 + at, said[at : at + 5]) for at in range(0, len(said), 5)),
        talk.end(1, 300),
        talk.begin(1, 310, CALL, index=1),
        *(
            talk.json(1, 320 + at, arguments[at : at + 7], index=1)
            for at in range(0, len(arguments), 7)
        ),
        talk.end(1, 500, index=1),
        talk.reason(1, 510, "tool_use"),
        talk.stop(1, 520),
        talk.line("tool_result", 900, {"tool_use_id": "toolu_1", "content": f"ok {SECRET}"}),
        talk.line("stop", 950, {}, round_id="r1"),
    ]
    log.write_bytes(joined(lines))


def texts(log: Path) -> Iterator[tuple[str, str]]:
    """(event, all that its deltas say of a block) as anybody would read them."""
    blocks: dict[object, str] = {}
    for line in log.read_text().splitlines():
        row = json.loads(line)
        payload = json.loads(row["line"].removeprefix("data: "))["payload"]
        delta = payload.get("delta")
        if row["event"] == "claude.content_block_delta":
            text = delta.get("text", delta.get("partial_json", delta.get("thinking", "")))
            key = row["flow_id"], payload["index"]
            blocks[key] = blocks.get(key, "") + text
        yield row["event"], json.dumps(payload)
    for text in blocks.values():
        yield "block", text


def test_a_key_that_was_split_over_deltas_is_gone(tmp_path: Path) -> None:
    leaky(tmp_path / "log.jsonl")
    ingest(tmp_path / "data", [tmp_path / "log.jsonl"])
    out = tmp_path / "run.jsonl"
    bundle(tmp_path / "data", "--since", "2020-01-01", "-o", out)
    found = [*texts(out)]
    for _, text in found:
        assert SECRET[4:12] not in text
        assert SECRET[-8:] not in text
        assert "mia" not in text
        assert "tr0ub4dor" not in text
    assert "mia" not in out.read_text()
    blocks = [text for event, text in found if event == "block"]
    assert blocks[0] == "I use [redacted:github] of [user], then go on with the work at hand."
    assert json.loads(blocks[1]) == {
        "command": "push\ntoken=[redacted:github] ~/x",
        "password": "[redacted:password]",
    }


def test_what_is_redacted_has_the_same_shape(tmp_path: Path) -> None:
    leaky(tmp_path / "log.jsonl")
    ingest(tmp_path / "data", [tmp_path / "log.jsonl"])
    bundle(tmp_path / "data", "--since", "2020-01-01", "-o", tmp_path / "run.jsonl")
    ingest(tmp_path / "again", [tmp_path / "run.jsonl"])
    changes = {"sha256", "total_bytes", "content_size", "user_prompt", "cwd"}

    def shape(data_dir: Path) -> list[dict[str, Any]]:
        return [{k: v for k, v in row.items() if k not in changes} for row in known(data_dir)]

    assert shape(tmp_path / "again") == shape(tmp_path / "data")


def test_nothing_is_taken_out_where_it_was_asked_for(tmp_path: Path) -> None:
    leaky(tmp_path / "log.jsonl")
    ingest(tmp_path / "data", [tmp_path / "log.jsonl"])
    found = bundle(
        tmp_path / "data",
        "--since",
        "2020-01-01",
        "--no-redact",
        "-o",
        tmp_path / "run.agentmon.gz",
    )
    assert "nothing was taken out" in found.stdout
    (tmp_path / "run.jsonl").write_bytes(
        gzip.decompress((tmp_path / "run.agentmon.gz").read_bytes())
    )
    blocks = [text for event, text in texts(tmp_path / "run.jsonl") if event == "block"]
    assert SECRET in blocks[0]


# -- the page

HOSTILE = (
    "</pre></details><script>document.title='owned'</script>"
    "<img src=x onerror=\"document.title='owned'\">"
    "<style>body{display:none}</style> &lt; ]]> \u202egnp.exe \x1b[31m"
)


class _Page(HTMLParser):
    """What a page refers to, and which elements it has."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.ids: set[str] = set()
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            if name in ("src", "href", "action", "data", "poster", "srcset", "xlink:href"):
                self.links.append(value or "")
            if name == "id":
                self.ids.add(value or "")
            assert not name.startswith("on"), (tag, name)


@pytest.fixture
def page(tmp_path: Path) -> Path:
    talk = Talk()
    lines = [
        talk.prompt(0, HOSTILE, "u1", round_id="r1"),
        talk.start(1, 100, round_id="r1"),
        talk.begin(1, 110, TEXT),
        talk.text(1, 120, HOSTILE),
        talk.end(1, 300),
        talk.begin(1, 310, {**CALL, "name": "<b>Bash"}, index=1),
        talk.json(1, 320, json.dumps({"command": HOSTILE}), index=1),
        talk.end(1, 500, index=1),
        talk.reason(1, 510, "tool_use"),
        talk.stop(1, 520),
        talk.line(
            "tool_result", 900, {"tool_use_id": "toolu_1", "content": HOSTILE, "is_error": True}
        ),
        talk.line("stop", 950, {}, round_id="r1"),
        talk.prompt(900_000, "and on", "u2", round_id="r2"),
        talk.start(2, 900_100, round_id="r2"),
        talk.line("stop", 950_000, {}, round_id="r2"),
    ]
    log = tmp_path / "log.jsonl"
    log.write_bytes(joined(lines))
    ingest(tmp_path / "data", [log, asset("demo.jsonl")])
    bundle(tmp_path / "data", "--since", "2020-01-01", "--html", tmp_path / "run.html")
    return tmp_path / "run.html"


def test_the_page_needs_nothing_from_anywhere(page: Path) -> None:
    text = page.read_text()
    found = _Page(text)
    assert found.links
    assert all(link.startswith("#") for link in found.links)
    assert {link[1:] for link in found.links} <= found.ids
    assert not {"script", "img", "iframe", "link", "form", "object", "embed"} & {*found.tags}
    assert found.tags.count("style") == 1
    assert found.tags.count("pre") == text.count("</pre>")
    assert "default-src 'none'" in text
    assert not re.search(r"url\(|@import|https?://(?!www\.w3\.org)", text.split("<body>")[0])
    assert "\u202e" not in text
    assert "\x1b" not in text


def test_the_timeline_shows_rounds_tools_and_errors(page: Path) -> None:
    text = page.read_text()
    bars = re.findall(r'<rect class="(\w+)" x="([\d.]+)" y="\d+" width="([\d.]+)"', text)
    assert {kind for kind, _, _ in bars} >= {"round", "chat", "tool", "failed", "wait"}
    assert all(float(x) >= 0 and float(x) + float(width) <= 1001 for _, x, width in bars)
    assert "1 idle time drawn short" in text
    assert "secrets of known shapes, home folders and names of users and of this machine" in text


CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("chrome")


@pytest.mark.deep
@pytest.mark.skipif(CHROMIUM is None, reason="no browser here")
def test_a_browser_shows_it(page: Path, tmp_path: Path) -> None:
    """From file://, with nothing run of what agents said; a bar leads into its round."""
    command = [
        *(str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom"),
        *(f"--user-data-dir={tmp_path / 'profile'}", f"file://{page}#s1-r1"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert "<title>6 sessions</title>" in done.stdout, done.stderr[-500:]
    assert "owned" not in done.stdout.split("<body>")[0]
    shown = re.findall(r'<details class="round"( open="")?>', done.stdout)
    assert len(shown) == len(re.findall("<details class=round>", page.read_text()))
    assert sum(map(bool, shown)) == 1
