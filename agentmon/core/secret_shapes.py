"""The shapes of secrets: what keys of known kinds look like, and what stands around passwords."""

import re
from collections.abc import Callable

from msgspec import Struct


class Rule(Struct, frozen=True):
    """A shape. `hints`: one of them is in every text that has it, in lower case."""

    kind: str
    hints: tuple[str, ...]
    pattern: re.Pattern[str]
    group: int = 0
    """The part that is the secret; the rest of the match stays."""
    check: Callable[[str], bool] | None = None


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


_BEGIN = r"(?:(?<!\w)|(?<=\\[nrtbf]))"
"""Where a word begins; the letter of a JSON escape such as a line feed is of none."""


def _shape(kind: str, hints: str, pattern: str, *, group: int = 0) -> Rule:
    if pattern.startswith(r"\b"):
        pattern = _BEGIN + pattern[2:]
    return Rule(kind, tuple(hints.split()), re.compile(pattern), group)


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
    _shape("digitalocean", "_v1_", r"\bdo[opr]_v1_[a-f0-9]{64}\b"),
    _shape("sendgrid", "sg.", r"\bSG\.[\w-]{20,}\.[\w-]{40,}"),
    _shape("telegram", ":aa", r"\b\d{8,10}:AA[\w-]{33}\b"),
    _shape("vault", "hvs. hvb.", r"\bhv[sb]\.[\w-]{24,}"),
    _shape("databricks", "dapi", r"\bdapi[a-f0-9]{32}\b"),
    _shape("shopify", "shp", r"\bshp(?:at|ca|pa|ss)_[a-fA-F0-9]{32}\b"),
    _shape("linear", "lin_api_", r"\blin_api_[A-Za-z0-9]{32,}"),
    _shape("azure", "accountkey=", r"(?i)\bAccountKey=[A-Za-z0-9+/]{60,}={0,2}"),
    _shape("azure", "8q~", r"\b[\w.~-]{3}8Q~[\w.~-]{31,34}(?![\w.~-])"),
    _shape("twilio", "sk", r"\bSK[0-9a-f]{32}\b"),
    _shape("mailgun", "key-", r"\bkey-[0-9a-f]{32}\b"),
    _shape("mailchimp", "-us", r"\b[0-9a-f]{32}-us\d{1,2}\b"),
    _shape("square", "sq0 eaaa", r"\b(?:sq0(?:atp|csp|idp)-[\w-]{22,}|EAAA[\w-]{56,})"),
    _shape("atlassian", "atatt3 atctt3", r"\bAT[AC]TT3[\w=-]{60,}"),
    _shape("figma", "figd_ figu_", r"\bfig[du]_[\w-]{36,}"),
    _shape("notion", "ntn_ secret_", r"\b(?:ntn_|secret_)[A-Za-z0-9]{40,}\b"),
    _shape("airtable", "pat", r"\bpat[A-Za-z0-9]{14}\.[0-9a-f]{64}\b"),
    _shape("postman", "pmak-", r"\bPMAK-[0-9a-f]{24}-[0-9a-f]{34}\b"),
    _shape("grafana", "glsa_ glc_", r"\b(?:glsa_[A-Za-z0-9]{32}_[0-9a-fA-F]{8}|glc_[\w+/=-]{32,})"),
    _shape("newrelic", "nrak- nrjs- nrii-", r"\bNR(?:AK|JS|II)-[A-Za-z0-9_-]{19,}"),
    _shape("sentry", "sntry", r"\bsntry[su]_[\w+/=-]{40,}"),
    _shape("planetscale", "pscale_", r"\bpscale_(?:tkn|pw|oauth)_[\w=.-]{30,}"),
    _shape("supabase", "sbp_ sb_secret_", r"\b(?:sbp_[0-9a-f]{40}|sb_secret_[\w-]{20,})"),
    _shape("doppler", "dp.", r"\bdp\.(?:pt|st|ct|sa|scim|audit)\.[A-Za-z0-9.]{40,}"),
    _shape("fly", "flyv1 fo1_", r"\b(?:FlyV1 [\w+/=,-]{40,}|fo1_[\w-]{43})"),
    _shape("terraform", ".atlasv1.", r"\b[A-Za-z0-9]{14}\.atlasv1\.[\w=-]{60,}"),
    _shape("docker", "dckr_", r"\bdckr_[po]at_[\w-]{27,}"),
    _shape("rubygems", "rubygems_", r"\brubygems_[0-9a-f]{48}\b"),
    _shape("crates", "cio", r"\bcio[A-Za-z0-9]{32}\b"),
    _shape("artifactory", "akcp", r"\bAKCp[A-Za-z0-9]{60,}\b"),
    _shape("groq", "gsk_", r"\bgsk_[A-Za-z0-9]{48,}\b"),
    _shape("xai", "xai-", r"\bxai-[A-Za-z0-9]{70,}\b"),
    _shape("perplexity", "pplx-", r"\bpplx-[A-Za-z0-9]{40,}\b"),
    _shape("replicate", "r8_", r"\br8_[A-Za-z0-9]{37}\b"),
    _shape("langsmith", "lsv2_", r"\blsv2_(?:pt|sk)_[0-9a-f]{32}_[0-9a-f]{10}\b"),
    _shape("pinecone", "pcsk_", r"\bpcsk_\w{40,}"),
    _shape("tailscale", "tskey-", r"\btskey-[a-z]+-[\w-]{16,}"),
    _shape("1password", "ops_eyj", r"\bops_eyJ[\w+/=-]{40,}"),
    _shape(
        "1password",
        "a3-",
        r"\bA3-[A-Z0-9]{6}-(?:[A-Z0-9]{11}|[A-Z0-9]{6}-[A-Z0-9]{5})(?:-[A-Z0-9]{5}){3}\b",
    ),
    _shape("dropbox", "sl.", r"\bsl\.[\w-]{100,}"),
    _shape("facebook", "eaa", r"\bEAA[A-Za-z0-9]{80,}\b"),
    _shape("netlify", "nfp_", r"\bnfp_[A-Za-z0-9]{36,}\b"),
    _shape("heroku", "hrku-", r"\bHRKU-[\w-]{36,}"),
    _shape("adafruit", "aio_", r"\baio_[A-Za-z0-9]{28}\b"),
    _shape("discord", ".", r"\b[MNO][A-Za-z\d_-]{23,27}\.[\w-]{6}\.[\w-]{27,}"),
    _shape("kubeconfig", "ls0tls1crudjti", r"\bLS0tLS1CRUdJTi[A-Za-z0-9+/]{40,}={0,2}"),
    _shape(
        "putty-key",
        "private-lines:",
        r"(?i)private-lines:\s*\d+(?:\\r|\\n|\s)+([A-Za-z0-9+/=\s\\]{40,})",
        group=1,
    ),
    _shape("netrc", "machine", r"\bmachine\s+\S+\s+login\s+\S+\s+password\s+([^\s\"\\]+)", group=1),
    _shape(
        "crypt",
        "$",
        r"(?:(?<![\w$])|(?<=\\[nrt]))\$(?:2[abxy]\$\d\d\$[./A-Za-z0-9]{53}|[56]\$[^\s:\"\\]{40,})",
    ),
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
    Rule(
        "bearer",
        ("bearer",),
        re.compile(r"(?i)(?:\b|(?<=\\[nrt]))bearer\s+([\w.~+/-]{16,}=*)"),
        1,
        _is_value,
    ),
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
            r"(?:^|[\s;\"'`]|\\[nrt])(?:export\s+)?[A-Z0-9_]{0,60}(?:PASSWORD|PASSWD|PASSPHRASE|SECRET|TOKEN|API_?KEY"
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
