"""The commands of a replay's tape deck. Where a recording is shown, their keys come before others.

Context `replay`: also on pages; `deck`: only on the board, since pages need these keys themselves.
"""

from agentmon.ui.command import Command

_C = Command

MOMENTS = "14:03:20, +90s, -2m, 50%, #1234 or a round"
"""Words for where one can go."""

DECK_COMMANDS: tuple[Command, ...] = (
    _C("play", ("space",), "Play or pause", "Start or hold the recording", "replay", 2, "play"),
    _C(
        "step_on",
        ("right",),
        "Step on",
        "One event on; the recording is held",
        "deck",
        3,
        "step",
    ),
    _C("step_back", ("left",), "Step back", "One event back", "deck", 4, "back"),
    _C(
        "block_on",
        ("shift+right",),
        "Block on",
        "To where the next content block is complete",
        "replay",
        8,
        "block",
    ),
    _C("block_back", ("shift+left",), "Block back", "To where the block before was", "replay"),
    _C("faster", ("plus", "equals_sign"), "Faster", "Double the speed", "replay", 5, "faster"),
    _C("slower", ("minus",), "Slower", "Halve the speed", "replay", 6, "slower"),
    _C("go_to", ("colon",), "Go to", f"Go to {MOMENTS}", "replay", 4, "go to"),
    _C(
        "jump",
        ("J",),
        "Jump",
        "A menu: to the next or last prompt, error, stall, permission wait, slow tool, message, …",
        "replay",
        5,
        "jump",
    ),
    _C("jump_on", ("right_parenthesis",), "Next landmark", "To what happens next", "replay"),
    _C("jump_back", ("left_parenthesis",), "Landmark before", "To what happened before", "replay"),
    _C("error_on", ("e",), "Next error in time", "To the next error or failed call", "replay"),
    _C("error_back", ("E",), "Error before in time", "To the error before this moment", "replay"),
    _C("stall_on", ("s",), "Next stall in time", "To where the next stall begins", "replay"),
    _C("stall_back", ("S",), "Stall before in time", "To the stall before this moment", "replay"),
    _C("wait_on", ("p",), "Next permission in time", "To where a person is next asked", "replay"),
    _C(
        "find_text",
        ("ctrl+f",),
        "Find a text in time",
        "To the moment at which a text was there",
        "replay",
        9,
        "find",
    ),
    _C("find_on", ("right_curly_bracket",), "Find again", "To the next moment with it", "replay"),
    _C("find_back", ("left_curly_bracket",), "Find before", "To the last one before", "replay"),
    _C(
        "mark_moment",
        ("m",),
        "Mark this moment",
        "Mark it with a note, to find it again",
        "replay",
        7,
        "mark",
    ),
    _C("marks", ("apostrophe",), "Marks", "The marked moments, to go to one", "replay"),
    _C("loop_from", ("left_square_bracket",), "Loop from here", "Where a loop begins", "deck"),
    _C(
        "loop_to",
        ("right_square_bracket",),
        "Loop to here",
        "Where it ends: what is between plays again and again",
        "deck",
    ),
    _C("loop_off", ("backslash",), "No loop", "Play on beyond the end of the loop", "replay"),
    _C(
        "collapse_idle",
        ("full_stop",),
        "Collapse idle time",
        "Let long times without any event pass in a second, or again at their length",
        "replay",
        10,
        "idle",
    ),
    _C("restart", ("home",), "To the beginning", "To the beginning", "replay", 11, "start"),
    _C("to_end", ("end",), "To the end", "To the end", "replay", 12, "end"),
)
