//! Stored runs: records claimed from the store, from the claim to the accepted settlement.
//!
//! The path of one run: `answered` takes it in, the dispatcher starts it, the host begins it, `ended`
//! decides its fate (`task::settle`), `step` carries the settlement to the store, and `answered` hears
//! whether it was accepted. A step whose answer was lost is sent again, unchanged, under the same number.

use std::collections::HashMap;
use std::sync::Arc;

use slab::Slab;

use crate::dispatch::{Entry, LaneId, OPEN_LANE};
use crate::store::{Advance, Pulse, Turn};
use crate::task::{Claimed, Name, Outcome, Settlement, Spec, Standing, TaskId, settle};
use crate::time::Millis;

use super::core::{Closing, Core, KindId, STORED, Stop};
use super::event::{Event, What};
use super::fence::Heart;
use super::gates::exit_of;
use super::metrics::{Count, SeriesId};
use super::pace::Pace;
use super::timers::Alarm;

#[derive(Default)]
pub(super) struct Stored {
    pub runs: Slab<StoredRun>,
    pub run_no: u32,
    /// Claimed and not yet started.
    pub ready: u32,
    /// The same by lane, but for the open one.
    pub ready_in: HashMap<LaneId, u32>,
    /// Given to the host and not yet begun.
    pub handed: u32,
    pub started: bool,
    /// The last claim brought less than was asked for, and nothing suggests that there is more.
    pub dry: bool,
    /// Something suggests that there is more, and no step that had room for it has been made since.
    pub unseen: bool,
    /// The store may have something to do or to tell that needs no slot: no step has been made since it was suggested.
    pub untold: bool,
    /// It has said that it has not done all that is due.
    pub more: bool,
    /// When the latest step was made.
    pub stepped_at: Millis,
    /// When the store will have more, on the monotonic clock.
    pub next_at: Option<Millis>,
    /// When a gate opens behind which the store may have something.
    pub gated_until: Option<Millis>,
    /// By how much the clock of the store is ahead of the monotonic one.
    pub ahead: Millis,
    pub host_stalled: bool,
    /// A claim has brought a task of a queue that is paused as far as is known here: the next beat tells, and until
    /// then nothing is claimed, or the same task would come again and again.
    pub wary: bool,
    pub pace: Pace,
    /// When to look whether what was claimed ahead has found a slot.
    pub ahead_until: Option<Millis>,
    pub turn_no: u64,
    pub pending: Vec<End>,
    pub in_flight: Option<(Arc<Advance>, Vec<End>)>,
    /// Stops of claims that may come with the answer that is on its way.
    pub early_stops: Vec<(u64, Arc<str>)>,
    /// An answer, and how many of its claims have been taken in.
    pub arrived: Option<(Arc<Turn>, usize)>,
    pub pulse: Heart,
    pub scratch: Vec<u32>,
}

pub(super) struct StoredRun {
    pub number: u32,
    pub stamp: u32,
    pub phase: Phase,
    pub claimed: Claimed,
    pub kind: KindId,
    pub lane: LaneId,
    pub series: SeriesId,
    /// How long it had waited when it was claimed, where that is known.
    pub waited: Option<Millis>,
    /// When it began, in microseconds; 0 where nobody measures.
    pub began_at: u64,
    pub claimed_at: Millis,
    pub started_at: Millis,
    pub stop: Option<Arc<str>>,
    /// It was told that its claim may be lost: see `fence`.
    pub doubted: bool,
    /// A timer of this run is set.
    pub armed: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Claimed ahead.
    Ready,
    /// Given to the host, which has not begun it.
    Handed,
    Begun,
    /// Begun, and asked to stop.
    Stopping,
    /// Its attempt has timed out and its slot is free: the host is asked what follows.
    Asking,
}

/// A run that has ended, and what its store was told.
#[derive(Clone, Debug)]
pub struct End {
    /// The task.
    pub spec: Arc<Spec>,
    /// The attempt.
    pub attempt: u32,
    /// How long it took.
    pub took: Millis,
    /// The decision.
    pub settlement: Settlement,
}

/// A stored run for the host to begin.
#[derive(Clone, Debug)]
pub struct Start {
    /// Its slot.
    pub slot: u32,
    /// Its number: reports have to name it.
    pub run: u32,
    /// The registered kind.
    pub kind: KindId,
    /// 1 for the first.
    pub attempt: u32,
    /// What to run.
    pub spec: Arc<Spec>,
}

impl Stored {
    pub fn is_ready(&self, entry: Entry) -> bool {
        let run = self.runs.get((entry.slot & !STORED) as usize);
        run.is_some_and(|run| run.number == entry.run && run.phase == Phase::Ready)
    }

