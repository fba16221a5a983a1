//! Every statement of the writer, prepared once for the life of its connection.

use rusqlite::{Connection, PrepFlags, Statement};

macro_rules! statements {
    ($($name:ident: $sql:expr,)*) => {
        /// Prepared statements by name.
        pub(super) struct Statements<'c> {
            $(pub $name: Statement<'c>,)*
        }

        impl<'c> Statements<'c> {
            pub fn prepare(db: &'c Connection) -> rusqlite::Result<Self> {
                Ok(Self {
                    $($name: db.prepare_with_flags($sql, PrepFlags::SQLITE_PREPARE_PERSISTENT)?,)*
                })
            }
        }
    };
}

/// A task with its lane, its claim and its node: what `row::task` reads, in this order.
macro_rules! select_task {
    ($rest:literal) => {
        concat!(
            "SELECT t.serial, t.id, t.lane, t.flags, t.priority, t.created_at, t.retry, t.input, t.timeout, t.grp,",
            " t.extra, s.state, s.cause, s.epoch, s.started_at, s.first_started_at, s.finished_at, s.end_no,",
            " s.output, s.priority, s.run_at, s.place, s.wait_no, s.blockers, s.failures, s.losses, s.expires_at,",
            " s.cancel, s.attempts, r.epoch, r.node, r.started_at",
            " FROM task t LEFT JOIN status s ON s.serial = t.serial LEFT JOIN running r ON r.serial = t.serial ",
            $rest
        )
    };
}
pub(super) use select_task;

