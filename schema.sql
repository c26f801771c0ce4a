-- agentmon's store: the current shape, readable on its own.
-- Times are REAL epoch seconds, UTC. Text of content blocks lies in delta files, not here.
-- Ids come from outside; nothing here trusts their form. They come in no order: large tables keyed
-- by them stay rowid tables, so that a batch appends its rows and only the small keys are scattered.

CREATE TABLE schema_version (
  version    INTEGER NOT NULL,
  applied_at REAL    NOT NULL
);

-- Followed inputs. `position` is the byte after the last line whose effect is committed:
-- it moves in the same transaction as the rows it produced (exactly once).
CREATE TABLE sources (
  source_id  INTEGER PRIMARY KEY,
  path       TEXT    NOT NULL,
  kind       TEXT    NOT NULL,                 -- file | pipe
  dev        INTEGER NOT NULL DEFAULT 0,
  inode      INTEGER NOT NULL DEFAULT 0,
  head_size  INTEGER NOT NULL DEFAULT 0,       -- how many first bytes head_hash covers
  head_hash  BLOB    NOT NULL DEFAULT x'',
  anchor     BLOB    NOT NULL DEFAULT x'',     -- the bytes just before position
  position   INTEGER NOT NULL DEFAULT 0,
  generation INTEGER NOT NULL DEFAULT 0,       -- how often it was read again from the start
  tail_bytes INTEGER NOT NULL DEFAULT 0,       -- a last line still without its newline
  last_read  REAL,
  format     TEXT,                             -- NULL: not recognised yet
  decoder    BLOB    NOT NULL DEFAULT x''      -- what its decoder knows of the lines so far
);
CREATE INDEX sources_by_inode ON sources (dev, inode);
CREATE INDEX sources_by_path  ON sources (path);

-- One conversation. Phases live in `agents`, one row per thread.
CREATE TABLE sessions (
  sid             TEXT PRIMARY KEY,
  agent           TEXT NOT NULL,               -- product: claude, codex, …
  pid             INTEGER,
  cwd             TEXT,
  version         TEXT,
  meta_time       REAL,                        -- when pid, cwd and version were last said
  first_time      REAL,
  last_time       REAL,                        -- the last event, by its own time
  ended_at        REAL,                        -- last session_end
  end_reason      TEXT,
  resumed_at      REAL,                        -- last activity that is not an end
  closed_at       REAL,                        -- last event that closes a running round
  prompt_count    INTEGER NOT NULL DEFAULT 0,
  input_tokens    INTEGER NOT NULL DEFAULT 0,  -- sums over messages; warm-up and side traffic too
  output_tokens   INTEGER NOT NULL DEFAULT 0,
  cache_read_tokens  INTEGER NOT NULL DEFAULT 0,
  cache_write_tokens INTEGER NOT NULL DEFAULT 0,
  context_tokens  INTEGER NOT NULL DEFAULT 0,  -- what the last main message read and wrote
  model           TEXT,
  kinds           INTEGER NOT NULL DEFAULT 1,  -- which kinds of sources spoke of it (bit mask)
  host            TEXT                         -- the machine it runs on; NULL: this one
);
CREATE INDEX sessions_by_last ON sessions (last_time DESC);

-- A thread of a session: the main agent ('') or a subagent.
CREATE TABLE agents (
  sid           TEXT NOT NULL,
  agent_id      TEXT NOT NULL,
  phase         TEXT NOT NULL,
  phase_since   REAL,
  phase_detail  TEXT,
  last_byte     REAL,
  last_start    REAL,                          -- start of its newest message
  flow_id       TEXT,                          -- the message it works on
  parent_tool_use_id TEXT,
  kind          TEXT,                          -- of a subagent: its type or nickname
  description   TEXT,
  status        TEXT,                          -- running | completed | failed | stopped
  last_told     REAL,                          -- last sign of life from what does not stream
  phase_kind    TEXT NOT NULL DEFAULT 'wire',  -- which kind of source set the phase
  due_at        REAL,                          -- an announced retry: no byte is due before that
  status_time   REAL,                          -- of the last status taken from a registry
  PRIMARY KEY (sid, agent_id)
) WITHOUT ROWID;

