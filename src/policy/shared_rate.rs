//! A rate limit as an object: one limit, wherever it is used in this process.
//!
//! Dispatchers have it as a gate, any code can `try_take` from it. With keys each key has the whole limit for itself;
//! a key whose time has passed is forgotten. `now` is the monotonic clock of the time that it
//! lives in: that of the process, but in tests.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use super::bells::{Bell, Bells};
use super::gate::Room;
use super::rate::{RateGate, RateLimit};
use crate::time::{Millis, Time};

/// Keys that may be in use at once.
pub const MAX_KEYS: usize = 1_000_000;

/// What does not change about a shared rate.
#[derive(Clone, Debug, Default)]
pub struct RateRules {
    /// Who shares it in a store.
    pub name: Option<Arc<str>>,
    /// A limit for each group or key instead of one for all.
    pub by_group: bool,
    /// Over all nodes of a store; `None`: as the store is meant to be used.
    pub shared: Option<bool>,
    /// What cannot start at once is refused, where somebody waits for it.
    pub rejects: bool,
    /// A failure that says when to come back holds it until then.
    pub heeds_retry_after: bool,
}

/// See the module. Clones are the same limit.
#[derive(Clone, Debug)]
pub struct SharedRate(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    rules: RateRules,
    state: Mutex<State>,
    bells: Bells,
    /// That of the engines that use it, where these have one of their own.
    time: OnceLock<Time>,
}

#[derive(Debug)]
struct State {
    /// The limit of all, and the gate of those without a key.
    whole: RateGate,
    keyed: HashMap<Arc<str>, RateGate>,
    tidy_at: usize,
}

/// Why nothing may start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Excess {
    /// There will be room then.
    Until(Millis),
    /// More keys are in use than are kept apart.
    Keys,
}

