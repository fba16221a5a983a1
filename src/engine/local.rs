//! Local runs: closures of the host, known here by slot number. Never stored.
//!
//! The host allots slots and frees them; it may reuse one as soon as it has been told, or has itself
//! reported, the end of the task in it. Payloads, results and errors never come here.

use crate::dispatch::{Entry, LaneId, OPEN_LANE};
use crate::policy::breaker::Verdict;
use crate::policy::{Exit, RetryPolicy};
use crate::task::{Cause, Failure, Outcome, Standing, TaskId, settle};
use crate::time::Millis;

use super::core::{Closing, Core, KindId, PolicyId, STORED, Word};
use super::metrics::{Count, SeriesId};
use super::stored::Stored;
use super::timers::{Alarm, Timer};

/// What the host asks for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Submission {
    /// Its slot.
    pub slot: u32,
    /// Larger starts first.
    pub priority: i32,
    /// For one attempt.
    pub timeout: Option<Millis>,
    /// What follows a failure; `None`: nothing.
    pub policy: Option<PolicyId>,
    /// After a timeout too, the host decides whether another attempt follows.
    pub asks: bool,
    /// The kind whose limits it obeys.
    pub kind: Option<KindId>,
}

/// What the host reports about a local run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Done {
    /// Ended well.
    Ok,
    /// Failed; the host waits for `Word::Retry` and `Word::Start`, or for `Word::Fail`.
    Error {
        /// Replaces the delay of the retry policy.
        retry_after: Option<Millis>,
    },
    /// Failed, and the host has dealt with it.
    Failed,
    /// Wants to come again after this time; costs no attempt.
    Snoozed(Millis),
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Phase {
    #[default]
    Free,
    Ready,
    Backoff,
    /// Handed to the host, not known to have begun.
    Handed,
    Begun,
    /// Running, and asked to stop.
    Stopping,
    /// Its attempt has timed out, and the host decides what follows.
    Asking,
    /// The host has its outcome and will report it: nothing else ends this run any more.
    Finished,
}

#[derive(Clone, Debug, Default)]
pub(super) struct LocalRun {
    /// Grows with every start; the host counts along.
    run: u32,
    /// Grows with every change that makes older entries and timers worthless.
    stamp: u32,
    phase: Phase,
    policy: Option<PolicyId>,
    asks: bool,
    lane: LaneId,
    series: SeriesId,
    priority: i32,
    failures: u32,
    timeout: Option<Millis>,
    first_at: Millis,
    /// When the attempt that has begun times out.
    ends_at: Millis,
    arrival: u64,
    /// A timer of this run is set.
    armed: bool,
}

impl LocalRun {
    pub fn is_ready(&self, stamp: u32) -> bool {
        self.phase == Phase::Ready && self.stamp == stamp
    }

    fn is_running(&self) -> bool {
        matches!(self.phase, Phase::Handed | Phase::Begun | Phase::Stopping | Phase::Finished)
    }

    pub fn has_timer(&self, stamp: u32) -> bool {
        self.armed && self.stamp == stamp
    }
}

/// How far beyond the last known slot a new one may lie: the host allots them in order.
const GAP: usize = 1 << 16;

impl Core {
    /// Nothing goes on in this slot, and it costs no more memory than the tasks that there are.
    pub(super) fn has_room_for(&self, slot: u32) -> bool {
        match self.local.get(slot as usize) {
            Some(run) => run.phase == Phase::Free,
            None => (slot as usize) < self.local.len() + GAP,
        }
    }

    /// A slot is free, and stored tasks of the same kind may have waited for it.
    fn leave(&mut self, slot: u32, lane: LaneId, exit: Exit, now: Millis) {
        self.dispatcher.ended(lane, slot, exit, now);
        if lane != OPEN_LANE {
            self.stored.look();
        }
    }

    /// It waits for its turn at a gate that lets it not wait.
    pub(super) fn refuse_local(&mut self, slot: u32) {
        self.end_local(slot, Some(Word::Refuse(slot)));
    }

    pub(super) fn lane_of_local(&self, slot: u32) -> Option<LaneId> {
        self.local.get(slot as usize).map(|run| run.lane)
    }

    /// What the outcome of this slot that comes next says to circuit breakers.
    pub fn judged(&mut self, slot: u32, verdict: Verdict) {
        self.dispatcher.judged(slot, verdict);
    }

