"""`agentmon` and `python -m agentmon`."""

import sys


def main() -> None:
    """Runs the command line; the version costs no import beyond this."""
    if sys.argv[1:] == ["--version"]:
        from agentmon import __version__

        sys.stdout.write(f"agentmon {__version__}\n")
        return
    from agentmon.cli import run

    run()


if __name__ == "__main__":
    main()
