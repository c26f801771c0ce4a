"""Where the two top-level assets are: `schema.sql` and `agentmon.tcss`.

They stand at the top of the repository for readers; a built wheel carries them inside the package.
"""

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def asset(name: str) -> Path:
    """The path of a shipped file, in a wheel or (one level up) in a checkout."""
    packaged = _PACKAGE / name
    return packaged if packaged.is_file() else _PACKAGE.parent / name
