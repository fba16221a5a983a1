//! What listeners are told. Nothing is made while nobody listens; a slow listener loses the oldest.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::store::StoreError;
use crate::task::{Attempt, Spec, Text};
use crate::time::Millis;

use super::stall::Stall;

/// Events that wait for a slow listener; older ones are dropped and counted.
const KEPT: usize = 10_000;
/// Shortest time between two reports of a store that fails.
const TROUBLE_GAP: Millis = 1000;

/// Something that happened to a stored task.
#[derive(Clone, Debug)]
pub struct Event {
    /// What.
    pub what: What,
    /// To which task.
    pub spec: Arc<Spec>,
    /// In which attempt, 1 for the first.
    pub attempt: u32,
    /// When, on the monotonic clock of the engine.
    pub at: Millis,
}

impl Event {
    /// Id of the task.
    pub fn id(&self) -> &str {
        self.spec.id.as_str()
    }

    /// Its kind.
    pub fn name(&self) -> &str {
        &self.spec.name
    }

    /// The queue it is in.
    pub fn queue(&self) -> &str {
        &self.spec.queue
    }
}

/// Kinds of event.
#[derive(Clone, Debug)]
pub enum What {
    /// It was pushed.
    Waiting,
    /// It starts.
    Running,
    /// It ended well.
    Completed {
        /// What the handler returned.
        output: Text,
        /// How long the attempt took.
        took: Millis,
    },
    /// An attempt ended badly.
    Failed {
        /// With this error.
        error: Attempt,
        /// Time to the next attempt, if there is one.
        retry_in: Option<Millis>,
    },
    /// It was cancelled.
    Cancelled,
    /// Its claim was lost.
    Lost,
    /// Its handler has outlived its attempt.
    Abandoned,
}

impl What {
    /// The word for it.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Running => "running",
            Self::Completed { .. } => "completed",
            Self::Failed { .. } => "failed",
            Self::Cancelled => "cancelled",
            Self::Lost => "lost",
            Self::Abandoned => "abandoned",
        }
    }
}

/// Events on their way to listeners.
#[derive(Debug, Default)]
pub struct Events {
    listening: bool,
    waiting: VecDeque<Event>,
    dropped: u64,
    trouble: Option<StoreError>,
    troubled_at: Option<Millis>,
    warning: Option<Arc<str>>,
    /// Circuit breakers as they were told last, and those that were told of and have not been heard.
    gates: Vec<(Arc<str>, &'static str)>,
    changed: Vec<(Arc<str>, &'static str)>,
    jumped: Option<i64>,
    stall: Option<Stall>,
}

impl Events {
    /// Somebody listens, or nobody does any more.
    pub fn set_listening(&mut self, listening: bool) {
        self.listening = listening;
        if !listening {
            self.waiting.clear();
        }
    }

    /// Somebody listens.
    pub fn is_listening(&self) -> bool {
        self.listening
    }

    /// Tells, if somebody listens.
    pub fn tell(&mut self, event: impl FnOnce() -> Event) {
        if !self.listening {
            return;
        }
        if self.waiting.len() == KEPT {
            self.waiting.pop_front();
            self.dropped += 1;
        }
        self.waiting.push_back(event());
    }

    /// Up to `max` events, oldest first.
    pub fn take(&mut self, max: usize) -> Vec<Event> {
        let n = max.min(self.waiting.len());
        self.waiting.drain(..n).collect()
    }

    /// Nothing waits.
    pub fn is_empty(&self) -> bool {
        let told = self.trouble.is_none() && self.warning.is_none() && self.changed.is_empty();
        told && self.waiting.is_empty() && self.jumped.is_none() && self.stall.is_none()
    }

    /// A call of the store has failed: told whoever listens, but at most once a second; true if it is.
    pub fn trouble(&mut self, error: &StoreError, now: Millis) -> bool {
        if self.troubled_at.is_some_and(|at| now < at.saturating_add(TROUBLE_GAP)) {
            return false;
        }
        self.troubled_at = Some(now);
        self.trouble = Some(error.clone());
        true
    }

    /// The newest trouble with the store that nobody has been told of.
    pub fn take_trouble(&mut self) -> Option<StoreError> {
        self.trouble.take()
    }

    /// The circuit breakers are in these states now: changes are told if somebody listens.
    pub(super) fn gates_are(&mut self, states: Vec<(Arc<str>, &'static str)>) {
        for (at, (name, state)) in states.iter().enumerate() {
            let before = self.gates.get(at).map_or("closed", |(_, state)| *state);
            if before != *state && self.listening && self.changed.len() < KEPT {
                self.changed.push((name.clone(), *state));
            }
        }
        self.gates = states;
    }

    /// Changes of circuit breakers, oldest first.
    pub fn take_gates(&mut self) -> Vec<(Arc<str>, &'static str)> {
        std::mem::take(&mut self.changed)
    }

    /// Something that people should know.
    pub fn warn(&mut self, text: Arc<str>) {
        self.warning = Some(text);
    }

    /// What people should know.
    pub fn take_warning(&mut self) -> Option<Arc<str>> {
        self.warning.take()
    }

    /// The store's clock has been set by so many milliseconds, or this machine has slept.
    pub fn jump(&mut self, by: i64) {
        self.jumped = Some(self.jumped.unwrap_or_default().saturating_add(by));
    }

    /// By how much the clock has jumped since the last time.
    pub fn take_jump(&mut self) -> Option<i64> {
        self.jumped.take()
    }

    /// The host's loop had not turned, and turns again.
    pub fn stalled(&mut self, stall: Stall) {
        self.stall = Some(stall);
    }

    /// How long the host's loop had not turned, if that has not been told.
    pub fn take_stall(&mut self) -> Option<Stall> {
        self.stall.take()
    }

    /// Events that were lost because nobody took them in time.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }
}
