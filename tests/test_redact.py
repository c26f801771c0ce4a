"""Redaction: every shape is found wherever it stands, and code that speaks of secrets stays."""

import base64
import json
import string

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from agentmon.core.redact import Redactor, keep

redact = Redactor(["/root", "/srv/people/ana"])

ALNUM = "Zk3vQ9tLw8RbX2nYp7McJd5sHf4gTa6e"
LONG = ALNUM * 3
JWT = ".".join(
    base64.urlsafe_b64encode(part).rstrip(b"=").decode()
    for part in (b'{"alg":"HS256"}', b'{"sub":"1234567890"}', b"signature-of-it!")
)
PEM = f"-----BEGIN RSA PRIVATE KEY-----\n{LONG}\n{LONG}\n-----END RSA PRIVATE KEY-----"
HEX = "0123456789abcdef"

SECRETS = [
    ("anthropic", f"sk-ant-api03-{LONG}"),
    ("openai", f"sk-proj-{LONG}"),
    ("openai", "sk-" + ALNUM + "a1b2c3"),
    ("github", "ghp_" + LONG[:36]),
    ("github", "github_pat_11ABCDEFG0" + LONG[:40]),
    ("gitlab", "glpat-" + ALNUM[:20]),
    ("slack", "xoxb-123456789012-1234567890123-" + ALNUM[:24]),
    ("aws", "AKIAIOSFODNN7EXAMPL3".replace("3", "E")),
    ("google", "AIza" + LONG[:35]),
    ("stripe", "sk_live_" + ALNUM[:24]),
    ("npm", "npm_" + LONG[:36]),
    ("huggingface", "hf_" + LONG[:34]),
    ("jwt", JWT),
    ("private-key", PEM),
    ("vault", "hvs." + ALNUM),
    ("databricks", "dapi" + HEX * 2),
]


@pytest.mark.parametrize(("kind", "secret"), SECRETS)
@pytest.mark.parametrize(
    "around",
    [
        "{}",
        "key: {}",
        '{{"k": "{}"}}',
        "export A={} && run",
        "see https://x.org/?a=1 {}\nend",
        "`{}`",
    ],
)
def test_a_shape_is_found_wherever_it_stands(kind: str, secret: str, around: str) -> None:
    found = redact(around.format(secret))
    assert secret not in found
    assert secret[8:] not in found
    assert "[redacted:" in found
    if around == "{}":
        assert found == f"[redacted:{kind}]"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("postgres://app:hunter2@db:5432/x", "postgres://app:[redacted:password]@db:5432/x"),
        ("redis://:p4ss@host/0", "redis://:[redacted:password]@host/0"),
        ("Authorization: Bearer abcDEF123456ghi", "Authorization: Bearer [redacted:header]"),
        (
            "-H 'Authorization: Basic YW5hOmh1bnRlcjI='",
            "-H 'Authorization: Basic [redacted:header]'",
        ),
        ('"authorization":"token abcd1234efgh"', '"authorization":"token [redacted:header]"'),
        ("x-api-key: 12ab34cd56ef", "x-api-key: [redacted:header]"),
        ("it says bearer abcdefgh12345678 there", "it says bearer [redacted:bearer] there"),
        ("DB_PASSWORD=hunter2x", "DB_PASSWORD=[redacted:password]"),
        ('export API_KEY="abc123def"', 'export API_KEY="[redacted:password]"'),
        ('"password": "hunter2hunter2"', '"password": "[redacted:password]"'),
        (r'{"cmd":"x --set password=\"abc123xyz\""}', None),
        ('client_secret = "abcd1234!"', 'client_secret = "[redacted:password]"'),
        ("GET /cb?code=abcd1234efgh&x=1", "GET /cb?code=[redacted:parameter]&x=1"),
        ("sshpass -p s3cr3t!! ssh x", "sshpass -p [redacted:password] ssh x"),
        ("curl -u ana:hunter22 https://x", "curl -u ana:[redacted:password] https://x"),
        ("aws_secret_access_key = " + ("aB3/" * 10), "aws_secret_access_key = [redacted:aws]"),
        ("Set-Cookie: sid=abc123; Path=/", "Set-Cookie: [redacted:cookie]"),
        ("https://hooks.slack.com/services/T000/B000/XXXXabcd1234", "https://[redacted:slack]"),
    ],
)
def test_secrets_that_are_known_by_what_stands_around_them(text: str, expected: str | None) -> None:
    found = redact(text)
    assert "[redacted:" in found
    assert expected is None or found == expected


