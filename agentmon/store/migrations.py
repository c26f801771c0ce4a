"""How an older database becomes the current one.

Each step is a small function for one schema version, run in one transaction with the row that
records it. `schema.sql` is always the result; a test builds both ways and compares. Views are not
migrated: they are made anew from `schema.sql` (`db`).
"""

import sqlite3
from collections.abc import Callable, Iterator

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
CREATE TABLE search_queue (
  seq    INTEGER PRIMARY KEY,
  kind   INTEGER NOT NULL,
  owner  TEXT    NOT NULL,
  number INTEGER NOT NULL
);
"""

_TALK = """
ALTER TABLE sessions ADD COLUMN host TEXT;
CREATE TABLE agent_messages (
  seq           INTEGER PRIMARY KEY,
  message_id    TEXT    NOT NULL UNIQUE,
  thread_id     TEXT    NOT NULL,
  reply_to      TEXT,
  sender        TEXT    NOT NULL,
  receivers     TEXT    NOT NULL,
  type          TEXT    NOT NULL,
  priority      TEXT    NOT NULL DEFAULT 'normal',
  subject       TEXT    NOT NULL,
  body          TEXT    NOT NULL,
  sent_at       REAL    NOT NULL,
  archived_at   REAL    NOT NULL,
  ack_required  INTEGER NOT NULL DEFAULT 0,
  work_completed TEXT,
  context_understanding TEXT,
  origin        TEXT    NOT NULL,
  host          TEXT,
  session_id    TEXT,
  thread_agent  TEXT,
  round_id      TEXT,
  tool_use_id   TEXT
);
CREATE INDEX agent_messages_by_thread ON agent_messages (thread_id, seq);
CREATE INDEX agent_messages_by_sender ON agent_messages (sender, seq);
CREATE INDEX agent_messages_by_call   ON agent_messages (tool_use_id) WHERE tool_use_id IS NOT NULL;
CREATE INDEX agent_messages_by_time   ON agent_messages (sent_at);
CREATE TABLE agent_deliveries (
  receiver      TEXT    NOT NULL,
  seq           INTEGER NOT NULL,
  delivered_at  REAL,
  read_at       REAL,
  acked_at      REAL,
  session_id    TEXT,
  round_id      TEXT,
  PRIMARY KEY (receiver, seq)
) WITHOUT ROWID;
CREATE INDEX agent_deliveries_by_message ON agent_deliveries (seq);
CREATE INDEX agent_deliveries_unread     ON agent_deliveries (receiver, seq) WHERE read_at IS NULL;
CREATE INDEX agent_deliveries_waiting    ON agent_deliveries (seq) WHERE read_at IS NULL;
CREATE TABLE agent_names (
  name       TEXT PRIMARY KEY,
  first_seen REAL NOT NULL,
  last_seen  REAL NOT NULL,
  session_id TEXT,
  host       TEXT
) WITHOUT ROWID;
CREATE VIRTUAL TABLE agent_messages_text USING fts5 (
  sender, receivers, subject, body,
  content = 'agent_messages', content_rowid = 'seq', tokenize = 'unicode61', prefix = '1 2'
);
CREATE TRIGGER agent_messages_indexed AFTER INSERT ON agent_messages BEGIN
  INSERT INTO agent_messages_text (rowid, sender, receivers, subject, body)
  VALUES (new.seq, new.sender, new.receivers, new.subject, new.body);
END;
CREATE TRIGGER agent_messages_unindexed AFTER DELETE ON agent_messages BEGIN
  INSERT INTO agent_messages_text (agent_messages_text, rowid, sender, receivers, subject, body)
  VALUES ('delete', old.seq, old.sender, old.receivers, old.subject, old.body);
END;
CREATE TABLE agent_outbox (
  outbox_id  INTEGER PRIMARY KEY,
  message_id TEXT    NOT NULL,
  transport  TEXT    NOT NULL,
  receiver   TEXT    NOT NULL,
  queued_at  REAL    NOT NULL,
  UNIQUE (transport, message_id, receiver)
);
CREATE TABLE agent_receipts (
  receiver  TEXT    NOT NULL,
  seq       INTEGER NOT NULL,
  transport TEXT    NOT NULL,
  due       INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (receiver, seq)
) WITHOUT ROWID;
CREATE INDEX agent_receipts_due ON agent_receipts (transport, seq) WHERE due = 1;
CREATE TRIGGER agent_receipts_marked
AFTER UPDATE OF delivered_at, read_at, acked_at ON agent_deliveries BEGIN
  UPDATE agent_receipts SET due = 1 WHERE receiver = new.receiver AND seq = new.seq;
