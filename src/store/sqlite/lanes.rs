//! Lanes at hand: names and counters of the lanes that a transaction has touched.
//!
//! Invariant: a lane that counts no task at all is dropped by `flush_lanes`.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use rusqlite::{Result, Row, Statement, params};

use crate::store::pause_cell;
use crate::task::{Name, View};

use super::ledger::Ledger;
use super::numbers::Numbered;
use super::row::{all, broken, first};

#[derive(Default)]
pub(super) struct Lanes {
    by_no: HashMap<i64, Lane, Numbered>,
    /// Queue and kind to number, in that order.
    numbers: HashMap<Name, HashMap<Name, i64>>,
    /// Most pushes are for the lane of the push before.
    latest: Option<i64>,
    changed: Vec<i64>,
}

pub(super) struct Lane {
    pub queue: Name,
    pub name: Name,
    pub turn: i64,
    /// Turn of the best task without a group.
    pub plain_turn: i64,
    /// Ready tasks without a group.
    pub plain: i64,
    /// Plain tasks up to this one are ready no more.
    pub cursor: i64,
    /// In the order of `View::ALL`; `Waiting` counts the ready, `Scheduled` the timed.
    pub counts: [i64; 7],
    is_changed: bool,
}

impl Lanes {
    pub fn at(&mut self, no: i64, sql: &mut Statement<'_>) -> Result<&mut Lane> {
        match self.by_no.entry(no) {
            Entry::Occupied(known) => Ok(known.into_mut()),
            Entry::Vacant(free) => {
                let lane = first(sql, [no], read)?;
                Ok(free.insert(lane.ok_or_else(|| broken(0, format!("lane {no} is gone")))?))
            }
        }
    }

    pub fn forget(&mut self) {
        *self = Self::default();
    }
}

fn read(row: &Row<'_>) -> Result<Lane> {
    let mut counts = [0; 7];
    for (at, count) in counts.iter_mut().enumerate() {
        *count = row.get(6 + at)?;
    }
    let (queue, name, turn, plain_turn) = (row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?);
    let (plain, cursor) = (row.get(4)?, row.get(5)?);
    Ok(Lane { queue, name, turn, plain_turn, plain, cursor, counts, is_changed: false })
}

impl Ledger<'_> {
    pub fn lane(&mut self, no: i64) -> Result<&mut Lane> {
        self.lanes.at(no, &mut self.sql.lane)
    }

    /// The lane, to be changed.
    pub fn lane_mut(&mut self, no: i64) -> Result<&mut Lane> {
        let lane = self.lanes.at(no, &mut self.sql.lane)?;
        if !lane.is_changed {
            lane.is_changed = true;
            self.lanes.changed.push(no);
        }
        self.lanes.at(no, &mut self.sql.lane)
    }

    pub fn count(&mut self, no: i64, view: View, by: i64) -> Result<()> {
        self.lane_mut(no)?.counts[view as usize] += by;
        Ok(())
    }

    pub fn find_lane(&mut self, queue: &Name, name: &Name) -> Result<i64> {
        if let Some(no) = self.lanes.latest
            && let Some(lane) = self.lanes.by_no.get(&no)
            && lane.queue == *queue
            && lane.name == *name
        {
            return Ok(no);
        }
        let known = self.lanes.numbers.get(queue).and_then(|names| names.get(name)).copied();
        let no = match known {
            Some(no) => no,
            None => {
                let no = match first(&mut self.sql.lane_no, [&**name, &**queue], |row| row.get(0))? {
                    Some(no) => no,
                    None => {
                        let cursor = self.meta.serial;
                        let no = self.sql.add_lane.insert(params![&**queue, &**name, cursor])?;
                        // If its first task is refused after all, it goes again.
                        self.lane_mut(no)?;
                        no
                    }
                };
                self.lanes.numbers.entry(queue.clone()).or_default().insert(name.clone(), no);
                no
            }
        };
        self.lane(no)?;
        self.lanes.latest = Some(no);
        Ok(no)
    }

    /// The lanes of a kind.
    pub fn lanes_of(&mut self, name: &Name) -> Result<Vec<i64>> {
        all(&mut self.sql.lanes_of, [&**name], |row| row.get(0))
    }

    /// Running tasks of a kind, in all its queues.
    pub fn running(&mut self, lanes: &[i64]) -> Result<i64> {
        let mut sum = 0;
        for no in lanes {
            sum += self.lane(*no)?.counts[View::Running as usize];
        }
        Ok(sum)
    }

    pub fn is_paused(&mut self, queue: &Name) -> Result<bool> {
        Ok(first(&mut self.sql.cell, [&*pause_cell(queue)], |_| Ok(()))?.is_some())
    }

    pub fn flush_lanes(&mut self) -> Result<()> {
        for no in std::mem::take(&mut self.lanes.changed) {
            let Some(lane) = self.lanes.by_no.get_mut(&no) else { continue };
            lane.is_changed = false;
            let Lane { turn, plain_turn, plain, cursor, counts: c, queue, name, .. } = lane;
            if *c != [0; 7] {
                self.sql.set_lane.execute(params![
                    no,
                    *turn,
                    *plain_turn,
                    *plain,
                    *cursor,
                    c[0],
                    c[1],
                    c[2],
                    c[3],
                    c[4],
                    c[5],
                    c[6]
                ])?;
                continue;
            }
            self.sql.drop_lane.execute([no])?;
            if let Some(names) = self.lanes.numbers.get_mut(queue) {
                names.remove(name);
            }
            self.lanes.by_no.remove(&no);
            self.lanes.latest = None;
        }
        Ok(())
    }

    /// One more task of a group runs.
    pub fn busy(&mut self, lane: i64, group: Option<&Name>) -> Result<()> {
        let Some(group) = group else { return Ok(()) };
        let running = self.running_in(lane, group)?;
        self.set_busy(lane, group, running + 1)
    }

    /// One task of a group less.
    pub fn unbusy(&mut self, lane: i64, group: Option<&Name>) -> Result<()> {
        let Some(group) = group else { return Ok(()) };
        let running = self.running_in(lane, group)?;
        self.set_busy(lane, group, running - 1)
    }

    pub fn running_in(&mut self, lane: i64, group: &Name) -> Result<i64> {
        let name = self.lane(lane)?.name.clone();
        Ok(first(&mut self.sql.busy, [&*name, &**group], |row| row.get(0))?.unwrap_or(0))
    }

    fn set_busy(&mut self, lane: i64, group: &Name, running: i64) -> Result<()> {
        let name = self.lane(lane)?.name.clone();
        if running > 0 {
            self.sql.set_busy.execute(params![&*name, &**group, running])?;
        } else {
            self.sql.drop_busy.execute([&*name, &**group])?;
        }
        Ok(())
    }
}
