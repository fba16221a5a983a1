//! Everything that has a moment, in one heap.
//!
//! A timer is not taken out when it has lost its meaning (most timeouts never fire): it carries a stamp,
//! and whoever owns it compares. When more than half of the heap is known to be worthless it is rebuilt,
//! so its size stays within twice the living timers and its cost per timer is logarithmic at worst.
//!
//! Invariant: `dropped` is the number of worthless timers in the heap, so that it is known whether any lives.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::time::Millis;

/// What a timer is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Alarm {
    /// An attempt of this slot should have ended.
    Timeout(u32),
    /// A failed task of this slot is to be tried again.
    Backoff(u32),
    /// A run of this slot was asked to stop and should have.
    Grace(u32),
    /// A task of this slot that has not begun may not begin any more.
    Expiry(u32),
}

/// A timer: the alarm, and the stamp of the run that it is for.
pub(super) type Timer = (Alarm, u32);

#[derive(Default)]
pub(super) struct Timers {
    heap: BinaryHeap<Reverse<(Millis, Timer)>>,
    dropped: usize,
}

impl Timers {
    pub fn set(&mut self, at: Millis, alarm: Alarm, stamp: u32) {
        self.heap.push(Reverse((at, (alarm, stamp))));
    }

    /// A timer has lost its meaning.
    pub fn drop_one(&mut self) {
        self.dropped += 1;
    }

    /// Rebuilds the heap when most of it is worthless; `lives` knows.
    pub fn tidy(&mut self, lives: impl Fn(Timer) -> bool) {
        if self.dropped > 1024 && self.dropped * 2 > self.heap.len() {
            self.heap.retain(|Reverse((_, timer))| lives(*timer));
            self.dropped = 0;
        }
    }

    /// The next timer that is due and still means something; `lives` knows.
    pub fn due(&mut self, now: Millis, lives: impl Fn(Timer) -> bool) -> Option<(Millis, Timer)> {
        while let Some(Reverse((at, timer))) = self.heap.peek().copied().filter(|Reverse((at, _))| *at <= now)
        {
            self.heap.pop();
            if lives(timer) {
                return Some((at, timer));
            }
            self.dropped = self.dropped.saturating_sub(1);
        }
        None
    }

    /// None of them means anything any more.
    pub fn is_idle(&self) -> bool {
        self.dropped >= self.heap.len()
    }

    pub fn next_at(&self) -> Option<Millis> {
        self.heap.peek().map(|Reverse((at, _))| *at)
    }

    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.heap.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_order_and_not_early() {
        let mut timers = Timers::default();
        for at in [30, 10, 20] {
            timers.set(at, Alarm::Timeout(at as u32), 1);
        }
        assert_eq!(timers.next_at(), Some(10));
        assert_eq!(timers.due(9, |_| true), None);
        let due: Vec<_> = std::iter::from_fn(|| timers.due(20, |_| true)).collect();
        assert_eq!(due, [(10, (Alarm::Timeout(10), 1)), (20, (Alarm::Timeout(20), 1))]);
    }

    #[test]
    fn worthless_ones_keep_nobody_waiting() {
        let mut timers = Timers::default();
        assert!(timers.is_idle());
        timers.set(10, Alarm::Timeout(1), 1);
        timers.set(20, Alarm::Timeout(2), 1);
        timers.drop_one();
        assert!(!timers.is_idle());
        assert_eq!(
            timers.due(30, |(alarm, _)| alarm == Alarm::Timeout(2)),
            Some((20, (Alarm::Timeout(2), 1)))
        );
        assert!(timers.is_idle());
        timers.set(40, Alarm::Grace(3), 1);
        assert!(!timers.is_idle());
    }

    #[test]
    fn worthless_ones_do_not_pile_up() {
        let mut timers = Timers::default();
        for n in 0..100_000 {
            timers.set(1_000_000, Alarm::Timeout(n), 1);
            timers.drop_one();
            timers.tidy(|(alarm, _)| alarm == Alarm::Timeout(n));
        }
        assert!(timers.len() <= 2050, "{}", timers.len());
    }
}
