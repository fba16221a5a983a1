//! What the cell of a schedule holds, and what becomes of it. Pure: the store's `now` is an argument.
//!
//! Overlap is decided by the task that was fired last, whose id the entry knows. The unique key
//! `schedule:<key>` makes the store hold to it for `skip` and `cancel`, also where an old run is revived. With
//! `queue` a slot waits for the one before as for a blocker: taking the key from a run would end its retries,
//! and a lost one would not run again.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::policy::RetryPolicy;
use crate::policy::cron::tzdb_version;
use crate::policy::schedule::{Cursor, Overlap, Plan, slot_id};
use crate::store::Cell;
use crate::task::{
    Blockers, Conflict, Key, Name, OnBlockerFailure, Quiet, Record, Spec, State, TaskId, Text,
};
use crate::time::Millis;

/// How the task that a schedule fires is made.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Template {
    /// Its kind.
    pub name: Name,
    /// Its queue.
    pub queue: Name,
    /// Larger starts first.
    pub priority: i32,
    /// For one attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Millis>,
    /// What follows a failure.
    pub retry: RetryPolicy,
    /// What its handler gets.
    pub input: Box<RawValue>,
    /// Its handler can run only once: the schedule pauses when it has fired.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub once: bool,
}

/// Why a schedule does not fire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Pause {
    /// Somebody asked for it.
    OnRequest,
    /// It has fired, and its handler can run only once.
    NotRepeatable,
}

/// The newest task of a schedule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Last {
    /// Its id.
    pub id: Name,
    /// When it was fired.
    pub at: Millis,
}

/// A schedule as its cell has it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// When it fires.
    pub plan: Plan,
    /// What it fires.
    pub task: Template,
    /// How far it has come.
    pub cursor: Cursor,
    /// Slots that were skipped since the last one that fired.
    #[serde(default)]
    pub skipped: u64,
    /// The newest task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<Last>,
    /// It does not fire.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pause: Option<Pause>,
    /// The version of the time zones that its date was computed with.
    pub zones: Arc<str>,
}

/// How far the newest task of a schedule has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stand {
    /// It has ended, or is not known any more, or never was.
    Over,
    /// No run of it has begun.
    Fresh,
    /// It runs, or will run again.
    Busy,
}

/// What a schedule does now.
#[derive(Debug)]
pub struct Act {
    /// The entry afterwards.
    pub entry: Entry,
    /// The tasks to push, together with it.
    pub specs: Vec<Spec>,
    /// A task to stop before that.
    pub stop: Option<TaskId>,
}

impl Stand {
    /// Of this record.
    pub fn of(record: Option<&Record>) -> Self {
        match record.map(|record| &record.status) {
            Some(status) if status.state.is_final() => Self::Over,
            Some(status) if status.state == State::Waiting && status.first_started_at.is_none() => {
                Self::Fresh
            }
            Some(_) => Self::Busy,
            None => Self::Over,
        }
    }
}

impl Entry {
    /// A schedule that begins now.
    pub fn begin(plan: Plan, task: Template, now: Millis) -> Self {
        let zones = tzdb_version().into();
        Self { plan, task, cursor: Cursor::begin(now), skipped: 0, last: None, pause: None, zones }
    }

    /// The same schedule with another plan or task. Other slots begin now; the same ones go on, the missed ones
    /// included. It stays paused if somebody wanted that.
    pub fn renewed(self, mut plan: Plan, task: Template, now: Millis) -> Self {
        let goes_on = plan.goes_on(&self.plan);
        let cursor = if goes_on { self.cursor } else { self.cursor.restart(now) };
        let pause = self.pause.filter(|pause| *pause == Pause::OnRequest);
        // A handler that can run only once is a new one: the slots of its predecessor are not its own.
        let cursor = if pause == self.pause { cursor } else { cursor.restart(now) };
        let skipped = if cursor == self.cursor { self.skipped } else { 0 };
        Self { plan, task, cursor, skipped, pause, zones: tzdb_version().into(), ..self }
    }

    /// Stops firing.
    pub fn paused(self, pause: Pause) -> Self {
        Self { pause: Some(self.pause.unwrap_or(pause)), ..self }
    }

    /// Fires again; slots that have passed meanwhile are of no interest.
    pub fn resumed(self, now: Millis) -> Self {
        match self.pause {
            Some(_) => Self { pause: None, cursor: self.cursor.restart(now), skipped: 0, ..self },
            None => self,
        }
    }

    /// From the value of a cell.
    pub fn read(value: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(value)
    }

    /// When it is due.
    pub fn due_at(&self, key: &str) -> Option<Millis> {
        if self.pause.is_some() {
            return None;
        }
        self.plan.due_at(key, self.cursor)
    }