CREATE TABLE rounds (
  round_id    TEXT NOT NULL,
  sid         TEXT NOT NULL,
  prompts     INTEGER NOT NULL DEFAULT 0,      -- 0: warm-up or not a round (yet)
  user_prompt TEXT,                            -- the first one
  start_time  REAL,
  end_time    REAL,                            -- its last stop
  named_end   REAL,                            -- its last stop that names it
  is_closed   INTEGER NOT NULL DEFAULT 0,      -- something after it shows that it is over
  is_complete INTEGER GENERATED ALWAYS AS (end_time IS NOT NULL) VIRTUAL,
  is_synthetic INTEGER NOT NULL DEFAULT 0,
  orphaned_at REAL,
  told_end    REAL,                            -- its last stop in a transcript; the wire goes before
  aborted_at  REAL,                            -- somebody gave it up
  abort_ends  INTEGER NOT NULL DEFAULT 0,      -- that moment is its end (codex)
  is_aborted  INTEGER GENERATED ALWAYS AS
    (end_time IS NULL AND (is_closed OR aborted_at IS NOT NULL)) VIRTUAL,
  PRIMARY KEY (sid, round_id)
) WITHOUT ROWID;
CREATE INDEX rounds_by_start ON rounds (sid, start_time) WHERE prompts > 0;
CREATE INDEX rounds_by_id ON rounds (round_id) WHERE prompts > 0;
CREATE INDEX rounds_unended ON rounds (start_time, sid) WHERE prompts > 0 AND end_time IS NULL;
CREATE INDEX rounds_open ON rounds (sid) WHERE prompts > 0 AND end_time IS NULL AND is_closed = 0;

CREATE TABLE prompts (
  sid          TEXT    NOT NULL,
  ordinal      INTEGER NOT NULL,
  pid          INTEGER,
  time         REAL    NOT NULL,
  message_uuid TEXT,
  text         TEXT    NOT NULL,
  own_round    TEXT,                           -- as written; NULL: absent
  is_queued    INTEGER NOT NULL DEFAULT 0,
  answer_time  REAL,                           -- the next message_start
  answer_round TEXT,
  round_id     TEXT    NOT NULL,
  told_round   TEXT,                           -- how the messages of a transcript name its round
  kinds        INTEGER NOT NULL DEFAULT 1,     -- which kinds of sources told it (bit mask)
  told_end     REAL,
  PRIMARY KEY (sid, ordinal)
) WITHOUT ROWID;
CREATE INDEX prompts_by_told ON prompts (sid, told_round) WHERE told_round IS NOT NULL;
CREATE INDEX prompts_by_uuid ON prompts (sid, message_uuid) WHERE message_uuid IS NOT NULL;
CREATE INDEX prompts_by_time ON prompts (sid, time);
CREATE INDEX prompts_by_round ON prompts (sid, round_id);

CREATE TABLE messages (
  flow_id       TEXT PRIMARY KEY,
  seq           INTEGER NOT NULL,              -- arrival order
  sid           TEXT NOT NULL,
  request_id    TEXT,
  own_round     TEXT,                          -- as written; NULL: absent
  round_id      TEXT,                          -- resolved; a round only where rounds.prompts > 0
  agent_id      TEXT,
  pid           INTEGER,
  role          TEXT,
  model         TEXT,
  stop_reason   TEXT,
  start_time    REAL,
  end_time      REAL,                          -- message_stop
  last_time     REAL,
  is_started    INTEGER NOT NULL DEFAULT 0,    -- message_start seen
  is_broken     INTEGER NOT NULL DEFAULT 0,    -- ended by an error, a cut or a spliced stream
  error         TEXT,
  input_tokens  INTEGER,
  output_tokens INTEGER,
  cache_read_tokens  INTEGER,
  cache_write_tokens INTEGER,
  written       TEXT,                          -- flow ids as written, while the start is unseen (JSON)
  kinds         INTEGER NOT NULL DEFAULT 1,    -- which kinds of sources told it (bit mask)
  told_stop     TEXT,                          -- stop_reason as a transcript has it
  is_done       INTEGER NOT NULL DEFAULT 0,    -- a transcript says that nothing more will come
  is_complete   INTEGER GENERATED ALWAYS AS
    (end_time IS NOT NULL OR stop_reason IS NOT NULL OR is_done) VIRTUAL
);
CREATE INDEX messages_by_session ON messages (sid, start_time);
CREATE INDEX messages_by_round   ON messages (sid, round_id, start_time);
CREATE INDEX messages_by_agent   ON messages (sid, agent_id, start_time) WHERE agent_id IS NOT NULL;
CREATE INDEX messages_broken     ON messages (COALESCE(last_time, start_time, 0)) WHERE error IS NOT NULL;
CREATE INDEX messages_by_request ON messages (request_id, seq) WHERE request_id IS NOT NULL;

