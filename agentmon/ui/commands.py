"""Every action of the screen, declared once.

Bindings, footer, command palette and the ? overlay all read `COMMANDS`; `agentmon.ui.actions` has
one method per id. A key may stand in several contexts (Space pauses a live screen and plays a
recording): the context decides.
"""

from typing import Literal

from msgspec import Struct
from textual.binding import Binding

from agentmon.ui.arrangement import PANELS

Context = Literal[
    "any",
    "lists",
    "board",
    "sessions",
    "trees",
    "rounds",
    "stream",
    "round",
    "tools",
    "compare",
    "search",
    "messages",
    "decisions",
    "work",
    "form",
    "live",
    "replay",
]

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
    "search": "In Search",
    "messages": "In Messages",
    "decisions": "In Decisions",
    "work": "In Work",
    "form": "In a form",
    "live": "Live",
    "replay": "Replay and demo",
}
"""Contexts with their headings, in the order of the ? overlay."""

PAGES: tuple[Context, ...] = (
    "round",
    "tools",
    "compare",
    "search",
    "messages",
    "decisions",
    "work",
    "form",
)
"""Contexts of screens that come over the board: see `screens.page`. Commands of other contexts
have their method in `actions`, those of a page on the page, as `do_<id>`."""


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


_C = Command

MAIL_WORDS = 'words, "a phrase", star*, from:, to:, subject:'
"""What can be searched for in messages."""

