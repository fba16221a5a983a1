//! What a store keeps of a task: the spec as accepted and a status that changes.
//!
//! Invariants: `owner` is set if and only if the state is running; `epoch` never goes down; `blockers` is
//! the number of unfinished tasks it waits for; `output` is set only when completed.

use std::sync::Arc;

use crate::time::Millis;

use super::settle::{Failure, Standing};
use super::spec::{Spec, Text};
use super::state::{Cause, State, View};

/// Failed attempts that are kept of a task; older ones are dropped.
pub const KEPT_ATTEMPTS: usize = 20;

/// A task as a store has it.
#[derive(Clone, Debug)]
pub struct Record {
    /// What was pushed.
    pub spec: Arc<Spec>,
    /// How far it has come.
    pub status: Status,
}

/// The changing part of a record. Dates are on the store's clock.
#[derive(Clone, Debug)]
pub struct Status {
    /// The stored state.
    pub state: State,
    /// The transition that led here; `None` for a task that has never left `waiting`.
    pub cause: Option<Cause>,
    /// Larger starts first; may be changed while it waits.
    pub priority: i32,
    /// Not before.
    pub run_at: Millis,
    /// Unfinished tasks that it waits for.
    pub blockers: u32,
    /// The fence: grows at every claim; 0 before the first.
    pub epoch: u64,
    /// The node that runs it.
    pub owner: Option<Arc<str>>,
    /// Failed attempts.
    pub failures: u32,
    /// Lost claims.
    pub losses: u32,
    /// A request to stop, with its reason, or the reason it was cancelled for.
    pub cancel: Option<Arc<str>>,
    /// Its unique key has been taken while it ran.
    pub superseded: bool,
    /// When it was pushed.
    pub created_at: Millis,
    /// First claim.
    pub first_started_at: Option<Millis>,
    /// Latest claim.
    pub started_at: Option<Millis>,
    /// When it reached its final state.
    pub finished_at: Option<Millis>,
    /// What the handler returned.
    pub output: Option<Text>,
    /// The newest failed attempts, oldest first.
    pub attempts: Vec<Attempt>,
}

/// Where a waiting task stands, each place with an index of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Can be claimed.
    Ready,
    /// Waits for its time.
    Timed,
    /// Waits for other tasks.
    Blocked,
}

/// One failed attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// 1 for the first.
    pub number: u32,
    /// When it was recorded, on the store's clock.
    pub at: Millis,
    /// Stable code.
    pub code: String,
    /// Class of the error.
    pub name: String,
    /// Its message.
    pub message: String,
    /// Its stack.
    pub stack: Option<String>,
}

/// A task that a node has just been given to run.
#[derive(Clone, Debug)]
pub struct Claimed {
    /// What to run.
    pub spec: Arc<Spec>,
    /// The claim: every settlement has to show it.
    pub epoch: u64,
    /// Its priority now.
    pub priority: i32,
    /// Failed attempts so far.
    pub failures: u32,
    /// Lost claims so far.
    pub losses: u32,
    /// Time since the first start of the task; 0 if this is the first.
    pub elapsed: Millis,
}

/// What holds a waiting task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waiting {
    /// Nothing but its turn.
    Turn,
    /// A time.
    Time(Millis),
    /// Other tasks.
    Blocker,
    /// Its queue is paused.
    Pause,
}

impl Claimed {
    /// What is known of the run, as it was claimed.
    pub fn standing(&self) -> Standing<'_> {
        Standing {
            id: &self.spec.id,
            epoch: self.epoch,
            failures: self.failures,
            losses: self.losses,
            elapsed: self.elapsed,
            timeout: self.spec.timeout,
            retry: &self.spec.retry,
        }
    }
}

impl Status {
    /// That of a task that is pushed at `now`.
    pub fn pushed(spec: &Spec, now: Millis) -> Self {
        Self {
            state: State::Waiting,
            cause: None,
            priority: spec.priority,
            run_at: spec.when.date(now),
            blockers: 0,
            epoch: 0,
            owner: None,
            failures: 0,
            losses: 0,
            cancel: None,
            superseded: false,
            created_at: now,
            first_started_at: None,
            started_at: None,
            finished_at: None,
            output: None,
            attempts: Vec::new(),
        }
    }

    /// How it is shown at `now`.
    pub fn view(&self, now: Millis) -> View {
        match self.state {
            State::Waiting if self.blockers > 0 => View::Blocked,
            State::Waiting if self.run_at > now => View::Scheduled,
            State::Waiting => View::Waiting,
            State::Running => View::Running,
            State::Completed => View::Completed,
            State::Failed => View::Failed,
            State::Cancelled => View::Cancelled,
        }
    }

    /// Where it stands at `now` while it waits.
    pub fn place(&self, now: Millis) -> Place {
        if self.blockers > 0 {
            Place::Blocked
        } else if self.run_at > now {
            Place::Timed
        } else {
            Place::Ready
        }
    }

    /// The run that is under way or comes next: 1 for the first.
    pub fn attempt(&self) -> u32 {
        match self.state {
            State::Failed => self.failures.max(1),
            _ => self.failures + 1,
        }
    }

    /// Remembers a failed attempt.
    pub fn note(&mut self, attempt: Attempt) {
        if self.attempts.len() == KEPT_ATTEMPTS {
            self.attempts.remove(0);
        }
        self.attempts.push(attempt);
    }
}

impl Attempt {
    /// An attempt whose handler failed.
    pub fn failed(number: u32, failure: &Failure) -> Self {
        Self {
            number,
            at: 0,
            code: failure.code.clone().unwrap_or_else(|| "ERR_TASK_FAILED".into()),
            name: failure.name.clone(),
            message: failure.message.clone(),
            stack: failure.stack.clone(),
        }
    }

    /// An attempt that did not end in time.
    pub fn timed_out(number: u32, limit: Millis) -> Self {
        Self::of_engine(number, "ERR_TASK_TIMEOUT", format!("the attempt did not end within {limit} ms"))
    }

    /// The end of a task that was lost once too often.
    pub fn lost(number: u32, losses: u32) -> Self {
        let message = format!("the task was lost {losses} times by the processes that ran it");
        Self::of_engine(number, "ERR_TASK_LOST", message)
    }

    /// The end of a task that was not started in time.
    pub fn expired(number: u32) -> Self {
        Self::of_engine(number, "ERR_TASK_EXPIRED", "the task was not started before it expired".into())
    }

    fn of_engine(number: u32, code: &str, message: String) -> Self {
        Self { number, at: 0, code: code.into(), name: "TaskError".into(), message, stack: None }
    }
}
