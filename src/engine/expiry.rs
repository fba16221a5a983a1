//! Tasks whose last moment to start comes while they are claimed here and have not begun: they go back, and their
//! store says what becomes of them.
//!
//! Invariant: what had passed when a task was claimed does not count, since then it has started before.

use crate::task::Outcome;
use crate::time::Millis;

use super::core::{Core, STORED};
use super::stored::{Phase, StoredRun};
use super::timers::Alarm;

impl StoredRun {
    /// Its last moment to start, on the monotonic clock; `ahead` is the clock of its store.
    fn expires_at(&self, ahead: Millis) -> Option<Millis> {
        let at = self.claimed.spec.expires_at?.saturating_sub(ahead);
        (at > self.claimed_at).then_some(at)
    }
}

impl Core {
    /// It may not begin any more.
    pub(super) fn has_expired(&self, slot: u32, now: Millis) -> bool {
        let run = &self.stored.runs[(slot & !STORED) as usize];
        run.expires_at(self.stored.ahead).is_some_and(|at| at <= now)
    }

    /// Looks again at a run that was taken in when its last moment to start comes.
    pub(super) fn watch_expiry(&mut self, slot: u32) {
        let run = &self.stored.runs[(slot & !STORED) as usize];
        if let Some(at) = run.expires_at(self.stored.ahead) {
            self.arm_stored(slot, at, Alarm::Expiry(slot));
        }
    }

    pub(super) fn stored_expiry(&mut self, slot: u32, now: Millis) {
        let run = &mut self.stored.runs[(slot & !STORED) as usize];
        run.armed = false;
        if matches!(run.phase, Phase::Ready | Phase::Handed) {
            self.end_stored(slot, &Outcome::Released, now);
        }
    }
}