COMMANDS: tuple[Command, ...] = (
    _C(
        "help",
        ("question_mark",),
        "Help",
        "Keys of this panel and of the program",
        "any",
        2,
        "help",
    ),
    _C("palette", ("ctrl+p",), "Commands", "Search every action by name", "any", 12, "commands"),
    _C("quit", ("q",), "Quit", "Leave agentmon; the agents are not touched", "any", 1, "quit"),
    _C("interrupt", ("ctrl+c",), "Interrupt", "Leave with exit code 130"),
    _C("panel_sessions", ("1",), "Sessions", "Go to the Sessions panel"),
    _C("panel_pending", ("2",), "Pending tools", "Go to the Pending tools panel"),
    _C("panel_rounds", ("3",), "Rounds", "Go to the Rounds panel"),
    _C("panel_stream", ("4",), "Stream", "Go to the Stream panel"),
    _C("next_panel", ("tab",), "Next panel", "Focus the next panel", "board", 9, "panel"),
    _C("previous_panel", ("shift+tab",), "Previous panel", "Focus the panel before", "board"),
    _C("zoom", ("z",), "Zoom", "Give the whole screen to this panel, and back", "board", 8, "zoom"),
    _C(
        "filter",
        ("slash",),
        "Filter",
        "Narrow the board, or search in Rounds and Stream; "
        "words: status: agent: tool: cwd: and ! before a word to invert",
        "board",
        6,
        "filter",
    ),
    _C(
        "search",
        ("F",),
        "Search",
        "Find words in everything said, thought, called and answered, in all sessions",
        "any",
        6,
        "search",
    ),
    _C("edit_search", ("slash",), "Words", "Back to the line with the words", "search", 1, "words"),
    _C(
        "switch_search",
        ("tab", "shift+tab"),
        "Words or hits",
        "From the line with the words to the hits, and back",
        "search",
        2,
        "line or hits",
    ),
    _C("next_match", ("n",), "Next match", "Go to the next match of the filter or search", "board"),
    _C("previous_match", ("N",), "Previous match", "Go to the match before", "board"),
    _C(
        "next_stall",
        ("s",),
        "Next stall",
        "Go to the next stalled, overdue or orphaned agent",
        "any",
        3,
        "stall",
    ),
    _C("previous_stall", ("S",), "Previous stall", "Go to the stall before"),
    _C(
        "next_permission",
        ("p",),
        "Next permission",
        "Go to the next agent that waits for a person",
        "any",
        4,
        "permission",
    ),
    _C(
        "next_error",
        ("e",),
        "Next error",
        "Go to the next older error of any agent",
        "any",
        5,
        "error",
    ),
    _C("previous_error", ("E",), "Previous error", "Go to the next newer error"),
    _C(
        "evidence",
        ("i",),
        "Evidence",
        "What the state of the selected thing rests on",
        "any",
        7,
        "evidence",
    ),
    _C("times", ("t",), "Times", "Relative or absolute times", "any", 13, "times"),
    _C(
        "copy",
        ("y",),
        "Copy",
        "Copy the selected id, or the text in Stream, to the clipboard (OSC 52)",
        "any",
        14,
        "copy",
    ),
    _C(
        "tmux",
        ("o",),
        "Go to its tmux pane",
        "Switch tmux to the pane of the selected agent",
        "any",
        15,
        "its pane",
    ),
    _C("health", ("H",), "Health", "agentmon itself: lag, memory, CPU, backlog, size of the store"),
    _C("theme", (), "Theme", "Choose the colours"),
    _C(
        "round_view",
        ("v",),
        "Round view",
        "The chosen round over time: its blocks and tools as bars, its rates",
        "any",
        16,
        "round view",
    ),
    _C("tab_live", (), "Live", "Go to the board"),
    _C("tab_tools", ("T",), "Tools", "Calls, errors and durations by tool", "any", 12, "tools"),
    _C(
        "tab_messages",
        ("M",),
        "Messages",
        "What agents wrote to each other, and mail to them",
        "any",
        12,
        "messages",
    ),
    _C("tab_decisions", ("D",), "Decisions", "What was decided, by whom and why", "any"),
    _C("tab_work", ("W",), "Work", "Who did what: shares, busy times, files and commits", "any"),
    _C("next_tab", ("greater_than_sign",), "Next tab", "Go to the tab to the right"),
    _C("previous_tab", ("less_than_sign",), "Previous tab", "Go to the tab to the left"),
    _C("down", ("j", "down"), "Down", "One line down", "lists"),
    _C("up", ("k", "up"), "Up", "One line up", "lists"),
    _C("top", ("g",), "Top", "To the first line", "lists"),
    _C("bottom", ("G",), "Bottom", "To the last line; in Stream: follow again", "lists"),
    _C("page_down", ("pagedown",), "Page down", "One page down", "lists"),
    _C("page_up", ("pageup",), "Page up", "One page up", "lists"),
    _C("half_down", ("ctrl+d",), "Half page down", "Half a page down", "lists"),
    _C("half_up", ("ctrl+u",), "Half page up", "Half a page up", "lists"),
    _C(
        "open",
        ("enter",),
        "Open",
        "Drill in: session, round, message, block, subagent",
        "lists",
        10,
        "open",
    ),
    _C(
        "back",
        ("escape",),
        "Back",
        "Back to where you were; close, clear the filter; never quits",
        "lists",
        11,
        "back",
    ),
    _C(
        "sort",
        ("O",),
        "Order",
        "Order sessions by start, name, state or last byte",
        "sessions",
        8,
        "order",
    ),
    _C(
        "mark",
        ("m",),
        "Mark",
        "Mark this session, to compare another one with it; again: take the mark away",
        "sessions",
        16,
        "mark",
    ),
    _C(
        "compare",
        ("c",),
        "Compare",
        "Put this session beside the marked one, and go to where they part",
        "sessions",
        15,
        "compare",
    ),
    _C(
        "order_tools",
        ("O",),
        "Order",
        "Order tools by errors, calls, p95 or name",
        "tools",
        3,
        "sort",
    ),
    _C(
        "window",
        ("w",),
        "Window",
        "Count the calls of the last hour, the last 24 hours, or all",
        "tools",
        4,
        "window",
    ),
    _C("find_mail", ("slash",), "Search", f"Find messages: {MAIL_WORDS}", "messages", 3, "search"),
    _C(
        "compose",
        ("c",),
        "Compose",
        "Write a message to one agent, several, or * for all",
        "messages",
        1,
        "compose",
    ),
    _C("reply", ("r",), "Reply", "Answer the chosen message", "messages", 2, "reply"),
    _C(
        "unread_mail",
        ("u",),
        "Unread",
        "Only messages that somebody has yet to read, or all",
        "messages",
        4,
        "unread",
    ),
    _C(
        "acknowledge",
        ("a",),
        "Acknowledge",
        "Tell the sender that you took note of the chosen message",
        "messages",
        6,
        "ack",
    ),
    _C(
        "sent_from",
        ("w",),
        "Where it was sent",
        "Go to the round that sent the chosen message",
        "messages",
        5,
        "its round",
    ),
    _C(
        "read_in",
        ("R",),
        "Where it was read",
        "Go to the round in which the chosen message was read",
        "messages",
    ),
    _C(
        "switch_mail",
        ("tab", "shift+tab"),
        "List or thread",
        "From the messages to the thread of the chosen one, and back",
        "messages",
        7,
        "list or thread",
    ),
    _C(
        "find_decision",
        ("slash",),
        "Search",
        "Find words in questions, positions, decisions and reasons",
        "decisions",
        3,
        "search",
    ),
    _C(
        "new_decision",
        ("n",),
        "New decision",
        "Write down a question, the positions, and what was decided",
        "decisions",
        1,
        "new",
    ),
    _C(
        "revise",
        ("r",),
        "Revise",
        "Change the chosen decision; what it was before stays in its history",
        "decisions",
        2,
        "revise",
    ),
    _C(
        "status",
        ("u",),
        "Status",
        "Only undecided ones, only decided ones, … or all",
        "decisions",
        5,
        "status",
    ),
    _C(
        "next_category",
        ("l", "right"),
        "Next category",
        "Only decisions of the next category",
        "decisions",
        4,
        "category",
    ),
    _C(
        "previous_category",
        ("h", "left"),
        "Category before",
        "Only decisions of the category before",
        "decisions",
    ),
    _C(
        "decided_in",
        ("w",),
        "Where it was decided",
        "Go to the round in which the chosen decision was made",
        "decisions",
        6,
        "its round",
    ),
    _C(
        "switch_decision",
        ("tab", "shift+tab"),
        "List or decision",
        "From the list to the chosen decision, and back",
        "decisions",
        7,
        "list or detail",
    ),
    _C(
        "work_window",
        ("w",),
        "Window",
        "The last hour, the last 24 hours, or the last 7 days",
        "work",
        1,
        "window",
    ),
    _C(
        "work_measure",
        ("O",),
        "Measure",
        "Shares by all measures together, or by one of them",
        "work",
        2,
        "measure",
    ),
    _C(
        "switch_work",
        ("tab", "shift+tab"),
        "Next panel",
        "Balance, times, work",
        "work",
        3,
        "balance or times",
    ),
    _C(
        "work_kind",
        ("u",),
        "Kind",
        "Only files, only commits, only tests, … or all work",
        "work",
        4,
        "kind",
    ),
    _C("submit", ("ctrl+s",), "Send or save", "Send the message, or save the decision", "form"),
    _C(
        "expand",
        ("l", "right"),
        "Expand",
        "Open this line: show its subagents, messages or blocks",
        "trees",
        9,
        "expand",
    ),
    _C(
        "collapse",
        ("h", "left"),
        "Collapse",
        "Close this line or go to the one above it",
        "trees",
        10,
        "collapse",
    ),
    _C(
        "time_in",
        ("right_square_bracket",),
        "Less time",
        "Show less time, around the chosen row",
        "round",
        8,
        "less time",
    ),
    _C(
        "time_out",
        ("left_square_bracket",),
        "More time",
        "Show more time, at last the whole round",
        "round",
        9,
        "more",
    ),
    _C("time_earlier", ("h", "left"), "Earlier", "Scroll the time axis back", "round"),
    _C("time_later", ("l", "right"), "Later", "Scroll the time axis on", "round"),
    _C("follow", ("f",), "Follow", "Show what the selected agent writes now", "any", 9, "follow"),
    _C(
        "pause",
        ("space",),
        "Pause the screen",
        "Hold the picture; reading goes on",
        "live",
        17,
        "pause",
    ),
    _C("first", ("home",), "First line", "To the first line", "live"),
    _C("last", ("end",), "Last line", "To the last line; in Stream: follow again", "live"),
    _C("play", ("space",), "Play or pause", "Start or hold the recording", "replay", 2, "play"),
    _C("faster", ("plus", "equals_sign"), "Faster", "Double the speed", "replay", 3, "faster"),
    _C("slower", ("minus",), "Slower", "Halve the speed", "replay", 4, "slower"),
    _C("restart", ("home",), "Restart", "Play from the beginning", "replay", 5, "restart"),
    _C("to_end", ("end",), "To the end", "Play the rest as fast as it goes", "replay"),
)

