//! Small shared values: cursors of schedules, pause flags, the state of breakers.

use rusqlite::{Result, params};

use crate::store::{Cell, Swap};
use crate::task::Name;
use crate::time::Millis;

use super::ledger::Ledger;
use super::row::{first, limit, signed};

impl Ledger<'_> {
    pub fn cell(&mut self, key: &Name) -> Result<Option<Cell>> {
        first(&mut self.sql.cell, [&**key], |row| Ok(Cell { value: row.get(0)?, due_at: limit(row, 1)? }))
    }

    pub fn swap(&mut self, swap: &Swap) -> Result<std::result::Result<(), Option<Cell>>> {
        let there = self.cell(&swap.key)?;
        if there.as_ref().map(|cell| &cell.value) != swap.old.as_ref() {
            return Ok(Err(there));
        }
        match &swap.new {
            Some(Cell { value, due_at }) => {
                let due_at: Option<i64> = due_at.map(|at: Millis| signed(at));
                self.sql.set_cell.execute(params![&*swap.key, &**value, due_at])?;
            }
            None => {
                self.sql.drop_cell.execute([&*swap.key])?;
            }
        }
        Ok(Ok(()))
    }
}
