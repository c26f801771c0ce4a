"""What a command is: its keys, its words, and where it means something."""

from typing import Literal, get_args

from msgspec import Struct

PageContext = Literal[
    "round",
    "tools",
    "compare",
    "incidents",
    "search",
    "messages",
    "decisions",
    "work",
    "form",
]
"""Screens that come over the board: see `screens.page`."""

Context = (
    Literal[
        "any",
        "lists",
        "board",
        "sessions",
        "trees",
        "rounds",
        "stream",
        "live",
        "replay",
        "deck",
        "now",
        "past",
    ]
    | PageContext
)

PAGES: tuple[Context, ...] = get_args(PageContext)
"""Commands of other contexts have their method in `actions`, those of a page on the page, as
`do_<id>`."""

CONTEXTS: dict[Context, str] = {
    "any": "Anywhere",
    "lists": "In every panel",
    "board": "On the board",
    "sessions": "In Sessions",
    "trees": "In Sessions and Rounds",
    "rounds": "In Rounds",
    "stream": "In Stream",
    "round": "In the Round view",
    "tools": "In Tools",
    "compare": "In the Compare view",
    "incidents": "In Incidents",
    "search": "In Search",
    "messages": "In Messages",
    "decisions": "In Decisions",
    "work": "In Work",
    "form": "In a form",
    "live": "Live",
    "replay": "Replay and demo",
    "deck": "Replay and demo, on the board",
    "now": "Live, on the board",
    "past": "Back in time",
}
"""Contexts with their headings, in the order of the ? overlay."""


class Command(Struct, frozen=True):
    """One action. `footer` is its rank in the footer: 1 stays longest, 0 is never there."""

    id: str
    keys: tuple[str, ...]
    title: str
    help: str
    context: Context = "any"
    footer: int = 0
    short: str = ""
    """The word in the footer."""

    @property
    def key_label(self) -> str:
        """The keys as a person reads them: "j ↓"."""
        return " ".join(key_name(key) for key in self.keys)


_KEY_NAMES = {
    "up": "↑",
    "down": "↓",
    "left": "←",
    "right": "→",
    "pageup": "PgUp",
    "pagedown": "PgDn",
    "enter": "Enter",
    "escape": "Esc",
    "tab": "Tab",
    "shift+tab": "Shift+Tab",
    "shift+left": "Shift+←",
    "shift+right": "Shift+→",
    "colon": ":",
    "full_stop": ".",
    "apostrophe": "'",
    "backslash": "\\",
    "left_parenthesis": "(",
    "right_parenthesis": ")",
    "left_curly_bracket": "{",
    "right_curly_bracket": "}",
    "space": "Space",
    "home": "Home",
    "end": "End",
    "slash": "/",
    "question_mark": "?",
    "plus": "+",
    "minus": "-",
    "equals_sign": "=",
    "left_square_bracket": "[",
    "right_square_bracket": "]",
    "less_than_sign": "<",
    "greater_than_sign": ">",
}


def key_name(key: str) -> str:
    """Textual's name of a key as it is printed on a keyboard."""
    if key.startswith("ctrl+"):
        return f"Ctrl+{key[5:]}"
    return _KEY_NAMES.get(key, key)
