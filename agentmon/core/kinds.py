"""The kinds of sources, and what each can tell."""

from agentmon.core.events import Kind

KIND_BIT: dict[Kind, int] = {
    "wire": 1,
    "transcript": 2,
    "rollout": 4,
    "stream": 8,
    "sse": 16,
    "hook": 32,
    "registry": 64,
}
"""The kinds of sources as a bit mask: who told of a session, a prompt, a message."""

STREAMING = KIND_BIT["wire"] | KIND_BIT["stream"] | KIND_BIT["sse"]
"""Kinds that tell a message while it is written."""

TELLING = KIND_BIT["transcript"] | KIND_BIT["rollout"]
"""Kinds that tell a message when it is over."""

STREAM_REQUEST = "stream:"
"""How stream-json, which names no request, is taken to call that of a message: before its name."""

STAND_IN, STAND_IN_CALL = "syn:exec:", "exec:"
"""How names begin that `codex exec --json` gave no better ones (see `Entities._hear_kind`)."""
