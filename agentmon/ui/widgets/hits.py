"""Hits of a search, two lines each: whose text it is, and the words around what was found."""

from collections.abc import Hashable, Sequence

from agentmon.core.text import clean
from agentmon.report.finding import Answer, Hit, name_of, place_of
from agentmon.report.words import age
from agentmon.ui.parts import BLANK, Line, Part, justify, trim
from agentmon.ui.widgets.lines import KeyedPane
from agentmon.ui.widgets.sessions import View
from agentmon.ui.widgets.strips import Face

GLYPHS = {
    "prompt": ("❯", ">", "accent"),
    "text": ("¶", "t", "success"),
    "thinking": ("∴", "~", "text-muted"),
    "input": ("⚙", "*", "warning"),
    "result": ("←", "<", "primary"),
    "other": ("·", ".", "text-muted"),
}
"""Glyph, its form in ASCII, colour of each kind of text; the word stands beside it."""


class HitsPane(KeyedPane):
    """A row for the head of a hit and one for its snippet; the cursor stands on heads."""

    NAME = "Search"

    def __init__(self, *, id: str, view: View) -> None:
        super().__init__(id=id, ascii_only=view.ascii_only)
        self.view = view
        self.problem = ""
        self.answer: Answer | None = None
        self.is_asked = False
        self._hits: dict[Hashable, Hit] = {}

    def show(self, answer: Answer | None, *, is_asked: bool) -> None:
        self.answer, self.is_asked = answer, is_asked
        self._hits = {hit.found.place: hit for hit in (answer.hits if answer is not None else [])}
        self.set_keys(list(self._hits))
        self.refresh()

    @property
    def chosen(self) -> Hit | None:
        return self._hits.get(self.cursor)

    def title(self) -> tuple[Line, Line]:
        if self.problem:
            return (Part(self.NAME),), (Part(self.problem, "warning"),)
        answer = self.answer
        if answer is None:
            return (Part(self.NAME),), BLANK
        words = [f"{len(answer.hits)}{'+' * answer.has_more}"]
        if answer.is_late:
            words.append("not all was searched")
        if answer.left:
            words.append(f"{answer.left:,} texts to index")
        return (Part(self.NAME),), (Part(", ".join(words), "text-muted"),)

    def empty(self) -> Sequence[Line]:
        if not self.is_asked:
            lines = (
                "Type to search prompts, text, thinking, arguments and results of all sessions:",
                "  all words must be there; newest first",
                '  "side by side"  start*  -without',
                "  tool:Bash  agent:codex  session:api  kind:result  since:2h",
            )
        elif self.answer is not None and self.answer.left is None:
            lines = ("There is no index yet: it is being made.",)
        elif self.answer is not None and self.answer.left:
            lines = ("Nothing was found in what is indexed so far.",)
        else:
            lines = ("Nothing was found.",)
        return [(Part(f" {line}", "text-muted"),) for line in lines]

    # Two lines a hit

    @property
    def page(self) -> int:
        return max(1, (self.size.height - self.head_height) // 2)

    def face(self, y: int) -> Face:
        place = y - self.head_height
        if place < 0 or not self.keys:
            return super().face(y)
        index, line = divmod(place, 2)
        index += self.top
        if index >= self.count or place >= 2 * self.page:
            return Face()
        is_cursor = self.is_cursor_row(index)
        hit = self._hits[self.keys[index]]
        drawn = self._snippet(hit) if line else self.draw(index, self.size.width)
        return Face(trim(drawn, self.size.width), is_cursor, is_cursor)

    def draw(self, index: int, width: int) -> Line:
        hit = self._hits[self.keys[index]]
        found = hit.found
        glyph, plain, role = GLYPHS[found.kind]
        left: Line = (
            Part(f" {plain if self.ascii_only else glyph} {found.kind:<8} ", role),
            Part(clean(name_of(found), newline=False), "strong"),
            Part(
                f"  {clean(place_of(hit), newline=False)}",
                "error" if found.is_error and found.kind == "result" else "",
            ),
        )
        ago = age(max(0.0, self.view.now - found.time))
        return justify(left, (Part(f"{ago} ", "text-muted"),), width)

    def _snippet(self, hit: Hit) -> Line:
        parts, at = [Part("   ")], 0
        for start, end in hit.matches:
            parts += [Part(hit.snippet[at:start]), Part(hit.snippet[start:end], "match")]
            at = end
        return (*parts, Part(hit.snippet[at:]))
