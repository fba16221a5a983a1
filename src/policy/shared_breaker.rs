//! A circuit breaker as an object: one circuit, wherever it is used in this process.
//!
//! Dispatchers have it as a gate, any code can be run through it by `admit` and `give`. `now` is the monotonic clock
//! of the time that it lives in: that of the process, but in tests.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use super::bells::{Bell, Bells};
use super::breaker::{Breaker, BreakerPolicy, Circuit, Permit, Verdict};
use super::gate::Room;
use super::option::OptionError;
use crate::time::{Millis, Time};

/// What does not change about a shared breaker.
#[derive(Clone, Debug)]
pub struct BreakerRules {
    /// What it is called in events, and who shares it in a store.
    pub name: Option<Arc<str>>,
    /// Its state is that of all nodes of a store; `None`: as the store is meant to be used.
    pub shared: Option<bool>,
    /// Enqueued tasks fail while it is open, instead of waiting.
    pub fails: bool,
    /// Who takes permits: this process.
    pub holder: Arc<str>,
}

/// See the module. Clones are the same breaker.
#[derive(Clone, Debug)]
pub struct SharedBreaker(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    rules: BreakerRules,
    breaker: Mutex<Breaker>,
    bells: Bells,
    /// That of the engines that use it, where these have one of their own.
    time: OnceLock<Time>,
}

impl SharedBreaker {
    /// A closed breaker.
    pub fn new(policy: BreakerPolicy, rules: BreakerRules) -> Result<Self, OptionError> {
        let breaker = Mutex::new(Breaker::new(policy)?);
        Ok(Self(Arc::new(Inner { rules, breaker, bells: Bells::default(), time: OnceLock::new() })))
    }

    fn breaker(&self) -> MutexGuard<'_, Breaker> {
        self.0.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What does not change about it.
    pub fn rules(&self) -> &BreakerRules {
        &self.0.rules
    }

    /// It is used by an engine in this time, and is so from now on; a time is taken up once.
    pub fn live_in(&self, time: &Time) {
        if time.is_moved() {
            self.0.time.get_or_init(|| time.clone());
        }
    }

    /// The time that it lives in.
    pub fn time(&self) -> Time {
        self.0.time.get().cloned().unwrap_or_default()
    }

    /// The same object.
    pub fn is(&self, other: &SharedBreaker) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Rings when its phase has changed for another reason than time.
    pub fn tell(&self, bell: &Bell) {
        self.0.bells.add(bell);
    }

    /// `closed`, `open` or `half-open`.
    pub fn word(&self, now: Millis) -> &'static str {
        self.breaker().word(now)
    }

    /// The state, to be shared with other nodes.
    pub fn circuit(&self) -> Circuit {
        self.breaker().circuit().clone()
    }

    /// Takes over a state that another node has shared.
    pub fn adopt(&self, circuit: Circuit) {
        self.breaker().follow(circuit);
        self.0.bells.ring();
    }

    /// Whether somebody else, who knows of other nodes, says when probes may pass.
    pub fn guard(&self, guarded: bool) {
        self.breaker().guard(guarded);
    }

    /// How many may start at `now`.
    pub fn room(&self, now: Millis) -> Room {
        self.breaker().room(now)
    }

    /// One starts, or is told when to come back; `None`: when somebody else has a verdict.
    pub fn admit(&self, now: Millis) -> Result<Permit, Option<Millis>> {
        self.breaker().admit(now, &self.0.rules.holder)
    }

    /// The short way of a closed breaker: so many calls of `turn` have succeeded, and one more starts. Gives the turn
    /// that it is of, or `None` where the breaker is not closed.
    pub fn pass(&self, turn: u64, succeeded: u32) -> Option<u64> {
        self.breaker().pass(turn, succeeded)
    }

    /// The same as `admit`, where the permit is kept as a number.
    pub fn enter(&self, now: Millis) -> Result<u64, Option<Millis>> {
        self.admit(now).map(|permit| permit.turn())
    }

    /// One ends that had this number.
    pub fn leave(&self, turn: u64, verdict: Verdict, took: Millis, now: Millis) {
        self.give(Permit::of(turn, &self.0.rules.holder), verdict, took, now);
    }

    /// One ends that has taken so long.
    pub fn give(&self, permit: Permit, verdict: Verdict, took: Millis, now: Millis) {
        let rings = {
            let mut breaker = self.breaker();
            let is_probe = breaker.word(now) != "closed";
            let verdict = breaker.policy().judge(verdict, took);
            // A probe that says nothing leaves its place to another one.
            breaker.give(permit, verdict, now) || is_probe
        };
        if rings {
            self.0.bells.ring();
        }
    }

    /// Opens it by hand: for a time, after which probes pass, or until `close`.
    pub fn open(&self, now: Millis, length: Option<Millis>) {
        self.breaker().open(now, length);
        self.0.bells.ring();
    }

    /// Closes it by hand, with an empty window.
    pub fn close(&self) {
        self.breaker().close();
        self.0.bells.ring();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[test]
    fn never_more_probes_than_allowed_however_many_threads_ask() {
        let policy = BreakerPolicy { open_for: 100, probes: 3, ..BreakerPolicy::default() };
        let rules = BreakerRules { name: None, shared: None, fails: false, holder: "all threads".into() };
        let breaker = SharedBreaker::new(policy, rules).unwrap();
        breaker.open(0, Some(100));
        assert!(breaker.admit(99).is_err());
        let (probing, passed) = (AtomicU32::new(0), AtomicU32::new(0));
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..2000 {
                        let Ok(permit) = breaker.admit(100) else {
                            std::thread::yield_now();
                            continue;
                        };
                        assert!(probing.fetch_add(1, Ordering::SeqCst) < 3, "a fourth probe");
                        std::thread::yield_now();
                        probing.fetch_sub(1, Ordering::SeqCst);
                        passed.fetch_add(1, Ordering::SeqCst);
                        // It says nothing, so the next one may try.
                        breaker.give(permit, Verdict::Unknown, 0, 100);
                    }
                });
            }
        });
        assert!(passed.into_inner() >= 3);
        assert_eq!(breaker.word(100), "half-open");
    }
}
