"""The names of the GenAI semantic conventions, one column for each version that can be chosen.

The conventions are in development: names change between releases. So each export carries the
schema URL of the version it follows, and `--semconv` chooses an older one for backends that read
only that.
"""

from typing import Literal

from msgspec import Struct

Version = Literal["0.1", "1.41", "1.36"]
VERSIONS: tuple[Version, ...] = ("0.1", "1.41", "1.36")
"""Newest first. 0.1 is the first release of the conventions' own repository."""


class Names(Struct, frozen=True):
    """What differs between versions; None where a version has no such thing."""

    version: Version
    schema_url: str
    provider: str = "gen_ai.provider.name"
    cache_read: str | None = "gen_ai.usage.cache_read.input_tokens"
    cache_write: str | None = "gen_ai.usage.cache_write.input_tokens"
    first_chunk: str | None = "gen_ai.response.time_to_first_chunk"
    stream: str | None = "gen_ai.request.stream"
    prompts: str = "gen_ai.input.messages"
    answers: str = "gen_ai.output.messages"
    has_agent_id: bool = False
    has_parts: bool = True
    """Content is a list of messages with parts, as JSON; else it is text."""
    token_counters: bool = True
    """Tokens are counters of their own, else one histogram with `gen_ai.token.type`."""
    inference_duration: str = "gen_ai.client.inference.duration"
    inference_first_chunk: str = "gen_ai.client.inference.time_to_first_chunk"


NAMES: dict[Version, Names] = {
    "0.1": Names("0.1", "https://opentelemetry.io/schemas/gen-ai/0.1.0"),
    "1.41": Names(
        "1.41",
        "https://opentelemetry.io/schemas/1.41.0",
        cache_write="gen_ai.usage.cache_creation.input_tokens",
        has_agent_id=True,
        token_counters=False,
        inference_duration="gen_ai.client.operation.duration",
        inference_first_chunk="gen_ai.client.operation.time_to_first_chunk",
    ),
    "1.36": Names(
        "1.36",
        "https://opentelemetry.io/schemas/1.36.0",
        provider="gen_ai.system",
        cache_read=None,
        cache_write=None,
        first_chunk=None,
        stream=None,
        prompts="gen_ai.prompt",
        answers="gen_ai.completion",
        has_agent_id=True,
        has_parts=False,
        token_counters=False,
        inference_duration="gen_ai.client.operation.duration",
        inference_first_chunk="gen_ai.client.operation.time_to_first_chunk",
    ),
}

PROVIDERS = {"claude": "anthropic", "codex": "openai"}
"""Who is asked, by product; another product stands for itself."""

INPUT_WITHOUT_CACHE = frozenset({"anthropic"})
"""Providers whose input tokens leave out what was read from a cache or written to it; the
conventions want all of them."""
