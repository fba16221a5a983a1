//! `prune`: ended tasks in the order of their ends, and what of them is beyond the limits.

use rusqlite::{Result, params};

use crate::store::{Keep, Retention};
use crate::task::View;

use super::ledger::{FILES, Ledger};
use super::row::{all, signed};

/// An ended task that may have to go.
struct Old {
    serial: i64,
    lane: i64,
    finished_at: i64,
    bytes: i64,
    noted: bool,
}

/// Final states as files number them, and their views.
const STATES: [(i64, View); 3] = [(2, View::Completed), (3, View::Failed), (4, View::Cancelled)];

impl Ledger<'_> {
    pub fn prune(&mut self, limits: &Retention, max: usize) -> Result<usize> {
        let mut pruned = 0;
        for (file, keep) in [limits.completed, limits.failed, limits.cancelled].iter().enumerate() {
            pruned += self.prune_file(file, keep, max - pruned)?;
        }
        self.tidy_keys(max)?;
        // A time that has passed says no more than none. All rows are looked at, so not every time.
        if self.now.abs_diff(self.tidied_at) > 10_000 {
            self.tidied_at = self.now;
            self.sql.tidy_rates.execute([signed(self.now.saturating_mul(1000))])?;
        }
        Ok(pruned)
    }

    fn prune_file(&mut self, file: usize, keep: &Keep, max: usize) -> Result<usize> {
        let over = keep.count.map_or(0, |count| self.meta.ended[file] - signed(count)).max(0);
        let is_large = keep.bytes.is_some_and(|bytes| self.meta.bytes[file] > signed(bytes));
        if max == 0 || (over == 0 && !is_large && keep.age.is_none()) {
            return Ok(0);
        }
        let (state, view) = STATES[file];
        let read = |row: &rusqlite::Row<'_>| {
            Ok(Old {
                serial: row.get(0)?,
                lane: row.get(1)?,
                finished_at: row.get(2)?,
                bytes: row.get(3)?,
                noted: row.get(4)?,
            })
        };
        // Age and bytes are found out one after the other, and mostly the first one is to stay.
        let mut batch = if over > 0 { over.min(max as i64) } else { 16 };
        let mut pruned = 0;
        while pruned < max {
            let old = all(&mut self.sql.ended, params![state, batch.min((max - pruned) as i64)], read)?;
            let found = old.len() as i64;
            for Old { serial, lane, finished_at, bytes, noted } in old {
                let is_beyond = keep.count.is_some_and(|count| self.meta.ended[file] > signed(count))
                    || keep.bytes.is_some_and(|bytes| self.meta.bytes[file] > signed(bytes))
                    || keep.age.is_some_and(|age| signed(self.now) - finished_at > signed(age));
                if !is_beyond {
                    return Ok(pruned);
                }
                self.file(FILES[file], bytes, -1);
                self.count(lane, view, -1)?;
                self.sql.drop_task.execute([serial])?;
                self.sql.drop_status.execute([serial])?;
                if noted {
                    self.sql.drop_notes.execute([serial])?;
                }
                pruned += 1;
            }
            if found < batch {
                break;
            }
            batch *= 4;
        }
        Ok(pruned)
    }
}
