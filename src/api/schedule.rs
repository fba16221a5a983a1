//! When a task runs by itself: the settings of a schedule, and a schedule as it stands.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::engine::schedule::{Pause, Scheduled};
use crate::error::TaskError;
use crate::policy::schedule::{CatchUp, Every, Overlap, Plan, Wanted, When};
use crate::task::Name;
use crate::time::Millis;

use super::settings::{check, millis};

/// When a task runs again and again; a cron expression alone will do.
///
/// ```
/// use std::time::Duration;
/// use task::{CatchUp, Overlap, Schedule};
///
/// let nightly = Schedule::cron("0 3 * * *").time_zone("Europe/Berlin").overlap(Overlap::Queue);
/// let often = Schedule::every(Duration::from_secs(5)).catch_up(CatchUp::None).limit(100);
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct Schedule {
    pub(super) key: Option<Name>,
    pub(super) wanted: Wanted,
}

impl Schedule {
    /// The instants of a cron expression: 5 fields, 6 with the second first, 7 with the year last, or a word such
    /// as `@daily`. What is wrong with it is said when it is used.
    pub fn cron(expression: impl Into<String>) -> Self {
        Self { key: None, wanted: Wanted { cron: Some(expression.into()), ..Wanted::default() } }
    }

    /// The same length of time again and again, counted from `start_at`, or from when the schedule was made; it does
    /// not drift. At least 10 ms in memory, 1 s in a store.
    pub fn every(length: Duration) -> Self {
        Self { key: None, wanted: Wanted { every: Some(millis(length)), ..Wanted::default() } }
    }

    /// Identity: scheduling again under the same key changes the schedule. A name of at most 100 bytes. Default: the
    /// name of the task.
    pub fn key(mut self, key: impl Into<Name>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// The zone of the expression, an IANA name. Default: `UTC`.
    pub fn time_zone(mut self, name: impl Into<String>) -> Self {
        self.wanted.time_zone = Some(name.into());
        self
    }

    /// What becomes of slots that were missed. Default: the latest stands for all.
    pub fn catch_up(mut self, catch_up: CatchUp) -> Self {
        self.wanted.catch_up = catch_up;
        self
    }

    /// What a slot does while the run of an earlier one has not ended. Default: it is skipped.
    pub fn overlap(mut self, overlap: Overlap) -> Self {
        self.wanted.overlap = overlap;
        self
    }

    /// All slots are late by the same time below this, which depends on the key. At most 366 days. Default: none.
    pub fn jitter(mut self, length: Duration) -> Self {
        self.wanted.jitter = millis(length);
        self
    }

    /// No slot before; the first slot of `every`.
    pub fn start_at(mut self, at: SystemTime) -> Self {
        self.wanted.start_at = Some(since_epoch(at));
        self
    }

    /// No slot after.
    pub fn end_at(mut self, at: SystemTime) -> Self {
        self.wanted.end_at = Some(since_epoch(at));
        self
    }

    /// Runs in all, at least 1. Default: no bound.
    pub fn limit(mut self, runs: u64) -> Self {
        self.wanted.limit = Some(runs);
        self
    }

    /// The key of the schedule of a task with this name.
    pub(super) fn key_of(&self, name: &Name) -> Result<Name, TaskError> {
        let key = self.key.as_ref().unwrap_or(name);
        check("key of a schedule", key)?;
        Ok(key.clone())
    }

    pub(super) fn plan(&self, now: SystemTime) -> Result<Plan, TaskError> {
        Ok(self.wanted.plan(since_epoch(now))?)
    }
}

impl From<&str> for Schedule {
    fn from(expression: &str) -> Self {
        Self::cron(expression)
    }
}

impl From<String> for Schedule {
    fn from(expression: String) -> Self {
        Self::cron(expression)
    }
}

/// A schedule as it stood when it was asked for.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ScheduleInfo {
    /// Its identity.
    pub key: String,
    /// The kind of task that it runs.
    pub name: String,
    /// Its expression, if it has one.
    pub cron: Option<String>,
    /// The zone of the expression.
    pub time_zone: Option<String>,
    /// The time between two slots, if it has no expression.
    pub every: Option<Duration>,
    /// What becomes of missed slots.
    pub catch_up: CatchUp,
    /// What a slot does while an earlier run has not ended.
    pub overlap: Overlap,
    /// Why it does not fire, if it is paused.
    pub paused: Option<Pause>,
    /// When it fires next; `None` while it is paused, and when it is over.
    pub next_run: Option<SystemTime>,
    /// When it fired last, by a slot or by `trigger`.
    pub last_run: Option<SystemTime>,
}

impl From<Scheduled> for ScheduleInfo {
    fn from(Scheduled { key, entry, due_at }: Scheduled) -> Self {
        let (cron, time_zone, every) = match &entry.plan.when {
            When::Cron(cron) => (Some(cron.text().to_owned()), Some(cron.zone().name().to_owned()), None),
            When::Every(Every { every, .. }) => (None, None, Some(Duration::from_millis(*every))),
        };
        Self {
            key: key.as_ref().to_owned(),
            name: entry.task.name.as_ref().to_owned(),
            cron,
            time_zone,
            every,
            catch_up: entry.plan.catch_up,
            overlap: entry.plan.overlap,
            paused: entry.pause,
            next_run: due_at.map(date),
            last_run: entry.last.map(|last| date(last.at)),
        }
    }
}

/// Dates before 1970 are as past as 1970.
pub(super) fn since_epoch(at: SystemTime) -> Millis {
    at.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as Millis)
}

pub(super) fn date(at: Millis) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(at)
}