CREATE TABLE content_blocks (
  flow_id       TEXT    NOT NULL,
  block_index   INTEGER NOT NULL,
  sid           TEXT    NOT NULL,
  block_type    TEXT,
  tool_use_id   TEXT,
  tool_name     TEXT,
  delta_count   INTEGER NOT NULL DEFAULT 0,
  total_bytes   INTEGER NOT NULL DEFAULT 0,    -- UTF-8 bytes of the text
  stored_bytes  INTEGER NOT NULL DEFAULT 0,    -- committed length of its delta file
  is_cut        INTEGER NOT NULL DEFAULT 0,    -- a delta past the line cap: size known, text not kept
  revision      INTEGER NOT NULL DEFAULT 0,    -- how often its text was repaired
  start_text    TEXT,                          -- what content_block_start carried
  has_start     INTEGER NOT NULL DEFAULT 0,    -- it is part of the stored text
  is_started    INTEGER NOT NULL DEFAULT 0,
  start_time    REAL,
  stop_time     REAL,                          -- its own content_block_stop
  complete_time REAL,
  is_complete   INTEGER GENERATED ALWAYS AS (complete_time IS NOT NULL) VIRTUAL,
  last_time     REAL,                          -- its last delta
  result_time   REAL,
  result_is_error INTEGER,
  no_result_at  REAL,                          -- evidence that it returned unseen
  input_preview TEXT,                          -- a tool call's arguments, shortened, once complete
  uses_told     INTEGER NOT NULL DEFAULT 0,    -- its text is the one in told_blocks
  heard         TEXT,                          -- bytes by kind of source, where several stream it (JSON)
  PRIMARY KEY (flow_id, block_index)
);
CREATE INDEX blocks_by_tool ON content_blocks (tool_use_id) WHERE tool_use_id IS NOT NULL;
CREATE INDEX blocks_pending ON content_blocks (sid)
  WHERE block_type = 'tool_use' AND complete_time IS NOT NULL
    AND result_time IS NULL AND no_result_at IS NULL;
-- The calls of a tool by time, with all that their sums need: none of them is looked up.
CREATE INDEX blocks_of_tool ON content_blocks
  (tool_name, complete_time, result_time, result_is_error, no_result_at, block_type)
  WHERE block_type = 'tool_use' AND complete_time IS NOT NULL;
-- The same by duration: how often a tool took how long is counted, not sorted.
CREATE INDEX blocks_by_duration ON content_blocks
  (tool_name, COALESCE(result_is_error, 0), MAX(result_time - complete_time, 0))
  WHERE block_type = 'tool_use' AND complete_time IS NOT NULL AND result_time IS NOT NULL;
CREATE INDEX blocks_failed ON content_blocks (result_time) WHERE result_is_error = 1;
CREATE INDEX blocks_open ON content_blocks (flow_id, block_index) WHERE complete_time IS NULL;

-- A block as told when it was finished, by a transcript or the end of its stream. `text` is kept
-- where the block's text is this one, or may become it.
CREATE TABLE told_blocks (
  flow_id     TEXT    NOT NULL,
  block_index INTEGER NOT NULL,
  item_id     TEXT,                            -- what makes it the same block when it is told again
  time        REAL    NOT NULL,
  bytes       INTEGER NOT NULL,
  sha256      TEXT    NOT NULL,
  is_exact    INTEGER NOT NULL,                -- byte for byte what was streamed
  kind        TEXT    NOT NULL,                -- the kind of source
  text        TEXT,
  is_cut      INTEGER NOT NULL DEFAULT 0,      -- given up while it was written: not complete
  PRIMARY KEY (flow_id, block_index)
);
CREATE INDEX told_blocks_by_item ON told_blocks (item_id) WHERE item_id IS NOT NULL;

-- When each delta came, in arrival order: a compressed blob per up to 512 deltas.
CREATE TABLE delta_log (
  flow_id     TEXT    NOT NULL,
  block_index INTEGER NOT NULL,
  chunk       INTEGER NOT NULL,
  deltas      INTEGER NOT NULL,
  data        BLOB    NOT NULL,
  PRIMARY KEY (flow_id, block_index, chunk)
);

CREATE TABLE tool_results (
  tool_use_id  TEXT NOT NULL PRIMARY KEY,
  sid          TEXT NOT NULL,
  is_error     INTEGER,
  content_size INTEGER NOT NULL,
  sha256       TEXT,
  content      TEXT,                           -- whole, or a preview of 500 characters
  file         TEXT,                           -- where the whole is, below the data folder
  result_time  REAL NOT NULL,
  rank         INTEGER NOT NULL DEFAULT 1      -- 0 a summary, 1 a stream's, 2 a transcript's
);
CREATE INDEX results_by_session ON tool_results (sid);

-- Everything else that was said about a session, known and kept: errors, hooks, queue operations.
CREATE TABLE notices (
  notice_id INTEGER PRIMARY KEY,
  sid       TEXT NOT NULL,
  time      REAL NOT NULL,
  name      TEXT NOT NULL,
  flow_id   TEXT,
  agent_id  TEXT,
  data      TEXT NOT NULL                      -- the payload as JSON
);
CREATE INDEX notices_by_session ON notices (sid, time);
CREATE INDEX notices_by_name    ON notices (sid, name, time);

-- What is known of a session or one of its agents, by name: the last value said.
CREATE TABLE facts (
  sid      TEXT NOT NULL,
  agent_id TEXT NOT NULL,
  name     TEXT NOT NULL,
  value    TEXT NOT NULL,                      -- JSON
  time     REAL NOT NULL,
  kind     TEXT NOT NULL,                      -- the kind of source
  PRIMARY KEY (sid, agent_id, name)
) WITHOUT ROWID;

