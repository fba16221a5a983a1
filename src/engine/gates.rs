//! The gates of an engine at work: what must not wait at them, what an outcome says to them, and who is told when one
//! of them has changed.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::dispatch::{Entry, LaneId};
use crate::error::TaskError;
use crate::policy::breaker::Verdict;
use crate::policy::{Exit, Gate};
use crate::task::{Failure, Outcome};
use crate::time::Millis;

use super::core::{Core, STORED};
use super::kinds::Hold;
use super::stored::Phase;

/// Whoever awaits a call here and now is not kept waiting for a breaker, nor for a rate that refuses; what is enqueued
/// waits, unless a breaker says that it fails.
pub(super) fn refuses(entry: Entry, gate: &Gate) -> bool {
    let is_local = entry.slot & STORED == 0;
    match gate {
        Gate::Breaker(breaker) => is_local || breaker.rules().fails,
        Gate::Rate(rate) => is_local && rate.rules().rejects,
        Gate::Concurrency { .. } | Gate::Hold(_) | Gate::Pause { .. } => false,
    }
}

/// What the end of a stored run says to the gates that it has passed.
pub(super) fn exit_of(phase: Phase, outcome: &Outcome) -> Exit {
    if matches!(phase, Phase::Ready | Phase::Handed) {
        return Exit::Unbegun;
    }
    Exit::Ended(match outcome {
        Outcome::Ok(_) | Outcome::Spawned(..) => Verdict::Succeeded,
        Outcome::Error(failure) => verdict_of(failure),
        Outcome::Timeout => Verdict::Failed,
        Outcome::Snooze(_) | Outcome::Cancelled(_) | Outcome::Lost | Outcome::Released => Verdict::Unknown,
    })
}

/// What a failure says about what the handler has called: nothing where trying again cannot help, since then the task
/// is at fault, nor where a limit has refused it.
pub(crate) fn verdict_of(failure: &Failure) -> Verdict {
    let is_limit = matches!(failure.code.as_deref(), Some("ERR_RATE_LIMITED" | "ERR_CIRCUIT_OPEN"));
    match failure.blames {
        Some(true) => Verdict::Failed,
        Some(false) => Verdict::Unknown,
        None if failure.fatal || is_limit => Verdict::Unknown,
        None => Verdict::Failed,
    }
}

impl Core {
    /// Rung besides, on any thread, perhaps under the lock of this core.
    pub(super) fn set_bell(&mut self, also: impl Fn() + Send + Sync + 'static) {
        let rung = self.rung.clone();
        self.bell = Arc::new(move || {
            rung.store(true, Ordering::SeqCst);
            also();
        });
    }

    /// Something that several engines share has changed, and has not been looked at.
    pub(super) fn is_rung(&self) -> bool {
        self.rung.load(Ordering::SeqCst)
    }

    pub(super) fn look_at_gates(&mut self, now: Millis) {
        if !self.is_limited || !self.rung.swap(false, Ordering::SeqCst) {
            return;
        }
        self.dispatcher.gates_changed();
        self.stored.look();
        self.tell_gates(now);
    }

    fn tell_gates(&mut self, now: Millis) {
        let states: Vec<(Arc<str>, &'static str)> = self
            .breakers()
            .map(|breaker| {
                let name = breaker.rules().name.clone().unwrap_or_else(|| "circuit breaker".into());
                (name, breaker.word(now))
            })
            .collect();
        self.events.gates_are(states);
    }

    /// These have come to a gate that lets them not wait.
    pub(super) fn refuse_all(&mut self, refused: Vec<(u32, Hold)>, now: Millis) {
        for (slot, hold) in refused {
            if slot & STORED == 0 {
                self.refusals.insert(slot, hold);
                self.refuse_local(slot);
            } else {
                let (retry_after, error) = (hold.opens_in, TaskError::from(hold));
                let code = Some(error.code().to_owned());
                let failure = Failure { code, retry_after, ..Failure::new("TaskError", error.to_string()) };
                self.end_stored(slot, &Outcome::Error(failure.into()), now);
            }
        }
    }

    /// Why the task in this slot was refused; to be asked once.
    pub fn refusal(&mut self, slot: u32) -> Option<Hold> {
        self.refusals.remove(&slot)
    }

    /// A handler has said when to come back: rates that heed that hold everything until then.
    pub fn heed(&mut self, slot: u32, delay: Millis, now: Millis) {
        let lane = match slot & STORED {
            0 => self.lane_of_local(slot),
            _ => self.stored.runs.get((slot & !STORED) as usize).map(|run| run.lane),
        };
        for gate in lane.into_iter().flat_map(|lane| self.dispatcher.gates_of(lane)) {
            if let Gate::Rate(rate) | Gate::Hold(rate) = self.dispatcher.gate(*gate)
                && rate.rules().heeds_retry_after
            {
                rate.hold(now.saturating_add(delay));
            }
        }
    }

    /// What a lane whose gate is closed should have at hand for when it opens.
    pub(super) fn at_hand(&self, lane: LaneId, now: Millis) -> u32 {
        // One stands there, so that it is known here that there is something to wait for.
        match self.dispatcher.closed_in(lane, now) {
            // Something runs there, and its end is soon enough.
            Some((gate, _)) if matches!(self.dispatcher.gate(gate), Gate::Concurrency { .. }) => 0,
            _ => self.dispatcher.ahead_in(lane, now, super::pace::WINDOW).max(1),
        }
    }
}
