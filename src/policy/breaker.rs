//! The circuit breaker: a gate that shuts while what lies behind it fails.
//!
//! Closed, it counts the outcomes of the last calls; too many failures open it for a time; then a probe is
//! let through, whose verdict closes it, or opens it for twice as long. (Nygard, "Release It!", 2007; the
//! count-based window of resilience4j; a probe whose permit is dropped frees it, as in cockatiel.)
//!
//! Every change of phase begins a new `turn`, and a verdict counts only in the turn of its permit: late
//! outcomes of calls from before say nothing about now. A `Circuit` is plain data, so that nodes can share
//! one in a cell of a store, by compare-and-set; `now` is then the store's clock.

use std::collections::VecDeque;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::gate::Room;
use super::option::{OptionError, allow};
use crate::time::Millis;

#[cfg(test)]
mod tests;

/// When a breaker opens, and for how long.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BreakerPolicy {
    /// Outcomes that count, the newest.
    pub window: u32,
    /// Fewer outcomes never open it.
    pub min_calls: u32,
    /// The share of failures that opens it, above 0 and at most 1.
    pub failure_rate: f64,
    /// A call that takes longer counts as a failure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slow_call: Option<Millis>,
    /// How long it is open at first.
    pub open_for: Millis,
    /// The bound of that as it doubles with each probe that fails.
    pub max_open_for: Millis,
    /// Calls let through when that is over; all of them have to succeed.
    pub probes: u32,
}

/// What became of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It worked.
    Succeeded,
    /// It failed in a way that speaks against what it called: a retryable error, a timeout, too slow.
    Failed,
    /// It says nothing: cancelled, snoozed, a fatal error, dropped.
    Unknown,
}

/// The right to one call; its verdict goes back with it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct Permit {
    turn: u64,
    holder: Arc<str>,
}

impl Permit {
    /// The permit that was given in this turn to this holder.
    pub fn of(turn: u64, holder: &Arc<str>) -> Self {
        Self { turn, holder: holder.clone() }
    }

    /// The turn of the breaker in which it was given.
    pub fn turn(&self) -> u64 {
        self.turn
    }
}

/// The state of a breaker.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Circuit {
    /// Grows with every change of phase.
    turn: u64,
    /// How often in a row it has opened by itself.
    openings: u32,
    phase: Phase,
    /// Another node lets the probes pass.
    #[serde(skip)]
    is_elsewhere: bool,
}

/// What a circuit is doing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Phase {
    /// Everything passes; the outcomes, oldest first, `true` for a failure.
    Closed(VecDeque<bool>),
    /// Nothing passes before `until`, nor ever by itself without one.
    Open {
        /// When probes may pass.
        until: Option<Millis>,
        /// How long it has been opened for.
        length: Millis,
    },
    /// Probes pass.
    HalfOpen {
        /// Who holds a permit, once for each.
        holders: Vec<Arc<str>>,
        /// Probes that succeeded.
        succeeded: u32,
    },
}

/// A circuit under a policy.
#[derive(Clone, Debug, PartialEq)]
pub struct Breaker {
    policy: Arc<BreakerPolicy>,
    circuit: Circuit,
    /// Somebody else says when probes may pass.
    guarded: bool,
}

impl Default for BreakerPolicy {
    fn default() -> Self {
        Self {
            window: 20,
            min_calls: 10,
            failure_rate: 0.5,
            slow_call: None,
            open_for: 30_000,
            max_open_for: 300_000,
            probes: 1,
        }
    }
}

impl BreakerPolicy {
    /// Refuses values that make no breaker.
    pub fn check(&self) -> Result<(), OptionError> {
        let Self { window, min_calls, failure_rate, slow_call, open_for, max_open_for, probes } = *self;
        allow((1..=1000).contains(&window), "window", window, "whole numbers from 1 to 1000")?;
        let calls = format!("whole numbers from 1 to window, which is {window}");
        allow((1..=window).contains(&min_calls), "minCalls", min_calls, calls)?;
        let rate = failure_rate > 0.0 && failure_rate <= 1.0;
        allow(rate, "failureRate", failure_rate, "numbers above 0 and up to 1")?;
        let slow = slow_call.unwrap_or(1);
        allow(slow > 0, "slowCall", format!("{slow} ms"), "times from 1 ms")?;
        allow(open_for > 0, "openFor", format!("{open_for} ms"), "times from 1 ms")?;
        let longest = format!("times from openFor, which is {open_for} ms");
        allow(max_open_for >= open_for, "maxOpenFor", format!("{max_open_for} ms"), longest)?;
        allow((1..=1000).contains(&probes), "probes", probes, "whole numbers from 1 to 1000")
    }