END;
CREATE TABLE work_events (
  event_id      INTEGER PRIMARY KEY,
  event_key     TEXT    NOT NULL UNIQUE,
  time          REAL    NOT NULL,
  kind          TEXT    NOT NULL,
  agent         TEXT    NOT NULL,
  summary       TEXT    NOT NULL DEFAULT '',
  lines_added   INTEGER,
  lines_deleted INTEGER,
  commit_hash   TEXT,
  is_success    INTEGER,
  metadata      TEXT    NOT NULL DEFAULT '{}',
  origin        TEXT    NOT NULL,
  session_id    TEXT,
  thread_agent  TEXT,
  round_id      TEXT,
  tool_use_id   TEXT
);
CREATE INDEX work_events_by_time  ON work_events (time);
CREATE INDEX work_events_by_agent ON work_events (agent, time);
CREATE INDEX work_events_by_kind  ON work_events (kind, time);
CREATE INDEX work_events_by_call  ON work_events (tool_use_id) WHERE tool_use_id IS NOT NULL;
CREATE TABLE work_files (
  path          TEXT    NOT NULL,
  event_id      INTEGER NOT NULL,
  lines_added   INTEGER,
  lines_deleted INTEGER,
  PRIMARY KEY (path, event_id)
) WITHOUT ROWID;
CREATE INDEX work_files_by_event ON work_files (event_id);
CREATE TABLE derivations (
  name       TEXT PRIMARY KEY,
  version    INTEGER NOT NULL,
  read_to    INTEGER NOT NULL,
  scanned_to INTEGER,
  heard_to   INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE decisions (
  number      INTEGER PRIMARY KEY,
  decision_id TEXT    NOT NULL UNIQUE,
  revision    INTEGER NOT NULL,
  question    TEXT    NOT NULL,
  category    TEXT    NOT NULL,
  positions   TEXT    NOT NULL DEFAULT '{}',
  decision    TEXT,
  rationale   TEXT    NOT NULL DEFAULT '',
  method      TEXT,
  participants TEXT   NOT NULL DEFAULT '[]',
  files       TEXT    NOT NULL DEFAULT '[]',
  status      TEXT    NOT NULL,
  impact      INTEGER,
  created_at  REAL    NOT NULL,
  created_by  TEXT    NOT NULL,
  updated_at  REAL    NOT NULL,
  origin      TEXT    NOT NULL,
  session_id  TEXT,
  round_id    TEXT,
  tool_use_id TEXT
);
CREATE INDEX decisions_by_category ON decisions (category, updated_at);
CREATE INDEX decisions_by_status   ON decisions (status, updated_at);
CREATE INDEX decisions_by_time     ON decisions (updated_at);
CREATE UNIQUE INDEX decisions_by_call ON decisions (tool_use_id, question)
  WHERE tool_use_id IS NOT NULL;
CREATE TABLE decision_revisions (
  decision_id TEXT    NOT NULL,
  revision    INTEGER NOT NULL,
  changed_at  REAL    NOT NULL,
  changed_by  TEXT    NOT NULL,
  reason      TEXT    NOT NULL,
  state       TEXT    NOT NULL,
  PRIMARY KEY (decision_id, revision)
) WITHOUT ROWID;
CREATE VIRTUAL TABLE decisions_text USING fts5 (
  question, category, positions, decision, rationale, files,
  content = '', tokenize = 'unicode61'
);
CREATE TRIGGER decisions_indexed AFTER INSERT ON decisions BEGIN
  INSERT INTO decisions_text (rowid, question, category, positions, decision, rationale, files)
  VALUES (new.number, new.question, new.category,
    (SELECT group_concat(key || ' ' || value, ' ') FROM json_each(new.positions)),
    new.decision, new.rationale, (SELECT group_concat(value, ' ') FROM json_each(new.files)));
END;
CREATE TRIGGER decisions_unindexed AFTER DELETE ON decisions BEGIN
  INSERT INTO decisions_text
    (decisions_text, rowid, question, category, positions, decision, rationale, files)
  VALUES ('delete', old.number, old.question, old.category,
    (SELECT group_concat(key || ' ' || value, ' ') FROM json_each(old.positions)),
    old.decision, old.rationale, (SELECT group_concat(value, ' ') FROM json_each(old.files)));
END;
CREATE TRIGGER decisions_reindexed AFTER UPDATE ON decisions BEGIN
  INSERT INTO decisions_text
    (decisions_text, rowid, question, category, positions, decision, rationale, files)
  VALUES ('delete', old.number, old.question, old.category,
    (SELECT group_concat(key || ' ' || value, ' ') FROM json_each(old.positions)),
    old.decision, old.rationale, (SELECT group_concat(value, ' ') FROM json_each(old.files)));
  INSERT INTO decisions_text (rowid, question, category, positions, decision, rationale, files)
  VALUES (new.number, new.question, new.category,
    (SELECT group_concat(key || ' ' || value, ' ') FROM json_each(new.positions)),
    new.decision, new.rationale, (SELECT group_concat(value, ' ') FROM json_each(new.files)));
END;
CREATE TABLE daily_metrics (
  day    TEXT NOT NULL,
  agent  TEXT NOT NULL,
  metric TEXT NOT NULL,
  value  REAL NOT NULL,
  PRIMARY KEY (day, agent, metric)
) WITHOUT ROWID;
CREATE TABLE config (
  name       TEXT PRIMARY KEY,
  type       TEXT NOT NULL,
  value      TEXT NOT NULL,
  changed_at REAL NOT NULL,
  changed_by TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE config_history (
  change_id  INTEGER PRIMARY KEY,
  name       TEXT NOT NULL,
  type       TEXT,
  value      TEXT,
  changed_at REAL NOT NULL,
  changed_by TEXT NOT NULL,
  reason     TEXT NOT NULL DEFAULT ''
);
CREATE INDEX config_history_by_name ON config_history (name, change_id);
CREATE TABLE checkpoints (
  checkpoint_id TEXT PRIMARY KEY,
  kind          TEXT    NOT NULL,
  conversation  TEXT    NOT NULL,
  parent_id     TEXT,
  path          TEXT    NOT NULL,
  created_at    REAL    NOT NULL,
  message_count INTEGER NOT NULL,
  row_count     INTEGER NOT NULL,
  first_message TEXT,
  last_message  TEXT,
  summary       TEXT    NOT NULL DEFAULT '',
  entities      TEXT    NOT NULL DEFAULT '[]',
  threads       TEXT    NOT NULL DEFAULT '[]',
  size          INTEGER NOT NULL,
  sha256        TEXT    NOT NULL,
  quality       REAL
);
CREATE INDEX checkpoints_by_conversation ON checkpoints (conversation, created_at);
CREATE TABLE checkpoint_messages (
  message_id    TEXT NOT NULL,
  checkpoint_id TEXT NOT NULL,
  PRIMARY KEY (message_id, checkpoint_id)
) WITHOUT ROWID;
"""


def _add_every_agent(conn: sqlite3.Connection) -> None:
    """Version 2: sources besides the wire, what they told, and what they said last."""
    _run(conn, _EVERY_AGENT)


def _add_questions(conn: sqlite3.Connection) -> None:
    """Version 3: what queries, search, exports and retention need."""
    _run(conn, _QUESTIONS)


def _add_talk(conn: sqlite3.Connection) -> None:
    """Version 4: messages between agents, work, decisions, what they add up to."""
    _run(conn, _TALK)


def _move_texts(conn: sqlite3.Connection) -> None:
    """Version 5: texts lie elsewhere (`deltas`), which no earlier version would know."""


def _run(conn: sqlite3.Connection, script: str) -> None:
    for statement in statements(script):
        conn.execute(statement)


def statements(script: str) -> Iterator[str]:
    """The single statements of a script, so that they can share one transaction."""
    pending = ""
    for line in script.splitlines(keepends=True):
        pending += line
        if sqlite3.complete_statement(pending):
            yield pending
            pending = ""


MIGRATIONS: tuple[tuple[int, Migration], ...] = (
    (2, _add_every_agent),
    (3, _add_questions),
    (4, _add_talk),
    (5, _move_texts),
)
"""(version it leads to, step), in order."""