    pub fn has_timer(&self, slot: u32, stamp: u32) -> bool {
        self.runs.get((slot & !STORED) as usize).is_some_and(|run| run.armed && run.stamp == stamp)
    }

    pub fn is_quiet(&self) -> bool {
        let settled = self.pending.is_empty() && self.in_flight.is_none();
        self.runs.is_empty() && settled && self.arrived.is_none()
    }

    pub fn runs_are_over(&self) -> bool {
        self.runs.is_empty()
    }

    pub fn find(&mut self, slot: u32, number: u32) -> Option<&mut StoredRun> {
        self.runs.get_mut((slot & !STORED) as usize).filter(|run| run.number == number)
    }

    /// The store may have something new.
    pub fn look(&mut self) {
        self.dry = false;
        self.unseen = true;
        self.untold = true;
    }

    pub fn enter_ready(&mut self, lane: LaneId) {
        self.ready += 1;
        if lane != OPEN_LANE {
            *self.ready_in.entry(lane).or_default() += 1;
        }
    }

    fn leave_ready(&mut self, lane: LaneId) {
        self.ready -= 1;
        if let Some(ready) = self.ready_in.get_mut(&lane) {
            *ready -= 1;
        }
    }

    /// Claimed and not started in lanes that are full: nothing that a free slot could take.
    pub fn stuck(&self, is_full: impl Fn(LaneId) -> bool) -> u32 {
        self.ready_in.iter().filter(|(lane, _)| is_full(**lane)).map(|(_, ready)| ready).sum()
    }
}

impl Core {
    pub(super) fn start_stored(&mut self, slot: u32, now: Millis) {
        let run = &mut self.stored.runs[(slot & !STORED) as usize];
        run.phase = Phase::Handed;
        run.started_at = now;
        let (lane, timeout) = (run.lane, run.claimed.spec.timeout);
        self.stored.leave_ready(lane);
        self.stored.handed += 1;
        self.stored.pace.started(now);
        if lane != OPEN_LANE {
            // Of a lane with limits no more was claimed than it had room for.
            self.stored.dry = false;
        }
        if self.has_expired(slot, now) {
            return self.end_stored(slot, &Outcome::Released, now);
        }
        self.outbox.starts.push_back(slot);
        if let Some(timeout) = timeout {
            self.arm_stored(slot, now.saturating_add(timeout).saturating_add(1), Alarm::Timeout(slot));
        }
    }

    /// The next run to begin, with its payload.
    pub fn next_start(&mut self) -> Option<Start> {
        loop {
            let slot = self.outbox.starts.pop_front()?;
            let Some(run) = self.stored.runs.get((slot & !STORED) as usize) else { continue };
            if run.phase == Phase::Handed {
                let (spec, attempt) = (run.claimed.spec.clone(), run.claimed.failures + 1);
                return Some(Start { slot, run: run.number, kind: run.kind, attempt, spec });
            }
        }
    }

    /// The handler of this run is about to be called; false if the run has been taken back meanwhile, or is now.
    pub fn begin_stored(&mut self, slot: u32, number: u32, now: Millis) -> bool {
        let is_handed = |run: &&mut StoredRun| run.phase == Phase::Handed;
        if self.stored.find(slot, number).filter(is_handed).is_none() {
            return false;
        }
        if self.has_expired(slot, now) {
            self.end_stored(slot, &Outcome::Released, now);
            return false;
        }
        let run = &mut self.stored.runs[(slot & !STORED) as usize];
        run.phase = Phase::Begun;
        run.started_at = now;
        let waited = run.waited.map(|waited| waited.saturating_add(now.saturating_sub(run.claimed_at)));
        run.began_at = self.tally.stored_began(run.series, waited, now);
        self.stored.handed -= 1;
        self.dispatcher.begun(slot, now);
        let run = &self.stored.runs[(slot & !STORED) as usize];
        let (spec, attempt) = (run.claimed.spec.clone(), run.claimed.failures + 1);
        self.host_loop.stored_began(slot, number, run.series, now);
        match spec.timeout {
            Some(timeout) => {
                self.arm_stored(slot, now.saturating_add(timeout).saturating_add(1), Alarm::Timeout(slot));
            }
            None => self.disarm_stored(slot),
        }
        self.events.tell(|| Event { what: What::Running, spec, attempt, at: now });
        true
    }

    pub(super) fn arm_stored(&mut self, slot: u32, at: Millis, alarm: Alarm) {
        self.disarm_stored(slot);
        self.stored.run_no = self.stored.run_no.wrapping_add(1);
        let run = &mut self.stored.runs[(slot & !STORED) as usize];
        run.stamp = self.stored.run_no;
        run.armed = true;
        self.timers.set(at, alarm, run.stamp);
    }

