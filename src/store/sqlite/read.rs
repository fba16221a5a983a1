//! Reading: records by id, lists, counts, cells, orphans. Each answer is one snapshot of the file.
//!
//! A list goes from the newest task to the oldest, lane by lane and merged, along an index. Where few tasks
//! are in the wanted states, they are taken from where such tasks are kept instead. A time of creation bounds
//! the numbers that are looked at, since both grow together but where the clock was set back.

use std::time::{Duration, Instant};

use rusqlite::types::Value;
use rusqlite::{Connection, Result, params, params_from_iter};

use crate::store::query::MARK;
use crate::store::{Cell, Counts, Due, Filter, Found, NodeId, Page, Query};
use crate::task::{Claimed, Name, Record, TaskId, View};
use crate::time::Millis;

use super::filter::{Chosen, Dictionary, lanes_of, list as numbers};
use super::row::{self, Task, all, first, limit, signed};
use super::statements::select_task;

/// Fewer tasks than this are sorted rather than searched for.
const FEW: u64 = 5000;
/// A page that searches texts ends after this time, wherever it has come.
const SEARCH_TIME: Duration = Duration::from_millis(200);

pub(super) fn get(db: &Connection, ids: &[TaskId], now: Millis) -> Result<Found> {
    let mut names = Dictionary::new(db);
    let mut sql = db.prepare_cached(select_task!("WHERE t.id = ?1"))?;
    let mut records = Vec::with_capacity(ids.len());
    for id in ids {
        records.push(first(&mut sql, [id.as_str()], |row| row::task(row, &mut names))?.map(Task::record));
    }
    Ok(Found { now, records })
}

pub(super) fn counts(db: &Connection, queue: Option<&Name>, now: Millis) -> Result<Counts> {
    let mut counts = Counts::default();
    let sql = "SELECT total(scheduled), total(waiting), total(blocked), total(running), total(completed),
        total(failed), total(cancelled) FROM lane WHERE ?1 IS NULL OR queue = ?1";
    first(&mut *db.prepare_cached(sql)?, [queue.map(|queue| &**queue)], |row| {
        for (at, count) in counts.by_view.iter_mut().enumerate() {
            *count = row.get::<_, f64>(at)? as u64;
        }
        Ok(())
    })?;
    // What is due waits for its turn, promoted or not.
    let sql = "SELECT count(*) FROM timed WHERE run_at <= ?1
        AND (?2 IS NULL OR lane IN (SELECT no FROM lane WHERE queue = ?2))";
    let due: i64 =
        first(&mut *db.prepare_cached(sql)?, params![signed(now), queue.map(|queue| &**queue)], |row| {
            row.get(0)
        })?
        .unwrap_or(0);
    let due = due as u64;
    counts.by_view[View::Scheduled as usize] -= due;
    counts.by_view[View::Waiting as usize] += due;
    Ok(counts)
}

pub(super) fn cell(db: &Connection, key: &Name) -> Result<Option<Cell>> {
    let mut sql = db.prepare_cached("SELECT value, due_at FROM cell WHERE key = ?1")?;
    first(&mut sql, [&**key], |row| Ok(Cell { value: row.get(0)?, due_at: limit(row, 1)? }))
}

pub(super) fn cells(
    db: &Connection,
    prefix: &str,
    after: Option<&str>,
    max: usize,
) -> Result<Vec<(Name, Cell)>> {
    // No text has the last of all bytes.
    let sql = "SELECT key, value, due_at FROM cell
        WHERE key >= ?1 AND key < ?1 || CAST(x'ff' AS TEXT) AND (?2 IS NULL OR key > ?2) ORDER BY key LIMIT ?3";
    all(&mut *db.prepare_cached(sql)?, params![prefix, after, max as i64], |row| {
        Ok((row.get::<_, Name>(0)?, Cell { value: row.get(1)?, due_at: limit(row, 2)? }))
    })
}

pub(super) fn due(db: &Connection, max: usize, now: Millis) -> Result<Due> {
    let sql = "SELECT key, value, due_at FROM cell WHERE due_at IS NOT NULL ORDER BY due_at, key LIMIT ?1";
    let mut dated = all(&mut *db.prepare_cached(sql)?, [max as i64 + 1], |row| {
        Ok((row.get::<_, Name>(0)?, Cell { value: row.get(1)?, due_at: limit(row, 2)? }))
    })?;
    let is_due = |cell: &Cell| cell.due_at.is_some_and(|at| at <= now);
    let found = dated.iter().take(max).take_while(|(_, cell)| is_due(cell)).count();
    let next_at = dated.get(found).and_then(|(_, cell)| cell.due_at);
    dated.truncate(found);
    Ok(Due { now, cells: dated, next_at })
}

