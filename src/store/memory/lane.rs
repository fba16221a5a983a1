//! What can be claimed, in order: one lane for each queue and kind.
//!
//! Invariants: every ready task stands in the backlog of its group (tasks without a group are one of their
//! own), and the best task of each backlog, and only that one, stands in `order` too. So a claim looks at one
//! task of each group at most, however long the backlogs are.
//!
//! Turns between groups are start-time fair queueing (Goyal, Vin, Cheng 1996) with weight one: a new head
//! stands one turn behind the lane's latest claim.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;

use crate::task::{Name, View};

/// Key of a task in the slab.
pub(super) type Slot = usize;

/// Order within a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank {
    pub priority: Reverse<i32>,
    pub turn: u64,
    pub place: u64,
}

#[derive(Debug)]
pub(super) struct Lane {
    pub queue: Name,
    /// Number of the kind.
    pub kind: usize,
    pub paused: bool,
    /// In the order of `View::ALL`; `Waiting` counts the ready, `Scheduled` the timed.
    pub counts: [u64; View::ALL.len()],
    order: BTreeMap<Rank, Slot>,
    ungrouped: Group,
    groups: HashMap<Name, Group>,
    turn: u64,
}

#[derive(Debug, Default)]
struct Group {
    backlog: BTreeMap<(Reverse<i32>, u64), Slot>,
    head: Option<Rank>,
}

impl Lane {
    pub fn new(queue: Name, kind: usize, paused: bool) -> Self {
        let (order, ungrouped, groups) = Default::default();
        Self { queue, kind, paused, counts: [0; 7], order, ungrouped, groups, turn: 0 }
    }

    pub fn insert(&mut self, slot: Slot, priority: i32, place: u64, group: Option<&Name>) {
        self.change(group, |group, _| {
            group.backlog.insert((Reverse(priority), place), slot);
        });
    }

    pub fn remove(&mut self, priority: i32, place: u64, group: Option<&Name>) {
        self.change(group, |group, _| {
            group.backlog.remove(&(Reverse(priority), place));
        });
    }

    /// Takes the head at `rank` for a claim: its group's next one moves up, a turn later.
    pub fn claim(&mut self, rank: Rank, group: Option<&Name>) {
        self.turn = self.turn.max(rank.turn);
        self.change(group, |group, order| {
            order.remove(&rank);
            group.head = None;
            group.backlog.remove(&(rank.priority, rank.place));
        });
    }

    /// The best heads after `from`.
    pub fn heads(&self, from: Option<Rank>) -> impl Iterator<Item = (Rank, Slot)> + '_ {
        let from = from.map_or(Bound::Unbounded, Bound::Excluded);
        self.order.range((from, Bound::Unbounded)).map(|(rank, slot)| (*rank, *slot))
    }

    /// No task at all, ended ones included.
    pub fn is_empty(&self) -> bool {
        self.counts == [0; 7]
    }

    /// All ready tasks, with what is wrong about them; for checks.
    pub fn ready(&self) -> Result<Vec<Slot>, &'static str> {
        let groups = || self.groups.values().chain([&self.ungrouped]);
        let heads = groups().filter(|group| !group.backlog.is_empty()).count();
        let best = |group: &Group| match (group.head, group.backlog.first_key_value()) {
            (Some(rank), Some((at, slot))) => {
                (rank.priority, rank.place) == *at && self.order.get(&rank) == Some(slot)
            }
            (head, first) => head.is_none() && first.is_none(),
        };
        if heads != self.order.len() || !groups().all(best) {
            return Err("the order does not hold the best of each group");
        }
        if self.groups.values().any(|group| group.backlog.is_empty()) {
            return Err("a group without tasks is kept");
        }
        Ok(groups().flat_map(|group| group.backlog.values().copied()).collect())
    }

    /// Changes a group's backlog, then lets the best of it stand in `order`.
    fn change(&mut self, name: Option<&Name>, change: impl FnOnce(&mut Group, &mut BTreeMap<Rank, Slot>)) {
        let group = match name {
            None => &mut self.ungrouped,
            Some(name) if self.groups.contains_key(name) => self.groups.get_mut(name).expect("just seen"),
            Some(name) => self.groups.entry(name.clone()).or_default(),
        };
        change(group, &mut self.order);
        let best = group.backlog.first_key_value().map(|(at, slot)| (*at, *slot));
        let head = group.head.map(|rank| (rank.priority, rank.place));
        if head != best.map(|(at, _)| at) {
            // A task that takes the place of the head takes over its turn too.
            let turn = group.head.map_or(self.turn + 1, |rank| rank.turn);
            if let Some(rank) = group.head {
                self.order.remove(&rank);
            }
            group.head = best.map(|((priority, place), slot)| {
                let rank = Rank { priority, turn, place };
                self.order.insert(rank, slot);
                rank
            });
        }
        if let (Some(name), None) = (name, best) {
            self.groups.remove(name);
        }
    }
}