    fn disarm_stored(&mut self, slot: u32) {
        if std::mem::take(&mut self.stored.runs[(slot & !STORED) as usize].armed) {
            self.drop_timer();
        }
    }

    /// The host reports how a run ended; false if the run was closed before, and its handler abandoned.
    pub fn ended(&mut self, slot: u32, number: u32, outcome: Outcome, now: Millis) -> bool {
        let run = self.stored.find(slot, number).filter(|run| run.phase != Phase::Asking);
        let Some(run) = run else {
            self.late_end();
            return false;
        };
        let stop = run.stop.clone().filter(|_| run.phase == Phase::Stopping);
        let is_late = |timeout| run.phase == Phase::Begun && now - run.started_at > timeout + 1;
        // The timer may be late, the timeout is not.
        let outcome = match run.claimed.spec.timeout {
            Some(timeout) if is_late(timeout) => Outcome::Timeout,
            // It was told to stop for no fault of its own.
            _ if run.doubted && matches!(outcome, Outcome::Error(_)) => Outcome::Lost,
            _ => stop.map_or(outcome, Outcome::Cancelled),
        };
        self.stored.pace.ended(now);
        self.end_stored(slot, &outcome, now);
        true
    }

    /// Ends a run in whatever phase it is.
    pub(super) fn end_stored(&mut self, slot: u32, outcome: &Outcome, now: Millis) {
        self.disarm_stored(slot);
        let run = self.stored.runs.remove((slot & !STORED) as usize);
        if run.phase == Phase::Ready {
            self.stored.leave_ready(run.lane);
        } else if run.phase != Phase::Asking {
            self.stored.handed -= u32::from(run.phase == Phase::Handed);
            self.dispatcher.ended(run.lane, slot, exit_of(run.phase, outcome), now);
        }
        self.tally.stored_ended(run.series, run.began_at, now);
        // Callers read the clock before they take the lock, so a claim may be younger than their `now`.
        let (held, took) = (now.saturating_sub(run.claimed_at), now.saturating_sub(run.started_at));
        self.settle_claimed(&run.claimed, outcome, held, took);
    }

    pub(super) fn settle_claimed(
        &mut self,
        claimed: &Claimed,
        outcome: &Outcome,
        held: Millis,
        took: Millis,
    ) {
        let elapsed = claimed.elapsed.saturating_add(held);
        let standing = Standing { elapsed, ..claimed.standing() };
        let mut settlement = settle(&standing, outcome, &self.config.rules);
        // What it spawns is part of what it is part of.
        for spec in settlement.spawn.iter_mut().filter(|spec| spec.flow.is_none()) {
            Arc::make_mut(spec).flow = claimed.spec.flow.clone();
        }
        let attempt = claimed.failures + 1;
        self.stored.pending.push(End { spec: claimed.spec.clone(), attempt, took, settlement });
    }

    /// The handler outlives its attempt: the run is settled and its slot is free.
    fn abandon(&mut self, slot: u32, outcome: &Outcome, stop: Stop, now: Millis) {
        let run = &self.stored.runs[(slot & !STORED) as usize];
        let (number, spec, attempt) = (run.number, run.claimed.spec.clone(), run.claimed.failures + 1);
        self.abandoned += 1;
        self.tally.count(run.series, Count::Abandoned, now);
        self.outbox.stops.push((slot, number, stop));
        self.end_stored(slot, outcome, now);
        self.events.tell(|| Event { what: What::Abandoned, spec, attempt, at: now });
    }

    pub(super) fn stored_timeout(&mut self, slot: u32, stamp: u32, now: Millis) {
        let run = self.stored.runs.get_mut((slot & !STORED) as usize).filter(|run| run.stamp == stamp);
        let Some(run) = run else { return };
        run.armed = false;
        let timeout = run.claimed.spec.timeout.unwrap_or_default();
        let phase = run.phase;
        match phase {
            Phase::Handed => self.end_stored(slot, &Outcome::Released, now),
            Phase::Begun if self.asks(slot) => self.ask(slot, timeout, now),
            Phase::Begun => self.abandon(slot, &Outcome::Timeout, Stop::Timeout(timeout), now),
            Phase::Ready | Phase::Stopping | Phase::Asking => {}
        }
    }

    pub(super) fn stored_grace(&mut self, slot: u32, stamp: u32, now: Millis) {
        let run = self.stored.runs.get_mut((slot & !STORED) as usize).filter(|run| run.stamp == stamp);
        let Some(run) = run else { return };
        run.armed = false;
        if let Some(reason) = run.stop.clone() {
            self.abandon(slot, &Outcome::Cancelled(reason.clone()), Stop::Cancelled(reason), now);
        }
    }

