"""What a tap passed on and did not record."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agentmon.capture.proxy import Tap
    from agentmon.capture.recorder import Recorder


def losses(made: "Tap", recorder: "Recorder") -> tuple[int, str]:
    """How many events, and why the last ones."""
    log, behind = recorder.log, made.status().lost
    count = log.lost + behind + recorder.faults + recorder.passed_over
    waits = "the disk did not keep up" if behind else "it could not be read"
    return count, log.problem or waits


def sentence(count: int, reason: str) -> str:
    """The same in words."""
    return f"{count} events were passed on and not recorded: {reason}"