    /// A new local task is ready.
    pub fn submit(&mut self, task: Submission) {
        let at = task.slot as usize;
        if at >= self.local.len() {
            self.local.resize(at + 1, LocalRun::default());
        }
        let lane = self.local_lane(task.kind);
        let series = task.kind.map_or(0, |kind| self.series_of_kind(kind));
        let known = &self.local[at];
        self.local[at] = LocalRun {
            run: known.run,
            stamp: known.stamp.wrapping_add(1),
            phase: Phase::Ready,
            policy: task.policy,
            asks: task.asks,
            lane,
            series,
            priority: task.priority,
            failures: 0,
            timeout: task.timeout,
            first_at: Millis::MAX,
            ends_at: Millis::MAX,
            arrival: 0,
            armed: false,
        };
        self.local_live += 1;
        self.tally.count(series, Count::Enqueued, 0);
        self.tally.local_ready(task.slot);
        if self.closing == Closing::No {
            let entry = Entry { slot: task.slot, run: self.local[at].stamp };
            self.local[at].arrival = self.dispatcher.ready(lane, task.priority, entry);
        } else {
            self.end_local(task.slot, Some(Word::Closed(task.slot)));
        }
    }

    pub(super) fn start_local(&mut self, slot: u32, now: Millis) {
        let run = &mut self.local[slot as usize];
        run.phase = Phase::Handed;
        run.run = run.run.wrapping_add(1);
        run.stamp = run.stamp.wrapping_add(1);
        run.first_at = run.first_at.min(now);
        self.tally.local_started(slot, run.series, now);
        self.host_loop.closure_started(now);
        // Its time runs from the call of its handler: nobody else could run it meanwhile, so that a host that
        // does not come to it has nothing to give back.
        self.outbox.words.push_back(Word::Start(slot));
    }

    /// The handler of this run is about to be called; false if the run has been taken back meanwhile.
    pub fn begin_local(&mut self, slot: u32, number: u32, now: Millis) -> bool {
        let Some(run) = self.local.get_mut(slot as usize).filter(|run| run.run == number) else {
            return false;
        };
        if run.phase != Phase::Handed {
            return false;
        }
        run.phase = Phase::Begun;
        self.host_loop.local_began(run.series, now);
        if run.lane != OPEN_LANE {
            self.dispatcher.begun(slot, now);
        }
        if let Some(timeout) = run.timeout {
            // One more: `now` was cut down to whole milliseconds, and no timeout may come early.
            run.ends_at = now.saturating_add(timeout).saturating_add(1);
            let ends_at = run.ends_at;
            self.arm_local(slot, ends_at, Alarm::Timeout(slot));
        }
        true
    }

    /// The handler of this run has ended and its outcome will be reported; false if the run had been ended
    /// here before, or has had its time, and a word about it is on its way.
    pub fn finish_local(&mut self, slot: u32, number: u32, now: Millis) -> bool {
        let run = self.local.get_mut(slot as usize).filter(|run| run.run == number && run.is_running());
        let Some(run) = run else { return false };
        if run.phase == Phase::Begun && run.ends_at < now {
            // The timer is late, the timeout is not.
            let stamp = run.stamp;
            self.drop_timer();
            self.local_timeout(slot, stamp, now);
            return false;
        }
        // A run that was asked to stop gets no other attempt, whatever is reported: it stays as it is.
        if run.phase != Phase::Stopping {
            run.phase = Phase::Finished;
        }
        self.disarm_local(slot);
        true
    }

    fn arm_local(&mut self, slot: u32, at: Millis, alarm: Alarm) {
        self.disarm_local(slot);
        let run = &mut self.local[slot as usize];
        run.stamp = run.stamp.wrapping_add(1);
        run.armed = true;
        self.timers.set(at, alarm, run.stamp);
    }

    fn disarm_local(&mut self, slot: u32) {
        if std::mem::take(&mut self.local[slot as usize].armed) {
            self.drop_timer();
        }
    }

