//! The node's own fence: what it does while its beat does not get through.
//!
//! Others declare a node dead when its beat has been missing for a lease, and run its tasks. It is the first to know:
//! half a lease after its last good beat it begins nothing more, and after a whole lease it tells what it runs that
//! the claim may be lost. What such a run returns is still offered to the store, which takes it if the claim holds.

use crate::time::Millis;

use super::core::{Closing, Core, Stop};
use super::stored::Phase;

/// How the last beats went.
#[derive(Debug, Default)]
pub(super) struct Heart {
    /// When the last good beat was sent, or the first one could have been.
    beat_at: Option<Millis>,
    /// Half a lease has passed since: nothing begins.
    fenced: bool,
    /// A whole lease has passed since: what runs has been told.
    doubted: bool,
}

impl Core {
    /// A node at work beats; so does one that still owes the store something.
    pub fn beats(&self) -> bool {
        let works = self.stored.started && self.has_queues();
        works || !self.stored.is_quiet()
    }

    /// A beat that was sent then has got through.
    pub fn beaten(&mut self, sent_at: Millis) {
        let heart = &mut self.stored.pulse;
        heart.beat_at = heart.beat_at.max(Some(sent_at));
    }

    /// How long a node that does not beat keeps its tasks.
    pub fn lease(&self) -> Millis {
        self.config.lease
    }

    /// It begins nothing, since its beat does not get through.
    pub(super) fn is_fenced(&self) -> bool {
        self.stored.pulse.fenced
    }

    pub(super) fn look_after_beat(&mut self, now: Millis) {
        if !self.beats() || self.config.time.is_moved() {
            self.stored.pulse = Heart::default();
            return;
        }
        let silent = now.saturating_sub(*self.stored.pulse.beat_at.get_or_insert(now));
        let (fenced, doubted) = (silent >= self.config.lease / 2, silent >= self.config.lease);
        let before = (self.stored.pulse.fenced, self.stored.pulse.doubted);
        (self.stored.pulse.fenced, self.stored.pulse.doubted) = (fenced, doubted);
        match (before, (fenced, doubted)) {
            ((false, _), (true, _)) => self.release_unbegun(),
            ((true, _), (false, _)) => self.stored.look(),
            _ => {}
        }
        if doubted && !before.1 {
            self.doubt_all();
        }
    }

    fn doubt_all(&mut self) {
        for slot in self.slots(|run| matches!(run.phase, Phase::Begun | Phase::Stopping) && !run.doubted) {
            let run = &mut self.stored.runs[(slot & !super::core::STORED) as usize];
            run.doubted = true;
            let number = run.number;
            self.outbox.stops.push((slot, number, Stop::Doubtful));
        }
    }

    /// When `look_after_beat` has something to do, unless a beat gets through.
    pub(super) fn fence_deadline(&self) -> Option<Millis> {
        let beat_at = self.stored.pulse.beat_at.filter(|_| !self.stored.runs.is_empty())?;
        let Heart { fenced, doubted, .. } = self.stored.pulse;
        match (fenced, doubted) {
            (false, _) => Some(beat_at.saturating_add(self.config.lease / 2)),
            (true, false) => Some(beat_at.saturating_add(self.config.lease)),
            (true, true) => None,
        }
    }

    /// Its tasks outlive the process, and others may work on them.
    pub(super) fn is_durable(&self) -> bool {
        self.config.durable
    }

    /// It works on all queues or on some: a producer names none.
    pub fn has_queues(&self) -> bool {
        self.config.queues.as_ref().is_none_or(|queues| !queues.is_empty())
    }

    /// It claims tasks, of one kind at least.
    pub fn is_working(&self) -> bool {
        self.stored.started && self.has_queues() && !self.claimable.is_empty() && self.closing == Closing::No
    }
}
