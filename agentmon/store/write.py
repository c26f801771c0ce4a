"""One batch = one transaction: changed rows, not events, together with the source positions.

`collect` copies everything out of the fold's state, so the fold may go on while the batch is
written in another thread. `Batch.apply` puts the text into its files first and then commits: after
a kill in between, the files are longer than committed, and what is too long does not exist.
"""

import os
import sqlite3
from collections.abc import Sequence
from hashlib import sha256
from typing import Any

import msgspec
from msgspec import Struct, field

from agentmon.core.kinds import KIND_BIT, STREAMING
from agentmon.core.model import Block, Message, Saved
from agentmon.core.state import Changes, State
from agentmon.store.db import transaction
from agentmon.store.deltas import SPOOL, DeltaFiles, block_path, path_now, result_path
from agentmon.store.load import StoreLoader
from agentmon.store.search_queue import BLOCKS, PROMPTS, QUEUE, RESULTS
from agentmon.store.statements import (
    BLOCK,
    COUNT,
    DROP_STAND_INS,
    FACT,
    LOG,
    MESSAGE,
    MOVE,
    PROMPT,
    PROMPT_FIELDS,
    RENAME,
    RESULT,
    RETIME,
    ROUND,
    ROUND_FIELDS,
    SESSION,
    SOURCE,
    SOURCE_FIELDS,
    STREAM,
    TESTIMONY,
    THREAD,
    TOLD,
    SourceValues,
    Values,
    block_row,
    message_row,
    notice_row,
    session_row,
    stream_rows,
    thread_row,
    values_of,
)
from agentmon.store.texts import Append, TextChange, change_text, preview
from agentmon.store.told import told_row, uses_told

LARGE_RESULT = 10 * 1024
"""Bytes from which a tool result goes into a file (design.md 4)."""
RESULT_PREVIEW = 500
"""Characters of such a result kept in its row."""


class Batch(Struct):
    """Everything one commit does. `number` is the fold's batch it comes from."""

    number: int
    statements: list[tuple[str, list[Values]]] = field(default_factory=list[Any])
    appends: list[Append] = field(default_factory=list[Append])
    whole_files: list[tuple[str, bytes]] = field(default_factory=list[Any])
    operations: list[tuple[str | None, str]] = field(default_factory=list[Any])
    is_committed: bool = False

    def add(self, sql: str, rows: list[Values]) -> None:
        if rows:
            self.statements.append((sql, rows))

    @property
    def is_empty(self) -> bool:
        return not (self.statements or self.appends or self.whole_files)

    def apply(self, conn: sqlite3.Connection, files: DeltaFiles) -> None:
        """Raises OSError or sqlite3.Error, and may then be called again, until it works."""
        if not self.is_committed:
            for path, data in self.whole_files:
                files.write_whole(path, data)
            for append in self.appends:
                files.append(append.path, append.at, append.data)
            with transaction(conn):
                for sql, rows in self.statements:
                    conn.executemany(sql, rows)
            self.is_committed = True
        if self.operations:
            files.carry_out(self.operations)
            with transaction(conn):
                conn.execute("DELETE FROM file_ops")


class _PastTexts:
    """What is committed of a block, from the tables and its file."""

    def __init__(self, loader: StoreLoader, files: DeltaFiles) -> None:
        self.deltas = loader.deltas
        self._files = files

    def text(self, path: str, size: int) -> bytes:
        return self._files.read(path, 0, size)


