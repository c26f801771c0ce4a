"""Every action of the screen, declared once: here, and those of pages in `page_commands`.

Bindings, footer, command palette and the ? overlay all read `COMMANDS`; `agentmon.ui.actions` has
one method per id. A key may stand in several contexts (Space pauses a live screen and plays a
recording): the context decides, and in a replay those of its tape deck come first.
"""

from collections.abc import Sequence
from functools import cache

from textual.binding import Binding

from agentmon.ui.arrangement import PANELS
from agentmon.ui.command import CONTEXTS, PAGES, Command, Context, key_name
from agentmon.ui.deck_commands import DECK_COMMANDS, PAST_COMMANDS
from agentmon.ui.page_commands import MAIL_WORDS, PAGE_COMMANDS

__all__ = [
    "BY_ID",
    "COMMANDS",
    "CONTEXTS",
    "MAIL_WORDS",
    "PAGES",
    "PRIORITY",
    "Command",
    "Context",
    "available",
    "bindings",
    "footer_commands",
    "key_name",
    "keys_of",
]

_C = Command

COMMANDS: tuple[Command, ...] = (
    *PAST_COMMANDS,
    *DECK_COMMANDS,
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
    _C(
        "incidents",
        ("P",),
        "Incidents",
        "A post-mortem of the session, or the recording: what happened, where the time went",
        "any",
        16,
        "incidents",
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
        ("m", "C"),
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
    _C("follow", ("f",), "Follow", "Show what the selected agent writes now", "any", 9, "follow"),
    *PAGE_COMMANDS,
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
)

BY_ID: dict[str, Command] = {command.id: command for command in COMMANDS}

PRIORITY = ("interrupt",)
"""Commands whose key works over an input field and every overlay."""


def available(command: Command, panel: str, *, replay: bool, past: bool = False) -> bool:
    """Whether a command means something in a panel of the board or on a page. `past`: in a replay
    of what a live screen showed."""
    match command.context:
        case "any" | "lists":
            return True
        case "board":
            return panel in PANELS
        case "live":
            return not replay
        case "now":
            return not replay and panel in PANELS
        case "past":
            return past and panel in PANELS
        case "replay":
            return replay
        case "deck":
            return replay and panel in PANELS
        case "trees":
            return panel in ("sessions", "rounds")
        case panel_name:
            return panel == panel_name


@cache
def keys_of(command: Command, panel: str, *, replay: bool, past: bool = False) -> tuple[str, ...]:
    """Its keys in a place, without those that mean something to the tape deck there."""
    taken: set[str] = set()
    for other in (*PAST_COMMANDS, *DECK_COMMANDS):
        if other is command:
            break
        if available(other, panel, replay=replay, past=past):
            taken.update(other.keys)
    return tuple(key for key in command.keys if key not in taken)


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


@cache
def footer_commands(panel: str, *, replay: bool, past: bool = False) -> Sequence[Command]:
    """What the footer offers in a panel, the most wanted first; on a page its own keys, and the
    way out, come before those of the board."""
    shown = [
        c
        for c in COMMANDS
        if c.footer
        and available(c, panel, replay=replay, past=past)
        and keys_of(c, panel, replay=replay, past=past)
    ]
    if panel in PANELS:
        return sorted(shown, key=lambda command: command.footer)
    first = ("quit", "help", "back", "open")

    def rank(command: Command) -> tuple[int, int]:
        if command.id in first:
            return 0, first.index(command.id)
        return (1 if command.context in (panel, "replay") else 2), command.footer

    return sorted(shown, key=rank)
