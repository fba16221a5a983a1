-- The tables of a task file. Times are milliseconds since the Unix epoch; NULL is "none".

-- Counters of the file: one row.
CREATE TABLE meta (
  one INTEGER PRIMARY KEY CHECK (one = 1),
  epoch INTEGER NOT NULL,             -- the latest claim
  serial INTEGER NOT NULL,            -- the latest number of a task, of a place, of a wait
  end_no INTEGER NOT NULL,            -- the latest end
  amended_to INTEGER NOT NULL,        -- where the latest amendment by filter has stopped
  created_at INTEGER NOT NULL,        -- of the latest task
  unordered_to INTEGER NOT NULL,      -- the latest task that was created, by a clock set back, before another one
  waiting INTEGER NOT NULL,           -- tasks that wait, for whatever reason
  completed INTEGER NOT NULL,
  failed INTEGER NOT NULL,
  cancelled INTEGER NOT NULL,
  completed_bytes INTEGER NOT NULL,
  failed_bytes INTEGER NOT NULL,
  cancelled_bytes INTEGER NOT NULL
) STRICT;
INSERT INTO meta VALUES (1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);

-- Tasks of one kind in one queue, with their number in each state that people see.
CREATE TABLE lane (
  no INTEGER PRIMARY KEY,
  queue TEXT NOT NULL,
  name TEXT NOT NULL,
  turn INTEGER NOT NULL,              -- of the latest claim, see head
  plain_turn INTEGER NOT NULL,        -- of the best task without a group
  plain INTEGER NOT NULL,             -- ready tasks without a group
  cursor INTEGER NOT NULL,            -- tasks flagged as plain after this one are ready, without a row in ready
  scheduled INTEGER NOT NULL,
  waiting INTEGER NOT NULL,
  blocked INTEGER NOT NULL,
  running INTEGER NOT NULL,
  completed INTEGER NOT NULL,
  failed INTEGER NOT NULL,
  cancelled INTEGER NOT NULL,
  UNIQUE (name, queue)
) STRICT;

-- Retry policies: few, and the same for many tasks.
CREATE TABLE retry (no INTEGER PRIMARY KEY, policy TEXT NOT NULL UNIQUE) STRICT;

-- What was pushed. Only flags change, and the input where a debounce replaces it.
CREATE TABLE task (
  serial INTEGER PRIMARY KEY,         -- order of creation
  id TEXT NOT NULL UNIQUE,
  lane INTEGER NOT NULL,
  flags INTEGER NOT NULL,             -- see row.rs
  priority INTEGER NOT NULL,
  created_at INTEGER NOT NULL,
  retry INTEGER NOT NULL,
  input TEXT NOT NULL,
  timeout INTEGER,
  grp TEXT,
  extra TEXT,                         -- what few tasks have, as JSON: see row.rs
  flow TEXT                           -- the workflow, as extra has it too: for the index
) STRICT;
CREATE INDEX task_lane ON task (lane);
CREATE INDEX task_grp ON task (grp) WHERE grp IS NOT NULL;
CREATE INDEX task_flow ON task (flow) WHERE flow IS NOT NULL;

-- How far a task has come. One that waits since it was pushed, or runs for the first time, has no row here;
-- NULL is what such a task has.
CREATE TABLE status (
  serial INTEGER PRIMARY KEY,
  state INTEGER NOT NULL,             -- 0 unfinished (see running), 2 completed, 3 failed, 4 cancelled
  cause INTEGER,
  epoch INTEGER NOT NULL,             -- the latest claim that has ended
  started_at INTEGER,
  first_started_at INTEGER,
  finished_at INTEGER,
  end_no INTEGER,
  output TEXT,
  priority INTEGER,
  run_at INTEGER,
  place INTEGER,                      -- order of arrival among its equals
  wait_no INTEGER,                    -- of its present wait for others
  blockers INTEGER,
  failures INTEGER,
  losses INTEGER,
  expires_at INTEGER,
  cancel TEXT,
  attempts TEXT                       -- failed attempts, as JSON
) STRICT;
CREATE INDEX status_end ON status (state, end_no) WHERE state > 1;

-- Claims: which of the unfinished tasks run, and where.
CREATE TABLE running (
  serial INTEGER PRIMARY KEY,
  epoch INTEGER NOT NULL,
  node INTEGER NOT NULL,
  started_at INTEGER NOT NULL,
  stop INTEGER NOT NULL               -- 1: asked to stop
) STRICT;
CREATE INDEX running_stop ON running (node) WHERE stop = 1;

