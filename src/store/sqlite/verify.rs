//! Checks every table against the tasks themselves; for tests and for whoever doubts a file.

use rusqlite::{Connection, Result};

use crate::time::Millis;

use super::row::{all, first};

/// Statements that must find nothing, with what it means if they do.
const FLAWS: &[(&str, &str)] = &[
    (
        "is not in exactly one place",
        "SELECT id FROM one WHERE (runs + (SELECT count(*) FROM ready y WHERE y.serial = one.serial)
            + (SELECT count(*) FROM timed d WHERE d.serial = one.serial) + is_plain + (state > 1)
            + (state = 0 AND blockers > 0 AND NOT runs)) <> 1",
    ),
    (
        "stands at another place than its record says",
        "SELECT t.id FROM ready y JOIN one t ON t.serial = y.serial
            WHERE y.lane <> t.lane OR y.grp <> coalesce(t.grp, '') OR y.rank <> -t.priority OR y.place <> t.place
        UNION ALL SELECT t.id FROM timed d JOIN one t ON t.serial = d.serial
            WHERE d.lane <> t.lane OR d.run_at <> t.run_at OR d.place <> t.place",
    ),
    (
        "is plain though something changes its turn",
        "SELECT id FROM one WHERE is_plain AND (grp IS NOT NULL OR priority <> 0 OR blockers > 0
            OR expires_at IS NOT NULL OR place <> serial OR flags & 1)",
    ),
    (
        "is in a place without being a task",
        "SELECT serial FROM (SELECT serial FROM ready UNION ALL SELECT serial FROM timed
            UNION ALL SELECT serial FROM running UNION ALL SELECT serial FROM expiring
            UNION ALL SELECT serial FROM status) WHERE serial NOT IN (SELECT serial FROM task)",
    ),
    (
        "has a wrong number of blockers",
        "SELECT t.id FROM one t WHERE t.state = 0 AND NOT t.runs
            AND t.blockers <> (SELECT count(*) FROM edge e WHERE e.dependent = t.serial AND e.wait_no = t.wait_no)",
    ),
    (
        "is awaited without knowing it",
        "SELECT t.id FROM edge e JOIN one t ON t.serial = e.blocker JOIN one d ON d.serial = e.dependent
            WHERE t.state = 0 AND t.flags & 2 = 0 AND e.wait_no = d.wait_no AND d.state = 0",
    ),
    (
        "waits for a task that has ended",
        "SELECT d.id FROM edge e JOIN one d ON d.serial = e.dependent LEFT JOIN one b ON b.serial = e.blocker
            WHERE d.state = 0 AND e.wait_no = d.wait_no AND coalesce(b.state, 2) > 1
            AND NOT EXISTS (SELECT 1 FROM cascade c WHERE c.blocker = e.blocker AND c.upto >= e.wait_no)",
    ),
    (
        "would not expire, or expires though it does not wait",
        "SELECT t.id FROM one t LEFT JOIN expiring x ON x.serial = t.serial
            WHERE (x.serial IS NOT NULL) <> (t.expires_at IS NOT NULL AND t.state = 0 AND NOT t.runs)
            OR x.at <> t.expires_at",
    ),
    (
        "has an end or an output without having ended",
        "SELECT id FROM one WHERE (state > 1) <> (finished_at IS NOT NULL) OR (state > 1) <> (end_no IS NOT NULL)
            OR (output IS NOT NULL AND state <> 2)",
    ),
    (
        "cannot be found in its workflow",
        "SELECT t.id FROM task t WHERE t.flow IS NOT t.extra ->> 'flow'",
    ),
    (
        "has notes without knowing it",
        "SELECT n.task FROM note n LEFT JOIN task t ON t.serial = n.task WHERE coalesce(t.flags, 0) & 64 = 0",
    ),
    (
        "does not hold its key",
        "SELECT t.id FROM one t JOIN lane l ON l.no = t.lane
            WHERE t.state = 0 AND t.flags & 1 AND t.flags & 4 = 0 AND NOT EXISTS (
                SELECT 1 FROM key k WHERE k.queue = l.queue AND k.text = t.extra ->> 'key' AND k.holder = t.serial)",
    ),
    (
        "is a key that is held by a task that has ended",
        "SELECT k.text FROM key k LEFT JOIN one t ON t.serial = k.holder
            WHERE k.holder IS NOT NULL AND coalesce(t.state, 2) <> 0
        UNION ALL SELECT k.text FROM key k LEFT JOIN one t ON t.id = k.after
            WHERE k.after IS NOT NULL AND (coalesce(t.state, 2) <> 0 OR t.flags & 4 = 0)",
    ),
    (
        "is a group whose head is not its best",
        "SELECT g.lane || ' ' || g.grp FROM
            (SELECT lane, grp, min(rank) AS rank FROM ready WHERE grp <> '' GROUP BY lane, grp) g
            LEFT JOIN head h ON h.lane = g.lane AND h.grp = g.grp
            WHERE h.rank IS NOT g.rank OR h.place IS NOT
                (SELECT min(place) FROM ready y WHERE y.lane = g.lane AND y.grp = g.grp AND y.rank = g.rank)
        UNION ALL SELECT lane || ' ' || grp FROM head h
            WHERE NOT EXISTS (SELECT 1 FROM ready y WHERE y.lane = h.lane AND y.grp = h.grp)",
    ),
    (
        "is a lane that counts wrong",
        "SELECT l.name FROM lane l LEFT JOIN (SELECT t.lane, count(d.serial) AS scheduled,
                sum(t.is_plain) + count(y.serial) AS waiting,
                sum(t.state = 0 AND d.serial IS NULL AND y.serial IS NULL AND NOT t.is_plain AND NOT t.runs) AS blocked,
                sum(t.runs) AS running, sum(t.state = 2) AS completed, sum(t.state = 3) AS failed,
                sum(t.state = 4) AS cancelled, sum(t.is_plain) + coalesce(sum(y.grp = ''), 0) AS plain
            FROM one t LEFT JOIN timed d ON d.serial = t.serial LEFT JOIN ready y ON y.serial = t.serial
            GROUP BY t.lane) n ON n.lane = l.no
            WHERE (l.scheduled, l.waiting, l.blocked, l.running, l.completed, l.failed, l.cancelled, l.plain)
            IS NOT (n.scheduled, n.waiting, n.blocked, n.running, n.completed, n.failed, n.cancelled, n.plain)",
    ),
    (
        "is a group of which a wrong number runs",
        "SELECT b.grp FROM busy b LEFT JOIN (SELECT l.name, t.grp, count(*) AS n FROM one t
                JOIN lane l ON l.no = t.lane WHERE t.runs AND t.grp IS NOT NULL GROUP BY l.name, t.grp) g
                ON g.name = b.name AND g.grp = b.grp WHERE g.n IS NOT b.running
        UNION ALL SELECT t.grp FROM one t JOIN lane l ON l.no = t.lane WHERE t.runs AND t.grp IS NOT NULL
            AND NOT EXISTS (SELECT 1 FROM busy b WHERE b.name = l.name AND b.grp = t.grp)",
    ),
    (
        "are counters that are wrong",
        "SELECT 'of the file' FROM meta m WHERE (m.waiting, m.completed, m.failed, m.cancelled) IS NOT
            (SELECT coalesce(sum(scheduled + waiting + blocked), 0), coalesce(sum(completed), 0),
                coalesce(sum(failed), 0), coalesce(sum(cancelled), 0) FROM lane)
            OR (m.completed_bytes, m.failed_bytes, m.cancelled_bytes) IS NOT
            (SELECT coalesce(sum(bytes * (state = 2)), 0), coalesce(sum(bytes * (state = 3)), 0),
                coalesce(sum(bytes * (state = 4)), 0) FROM one)",
    ),
    (
        "is run by a node that is not on the list",
        "SELECT serial FROM running WHERE node NOT IN (SELECT no FROM node)",
    ),
    (
        "was created before an older task, which nobody has noted",
        "SELECT b.id FROM task a JOIN task b ON b.serial = (SELECT min(serial) FROM task WHERE serial > a.serial)
            WHERE b.created_at < a.created_at AND b.serial > (SELECT unordered_to FROM meta)",
    ),
];