impl SharedRate {
    /// A limit that nothing has passed yet.
    pub fn new(limit: RateLimit, rules: RateRules) -> Self {
        let state = State { whole: RateGate::new(limit), keyed: HashMap::new(), tidy_at: 1024 };
        Self(Arc::new(Inner {
            rules,
            state: Mutex::new(state),
            bells: Bells::default(),
            time: OnceLock::new(),
        }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What does not change about it.
    pub fn rules(&self) -> &RateRules {
        &self.0.rules
    }

    /// The limit now.
    pub fn limit(&self) -> RateLimit {
        self.state().whole.limit()
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
    pub fn is(&self, other: &SharedRate) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Rings when it may have opened for another reason than time.
    pub fn tell(&self, bell: &Bell) {
        self.0.bells.add(bell);
    }

    /// Another limit from now on.
    pub fn change(&self, limit: RateLimit, now: Millis) {
        {
            let mut state = self.state();
            state.whole.change(limit, now);
            state.keyed.values_mut().for_each(|gate| gate.change(limit, now));
        }
        self.0.bells.ring();
    }

    /// Nothing starts before `until`, whatever its key.
    pub fn hold(&self, until: Millis) {
        let mut state = self.state();
        state.whole.hold(until);
        state.keyed.values_mut().for_each(|gate| gate.hold(until));
    }

    /// Held, whatever the rate itself allows.
    pub fn held(&self, now: Millis) -> Room {
        let until = self.state().whole.held_until();
        if until <= now { Room::OPEN } else { Room { slots: 0, reopens_at: Some(until) } }
    }

    /// How many without a key may start at `now`.
    pub fn room(&self, now: Millis) -> Room {
        self.state().whole.room(now)
    }

    /// One that was taken has not started.
    pub fn put_back(&self) {
        self.state().whole.put_back();
    }

    /// One starts, or is told why it may not.
    pub fn try_take(&self, key: Option<&str>, now: Millis) -> Result<(), Excess> {
        let mut state = self.state();
        let taken = match key.filter(|_| self.0.rules.by_group) {
            None => state.whole.try_take(1, now),
            Some(key) => state.gate_of(key, now).ok_or(Excess::Keys)?.try_take(1, now),
        };
        taken.map_err(|at| Excess::Until(at.unwrap_or(Millis::MAX)))
    }

    /// Keys that are kept.
    pub fn keys(&self) -> usize {
        self.state().keyed.len()
    }
}

impl State {
    fn gate_of(&mut self, key: &str, now: Millis) -> Option<&mut RateGate> {
        if !self.keyed.contains_key(key) {
            if self.keyed.len() >= self.tidy_at {
                self.keyed.retain(|_, gate| !gate.is_idle(now));
                self.tidy_at = (2 * self.keyed.len()).clamp(1024, MAX_KEYS);
            }
            if self.keyed.len() >= MAX_KEYS {
                return None;
            }
            let mut gate = RateGate::new(self.whole.limit());
            gate.hold(self.whole.held_until());
            self.keyed.insert(key.into(), gate);
        }
        self.keyed.get_mut(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    fn rate(limit: u32, per: Millis, by_group: bool) -> SharedRate {
        SharedRate::new(RateLimit::new(limit, per).unwrap(), RateRules { by_group, ..RateRules::default() })
    }

    #[test]
    fn clones_are_one_limit_and_keys_have_their_own() {
        let rate = rate(1, 100, true);
        assert_eq!(rate.clone().try_take(Some("a"), 0), Ok(()));
        assert_eq!(rate.try_take(Some("a"), 0), Err(Excess::Until(100)));
        assert_eq!(rate.try_take(Some("b"), 0), Ok(()));
        assert_eq!(rate.try_take(None, 0), Ok(()));
        let plain = super::tests::rate(1, 100, false);
        assert_eq!(plain.try_take(Some("a"), 0), Ok(()));
        assert_eq!(plain.try_take(Some("b"), 0), Err(Excess::Until(100)), "keys are of no account");
    }

    #[test]
    fn a_hold_is_for_every_key_also_for_those_to_come() {
        let rate = rate(1, 100, true);
        assert_eq!(rate.try_take(Some("a"), 0), Ok(()));
        rate.hold(500);
        assert_eq!(rate.try_take(Some("a"), 200), Err(Excess::Until(500)));
        assert_eq!(rate.try_take(Some("new"), 499), Err(Excess::Until(500)));
        assert_eq!((rate.held(499).slots, rate.held(500)), (0, Room::OPEN));
        assert_eq!(rate.try_take(Some("new"), 500), Ok(()));
    }

    #[test]
    fn so_many_keys_are_kept_apart_and_not_one_more_until_time_has_passed() {
        let rate = rate(1, 1000, true);
        for n in 0..MAX_KEYS {
            assert_eq!(rate.try_take(Some(&n.to_string()), 0), Ok(()));
        }
        assert_eq!(rate.try_take(Some("one too many"), 0), Err(Excess::Keys));
        assert_eq!(rate.try_take(Some("7"), 0), Err(Excess::Until(1000)), "those that are known go on");
        assert_eq!(rate.try_take(None, 0), Ok(()));
        assert_eq!(rate.try_take(Some("one too many"), 1000), Ok(()));
        assert_eq!(rate.keys(), 1);
    }

    #[test]
    fn keys_whose_time_has_passed_are_forgotten() {
        let rate = rate(1, 10, true);
        for n in 0..100_000u64 {
            assert_eq!(rate.try_take(Some(&n.to_string()), n), Ok(()));
        }
        assert!(rate.keys() <= 2048, "{}", rate.keys());
    }

    #[test]
    fn what_has_not_started_gives_its_place_back_and_a_change_is_told() {
        let rate = rate(2, 100, false);
        let rung = Arc::new(AtomicU32::new(0));
        let count = rung.clone();
        let bell: Bell = Arc::new(move || {
            count.fetch_add(1, Ordering::SeqCst);
        });
        rate.tell(&bell);
        rate.tell(&bell);
        assert_eq!([rate.try_take(None, 0), rate.try_take(None, 0)], [Ok(()), Ok(())]);
        assert_eq!(rate.room(0).slots, 0);
        rate.put_back();
        assert_eq!(rate.room(0).slots, 1);
        rate.change(RateLimit::new(100, 100).unwrap(), 0);
        assert_eq!(rung.load(Ordering::SeqCst), 1);
        drop(bell);
        rate.change(RateLimit::default(), 0);
        assert_eq!(rung.load(Ordering::SeqCst), 1);
    }
}
