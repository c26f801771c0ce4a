"""Pages of rounds and sessions: true, whole, and harmless whatever agents said."""

import base64
import json
import re
from hashlib import sha256
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from agentmon.cli import main
from agentmon.report.pages.markdown import code, fenced
from agentmon.report.pages.said import harmless
from agentmon.report.pages.shape import LIMIT
from tests import golden
from tests.deep import each_nth
from tests.demo_store import demo_store
from tests.differential import ingest
from tests.feeds import Scene, answering, asking, finished, sid_of, write
from tests.otel_oracle import Expected
from tests.wire import TEXT, Talk

DEMO = Path(__file__).parents[1] / "agentmon" / "demo.jsonl"
INFRA = "93a0bb58-43a7-4920-a45b-a8e1f2fdf094"


def export(data_dir: Path, *args: object) -> Result:
    return CliRunner().invoke(main, ["export", *map(str, args), "--data-dir", str(data_dir)])


def value_of(data_dir: Path, *args: object) -> dict[str, Any]:
    found = export(data_dir, *args, "--format", "json")
    assert found.exit_code == 0, found.output
    return json.loads(found.stdout)


@pytest.fixture
def demo(tmp_path: Path) -> Path:
    demo_store(tmp_path / "data")
    return tmp_path / "data"


# -- values


def test_json_is_what_the_log_says(demo: Path) -> None:
    expected = Expected(DEMO)
    found = value_of(demo, INFRA)
    told = [round_ for round_ in expected.rounds if round_["sid"] == INFRA]
    assert [round_["round_id"] for round_ in found["rounds"]] == [row["round_id"] for row in told]
    for round_, row in zip(found["rounds"], told, strict=True):
        assert round_["duration_ms"] == row["duration_ms"]
        assert round_["prompts"][0]["text"] == row["user_prompt"]
        agents = list(_agents(round_["agent"]))
        messages = {m["flow_id"]: (agent, m) for agent in agents for m in agent["messages"]}
        assert set(messages) == {message["flow_id"] for message in expected.of(row)}
        for message in expected.of(row):
            agent, shown = messages[message["flow_id"]]
            assert agent["agent_id"] == message["agent_id"]
            assert shown["tokens"]["output"] == message["output_tokens"]
            assert shown["stop_reason"] == message["stop_reason"]
            calls = {block["tool_use_id"]: result for block, result in expected.calls(message)}
            blocks = [block for block in shown["blocks"] if block["call"] is not None]
            assert {block["call"]["tool_use_id"] for block in blocks} == set(calls)
            for block in blocks:
                result = calls[block["call"]["tool_use_id"]]
                assert block["call"]["duration_ms"] == result["execution_duration_ms"]
                assert block["call"]["is_error"] == result["is_error"]
                assert block["call"]["result_bytes"] == result["content_size"]


def _agents(agent: dict[str, Any]) -> list[dict[str, Any]]:
    found = [agent]
    for message in agent["messages"]:
        for block in message["blocks"]:
            for below in block["call"]["agents"] if block["call"] else ():
                found += _agents(below)
    return found


def test_texts_are_whole_without_redaction(demo: Path) -> None:
    found = value_of(demo, INFRA, "--no-redact")
    blocks = {
        (message["flow_id"], block["index"]): block
        for round_ in found["rounds"]
        for agent in _agents(round_["agent"])
        for message in agent["messages"]
        for block in message["blocks"]
    }
    expected = Expected(DEMO)
    known = {(row["flow_id"], row["index"]): row for row in expected.blocks}
    assert len(blocks) > 15
    for key, block in blocks.items():
        assert sha256(block["text"].encode()).hexdigest() == known[key]["sha256"]
        call = block["call"]
        if call is not None:
            told = expected.results[call["tool_use_id"]]
            assert sha256(call["result"].encode()).hexdigest() == told["sha256"]
    assert found["redaction"] is None


def test_a_subagent_stands_below_its_call(demo: Path) -> None:
    found = value_of(demo, f"{INFRA}#1")
    assert found["kind"] == "round"
    (round_,) = found["rounds"]
    (subagent,) = _agents(round_["agent"])[1:]
    assert subagent["agent_id"] == "a13c6e66ae3d44867"
    assert round_["loose_agents"] == []
    page = export(demo, f"{INFRA}#1").stdout
    assert page.index("<b>Agent</b>") < page.index("a13c6e66ae3d44867")


