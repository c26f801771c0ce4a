"""How an older database becomes the current one.

Each step is a small function for one schema version, run in one transaction with the row that
records it. `schema.sql` is always the result; a test builds both ways and compares. Views are not
migrated: they are made anew from `schema.sql` (`db`).
"""

import sqlite3
from collections.abc import Callable

Migration = Callable[[sqlite3.Connection], None]

_EVERY_AGENT = """
ALTER TABLE sources ADD COLUMN format TEXT;
ALTER TABLE sources ADD COLUMN decoder BLOB NOT NULL DEFAULT x'';
UPDATE sources SET format = 'sse-lines';
ALTER TABLE sessions ADD COLUMN kinds INTEGER NOT NULL DEFAULT 1;
ALTER TABLE agents ADD COLUMN kind TEXT;
ALTER TABLE agents ADD COLUMN description TEXT;
ALTER TABLE agents ADD COLUMN status TEXT;
ALTER TABLE agents ADD COLUMN last_told REAL;
ALTER TABLE agents ADD COLUMN phase_kind TEXT NOT NULL DEFAULT 'wire';
ALTER TABLE agents ADD COLUMN due_at REAL;
ALTER TABLE agents ADD COLUMN status_time REAL;
CREATE INDEX blocks_by_name ON content_blocks (tool_name, result_time)
  WHERE result_time IS NOT NULL;
ALTER TABLE rounds DROP COLUMN is_aborted;
ALTER TABLE rounds ADD COLUMN told_end REAL;
ALTER TABLE rounds ADD COLUMN aborted_at REAL;
ALTER TABLE rounds ADD COLUMN abort_ends INTEGER NOT NULL DEFAULT 0;
ALTER TABLE rounds ADD COLUMN is_aborted INTEGER GENERATED ALWAYS AS
  (end_time IS NULL AND (is_closed OR aborted_at IS NOT NULL)) VIRTUAL;
ALTER TABLE prompts ADD COLUMN told_round TEXT;
ALTER TABLE prompts ADD COLUMN kinds INTEGER NOT NULL DEFAULT 1;
ALTER TABLE prompts ADD COLUMN told_end REAL;
CREATE INDEX prompts_by_told ON prompts (sid, told_round) WHERE told_round IS NOT NULL;
ALTER TABLE messages DROP COLUMN is_complete;
ALTER TABLE messages ADD COLUMN kinds INTEGER NOT NULL DEFAULT 1;
ALTER TABLE messages ADD COLUMN told_stop TEXT;
ALTER TABLE messages ADD COLUMN is_done INTEGER NOT NULL DEFAULT 0;
ALTER TABLE messages ADD COLUMN is_complete INTEGER GENERATED ALWAYS AS
  (end_time IS NOT NULL OR stop_reason IS NOT NULL OR is_done) VIRTUAL;
CREATE INDEX messages_by_agent ON messages (sid, agent_id, start_time) WHERE agent_id IS NOT NULL;
CREATE INDEX prompts_by_round ON prompts (sid, round_id);
ALTER TABLE content_blocks ADD COLUMN uses_told INTEGER NOT NULL DEFAULT 0;
ALTER TABLE content_blocks ADD COLUMN heard TEXT;
CREATE TABLE told_blocks (
  flow_id     TEXT    NOT NULL,
  block_index INTEGER NOT NULL,
  item_id     TEXT,
  time        REAL    NOT NULL,
  bytes       INTEGER NOT NULL,
  sha256      TEXT    NOT NULL,
  is_exact    INTEGER NOT NULL,
  kind        TEXT    NOT NULL,
  text        TEXT,
  is_cut      INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (flow_id, block_index)
);
CREATE INDEX told_blocks_by_item ON told_blocks (item_id) WHERE item_id IS NOT NULL;
ALTER TABLE tool_results ADD COLUMN rank INTEGER NOT NULL DEFAULT 1;
CREATE TABLE facts (
  sid      TEXT NOT NULL,
  agent_id TEXT NOT NULL,
  name     TEXT NOT NULL,
  value    TEXT NOT NULL,
  time     REAL NOT NULL,
  kind     TEXT NOT NULL,
  PRIMARY KEY (sid, agent_id, name)
) WITHOUT ROWID;
CREATE TABLE testimony (
  sid      TEXT NOT NULL,
  agent_id TEXT NOT NULL,
  kind     TEXT NOT NULL,
  time     REAL NOT NULL,
  said     TEXT NOT NULL,
  PRIMARY KEY (sid, agent_id, kind)
) WITHOUT ROWID;
"""


_QUESTIONS = """
CREATE INDEX rounds_by_id ON rounds (round_id) WHERE prompts > 0;
CREATE INDEX rounds_unended ON rounds (start_time, sid) WHERE prompts > 0 AND end_time IS NULL;
DROP INDEX blocks_by_name;
CREATE INDEX blocks_of_tool ON content_blocks
  (tool_name, complete_time, result_time, result_is_error, no_result_at, block_type)
  WHERE block_type = 'tool_use' AND complete_time IS NOT NULL;
CREATE INDEX blocks_by_duration ON content_blocks
  (tool_name, COALESCE(result_is_error, 0), MAX(result_time - complete_time, 0))
  WHERE block_type = 'tool_use' AND complete_time IS NOT NULL AND result_time IS NOT NULL;
CREATE TABLE unseen (
  began REAL PRIMARY KEY,
  ended REAL NOT NULL
);
CREATE INDEX results_by_session ON tool_results (sid);
CREATE INDEX raw_events_by_session ON raw_events (sid) WHERE sid IS NOT NULL;
CREATE TABLE removals (
  removal_id INTEGER PRIMARY KEY,
  session_id TEXT    NOT NULL,
  state      TEXT    NOT NULL,
  changed_at REAL    NOT NULL,
  file       TEXT,
  archive_bytes INTEGER,
  bytes      INTEGER NOT NULL DEFAULT 0,
  agent      TEXT,
  cwd        TEXT,
  first_time REAL,
  last_time  REAL,
  is_ours    INTEGER NOT NULL DEFAULT 1
);
CREATE INDEX removals_by_session ON removals (session_id);
CREATE INDEX removals_passing ON removals (removal_id)
  WHERE state IN ('archiving', 'leaving', 'returning');
CREATE TABLE cleanups (
  cleanup_id  INTEGER PRIMARY KEY,
  started_at  REAL    NOT NULL,
  ended_at    REAL,
  cause       TEXT    NOT NULL,
  action      TEXT    NOT NULL,
  sessions    INTEGER NOT NULL DEFAULT 0,
  bytes_freed INTEGER NOT NULL DEFAULT 0
);
"""


def _add_every_agent(conn: sqlite3.Connection) -> None:
    """Version 2: sources besides the wire, what they told, and what they said last."""
    _run(conn, _EVERY_AGENT)


def _add_questions(conn: sqlite3.Connection) -> None:
    """Version 3: what queries, search, exports and retention need."""
    _run(conn, _QUESTIONS)


def _run(conn: sqlite3.Connection, script: str) -> None:
    for statement in script.split(";"):
        if statement.strip():
            conn.execute(statement)


MIGRATIONS: tuple[tuple[int, Migration], ...] = ((2, _add_every_agent), (3, _add_questions))
"""(version it leads to, step), in order."""