    /// The verdict on a call that took so long.
    pub fn judge(&self, verdict: Verdict, took: Millis) -> Verdict {
        match (verdict, self.slow_call) {
            (Verdict::Succeeded, Some(slow)) if took > slow => Verdict::Failed,
            _ => verdict,
        }
    }

    /// How long the n-th opening in a row lasts, n = 1, 2, ...
    fn length(&self, openings: u32) -> Millis {
        let doublings = openings.saturating_sub(1).min(63);
        self.open_for.saturating_mul(1 << doublings).min(self.max_open_for)
    }
}

impl Default for Phase {
    fn default() -> Self {
        Self::Closed(VecDeque::new())
    }
}

impl Circuit {
    /// What it is doing. An open one whose time is over lets probes pass as soon as somebody wants to.
    pub fn phase(&self) -> &Phase {
        &self.phase
    }

    /// Grows with every change of phase.
    pub fn turn(&self) -> u64 {
        self.turn
    }

    /// The same by another clock, which shows `there` when this one shows `here`. Outcomes are left out.
    pub fn at_clock(&self, here: Millis, there: Millis) -> Self {
        let phase = match &self.phase {
            Phase::Open { until, length } => Phase::Open {
                until: until.map(|until| until.saturating_add(there).saturating_sub(here)),
                length: *length,
            },
            Phase::Closed(_) => Phase::default(),
            probes @ Phase::HalfOpen { .. } => probes.clone(),
        };
        Self { phase, is_elsewhere: false, ..self.clone() }
    }

    /// The same where this node lets probes pass.
    pub fn half_open(&self, by: &Arc<str>) -> Self {
        let phase = Phase::HalfOpen { holders: vec![by.clone()], succeeded: 0 };
        Self { phase, ..self.clone() }
    }

    /// The same where probes pass here, or, `elsewhere`, on another node.
    pub fn probing(&self, elsewhere: bool) -> Self {
        let phase = Phase::HalfOpen { holders: Vec::new(), succeeded: 0 };
        Self { phase, is_elsewhere: elsewhere, ..self.clone() }
    }

    /// The same, open until then.
    pub fn open_until(&self, until: Millis) -> Self {
        Self { phase: Phase::Open { until: Some(until), length: 0 }, ..self.clone() }
    }

    fn begin(&mut self, phase: Phase) {
        self.turn += 1;
        self.is_elsewhere = false;
        self.phase = phase;
    }
}

impl Phase {
    /// When an open circuit lets probes pass. A clock set back must not keep it shut for longer than it was
    /// opened for.
    fn opens_at(&self, now: Millis) -> Option<Millis> {
        match self {
            Self::Open { until, length } => until.map(|until| until.min(now.saturating_add(*length))),
            _ => None,
        }
    }
}

impl Breaker {
    /// A closed breaker.
    pub fn new(policy: BreakerPolicy) -> Result<Self, OptionError> {
        policy.check()?;
        Ok(Self { policy: Arc::new(policy), circuit: Circuit::default(), guarded: false })
    }

    /// The policy.
    pub fn policy(&self) -> &BreakerPolicy {
        &self.policy
    }

    /// The state, to be shared.
    pub fn circuit(&self) -> &Circuit {
        &self.circuit
    }

