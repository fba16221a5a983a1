//! The local rate gate: starts over time, on the engine's monotonic clock.
//!
//! The generic cell rate algorithm (ITU-T I.371, in the form of a virtual schedule): one number, the
//! theoretical arrival time, says all. With `T` the interval between two starts at the sustained rate, one
//! more may start where `max(tat, now) + T - T * burst <= now`. So over any time `W` at most
//! `W / T + burst` start. Shared rates do the same in `store::Rate`; a test holds the two together, and the
//! crate `governor` beside them. (It cannot be the gate itself: it has no way to ask for the room without
//! taking it, and its state is neither comparable nor open to a clock that is an argument.)
//!
//! A gate is asked on whole milliseconds: where `burst` is less than what the rate allows in one of them,
//! only `burst` start in each.

use serde::{Deserialize, Serialize};

use super::gate::Room;
use super::option::{OptionError, allow};
use crate::time::Millis;

const NANOS: u64 = 1_000_000;
const LONGEST: Millis = 366 * 86_400_000;

/// How many starts over how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RateLimit {
    /// Nanoseconds between two starts at the sustained rate, rounded up: never more than the limit.
    interval_ns: u64,
    /// Starts that may come at once.
    burst: u32,
}

/// A rate limit at work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RateGate {
    limit: RateLimit,
    /// The theoretical arrival time of the next start, in nanoseconds.
    arrival_ns: u64,
    held_until: Millis,
}

impl RateLimit {
    /// `limit` starts in each `per` ms, and as many at once.
    pub fn new(limit: u32, per: Millis) -> Result<Self, OptionError> {
        allow(limit > 0, "limit", limit, "whole numbers from 1")?;
        allow((1..=LONGEST).contains(&per), "per", format!("{per} ms"), "1 ms to 366 days")?;
        Ok(Self { interval_ns: (per * NANOS).div_ceil(u64::from(limit)), burst: limit })
    }

    /// The same rate with another number of starts that may come at once.
    pub fn with_burst(self, burst: u32) -> Result<Self, OptionError> {
        allow(burst > 0, "burst", burst, "whole numbers from 1")?;
        Ok(Self { burst, ..self })
    }

    /// Nanoseconds between two starts at the sustained rate.
    pub fn interval_ns(self) -> u64 {
        self.interval_ns
    }

    /// Starts that may come at once.
    pub fn burst(self) -> u32 {
        self.burst
    }

    /// How long it takes until a full burst may come again.
    fn span(self) -> u64 {
        self.interval_ns.saturating_mul(u64::from(self.burst))
    }
}

/// 100 a second, 100 at once.
impl Default for RateLimit {
    fn default() -> Self {
        Self { interval_ns: 10 * NANOS, burst: 100 }
    }
}

impl RateGate {
    /// A gate that nothing has passed yet.
    pub fn new(limit: RateLimit) -> Self {
        Self { limit, arrival_ns: 0, held_until: 0 }
    }

    /// The limit.
    pub fn limit(&self) -> RateLimit {
        self.limit
    }

    /// Another limit from now on; what has started counts on, by the time that it takes now.
    pub fn change(&mut self, limit: RateLimit, now: Millis) {
        self.limit = limit;
        self.look(now);
    }

    /// Nothing starts before `until`: an upstream has said when it wants to be asked again.
    pub fn hold(&mut self, until: Millis) {
        self.held_until = self.held_until.max(until);
    }

    /// How many may start at `now`.
    pub fn room(&self, now: Millis) -> Room {
        let now_ns = nanos(now);
        let free = now_ns.saturating_add(self.limit.span()) - self.arrival(now_ns);
        let slots = u32::try_from(free / self.limit.interval_ns).unwrap_or(u32::MAX);
        if slots > 0 && now >= self.held_until {
            return Room { slots, reopens_at: None };
        }
        Room { slots: 0, reopens_at: Some(self.opens_at(1, now)) }
    }

