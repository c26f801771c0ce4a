"""Redaction of what is passed on: more shapes, words that look like keys, names; and pieces."""

import base64
import hashlib
import json
import random
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentmon.core.random_words import is_random
from agentmon.core.redact import Redactor
from agentmon.report.retold_texts import OVERLAP, WINDOW, Redacted

redact = Redactor()
ALNUM = "Zk3vQ9tLw8RbX2nYp7McJd5sHf4gTa6e"
LONG = ALNUM * 4
HEX = "0123456789abcdef"

SHAPES = [
    ("twilio", "SK" + HEX * 2),
    ("mailgun", "key-" + HEX * 2),
    ("mailchimp", HEX * 2 + "-us12"),
    ("square", "sq0csp-" + LONG[:43]),
    ("atlassian", "ATATT3xFfGF0" + LONG[:100]),
    ("figma", "figd_" + LONG[:40]),
    ("notion", "ntn_" + LONG[:46]),
    ("airtable", "pat" + LONG[:14] + "." + HEX * 4),
    ("postman", "PMAK-" + HEX + HEX[:8] + "-" + HEX * 2 + "ab"),
    ("grafana", "glsa_" + ALNUM + "_0a1b2c3d"),
    ("newrelic", "NRAK-" + ALNUM[:27].upper()),
    ("sentry", "sntrys_" + LONG[:60]),
    ("planetscale", "pscale_tkn_" + LONG[:43]),
    ("supabase", "sbp_" + HEX * 2 + HEX[:8]),
    ("doppler", "dp.pt." + LONG[:43]),
    ("fly", "fo1_" + LONG[:43]),
    ("terraform", LONG[:14] + ".atlasv1." + LONG[:67]),
    ("docker", "dckr_pat_" + LONG[:27]),
    ("rubygems", "rubygems_" + HEX * 3),
    ("crates", "cio" + ALNUM),
    ("artifactory", "AKCp" + LONG[:69]),
    ("groq", "gsk_" + LONG[:52]),
    ("xai", "xai-" + LONG[:80]),
    ("perplexity", "pplx-" + LONG[:48]),
    ("replicate", "r8_" + LONG[:37]),
    ("langsmith", "lsv2_pt_" + HEX * 2 + "_" + HEX[:10]),
    ("pinecone", "pcsk_" + LONG[:60]),
    ("tailscale", "tskey-auth-" + LONG[:16] + "-" + LONG[:32]),
    ("1password", "ops_eyJ" + LONG),
    ("dropbox", "sl." + LONG + LONG),
    ("netlify", "nfp_" + LONG[:36]),
    ("heroku", "HRKU-" + LONG[:60]),
    ("adafruit", "aio_" + LONG[:28]),
    ("discord", "MTk4" + LONG[:20] + ".Cl2FMQ." + LONG[:38]),
    ("kubeconfig", base64.b64encode(b"-----BEGIN RSA KEY-----" + LONG.encode()).decode()),
    ("crypt", "$2b$12$" + "abcdefghijklmnopqrstuv" + "ABCDEFGHIJKLMNOPQRSTUVWXYZ01234"),
]


@pytest.mark.parametrize(("kind", "secret"), SHAPES, ids=[kind for kind, _ in SHAPES])
@pytest.mark.parametrize("around", ["{}", "x = {}", '{{"k":"a\\n{}"}}', "a {} b", "`{}`", "[{}]"])
def test_keys_of_services_are_found(kind: str, secret: str, around: str) -> None:
    found = redact(around.format(secret))
    assert secret[10:] not in found
    assert f"[redacted:{kind}]" in found
    assert redact(found) == found


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("alphabet", [string.ascii_letters + string.digits])
def test_words_that_look_drawn_are_found(seed: int, alphabet: str) -> None:
    rng = random.Random(seed)
    words = ["".join(rng.choice(alphabet) for _ in range(40)) for _ in range(20)]
    assert sum(map(is_random, words)) >= 18
    assert (
        redact(f"see https://x.org/reset/{words[0]}?a") != f"see https://x.org/reset/{words[0]}?a"
    )
    keyed = base64.b64encode(hashlib.sha256(str(seed).encode()).digest()).decode()
    assert redact(f"use {keyed} for it") == "use [redacted:random] for it"


CODE = r"""
getUserAuthenticationTokenV2FromRequestHeaders  HTTPServerRequestHandlerFactoryBean2Impl
import { createAsyncThunkMiddleware2WithRetries } from "./createAsyncThunkMiddleware2WithRetries"
src/components/UserProfile/UserProfileHeader2Container.tsx  com/example/MyApp1/Main2Activity.java
commit 4c8addb53718b544134be47e256237026fe88875 (HEAD -> main)
"sha512-v2kDEe57lecTulaDIuNTPy3Ry4gLGJ6Z1O3vE1krgXZNrsQ/LFTGHVxVjcXPs17LhbZVGedAJv8XZ1tvj5FvSg=="
github.com/pkg/errors v0.9.1 h1:FEBLx1zS214owpjy7qsBeixbURkuhQAwrK5UwLGTwt4=
Host key fingerprint is SHA256:nThbg6kXUpJWGl7E1IGOCspRomTxdCARLviKw6E5SY8
ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl ana
0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed is an address
toolu_01A09q90qw90lq917835lq9 msg_01XFDUDYJgAACzvnptvVoYEL req_011CSHoEeqs5C35K2UUqR7Fy
resp_67ccd2bed1ec8190b14f964abc0542670bb6a6b452d3795b chatcmpl-B9MBs8CjcvOU2jLn4n570S5qMJKcT
6be2e79f-9448-417a-bc09-e57ce5d92935 019aa701-0000-7000-8000-00000000000a
data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk
/nix/store/0a9bq8zk3vq9tlw8rbx2nyp7mcjd5shf-hello-2.12.1/bin/hello
test_that_the_parser_2_handles_V3_of_the_protocol_and_others_too  MAX_RETRIES_FOR_HTTP2_STREAMS
__Secure-next-auth  X-Amz-Content-Sha256  application/vnd.openxmlformats-officedocument.word
aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaA1aaaaaaaa
ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/
"""