pub(super) fn orphans(db: &Connection, nodes: &[NodeId], max: usize, now: Millis) -> Result<Vec<Claimed>> {
    let mut names = Dictionary::new(db);
    let mut sql = db.prepare_cached(select_task!(
        "JOIN node n ON n.no = r.node WHERE n.id = ?1 AND r.epoch <= n.orphaned_to ORDER BY r.epoch LIMIT ?2"
    ))?;
    let mut found = Vec::new();
    for node in nodes {
        let left = (max - found.len()) as i64;
        let tasks = all(&mut sql, params![&**node, left], |row| row::task(row, &mut names))?;
        found.extend(tasks.into_iter().map(|Task { spec, status, .. }| Claimed {
            spec,
            epoch: status.epoch,
            priority: status.priority,
            failures: status.failures,
            losses: status.losses,
            elapsed: now.saturating_sub(status.first_started_at.unwrap_or(now)),
        }));
    }
    Ok(found)
}

/// A page; `None` where the cursor is neither of a page nor the id of a task.
pub(super) fn list(db: &Connection, query: &Query, now: Millis) -> Result<Option<Page>> {
    let before = match query.cursor.as_deref() {
        None => i64::MAX,
        Some(cursor) => match position(db, cursor)? {
            Some(at) => at,
            None => return Ok(None),
        },
    };
    let lanes = lanes_of(db, query.filter.queue.as_ref(), query.filter.name.as_ref())?;
    let chosen = Chosen::new(&query.filter, lanes, now);
    let (first, last) = bounds(db, &query.filter)?;
    let mut walk = Walk { db, names: Dictionary::new(db), first, until: Instant::now() + SEARCH_TIME };
    let before = before.min(last);
    let (tasks, cursor) = match few(db, &query.filter, now)? {
        Some(source) => walk.sorted(&chosen, &source, before, query.limit)?,
        None => walk.merged(&chosen, &query.filter, before, query.limit)?,
    };
    let cursor = cursor.map(|serial| format!("{MARK}{serial}").into());
    let records: Vec<Record> = tasks.into_iter().map(Task::record).collect();
    Ok(Some(Page { now, records, cursor }))
}

fn position(db: &Connection, cursor: &str) -> Result<Option<i64>> {
    match cursor.strip_prefix(MARK) {
        Some(serial) => Ok(serial.parse().ok()),
        None => {
            let mut sql = db.prepare_cached("SELECT serial FROM task WHERE id = ?1")?;
            first(&mut sql, [cursor], |row| row.get(0))
        }
    }
}

/// The numbers between which all tasks are that were created at these times: the first one, and one more than
/// the last.
fn bounds(db: &Connection, filter: &Filter) -> Result<(i64, i64)> {
    if filter.created_after.is_none() && filter.created_before.is_none() {
        return Ok((0, i64::MAX));
    }
    let mut sql = db.prepare_cached("SELECT unordered_to, serial FROM meta")?;
    let (unordered_to, newest) =
        first(&mut sql, [], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?)))?.unwrap_or((0, 0));
    let mut sql =
        db.prepare_cached("SELECT created_at FROM task WHERE serial >= ?1 ORDER BY serial LIMIT 1")?;
    // The first number after those in disorder whose task, or the next one, was created so late.
    let mut reaches = |at: Millis| -> Result<i64> {
        let (mut low, mut high) = (unordered_to + 1, newest + 1);
        while low < high {
            let middle = low + (high - low) / 2;
            let created: Option<i64> = first(&mut sql, [middle], |row| row.get(0))?;
            if created.is_none_or(|created| created >= signed(at)) { high = middle } else { low = middle + 1 }
        }
        Ok(low)
    };
    let first = match filter.created_after {
        // What was created in disorder may match as well.
        Some(at) => reaches(at.saturating_add(1))?.min(if unordered_to > 0 { 0 } else { i64::MAX }),
        None => 0,
    };
    let last = match filter.created_before {
        Some(at) => reaches(at)?,
        None => i64::MAX,
    };
    Ok((first, last))
}

/// Its tasks have an index of their own.
fn is_indexed(filter: &Filter) -> bool {
    filter.group.is_some() || filter.flow.is_some()
}

/// The condition that gives a short list of candidates, where the states that are wanted are rare.
fn few(db: &Connection, filter: &Filter, now: Millis) -> Result<Option<String>> {
    let is_kept = |view: &View| !matches!(view, View::Blocked | View::Scheduled | View::Waiting);
    if filter.views.is_empty() || is_indexed(filter) || !filter.views.iter().all(is_kept) {
        return Ok(None);
    }
    let there = counts(db, filter.queue.as_ref(), now)?;
    if filter.views.iter().map(|view| there.of(*view)).sum::<u64>() > FEW {
        return Ok(None);
    }
    let sources: Vec<&str> = filter
        .views
        .iter()
        .map(|view| match view {
            View::Running => "SELECT serial FROM running",
            View::Completed => "SELECT serial FROM status WHERE state = 2",
            View::Failed => "SELECT serial FROM status WHERE state = 3",
            _ => "SELECT serial FROM status WHERE state = 4",
        })
        .collect();
    Ok(Some(sources.join(" UNION ")))
}

