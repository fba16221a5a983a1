//! What a node asks for when it claims.

use crate::task::Name;
use crate::time::Millis;

/// Wanted work: the best tasks of these lanes by priority, then by their order of arrival.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Claims {
    /// Tasks in all.
    pub max: u32,
    /// Kinds that this node can run. Where two name the same tasks, the first counts.
    pub lanes: Vec<LaneClaim>,
}

/// Tasks of one kind, within the limits that only the store can keep over all nodes.
#[derive(Clone, Debug, PartialEq)]
pub struct LaneClaim {
    /// The kind.
    pub name: Name,
    /// Of this queue only; `None`: wherever the kind stands.
    pub queue: Option<Name>,
    /// Tasks of this kind.
    pub max: u32,
    /// Running tasks of this kind over all nodes, these included.
    pub total: Option<u32>,
    /// Running tasks of each group of this kind over all nodes, these included.
    pub per_group: Option<u32>,
    /// Starts over time, over all nodes.
    pub rate: Option<Rate>,
}

impl LaneClaim {
    /// Up to `max` tasks of a kind without shared limits.
    pub fn of(name: impl Into<Name>, max: u32) -> Self {
        Self { name: name.into(), queue: None, max, total: None, per_group: None, rate: None }
    }
}

/// A shared rate: the generic cell rate algorithm (ITU-T I.371) in integers, on the store's clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Who shares it.
    pub key: Name,
    /// A limit for each group instead of one for all.
    pub by_group: bool,
    /// Microseconds between two starts at the sustained rate.
    pub interval_us: u64,
    /// Starts that may come at once.
    pub burst: u32,
}

impl Rate {
    /// Asks for one start at `now`: the new theoretical arrival time, and when to come back if it is refused.
    /// `tat` is the old one, in microseconds, 0 at first. The new one is to be kept in both cases: after a
    /// clock was set back it is what opens the gate again.
    pub fn take(&self, tat_us: u64, now: Millis) -> (u64, Result<(), Millis>) {
        let now_us = now.saturating_mul(1000);
        let span = self.interval_us.saturating_mul(u64::from(self.burst.max(1)));
        // A clock set back must not shut the gate for longer than a full burst takes to refill.
        let tat_us = tat_us.clamp(now_us, now_us.saturating_add(span));
        let next = tat_us.saturating_add(self.interval_us);
        if next <= now_us.saturating_add(span) {
            (next, Ok(()))
        } else {
            (tat_us, Err((next - span).div_ceil(1000)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_then_the_sustained_rate() {
        let rate = Rate { key: "k".into(), by_group: false, interval_us: 10_000, burst: 3 };
        let (mut tat, mut starts) = (0, Vec::new());
        for now in 1000..1100 {
            while let (next, Ok(())) = rate.take(tat, now) {
                tat = next;
                starts.push(now);
            }
        }
        assert_eq!(starts, [1000, 1000, 1000, 1010, 1020, 1030, 1040, 1050, 1060, 1070, 1080, 1090]);
        assert_eq!(rate.take(tat, 1099).1, Err(1100));
    }

    #[test]
    fn a_clock_set_back_does_not_shut_it() {
        let rate = Rate { key: "k".into(), by_group: false, interval_us: 1_000_000, burst: 1 };
        let (tat, _) = rate.take(0, 10_000_000);
        let (tat, refused) = rate.take(tat, 5000);
        assert_eq!(refused, Err(6000));
        // Asked again and again meanwhile, it opens when it said.
        let tat = (5001..6000).fold(tat, |tat, now| rate.take(tat, now).0);
        assert_eq!(rate.take(tat, 6000).1, Ok(()));
    }
}
