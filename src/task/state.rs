//! The five stored states and the one table of legal transitions.
//!
//! Invariants: a state changes only by a `Cause` that the table lists for it; a final state changes
//! only by `Cause::Revive`.

use std::fmt;

/// What a store keeps of a task's progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum State {
    /// Not running and not ended: ready, or waiting for a time or for other tasks.
    Waiting,
    /// A node holds a claim on it.
    Running,
    /// Ended well.
    Completed,
    /// Ended badly; can be revived.
    Failed,
    /// Ended on request; can be revived.
    Cancelled,
}

/// Why a state changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Cause {
    /// A node takes it to run it.
    Claim,
    /// The handler succeeded.
    Complete,
    /// The handler failed and no attempt is left.
    Fail,
    /// The handler failed and another attempt is due.
    Retry,
    /// The handler asked to come again later.
    Snooze,
    /// The node gave it back unfinished or unbegun; costs nothing.
    Release,
    /// The node that ran it is gone.
    Lose,
    /// Lost once too often.
    Poison,
    /// A user asked for it.
    Cancel,
    /// Another task has taken its unique key.
    Supersede,
    /// A task it waits for did not complete.
    Block,
    /// Its last moment to start has passed.
    Expire,
    /// A user wants it to run again.
    Revive,
}

/// How a state is shown: a waiting task is shown by what it waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum View {
    /// Waits for a time.
    Scheduled,
    /// Could start now.
    Waiting,
    /// Waits for other tasks.
    Blocked,
    /// See `State::Running`.
    Running,
    /// See `State::Completed`.
    Completed,
    /// See `State::Failed`.
    Failed,
    /// See `State::Cancelled`.
    Cancelled,
}

use Cause::*;
use State::*;

/// Every legal transition: from, cause, to.
pub const TRANSITIONS: &[(State, Cause, State)] = &[
    (Waiting, Claim, Running),
    (Waiting, Cancel, Cancelled),
    (Waiting, Supersede, Cancelled),
    (Waiting, Block, Cancelled),
    (Waiting, Expire, Failed),
    (Running, Complete, Completed),
    (Running, Fail, Failed),
    (Running, Retry, Waiting),
    (Running, Snooze, Waiting),
    (Running, Release, Waiting),
    (Running, Lose, Waiting),
    (Running, Poison, Failed),
    (Running, Cancel, Cancelled),
    (Running, Supersede, Cancelled),
    (Completed, Revive, Waiting),
    (Failed, Revive, Waiting),
    (Cancelled, Revive, Waiting),
];

impl State {
    /// The state that `cause` leads to, or `None` where the table has no such transition.
    #[must_use]
    pub fn after(self, cause: Cause) -> Option<State> {
        TRANSITIONS.iter().find(|(from, by, _)| *from == self && *by == cause).map(|(_, _, to)| *to)
    }

    /// Ended: only a revival leads out of it.
    pub fn is_final(self) -> bool {
        matches!(self, Completed | Failed | Cancelled)
    }

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Waiting => "waiting",
            Running => "running",
            Completed => "completed",
            Failed => "failed",
            Cancelled => "cancelled",
        }
    }
}

impl Cause {
    /// All causes, in the order by which stores number them: never to be changed, only added to.
    pub const ALL: [Cause; 13] = [
        Claim, Complete, Fail, Retry, Snooze, Release, Lose, Poison, Cancel, Supersede, Block, Expire, Revive,
    ];

    /// Its place in `ALL`.
    pub fn number(self) -> usize {
        self as usize
    }

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Claim => "claim",
            Complete => "complete",
            Fail => "fail",
            Retry => "retry",
            Snooze => "snooze",
            Release => "release",
            Lose => "lose",
            Poison => "poison",
            Cancel => "cancel",
            Supersede => "supersede",
            Block => "block",
            Expire => "expire",
            Revive => "revive",
        }
    }
}

impl View {
    /// All views, in the order in which counts are given.
    pub const ALL: [View; 7] = [
        View::Scheduled,
        View::Waiting,
        View::Blocked,
        View::Running,
        View::Completed,
        View::Failed,
        View::Cancelled,
    ];

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            View::Scheduled => "scheduled",
            View::Waiting => "waiting",
            View::Blocked => "blocked",
            View::Running => "running",
            View::Completed => "completed",
            View::Failed => "failed",
            View::Cancelled => "cancelled",
        }
    }

    /// The view with this word.
    pub fn from_word(word: &str) -> Option<View> {
        View::ALL.into_iter().find(|view| view.as_str() == word)
    }
}

impl fmt::Display for State {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATES: [State; 5] = [Waiting, Running, Completed, Failed, Cancelled];
    const CAUSES: [Cause; 13] = [
        Claim, Complete, Fail, Retry, Snooze, Release, Lose, Poison, Cancel, Supersede, Block, Expire, Revive,
    ];

    #[test]
    fn every_pair_has_the_answer_of_the_table() {
        let legal = STATES.iter().flat_map(|from| CAUSES.iter().filter_map(|by| from.after(*by)));
        assert_eq!(legal.count(), TRANSITIONS.len());
        for (from, cause, to) in TRANSITIONS {
            assert_eq!(from.after(*cause), Some(*to));
        }
    }

    #[test]
    fn final_states_are_left_only_by_revival() {
        for state in STATES.into_iter().filter(|state| state.is_final()) {
            let ways_out: Vec<_> = CAUSES.into_iter().filter(|cause| state.after(*cause).is_some()).collect();
            assert_eq!(ways_out, [Revive]);
        }
    }

    #[test]
    fn running_is_entered_only_by_a_claim() {
        assert!(TRANSITIONS.iter().filter(|(_, _, to)| *to == Running).all(|(_, by, _)| *by == Claim));
    }
}