    /// The cell that holds it.
    pub fn cell(&self, key: &str) -> Cell {
        let value = serde_json::to_string(self).expect("plain values under names of text");
        Cell { value: value.into(), due_at: self.due_at(key) }
    }

    /// Its date with the time zones of this binary, where those are newer.
    pub fn with_newer_zones(self) -> Option<Self> {
        (*self.zones < *tzdb_version()).then(|| Self { zones: tzdb_version().into(), ..self })
    }

    /// What it does now, given how its newest task stands.
    pub fn fire(mut self, key: &str, stand: Stand, now: Millis) -> Act {
        if self.pause.is_some() {
            return Act { entry: self, specs: Vec::new(), stop: None };
        }
        let mut firing = self.plan.catch_up(key, self.cursor, now);
        if self.task.once && firing.slots.len() > 1 {
            // The newest stands for all: there is only one run.
            let newest = firing.slots.split_off(firing.slots.len() - 1);
            self.skipped += firing.slots.iter().map(|slot| slot.skipped + 1).sum::<u64>();
            firing.slots = newest;
            firing.cursor.fired = self.cursor.fired + 1;
        }
        if self.is_held(stand) {
            firing.skipped += firing.slots.drain(..).map(|slot| slot.skipped + 1).sum::<u64>();
            firing.cursor.fired = self.cursor.fired;
        }
        self.cursor = firing.cursor;
        self.skipped = self.skipped.saturating_add(firing.skipped);
        let mut act = Act { specs: Vec::new(), stop: None, entry: self };
        for slot in firing.slots {
            let id = TaskId::from(&*slot_id(key, slot.at));
            let skipped = slot.skipped.saturating_add(std::mem::take(&mut act.entry.skipped));
            let spec = Spec { id, minted: false, ..act.entry.spec(key, slot.at, skipped) };
            // Those of one moment wait for each other.
            let stand = if act.specs.is_empty() { stand } else { Stand::Fresh };
            act.add(key, spec, stand, now);
        }
        if act.entry.task.once && !act.specs.is_empty() {
            act.entry.pause = Some(Pause::NotRepeatable);
        }
        act
    }

    /// A run beside its slots; `None` where one that has not ended stands for it.
    pub fn trigger(self, key: &str, stand: Stand, now: Millis) -> Option<Act> {
        if self.is_held(stand) {
            return None;
        }
        let spec = self.spec(key, now, 0);
        let mut act = Act { specs: Vec::new(), stop: None, entry: self };
        act.add(key, spec, stand, now);
        Some(act)
    }

    /// The newest task keeps another one from being made.
    fn is_held(&self, stand: Stand) -> bool {
        match self.plan.overlap {
            Overlap::Allow | Overlap::Cancel => false,
            Overlap::Skip => stand != Stand::Over,
            // At most one waits.
            Overlap::Queue => stand == Stand::Fresh,
        }
    }

    fn spec(&self, key: &str, slot: Millis, skipped: u64) -> Spec {
        let Template { name, queue, priority, timeout, retry, input, .. } = &self.task;
        Spec {
            queue: queue.clone(),
            priority: *priority,
            timeout: *timeout,
            retry: retry.clone(),
            metadata: Some(metadata(key, slot, skipped)),
            ..Spec::new(name.clone(), input.get())
        }
    }
}

impl Act {
    /// One more task, which meets the newest one so far as the plan says.
    fn add(&mut self, key: &str, mut spec: Spec, stand: Stand, now: Millis) {
        let last = self.entry.last.take().filter(|_| stand != Stand::Over);
        let unique =
            |conflict| Some(Key { text: format!("schedule:{key}").into(), conflict, quiet: Quiet::Off });
        match self.entry.plan.overlap {
            Overlap::Allow => {}
            Overlap::Skip => spec.key = unique(Conflict::Ignore),
            Overlap::Cancel => {
                spec.key = unique(Conflict::Replace);
                self.stop = last.map(|last| TaskId::from(&*last.id));
            }
            Overlap::Queue => {
                let ids = last.iter().map(|last| TaskId::from(&*last.id)).collect();
                spec.blockers = last.map(|_| Blockers { ids, on_failure: OnBlockerFailure::Run });
            }
        }
        self.entry.last = Some(Last { id: spec.id.to_text(), at: now });
        self.specs.push(spec);
    }
}

/// What a run is told of its slot. The names are those that `Slot` reads.
fn metadata(key: &str, slot: Millis, skipped: u64) -> Text {
    serde_json::json!({ "schedule": key, "slot": slot.to_string(), "skipped": skipped.to_string() })
        .to_string()
        .into()
}
