"""Stream: the text of one content block as it comes, and for a tool call its result."""

import codecs
import json
from typing import cast

from agentmon.core.text import clean, one_line
from agentmon.engine.feed import Feed
from agentmon.report import render
from agentmon.ui.loading import Source
from agentmon.ui.parts import BLANK, Line, Part
from agentmon.ui.widgets.lines import LinePane
from agentmon.ui.widgets.rounds import span
from agentmon.ui.widgets.sessions import View
from agentmon.ui.wrapping import WrapIndex

WINDOW = 4 << 20
"""Bytes of a block that are shown; of a longer one the end."""

HIDDEN_WIDTH = 80
"""Cells to wrap for until the pane is shown."""

PRETTY_CAP = 256 << 10
"""Bytes of tool arguments up to which they are laid out once they are complete."""


class StreamPane(LinePane):
    """Append-only reading from where it stopped; follows the end until a person scrolls up."""

    NUMBER = 4
    NAME = "Stream"

    def __init__(self, *, id: str, view: View, feed: Feed) -> None:
        super().__init__(id=id, ascii_only=view.ascii_only)
        self.view = view
        self.feed = feed
        self.source = Source()
        self.is_at_end = True
        self.seen_rows = 0
        self.search = ""
        self.result_id = ""
        """The tool_use_id of the result that is shown."""
        self.told_key: tuple[object, ...] = ()
        """Of the text that is shown, where it was told whole."""
        self._index = WrapIndex()
        self._identity: tuple[object, ...] = ()
        self._position = 0
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    # Content

    def show(self, source: Source) -> None:
        """What to show now; text is read on from the last byte unless it was repaired."""
        identity = _identity(source)
        if identity != self._identity or self._has_shrunk(source):
            same_place = identity[:1] == self._identity[:1]
            self._identity = identity
            self._open(source, keep_place=same_place)
        else:
            result = self.source.result
            self.source = source
            source.result = source.result or result
            self._read_on()
        if self.is_at_end:
            self.top = self.last_top
            self.seen_rows = self.count
        self.sync()

    def _has_shrunk(self, source: Source) -> bool:
        """A recording that began again writes the same block anew."""
        return source.block is not None and source.block.stored_bytes < self._position

    def _open(self, source: Source, *, keep_place: bool) -> None:
        """Reads from the start: another thing, a repaired text, or a call that is complete now."""
        self.source = source
        self._index.clear()
        self._index.width = self._text_width
        self._decoder.reset()
        self._position = 0
        self.result_id = ""
        self.told_key = ()
        if source.block is not None:
            if source.told_key:
                self._show_told(source)
            else:
                self._skip_to_window(source.block.stored_bytes)
            self._read_on()
            self._lay_out_call(source)
        elif source.round is not None:
            self._index.append(clean(source.round.user_prompt or ""))
        elif source.message is not None and source.message.error:
            self._note(clean(source.message.error), "error")
        if not keep_place:
            self.is_at_end = source.block is None or not source.is_pinned or _is_open(source)
            self.is_at_end = self.is_at_end and source.round is None
            self.top = 0
        self.seen_rows = self.count

    def _skip_to_window(self, size: int) -> int:
        """Leaves out the start of a text that is longer than the window; how much."""
        if size > WINDOW:
            self._position = size - WINDOW
            self._note(f"the first {render.size(self._position)} are not shown", "text-muted")
            self._index.begin()
        return self._position

    def _show_told(self, source: Source) -> None:
        """A text that was told whole, by a transcript."""
        if source.told_text is None:
            return
        self.told_key = source.told_key
        data = source.told_text.encode("utf-8", "replace")
        start = self._skip_to_window(len(data))
        self._position = 0
        self._index.append(clean(data[start:].decode("utf-8", "ignore")))

    def _read_on(self) -> None:
        block = self.source.block
        if block is None or block.uses_told or block.stored_bytes <= self._position:
            return
        data = self.feed.read_text(
            block.sid, block.flow_id, block.index, self._position, block.stored_bytes
        )
        self._position += len(data)
        text = self._decoder.decode(data)
        if text:
            self._index.append(clean(text))

    def _note(self, text: str, role: str) -> None:
        self._index.begin(role)
        self._index.append(text)

    def _lay_out_call(self, source: Source) -> None:
        """Shows a complete call's arguments one by one, then its result."""
        block = source.block
        if block is None or block.block_type != "tool_use" or not block.is_complete:
            return
        if block.total_bytes <= PRETTY_CAP:
            whole = source.told_text
            if not block.uses_told and block.stored_bytes == block.total_bytes:
                size = block.stored_bytes
                data = self.feed.read_text(block.sid, block.flow_id, block.index, 0, size)
                whole = data.decode("utf-8", "replace")
            self._pretty(whole or "")
        if source.result is None:
            return
        self.result_id = source.result.tool_use_id
        took = ""
        if block.complete_time is not None:
            took = f" · {span(source.result.result_time - block.complete_time)}"
        word = "error" if source.result.is_error else "result"
        dash = "--" if self.ascii_only else "──"
        self._note("", "")
        size = render.size(source.result.content_size)
        self._note(f"{dash} {word}{took} · {size} {dash}", "error" if word == "error" else "accent")
        self._index.begin("error" if word == "error" else "")
        self._index.append(clean((source.result_text or "").rstrip("\n")))

    def _pretty(self, arguments: str) -> None:
        """Arguments as name and value, with real line feeds, where they are a JSON object."""
        try:
            parsed = json.loads(arguments)
        except ValueError:
            return
        if not isinstance(parsed, dict):
            return
        self._index.clear()
        for name, value in cast("dict[str, object]", parsed).items():
            text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            self._note(clean(name, newline=False), "accent")
            self._index.begin()
            self._index.append("\n".join(f"  {line}" for line in clean(text).split("\n")))

    def text(self) -> str:
        """What is shown, cleaned, as one text."""
        return "\n".join(self._index.paragraphs())

    # Scrolling

    @property
    def _text_width(self) -> int:
        # A pane that is hidden has no width yet; wrapping for one cell would be costly.
        return max(1, (self.size.width or HIDDEN_WIDTH) - 2)

    @property
    def count(self) -> int:
        return len(self._index)

    def scroll_rows(self, top: int) -> None:
        self.top = max(0, min(top, self.last_top))
        self.is_at_end = self.top >= self.last_top
        self._seen()
        self.sync()

    def _seen(self) -> None:
        bottom = min(self.count, self.top + self.page)
        self.seen_rows = self.count if self.is_at_end else max(self.seen_rows, bottom)

    def reflow(self) -> None:
        unseen = max(0, self.count - self.seen_rows)
        self.top = self._index.resize(self._text_width, self.top)
        self.top = self.last_top if self.is_at_end else max(0, min(self.top, self.last_top))
        self.seen_rows = max(0, self.count - unseen)

    def find(self, word: str, step: int) -> bool:
        """Scrolls to the next (1) or previous (-1) row with the word, around the end."""
        rows = self._index.rows
        for distance in range(1, len(rows) + 1):
            index = (self.top + step * distance) % len(rows)
            if word in rows[index].lower():
                self.scroll_rows(index)
                return True
        return False

    # Drawing

    def title(self) -> tuple[Line, Line]:
        pieces = [self.NAME]
        source = self.source
        if source.block is not None:
            pieces += [one_line(source.block.flow_id, 12), self._block_name()]
        elif source.message is not None:
            pieces.append(one_line(source.message.flow_id, 12))
        elif source.round is not None:
            pieces.append(f"prompt of #{source.round.round_number}")
        dot = " - " if self.ascii_only else " · "
        return (Part(dot.join(pieces)),), self._mode()

    def _block_name(self) -> str:
        block = self.source.block
        if block is None:
            return ""
        name = block.tool_name or block.block_type or render.UNKNOWN
        return f"{one_line(name, 20)} {render.size(block.total_bytes)}"

    def _mode(self) -> Line:
        down = "v" if self.ascii_only else "▼"
        if self.search:
            return (Part(f"/{one_line(self.search, 20)}", "match"),)
        unseen = self.count - self.seen_rows
        if not self.is_at_end and unseen > 0:
            return (Part(f"{unseen} new {down} G", "warning"),)
        if not self.is_at_end and self.last_top:
            percent = 100 * (self.top + self.page) // max(1, self.count)
            return (Part(f"{min(percent, 100)} %  G end", "text-muted"),)
        if self.source.is_pinned:
            return (
                Part("pinned - f follows" if self.ascii_only else "pinned · f follows", "accent"),
            )
        return (Part(f"following {down}", "success"),) if self.source.sid else BLANK

    def empty(self) -> list[Line]:
        source = self.source
        if source.block is not None and not source.block.is_complete:
            text = "Waiting for its first byte…"
        elif source.block is not None:
            text = "This block has no text."
        elif source.sid:
            text = "Nothing was written yet."
        else:
            text = "Choose a session to see what it writes."
        return [(Part(f" {text}", "text-muted"),)]

    def draw(self, index: int, width: int) -> Line:
        row = self._index.rows[index]
        role = self._index.role(index)
        parts = [Part(" "), *self._marked(row.rstrip(" "), role)]
        if index == self.count - 1 and _is_open(self.source):
            parts.append(Part("_" if self.ascii_only else "▌", "success"))
        return tuple(parts)

    def _marked(self, row: str, role: str) -> list[Part]:
        """The row with what is searched for set off."""
        word, lowered = self.search, row.lower()
        if not word or word not in lowered or len(lowered) != len(row):
            return [Part(row, role)]
        parts: list[Part] = []
        place = 0
        while (found := lowered.find(word, place)) >= 0:
            parts += [Part(row[place:found], role), Part(row[found : found + len(word)], "match")]
            place = found + len(word)
        return [*parts, Part(row[place:], role)]


def _is_open(source: Source) -> bool:
    """Whether more bytes can come to what is shown."""
    block, message = source.block, source.message
    is_broken = message is not None and (message.is_broken or message.is_complete)
    return block is not None and not block.is_complete and not is_broken


def _identity(source: Source) -> tuple[object, ...]:
    """Changes when the text must be read anew: another thing, a repair, a completed call."""
    block = source.block
    if block is None:
        return source.key, 0, False, False
    is_call = block.block_type == "tool_use"
    has_result = is_call and block.result_time is not None
    return source.key, block.revision, is_call and block.is_complete, has_result, source.told_key