    /// When it opens again at the earliest, where it was told to hold.
    pub fn held_until(&self) -> Millis {
        self.held_until
    }

    /// Holds a clock that was set back against the time that is still to pass. To be called now and then where
    /// the clock is not monotonic.
    pub fn look(&mut self, now: Millis) {
        self.arrival_ns = self.arrival(nanos(now));
    }

    /// `n` start.
    pub fn take(&mut self, n: u32, now: Millis) {
        let spent = self.limit.interval_ns.saturating_mul(u64::from(n));
        self.arrival_ns = self.arrival(nanos(now)).saturating_add(spent);
    }

    /// `n` start together, or none does: then it says when they might, or `None` if that is never, since `n`
    /// is more than may ever come at once.
    pub fn try_take(&mut self, n: u32, now: Millis) -> Result<(), Option<Millis>> {
        if n > self.limit.burst {
            return Err(None);
        }
        let opens_at = self.opens_at(n, now);
        if opens_at > now {
            return Err(Some(opens_at));
        }
        self.take(n, now);
        Ok(())
    }

    /// One that was to start has not: its place in time is free again.
    pub fn put_back(&mut self) {
        self.arrival_ns = self.arrival_ns.saturating_sub(self.limit.interval_ns);
    }

    /// As good as new: a gate for a key that nobody uses can be forgotten.
    pub fn is_idle(&self, now: Millis) -> bool {
        self.arrival_ns <= nanos(now) && self.held_until <= now
    }

    /// The theoretical arrival time as it counts now. It is never further ahead than a full burst takes to
    /// come back, whatever has become of the clock or of the limit.
    fn arrival(&self, now_ns: u64) -> u64 {
        self.arrival_ns.clamp(now_ns, now_ns.saturating_add(self.limit.span()))
    }

    /// When `n` may start together.
    fn opens_at(&self, n: u32, now: Millis) -> Millis {
        let spent = self.limit.interval_ns.saturating_mul(u64::from(n));
        let earliest = self.arrival(nanos(now)).saturating_add(spent).saturating_sub(self.limit.span());
        earliest.div_ceil(NANOS).max(now).max(self.held_until)
    }
}