def test_a_private_key_is_found_in_json_and_when_its_end_is_missing() -> None:
    quoted = json.dumps({"content": f"before\n{PEM}\nafter"})
    assert json.loads(redact(quoted)) == {"content": "before\n[redacted:private-key]\nafter"}
    assert redact(PEM[:90] + "  ") == "[redacted:private-key]"
    public = "-----BEGIN PUBLIC KEY-----\nMFk\n-----END PUBLIC KEY-----"
    assert redact(public) == public


CODE = r"""
password = getpass.getpass("Password: ")
def login(user: str, password: str, token: str | None = None) -> Secret:
max_tokens=4096, output_tokens: 812, "input_tokens": 24, "token_count": 18231
token = tokens[0]; api_key = os.environ["API_KEY"]; secret = config.secret_key
const apiKey = process.env.OPENAI_API_KEY;
if (!password) throw new Error("password is required");
"password": "Password must contain at least 8 characters",
api_key: ${API_KEY}
PASSWORD=$PASSWORD docker compose up
TOKEN=$(cat token.txt)
GITHUB_TOKEN: ${{ secrets.GITHUB_TOKEN }}
https://example.com/home/page?key=value&token=<token>
postgres://user:${DB_PASS}@localhost/x   postgres://user:***@localhost/x
git@github.com:ana/app.git  ssh://git@host:22/x  http://localhost:8080/@scope/pkg
sk-circle-fade-dot  task-list  risk-assessment-2024-report  ask-anything
sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855
commit 4c8addb53718b544134be47e256237026fe88875  toolu_0126c717c5a3c9683072c7
msg_0126c7171404dd485c91f9  req_0126c717c6ee8bc5973747  6be2e79f-9448-417a-bc09-e57ce5d92935
the bearer of this letter; Bearer authentication; "Bearer " + token
Authorization: Bearer $TOKEN      headers["Authorization"] = f"Bearer {token}"
x-api-key: $ANTHROPIC_API_KEY
<input type="password" name="password" placeholder="password">
SECRET_KEY = "your-secret-key"     token = "<token>"      password: "changeme"
from secrets import token_hex; token_hex(16)
class TokenBucket: access_key = None; private_key_path = "keys/id_ed25519"
/usr/home_improvement  take-home-pay  /homepage/x  a/home/b
eyJhbGciOi is how they begin
-----BEGIN CERTIFICATE-----
cookie = request.cookies.get("sid")
"""


@pytest.mark.parametrize("line", [line for line in CODE.splitlines() if line])
def test_code_that_speaks_of_secrets_stays_as_it_is(line: str) -> None:
    assert redact(line) == line


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/home/ana/app/x.py", "~/app/x.py"),
        ("cd /Users/ana && ls", "cd ~ && ls"),
        ('{"cwd":"/home/ana"}', '{"cwd":"~"}'),
        (r"C:\Users\Ana\app", r"~\app"),
        ("file:///home/ana/x", "file://~/x"),
        ("/root/x /rooted /srv/people/ana/y", "~/x /rooted ~/y"),
        ("/.claude/projects/-home-ana-app/s.jsonl", "/.claude/projects/-~-app/s.jsonl"),
    ],
)
def test_homes_become_a_tilde(text: str, expected: str) -> None:
    assert redact(text) == expected


@given(st.text(max_size=300))
def test_redacting_twice_changes_nothing_more(text: str) -> None:
    once = redact(text)
    assert redact(once) == once


_PIECES = st.sampled_from(
    [secret for _, secret in SECRETS]
    + CODE.split()
    + [
        "password",
        "=",
        ": ",
        '"',
        "\\",
        "://",
        "@",
        "Bearer ",
        "\n",
        "/home/ana",
        "[redacted:x]",
        "?key=",
    ]
)


@example([SECRETS[2][1], SECRETS[0][1], "=", SECRETS[7][1], SECRETS[0][1]])
@given(st.lists(_PIECES, max_size=12))
def test_redacting_twice_changes_nothing_more_among_secrets(pieces: list[str]) -> None:
    once = redact("".join(pieces))
    assert redact(once) == once


@given(st.text(alphabet=string.ascii_letters + " \n\"'=:/", max_size=60), st.sampled_from(SECRETS))
def test_no_text_before_a_secret_hides_it(before: str, item: tuple[str, str]) -> None:
    assert item[1] not in redact(before + " " + item[1])


def test_json_stays_json() -> None:
    value = {"command": f"curl -H 'Authorization: Bearer {ALNUM}' https://a:b1c2@h/", "n": [PEM]}
    found = json.loads(redact(json.dumps(value)))
    assert set(found) == {"command", "n"}
    assert ALNUM not in found["command"]


def test_nothing_is_redacted_where_it_was_switched_off() -> None:
    assert keep(PEM) == PEM
