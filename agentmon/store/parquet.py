"""Parquet needs pyarrow, which is an extra."""

from importlib.util import find_spec


class NoParquet(Exception):
    """pyarrow is not installed; the message says how to get it."""


def has_parquet() -> bool:
    return find_spec("pyarrow") is not None


def need_parquet() -> None:
    """Raises NoParquet."""
    if not has_parquet():
        raise NoParquet("parquet needs pyarrow: `python3 -m pip install 'agentmon[parquet]'`")