    /// A task that this node may run should stop: at once if it has not begun.
    pub fn stop(&mut self, id: &TaskId, epoch: u64, reason: &Arc<str>, now: Millis) {
        let mut runs = self.stored.runs.iter();
        let found = runs.find(|(_, run)| run.claimed.epoch == epoch && run.claimed.spec.id == *id);
        let Some(slot) = found.map(|(at, _)| at as u32 | STORED) else {
            if self.stored.in_flight.is_some() || self.stored.arrived.is_some() {
                self.stored.early_stops.push((epoch, reason.clone()));
            }
            return;
        };
        let run = &mut self.stored.runs[(slot & !STORED) as usize];
        match run.phase {
            Phase::Ready | Phase::Handed | Phase::Asking => {
                self.end_stored(slot, &Outcome::Cancelled(reason.clone()), now);
            }
            Phase::Begun => {
                run.phase = Phase::Stopping;
                run.stop = Some(reason.clone());
                let number = run.number;
                let until = now.saturating_add(self.config.cancel_grace).saturating_add(1);
                self.arm_stored(slot, until, Alarm::Grace(slot));
                self.outbox.stops.push((slot, number, Stop::Cancelled(reason.clone())));
            }
            Phase::Stopping => {}
        }
    }

    /// The run is over, or was asked to stop: what `ctx.cancelled` says.
    pub fn is_stopped_stored(&self, slot: u32, number: u32) -> bool {
        let aborting = matches!(self.closing, Closing::Done | Closing::Draining { abort_at: None, .. });
        let run = self.stored.runs.get((slot & !STORED) as usize).filter(|run| run.number == number);
        aborting || run.is_none_or(|run| matches!(run.phase, Phase::Stopping | Phase::Asking) || run.doubted)
    }

    /// A beat is wanted at once: what is known of the pauses is out of date.
    pub fn wants_beat(&self) -> bool {
        self.stored.wary
    }

    /// What the beat brought.
    pub fn pulsed(&mut self, pulse: &Pulse, now: Millis) {
        if pulse.declared_dead {
            for slot in self.slots(|_| true) {
                self.lose(slot, now);
            }
        }
        for (id, epoch, reason) in &pulse.stop {
            self.stop(id, *epoch, reason, now);
        }
        if std::mem::take(&mut self.stored.wary) {
            self.stored.dry = false;
        }
        self.set_paused_queues(pulse.paused.iter().cloned().collect(), now);
    }

    /// These queues, and no others, are paused.
    pub fn set_paused_queues(&mut self, paused: std::collections::HashSet<Name>, now: Millis) {
        if paused == self.paused_queues {
            return;
        }
        self.paused_queues = paused;
        self.stored.look();
        let unbegun = |run: &StoredRun| matches!(run.phase, Phase::Ready | Phase::Handed);
        for slot in self.slots(unbegun) {
            if self.paused_queues.contains(&self.stored.runs[(slot & !STORED) as usize].claimed.spec.queue) {
                self.end_stored(slot, &Outcome::Released, now);
            }
        }
    }

    /// Running tasks of nodes that are gone: settled as lost. The fence makes it safe that others do so too.
    pub fn orphaned(&mut self, orphans: &[Claimed]) {
        for claimed in orphans {
            self.settle_claimed(claimed, &Outcome::Lost, 0, 0);
        }
    }

    pub(super) fn slots(&self, which: impl Fn(&StoredRun) -> bool) -> Vec<u32> {
        self.stored.runs.iter().filter(|(_, run)| which(run)).map(|(at, _)| at as u32 | STORED).collect()
    }

    pub(super) fn lose(&mut self, slot: u32, now: Millis) {
        match self.stored.runs[(slot & !STORED) as usize].phase {
            Phase::Ready | Phase::Handed => self.end_stored(slot, &Outcome::Released, now),
            Phase::Asking => self.end_stored(slot, &Outcome::Timeout, now),
            Phase::Begun | Phase::Stopping => self.abandon(slot, &Outcome::Lost, Stop::Lost, now),
        }
    }

    pub(super) fn release_unbegun(&mut self) {
        for slot in self.slots(|run| matches!(run.phase, Phase::Ready | Phase::Handed)) {
            let now = self.stored.runs[(slot & !STORED) as usize].started_at;
            self.end_stored(slot, &Outcome::Released, now);
        }
    }

    pub(super) fn release_all(&mut self) {
        for slot in self.slots(|_| true) {
            let run = &self.stored.runs[(slot & !STORED) as usize];
            let (now, asks) = (run.started_at, run.phase == Phase::Asking);
            let outcome = if asks { Outcome::Timeout } else { Outcome::Released };
            self.end_stored(slot, &outcome, now);
        }
    }
}