@pytest.mark.parametrize("line", [line for line in CODE.splitlines() if line])
def test_ids_hashes_and_long_names_of_code_stay(line: str) -> None:
    assert redact(line) == line


def test_certificates_and_public_keys_stay() -> None:
    body = base64.b64encode(random.Random(3).randbytes(600)).decode()
    lines = "\n".join(body[at : at + 64] for at in range(0, len(body), 64))
    text = f"-----BEGIN CERTIFICATE-----\n{lines}\n-----END CERTIFICATE-----"
    assert redact(text) == text
    assert "[redacted:random]" in redact(lines)


NAMED = Redactor(["/home/mia"], ["mia", "root", "ab"], ["tower-7", "localhost"])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("mia@tower-7:~$ ls", "[user]@[host]:~$ ls"),
        ("drwx 2 mia mia 4096 .", "drwx 2 [user] [user] 4096 ."),
        ('{"a":"x\\nmia says"}', '{"a":"x\\n[user] says"}'),
        ("/home/mia/app", "~/app"),
        ("a mianus, amia, mia2", "a mianus, amia, mia2"),
        ("root at localhost, ab", "root at localhost, ab"),
        ("TOWER-7.lan", "[host].lan"),
    ],
)
def test_known_names_go_as_whole_words(text: str, expected: str) -> None:
    assert NAMED(text) == expected
    assert NAMED(expected) == expected


def test_a_name_that_is_a_word_goes_where_it_is_a_name() -> None:
    named = Redactor(users=["will", "mia"], hosts=["tower"])
    assert named("mia will mark it, Will did") == "[user] will mark it, Will did"
    assert named("will@tower, /srv/will/x, @will") == "[user]@[host], /srv/[user]/x, @[user]"
    assert named("the tower of will") == "the tower of will"


# -- pieces

_TEXTS = st.lists(
    st.sampled_from(
        [*(secret for _, secret in SHAPES[:6]), "ghp_" + LONG[:36], "a ", "\n", "word", "/home/ana"]
    ),
    max_size=8,
).map(" ".join)


@given(_TEXTS, st.data())
def test_a_secret_split_over_pieces_is_one(text: str, data: st.DataObject) -> None:
    ends = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=12)))
    found, places = redact.cut(text, ends)
    assert found == redact(text)
    assert places == sorted(places)
    assert len(places) == len(ends)
    assert all(0 <= place <= len(found) for place in places)
    for end, place in zip(ends, places, strict=True):
        if end == len(text):
            assert place == len(found)
        if redact(text[:end]) + redact(text[end:]) == found:
            assert found[:place] in (redact(text[:end]), found[:place])


@given(_TEXTS.filter(bool), st.integers(1, 9))
def test_every_piece_but_those_of_a_secret_stays(text: str, size: int) -> None:
    ends = [*range(size, len(text), size), len(text)]
    found, places = redact.cut(text, ends)
    pieces = [found[a:b] for a, b in zip([0, *places], places, strict=False)]
    assert "".join(pieces) == found
    for piece, old in zip(
        pieces, (text[at : at + size] for at in range(0, len(text), size)), strict=True
    ):
        assert piece == old or "[redacted" in found or "~" in found


def test_a_long_text_is_redacted_window_by_window() -> None:
    secret = "ghp_" + LONG[:36]
    text = "word " * (WINDOW // 5 - 4) + secret + " " + "more " * (OVERLAP // 4) + secret
    pieces = (text[at : at + 70_001] for at in range(0, len(text), 70_001))
    out = [*Redacted(redact).pieces(pieces)]
    assert len(out) > 1
    assert "".join(out) == text.replace(secret, "[redacted:github]")


_VALUES = st.recursive(
    st.text(max_size=8) | st.sampled_from([secret for _, secret in SHAPES[:5]]) | st.integers(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["password", "command", "a"]), inner, max_size=3)
    ),
    max_leaves=6,
)


@given(
    st.dictionaries(st.sampled_from(["command", "token", "text"]), _VALUES, max_size=3),
    st.booleans(),
)
def test_arguments_of_a_call_stay_json(value: dict[str, object], is_escaped: bool) -> None:
    text = json.dumps(value, ensure_ascii=is_escaped)
    found, (end,) = Redacted(Redactor()).cut(text, [len(text)], is_json=True)
    assert set(json.loads(found)) == set(value)
    assert end == len(found)
    for _, secret in SHAPES[:5]:
        assert secret not in found


def test_what_an_escape_or_a_missing_end_hides_is_found() -> None:
    pem = "-----BEGIN RSA PRIVATE KEY-----\nMIIE" + LONG
    text = json.dumps({"command": "cat", "out": pem, "k": "ghp_" + LONG[:36]})
    text = text.replace("ghp_", "\\u0067hp_")
    found, _ = Redacted(Redactor()).cut(text, [], is_json=True)
    assert json.loads(found) == {
        "command": "cat",
        "out": "[redacted:private-key]",
        "k": "[redacted:github]",
    }
