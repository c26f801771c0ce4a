"""Styles of roles: the same as Textual's own component classes would give each widget."""

from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import pytest
from rich.style import Style
from textual.app import ComposeResult
from textual.containers import Container
from textual.geometry import Region
from textual.widget import Widget

from agentmon.assets import asset
from agentmon.ui.host import ROLES, Host, line_class
from tests.deep import only_deep
from tests.ui_app import shown
from tests.ui_store import StoreFeed, UiStore


class Plain(Widget):
    """As Textual does it: with component classes of its own."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {line_class(role) for role in ROLES}


class Probe(Host):
    CSS_PATH = asset("agentmon.tcss")

    def compose(self) -> ComposeResult:
        yield Plain(id="header")
        with Container(id="form"):
            yield Plain(id="problem")


@pytest.mark.parametrize("is_plain", [False, True])
@pytest.mark.parametrize("step", [8, *only_deep(1)])
async def test_as_component_classes_in_every_theme(
    is_plain: bool, step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the themes one in `step`."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    if is_plain:
        monkeypatch.setenv("NO_COLOR", "1")
    app = Probe()
    seen: set[Style] = set()
    async with app.run_test() as pilot:
        for theme in [*app.available_themes][::step]:
            app.theme = theme
            await pilot.pause()
            for widget in app.query(Plain):
                for role in ROLES:
                    ours = app.ink(role, widget.rich_style, *widget.colors[2:])
                    assert ours == widget.get_component_rich_style(line_class(role)), (theme, role)
                    if role == "title-focus":
                        seen.add(ours)
                    if role.startswith("cursor") and (is_plain or app.native_ansi_color):
                        assert ours.reverse or ours.underline
    assert len(seen) > 10 // step  # themes do differ


async def test_another_theme_is_painted_at_once(tmp_path: Path) -> None:
    """One that differs in the colour of a role, and in no style that a widget has itself."""
    feed = StoreFeed(UiStore(tmp_path / "store"))
    async with shown(feed) as screen:
        theirs = screen.app.available_themes["textual-dark"]
        screen.app.register_theme(replace(theirs, name="other", accent="#a04010"))
        pane = screen.main.sessions
        found: list[set[Style | None]] = []
        for theme in ("textual-dark", "other"):
            screen.app.theme = theme
            await screen.settle()
            strips = pane.render_lines(Region(0, 0, *pane.size))
            found.append({segment.style for strip in strips for segment in strip})
        assert found[0] != found[1]
