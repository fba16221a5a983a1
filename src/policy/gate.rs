//! Gates: limits on how many tasks may start. A closed set, combined by taking the smallest room.
//!
//! A gate is asked (`room`), told of starts (`take`) and of ends (`give`); it never waits and has no clock. A rate and
//! a breaker may be the gates of several dispatchers at once: they are behind a lock of their own.

use std::sync::Arc;

use crate::time::Millis;

use super::breaker::{Permit, Verdict};
use super::shared_breaker::SharedBreaker;
use super::shared_rate::SharedRate;

/// How many more may start, and when to ask again if that is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct Room {
    /// Starts that are allowed now.
    pub slots: u32,
    /// When a closed gate opens by itself; `None` if only an event opens it.
    pub reopens_at: Option<Millis>,
}

/// A limit.
#[derive(Clone, Debug)]
pub enum Gate {
    /// At most `limit` running at once.
    Concurrency {
        /// The bound.
        limit: u32,
        /// Running now.
        running: u32,
    },
    /// Nothing starts while it is shut.
    Pause {
        /// Shut.
        paused: bool,
    },
    /// So many starts over time.
    Rate(SharedRate),
    /// The rate itself is kept by the store; here it is only held when it was told to hold.
    Hold(SharedRate),
    /// Nothing starts while what lies behind fails.
    Breaker(SharedBreaker),
}

/// How a start ended, for the gates that it has passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Nothing was begun: it is as if it had not been started.
    Unbegun,
    /// It was begun, with this outcome.
    Ended(Verdict),
}

impl Room {
    /// No limit.
    pub const OPEN: Room = Room { slots: u32::MAX, reopens_at: None };

    /// The tighter of two; where both are closed, the later of the times, since both have to open.
    pub fn and(self, other: Room) -> Room {
        let reopens_at = match (self.slots, other.slots) {
            (0, 0) => self.reopens_at.zip(other.reopens_at).map(|(a, b)| a.max(b)),
            (0, _) => self.reopens_at,
            (_, 0) => other.reopens_at,
            _ => None,
        };
        Room { slots: self.slots.min(other.slots), reopens_at }
    }
}

impl Gate {
    /// A concurrency limit.
    pub fn concurrency(limit: u32) -> Self {
        Self::Concurrency { limit, running: 0 }
    }

    /// How many may start at `now`.
    pub fn room(&self, now: Millis) -> Room {
        let slots = match self {
            Self::Concurrency { limit, running } => limit.saturating_sub(*running),
            Self::Pause { paused: true } => 0,
            Self::Pause { paused: false } => u32::MAX,
            Self::Rate(rate) => return rate.room(now),
            Self::Hold(rate) => return rate.held(now),
            Self::Breaker(breaker) => return breaker.room(now),
        };
        Room { slots, reopens_at: None }
    }

    /// How many starts there may be within `window` from `now`, as far as can be known: what to have at hand.
    pub fn ahead(&self, now: Millis, window: Millis) -> u32 {
        match self {
            Self::Concurrency { .. } => self.room(now).slots.saturating_mul(2),
            Self::Rate(rate) => rate.room(now.saturating_add(window)).slots,
            Self::Hold(_) | Self::Breaker(_) | Self::Pause { .. } => self.room(now).slots,
        }
    }

    /// One starts; `None` where somebody else who shares the gate has been faster.
    pub fn take(&mut self, now: Millis) -> Option<Option<Permit>> {
        match self {
            Self::Concurrency { running, .. } => *running += 1,
            Self::Rate(rate) => rate.try_take(None, now).ok()?,
            Self::Breaker(breaker) => return breaker.admit(now).ok().map(Some),
            Self::Pause { .. } | Self::Hold(_) => {}
        }
        Some(None)
    }

    /// One ends that had this permit and took so long.
    pub fn give(&mut self, permit: Option<Permit>, exit: Exit, took: Millis, now: Millis) {
        match (self, exit) {
            (Self::Concurrency { running, .. }, _) => {
                debug_assert!(*running > 0, "an end without a start");
                *running = running.saturating_sub(1);
            }
            (Self::Rate(rate), Exit::Unbegun) => rate.put_back(),
            (Self::Breaker(breaker), exit) => {
                let verdict = match exit {
                    Exit::Unbegun => Verdict::Unknown,
                    Exit::Ended(verdict) => verdict,
                };
                if let Some(permit) = permit {
                    breaker.give(permit, verdict, took, now);
                }
            }
            (Self::Rate(_) | Self::Hold(_) | Self::Pause { .. }, _) => {}
        }
    }

    /// The order of gates in front of one start: a rate is only asked where nothing else would keep the token from
    /// being used, and a slot last.
    pub fn order(&self) -> u32 {
        match self {
            Self::Pause { .. } => 0,
            Self::Breaker(_) => 1,
            Self::Hold(_) | Self::Rate(_) => 2,
            Self::Concurrency { .. } => 3,
        }
    }

    /// The word for what it is.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Pause { .. } => "pause",
            Self::Breaker(_) => "breaker",
            Self::Hold(_) | Self::Rate(_) => "rate",
            Self::Concurrency { .. } => "concurrency",
        }
    }

    /// What it is called, where it has a name.
    pub fn name(&self) -> Option<&Arc<str>> {
        match self {
            Self::Breaker(breaker) => breaker.rules().name.as_ref(),
            Self::Hold(rate) | Self::Rate(rate) => rate.rules().name.as_ref(),
            Self::Pause { .. } | Self::Concurrency { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn concurrency_counts_starts_and_ends() {
        let mut gate = Gate::concurrency(2);
        assert_eq!(gate.take(0), Some(None));
        assert_eq!(gate.take(0), Some(None));
        assert_eq!(gate.room(0).slots, 0);
        gate.give(None, Exit::Unbegun, 0, 0);
        assert_eq!(gate.room(0).slots, 1);
    }

    #[test]
    fn the_smallest_room_wins_and_both_have_to_open() {
        let closed = |reopens_at| Room { slots: 0, reopens_at };
        assert_eq!(Room::OPEN.and(Room { slots: 3, reopens_at: None }).slots, 3);
        assert_eq!(closed(Some(5)).and(closed(Some(9))), closed(Some(9)));
        assert_eq!(closed(Some(5)).and(closed(None)), closed(None));
        assert_eq!(closed(Some(5)).and(Room::OPEN), closed(Some(5)));
    }
}
