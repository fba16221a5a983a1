//! What ends tells those that wait for it.
//!
//! A step tells at most so many edges; what it leaves is written with the commit and comes first the next time.
//! Invariant: an edge is gone as soon as its dependent has been told, in the same transaction.

use rusqlite::{Result, Row, params};

use crate::store::plan::BLOCKED;
use crate::task::{Cause, State, TaskId, View};

use super::ledger::{Ledger, Owed};
use super::row::{Task, all, first, signed};

/// A waiting task and the number of its wait: once for each blocker that ended, and does not stop it.
type Told = Vec<(i64, i64)>;

impl Ledger<'_> {
    /// Tells up to `max` dependents of ended tasks.
    pub fn cascade(&mut self, max: usize, ended: &mut Vec<TaskId>) -> Result<()> {
        let mut told = Told::new();
        self.tell_all(max, &mut told, ended)?;
        // Together: a wide fan-in hears of many blockers in one step, and a narrow one often of its last two.
        told.sort_unstable();
        for same in told.chunk_by(|one, other| one == other) {
            let (serial, wait_no) = same[0];
            self.release(serial, wait_no, same.len() as u32)?;
        }
        Ok(())
    }

    fn tell_all(&mut self, max: usize, told: &mut Told, ended: &mut Vec<TaskId>) -> Result<()> {
        let (mut left, mut is_empty) = (max, false);
        while left > 0 {
            let read = |row: &Row<'_>| {
                Ok((
                    row.get::<_, i64>(0)?,
                    Owed { blocker: row.get(1)?, upto: row.get(2)?, completed: row.get(3)? },
                ))
            };
            // What earlier steps have left comes first.
            let written = if is_empty { None } else { first(&mut self.sql.first_cascade, [], read)? };
            is_empty = written.is_none();
            let Some((no, owed)) =
                written.map(|(no, owed)| (Some(no), owed)).or_else(|| Some((None, self.owed.pop_front()?)))
            else {
                return Ok(());
            };
            let Owed { blocker, upto, completed } = owed;
            let read =
                |row: &Row<'_>| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?, row.get::<_, bool>(2)?));
            let edges = all(&mut self.sql.edges, params![blocker, upto, left as i64], read)?;
            let is_last = edges.len() < left;
            for (wait_no, dependent, runs_anyway) in &edges {
                if completed || *runs_anyway {
                    told.push((*dependent, *wait_no));
                } else {
                    self.stop_blocked(*dependent, *wait_no, ended)?;
                }
            }
            left -= edges.len();
            if let Some((wait_no, ..)) = edges.last() {
                self.sql.drop_edges.execute(params![blocker, wait_no])?;
            }
            match (no, is_last) {
                (Some(no), true) => drop(self.sql.drop_cascade.execute([no])?),
                (None, false) => self.owed.push_front(owed),
                _ => {}
            }
        }
        Ok(())
    }

    /// A blocker of this wait did not complete.
    fn stop_blocked(&mut self, serial: i64, wait_no: i64, ended: &mut Vec<TaskId>) -> Result<()> {
        let waits = |task: &Task| task.wait_no == wait_no && task.status.state == State::Waiting;
        let Some(mut task) = self.at(serial)?.filter(waits) else { return Ok(()) };
        self.unplace(&mut task)?;
        task.status.cancel = Some(BLOCKED.into());
        ended.push(task.spec.id.clone());
        self.finish(&mut task, Cause::Block)
    }

    /// So many blockers of this wait less, without reading the record where that can be done: the record of a
    /// wide fan-in is long.
    fn release(&mut self, serial: i64, wait_no: i64, told: u32) -> Result<()> {
        let read = |row: &Row<'_>| {
            let priority = row.get::<_, Option<i32>>(2)?.map_or_else(|| row.get(5), Ok)?;
            Ok((
                row.get::<_, u32>(0)?.saturating_sub(told),
                row.get::<_, Option<i64>>(1)?,
                priority,
                row.get::<_, Option<i64>>(3)?.unwrap_or(serial),
                row.get::<_, i64>(4)?,
                row.get::<_, bool>(6)?,
            ))
        };
        let blocked = first(&mut self.sql.blocked, params![serial, wait_no], read)?;
        let Some((left, run_at, priority, place, lane, is_ungrouped)) = blocked else { return Ok(()) };
        let is_ready = left == 0 && is_ungrouped && run_at.unwrap_or(0) <= signed(self.now);
        if left > 0 || is_ready {
            self.sql.set_blockers.execute(params![serial, left])?;
            if is_ready {
                self.add_ungrouped(lane, priority, place, serial)?;
                self.recount(lane, View::Blocked, View::Waiting)?;
            }
            return Ok(());
        }
        let mut task = self.must(serial)?;
        self.unplace(&mut task)?;
        task.status.blockers = left;
        self.place(&task)?;
        self.save(&task)
    }
}
