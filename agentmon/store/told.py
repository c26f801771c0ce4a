"""When a block's text is the one that was told, and what is kept of that."""

from agentmon.core.model import Block


def uses_told(block: Block) -> bool:
    """Whether a block's text is the one that was told when it was over.

    The streamed text goes before it, unless lines of the stream are missing: an exact text of
    another length says so, and so does a longer one. The arguments of a call are told in another
    spelling than they were streamed in: there the stream counts, once it is whole.
    """
    told = block.told
    if told is None:
        return False
    streamed = block.stored_bytes + block.cut_bytes
    if not streamed:
        return True
    if told.is_exact:
        return told.bytes != streamed
    if (block.block_type or "").endswith("tool_use"):
        return block.stop_time is None and block.message.end_time is None
    return told.bytes > streamed


def told_row(b: Block) -> tuple[object, ...] | None:
    """What was told of a block; its text only while it is needed, or may be."""
    told = b.told
    if told is None or not told.is_dirty:
        return None
    is_open = b.is_started and b.stop_time is None and b.message.end_time is None
    if told.text is not None and not (uses_told(b) or is_open):
        told.text = None
    told.is_dirty = is_open
    flow_id = b.message.flow_id
    return (
        flow_id,
        b.index,
        told.item_id,
        told.time,
        told.bytes,
        told.sha256,
        told.is_exact,
        told.kind,
        told.text,
        told.is_cut,
    )
