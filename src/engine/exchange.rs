//! The exchange with the store: what to ask of it, and what its answer means.
//!
//! A step whose answer was lost is sent again, unchanged, under the same number.

use std::sync::Arc;

use super::core::{Closing, Core, STORED};
use super::event::{Event, What};
use super::pace::WINDOW;
use super::stored::{End, Phase, StoredRun};
use crate::dispatch::Entry;
use crate::store::{Advance, Settled, Turn};
use crate::task::{Cause, Claimed, Outcome};
use crate::time::Millis;

/// Settlements that one step carries at most.
const STEP: usize = 2000;

/// The ends that were accepted, with the transitions that the store has made of them, and how many were stale.
pub(super) fn accepted(ends: Vec<End>, turn: &Turn) -> (Vec<End>, u64) {
    let n = ends.len();
    let accept = |(mut end, settled): (End, &Settled)| match settled {
        Settled::Stale => None,
        Settled::Applied(cause) => {
            end.settlement.cause = *cause;
            Some(end)
        }
    };
    let accepted: Vec<End> = ends.into_iter().zip(&turn.settled).filter_map(accept).collect();
    let stale = (n - accepted.len()) as u64;
    (accepted, stale)
}

impl Core {
    /// Begins to claim.
    pub fn start(&mut self) {
        self.stored.started = true;
        self.stored.look();
        // What it shares with other nodes it knows from here on, also where it claims nothing yet.
        for kind in self.claimable.clone() {
            self.lane(kind, &crate::task::default_queue());
        }
    }

    /// It claims, or will.
    pub fn is_started(&self) -> bool {
        self.stored.started
    }

    /// The store may have something new.
    pub fn hint(&mut self) {
        self.stored.look();
    }

    /// The store should be asked again, although nothing suggests that it has something new.
    pub fn ask_again(&mut self) {
        self.stored.dry = false;
    }

    /// When the store will have something new, as far as is known.
    pub fn store_due_at(&self) -> Option<Millis> {
        self.stored.next_at.filter(|_| self.stored.started && self.closing == Closing::No)
    }

    /// When to ask the store again: it has something new then, or a gate is open again.
    pub(super) fn ask_at(&self) -> Option<Millis> {
        let others = [self.stored.gated_until, self.look_at()];
        let others = others.into_iter().flatten().filter(|_| self.is_at_work());
        others.chain(self.store_due_at()).min()
    }

    fn is_at_work(&self) -> bool {
        self.stored.started && self.closing == Closing::No
    }

    /// When to ask in spite of having no room: tasks expire, and what waits for others ends with them, however busy
    /// this node is.
    fn look_at(&self) -> Option<Millis> {
        let pause = if self.config.time.is_moved() { 0 } else { WINDOW };
        self.stored.untold.then(|| self.stored.stepped_at.saturating_add(pause))
    }

    /// What to ask of the store now, or `None` while there is nothing to ask. The same step again until
    /// `answered` has heard an answer to it.
    pub fn step(&mut self, now: Millis) -> Option<Arc<Advance>> {
        if self.stored.arrived.is_some() {
            return None;
        }
        if let Some((step, _)) = &self.stored.in_flight {
            return Some(step.clone());
        }
        let mut looks = self.stored.more || self.look_at().is_some_and(|at| at <= now);
        if self.stored.next_at.is_some_and(|at| at <= now) {
            self.stored.next_at = None;
            self.stored.dry = false;
            looks = true;
        }
        looks &= self.is_at_work();
        if self.stored.gated_until.is_some_and(|at| at <= now) {
            self.stored.dry = false;
        }
        // While every slot is taken nothing is asked, and what was suggested still stands.
        if self.dispatcher.room(now).slots > 0 {
            self.stored.unseen = false;
        }
        let claims = self.claims(now);
        if self.stored.pending.is_empty() && (claims.max == 0 || self.stored.dry) && !looks {
            return None;
        }
        (self.stored.untold, self.stored.stepped_at) = (false, now);
        self.stored.early_stops.clear();
        self.stored.turn_no += 1;
        let rest = self.stored.pending.split_off(self.stored.pending.len().min(STEP));
        let ends = std::mem::replace(&mut self.stored.pending, rest);
        let step = Arc::new(Advance {
            node: self.config.node.clone(),
            turn_no: self.stored.turn_no,
            settlements: ends.iter().map(|end| end.settlement.clone()).collect(),
            claims,
        });
        self.stored.in_flight = Some((step.clone(), ends));
        Some(step)
    }

    /// The store's answer to `step`. Returns the ends that were accepted as final, and how many were stale.
    /// The advancer takes the parts of this one by one, so as not to hold the lock for all of them at once.
    pub fn answered(&mut self, turn: &Arc<Turn>, now: Millis) -> (Vec<End>, u64) {
        let ends = self.heard(turn.clone(), now);
        self.count_stale(&ends, turn, now);
        let (ends, stale) = accepted(ends, turn);
        self.count_ends(&ends, now);
        self.tell_ends(&ends, now);
        while self.take_in_some(usize::MAX, now) {}
        (ends.into_iter().filter(|end| end.settlement.state().is_final()).collect(), stale)
    }

