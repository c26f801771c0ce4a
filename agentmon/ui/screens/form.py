"""A small form over a page: fields to fill in, what is wrong with them in place."""

from collections.abc import Awaitable, Callable, Sequence

from msgspec import Struct
from textual import getters, on
from textual.app import ComposeResult
from textual.containers import Vertical, VerticalScroll
from textual.screen import ModalScreen
from textual.suggester import SuggestFromList
from textual.widgets import Input, TextArea

from agentmon.core.text import clean
from agentmon.ui import commands
from agentmon.ui.host import Host
from agentmon.ui.parts import Line, Part, justify
from agentmon.ui.widgets.bars import Bar

Values = dict[str, str]
"""What stands in the fields, by their names."""

KEYS = ("submit", "back", "interrupt")
"""Commands that mean something in a form; all other keys are letters."""

MOST_WIDE = 100
MOST_HIGH = 34


class Field(Struct, frozen=True):
    """One field. With `rows` above one it takes several lines; `names` complete what is typed."""

    name: str
    label: str
    value: str = ""
    hint: str = ""
    rows: int = 1
    names: Sequence[str] = ()


class FieldError(Exception):
    """A value that cannot be taken; `field` is the name of its field."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(reason)
        self.field = field


class Caption(Bar):
    """Over a field: what it is, and a hint, or what is wrong with it."""

    def __init__(self, field: Field, *, ascii_only: bool) -> None:
        super().__init__(id=f"caption-{field.name}", ascii_only=ascii_only)
        self.field = field
        self.problem = ""

    def line(self, width: int) -> Line:
        label = Part(f" {self.field.label}  ", "title-focus")
        if self.problem:
            glyph = "x" if self.ascii_only else "✕"
            return (label, Part(f"{glyph} {clean(self.problem, newline=False)}", "error"))
        return (label, Part(clean(self.field.hint, newline=False), "text-muted"))


class Words(Bar):
    """The first and the last line of a form."""

    def __init__(self, *, id: str, ascii_only: bool, left: str, right: str = "") -> None:
        super().__init__(id=id, ascii_only=ascii_only)
        self.left, self.right, self.role = left, right, "title-focus"

    def line(self, width: int) -> Line:
        left = Part(f" {clean(self.left, newline=False)}", self.role)
        return justify((left,), (Part(f"{self.right} ", "text-muted"),), width)


class FormScreen(ModalScreen[str | None]):
    """Runs `save` with what was filled in; what it returns is a sentence for the person.

    An error that `save` raises is shown at the field that its `field` names, else in the last
    line, and nothing is lost. The result is the sentence, None where a person left.
    """

    app = getters.app(Host)
    PANEL = "form"
    BINDINGS = [binding for binding in commands.bindings() if binding.id in KEYS]

    def __init__(
        self,
        title: str,
        fields: Sequence[Field],
        save: Callable[[Values], Awaitable[str]],
        *,
        ascii_only: bool,
    ) -> None:
        super().__init__()
        self.set_class(ascii_only, "-plain")
        self.fields = fields
        self.save = save
        dot = " - " if ascii_only else " · "
        keys = dot.join(("Ctrl+S done", "Tab next", "Esc leave"))
        self.top = Words(id="form-title", ascii_only=ascii_only, left=title)
        self.end = Words(id="form-end", ascii_only=ascii_only, left="", right=keys)
        self.captions = {f.name: Caption(f, ascii_only=ascii_only) for f in fields}
        self.inputs: dict[str, Input | TextArea] = {f.name: _input(f) for f in fields}
        self._is_saving = False
        self._is_warned = False

    def compose(self) -> ComposeResult:
        with Vertical(id="form"):
            yield self.top
            with VerticalScroll(id="fields", can_focus=False):
                for field in self.fields:
                    yield self.captions[field.name]
                    yield self.inputs[field.name]
            yield self.end

    def on_mount(self) -> None:
        self._place()
        empty = [field for field in self.fields if not field.value]
        self.inputs[(empty or list(self.fields))[0].name].focus()

    def on_resize(self) -> None:
        self._place()

    def _place(self) -> None:
        size, form = self.app.size, self.query_one("#form")
        rows = sum(field.rows + 1 for field in self.fields)
        form.styles.width = min(size.width - 2, MOST_WIDE)
        form.styles.height = min(rows + 4, size.height, MOST_HIGH)

    # Values

    @property
    def values(self) -> Values:
        return {
            name: widget.text if isinstance(widget, TextArea) else widget.value
            for name, widget in self.inputs.items()
        }

    @property
    def is_touched(self) -> bool:
        return any(self.values[field.name] != field.value for field in self.fields)

    def blame(self, field: str | None, problem: str) -> None:
        """Shows what is wrong, and takes the person there."""
        caption = self.captions.get(field or "")
        if caption is None:
            self._say(problem, "error")
            return
        self._say("", "title-focus")
        caption.problem = problem
        caption.sync()
        widget = self.inputs[caption.field.name]
        widget.focus()
        widget.scroll_visible(animate=False)

    def _say(self, words: str, role: str) -> None:
        self.end.left, self.end.role = words, role
        self.end.sync()

    def _forgive(self) -> None:
        for caption in self.captions.values():
            caption.problem = ""
            caption.sync()
        self._say("", "title-focus")

    # Keys

    async def action_do(self, command_id: str) -> None:
        match command_id:
            case "submit":
                self._submit()
            case "interrupt":
                self.app.exit(return_code=130)
            case _:
                self.do_back()

    def do_submit(self) -> None:
        self._submit()

    def do_back(self) -> None:
        """Leaves; what was written is not lost by one key, and not called lost once it is sent."""
        if self._is_saving:
            self._say("It is on its way: a moment", "warning")
            return
        if self.is_touched and not self._is_warned:
            self._is_warned = True
            self._say("Esc again: what you wrote is lost", "warning")
            return
        self.dismiss(None)

    @on(Input.Changed)
    @on(TextArea.Changed)
    def _changed(self) -> None:
        self._is_warned = False

    @on(Input.Submitted)
    def _entered(self, event: Input.Submitted) -> None:
        """Enter goes on to the next field, and from the last one on."""
        event.stop()
        places = list(self.inputs.values())
        place = places.index(event.input)
        if place + 1 < len(places):
            places[place + 1].focus()
        else:
            self._submit()

    def _submit(self) -> None:
        if not self._is_saving:
            self._is_saving = True
            self.run_worker(self._save(), exit_on_error=False)

    async def _save(self) -> None:
        self._forgive()
        try:
            words = await self.save(self.values)
        except Exception as error:
            # A form that stays with what is wrong loses nothing.
            field = getattr(error, "field", None)
            self.blame(field if isinstance(field, str) else None, str(error) or repr(error))
        else:
            self.dismiss(words)
        finally:
            self._is_saving = False


def _input(field: Field) -> Input | TextArea:
    if field.rows > 1:
        area = TextArea(field.value, id=f"field-{field.name}", compact=True, tab_behavior="focus")
        area.styles.height = field.rows
        return area
    names = [name for name in field.names if clean(name, newline=False) == name]
    suggester = SuggestFromList(names, case_sensitive=False) if names else None
    return Input(
        field.value,
        id=f"field-{field.name}",
        compact=True,
        select_on_focus=False,
        suggester=suggester,
    )