struct Walk<'d> {
    db: &'d Connection,
    names: Dictionary<'d>,
    /// No task before this one matches.
    first: i64,
    until: Instant,
}

impl Walk<'_> {
    /// Candidates from where tasks of their state are kept.
    fn sorted(
        &mut self,
        chosen: &Chosen,
        source: &str,
        before: i64,
        max: usize,
    ) -> Result<(Vec<Task>, Option<i64>)> {
        let lanes = chosen.lanes.as_ref().map(|lanes| format!(" AND t.lane IN ({})", numbers(lanes)));
        let sql = format!(
            "{} WHERE t.serial IN ({source}){} AND {} AND t.serial < ? ORDER BY t.serial DESC",
            select_task!(""),
            lanes.unwrap_or_default(),
            chosen.condition
        );
        let mut statement = self.db.prepare_cached(&sql)?;
        let bounds = [Value::Integer(before)];
        let mut rows = statement.query(params_from_iter(chosen.values.iter().chain(&bounds)))?;
        let mut page: Vec<Task> = Vec::new();
        while let Some(row) = rows.next()? {
            let task = row::task(row, &mut self.names)?;
            if chosen.is_in(&task) {
                if page.len() == max {
                    let cursor = page.last().map(|task| task.serial);
                    return Ok((page, cursor));
                }
                page.push(task);
            }
        }
        Ok((page, None))
    }

    /// Along the index of the group, or of every lane, merged.
    fn merged(
        &mut self,
        chosen: &Chosen,
        filter: &Filter,
        before: i64,
        max: usize,
    ) -> Result<(Vec<Task>, Option<i64>)> {
        let sources: Vec<String> = match (is_indexed(filter), &chosen.lanes) {
            (true, None) => vec!["1".into()],
            (true, Some(lanes)) => vec![format!("t.lane IN ({})", numbers(lanes))],
            (false, lanes) => {
                let lanes = match lanes {
                    Some(lanes) => lanes.clone(),
                    None => self.lanes_with(&filter.views)?,
                };
                lanes.iter().map(|lane| format!("t.lane = {lane}")).collect()
            }
        };
        let source = |lane| Source { lane, before, rows: Vec::new(), is_read: false };
        let mut streams: Vec<Source> = sources.into_iter().map(source).collect();
        let mut page: Vec<Task> = Vec::new();
        let mut seen = before;
        loop {
            let mut best: Option<(i64, usize)> = None;
            for (at, stream) in streams.iter_mut().enumerate() {
                self.fill(chosen, stream, max)?;
                best = best.max(stream.rows.last().map(|task| (task.serial, at)));
            }
            let Some(task) = best.and_then(|(_, at)| streams[at].rows.pop()) else { return Ok((page, None)) };
            if page.len() == max || chosen.searches() && Instant::now() > self.until {
                return Ok((page, Some(seen)));
            }
            seen = task.serial;
            if chosen.is_in(&task) {
                page.push(task);
            }
        }
    }

    /// Lanes that have tasks in these states at all.
    fn lanes_with(&self, views: &[View]) -> Result<Vec<i64>> {
        let columns: Vec<&str> = views.iter().map(|view| view.as_str()).collect();
        // What is due counts as scheduled until it has been promoted.
        let due = if views.contains(&View::Waiting) { " + scheduled" } else { "" };
        let sql = match columns.is_empty() {
            true => "SELECT no FROM lane".to_owned(),
            false => format!("SELECT no FROM lane WHERE {}{due} > 0", columns.join(" + ")),
        };
        all(&mut *self.db.prepare_cached(&sql)?, [], |row| row.get(0))
    }

    fn fill(&mut self, chosen: &Chosen, source: &mut Source, max: usize) -> Result<()> {
        if !source.rows.is_empty() || source.is_read {
            return Ok(());
        }
        let chunk = max.clamp(1, 128) + 1;
        let sql = format!(
            "{} WHERE {} AND {} AND t.serial < ? AND t.serial >= ? ORDER BY t.serial DESC LIMIT {chunk}",
            select_task!(""),
            source.lane,
            chosen.condition
        );
        let mut statement = self.db.prepare_cached(&sql)?;
        let bounds = [Value::Integer(source.before), Value::Integer(self.first)];
        let mut rows = statement.query(params_from_iter(chosen.values.iter().chain(&bounds)))?;
        while let Some(row) = rows.next()? {
            source.rows.push(row::task(row, &mut self.names)?);
        }
        source.is_read = source.rows.len() < chunk;
        source.before = source.rows.last().map_or(source.before, |last| last.serial);
        source.rows.reverse();
        Ok(())
    }
}

/// Part of a merged list: the rows at hand, newest last, and where to go on.
struct Source {
    lane: String,
    before: i64,
    rows: Vec<Task>,
    is_read: bool,
}
