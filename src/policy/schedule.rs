//! Schedules: which slots are to be fired now, and where the cursor goes.
//!
//! A schedule is a plan (what the user asked for) and a cursor (how far it has come). Both are plain data and
//! can be stored as JSON in a cell whose `due_at` is that of the `Firing`; firing is one guarded push of tasks
//! whose ids are `slot_id`, so that each slot fires once, whoever is first.
//!
//! - The cursor only moves forward, to the newest slot that has been decided on, fired or skipped. A clock
//!   set back finds nothing to do before it has caught up.
//! - A plan whose limit is reached, or whose last slot is over, is never due again.
//! - The work of one answer has a bound, however long nobody was there.

use serde::{Deserialize, Serialize};

use super::cron::Cron;
use super::option::{OptionError, allow};
use super::retry::unit;
use crate::time::Millis;

#[cfg(test)]
mod tests;
mod wanted;

pub use wanted::{Wanted, WantedError};

/// As many missed slots are fired at once at most, the newest.
pub const MOST_AT_ONCE: usize = 100;

/// As many skipped slots are counted at most.
pub const MOST_COUNTED: u64 = 100_000;

/// A slot that is later than this was missed: nobody was there, or the machine slept.
pub const ON_TIME: Millis = 10_000;

/// What a schedule is to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    /// Its slots.
    #[serde(flatten)]
    pub when: When,
    /// What becomes of slots that were missed.
    #[serde(default)]
    pub catch_up: CatchUp,
    /// What a slot does while the run of an earlier one has not ended.
    #[serde(default)]
    pub overlap: Overlap,
    /// All slots are late by the same time below this, which depends on the key: keys do not come all at once.
    #[serde(default)]
    pub jitter: Millis,
    /// No slot before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_at: Option<Millis>,
    /// No slot after.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_at: Option<Millis>,
    /// Runs in all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
}

/// The slots of a plan, without its bounds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum When {
    /// Dates on the clock of a zone.
    Cron(Cron),
    /// The same length of time again and again.
    Every(Every),
}

/// `anchor + k * every` for k = 0, 1, ...: it does not drift, however late a run starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Every {
    /// The time between two slots, at least 1.
    pub every: Millis,
    /// The first slot.
    pub anchor: Millis,
}

/// What becomes of slots that were missed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum CatchUp {
    /// They are skipped.
    None,
    /// The newest stands for all of them.
    #[default]
    Latest,
    /// The newest hundred are fired.
    All,
}

/// What a slot does while the run of an earlier one has not ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Overlap {
    /// It is skipped.
    #[default]
    Skip,
    /// It waits for the end of that run; at most one does.
    Queue,
    /// Both run.
    Allow,
    /// The earlier run is stopped, and ends first.
    Cancel,
}

/// How far a schedule has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    /// Slots up to this instant are decided on.
    pub at: Millis,
    /// Runs so far.
    pub fired: u64,
}

/// A slot to be fired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot {
    /// Its instant, without jitter.
    pub at: Millis,
    /// How many before it were skipped since the last one that was fired, `MOST_COUNTED` at most.
    pub skipped: u64,
}

/// What is to be done now.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct Firing {
    /// Slots to be fired, oldest first.
    pub slots: Vec<Slot>,
    /// Slots that no run stands for and none tells of: they were missed, and none is fired.
    pub skipped: u64,
    /// The cursor from now on.
    pub cursor: Cursor,
    /// When to ask again; `None`: never.
    pub due_at: Option<Millis>,
}

impl Every {
    fn next(self, after: Millis) -> Option<Millis> {
        let every = self.length();
        match after.checked_sub(self.anchor) {
            None => Some(self.anchor),
            Some(since) => (since / every + 1).checked_mul(every)?.checked_add(self.anchor),
        }
    }

    /// What is read from a store may never have been checked.
    fn length(self) -> Millis {
        self.every.max(1)
    }

    fn previous(self, before: Millis) -> Option<Millis> {
        let since = before.checked_sub(self.anchor)?.checked_sub(1)?;
        Some(self.anchor + since / self.length() * self.length())
    }
}

impl Cursor {
    /// A new schedule, one that is resumed, or one with another expression: nothing before `now` is of interest.
    pub fn begin(now: Millis) -> Self {
        Self { at: now, fired: 0 }
    }

    /// As if it began now, but for the runs so far.
    pub fn restart(self, now: Millis) -> Self {
        Self { at: now, ..self }
    }
}

impl Plan {
    /// Just these slots, everything else as it is by default.
    pub fn new(when: When) -> Self {
        Self {
            when,
            catch_up: CatchUp::default(),
            overlap: Overlap::default(),
            jitter: 0,
            start_at: None,
            end_at: None,
            limit: None,
        }
    }

    /// Refuses what makes no schedule: `least` is the shortest time between two slots that its store can keep,
    /// and there has to be a slot after `now`.
    pub fn check(&self, least: Millis, now: Millis) -> Result<(), OptionError> {
        if let When::Every(Every { every, .. }) = self.when {
            let least = least.max(1);
            allow(every >= least, "every", format!("{every} ms"), format!("times from {least} ms"))?;
        }
        let days = 366 * 86_400_000;
        allow(self.jitter <= days, "jitter", format!("{} ms", self.jitter), "times up to 366 days")?;
        let limit = self.limit.unwrap_or(1);
        allow(limit > 0, "limit", limit, "whole numbers from 1")?;
        let overlaps =
            self.catch_up != CatchUp::All || matches!(self.overlap, Overlap::Queue | Overlap::Allow);
        allow(
            overlaps,
            "catchUp",
            "\"all\"",
            "\"latest\" and \"none\", unless overlap is \"queue\" or \"allow\"",
        )?;
        if self.next(now).is_some() {
            return Ok(());
        }
        match self.end_at {
            Some(end) => allow(false, "endAt", end, "times at or after the first slot that is still to come"),
            None => allow(false, "cron", "over", "expressions that name a time in the future"),
        }
    }