    /// What the host reports about a run. A report about a run that is closed is without effect.
    pub fn done(&mut self, slot: u32, done: Done, now: Millis) {
        let known = |run: &&mut LocalRun| run.is_running() || run.phase == Phase::Asking;
        let Some(run) = self.local.get_mut(slot as usize).filter(known) else { return };
        let stopping = run.phase == Phase::Stopping;
        let (lane, series) = (run.lane, run.series);
        if run.phase != Phase::Asking {
            self.disarm_local(slot);
            self.tally.local_ended(slot, series, now);
            let verdict = match done {
                Done::Ok => Verdict::Succeeded,
                Done::Error { .. } | Done::Failed if !stopping => Verdict::Failed,
                _ => Verdict::Unknown,
            };
            self.leave(slot, lane, Exit::Ended(verdict), now);
        }
        match done {
            Done::Error { retry_after } if !stopping => {
                let failure = Failure { retry_after, ..Failure::default() };
                self.decide_local(
                    slot,
                    &Outcome::Error(failure.into()),
                    now,
                    Word::Fail(slot),
                    Word::Retry(slot),
                );
            }
            Done::Snoozed(delay) if !stopping => {
                self.decide_local(slot, &Outcome::Snooze(delay), now, Word::Fail(slot), Word::Retry(slot));
            }
            _ => {
                let how = match done {
                    _ if stopping => Count::Cancelled,
                    Done::Ok => Count::Completed,
                    _ => Count::Failed,
                };
                self.tally.count(series, how, now);
                self.end_local(slot, None);
            }
        }
    }

    /// The host wants the task gone: at once while it waits, asked to stop while it runs.
    pub fn withdraw(&mut self, slot: u32, now: Millis) {
        let Some(run) = self.local.get_mut(slot as usize) else { return };
        match run.phase {
            Phase::Ready | Phase::Backoff => self.end_local(slot, Some(Word::Cancel(slot))),
            Phase::Handed => {
                let lane = run.lane;
                self.leave(slot, lane, Exit::Unbegun, now);
                self.end_local(slot, Some(Word::Cancel(slot)));
            }
            Phase::Begun => {
                run.phase = Phase::Stopping;
                let until = now.saturating_add(self.config.cancel_grace).saturating_add(1);
                self.arm_local(slot, until, Alarm::Grace(slot));
            }
            Phase::Free | Phase::Stopping | Phase::Asking | Phase::Finished => {}
        }
    }

    /// The run is over, or was asked to stop: what `ctx.cancelled` says.
    pub fn is_stopped_local(&self, slot: u32, number: u32) -> bool {
        let run = self.local.get(slot as usize);
        let aborting = matches!(self.closing, Closing::Done | Closing::Draining { abort_at: None, .. });
        aborting
            || run.is_none_or(|run| run.run != number || !matches!(run.phase, Phase::Handed | Phase::Begun))
    }

    pub(super) fn local_timeout(&mut self, slot: u32, stamp: u32, now: Millis) {
        let run = &mut self.local[slot as usize];
        if run.stamp != stamp || run.phase != Phase::Begun {
            return;
        }
        run.armed = false;
        let (lane, series, asks) = (run.lane, run.series, run.asks);
        self.leave(slot, lane, Exit::Ended(Verdict::Failed), now);
        self.abandoned += 1;
        self.tally.local_ended(slot, series, now);
        self.tally.count(series, Count::Abandoned, now);
        if asks && self.closing == Closing::No {
            let run = &mut self.local[slot as usize];
            run.phase = Phase::Asking;
            run.stamp = run.stamp.wrapping_add(1);
            self.outbox.words.push_back(Word::Expire(slot));
            return;
        }
        self.decide_local(slot, &Outcome::Timeout, now, Word::Timeout(slot), Word::Expire(slot));
    }

    pub(super) fn local_again(&mut self, slot: u32, stamp: u32) {
        let run = &mut self.local[slot as usize];
        if run.stamp == stamp && run.phase == Phase::Backoff {
            run.armed = false;
            self.local_ready(slot);
        }
    }

    pub(super) fn local_grace(&mut self, slot: u32, stamp: u32, now: Millis) {
        let run = &mut self.local[slot as usize];
        if run.stamp == stamp && run.phase == Phase::Stopping {
            run.armed = false;
            let lane = run.lane;
            self.abandoned += 1;
            let series = run.series;
            self.leave(slot, lane, Exit::Ended(Verdict::Unknown), now);
            self.tally.local_ended(slot, series, now);
            self.tally.count(series, Count::Abandoned, now);
            self.end_local(slot, Some(Word::Abandon(slot)));
        }
    }

