//! Ready tasks, and the best of each group with its turn.
//!
//! Tasks without a group are one of their own, whose best is not written down: most are plain, and ready
//! without a row that says so (see `stream`).
//! The order is that of the memory store's lanes (start-time fair queueing with weight one): a lane is claimed
//! by (rank, turn, place) over the heads of its groups; a new head stands one turn behind the latest claim.
//! Heads that a transaction has touched are kept here and written once, by `flush_heads`.

use std::collections::HashMap;

use rusqlite::{Result, params};

use crate::task::Name;

use super::ledger::Ledger;
use super::row::{PLAIN, Task, first};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Head {
    pub rank: i64,
    pub turn: i64,
    pub place: i64,
    pub serial: i64,
}

/// Heads by lane and group; a group of '' is none.
#[derive(Default)]
pub(super) struct Heads {
    by_group: HashMap<(i64, Name), Option<Head>>,
    changed: Vec<(i64, Name)>,
}

impl Heads {
    pub fn forget(&mut self) {
        *self = Self::default();
    }
}

/// The name of no group.
pub(super) fn ungrouped() -> Name {
    static NONE: std::sync::LazyLock<Name> = std::sync::LazyLock::new(|| Name::from(""));
    NONE.clone()
}

/// The rank of a priority: smaller goes first.
pub(super) fn rank_of(priority: i32) -> i64 {
    -i64::from(priority)
}

impl Ledger<'_> {
    pub fn add_ready(&mut self, task: &Task) -> Result<()> {
        let (lane, place, serial) = (task.lane, task.place, task.serial);
        let rank = rank_of(task.status.priority);
        let Some(group) = task.spec.group.clone() else {
            if task.has(PLAIN) && serial > self.lane(lane)?.cursor {
                return self.count_ungrouped(lane);
            }
            return self.add_ungrouped(lane, task.status.priority, place, serial);
        };
        self.sql.add_ready.execute(params![lane, &*group, rank, place, serial])?;
        match self.head(lane, &group)? {
            Some(head) if (head.rank, head.place) < (rank, place) => Ok(()),
            // A task that takes the place of the head takes over its turn too.
            Some(head) => self.set_head(lane, group, Some(Head { rank, place, serial, ..head })),
            None => {
                let turn = self.lane(lane)?.turn + 1;
                self.set_head(lane, group, Some(Head { rank, turn, place, serial }))
            }
        }
    }

    /// Makes a task without a group ready.
    pub fn add_ungrouped(&mut self, lane: i64, priority: i32, place: i64, serial: i64) -> Result<()> {
        self.sql.add_ready.execute(params![lane, "", rank_of(priority), place, serial])?;
        self.count_ungrouped(lane)
    }

    fn count_ungrouped(&mut self, lane: i64) -> Result<()> {
        let lane = self.lane_mut(lane)?;
        if lane.plain == 0 {
            lane.plain_turn = lane.turn + 1;
        }
        lane.plain += 1;
        Ok(())
    }

    /// Takes a task from `ready`; plain ones are not there.
    pub fn drop_ready(&mut self, task: &Task) -> Result<()> {
        let (lane, rank, place) = (task.lane, rank_of(task.status.priority), task.place);
        let group = task.spec.group.clone().unwrap_or_else(ungrouped);
        self.sql.drop_ready.execute(params![lane, &*group, rank, place])?;
        if task.spec.group.is_none() {
            self.lane_mut(lane)?.plain -= 1;
            return Ok(());
        }
        match self.head(lane, &group)? {
            Some(head) if (head.rank, head.place) == (rank, place) => {
                let next = self.best(lane, &group, head.turn)?;
                self.set_head(lane, group, next)
            }
            _ => Ok(()),
        }
    }

    /// Takes tasks without a group for a claim, as if one after the other; those of `ready` up to a place.
    pub fn take_plain(&mut self, lane: i64, taken: i64, upto: Option<(i64, i64)>, cursor: i64) -> Result<()> {
        if let Some((rank, place)) = upto {
            self.sql.drop_ready_upto.execute(params![lane, "", rank, place])?;
        }
        let lane = self.lane_mut(lane)?;
        lane.cursor = lane.cursor.max(cursor);
        if taken > 0 {
            lane.turn = lane.turn.max(lane.plain_turn) + taken - 1;
            lane.plain_turn = lane.turn + 1;
            lane.plain -= taken;
        }
        Ok(())
    }

    /// Takes the heads up to one for a claim: the group's next one moves up, a turn later.
    pub fn take_ready(&mut self, lane: i64, group: &Name, upto: Head) -> Result<()> {
        self.sql.drop_ready_upto.execute(params![lane, &**group, upto.rank, upto.place])?;
        let state = self.lane_mut(lane)?;
        state.turn = state.turn.max(upto.turn);
        let turn = state.turn + 1;
        let next = self.best(lane, group, turn)?;
        self.set_head(lane, group.clone(), next)
    }

    pub fn head(&mut self, lane: i64, group: &Name) -> Result<Option<Head>> {
        let at = (lane, group.clone());
        if let Some(head) = self.heads.by_group.get(&at) {
            return Ok(*head);
        }
        let head = first(&mut self.sql.head, params![lane, &**group], |row| {
            Ok(Head { rank: row.get(0)?, turn: row.get(1)?, place: row.get(2)?, serial: row.get(3)? })
        })?;
        self.heads.by_group.insert(at, head);
        Ok(head)
    }

    fn best(&mut self, lane: i64, group: &Name, turn: i64) -> Result<Option<Head>> {
        first(&mut self.sql.best_ready, params![lane, &**group], |row| {
            Ok(Head { rank: row.get(0)?, turn, place: row.get(1)?, serial: row.get(2)? })
        })
    }

    fn set_head(&mut self, lane: i64, group: Name, head: Option<Head>) -> Result<()> {
        self.heads.changed.push((lane, group.clone()));
        self.heads.by_group.insert((lane, group), head);
        if self.heads.changed.len() > 10_000 {
            self.flush_heads()?;
        }
        Ok(())
    }

    pub fn flush_heads(&mut self) -> Result<()> {
        let mut changed = std::mem::take(&mut self.heads.changed);
        changed.sort_unstable();
        changed.dedup();
        for at in changed {
            let (lane, group) = (at.0, &at.1);
            match self.heads.by_group.get(&at).copied().flatten() {
                Some(Head { rank, turn, place, serial }) => {
                    self.sql.set_head.execute(params![lane, &**group, rank, turn, place, serial])?
                }
                None => self.sql.drop_head.execute(params![lane, &**group])?,
            };
        }
        if self.heads.by_group.len() > 10_000 {
            self.heads.by_group.clear();
        }
        Ok(())
    }

    /// The best heads of a lane after one.
    pub fn heads_after(&mut self, lane: i64, from: Option<Head>, max: usize) -> Result<Vec<(Name, Head)>> {
        self.flush_heads()?;
        let from = from.unwrap_or(Head { rank: i64::MIN, turn: 0, place: 0, serial: 0 });
        super::row::all(
            &mut self.sql.heads,
            params![lane, from.rank, from.turn, from.place, max as i64],
            |row| {
                let head =
                    Head { rank: row.get(1)?, turn: row.get(2)?, place: row.get(3)?, serial: row.get(4)? };
                Ok((row.get(0)?, head))
            },
        )
    }
}
