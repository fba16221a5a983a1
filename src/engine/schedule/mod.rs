//! Schedules: cells under `schedule/<key>`, one each, which any node that works on the store fires.
//!
//! `entry` is what a cell holds and what becomes of it, as pure functions; here are the calls that change one, and
//! `rooms::scheduler` fires. Each change is a compare-and-set of the whole cell, and what is fired is pushed in the
//! same step: whoever comes second finds another value and looks again. So a slot fires once, whoever is there.

mod entry;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use crate::error::TaskError;
use crate::policy::schedule::{Plan, Wanted, WantedError};
use crate::store::{Amend, Cell, Push, Pushed, Swap, Target};
use crate::task::{Name, TaskId};
use crate::time::Millis;

use super::engine::Engine;
use super::shared::Shared;

pub use entry::{Act, Entry, Last, Pause, Stand, Template};

/// What the keys of the cells begin with.
pub(super) const PREFIX: &str = "schedule/";
/// Longest key, in bytes: the ids of its tasks are names too.
pub const MAX_KEY: usize = 100;
/// Cells of one page.
pub(super) const PAGE: usize = 256;
/// The shortest time between two slots, in memory and in a store that outlives the process.
const LEAST: [Millis; 2] = [10, 1000];
/// The reason that is told to a run that its schedule stops.
const NEXT: &str = "the next slot of its schedule has come";

/// A schedule as it stands.
#[derive(Clone, Debug)]
pub struct Scheduled {
    /// Its key.
    pub key: Name,
    /// What its cell holds.
    pub entry: Entry,
    /// When it fires next.
    pub due_at: Option<Millis>,
}

impl From<WantedError> for TaskError {
    fn from(error: WantedError) -> Self {
        match error {
            WantedError::Cron(error) => Self::Schedule(error.to_string().into()),
            WantedError::Option(error) => Self::option(error.to_string()),
        }
    }
}

/// The cell of a schedule.
fn cell_of(key: &str) -> Name {
    format!("{PREFIX}{key}").into()
}

fn unknown(key: &str) -> TaskError {
    TaskError::Schedule(format!("there is no schedule {key:?}").into())
}

impl Engine {
    /// Makes a schedule, or changes the one with this key.
    pub async fn schedule(
        &self,
        key: &Name,
        wanted: &Wanted,
        task: Template,
    ) -> Result<Scheduled, TaskError> {
        if key.len() > MAX_KEY {
            let text =
                format!("the key of a schedule has at most {MAX_KEY} bytes; {key:?} has {}", key.len());
            return Err(TaskError::option(text));
        }
        let least = LEAST[usize::from(self.core().is_durable())];
        self.change(key, |old, now| {
            let plan: Plan = wanted.plan(now)?;
            plan.check(least, now).map_err(WantedError::from)?;
            let task = task.clone();
            Ok(match old {
                Some(old) => old.renewed(plan, task, now),
                None => Entry::begin(plan, task, now),
            })
        })
        .await
    }

    /// Removes a schedule; what it has fired stays. False where there is none.
    pub async fn unschedule(&self, key: &Name) -> Result<bool, TaskError> {
        let shared = &self.shared;
        let cell = cell_of(key);
        loop {
            let Some(there) = shared.unless_over(shared.store.read(cell.clone())).await? else {
                return Ok(false);
            };
            let swap = Swap { key: cell.clone(), old: Some(there.value), new: None };
            if shared.unless_over(shared.store.swap(swap)).await?.is_ok() {
                shared.scheduled.notify_one();
                return Ok(true);
            }
        }
    }

    /// Stops a schedule from firing, or lets it go on from now.
    pub async fn set_schedule_paused(&self, key: &Name, paused: bool) -> Result<Scheduled, TaskError> {
        self.change(key, |old, now| {
            let old = old.ok_or_else(|| unknown(key))?;
            Ok(if paused { old.paused(Pause::OnRequest) } else { old.resumed(now) })
        })
        .await
    }