BY_ID: dict[str, Command] = {command.id: command for command in COMMANDS}

PRIORITY = ("interrupt",)
"""Commands whose key works over an input field and every overlay."""


def available(command: Command, panel: str, *, replay: bool) -> bool:
    """Whether a command means something in a panel of the board or on a page."""
    match command.context:
        case "any" | "lists":
            return True
        case "board":
            return panel in PANELS
        case "live":
            return not replay
        case "replay":
            return replay
        case "trees":
            return panel in ("sessions", "rounds")
        case panel_name:
            return panel == panel_name


def bindings() -> list[Binding]:
    """The declarations as Textual bindings; the action is always `do`, the id its argument."""
    return [
        Binding(
            ",".join(command.keys),
            f"do('{command.id}')",
            command.title,
            show=False,
            id=command.id,
            tooltip=command.help,
            priority=command.id in PRIORITY,
        )
        for command in COMMANDS
        if command.keys
    ]


def footer_commands(panel: str, *, replay: bool) -> list[Command]:
    """What the footer offers in a panel, the most wanted first; on a page its own keys, and the
    way out, come before those of the board."""
    shown = [c for c in COMMANDS if c.footer and available(c, panel, replay=replay)]
    if panel in PANELS:
        return sorted(shown, key=lambda command: command.footer)
    first = ("quit", "help", "back", "open")

    def rank(command: Command) -> tuple[int, int]:
        if command.id in first:
            return 0, first.index(command.id)
        return (1 if command.context in (panel, "replay") else 2), command.footer

    return sorted(shown, key=rank)
