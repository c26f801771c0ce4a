"""Lines too long to be held: what a log says in them, with the text streamed to its file."""

from agentmon.core.events import Malformed
from agentmon.sources.lines import HugeLine
from agentmon.sources.sse_lines import Decoded, Decoder
from agentmon.store.deltas import DeltaFiles


def decode_huge(line: HugeLine, decoder: Decoder, files: DeltaFiles) -> list[Decoded]:
    return [Malformed(line.offset, line.size, "too long", line.head[:200])]