/// Every task with all that the tables say of it; `is_plain`: ready without a row that says so.
const ONE: &str = "WITH one AS MATERIALIZED (
    SELECT t.serial, t.id, t.lane, t.flags, t.grp, t.extra, coalesce(s.state, 0) AS state,
        coalesce(s.priority, t.priority) AS priority, coalesce(s.run_at, t.created_at) AS run_at,
        coalesce(s.place, t.serial) AS place, coalesce(s.wait_no, t.serial) AS wait_no,
        coalesce(s.blockers, 0) AS blockers, s.expires_at, s.finished_at, s.end_no, s.output,
        octet_length(t.input) + coalesce(octet_length(s.output), 0) AS bytes,
        r.serial IS NOT NULL AS runs, (t.flags & 32 <> 0 AND t.serial > l.cursor) AS is_plain
    FROM task t JOIN lane l ON l.no = t.lane LEFT JOIN status s ON s.serial = t.serial
    LEFT JOIN running r ON r.serial = t.serial) ";

/// What contradicts itself in the file, first things first.
pub(super) fn verify(db: &Connection, _now: Millis) -> Result<std::result::Result<(), String>> {
    let sound: String = first(&mut db.prepare("PRAGMA integrity_check(1)")?, [], |row| row.get(0))?
        .unwrap_or_else(|| "no answer".into());
    if sound != "ok" {
        return Ok(Err(sound));
    }
    for (what, sql) in FLAWS {
        let found = all(&mut db.prepare(&format!("{ONE}{sql}"))?, [], |row| {
            Ok(match row.get_ref(0)? {
                rusqlite::types::ValueRef::Text(text) => String::from_utf8_lossy(text).into_owned(),
                other => format!("{other:?}"),
            })
        })?;
        if let Some(one) = found.first() {
            return Ok(Err(format!("{one:?} {what} ({} of them)", found.len())));
        }
    }
    Ok(Ok(()))
}