    /// Makes a run now, beside the slots. Where an earlier run stands for it, that one is the answer.
    pub async fn trigger(&self, key: &Name) -> Result<Pushed, TaskError> {
        let shared = &self.shared;
        // One id for all tries, by which a push whose answer was lost is known.
        let id = TaskId::new();
        loop {
            let Some((old, entry)) = shared.entry(key).await? else { return Err(unknown(key)) };
            let last = entry.last.clone();
            if last.as_ref().is_some_and(|last| *last.id == *id.as_str()) {
                return Ok(Pushed { id, created: true, ousted: None });
            }
            let ids = last.iter().map(|last| TaskId::from(&*last.id)).collect();
            let found = shared.unless_over(shared.store.get(ids)).await?;
            let stand = Stand::of(found.records.first().and_then(Option::as_ref));
            let Some(mut act) = entry.trigger(key, stand, found.now) else {
                let last = last.ok_or_else(|| unknown(key))?;
                return Ok(Pushed { id: TaskId::from(&*last.id), created: false, ousted: None });
            };
            act.rename(&id);
            if let Some(stop) = act.stop.take() {
                shared.stop_run(stop).await?;
            }
            let answers = shared.push_now(vec![act.into_push(key, old)]).await?;
            match answers.into_iter().next() {
                Some(Ok(mut pushed)) if !pushed.is_empty() => return Ok(pushed.remove(0)),
                Some(Err(TaskError::Store(_) | TaskError::NotFound(_))) => {}
                Some(Err(error)) => return Err(error),
                _ => return Err(TaskError::Closed),
            }
        }
    }

    /// One schedule.
    pub async fn scheduled(&self, key: &Name) -> Result<Option<Scheduled>, TaskError> {
        let entry = self.shared.entry(key).await?.map(|(_, entry)| entry);
        Ok(entry.map(|entry| Scheduled { key: key.clone(), due_at: entry.due_at(key), entry }))
    }

    /// All schedules, by key. One that a newer version has written in a way of its own is left out.
    pub async fn schedules(&self) -> Result<Vec<Scheduled>, TaskError> {
        let (shared, mut all, mut after) = (&self.shared, Vec::new(), None);
        loop {
            let page = shared.unless_over(shared.store.cells(PREFIX.into(), after, PAGE)).await?;
            after = page.last().map(|(cell, _)| cell.clone());
            let is_last = page.len() < PAGE;
            all.extend(page.iter().filter_map(|(cell, Cell { value, due_at })| {
                let (key, entry) = (cell.strip_prefix(PREFIX)?, Entry::read(value).ok()?);
                Some(Scheduled { key: key.into(), entry, due_at: *due_at })
            }));
            if is_last {
                return Ok(all);
            }
        }
    }

    async fn change(
        &self,
        key: &Name,
        make: impl Fn(Option<Entry>, Millis) -> Result<Entry, TaskError>,
    ) -> Result<Scheduled, TaskError> {
        let shared = &self.shared;
        let cell = cell_of(key);
        loop {
            let there = shared.unless_over(shared.store.read(cell.clone())).await?;
            let now = shared.unless_over(shared.store.get(Vec::new())).await?.now;
            let old = there.as_ref().and_then(|cell| Entry::read(&cell.value).ok());
            let entry = make(old, now)?;
            let new = entry.cell(key);
            let due_at = new.due_at;
            let swap = Swap { key: cell.clone(), old: there.map(|cell| cell.value), new: Some(new) };
            if shared.unless_over(shared.store.swap(swap)).await?.is_ok() {
                shared.expect_slot(due_at.is_some());
                shared.scheduled.notify_one();
                return Ok(Scheduled { key: key.clone(), entry, due_at });
            }
        }
    }
}

impl Act {
    /// Gives the task of a trigger its id.
    fn rename(&mut self, id: &TaskId) {
        for spec in &mut self.specs {
            spec.id = id.clone();
        }
        if let Some(last) = &mut self.entry.last {
            last.id = id.to_text();
        }
    }

    /// The tasks and the new value of the cell as one step, where the cell has still the old one.
    pub(super) fn into_push(self, key: &str, old: Arc<str>) -> Push {
        let guard = Swap { key: cell_of(key), old: Some(old), new: Some(self.entry.cell(key)) };
        Push { guard: Some(guard), ..Push::of(self.specs) }
    }
}

impl Shared {
    /// The entry under a key, and the value that it was read from.
    async fn entry(&self, key: &str) -> Result<Option<(Arc<str>, Entry)>, TaskError> {
        let Some(cell) = self.unless_over(self.store.read(cell_of(key))).await? else { return Ok(None) };
        let entry = Entry::read(&cell.value).map_err(|error| {
            TaskError::Schedule(format!("the schedule {key:?} cannot be read here: {error}").into())
        })?;
        Ok(Some((cell.value, entry)))
    }

    /// Stops a run of a schedule that the next slot takes the place of.
    pub(super) async fn stop_run(&self, id: TaskId) -> Result<(), TaskError> {
        self.amend(Target::Ids(vec![id]), Amend::Cancel(NEXT.into())).await.map(drop)
    }
}