    /// The ends that an answer is about; what was claimed is for `take_in_some`. The step is over: it is never sent
    /// again, so that no claim can be taken in twice.
    pub(super) fn heard(&mut self, turn: Arc<Turn>, now: Millis) -> Vec<End> {
        let Some((step, ends)) = self.stored.in_flight.take() else { return Vec::new() };
        let asked = step.claims.max as usize;
        self.stored.ahead = turn.now.saturating_sub(now);
        self.stored.more = turn.more;
        self.stored.dry = turn.claimed.len() < asked && !turn.more;
        self.stored.next_at = turn.next_at.map(|at| now.saturating_add(at.saturating_sub(turn.now)));
        self.stored.arrived = Some((turn, 0));
        ends
    }

    pub(super) fn tell_ends(&mut self, ends: &[End], now: Millis) {
        if self.events.is_listening() {
            ends.iter().for_each(|end| self.tell_end(end, now));
        }
    }

    /// Takes in up to `max` of what has arrived; false when there is no more.
    pub(super) fn take_in_some(&mut self, max: usize, now: Millis) -> bool {
        for _ in 0..max {
            let Some((turn, next)) = &mut self.stored.arrived else { return false };
            let Some(claimed) = turn.claimed.get(*next).cloned() else { break };
            let clock = turn.now;
            // Before it is taken in: whatever fails then, it is not taken in again.
            *next += 1;
            self.take_in(claimed, clock, now);
        }
        let left = |(turn, next): &(Arc<Turn>, usize)| *next < turn.claimed.len();
        self.stored.arrived = self.stored.arrived.take().filter(left);
        self.stored.arrived.is_some()
    }

    fn take_in(&mut self, claimed: Claimed, clock: Millis, now: Millis) {
        let stop = self.stored.early_stops.iter().find(|(epoch, _)| *epoch == claimed.epoch);
        if let Some((_, reason)) = stop.cloned() {
            return self.settle_claimed(&claimed, &Outcome::Cancelled(reason), 0, 0);
        }
        let paused = !self.paused_queues.is_empty() && self.paused_queues.contains(&claimed.spec.queue);
        self.stored.wary |= paused;
        // A host that has gone silent since the claim would not begin it.
        let refused = paused || self.closing != Closing::No || self.stored.host_stalled || self.is_fenced();
        let kind = self.kind_of.get(&claimed.spec.name).copied().filter(|_| !refused);
        let Some(kind) = kind else {
            return self.settle_claimed(&claimed, &Outcome::Released, 0, 0);
        };
        let lane = self.lane(kind, &claimed.spec.queue.clone());
        self.stored.run_no = self.stored.run_no.wrapping_add(1);
        let (number, priority) = (self.stored.run_no, claimed.priority);
        let series = self.tally.series(Some(kind), &claimed.spec.queue);
        let waited = self.tally.is_timed().then(|| waited(&claimed, clock)).flatten();
        let run = StoredRun {
            number,
            stamp: 0,
            phase: Phase::Ready,
            claimed,
            kind,
            lane,
            series,
            waited,
            began_at: 0,
            claimed_at: now,
            started_at: now,
            stop: None,
            doubted: false,
            armed: false,
        };
        let slot = self.stored.runs.insert(run) as u32 | STORED;
        self.stored.enter_ready(lane);
        self.watch_expiry(slot);
        self.expect_start(now);
        self.dispatcher.ready(lane, priority, Entry { slot, run: number });
    }

    fn tell_end(&mut self, end: &End, now: Millis) {
        let what = || match end.settlement.cause {
            Cause::Complete => What::Completed {
                output: end.settlement.output.clone().unwrap_or_else(|| "null".into()),
                took: end.took,
            },
            Cause::Retry | Cause::Fail | Cause::Poison => What::Failed {
                error: end.settlement.attempt.clone().expect("a failure has an attempt"),
                retry_in: (end.settlement.cause == Cause::Retry).then_some(end.settlement.delay),
            },
            Cause::Lose => What::Lost,
            _ => What::Cancelled,
        };
        for spec in &end.settlement.spawn {
            if end.settlement.cause == Cause::Complete {
                self.events.tell(|| Event { what: What::Waiting, spec: spec.clone(), attempt: 1, at: now });
            }
        }
        if !matches!(end.settlement.cause, Cause::Release | Cause::Snooze) {
            let (spec, attempt) = (end.spec.clone(), end.attempt);
            self.events.tell(|| Event { what: what(), spec, attempt, at: now });
        }
    }
}

/// How long a task had waited when it was claimed; not known of one that was made under an id of the caller's, that
/// waited for others, or that has been started before.
fn waited(claimed: &Claimed, clock: Millis) -> Option<Millis> {
    let is_first = claimed.failures == 0 && claimed.losses == 0 && claimed.spec.blockers.is_none();
    let made_at = claimed.spec.id.made_at().filter(|_| is_first)?;
    Some(clock.saturating_sub(claimed.spec.when.date(made_at).max(made_at)))
}
