//! Who runs next: ready tasks in order, the gates, and what is running. Pure; `now` is an argument.
//!
//! Ready tasks stand in lanes. Lane 0 has no gate of its own and costs nothing; every other lane has
//! gates (of its kind, of its queue). Above all lanes are two gates: pause and total concurrency.
//!
//! Invariants: a closed lane delays no other and holds no slot; within a lane, larger priority first, then
//! arrival; a gate is taken once for each start and given back once for each end.

mod reading;
mod ready;

use std::collections::BTreeSet;

use crate::policy::{Gate, Room};
use crate::time::Millis;

pub use reading::Reading;
pub use ready::Entry;
use ready::{Rank, ReadyQueue};

/// A lane of this dispatcher.
pub type LaneId = u32;
/// A gate of this dispatcher.
pub type GateId = u32;

/// The lane without gates of its own.
pub const OPEN_LANE: LaneId = 0;

/// Ready tasks, gates, and the count of what runs.
pub struct Dispatcher {
    total: Gate,
    pause: Gate,
    gates: Vec<Gate>,
    lanes: Vec<Lane>,
    /// Lanes with gates that are open, by their first task.
    open: BTreeSet<(Rank, LaneId)>,
    arrivals: u64,
    waiting: usize,
}

#[derive(Default)]
struct Lane {
    gates: Vec<GateId>,
    ready: ReadyQueue,
    /// Its key in `open`.
    listed: Option<Rank>,
}

/// What `poll` did, and when to poll again if nothing happens before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct Poll {
    /// Tasks started.
    pub started: usize,
    /// When a closed gate opens by itself.
    pub reopens_at: Option<Millis>,
}

impl Dispatcher {
    /// At most `concurrency` tasks at once.
    pub fn new(concurrency: u32) -> Self {
        Self {
            total: Gate::concurrency(concurrency),
            pause: Gate::Pause { paused: false },
            gates: Vec::new(),
            lanes: vec![Lane::default()],
            open: BTreeSet::new(),
            arrivals: 0,
            waiting: 0,
        }
    }

    /// Adds a gate.
    pub fn add_gate(&mut self, gate: Gate) -> GateId {
        self.gates.push(gate);
        (self.gates.len() - 1) as GateId
    }

    /// The lane behind these gates.
    pub fn lane(&mut self, gates: &[GateId]) -> LaneId {
        if let Some(lane) = self.lanes.iter().position(|lane| lane.gates == gates) {
            return lane as LaneId;
        }
        self.lanes.push(Lane { gates: gates.to_vec(), ..Lane::default() });
        (self.lanes.len() - 1) as LaneId
    }

    /// Stops or resumes starting.
    pub fn set_paused(&mut self, paused: bool) {
        self.pause = Gate::Pause { paused };
    }

    /// Nothing starts.
    pub fn is_paused(&self) -> bool {
        self.pause == Gate::Pause { paused: true }
    }

    /// Entries that stand in lanes, withdrawn ones included.
    pub fn waiting(&self) -> usize {
        self.waiting
    }

    /// How many more could start now, all lanes together.
    pub fn room(&self, now: Millis) -> Room {
        self.total.room(now).and(self.pause.room(now))
    }

    /// How many more could start now in this lane, whatever the total.
    pub fn room_in(&self, lane: LaneId, now: Millis) -> Room {
        let gates = self.lanes[lane as usize].gates.iter();
        gates.fold(Room::OPEN, |room, gate| room.and(self.gates[*gate as usize].room(now)))
    }

    /// A task is ready, behind its equals; returns its arrival, by which it can keep its place.
    pub fn ready(&mut self, lane: LaneId, priority: i32, entry: Entry) -> u64 {
        self.arrivals += 1;
        let arrival = self.arrivals;
        self.insert(lane, Rank::new(priority, arrival), entry);
        arrival
    }

    /// A task is ready again in the place that it had.
    pub fn ready_again(&mut self, lane: LaneId, priority: i32, arrival: u64, entry: Entry) {
        self.insert(lane, Rank::new(priority, arrival), entry);
    }

    fn insert(&mut self, lane: LaneId, rank: Rank, entry: Entry) {
        self.waiting += 1;
        self.lanes[lane as usize].ready.push(rank, entry);
        if lane != OPEN_LANE {
            self.list(lane);
        }
    }

    /// Starts what may start. `is_current` is asked once for each entry that comes up: a withdrawn one is
    /// dropped and takes no slot.
    pub fn poll(
        &mut self,
        now: Millis,
        mut is_current: impl FnMut(Entry) -> bool,
        mut start: impl FnMut(Entry),
    ) -> Poll {
        let mut slots = self.room(now).slots;
        let mut poll = Poll { started: 0, reopens_at: None };
        while slots > 0 {
            let Some(lane) = self.next_lane() else { break };
            let room = self.room_in(lane, now);
            if room.slots == 0 {
                self.unlist(lane);
                poll.reopens_at = poll.reopens_at.into_iter().chain(room.reopens_at).min();
                continue;
            }
            let (_, entry) = self.lanes[lane as usize].ready.pop().expect("a listed lane has a task");
            self.waiting -= 1;
            if lane != OPEN_LANE {
                self.list(lane);
            }
            if is_current(entry) {
                self.take(lane);
                slots -= 1;
                poll.started += 1;
                start(entry);
            }
        }
        poll
    }

    /// The lane whose first task is the best of all.
    fn next_lane(&self) -> Option<LaneId> {
        let plain = self.lanes[OPEN_LANE as usize].ready.first();
        match (plain, self.open.first()) {
            (Some(plain), Some((gated, lane))) => Some(if plain <= *gated { OPEN_LANE } else { *lane }),
            (Some(_), None) => Some(OPEN_LANE),
            (None, gated) => gated.map(|(_, lane)| *lane),
        }
    }

    /// A started task of this lane has ended: its slot is free.
    pub fn ended(&mut self, lane: LaneId) {
        self.total.give();
        if lane == OPEN_LANE {
            return;
        }
        let gates = self.lanes[lane as usize].gates.clone();
        for gate in &gates {
            self.gates[*gate as usize].give();
        }
        for other in 1..self.lanes.len() {
            if self.lanes[other].gates.iter().any(|gate| gates.contains(gate)) {
                self.list(other as LaneId);
            }
        }
    }

    fn take(&mut self, lane: LaneId) {
        self.total.take();
        for gate in &self.lanes[lane as usize].gates {
            self.gates[*gate as usize].take();
        }
    }

    /// Enters a lane under its first task, or takes it out when it has none.
    fn list(&mut self, lane: LaneId) {
        let first = self.lanes[lane as usize].ready.first();
        if self.lanes[lane as usize].listed != first {
            self.unlist(lane);
            self.lanes[lane as usize].listed = first;
            self.open.extend(first.map(|rank| (rank, lane)));
        }
    }

    fn unlist(&mut self, lane: LaneId) {
        if let Some(rank) = self.lanes[lane as usize].listed.take() {
            self.open.remove(&(rank, lane));
        }
    }
}

#[cfg(test)]
mod tests;
