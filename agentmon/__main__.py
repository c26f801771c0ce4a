"""`agentmon` and `python -m agentmon`."""

import sys


def main() -> None:
    """Runs the command line; the version costs no import beyond this, a hook hardly any."""
    if sys.argv[1:] == ["--version"]:
        from agentmon import __version__

        sys.stdout.write(f"agentmon {__version__}\n")
        return
    if sys.argv[1:2] == ["hook"] and not any(word.startswith("-") for word in sys.argv):
        from agentmon.capture import hook

        hook.main(sys.argv[2:])
    from agentmon.cli import run

    run()


if __name__ == "__main__":
    main()
