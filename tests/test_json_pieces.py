"""The reader in pieces reads what json reads, and refuses what json refuses."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentmon.sources.json_pieces import JsonError, JsonReader, Tree
from agentmon.sources.payloads import scrub
from tests.plain_decode import values


@given(value=values, is_ascii=st.booleans(), sizes=st.lists(st.integers(0, 5), max_size=40))
def test_the_reader_reads_what_json_reads(value: object, is_ascii: bool, sizes: list[int]) -> None:
    text = json.dumps(value, ensure_ascii=is_ascii, indent=1)
    tree = Tree()
    reader = JsonReader(tree)
    start = 0
    for size in sizes:
        reader.feed(text[start : start + size])
        start += size
    reader.feed(text[start:])
    reader.close()
    assert json.dumps(tree.value) == json.dumps(scrub(json.loads(text)))


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "{",
        "[",
        "]",
        "{]",
        "[}",
        "[,]",
        "[1,]",
        "{,}",
        '{"a"}',
        '{"a":}',
        '{"a":1,}',
        "{1:2}",
        *["tru", "1 2", "[1 2]", '"', '"\\x"', '"\\u12"', '"\\', "'a'", "nul", "-", "01", "[1,,2]"],
        *[
            '{"a" "b"}',
            '{"a",1}',
            "[" * 600,
            ":",
            ",",
            "[:]",
            '{"a":1 "b":2}',
            "\ufeff1",
            "[\xa01]",
        ],
    ],
)
@pytest.mark.parametrize("step", [1, 3, 1000])
def test_what_is_not_json_is_refused(text: str, step: int) -> None:
    reader = JsonReader(Tree())
    with pytest.raises(JsonError):
        _read_all(reader, text, step)


def _read_all(reader: JsonReader, text: str, step: int) -> None:
    for start in range(0, len(text), step):
        reader.feed(text[start : start + step])
    reader.close()
    if reader.rest.strip():
        raise JsonError("more than one value")
