//! Reading and operating: filters, pages, counts, retention, and what operators change.

use std::collections::HashSet;
use std::sync::Arc;

use crate::task::{Blockers, Name, OnBlockerFailure, Record, Spec, State, Status, TaskId, View};
use crate::time::Millis;

use super::error::StoreError;

/// Which tasks; an empty filter is all of them.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// In one of these states; empty: any.
    pub views: Vec<View>,
    /// Of this queue.
    pub queue: Option<Name>,
    /// Of this kind.
    pub name: Option<Name>,
    /// Of this group.
    pub group: Option<Name>,
    /// Of this workflow.
    pub flow: Option<Name>,
    /// Pushed before.
    pub created_before: Option<Millis>,
    /// Pushed after.
    pub created_after: Option<Millis>,
    /// Name, input or an error holds this text, in any case.
    pub search: Option<Arc<str>>,
}

impl Filter {
    /// The text that is searched for, as `has_text` takes it.
    pub(super) fn text(&self) -> Option<String> {
        self.search.as_ref().map(|text| text.to_lowercase())
    }
}

/// Name, input or an error of the task holds this text, which is in lower case.
pub(super) fn has_text(spec: &Spec, status: &Status, text: &str) -> bool {
    let errors = status.attempts.iter().flat_map(|attempt| [&*attempt.message, &*attempt.name]);
    [&*spec.name, &*spec.input].into_iter().chain(errors).any(|part| part.to_lowercase().contains(text))
}

/// First of a cursor that a page has brought: no id has a control character.
pub(super) const MARK: char = '\u{1}';

/// The refusal of a cursor that is neither of a page nor the id of a task.
pub(super) fn no_cursor(cursor: &str) -> StoreError {
    StoreError::Failed(format!("{cursor:?} is not a cursor of a page").into())
}

/// A page of a list.
#[derive(Clone, Debug, Default)]
pub struct Query {
    /// Which tasks.
    pub filter: Filter,
    /// At most so many.
    pub limit: usize,
    /// Where the page before ended: what it said, or the id of its last task.
    pub cursor: Option<Arc<str>>,
}

/// Records, newest first.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// The store's clock, by which views are told.
    pub now: Millis,
    /// The records.
    pub records: Vec<Record>,
    /// Where the next page begins; `None` at the end.
    pub cursor: Option<Arc<str>>,
}

/// Tasks by the state that people see.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// In the order of `View::ALL`.
    pub by_view: [u64; 7],
}

impl Counts {
    /// Tasks in one state.
    pub fn of(&self, view: View) -> u64 {
        self.by_view[view as usize]
    }

    /// Tasks that have not ended.
    pub fn unfinished(&self) -> u64 {
        [View::Scheduled, View::Waiting, View::Blocked, View::Running].map(|view| self.of(view)).iter().sum()
    }
}

/// Which tasks an amendment is for.
#[derive(Clone, Debug)]
pub enum Target {
    /// These.
    Ids(Vec<TaskId>),
    /// All that match and would be changed, in steps of at most 1000: oldest first, but what ends them newest first.
    Filter(Filter),
}

/// What an operator changes.
#[derive(Clone, Debug)]
pub enum Amend {
    /// Waiting: ends at once. Running: is asked to stop. Ended: unchanged.
    Cancel(Arc<str>),
    /// Ended: waits again with fresh budgets, for those of its blockers that have not ended, with no last
    /// moment to start. Others, and those whose key has been taken: unchanged. Of several ids also those that
    /// need a blocker which comes before them and stays undone.
    Retry,
    /// Not running: is forgotten; to those that wait for it, it is cancelled. Running: unchanged.
    Remove,
    /// Waiting: starts not before this date.
    Reschedule(Millis),
    /// Waiting for its time: starts now.
    Promote,
    /// Waiting: gets this priority.
    Prioritise(i32),
}

impl Amend {
    /// A filter is worked off from the newest task on: what waits for another is mostly newer, and is changed, and
    /// counted, for itself before it would end because of the other.
    pub(super) fn is_newest_first(&self) -> bool {
        matches!(self, Self::Cancel(_) | Self::Remove)
    }

    /// It would change a task that stands like this; a retry also needs the task's key to be free.
    pub(super) fn applies(&self, status: &Status, now: Millis) -> bool {
        let waits = status.state == State::Waiting;
        match self {
            Self::Cancel(_) => waits || status.state == State::Running && status.cancel.is_none(),
            Self::Retry => status.state.is_final(),
            Self::Remove => status.state != State::Running,
            Self::Promote => waits && status.run_at > now,
            Self::Reschedule(at) => waits && status.run_at != *at,
            Self::Prioritise(priority) => waits && status.priority != *priority,
        }
    }
}

/// Tasks of a revival by id that stay undone: what needs one of them does so too.
#[derive(Default)]
pub(super) struct Undone(HashSet<TaskId>);

impl Undone {
    /// This task was not revived.
    pub fn add(&mut self, id: &TaskId, state: State) {
        if matches!(state, State::Failed | State::Cancelled) {
            self.0.insert(id.clone());
        }
    }

    /// A task that is cancelled where one of these does not complete.
    pub fn holds_back(&self, spec: &Spec) -> bool {
        let needs = |blockers: &&Blockers| blockers.on_failure == OnBlockerFailure::Cancel;
        !self.0.is_empty()
            && spec
                .blockers
                .as_ref()
                .filter(needs)
                .is_some_and(|needed| needed.ids.iter().any(|id| self.0.contains(id)))
    }
}

/// What an amendment did.
#[derive(Clone, Debug, Default)]
pub struct Amended {
    /// Tasks that it changed.
    pub changed: Vec<TaskId>,
    /// Of these, running ones that were asked to stop: id and epoch.
    pub stopping: Vec<(TaskId, u64)>,
    /// Tasks that ended: by the change, or by its cascade.
    pub ended: Vec<TaskId>,
    /// More may match: call again.
    pub more: bool,
}

/// What to keep of ended tasks, for each final state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Of completed ones.
    pub completed: Keep,
    /// Of failed ones.
    pub failed: Keep,
    /// Of cancelled ones.
    pub cancelled: Keep,
}

/// Bounds on ended tasks of one state; the tightest wins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Keep {
    /// Not older than this.
    pub age: Option<Millis>,
    /// The newest so many.
    pub count: Option<u64>,
    /// The newest up to so many bytes of input and output.
    pub bytes: Option<u64>,
}

impl Retention {
    /// For a store that outlives the process: what completed for a day and the newest 100,000 of it, what failed or
    /// was cancelled for 14 days.
    pub fn durable() -> Self {
        const DAY: Millis = 86_400_000;
        let two_weeks = Keep { age: Some(14 * DAY), ..Keep::default() };
        let completed = Keep { age: Some(DAY), count: Some(100_000), ..Keep::default() };
        Self { completed, failed: two_weeks, cancelled: two_weeks }
    }
}

impl Default for Retention {
    /// The newest 1000 of each: right for memory.
    fn default() -> Self {
        let keep = Keep { count: Some(1000), ..Keep::default() };
        Self { completed: keep, failed: keep, cancelled: keep }
    }
}
