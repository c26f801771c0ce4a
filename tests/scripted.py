"""A few lines of Python in a process of their own, forked as commands are: most of such a process's
time would go into imports."""

import sys

from tests.cli_run import Running


def scripted(code: str, *words: object) -> Running:
    """As `python -c code words…`."""
    return Running(code, *words, module="tests.scripted")


def main() -> None:
    _, code, *words = sys.argv
    sys.argv = ["-c", *words]
    exec(compile(code, "<string>", "exec"), {"__name__": "__main__"})


if __name__ == "__main__":
    main()
