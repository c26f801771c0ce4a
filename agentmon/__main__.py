"""`agentmon` and `python -m agentmon`."""

import gc
import sys


def main() -> None:
    """Runs the command line; the version costs no import beyond this, a hook hardly any.

    What is imported stays to the end. The garbage collector would look through all of it again and
    again, and once more as Python ends: a tenth of the time of a short command.
    """
    gc.disable()
    if sys.argv[1:] == ["--version"]:
        from agentmon import __version__

        sys.stdout.write(f"agentmon {__version__}\n")
        return
    if sys.argv[1:2] == ["hook"] and not any(word.startswith("-") for word in sys.argv):
        from agentmon.capture import hook

        hook.main(sys.argv[2:])
    from agentmon.cli import run

    gc.freeze()
    gc.enable()
    try:
        run()
    finally:
        gc.freeze()


if __name__ == "__main__":
    main()
