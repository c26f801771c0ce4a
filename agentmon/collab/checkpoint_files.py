"""The Parquet files of checkpoints: written whole or not at all, and looked at again."""

import contextlib
import errno
import hashlib
import os
import stat
from collections.abc import Generator, Iterable, Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, BinaryIO
from uuid import uuid4

from msgspec import Struct
from msgspec.structs import asdict

from agentmon.collab.conversations import Record
from agentmon.store.parquet import need_parquet

GROUP_ROWS = 5_000
GROUP_CHARS = 16 << 20
"""A row group ends with either: memory stays bounded however long a conversation is."""

_PIECE = 1 << 20


class Written(Struct):
    """What a file got: the ids of its messages in their order, and their threads."""

    message_ids: list[str] = []
    threads: dict[str, None] = {}


class Stamp(Struct, frozen=True):
    """How large a file is, in bytes, and its SHA-256."""

    size: int
    sha256: str


def write(path: Path, records: Iterable[Record], about: Mapping[str, str]) -> Written:
    """Writes a file that was not there; it gets its name once it is complete and on the disk.
    `about` goes into the file too. Raises NoParquet, FileExistsError, OSError."""
    need_parquet()
    if path.exists():
        raise _taken(path)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{uuid4().hex[:12]}.part")
    try:
        with beside.open("xb") as out:
            os.fchmod(out.fileno(), 0o600)
            written = _write(out, records, about)
            out.flush()
            os.fsync(out.fileno())
        _name(beside, path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            beside.unlink()
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
    return written


def _name(beside: Path, path: Path) -> None:
    """Gives a file its name; unlike a rename, a link never takes the place of another file."""
    try:
        os.link(beside, path)
    except FileExistsError:
        raise _taken(path) from None
    except OSError:  # a file system without links
        if path.exists():
            raise _taken(path) from None
        beside.rename(path)


def _taken(path: Path) -> FileExistsError:
    return FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))


def _write(out: Any, records: Iterable[Record], about: Mapping[str, str]) -> Written:
    arrow: Any = import_module("pyarrow")
    parquet: Any = import_module("pyarrow.parquet")
    schema = _schema(arrow).with_metadata(dict(about))
    written = Written()
    with parquet.ParquetWriter(out, schema, compression="zstd") as writer:
        for group in _groups(records):
            rows = [_row(record) for record in group]
            writer.write_table(arrow.Table.from_pylist(rows, schema=schema))
            written.message_ids += [record.message_id for record in group]
            written.threads.update(dict.fromkeys(record.thread for record in group))
    return written


def _schema(arrow: Any) -> Any:
    text, number = arrow.string(), arrow.int64()
    block = {
        "index": number,
        "type": text,
        "tool_use_id": text,
        "tool_name": text,
        "text": text,
        "result": text,
        "is_error": arrow.bool_(),
    }
    return arrow.schema(
        [
            arrow.field("message_id", text, nullable=False),
            ("time", arrow.timestamp("us", "UTC")),
            ("role", text),
            ("sender", text),
            ("receivers", arrow.list_(text)),
            ("thread", text),
            ("subject", text),
            ("text", text),
            ("reply_to", text),
            ("round_id", text),
            ("model", text),
            ("output_tokens", number),
            ("blocks", arrow.list_(arrow.struct(list(block.items())))),
        ]
    )


def _row(record: Record) -> dict[str, Any]:
    time = record.time
    micros = round(time * 1e6) if time is not None and abs(time) < _LAST else None
    return {**asdict(record), "time": micros}


_LAST = 9e12
"""Seconds; a timestamp of Parquet holds no more."""


def _groups(records: Iterable[Record]) -> Iterator[list[Record]]:
    group: list[Record] = []
    chars = 0
    for record in records:
        group.append(record)
        chars += record.size
        if len(group) >= GROUP_ROWS or chars >= GROUP_CHARS:
            yield group
            group, chars = [], 0
    if group:
        yield group


@contextlib.contextmanager
def _opened(path: Path) -> Generator[BinaryIO, None, None]:
    """Raises OSError; also where it is no regular file."""
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # a FIFO would wait for ever
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise OSError(None, "it is no regular file", str(path))
    with open(fd, "rb") as file:
        yield file


def stamp(path: Path) -> Stamp:
    """Raises OSError; also where it is no regular file."""
    with _opened(path) as file:
        digest, size = hashlib.sha256(), 0
        while piece := file.read(_PIECE):
            digest.update(piece)
            size += len(piece)
    return Stamp(size, digest.hexdigest())


def message_ids(path: Path) -> list[str | None]:
    """What a file has in its column `message_id`, None for each row of one without. Raises
    NoParquet, ValueError where it is no Parquet file, OSError also where it is no regular file."""
    need_parquet()
    arrow: Any = import_module("pyarrow")
    parquet: Any = import_module("pyarrow.parquet")
    with _opened(path) as data:
        try:
            with parquet.ParquetFile(data) as file:
                if "message_id" not in file.schema_arrow.names:
                    return [None] * file.metadata.num_rows
                column: list[Any] = file.read(["message_id"]).column(0).to_pylist()
                return [value if isinstance(value, str) else None for value in column]
        except (arrow.ArrowException, OSError) as problem:
            if isinstance(problem, OSError) and problem.errno is not None:
                raise
            raise ValueError(str(problem).splitlines()[0] if str(problem) else "") from problem