    /// The first slot after an instant, whatever the limit.
    pub fn next(&self, after: Millis) -> Option<Millis> {
        let after = self.from(after);
        let slot = match &self.when {
            When::Cron(cron) => cron.next(after),
            When::Every(every) => every.next(after),
        };
        slot.filter(|slot| self.end_at.is_none_or(|end| *slot <= end))
    }

    /// The last slot before an instant, whatever the limit.
    pub fn previous(&self, before: Millis) -> Option<Millis> {
        let before = self.end_at.map_or(before, |end| before.min(end.saturating_add(1)));
        let slot = match &self.when {
            When::Cron(cron) => cron.previous(before),
            When::Every(every) => every.previous(before),
        };
        slot.filter(|slot| self.start_at.is_none_or(|start| *slot >= start))
    }

    /// The coming slots, for people: at most `count`, and no more than the limit.
    pub fn preview(&self, after: Millis, count: usize) -> Vec<Millis> {
        let limit = usize::try_from(self.limit.unwrap_or(u64::MAX)).unwrap_or(usize::MAX);
        self.after(after).take(count.min(limit)).collect()
    }

    /// The slots that were, for people: at most `count`, the newest first.
    pub fn review(&self, before: Millis, count: usize) -> Vec<Millis> {
        std::iter::successors(self.previous(before), |slot| self.previous(*slot)).take(count).collect()
    }

    fn after(&self, after: Millis) -> impl Iterator<Item = Millis> {
        let after = self.from(after);
        let slots: Box<dyn Iterator<Item = Millis>> = match &self.when {
            When::Cron(cron) => Box::new(cron.after(after)),
            When::Every(every) => {
                Box::new(std::iter::successors(every.next(after), |slot| every.next(*slot)))
            }
        };
        slots.take_while(|slot| self.end_at.is_none_or(|end| *slot <= end))
    }

    /// No slot is at or before this.
    fn from(&self, after: Millis) -> Millis {
        self.start_at.map_or(after, |start| after.max(start.saturating_sub(1)))
    }

    /// By how much the slots of this key are late: a hash, so the same on every node and for ever.
    pub fn lateness(&self, key: &str) -> Millis {
        (unit(hash(key), 0) * self.jitter as f64) as Millis
    }

    /// When the next slot is to be fired.
    pub fn due_at(&self, key: &str, cursor: Cursor) -> Option<Millis> {
        if self.left(cursor) == 0 {
            return None;
        }
        self.next(cursor.at).map(|slot| slot.saturating_add(self.lateness(key)))
    }

    /// How many runs are left.
    fn left(&self, cursor: Cursor) -> u64 {
        self.limit.map_or(u64::MAX, |limit| limit.saturating_sub(cursor.fired))
    }

    /// The slots to fire now, by what the plan says about missed ones, and how it goes on.
    pub fn catch_up(&self, key: &str, cursor: Cursor, now: Millis) -> Firing {
        let lateness = self.lateness(key);
        // The newest slot whose time, jitter included, has come.
        let newest = match now.checked_sub(lateness) {
            Some(at) if self.left(cursor) > 0 => self.previous(at.saturating_add(1)),
            _ => None,
        };
        let Some(newest) = newest.filter(|newest| *newest > cursor.at) else {
            return Firing { slots: Vec::new(), skipped: 0, cursor, due_at: self.due_at(key, cursor) };
        };
        let most = match self.catch_up {
            CatchUp::None if now - lateness - newest > ON_TIME => 0,
            CatchUp::None | CatchUp::Latest => 1,
            CatchUp::All => MOST_AT_ONCE.min(usize::try_from(self.left(cursor)).unwrap_or(MOST_AT_ONCE)),
        };
        let back = std::iter::successors(Some(newest), |slot| self.previous(*slot));
        let fired: Vec<Millis> = back.take_while(|slot| *slot > cursor.at).take(most).collect();
        // Only what is older than the oldest that fires is skipped.
        let end = fired.last().map_or(newest.saturating_add(1), |oldest| *oldest);
        let missed = self.after(cursor.at).take_while(|slot| *slot < end);
        let mut skipped = missed.take(MOST_COUNTED as usize).count() as u64;
        let told = fired.iter().rev().map(|at| Slot { at: *at, skipped: std::mem::take(&mut skipped) });
        let slots: Vec<Slot> = told.collect();
        let cursor = Cursor { at: newest, fired: cursor.fired.saturating_add(slots.len() as u64) };
        Firing { slots, skipped, cursor, due_at: self.due_at(key, cursor) }
    }
}

/// The id of the task of a slot: no two slots of any keys have the same.
pub fn slot_id(key: &str, slot: Millis) -> String {
    format!("schedule:{key}:{slot}")
}

/// FNV-1a in 64 bits (Fowler, Noll, Vo).
fn hash(key: &str) -> u64 {
    key.bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
}
