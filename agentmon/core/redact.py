"""Secrets in text that leaves the machine: found by their well-known shapes, replaced by a mark.

`[redacted:github]` says what was there. Code that only speaks of secrets (`password = ask()`,
`max_tokens=4096`) stays as it is. Home folders become `~`, since they carry a person's name.
What has no shape that anybody knows is not found: redaction lowers a risk, it removes none.
"""

import re
from collections.abc import Callable, Sequence

from msgspec import Struct

RULES_VERSION = 1
"""Named in what is exported, so that a reader knows what was looked for."""

Replace = Callable[[re.Match[str]], str]


class Rule(Struct, frozen=True):
    """A shape. `hints`: one of them is in every text that has it, in lower case."""

    kind: str
    hints: tuple[str, ...]
    pattern: re.Pattern[str]
    group: int = 0
    """The part that is the secret; the rest of the match stays."""
    check: Callable[[str], bool] | None = None


def _mark(kind: str) -> str:
    return f"[redacted:{kind}]"


_PLACEHOLDER = re.compile(
    r"(?i)^(?:[*x.•_-]+|<.*>|\$.*|%.*|\{.*|\[.*|.*\.\.\..*|your[-_ ].*|changeme|example.*"
    r"|placeholder|redacted|none|null|true|false|undefined|secret|password|token|string|test)$"
)


def _is_value(text: str) -> bool:
    """Whether it looks like a password rather than like a word, a name or a stand-in."""
    if _PLACEHOLDER.match(text) or text.endswith(("(", "()")):
        return False
    has_digit = any(char.isdigit() for char in text)
    has_letter = any(char.isalpha() for char in text)
    has_sign = any(not char.isalnum() and char not in "_-./:" for char in text)
    is_mixed = text.lower() != text != text.upper() and "_" not in text
    return has_letter and (has_digit or has_sign or (is_mixed and len(text) >= 20))


def _is_password(text: str) -> bool:
    return not _PLACEHOLDER.match(text)


def _shape(kind: str, hints: str, pattern: str, *, flags: int = 0) -> Rule:
    return Rule(kind, tuple(hints.split()), re.compile(pattern, flags))


_NAME = (
    r"(?:password|passwd|passphrase|secret|token|api[_-]?key|apikey|access[_-]?key"
    r"|private[_-]?key|secret[_-]?key|client[_-]?secret|auth[_-]?token)"
)
_NAMED_HINTS = ("password", "passwd", "passphrase", "secret", "token", "key")