    /// A run has failed: `fail` or, with another attempt to come, `again`.
    fn decide_local(&mut self, slot: u32, outcome: &Outcome, now: Millis, fail: Word, again: Word) {
        let run = &self.local[slot as usize];
        let policy = run.policy.and_then(|policy| self.policies.get(policy as usize).cloned());
        let policy = policy.unwrap_or_else(RetryPolicy::none);
        let standing = Standing {
            id: &TaskId::from(""),
            epoch: 0,
            failures: run.failures,
            losses: 0,
            elapsed: now.saturating_sub(run.first_at),
            timeout: run.timeout,
            retry: &policy,
        };
        // Local tasks have no id: the arrival spreads their jitter.
        let rules = crate::task::Rules { seed: self.config.rules.seed ^ run.arrival, ..self.config.rules };
        let end = settle(&standing, outcome, &rules);
        if end.cause == Cause::Snooze && self.closing != Closing::No {
            // It has not failed: there is no error that it could be rejected with.
            return self.end_local(slot, Some(Word::Closed(slot)));
        }
        if !matches!(end.cause, Cause::Retry | Cause::Snooze) || self.closing != Closing::No {
            return self.end_local(slot, Some(fail));
        }
        self.local[slot as usize].failures = end.failures;
        if end.cause == Cause::Retry {
            self.tally.count(self.local[slot as usize].series, Count::Retried, now);
        }
        self.outbox.words.push_back(again);
        if end.delay == 0 {
            return self.local_ready(slot);
        }
        self.local[slot as usize].phase = Phase::Backoff;
        self.arm_local(slot, now.saturating_add(end.delay).saturating_add(1), Alarm::Backoff(slot));
    }

    fn local_ready(&mut self, slot: u32) {
        let run = &mut self.local[slot as usize];
        run.phase = Phase::Ready;
        run.stamp = run.stamp.wrapping_add(1);
        let entry = Entry { slot, run: run.stamp };
        run.arrival = self.dispatcher.ready(run.lane, run.priority, entry);
        self.tally.local_ready(slot);
    }

    /// The task is over; `word` tells the host, which may then reuse the slot. Without one the host has told us.
    fn end_local(&mut self, slot: u32, word: Option<Word>) {
        self.disarm_local(slot);
        let run = &mut self.local[slot as usize];
        run.phase = Phase::Free;
        run.stamp = run.stamp.wrapping_add(1);
        self.local_live -= 1;
        let how = match word {
            None => None,
            Some(Word::Fail(_) | Word::Timeout(_)) => Some(Count::Failed),
            Some(_) => Some(Count::Cancelled),
        };
        if let Some(how) = how {
            self.tally.count(run.series, how, self.host_seen_at);
        }
        self.outbox.words.extend(word);
    }

    /// The rows of what runs, each once.
    pub(super) fn running_local(&self) -> Vec<SeriesId> {
        let running = self.local.iter().filter(|run| run.is_running());
        let mut rows: Vec<SeriesId> = running.map(|run| run.series).collect();
        rows.sort_unstable();
        rows.dedup();
        rows
    }

    pub(super) fn refuse_waiting_local(&mut self) {
        for slot in 0..self.local.len() as u32 {
            if matches!(self.local[slot as usize].phase, Phase::Ready | Phase::Backoff | Phase::Asking) {
                self.end_local(slot, Some(Word::Closed(slot)));
            }
        }
    }

    pub(super) fn give_up_local(&mut self, now: Millis) {
        for slot in 0..self.local.len() as u32 {
            if self.local[slot as usize].is_running() {
                let lane = self.local[slot as usize].lane;
                self.leave(slot, lane, Exit::Ended(Verdict::Unknown), now);
                self.end_local(slot, Some(Word::Closed(slot)));
            }
        }
    }

    pub(super) fn drop_timer(&mut self) {
        self.timers.drop_one();
        let (local, stored) = (&self.local, &self.stored);
        self.timers.tidy(|timer| has_timer(local, stored, timer));
    }

    /// The next timer that is due and still means something.
    pub(super) fn due_timer(&mut self, now: Millis) -> Option<Timer> {
        let (local, stored) = (&self.local, &self.stored);
        let (due, timer) = self.timers.due(now, |timer| has_timer(local, stored, timer))?;
        self.tally.fired(due, now);
        Some(timer)
    }
}

fn has_timer(local: &[LocalRun], stored: &Stored, (alarm, stamp): Timer) -> bool {
    match alarm {
        Alarm::Timeout(slot) | Alarm::Grace(slot) if slot & STORED != 0 => stored.has_timer(slot, stamp),
        Alarm::Expiry(slot) => stored.has_timer(slot, stamp),
        Alarm::Timeout(slot) | Alarm::Backoff(slot) | Alarm::Grace(slot) => {
            local[slot as usize].has_timer(stamp)
        }
    }
}