def test_the_shape_is_pinned(tmp_path: Path) -> None:
    ingest(tmp_path, [write(tmp_path / "log", finished(1))])
    golden.check("export_session", value_of(tmp_path, sid_of(1)))


# -- hostile text

HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "</pre></details></div><h1>out</h1>",
    "</style><style>*{display:none}</style>",
    "<!-- --> ]]> &lt;b&gt; &#60;i&#62;",
    "```\n# out\n````\n<b>out</b>\n~~~\n`````",
    "\x1b[31mred\x1b[0m \x00 \u202eevil\u2066 \ud800 a\tb\r\n",
    "javascript:alert(1) <a href='javascript:alert(1)'>x</a>",
]


@pytest.fixture(params=each_nth(HOSTILE, 2))
def hostile(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def said(tmp_path: Path, hostile: str) -> Path:
    """A store in which everything that an agent can say is hostile."""
    talk = Talk(sid_of(1), pid=4_000_001, cwd=f"/w/{hostile}", version=hostile)
    with Scene(tmp_path) as scene:
        lines = asking(talk, name=hostile)
        lines[0] = talk.prompt(0, hostile, "u1", round_id="round-1")
        error = {"type": "overloaded_error", "message": hostile}
        scene.say(
            *lines,
            *answering(talk, content=hostile)[:1],
            talk.start(8, 1100, round_id="round-1"),
            talk.begin(8, 1110, {"type": "thinking", "thinking": ""}),
            talk.begin(8, 1111, {"type": hostile}, index=1),
            talk.begin(8, 1112, TEXT, index=2),
            talk.text(8, 1120, hostile, index=2),
            talk.reason(8, 1130, hostile),
            talk.stop(8, 1140),
            talk.stream("error", 8, 1150, {"error": error}),
            talk.line("stop", 1200, {"agent_id": talk.sid}, round_id="round-1"),
        )
    return scene.data_dir


class Tags(HTMLParser):
    """What a browser would see: tags with their attributes, and the texts of `pre`."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.styles: list[str] = []
        self.texts: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        if tag not in ("meta", "br"):
            self.open.append(tag)
        if tag == "pre":
            self.texts.append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "pre":
            self.texts[-1] += data
        if self.open and self.open[-1] == "style":
            self.styles.append(data)


ALLOWED = {
    "html",
    "head",
    "meta",
    "title",
    "style",
    "body",
    "h1",
    "h2",
    "dl",
    "dt",
    "dd",
    "p",
    "b",
    "br",
    "span",
    "pre",
    "details",
    "summary",
    "div",
    "svg",
    "rect",
}
ATTRIBUTES = {
    "lang",
    "charset",
    "http-equiv",
    "content",
    "name",
    "class",
    "open",
    "viewbox",
    "preserveaspectratio",
    "role",
    "x",
    "width",
    "height",
}


def test_nothing_leaves_its_place_in_html(said: Path, hostile: str) -> None:
    page = export(said, sid_of(1)).stdout
    tags = Tags()
    tags.feed(page)
    tags.close()
    assert tags.open == []
    assert tags.tags <= ALLOWED
    assert tags.attributes <= ATTRIBUTES
    shown = harmless(hostile)
    assert [text.removeprefix("\n") for text in tags.texts].count(shown) >= 3
    (style,) = tags.styles
    digest = base64.b64encode(sha256(style.encode()).digest()).decode()
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', page)
    assert policy is not None
    assert f"default-src 'none'; style-src 'sha256-{digest}'" in policy[1]
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f\u202a-\u202e\u2066-\u2069]", page)
    assert "http://" not in page.replace(hostile, "")
    assert "https://" not in page


def test_nothing_leaves_its_place_in_markdown(said: Path, hostile: str) -> None:
    page = export(said, sid_of(1), "--format", "md").stdout
    tokens = MarkdownIt("commonmark").parse(page)
    fences = [token.content for token in tokens if token.type == "fence"]
    assert fences.count(harmless(hostile) + "\n") >= 3
    blocks = [token.content for token in tokens if token.type == "html_block"]
    assert all(re.fullmatch(r"(</?(details|summary)>|\w)+\s*", block) for block in blocks)
    inline = [child for token in tokens for child in token.children or ()]
    assert not [child for child in inline if child.type in ("html_inline", "link_open", "image")]
    headings = [t.map for t in tokens if t.type == "heading_open"]
    assert len(headings) == 1 + 1 + 2


def test_json_holds_anything(said: Path, hostile: str) -> None:
    found = value_of(said, sid_of(1))
    assert found["rounds"][0]["prompts"][0]["text"] == hostile.replace("\ud800", "\ufffd")


@given(st.text(alphabet=st.sampled_from("`~ \n#<>a\\"), max_size=60))
def test_a_fence_holds_its_text(text: str) -> None:
    tokens = MarkdownIt("commonmark").parse(fenced(text))
    assert [token.type for token in tokens] == ["fence"]
    assert tokens[0].content == harmless(text) + "\n"


@given(st.text(alphabet=st.sampled_from("`~ #<>a\\*_[]"), max_size=40))
def test_a_code_span_holds_its_text(text: str) -> None:
    (_, paragraph, _) = MarkdownIt("commonmark").parse(f"x {code(text)} y")
    kinds = [child.type for child in paragraph.children or ()]
    assert kinds == ["text", "code_inline", "text"]


# -- what is asked for


SECRET = "sk-ant-api03-Zk3vQ9tLw8RbX2nYp7McJd5s"


@pytest.fixture
def secrets(tmp_path: Path) -> Path:
    talk = Talk(sid_of(1), pid=4_000_001, cwd="/home/ana/app")
    with Scene(tmp_path) as scene:
        scene.say(*asking(talk), *answering(talk, content=f"key {SECRET}, /home/ana/x"))
    return scene.data_dir


@pytest.mark.parametrize("form", ["html", "md", "json"])
def test_secrets_are_taken_out_and_the_file_says_so(secrets: Path, form: str) -> None:
    page = export(secrets, "app", "--format", form).stdout
    assert SECRET not in page
    assert "/home/ana" not in page
    assert "[redacted:anthropic]" in page
    assert "secrets of known shapes and home folders" in page
    open_page = export(secrets, "app", "--format", form, "--no-redact").stdout
    assert SECRET in open_page
    assert "/home/ana" in open_page
    assert "secrets of known shapes" not in open_page


def test_a_secret_at_the_cut_is_found(tmp_path: Path) -> None:
    text = "x " * (LIMIT // 2 - 10) + SECRET + " y" * 20
    ingest(tmp_path, [write(tmp_path / "log", finished(1, content=text))])
    found = value_of(tmp_path, sid_of(1))
    call = found["rounds"][0]["agent"]["messages"][0]["blocks"][1]["call"]
    assert call["is_result_cut"]
    assert len(call["result"]) <= LIMIT
    assert "sk-ant" not in call["result"]


def test_only_the_content_that_is_wanted(secrets: Path) -> None:
    def texts(content: str) -> set[str]:
        (round_,) = value_of(secrets, "app", "--content", content)["rounds"]
        blocks = [block for m in round_["agent"]["messages"] for block in m["blocks"]]
        found = {"prompts"} if round_["prompts"][0]["text"] is not None else set[str]()
        for block in blocks:
            if block["text"] is not None:
                found.add("inputs" if block["call"] else "text")
            if block["call"] and block["call"]["result"] is not None:
                found.add("results")
        return found

    assert texts("all") == {"prompts", "text", "inputs", "results"}
    assert texts("none") == set()
    assert texts("text,results") == {"text", "results"}
    for form in ("html", "md"):
        assert (
            "Two files" not in export(secrets, "app", "--format", form, "--content", "none").stdout
        )


def test_a_file_is_its_owners_and_of_the_kind_its_name_says(secrets: Path, tmp_path: Path) -> None:
    for name, start in (("a.html", "<!DOCTYPE"), ("a.md", "# "), ("a.json", '{"kind"')):
        target = tmp_path / name
        answer = export(secrets, "app#1", "-o", target)
        assert (answer.exit_code, answer.stdout) == (0, "")
        assert target.read_text("utf-8").startswith(start)
        assert target.stat().st_mode & 0o777 == 0o600
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".a")]


@pytest.mark.parametrize(
    ("args", "code_", "said_"),
    [
        (("nobody",), 1, "nobody"),
        (("app#9",), 1, "no round #9"),
        (("app", "--content", "secrets"), 2, "'secrets' is none of"),
        (("app", "-o", "/nowhere/at/all.html"), 1, "No such file"),
    ],
)
def test_bad_requests(secrets: Path, args: tuple[str, ...], code_: int, said_: str) -> None:
    answer = export(secrets, *args)
    assert answer.exit_code == code_
    assert said_ in answer.stderr
    assert answer.stdout == ""