RULES: tuple[Rule, ...] = (
    _shape(
        "private-key",
        "private",
        r"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----"
        r"(?:(?!-----BEGIN )[\s\S])*?(?:-----END (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----|\Z)",
    ),
    _shape("age-key", "age-secret-key", r"\bAGE-SECRET-KEY-1[0-9A-Z]{40,}"),
    _shape("jwt", "eyj", r"\beyJ[\w-]{8,}\.eyJ[\w-]{8,}\.[\w-]*"),
    _shape("anthropic", "sk-ant-", r"\bsk-ant-[\w-]{16,}"),
    _shape("openai", "sk-", r"\bsk-(?:(?:proj|svcacct|admin|or-v1)-[\w-]{20,}|[A-Za-z0-9]{32,})\b"),
    _shape("github", "ghp_ gho_ ghu_ ghs_ ghr_", r"\bgh[pousr]_[A-Za-z0-9]{30,}\b"),
    _shape("github", "github_pat_", r"\bgithub_pat_\w{22,}\b"),
    _shape("gitlab", "glpat- gldt- glrt- glcbt-", r"\bgl(?:pat|dt|rt|cbt)-[\w-]{20,}"),
    _shape("slack", "xox xapp-", r"\b(?:xox[abeoprs](?:\.xox[a-z])?|xapp)-[\w-]{10,}"),
    _shape("slack", "hooks.slack.com", r"hooks\.slack\.com/(?:services|workflows)/[\w/-]{16,}"),
    _shape("discord", "discord", r"discord(?:app)?\.com/api/webhooks/\d+/[\w-]{20,}"),
    _shape(
        "aws",
        "akia asia abia acca",
        r"(?<![A-Za-z0-9])(?:AKIA|ASIA|ABIA|ACCA)[A-Z2-7]{16}(?![A-Za-z0-9])",
    ),
    Rule(
        "aws",
        ("secret", "aws"),
        re.compile(
            r"(?i)aws_?(?:secret)?_?(?:access)?_?key[\"'\\]*\s*[:=]\s*[\"'\\]*([A-Za-z0-9/+]{40})"
            r"(?![A-Za-z0-9/+])"
        ),
        1,
    ),
    _shape("google", "aiza", r"\bAIza[\w-]{35}(?![\w-])"),
    _shape("google", "ya29. gocspx-", r"\b(?:ya29\.[\w-]{20,}|GOCSPX-[\w-]{20,})"),
    _shape("stripe", "_live_ _test_", r"\b[srp]k_(?:live|test)_[A-Za-z0-9]{16,}"),
    _shape("stripe", "whsec_", r"\bwhsec_[A-Za-z0-9+/=]{24,}"),
    _shape("npm", "npm_", r"\bnpm_[A-Za-z0-9]{36}\b"),
    _shape("pypi", "pypi-", r"\bpypi-AgE[\w-]{40,}"),
    _shape("huggingface", "hf_", r"\bhf_[A-Za-z0-9]{30,}\b"),
    _shape("digitalocean", "do", r"\bdo[opr]_v1_[a-f0-9]{64}\b"),
    _shape("sendgrid", "sg.", r"\bSG\.[\w-]{20,}\.[\w-]{40,}"),
    _shape("telegram", ":aa", r"\b\d{8,10}:AA[\w-]{33}\b"),
    _shape("vault", "hvs. hvb.", r"\bhv[sb]\.[\w-]{24,}"),
    _shape("databricks", "dapi", r"\bdapi[a-f0-9]{32}\b"),
    _shape("shopify", "shp", r"\bshp(?:at|ca|pa|ss)_[a-fA-F0-9]{32}\b"),
    _shape("linear", "lin_api_", r"\blin_api_[A-Za-z0-9]{32,}"),
    _shape("azure", "accountkey=", r"(?i)\bAccountKey=[A-Za-z0-9+/]{60,}={0,2}"),
    Rule(
        "header",
        ("authorization", "api-key", "api_key"),
        re.compile(
            r"(?i)\b(?:proxy-)?authorization[\"'\\]*\s*[:=]\s*[\"'\\]*"
            r"(?:(?:bearer|basic|token|digest|apikey)\s+)?([^\s\"'\\,;]{8,})"
        ),
        1,
        _is_value,
    ),
    Rule(
        "header",
        ("x-",),
        re.compile(
            r"(?i)\bx-(?:api|auth|access|goog-api|amz-security)-?(?:key|token)[\"'\\]*\s*[:=]\s*"
            r"[\"'\\]*([^\s\"'\\,;]{8,})"
        ),
        1,
        _is_value,
    ),
    Rule("bearer", ("bearer",), re.compile(r"(?i)\bbearer\s+([\w.~+/-]{16,}=*)"), 1, _is_value),
    Rule(
        "cookie",
        ("cookie",),
        re.compile(r"(?im)(?:^|[\"'\s])(?:set-)?cookie:\s*([^\"'\r\n]{8,})"),
        1,
        _is_value,
    ),
    Rule(
        "password",
        ("://",),
        re.compile(
            r"\b[a-z][a-z0-9+.-]{0,24}://[^\s/:@\"'<>\\]{0,200}:([^\s/@\"'<>\\]{1,400})@",
            re.IGNORECASE,
        ),
        1,
        _is_password,
    ),
    Rule(
        "parameter",
        ("?", "&"),
        re.compile(
            r"(?i)[?&](?:access_token|refresh_token|id_token|api_?key|apikey|key|token|sig|signature"
            r"|secret|client_secret|password|code|x-amz-signature|x-amz-security-token)"
            r"=([^\s&#\"'<>\\]{8,})"
        ),
        1,
        _is_value,
    ),
    Rule(
        "password",
        ("=",),
        re.compile(
            r"(?:^|[\s;\"'`])(?:export\s+)?[A-Z0-9_]{0,60}(?:PASSWORD|PASSWD|PASSPHRASE|SECRET|TOKEN|API_?KEY"
            r"|ACCESS_KEY|PRIVATE_KEY)[A-Z0-9_]*=[\"'\\]*([^\s\"'\\;()&|]{6,})",
            re.MULTILINE,
        ),
        1,
        _is_value,
    ),
    Rule(
        "password",
        _NAMED_HINTS,
        re.compile(rf"(?i){_NAME}\\?[\"']?\s*(?::|=|=>|:=)\s*\\?[\"']([^\s\"'\\]{{8,}})\\?[\"']"),
        1,
        _is_value,
    ),
    Rule(
        "password",
        ("sshpass", "mysql", "curl", "--password", "--token"),
        re.compile(
            r"(?:\bsshpass\s+-p\s*|\bmysql\w*\s[^|;\n]{0,200}?-p(?=\S)"
            r"|\bcurl\s[^|;\n]{0,200}?(?:-u|--user)[ =]"
            r"[\"']?[^\s:\"']{1,100}:|--(?:password|token)[ =])[\"']?([^\s\"'|;]{6,})"
        ),
        1,
        _is_value,
    ),
)
"""Every shape, in the order in which they are looked for."""

_HOME = re.compile(
    r"(?<![\w.~-])(?:/home/|/Users/|[A-Za-z]:\\{1,2}Users\\{1,2})([^/\\\s\"'`:;,)\]}>]+)"
)
_PROJECT = re.compile(r"(?<=/)-(?:home|Users)-[^-/\s]+(?=[-/\s]|$)")


class Redactor:
    """Redacts text: secrets and the homes of people; `homes` are folders known to be homes."""

    def __init__(self, homes: Sequence[str] = ()) -> None:
        known = sorted({home.rstrip("/") for home in homes} - {""}, key=len, reverse=True)
        pattern = "|".join(map(re.escape, known))
        self._known = re.compile(rf"(?<![\w.~-])(?:{pattern})(?![\w.-])") if known else None

    def __call__(self, text: str) -> str:
        """The text without what was found. Redacting twice changes nothing more."""
        low = text.lower()
        for rule in RULES:
            if any(hint in low for hint in rule.hints):
                text = rule.pattern.sub(_replacement(rule), text)
        return self._without_homes(text)

    def _without_homes(self, text: str) -> str:
        if self._known is not None:
            text = self._known.sub("~", text)
        return _PROJECT.sub("-~", _HOME.sub("~", text))


def _replacement(rule: Rule) -> Replace:
    mark = _mark(rule.kind)

    def replace(match: re.Match[str]) -> str:
        secret = match[rule.group]
        if secret.startswith("[redacted:") or (rule.check is not None and not rule.check(secret)):
            return match[0]
        start, end = match.span(rule.group)
        return match[0][: start - match.start()] + mark + match[0][end - match.start() :]

    return replace


def keep(text: str) -> str:
    """Redacts nothing."""
    return text