-- Where waiting tasks stand: ready (here, or plain: see lane), timed, or else blocked. A group of '' is none.
CREATE TABLE ready (
  lane INTEGER NOT NULL,
  grp TEXT NOT NULL,
  rank INTEGER NOT NULL,              -- the priority, negated: smaller goes first
  place INTEGER NOT NULL,
  serial INTEGER NOT NULL,
  PRIMARY KEY (lane, grp, rank, place)
) STRICT, WITHOUT ROWID;

-- The best ready task of each named group, with its turn: groups of one rank take turns.
CREATE TABLE head (
  lane INTEGER NOT NULL,
  grp TEXT NOT NULL,
  rank INTEGER NOT NULL,
  turn INTEGER NOT NULL,
  place INTEGER NOT NULL,
  serial INTEGER NOT NULL,
  PRIMARY KEY (lane, grp)
) STRICT, WITHOUT ROWID;
CREATE INDEX head_order ON head (lane, rank, turn, place);

CREATE TABLE timed (
  run_at INTEGER NOT NULL,
  place INTEGER NOT NULL,
  serial INTEGER NOT NULL,
  lane INTEGER NOT NULL,
  PRIMARY KEY (run_at, place)
) STRICT, WITHOUT ROWID;

-- Waiting tasks that have a last moment to start.
CREATE TABLE expiring (at INTEGER NOT NULL, serial INTEGER NOT NULL, PRIMARY KEY (at, serial)) STRICT, WITHOUT ROWID;

-- Who waits for whom; an edge whose wait_no is not that of its task any more is void.
CREATE TABLE edge (
  blocker INTEGER NOT NULL,
  wait_no INTEGER NOT NULL,
  dependent INTEGER NOT NULL,
  on_failure INTEGER NOT NULL,        -- 0 cancel, 1 run
  PRIMARY KEY (blocker, wait_no)
) STRICT, WITHOUT ROWID;

-- Ended tasks whose dependents have not all been told: edges up to a wait_no.
CREATE TABLE cascade (
  no INTEGER PRIMARY KEY,
  blocker INTEGER NOT NULL,
  upto INTEGER NOT NULL,
  completed INTEGER NOT NULL
) STRICT;

-- What runs have noted down; the keys of lines sort like their claims and numbers.
CREATE TABLE note (
  task INTEGER NOT NULL,
  kind INTEGER NOT NULL,              -- 0 progress, 1 result of a step, 2 line of the log
  key TEXT NOT NULL,
  value TEXT NOT NULL,
  PRIMARY KEY (task, kind, key)
) STRICT, WITHOUT ROWID;

-- Unique keys; see keys.rs.
CREATE TABLE key (
  queue TEXT NOT NULL,
  text TEXT NOT NULL,
  holder INTEGER,
  after TEXT,
  last TEXT NOT NULL,
  quiet_until INTEGER NOT NULL,
  first_at INTEGER NOT NULL,
  PRIMARY KEY (queue, text)
) STRICT, WITHOUT ROWID;
CREATE INDEX key_quiet ON key (quiet_until) WHERE holder IS NULL AND after IS NULL;

-- Running tasks of groups, over all queues of a kind.
CREATE TABLE busy (name TEXT NOT NULL, grp TEXT NOT NULL, running INTEGER NOT NULL, PRIMARY KEY (name, grp)) STRICT, WITHOUT ROWID;

-- Shared rates: the theoretical arrival time, in microseconds.
CREATE TABLE rate (key TEXT NOT NULL, grp TEXT NOT NULL, arrival INTEGER NOT NULL, PRIMARY KEY (key, grp)) STRICT, WITHOUT ROWID;

CREATE TABLE cell (key TEXT PRIMARY KEY, value TEXT NOT NULL, due_at INTEGER) STRICT, WITHOUT ROWID;
CREATE INDEX cell_due ON cell (due_at) WHERE due_at IS NOT NULL;

CREATE TABLE node (
  no INTEGER PRIMARY KEY,
  id TEXT NOT NULL UNIQUE,
  host TEXT NOT NULL,
  pid INTEGER NOT NULL,
  beat_at INTEGER NOT NULL,           -- when it was first seen
  orphaned_to INTEGER NOT NULL,       -- claims up to this one have been given up
  declared_dead INTEGER NOT NULL      -- 1: and it has not been told yet
) STRICT;