-- What each kind of source said last of an agent.
CREATE TABLE testimony (
  sid      TEXT NOT NULL,
  agent_id TEXT NOT NULL,
  kind     TEXT NOT NULL,
  time     REAL NOT NULL,
  said     TEXT NOT NULL,
  PRIMARY KEY (sid, agent_id, kind)
) WITHOUT ROWID;

-- Events this version does not know, whole; `ingest --reprocess` digests them once it does.
CREATE TABLE raw_events (
  event_id  INTEGER PRIMARY KEY,
  source_id INTEGER NOT NULL,
  offset    INTEGER NOT NULL,
  generation INTEGER NOT NULL DEFAULT 0,
  sid       TEXT,
  time      REAL,
  event     TEXT,
  digest    BLOB NOT NULL,                     -- of offset and content: a copied file adds none
  raw       BLOB NOT NULL,
  size      INTEGER NOT NULL,
  processed INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX raw_events_open   ON raw_events (event_id) WHERE processed = 0;
CREATE INDEX raw_events_digest ON raw_events (digest);
CREATE INDEX raw_events_by_session ON raw_events (sid) WHERE sid IS NOT NULL;

CREATE TABLE bad_lines (
  bad_id    INTEGER PRIMARY KEY,
  source_id INTEGER NOT NULL,
  offset    INTEGER NOT NULL,
  size      INTEGER NOT NULL,
  reason    TEXT    NOT NULL,
  digest    BLOB    NOT NULL,
  head      BLOB    NOT NULL                   -- first bytes
);
CREATE UNIQUE INDEX bad_lines_digest ON bad_lines (digest);

-- Which lines of a written stream were taken: counter runs and a checksum each (duplicates).
CREATE TABLE stream_log (
  sid     TEXT    NOT NULL,
  flow_id TEXT    NOT NULL,                    -- as written
  pid     INTEGER NOT NULL,
  chunk   INTEGER NOT NULL,
  data    BLOB    NOT NULL,
  PRIMARY KEY (sid, flow_id, pid, chunk)
);

CREATE TABLE counts (
  name  TEXT PRIMARY KEY,
  value INTEGER NOT NULL
) WITHOUT ROWID;

-- File operations that follow a commit (a repaired text takes its place, a moved one leaves its old).
-- Each is idempotent; what a crash left undone is done at the next start.
CREATE TABLE file_ops (
  op_id  INTEGER PRIMARY KEY,
  source TEXT,                                 -- NULL: delete target
  target TEXT NOT NULL
);

-- A verdict with its evidence, as judged at the time.
CREATE TABLE verdicts (
  verdict_id INTEGER PRIMARY KEY,
  sid        TEXT NOT NULL,
  agent_id   TEXT NOT NULL,
  tool_use_id TEXT NOT NULL DEFAULT '',
  verdict    TEXT NOT NULL,                    -- stalled | overdue | orphaned | dead
  since      REAL NOT NULL,
  until      REAL,
  evidence   TEXT NOT NULL                     -- JSON
);
CREATE INDEX verdicts_open       ON verdicts (sid, agent_id, tool_use_id) WHERE until IS NULL;
CREATE INDEX verdicts_by_session ON verdicts (sid, since);

-- When this machine slept, or agentmon was stopped: silence in that time is no stall.
CREATE TABLE unseen (
  began REAL PRIMARY KEY,
  ended REAL NOT NULL
);

CREATE TABLE system_metrics (
  timestamp    REAL NOT NULL,
  metric_name  TEXT NOT NULL,
  metric_value REAL NOT NULL,
  PRIMARY KEY (timestamp, metric_name)
) WITHOUT ROWID;

-- Sessions that cleanup took out of the store, and their way there and back; a row in one of the
-- passing states is a work that a crash interrupted, and is finished at the next start.
CREATE TABLE removals (
  removal_id INTEGER PRIMARY KEY,
  session_id TEXT    NOT NULL,
  state      TEXT    NOT NULL,                 -- archiving, leaving, gone | returning, back
  changed_at REAL    NOT NULL,
  file       TEXT,                             -- its archive, below the data folder; NULL: deleted
  archive_bytes INTEGER,
  bytes      INTEGER NOT NULL DEFAULT 0,       -- what it took in the store, as estimated
  agent      TEXT,
  cwd        TEXT,
  first_time REAL,
  last_time  REAL,
  is_ours    INTEGER NOT NULL DEFAULT 1        -- 0: restored from a file of somebody else's
);
CREATE INDEX removals_by_session ON removals (session_id);
CREATE INDEX removals_passing ON removals (removal_id)
  WHERE state IN ('archiving', 'leaving', 'returning');

-- Each run of cleanup, the latest fifty.
CREATE TABLE cleanups (
  cleanup_id  INTEGER PRIMARY KEY,
  started_at  REAL    NOT NULL,
  ended_at    REAL,                            -- NULL: it was interrupted
  cause       TEXT    NOT NULL,                -- command | policy
  action      TEXT    NOT NULL,                -- archive | delete
  sessions    INTEGER NOT NULL DEFAULT 0,
  bytes_freed INTEGER NOT NULL DEFAULT 0
);

-- What search has yet to index, oldest first: a row where a finished block, a result or a prompt was
-- written. It says only where to look. What the index (`search.db`) has read is dropped again, but
-- for the last row, so that no number comes twice.
CREATE TABLE search_queue (
  seq    INTEGER PRIMARY KEY,
  kind   INTEGER NOT NULL,                     -- 1 prompt, 2 block, 3 tool result
  owner  TEXT    NOT NULL,                     -- sid, flow_id, tool_use_id
  number INTEGER NOT NULL                      -- ordinal, block_index, 0
);

-- -- agents that talk (`agentmon.collab`). These tables outlive the sessions they speak of: their
-- `session_id` is no `sid` that cleanup follows. Names of agents are whatever agents call themselves.

-- Every message between agents ever sent or seen, once each.
CREATE TABLE agent_messages (
  seq           INTEGER PRIMARY KEY,           -- the order in which they were archived
  message_id    TEXT    NOT NULL UNIQUE,
  thread_id     TEXT    NOT NULL,              -- the first message's own id
  reply_to      TEXT,                          -- a message_id
  sender        TEXT    NOT NULL,
  receivers     TEXT    NOT NULL,              -- JSON array of names, as addressed ("*": everybody)
  type          TEXT    NOT NULL,
  priority      TEXT    NOT NULL DEFAULT 'normal',  -- low, normal, high, urgent
  subject       TEXT    NOT NULL,
  body          TEXT    NOT NULL,
  sent_at       REAL    NOT NULL,              -- the sender's clock
  archived_at   REAL    NOT NULL,              -- ours
  ack_required  INTEGER NOT NULL DEFAULT 0,
  work_completed TEXT,                         -- JSON, as the message form has it
  context_understanding TEXT,                  -- JSON
  origin        TEXT    NOT NULL,              -- local, redis; claude, codex: seen in what they do
  host          TEXT,
  session_id    TEXT,                          -- who sent it, in which round, by which call
  thread_agent  TEXT,                          -- the agent_id of that thread; NULL: the main agent
  round_id      TEXT,
  tool_use_id   TEXT
);
CREATE INDEX agent_messages_by_thread ON agent_messages (thread_id, seq);
CREATE INDEX agent_messages_by_sender ON agent_messages (sender, seq);
CREATE INDEX agent_messages_by_call   ON agent_messages (tool_use_id) WHERE tool_use_id IS NOT NULL;
CREATE INDEX agent_messages_by_time   ON agent_messages (sent_at);

-- One row for each message and each reader it is for.
CREATE TABLE agent_deliveries (
  receiver      TEXT    NOT NULL,
  seq           INTEGER NOT NULL,              -- of its message
  delivered_at  REAL,                          -- handed to a listener or a reader
  read_at       REAL,
  acked_at      REAL,
  session_id    TEXT,                          -- who read it, in which round
  round_id      TEXT,
  PRIMARY KEY (receiver, seq)
) WITHOUT ROWID;
CREATE INDEX agent_deliveries_by_message ON agent_deliveries (seq);
CREATE INDEX agent_deliveries_unread     ON agent_deliveries (receiver, seq) WHERE read_at IS NULL;
CREATE INDEX agent_deliveries_waiting    ON agent_deliveries (seq) WHERE read_at IS NULL;

-- Who takes part: an agent that sent, listened or registered; its last sign of life.
CREATE TABLE agent_names (
  name       TEXT PRIMARY KEY,
  first_seen REAL NOT NULL,
  last_seen  REAL NOT NULL,
  session_id TEXT,                             -- the session it is, where that is known
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

-- Messages that a transport has yet to take: one row for each receiver as addressed, taken in the
-- order of the archive.
CREATE TABLE agent_outbox (
  outbox_id  INTEGER PRIMARY KEY,
  message_id TEXT    NOT NULL,
  transport  TEXT    NOT NULL,                 -- where to: the server's address without credentials
  receiver   TEXT    NOT NULL,                 -- "*": everybody
  queued_at  REAL    NOT NULL,
  UNIQUE (transport, message_id, receiver)
);

-- Messages that came from another store, which is told of their marks: delivered, read, acknowledged.
CREATE TABLE agent_receipts (
  receiver  TEXT    NOT NULL,
  seq       INTEGER NOT NULL,                     -- of its message
  transport TEXT    NOT NULL,                     -- the server by which it came
  due       INTEGER NOT NULL DEFAULT 0,           -- there are marks to be told
  PRIMARY KEY (receiver, seq)
) WITHOUT ROWID;
CREATE INDEX agent_receipts_due ON agent_receipts (transport, seq) WHERE due = 1;
CREATE TRIGGER agent_receipts_marked
AFTER UPDATE OF delivered_at, read_at, acked_at ON agent_deliveries BEGIN
  UPDATE agent_receipts SET due = 1 WHERE receiver = new.receiver AND seq = new.seq;
END;

-- What agents did: said by them, or derived from their calls (`event_key` names the call then, so
-- that it is never counted twice).
CREATE TABLE work_events (
  event_id      INTEGER PRIMARY KEY,
  event_key     TEXT    NOT NULL UNIQUE,
  time          REAL    NOT NULL,
  kind          TEXT    NOT NULL,              -- file_created, git_commit, test_run, deployment, …
  agent         TEXT    NOT NULL,
  summary       TEXT    NOT NULL DEFAULT '',
  lines_added   INTEGER,                       -- NULL: not known
  lines_deleted INTEGER,
  commit_hash   TEXT,
  is_success    INTEGER,
  metadata      TEXT    NOT NULL DEFAULT '{}', -- JSON object
  origin        TEXT    NOT NULL,              -- said, derived
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
  path          TEXT    NOT NULL,              -- absolute where the folder was known
  event_id      INTEGER NOT NULL,
  lines_added   INTEGER,
  lines_deleted INTEGER,
  PRIMARY KEY (path, event_id)
) WITHOUT ROWID;
CREATE INDEX work_files_by_event ON work_files (event_id);

-- How far what is derived from calls has got, by what derives it: in `search_queue`, and, of what was
-- there before, in the rows of `content_blocks`; and in `notices`, for rules that hear them.
CREATE TABLE derivations (
  name       TEXT PRIMARY KEY,
  version    INTEGER NOT NULL,                 -- of the rule: a newer one goes through everything again
  read_to    INTEGER NOT NULL,                 -- a seq
  scanned_to INTEGER,                          -- a rowid; NULL: everything was gone through
  heard_to   INTEGER NOT NULL                  -- a notice_id
) WITHOUT ROWID;

-- A decision as it stands; what it was before is in `decision_revisions`, never overwritten.
CREATE TABLE decisions (
  number      INTEGER PRIMARY KEY,
  decision_id TEXT    NOT NULL UNIQUE,
  revision    INTEGER NOT NULL,                -- of decision_revisions: from 1
  question    TEXT    NOT NULL,
  category    TEXT    NOT NULL,
  positions   TEXT    NOT NULL DEFAULT '{}',   -- JSON object: agent → position
  decision    TEXT,                            -- NULL: still open
  rationale   TEXT    NOT NULL DEFAULT '',
  method      TEXT,                            -- consensus, compromise, vote, override
  participants TEXT   NOT NULL DEFAULT '[]',   -- JSON array
  files       TEXT    NOT NULL DEFAULT '[]',   -- JSON array
  status      TEXT    NOT NULL,                -- open, decided, superseded, withdrawn
  impact      INTEGER,                         -- 1 to 10
  created_at  REAL    NOT NULL,
  created_by  TEXT    NOT NULL,
  updated_at  REAL    NOT NULL,
  origin      TEXT    NOT NULL,                -- said, observed
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
  state       TEXT    NOT NULL,                -- JSON: every field as it was from then on
  PRIMARY KEY (decision_id, revision)
) WITHOUT ROWID;

-- Of positions and files what they say, not their JSON: an escape there would join two words.
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

-- Sums by day (UTC), agent and name.
CREATE TABLE daily_metrics (
  day    TEXT NOT NULL,                        -- 2026-11-28
  agent  TEXT NOT NULL,
  metric TEXT NOT NULL,
  value  REAL NOT NULL,
  PRIMARY KEY (day, agent, metric)
) WITHOUT ROWID;

-- Settings that agents share; the file and the environment have their own.
CREATE TABLE config (
  name       TEXT PRIMARY KEY,
  type       TEXT NOT NULL,                    -- int, float, bool, string, json
  value      TEXT NOT NULL,
  changed_at REAL NOT NULL,
  changed_by TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE config_history (
  change_id  INTEGER PRIMARY KEY,
  name       TEXT NOT NULL,
  type       TEXT,                             -- NULL: it was taken away
  value      TEXT,
  changed_at REAL NOT NULL,
  changed_by TEXT NOT NULL,
  reason     TEXT NOT NULL DEFAULT ''
);
CREATE INDEX config_history_by_name ON config_history (name, change_id);

-- Conversations that were put aside in Parquet files: what is in them, and where they are.
CREATE TABLE checkpoints (
  checkpoint_id TEXT PRIMARY KEY,
  kind          TEXT    NOT NULL,              -- main, sub, micro
  conversation  TEXT    NOT NULL,              -- a thread_id, or a session
  parent_id     TEXT,
  path          TEXT    NOT NULL,
  created_at    REAL    NOT NULL,
  message_count INTEGER NOT NULL,
  row_count     INTEGER NOT NULL,
  first_message TEXT,
  last_message  TEXT,
  summary       TEXT    NOT NULL DEFAULT '',
  entities      TEXT    NOT NULL DEFAULT '[]', -- JSON array
  threads       TEXT    NOT NULL DEFAULT '[]', -- JSON array
  size          INTEGER NOT NULL,              -- bytes of the file
  sha256        TEXT    NOT NULL,
  quality       REAL                           -- 0 to 1
);
CREATE INDEX checkpoints_by_conversation ON checkpoints (conversation, created_at);

CREATE TABLE checkpoint_messages (
  message_id    TEXT NOT NULL,
  checkpoint_id TEXT NOT NULL,
  PRIMARY KEY (message_id, checkpoint_id)
) WITHOUT ROWID;

-- -- a stable interface: the views below keep their names and columns (README, "Asking in SQL").
-- Times are epoch seconds, UTC; durations are seconds; flags are 0 or 1; NULL is "not known".
-- They take "now" from the query: an age is yours to compute.

-- A round of which nobody has told the end and nothing shows that it is over.
CREATE VIEW incomplete_rounds AS
  SELECT r.sid, r.round_id, r.user_prompt, r.start_time, r.orphaned_at
  FROM rounds r WHERE r.prompts > 0 AND r.end_time IS NULL AND r.is_closed = 0;

-- A finished call whose result has not come, nor evidence that it returned unseen.
CREATE VIEW pending_tool_calls AS
  SELECT b.sid, m.agent_id, m.round_id, b.flow_id, b.block_index, b.tool_use_id, b.tool_name,
         b.complete_time AS called_at, b.input_preview
  FROM content_blocks b JOIN messages m USING (flow_id)
  WHERE b.block_type = 'tool_use' AND b.complete_time IS NOT NULL
    AND b.result_time IS NULL AND b.no_result_at IS NULL;

-- One conversation. Tokens are sums over its messages, subagents' among them.
CREATE VIEW v_sessions AS
  SELECT s.sid,
         s.agent,                              -- the product: claude, codex, …
         s.pid, s.cwd, s.version, s.model,     -- as they were said last
         s.first_time AS start_time,           -- its first event
         s.last_time,                          -- its last event
         CASE WHEN s.resumed_at > s.ended_at THEN NULL ELSE s.ended_at END AS end_time,
         CASE WHEN s.resumed_at > s.ended_at THEN NULL ELSE s.end_reason END AS end_reason,
         s.input_tokens, s.output_tokens, s.cache_read_tokens, s.cache_write_tokens,
         s.context_tokens,                     -- what its last message read and wrote
         (SELECT COUNT(*) FROM rounds r WHERE r.sid = s.sid AND r.prompts > 0) AS rounds,
         s.host                                -- the machine it runs on; NULL: this one
  FROM sessions s;

-- A thread of a session: the main agent (agent_id '') or a subagent.
CREATE VIEW v_agents AS
  SELECT a.sid, a.agent_id,
         a.kind, a.description, a.status,      -- of a subagent; status: running | completed | …
         a.parent_tool_use_id,                 -- the call that started it
         a.phase, a.phase_since, a.phase_detail,
         a.last_byte,                          -- of its stream
         a.last_told                           -- last sign of life from what does not stream
  FROM agents a;

-- One user prompt until its stop.
CREATE VIEW v_rounds AS
  SELECT r.sid, r.round_id,                    -- key
         (SELECT COUNT(*) FROM rounds e
          WHERE e.sid = r.sid AND e.prompts > 0
            AND (e.start_time, e.round_id) <= (r.start_time, r.round_id))
           AS round_number,                    -- within the session, from 1
         r.user_prompt,                        -- the first of its prompts
         r.prompts,                            -- how many it has
         r.start_time,                         -- its first prompt
         COALESCE(r.end_time, CASE WHEN r.abort_ends THEN r.aborted_at END)
           AS end_time,                        -- its last stop
         ROUND(COALESCE(r.end_time, CASE WHEN r.abort_ends THEN r.aborted_at END) - r.start_time, 6)
           AS duration,
         r.is_complete,                        -- its stop was told
         r.is_aborted,                         -- over without one
         r.aborted_at,                         -- somebody gave it up
         r.orphaned_at                         -- its process was found gone
  FROM rounds r WHERE r.prompts > 0;

CREATE VIEW v_prompts AS
  SELECT p.sid, p.round_id,
         p.ordinal,                            -- within the session
         p.time, p.text,
         p.is_queued,                          -- written while a round ran
         p.pid                                 -- the process it was written to
  FROM prompts p;

-- One response of the API. round_id is NULL for warm-up and side traffic.
CREATE VIEW v_messages AS
  SELECT m.flow_id, m.request_id, m.sid, r.round_id,
         m.agent_id,                           -- NULL: the main agent
         m.role, m.model, m.stop_reason,       -- as the API has them
         m.start_time,                         -- message_start
         m.end_time,                           -- message_stop
         ROUND(m.end_time - m.start_time, 6) AS duration,
         m.last_time,                          -- its last byte
         m.is_complete,                        -- it has its end or its stop reason
         m.error,                              -- why it was broken off
         m.input_tokens, m.output_tokens, m.cache_read_tokens, m.cache_write_tokens
  FROM messages m
  LEFT JOIN rounds r ON r.sid = m.sid AND r.round_id = m.round_id AND r.prompts > 0;

-- One content block, key (flow_id, block_index). `agentmon sql` has block_text(flow_id, block_index).
CREATE VIEW v_blocks AS
  SELECT b.flow_id, b.block_index, m.sid, r.round_id, m.agent_id,
         b.block_type,                         -- thinking, text, tool_use, …
         b.tool_use_id, b.tool_name,           -- of a call
         b.delta_count,                        -- increments of text
         b.total_bytes,                        -- UTF-8 bytes of its text
         b.start_time,                         -- content_block_start
         b.last_time,                          -- its last delta
         b.complete_time,                      -- content_block_stop, or what came after it
         ROUND(b.complete_time - b.start_time, 6) AS duration,
         b.is_complete
  FROM content_blocks b JOIN messages m USING (flow_id)
  LEFT JOIN rounds r ON r.sid = m.sid AND r.round_id = m.round_id AND r.prompts > 0;

-- A tool call with what came back of it.
CREATE VIEW v_tool_calls AS
  SELECT b.tool_use_id, b.tool_name, m.sid, r.round_id, m.agent_id, b.flow_id, b.block_index,
         b.input_preview,                      -- the argument that tells what it does, shortened
         b.complete_time AS called_at,         -- its arguments were complete
         b.result_time,
         ROUND(MAX(0, b.result_time - b.complete_time), 6) AS duration,
         b.result_is_error AS is_error,        -- the result says is_error; NULL: it does not say
         CASE WHEN b.result_time IS NOT NULL THEN 'returned'
              WHEN b.no_result_at IS NOT NULL THEN 'unseen'    -- it returned, nobody told how
              WHEN b.complete_time IS NULL THEN 'calling'      -- its arguments still stream
              WHEN b.block_type <> 'tool_use' THEN 'server'    -- run by the API itself
              ELSE 'pending' END AS state,
         (SELECT t.content_size FROM tool_results t WHERE t.tool_use_id = b.tool_use_id)
           AS result_bytes
  FROM content_blocks b JOIN messages m USING (flow_id)
  LEFT JOIN rounds r ON r.sid = m.sid AND r.round_id = m.round_id AND r.prompts > 0
  WHERE b.tool_use_id IS NOT NULL;

-- What came back. `agentmon sql` has result_text(tool_use_id) for the whole of a large one.
CREATE VIEW v_tool_results AS
  SELECT t.tool_use_id, t.sid, t.is_error,
         t.content_size,                       -- UTF-8 bytes of the whole
         t.sha256,
         t.content,                            -- the whole, or its first 500 characters
         t.file IS NOT NULL AS is_preview,     -- the whole is in a file
         t.result_time
  FROM tool_results t;

-- Stalled, overdue, orphaned, dead: as judged, with the evidence.
CREATE VIEW v_verdicts AS
  SELECT v.verdict_id, v.sid, v.agent_id,      -- agent_id '': the main agent
         v.verdict, v.since,
         v.until,                              -- NULL: it held when it was judged last
         ROUND(v.until - v.since, 6) AS duration,
         NULLIF(v.tool_use_id, '') AS tool_use_id,
         v.evidence                            -- JSON
  FROM verdicts v;

-- What else was said: errors, hooks, queue operations, status.
CREATE VIEW v_notices AS
  SELECT n.notice_id, n.sid, n.agent_id, n.flow_id, n.time, n.name,
         n.data                                -- JSON
  FROM notices n;

-- What is known of a session or one of its agents by name: the last value said.
CREATE VIEW v_facts AS
  SELECT f.sid, f.agent_id, f.name,
         f.value,                              -- JSON
         f.time,
         f.kind                                -- the kind of source that said it
  FROM facts f;

-- What agents did, said by them or derived from their calls.
CREATE VIEW v_work_events AS
  SELECT w.event_id, w.time,
         w.kind,                               -- file_created, git_commit, test_run, deployment, …
         w.agent,                              -- by the name on the board
         w.summary,
         w.lines_added, w.lines_deleted,       -- of its files; of a commit those of the commit
         w.commit_hash,
         w.is_success,                         -- NULL: nobody told
         w.metadata,                           -- JSON
         w.origin,                             -- said | derived
         w.session_id AS sid,
         w.thread_agent AS agent_id,           -- NULL: the main agent
         w.round_id, w.tool_use_id
  FROM work_events w;

-- The files of these: who touched what, when.
CREATE VIEW v_work_files AS
  SELECT f.path,                               -- absolute where the folder was known
         f.event_id, w.time, w.kind, w.agent,
         f.lines_added, f.lines_deleted,       -- of this file
         w.is_success, w.session_id AS sid, w.thread_agent AS agent_id, w.round_id, w.tool_use_id
  FROM work_files f JOIN work_events w USING (event_id);
