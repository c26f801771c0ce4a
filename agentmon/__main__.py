"""`agentmon` and `python -m agentmon`."""

import gc
import sys


def main() -> None:
    """Runs the command line; the version costs no import beyond this, a hook hardly any.

    What is imported stays until the end, so the collector never looks at it: neither while it is
    made, nor as a third of what Python does to end.
    """
    if sys.argv[1:] == ["--version"]:
        from agentmon import __version__

        sys.stdout.write(f"agentmon {__version__}\n")
        return
    if sys.argv[1:2] == ["hook"] and not any(word.startswith("-") for word in sys.argv):
        from agentmon.capture import hook

        hook.main(sys.argv[2:])
    gc.disable()
    from agentmon.cli import run

    gc.freeze()
    gc.enable()
    try:
        run()
    finally:
        gc.freeze()


if __name__ == "__main__":
    main()