    /// The word for what it is doing at `now`: an open one whose time is over is `half-open`.
    pub fn word(&self, now: Millis) -> &'static str {
        match &self.circuit.phase {
            Phase::Closed(_) => "closed",
            Phase::HalfOpen { .. } => "half-open",
            phase @ Phase::Open { .. } => match phase.opens_at(now) {
                Some(at) if at <= now => "half-open",
                _ => "open",
            },
        }
    }

    /// Takes over a state that somebody shared. Permits of an older turn count no more.
    pub fn adopt(&mut self, circuit: Circuit) {
        self.circuit = circuit;
    }

    /// The same as a new turn of this breaker.
    pub fn follow(&mut self, circuit: Circuit) {
        let turn = self.circuit.turn;
        self.circuit = Circuit { turn, ..circuit };
        self.circuit.turn += 1;
    }

    /// Whether somebody else says when probes may pass.
    pub fn guard(&mut self, guarded: bool) {
        self.guarded = guarded;
        self.circuit.is_elsewhere &= guarded;
    }

    /// How many may start at `now`.
    pub fn room(&self, now: Millis) -> Room {
        let closed = |reopens_at| Room { slots: 0, reopens_at };
        match &self.circuit.phase {
            Phase::Closed(_) => Room::OPEN,
            Phase::Open { .. } => match self.circuit.phase.opens_at(now) {
                Some(at) if at <= now && self.guarded => closed(None),
                Some(at) if at <= now => Room { slots: self.policy.probes, reopens_at: None },
                at => closed(at),
            },
            Phase::HalfOpen { .. } if self.circuit.is_elsewhere => closed(None),
            Phase::HalfOpen { holders, succeeded } => {
                let taken = *succeeded + u32::try_from(holders.len()).unwrap_or(u32::MAX);
                Room { slots: self.policy.probes.saturating_sub(taken), reopens_at: None }
            }
        }
    }

    /// Holds a clock that was set back against the time for which it is open. To be called now and then.
    pub fn look(&mut self, now: Millis) {
        let opens_at = self.circuit.phase.opens_at(now);
        if let Phase::Open { until, .. } = &mut self.circuit.phase {
            *until = opens_at;
        }
    }

    /// One starts, for somebody whom `lost` can name; only where there is room.
    pub fn take(&mut self, now: Millis, holder: &Arc<str>) -> Permit {
        debug_assert!(self.room(now).slots > 0, "a start without room");
        if matches!(self.circuit.phase, Phase::Open { .. }) {
            self.circuit.begin(Phase::HalfOpen { holders: Vec::new(), succeeded: 0 });
        }
        if let Phase::HalfOpen { holders, .. } = &mut self.circuit.phase {
            holders.push(holder.clone());
        }
        Permit { turn: self.circuit.turn, holder: holder.clone() }
    }

    /// One starts, or is told when to come back; `None`: when somebody else has a verdict.
    pub fn admit(&mut self, now: Millis, holder: &Arc<str>) -> Result<Permit, Option<Millis>> {
        match self.room(now) {
            Room { slots: 0, reopens_at } => Err(reopens_at),
            _ => Ok(self.take(now, holder)),
        }
    }

    /// The short way of a closed breaker: so many calls of `turn` have succeeded. `None` where it is not closed.
    pub fn pass(&mut self, turn: u64, succeeded: u32) -> Option<u64> {
        let Circuit { turn: current, phase, .. } = &mut self.circuit;
        let Phase::Closed(outcomes) = phase else { return None };
        if *current == turn {
            let new = succeeded.min(self.policy.window) as usize;
            let beyond = (outcomes.len() + new).saturating_sub(self.policy.window as usize);
            outcomes.drain(..beyond.min(outcomes.len()));
            outcomes.extend(std::iter::repeat_n(false, new));
        }
        Some(*current)
    }

    /// One ends. Says whether that changed the phase.
    pub fn give(&mut self, permit: Permit, verdict: Verdict, now: Millis) -> bool {
        let Circuit { turn, phase, .. } = &mut self.circuit;
        if *turn != permit.turn {
            return false;
        }
        let opens = match phase {
            Phase::Closed(outcomes) => self.policy.counts(outcomes, verdict),
            Phase::HalfOpen { holders, succeeded } => {
                let Some(at) = holders.iter().position(|holder| *holder == permit.holder) else {
                    return false;
                };
                holders.swap_remove(at);
                *succeeded += u32::from(verdict == Verdict::Succeeded);
                if *succeeded >= self.policy.probes {
                    self.close();
                    return true;
                }
                verdict == Verdict::Failed
            }
            Phase::Open { .. } => false,
        };
        if opens {
            self.circuit.openings = self.circuit.openings.saturating_add(1);
            let length = self.policy.length(self.circuit.openings);
            self.circuit.begin(Phase::Open { until: Some(now.saturating_add(length)), length });
        }
        opens
    }

    /// Whoever this was is gone, with its permits.
    pub fn lost(&mut self, gone: &str) {
        if let Phase::HalfOpen { holders, .. } = &mut self.circuit.phase {
            holders.retain(|holder| **holder != *gone);
        }
    }

    /// Opens it by hand: for a time, after which probes pass, or until `close`.
    pub fn open(&mut self, now: Millis, length: Option<Millis>) {
        let until = length.map(|length| now.saturating_add(length));
        self.circuit.begin(Phase::Open { until, length: length.unwrap_or(0) });
    }

    /// Closes it with an empty window: by hand, or since the probes succeeded.
    pub fn close(&mut self) {
        self.circuit.openings = 0;
        self.circuit.begin(Phase::default());
    }
}

impl BreakerPolicy {
    /// Enters an outcome; says whether the breaker opens.
    fn counts(&self, outcomes: &mut VecDeque<bool>, verdict: Verdict) -> bool {
        if verdict == Verdict::Unknown {
            return false;
        }
        outcomes.push_back(verdict == Verdict::Failed);
        while outcomes.len() > self.window as usize {
            outcomes.pop_front();
        }
        let failures = outcomes.iter().filter(|failed| **failed).count();
        outcomes.len() >= self.min_calls as usize
            && failures as f64 >= self.failure_rate * outcomes.len() as f64
    }
}