class Collector:
    """Turns what changed in a state into batches."""

    def __init__(self, state: State, loader: StoreLoader, files: DeltaFiles) -> None:
        self._state = state
        self._files = files
        self._past = _PastTexts(loader, files)
        self._marks = 0

    def collect(self, sources: Sequence[SourceValues]) -> Batch:
        """The next batch. Call it only when the one before is committed."""
        state = self._state
        batch = Batch(state.batch)
        changes = state.take_changes()
        moved = [m for m in changes.messages if m.moved_from is not None]
        for message in moved:
            self._move(batch, message)
        for sid in changes.replaced:
            for sql in DROP_STAND_INS:
                batch.add(sql, [(sid,)])
        for flow_id in changes.absorbed:
            self._delete(batch, flow_id)
        for table in ("content_blocks", "told_blocks"):
            batch.add(
                f"DELETE FROM {table} WHERE flow_id = ? AND block_index = ?", changes.left_blocks
            )
        batch.add(MOVE, changes.moves)
        batch.add(RENAME, changes.renames)
        batch.add(SESSION, [session_row(session) for session in changes.sessions])
        batch.add(THREAD, [thread_row(thread) for thread in changes.threads])
        batch.add(ROUND, [values_of(r, ROUND_FIELDS) for r in changes.rounds])
        batch.add(PROMPT, [values_of(p, PROMPT_FIELDS) for p in changes.prompts])
        batch.add(MESSAGE, [message_row(message) for message in changes.messages])
        batch.add(RETIME, [*changes.retimed.items()])
        self._blocks(batch, changes.blocks)
        self._results(batch, changes.results)
        batch.add(
            "UPDATE tool_results SET is_error = ? WHERE tool_use_id = ? AND is_error IS NULL",
            changes.verdicts_of_results,
        )
        self._to_search(batch, changes)
        self._told(batch, changes)
        batch.operations += [(None, file) for file in changes.dropped]
        self._announce(batch)
        batch.add(
            "INSERT INTO notices (sid, time, name, flow_id, agent_id, data)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            [notice_row(said.time, said.event) for said in changes.notices],
        )
        self._oddities(batch, changes.raw, changes.bad)
        batch.add(STREAM, [row for stream in changes.streams for row in stream_rows(stream)])
        if batch.statements or sources:
            batch.add(SOURCE, [tuple(getattr(s, f) for f in SOURCE_FIELDS) for s in sources])
            counts = msgspec.structs.asdict(state.counts)
            batch.add(COUNT, [*counts.items(), ("next_seq", state.seq)])
        return batch

    def _move(self, batch: Batch, message: Message) -> None:
        """A message changes its flow_id: its rows go, and come again under the new one."""
        self._delete(batch, message.moved_from)
        message.moved_from = None

    def _delete(self, batch: Batch, flow_id: str | None) -> None:
        for table in ("messages", "content_blocks", "told_blocks", "delta_log"):
            batch.add(f"DELETE FROM {table} WHERE flow_id = ?", [(flow_id,)])

    def _to_search(self, batch: Batch, changes: Changes) -> None:
        """Where the index has to look: texts that are whole, new or not."""
        found: list[Values] = [
            (BLOCKS, block.message.flow_id, block.index)
            for block in changes.blocks
            if block.complete_time is not None and block.total_bytes
        ]
        found += [(RESULTS, saved.result.tool_use_id, 0) for saved in changes.results]
        found += [(PROMPTS, prompt.sid, prompt.ordinal) for prompt in changes.prompts]
        batch.add(QUEUE, found)

    def _told(self, batch: Batch, changes: Changes) -> None:
        """What is known by name, and what each kind of source said last."""
        facts = [
            (sid, agent_id, name, msgspec.json.encode(value).decode(), time, kind)
            for (sid, agent_id, name), (value, time, kind) in changes.facts.items()
        ]
        batch.add(FACT, facts)
        rows: list[Values] = [(*key, time, said) for key, (time, said) in changes.testimony.items()]
        for thread in changes.threads:
            if thread.last_byte > thread.wire_time:
                thread.wire_time = thread.last_byte
                kinds = self._state.sessions[thread.sid].kinds
                kind = next((k for k, bit in KIND_BIT.items() if kinds & bit & STREAMING), None)
                if kind is not None:
                    rows.append((thread.sid, thread.agent_id, kind, thread.last_byte, thread.phase))
        batch.add(TESTIMONY, rows)

    # -- blocks

    def _blocks(self, batch: Batch, blocks: Sequence[Block]) -> None:
        rows: list[Values] = []
        log: list[Values] = []
        told: list[Values] = []
        for block in blocks:
            change = change_text(block, self._past)
            if change is not None:
                self._text(batch, block, change, log)
            if block.told is not None:
                is_told = uses_told(block)
                block.total_bytes = (
                    block.told.bytes if is_told else block.stored_bytes + block.cut_bytes
                )
            if (
                block.input_preview is None
                and block.complete_time is not None
                and (block.block_type == "tool_use")
            ):
                block.input_preview = self._preview(block, change)
            rows.append(block_row(block))
            if block.told is not None and (row := told_row(block)) is not None:
                told.append(row)
        batch.add(BLOCK, rows)
        batch.add(TOLD, told)
        batch.add(LOG, log)

    def _text(self, batch: Batch, block: Block, change: TextChange, log: list[Values]) -> None:
        flow_id, index = block.message.flow_id, block.index
        if change.drop_log:
            batch.add(
                "DELETE FROM delta_log WHERE flow_id = ? AND block_index = ?", [(flow_id, index)]
            )
        log.extend((flow_id, index, chunk, count, data) for chunk, count, data in change.log)
        file = change.file
        if isinstance(file, Append) and (file.at or block.message.is_started):
            batch.appends.append(file)
        elif file is not None:
            # a message without its start may have another name once that comes: a file under this
            # one, of a batch that was not committed, would be nobody's
            self._aside(batch, file.path, file.data)
        if change.left is not None:
            batch.operations.append((None, change.left))

    def _aside(self, batch: Batch, path: str, data: bytes) -> None:
        """A text that takes its place after the commit."""
        self._marks += 1
        beside = f"{SPOOL}/{os.getpid()}-text-{self._marks}.txt"
        self._files.close(path)
        batch.whole_files.append((beside, data))
        batch.operations.append((beside, path))

    def _announce(self, batch: Batch) -> None:
        """Writes down what is to be done with files after the commit.

        Where a text begins whose place another one leaves, that one is needed until then.

        A path that somebody moves in or appends to is not deleted: doing it all again after a
        crash must not hurt.
        """
        if not batch.operations:
            return
        left = {target for source, target in batch.operations if source is None}
        begun = [append for append in batch.appends if not append.at and append.path in left]
        for append in begun:
            batch.appends.remove(append)
            self._aside(batch, append.path, append.data)
        taken = {target for source, target in batch.operations if source is not None}
        taken.update(append.path for append in batch.appends)
        batch.operations = [
            (source, target)
            for source, target in batch.operations
            if source is not None or target not in taken
        ]
        batch.add("INSERT INTO file_ops (source, target) VALUES (?, ?)", [*batch.operations])

    def _preview(self, block: Block, change: TextChange | None) -> str:
        if block.told is not None and block.told.text is not None and uses_told(block):
            return preview(block.told.text)
        file = change.file if change is not None else None
        if file is not None and (not isinstance(file, Append) or file.at == 0):
            data = file.data
        else:
            path = block_path(block.message.session.sid, block.message.flow_id, block.index)
            before = file.at if isinstance(file, Append) else block.stored_bytes
            data = self._past.text(path, before)
            data += file.data if file is not None else b""
        return preview(data.decode("utf-8", "replace"))

    # -- results, and what was not understood

    def _results(self, batch: Batch, results: Sequence[Saved]) -> None:
        rows: list[Values] = []
        for saved in results:
            result = saved.result
            content, file, size, digest = result.text, result.file, result.size, result.sha256
            if size < 0:
                data = content.encode("utf-8", "replace")
                size, digest = len(data), sha256(data).hexdigest()
                if size > LARGE_RESULT:
                    file = result_path(saved.sid, result.tool_use_id)
                    batch.whole_files.append((file, data))
            elif file is not None:
                # a text that was streamed aside takes its place after the commit
                batch.operations.append((file, result_path(saved.sid, result.tool_use_id)))
                file = result_path(saved.sid, result.tool_use_id)
            if file is not None:
                content = content[:RESULT_PREVIEW]
            rows.append(
                (
                    result.tool_use_id,
                    saved.sid,
                    result.is_error,
                    size,
                    digest,
                    content,
                    file,
                    saved.time,
                    saved.rank,
                )
            )
        batch.add(RESULT, rows)

    def _oddities(self, batch: Batch, raw: Sequence[Any], bad: Sequence[Any]) -> None:
        batch.add(
            "INSERT INTO raw_events (source_id, offset, sid, time, event, digest, raw, size)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            [
                (e.source, e.offset, e.sid or None, time, e.name, digest, e.raw, e.size)
                for digest, e, time in raw
            ],
        )
        batch.add(
            "INSERT OR IGNORE INTO bad_lines (source_id, offset, size, reason, digest, head)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            [(b.source, b.offset, b.size, b.reason, digest, b.head) for digest, b in bad],
        )


def recover(conn: sqlite3.Connection, files: DeltaFiles) -> None:
    """After a crash: carries out announced file operations, cuts open blocks' files to length."""
    pending = conn.execute("SELECT source, target FROM file_ops ORDER BY op_id").fetchall()
    if pending:
        files.carry_out((source, path_now(target)) for source, target in pending)
        with transaction(conn):
            conn.execute("DELETE FROM file_ops")
    sql = """SELECT sid, flow_id, block_index, stored_bytes FROM content_blocks
             WHERE complete_time IS NULL"""
    for sid, flow_id, index, size in conn.execute(sql):
        cut_back(files, block_path(sid, flow_id, index), size)


def cut_back(files: DeltaFiles, path: str, size: int) -> None:
    """Cuts a file that is longer than committed; makes none. One that is lent stays as it is."""
    full = files.data_dir / path
    if full.is_symlink():
        return
    try:
        if full.stat().st_size > size:
            with full.open("r+b") as handle:
                handle.truncate(size)
    except FileNotFoundError:
        return