statements! {
    begin: "BEGIN IMMEDIATE",
    commit: "COMMIT",
    rollback: "ROLLBACK",
    data_version: "PRAGMA data_version",

    meta: "SELECT epoch, serial, end_no, amended_to, created_at, unordered_to, waiting, completed, failed, cancelled,
        completed_bytes, failed_bytes, cancelled_bytes FROM meta",
    set_meta: "UPDATE meta SET epoch = ?1, serial = ?2, end_no = ?3, amended_to = ?4, created_at = ?5,
        unordered_to = ?6, waiting = ?7, completed = ?8, failed = ?9, cancelled = ?10, completed_bytes = ?11,
        failed_bytes = ?12, cancelled_bytes = ?13",

    lane: "SELECT queue, name, turn, plain_turn, plain, cursor, scheduled, waiting, blocked, running, completed, failed, cancelled
        FROM lane WHERE no = ?1",
    lane_no: "SELECT no FROM lane WHERE name = ?1 AND queue = ?2",
    lanes_of: "SELECT no FROM lane WHERE name = ?1",
    add_lane: "INSERT INTO lane VALUES ((SELECT coalesce(max(no), 0) + 1 FROM lane), ?1, ?2, 0, 0, 0, ?3, 0, 0, 0, 0, 0, 0, 0)",
    set_lane: "UPDATE lane SET turn = ?2, plain_turn = ?3, plain = ?4, cursor = ?5, scheduled = ?6, waiting = ?7,
        blocked = ?8, running = ?9, completed = ?10, failed = ?11, cancelled = ?12 WHERE no = ?1",
    drop_lane: "DELETE FROM lane WHERE no = ?1",

    retry: "SELECT policy FROM retry WHERE no = ?1",
    retry_no: "SELECT no FROM retry WHERE policy = ?1",
    add_retry: "INSERT INTO retry (policy) VALUES (?1)",

    add_task: "INSERT INTO task VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12) ON CONFLICT (id) DO NOTHING",
    task_by_id: select_task!("WHERE t.id = ?1"),
    task: select_task!("WHERE t.serial = ?1"),
    known: "SELECT serial, input, flags FROM task WHERE id = ?1",
    serial: "SELECT serial FROM task WHERE id = ?1",
    state: "SELECT t.serial, coalesce(s.state, 0) FROM task t LEFT JOIN status s ON s.serial = t.serial WHERE t.id = ?1",
    set_status: "INSERT OR REPLACE INTO status VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14,
        ?15, ?16, ?17, ?18, ?19)",
    add_blocked: "INSERT INTO status (serial, state, epoch, wait_no, blockers) VALUES (?1, 0, 0, ?2, ?3)",
    set_flags: "UPDATE task SET flags = ?2 WHERE serial = ?1",
    add_flag: "UPDATE task SET flags = flags | ?2 WHERE serial = ?1",
    set_input: "UPDATE task SET flags = ?2, input = ?3 WHERE serial = ?1",
    // The common end: a run that nobody asked to stop, of a task without a key; ?9: whether others wait for it.
    complete: "INSERT INTO status (serial, state, cause, epoch, started_at, first_started_at, finished_at, end_no, output)
        SELECT serial, 2, ?3, ?4, ?5, ?5, ?6, ?7, ?8 FROM task WHERE serial = ?1 AND id = ?2 AND flags & 7 = ?9
        ON CONFLICT (serial) DO NOTHING",
    // The same of a task that has waited for others, or run before.
    complete_again: "UPDATE status SET state = 2, cause = ?3, epoch = ?4, started_at = ?5,
        first_started_at = coalesce(first_started_at, ?5), finished_at = ?6, end_no = ?7, output = ?8, failures = ?10,
        losses = ?11, expires_at = NULL WHERE serial = ?1 AND state = 0 AND cancel IS NULL
        AND (SELECT flags & 7 FROM task WHERE serial = ?1 AND id = ?2) = ?9",
    drop_task: "DELETE FROM task WHERE serial = ?1",
    drop_status: "DELETE FROM status WHERE serial = ?1",

    run: "INSERT INTO running VALUES (?1, ?2, ?3, ?4, 0)",
    end_run: "DELETE FROM running WHERE serial = ?1 AND epoch = ?2",
    ask_to_stop: "UPDATE running SET stop = 1 WHERE serial = ?1",

    add_ready: "INSERT INTO ready VALUES (?1, ?2, ?3, ?4, ?5)",
    drop_ready: "DELETE FROM ready WHERE lane = ?1 AND grp = ?2 AND rank = ?3 AND place = ?4",
    drop_ready_upto: "DELETE FROM ready WHERE lane = ?1 AND grp = ?2 AND (rank, place) <= (?3, ?4)",
    best_ready: "SELECT rank, place, serial FROM ready WHERE lane = ?1 AND grp = ?2 ORDER BY rank, place LIMIT 1",
    next_ready: concat!(
        "SELECT y.rank, y.place, t.serial, t.id, t.flags, t.priority, t.retry, t.timeout, t.grp, t.input, t.extra,",
        " s.priority, s.failures, s.losses, s.expires_at, s.first_started_at, s.serial",
        " FROM ready y CROSS JOIN task t ON t.serial = y.serial LEFT JOIN status s ON s.serial = y.serial",
        " WHERE y.lane = ?1 AND y.grp = ?2 AND (y.rank, y.place) > (?3, ?4)",
        " ORDER BY y.rank, y.place LIMIT ?5"
    ),
    next_plain: "SELECT serial, id, flags, retry, timeout, input, extra FROM task INDEXED BY task_lane
        WHERE lane = ?1 AND serial > ?2 AND serial < ?3 ORDER BY serial LIMIT ?4",
    head: "SELECT rank, turn, place, serial FROM head WHERE lane = ?1 AND grp = ?2",
    heads: "SELECT grp, rank, turn, place, serial FROM head WHERE lane = ?1 AND (rank, turn, place) > (?2, ?3, ?4)
        ORDER BY rank, turn, place LIMIT ?5",
    set_head: "INSERT OR REPLACE INTO head VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    drop_head: "DELETE FROM head WHERE lane = ?1 AND grp = ?2",
    add_timed: "INSERT INTO timed VALUES (?1, ?2, ?3, ?4)",
    drop_timed: "DELETE FROM timed WHERE run_at = ?1 AND place = ?2",
    due_timed: "SELECT serial FROM timed WHERE run_at <= ?1 ORDER BY run_at, place LIMIT ?2",
    first_timed: "SELECT run_at FROM timed ORDER BY run_at LIMIT 1",
    add_expiring: "INSERT INTO expiring VALUES (?1, ?2)",
    drop_expiring: "DELETE FROM expiring WHERE at = ?1 AND serial = ?2",
    due_expiring: "SELECT serial FROM expiring WHERE at <= ?1 ORDER BY at, serial LIMIT ?2",
    first_expiring: "SELECT at FROM expiring ORDER BY at LIMIT 1",

    set_note: "UPDATE note SET value = ?4 WHERE task = ?1 AND kind = ?2 AND key = ?3",
    add_note: "INSERT INTO note VALUES (?1, ?2, ?3, ?4)",
    count_notes: "SELECT count(*) FROM note WHERE task = ?1 AND kind = ?2",
    trim_lines: "DELETE FROM note WHERE task = ?1 AND kind = 2 AND key <=
        (SELECT key FROM note WHERE task = ?1 AND kind = 2 ORDER BY key DESC LIMIT 1 OFFSET ?2)",
    drop_steps: "DELETE FROM note WHERE task = ?1 AND kind = 1",
    drop_notes: "DELETE FROM note WHERE task = ?1",

    add_edge: "INSERT INTO edge VALUES (?1, ?2, ?3, ?4)",
    edges: "SELECT wait_no, dependent, on_failure FROM edge WHERE blocker = ?1 AND wait_no <= ?2 ORDER BY wait_no LIMIT ?3",
    drop_edges: "DELETE FROM edge WHERE blocker = ?1 AND wait_no <= ?2",
    blocked: "SELECT s.blockers, s.run_at, s.priority, s.place, t.lane, t.priority, t.grp IS NULL
        FROM status s CROSS JOIN task t ON t.serial = s.serial
        WHERE s.serial = ?1 AND s.wait_no = ?2 AND s.state = 0 AND s.blockers > 0",
    set_blockers: "UPDATE status SET blockers = ?2 WHERE serial = ?1",
    add_cascade: "INSERT INTO cascade (blocker, upto, completed) VALUES (?1, ?2, ?3)",
    first_cascade: "SELECT no, blocker, upto, completed FROM cascade ORDER BY no LIMIT 1",
    drop_cascade: "DELETE FROM cascade WHERE no = ?1",

    key: "SELECT holder, after, last, quiet_until, first_at FROM key WHERE queue = ?1 AND text = ?2",
    set_key: "INSERT OR REPLACE INTO key VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    drop_key: "DELETE FROM key WHERE queue = ?1 AND text = ?2",
    quiet_keys: "SELECT queue, text FROM key WHERE holder IS NULL AND after IS NULL AND quiet_until <= ?1 LIMIT ?2",

    busy: "SELECT running FROM busy WHERE name = ?1 AND grp = ?2",
    set_busy: "INSERT OR REPLACE INTO busy VALUES (?1, ?2, ?3)",
    drop_busy: "DELETE FROM busy WHERE name = ?1 AND grp = ?2",
    rate: "SELECT arrival FROM rate WHERE key = ?1 AND grp = ?2",
    set_rate: "INSERT OR REPLACE INTO rate VALUES (?1, ?2, ?3)",
    tidy_rates: "DELETE FROM rate WHERE arrival <= ?1",

    cell: "SELECT value, due_at FROM cell WHERE key = ?1",
    set_cell: "INSERT OR REPLACE INTO cell VALUES (?1, ?2, ?3)",
    drop_cell: "DELETE FROM cell WHERE key = ?1",

    node: "SELECT no FROM node WHERE id = ?1",
    node_id: "SELECT id FROM node WHERE no = ?1",
    add_node: "INSERT INTO node (id, host, pid, beat_at, orphaned_to, declared_dead) VALUES (?1, ?2, ?3, ?4, 0, 0)",
    declare_dead: "UPDATE node SET orphaned_to = ?2, declared_dead = 1 WHERE id = ?1",
    told_dead: "UPDATE node SET declared_dead = 0 WHERE id = ?1 AND declared_dead = 1",
    drop_node: "DELETE FROM node WHERE id = ?1 AND no NOT IN (SELECT node FROM running)",

    ended: "SELECT s.serial, t.lane, s.finished_at, octet_length(t.input) + coalesce(octet_length(s.output), 0),
        t.flags & 64
        FROM status s INDEXED BY status_end CROSS JOIN task t ON t.serial = s.serial
        WHERE s.state > 1 AND s.state = ?1 ORDER BY s.end_no LIMIT ?2",
}