fn nanos(at: Millis) -> u64 {
    at.saturating_mul(NANOS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn gate(limit: u32, per: Millis, burst: u32) -> RateGate {
        RateGate::new(RateLimit::new(limit, per).unwrap().with_burst(burst).unwrap())
    }

    fn closed(at: Millis) -> Room {
        Room { slots: 0, reopens_at: Some(at) }
    }

    #[test]
    fn a_burst_then_the_sustained_rate() {
        let mut gate = gate(10, 100, 3);
        let mut starts = Vec::new();
        for now in 1000..1060 {
            while gate.room(now).slots > 0 {
                gate.take(1, now);
                starts.push(now);
            }
        }
        assert_eq!(starts, [1000, 1000, 1000, 1010, 1020, 1030, 1040, 1050]);
        assert_eq!(gate.room(1059), closed(1060));
        assert_eq!(gate.room(1075).slots, 2);
        assert_eq!(gate.room(10_000_000_000_000).slots, 3);
    }

    #[test]
    fn several_at_once_or_none() {
        let mut gate = gate(1, 100, 5);
        assert_eq!(gate.try_take(6, 0), Err(None));
        assert_eq!(gate.try_take(4, 0), Ok(()));
        assert_eq!(gate.try_take(3, 0), Err(Some(200)));
        assert_eq!(gate.try_take(3, 199), Err(Some(200)));
        assert_eq!(gate.try_take(3, 200), Ok(()));
        assert_eq!(gate.room(200), closed(300));
    }

    #[test]
    fn a_held_gate_opens_when_it_is_told_to_and_has_room() {
        let mut gate = gate(1, 100, 2);
        gate.hold(50);
        gate.hold(20);
        assert_eq!(gate.room(0), closed(50));
        assert!(!gate.is_idle(49));
        assert_eq!(gate.try_take(1, 49), Err(Some(50)));
        assert_eq!(gate.room(50).slots, 2);
        gate.take(2, 50);
        gate.hold(60);
        assert_eq!(gate.room(55), closed(150));
    }

    #[test]
    fn an_idle_gate_is_as_good_as_new() {
        let mut gate = gate(1, 100, 3);
        gate.take(2, 1000);
        assert!(!gate.is_idle(1199));
        assert!(gate.is_idle(1200));
        assert_eq!(gate.room(1200).slots, 3);
    }

    #[test]
    fn a_change_keeps_what_has_started_within_bounds() {
        let mut gate = gate(1, 60_000, 10);
        gate.take(10, 0);
        gate.change(RateLimit::new(10, 1000).unwrap(), 0);
        assert_eq!(gate.room(0), closed(100));
        assert_eq!(gate.room(1000).slots, 10);
    }

    #[test]
    fn a_clock_set_back_does_not_shut_it() {
        let mut gate = gate(1, 1000, 1);
        gate.take(1, 9_000_000);
        assert_eq!(gate.room(5000), closed(6000));
        gate.look(5000);
        assert_eq!(gate.room(5999), closed(6000));
        assert_eq!(gate.room(6000).slots, 1);
    }

    #[test]
    fn extreme_numbers_saturate() {
        let mut slow = gate(1, LONGEST, u32::MAX);
        slow.take(u32::MAX, u64::MAX);
        assert_eq!(slow.room(0).slots, 0);
        let mut fast = gate(u32::MAX, 1, u32::MAX);
        fast.take(u32::MAX, 0);
        assert!(fast.room(u64::MAX).reopens_at.is_none_or(|at| at == u64::MAX));
    }

    #[test]
    fn refusals_name_the_option() {
        let text = |result: Result<RateLimit, OptionError>| result.unwrap_err().to_string();
        assert_eq!(text(RateLimit::new(0, 1)), "limit is 0, allowed are whole numbers from 1");
        assert_eq!(text(RateLimit::new(1, 0)), "per is 0 ms, allowed are 1 ms to 366 days");
        assert_eq!(text(RateLimit::default().with_burst(0)), "burst is 0, allowed are whole numbers from 1");
        assert_eq!(RateLimit::new(100, 1000).unwrap(), RateLimit::default());
    }

    proptest! {
        #[test]
        fn no_window_has_more_than_the_limit_and_the_burst(
            limit in 1..300u32, per in 1..5000u64, burst in 1..50u32,
            steps in prop::collection::vec((0..200u64, 0..8u32), 1..200),
        ) {
            let mut gate = gate(limit, per, burst);
            let (mut now, mut starts) = (7000, Vec::new());
            for (wait, wanted) in steps {
                now += wait;
                let n = gate.room(now).slots.min(wanted);
                gate.take(n, now);
                starts.extend((0..n).map(|_| now));
            }
            for (first, from) in starts.iter().enumerate() {
                for (last, to) in starts.iter().enumerate().skip(first) {
                    let allowed = (to - from) as f64 * f64::from(limit) / per as f64 + f64::from(burst);
                    prop_assert!((last - first + 1) as f64 <= allowed + 1e-6);
                }
            }
        }

        #[test]
        fn under_load_the_limit_is_used(limit in 1..5000u32, per in 1..5000u64) {
            let mut gate = RateGate::new(RateLimit::new(limit, per).unwrap());
            let (mut now, mut started) = (0, 0u64);
            while started < 20 * u64::from(limit) {
                let room = gate.room(now);
                prop_assert!(room.slots > 0 || room.reopens_at.unwrap() > now);
                gate.take(room.slots, now);
                started += u64::from(room.slots);
                now = room.reopens_at.unwrap_or(now);
            }
            let rate = (started - u64::from(limit)) as f64 / (now.max(1) as f64);
            prop_assert!(rate >= 0.99 * f64::from(limit) / per as f64 || now < 1000, "{rate} after {now} ms");
        }
    }
}
