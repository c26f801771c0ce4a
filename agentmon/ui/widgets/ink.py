"""What roles of text look like: read off the style sheet once for all widgets that are lines.

Textual's component classes do the same for each widget by itself: sixteen virtual nodes that are
styled anew whenever the widget is, and that was most of the time in which a screen opens.
"""

from typing import Any

from rich.style import Style
from textual.app import App
from textual.css.styles import RenderStyles
from textual.widget import Widget

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
"""Each is a class `line--ROLE` of the style sheet."""


class Roles:
    """The rules for each role. They rest on theme and terminal alone, so they hold for all widgets;
    a sheet that was read anew (another theme) has others."""

    def __init__(self, app: App[Any]) -> None:
        self._app = app
        self._sheet: object = None
        self._is_ansi = False
        self._found: dict[str, RenderStyles] = {}

    def current(self) -> object:
        """Another object once the rules may have changed."""
        sheet, is_ansi = self._app.stylesheet.rules, self._app.native_ansi_color
        if sheet is not self._sheet or is_ansi != self._is_ansi:
            self._sheet, self._is_ansi, self._found = sheet, is_ansi, {}
        return self._found

    def rules(self, role: str) -> RenderStyles:
        """What the style sheet says of a role."""
        self.current()
        if role not in self._found:
            node = Widget(classes=f"line--{role}")
            self._app.stylesheet.apply(node)  # pyright: ignore[reportUnknownMemberType]
            self._found[role] = node.styles
        return self._found[role]


class Ink:
    """The styles of a widget, by role; for as long as its own styles stay as they are."""

    def __init__(self, widget: Widget, roles: Roles) -> None:
        self.base = widget.rich_style
        self._roles = roles
        self._sheet = roles.current()
        self._background = widget.background_colors[1]
        self._color = widget.colors[3]
        self._styles: dict[str, Style] = {}

    @property
    def is_stale(self) -> bool:
        """Whether the rules may be others by now."""
        return self._roles.current() is not self._sheet

    def style(self, role: str) -> Style:
        """As of a text in the widget that has the class of the role."""
        found = self._styles.get(role)
        if found is None:
            found = self._styles[role] = self._mix(self._roles.rules(role))
        return found

    def _mix(self, rules: RenderStyles) -> Style:
        background = self._background
        if rules.has_rule("background"):
            background += rules.background
        color = rules.color if rules.has_rule("color") else self._color
        if rules.has_rule("auto_color") and rules.auto_color:
            color = background.get_contrast_text(color.a)
        return (
            self.base
            + rules.text_style
            + Style.from_color((background + color).rich_color, background.rich_color)
        )
