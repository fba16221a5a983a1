//! Gates: limits on how many tasks may start. A closed set, combined by taking the smallest room.
//!
//! A gate is asked (`room`), told of starts (`take`) and of ends (`give`); it never waits and has no clock.

use crate::time::Millis;

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
#[derive(Clone, Debug, PartialEq, Eq)]
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
    pub fn room(&self, _now: Millis) -> Room {
        let slots = match self {
            Self::Concurrency { limit, running } => limit.saturating_sub(*running),
            Self::Pause { paused: true } => 0,
            Self::Pause { paused: false } => u32::MAX,
        };
        Room { slots, reopens_at: None }
    }

    /// The word for its kind.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Concurrency { .. } => "concurrency",
            Self::Pause { .. } => "pause",
        }
    }

    /// One starts.
    pub fn take(&mut self) {
        if let Self::Concurrency { running, .. } = self {
            *running += 1;
        }
    }

    /// One ends.
    pub fn give(&mut self) {
        if let Self::Concurrency { running, .. } = self {
            debug_assert!(*running > 0, "an end without a start");
            *running = running.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn concurrency_counts_starts_and_ends() {
        let mut gate = Gate::concurrency(2);
        gate.take();
        gate.take();
        assert_eq!(gate.room(0).slots, 0);
        gate.give();
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
