"""The app as its screens know it."""

from typing import ClassVar

from rich.style import Style
from textual._styles_cache import StylesCache
from textual.app import App
from textual.await_complete import AwaitComplete
from textual.color import Color

ROLES = (
    "success",
    "accent",
    "primary",
    "secondary",
    "warning",
    "error",
    "text-muted",
    "text-disabled",
    "strong",
    "rule",
    "rule-focus",
    "title",
    "title-focus",
    "cursor",
    "cursor-blurred",
    "match",
)
"""What a part of a line can be; the style sheet says how each looks."""


def line_class(role: str) -> str:
    """The name of a role in the style sheet."""
    return f"line--{role}"


class Host(App[None]):
    """Typed for screens; `agentmon.ui.app` has the real one. It knows the looks of all roles: a
    widget that had them itself would have them worked out anew with each change of focus."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {line_class(role) for role in ROLES}

    def __init__(self) -> None:
        super().__init__()
        self.inks: dict[tuple[str, Style, Color, Color], Style] = {}
        """What is known of them; another object once they may look otherwise."""

    def notify_style_update(self) -> None:
        self.inks = {}
        super().notify_style_update()

    def ink(self, role: str, base: Style, background: Color, color: Color) -> Style:
        """How a role looks in a widget of this style and these colours: mixed as Textual mixes the
        colours of a child."""
        key = role, base, background, color
        if key not in self.inks:
            self.inks[key] = self._mixed(*key)
        return self.inks[key]

    def _mixed(self, role: str, base: Style, background: Color, color: Color) -> Style:
        styles = self.get_component_styles(line_class(role))
        written = background
        if styles.has_rule("background"):
            background += styles.background
        if styles.has_rule("color"):
            color = styles.color
        if styles.auto_color:
            color = written.get_contrast_text(color.a)
        mixed = Style.from_color((background + color).rich_color, background.rich_color)
        return base + styles.text_style + mixed

    def pop_screen(self) -> AwaitComplete:
        """The lines that a page painted go with it: Textual 8.2.8 holds on to the cache of each
        widget (`lru_cache` on a method), half a megabyte for each page that was ever open."""
        gone = super().pop_screen()
        forget = getattr(getattr(StylesCache, "get_inner_outer", None), "cache_clear", None)
        if forget is not None:
            forget()
        return gone

    def to_terminal(self, sequence: str) -> None:
        """Sends a control sequence of our own making to the terminal; nothing where there is none.
        Never give it a text that an agent wrote."""
        if self._driver is not None and not self.is_headless:
            self._driver.write(sequence)
