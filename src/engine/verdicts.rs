//! Timeouts of stored runs that the host decides about: its retry policy has functions, which only it can call.
//!
//! The attempt has ended on time and its slot is free; what is left of the run waits in phase `Asking` for one word of
//! the host. A host that has gone silent is not asked for ever: then the policy alone decides.

use crate::dispatch::OPEN_LANE;
use crate::policy::Exit;
use crate::policy::breaker::Verdict;
use crate::task::{Failure, Outcome};
use crate::time::Millis;

use super::core::{Closing, Core, STORED, Stop};
use super::event::{Event, What};
use super::stored::Phase;

impl Core {
    /// The attempt has had its time, and there is somebody to ask whether another one follows.
    pub(super) fn asks(&self, slot: u32) -> bool {
        let run = &self.stored.runs[(slot & !STORED) as usize];
        let retry = &run.claimed.spec.retry;
        let is_last = run.claimed.failures + 1 >= retry.attempts;
        self.kinds[run.kind as usize].asks && !retry.own && !is_last && self.closing == Closing::No
    }

    /// Frees the slot of such an attempt, and asks.
    pub(super) fn ask(&mut self, slot: u32, limit: Millis, now: Millis) {
        let run = &mut self.stored.runs[(slot & !STORED) as usize];
        run.phase = Phase::Asking;
        let (number, lane, spec) = (run.number, run.lane, run.claimed.spec.clone());
        let (kind, attempt) = (run.kind, run.claimed.failures + 1);
        self.dispatcher.ended(lane, slot, Exit::Ended(Verdict::Failed), now);
        if lane != OPEN_LANE {
            self.stored.dry = false;
        }
        self.abandoned += 1;
        self.outbox.stops.push((slot, number, Stop::Asks { limit, kind, attempt }));
        self.events.tell(|| Event { what: What::Abandoned, spec, attempt, at: now });
    }

    /// What the host says about an attempt that has timed out; nothing where nobody has asked.
    pub fn judge_timeout(&mut self, slot: u32, number: u32, failure: Failure, now: Millis) {
        let asked = self.stored.find(slot, number).filter(|run| run.phase == Phase::Asking);
        if asked.is_some() {
            self.end_stored(slot, &Outcome::Error(failure.into()), now);
        }
    }
}
