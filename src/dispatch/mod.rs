//! Who runs next: ready tasks in order, the gates, and what is running. Pure; `now` is an argument.
//!
//! Ready tasks stand in lanes. Lane 0 has no gate of its own and costs nothing; every other lane has
//! gates (of its kind, of its queue, of the executor). Above all lanes are two gates: pause and total concurrency.
//!
//! Invariants: a closed lane delays no other and holds no slot; within a lane, larger priority first, then
//! arrival; a gate is taken once for each start and given back once for each end. A lane that has found a gate closed
//! is parked there and costs nothing until that gate may have opened.

mod doors;
mod reading;
mod ready;

use std::collections::{BTreeSet, HashMap};

use crate::policy::breaker::{Permit, Verdict};
use crate::policy::{Bell, Exit, Gate, Room};
use crate::time::Millis;

use doors::Doors;
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
    paused: bool,
    doors: Doors,
    lanes: Vec<Lane>,
    /// Lanes with gates that are open, as far as is known, by their first task.
    open: BTreeSet<(Rank, LaneId)>,
    /// Of slots that have passed a breaker.
    passes: HashMap<u32, Pass>,
    arrivals: u64,
    waiting: usize,
}

#[derive(Default)]
struct Lane {
    /// In the order in which they are asked.
    gates: Vec<GateId>,
    ready: ReadyQueue,
    /// Its key in `open`.
    listed: Option<Rank>,
    /// The gate where it is parked, and its key there.
    parked: Option<(GateId, Rank)>,
    /// The gate that has let it go and counts on it to start something.
    let_go_by: Option<GateId>,
}

/// What a slot has to show at the breakers that it has passed.
struct Pass {
    since: Millis,
    permits: Vec<(GateId, Permit)>,
    /// What its host says about the outcome, where that is more than the outcome itself.
    said: Option<Verdict>,
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
            paused: false,
            doors: Doors::default(),
            lanes: vec![Lane::default()],
            open: BTreeSet::new(),
            passes: HashMap::new(),
            arrivals: 0,
            waiting: 0,
        }
    }

    /// Adds a gate. What several share rings `bell` when it may have opened: then `gates_changed` is to be called.
    pub fn add_gate(&mut self, gate: Gate, bell: Option<&Bell>) -> GateId {
        match (&gate, bell) {
            (Gate::Rate(rate) | Gate::Hold(rate), Some(bell)) => rate.tell(bell),
            (Gate::Breaker(breaker), Some(bell)) => breaker.tell(bell),
            _ => {}
        }
        self.doors.add(gate)
    }

    /// A gate.
    pub fn gate(&self, gate: GateId) -> &Gate {
        self.doors.gate(gate)
    }

    /// The gates of a lane, in the order in which they are asked.
    pub fn gates_of(&self, lane: LaneId) -> &[GateId] {
        &self.lanes[lane as usize].gates
    }

    /// The lane behind these gates.
    pub fn lane(&mut self, gates: &[GateId]) -> LaneId {
        let mut gates = gates.to_vec();
        gates.sort_by_key(|gate| (self.gate(*gate).order(), *gate));
        gates.dedup();
        if let Some(lane) = self.lanes.iter().position(|lane| lane.gates == gates) {
            return lane as LaneId;
        }
        self.lanes.push(Lane { gates, ..Lane::default() });
        (self.lanes.len() - 1) as LaneId
    }

    /// Stops or resumes starting.
    pub fn set_paused(&mut self, paused: bool) {
        self.paused = paused;
    }

    /// Nothing starts.
    pub fn is_paused(&self) -> bool {
        self.paused
    }

    /// Entries that stand in lanes, withdrawn ones included.
    pub fn waiting(&self) -> usize {
        self.waiting
    }

    /// How many more could start now, all lanes together.
    pub fn room(&self, now: Millis) -> Room {
        self.total.room(now).and(Gate::Pause { paused: self.paused }.room(now))
    }

    /// How many more could start now in this lane, whatever the total.
    pub fn room_in(&self, lane: LaneId, now: Millis) -> Room {
        let gates = self.lanes[lane as usize].gates.iter();
        gates.fold(Room::OPEN, |room, gate| room.and(self.gate(*gate).room(now)))
    }

    /// How many starts there may be in this lane within `window`.
    pub fn ahead_in(&self, lane: LaneId, now: Millis, window: Millis) -> u32 {
        let gates = self.lanes[lane as usize].gates.iter();
        gates.map(|gate| self.gate(*gate).ahead(now, window)).min().unwrap_or(u32::MAX)
    }

    /// The first gate of this lane that is closed.
    pub fn closed_in(&self, lane: LaneId, now: Millis) -> Option<(GateId, Room)> {
        let gates = self.lanes[lane as usize].gates.iter();
        gates.map(|gate| (*gate, self.gate(*gate).room(now))).find(|(_, room)| room.slots == 0)
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
            // Also where it was parked: a newcomer may have a gate that refuses it.
            self.list(lane);
        }
    }

    /// Starts what may start. `is_current` is asked once for each entry that comes up: a withdrawn one is
    /// dropped and takes no slot. `refuse` is told of what would have to wait at a gate, and says whether it is gone.
    pub fn poll(
        &mut self,
        now: Millis,
        mut is_current: impl FnMut(Entry) -> bool,
        mut refuse: impl FnMut(Entry, &Gate) -> bool,
        mut start: impl FnMut(Entry),
    ) -> Poll {
        self.look_at_doors(now);
        let mut slots = self.room(now).slots;
        let mut started = 0;
        while slots > 0 {
            let Some(lane) = self.next_lane() else { if self.look_again(now) { continue } else { break } };
            if lane != OPEN_LANE
                && let Some((gate, room)) = self.closed_in(lane, now)
            {
                self.refuse_in(lane, gate, &mut refuse);
                self.park(lane, gate, room.reopens_at, now);
                continue;
            }
            let (rank, entry) = self.lanes[lane as usize].ready.pop().expect("a listed lane has a task");
            self.waiting -= 1;
            if !is_current(entry) {
                self.popped(lane, now);
            } else if self.take(lane, entry, now) {
                self.popped(lane, now);
                slots -= 1;
                started += 1;
                start(entry);
            } else {
                self.insert(lane, rank, entry);
            }
        }
        Poll { started, reopens_at: self.reopens_at() }
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

    fn popped(&mut self, lane: LaneId, now: Millis) {
        if lane == OPEN_LANE {
            return;
        }
        self.list(lane);
        if self.lanes[lane as usize].listed.is_none() {
            self.pass_on(lane, now);
        }
    }

    /// What must not wait at this gate is taken out of the lane.
    fn refuse_in(&mut self, lane: LaneId, gate: GateId, refuse: &mut impl FnMut(Entry, &Gate) -> bool) {
        let gate = self.doors.gate(gate);
        if matches!(gate, Gate::Concurrency { .. } | Gate::Hold(_) | Gate::Pause { .. }) {
            return;
        }
        self.waiting -= self.lanes[lane as usize].ready.drop_those(|entry| refuse(entry, gate));
    }

    /// Its run is about to begin: what a breaker calls slow counts from here.
    pub fn begun(&mut self, slot: u32, now: Millis) {
        if let Some(pass) = self.passes.get_mut(&slot) {
            pass.since = now;
        }
    }

    /// What the outcome of this slot says to breakers, whatever it is.
    pub fn judged(&mut self, slot: u32, verdict: Verdict) {
        if let Some(pass) = self.passes.get_mut(&slot) {
            pass.said = Some(verdict);
        }
    }

    /// A started task of this lane has ended: its slot is free.
    pub fn ended(&mut self, lane: LaneId, slot: u32, exit: Exit, now: Millis) {
        self.total.give(None, exit, 0, now);
        if lane == OPEN_LANE {
            return;
        }
        let mut pass = self.passes.remove(&slot);
        let exit = match (exit, pass.as_ref().and_then(|pass| pass.said)) {
            (Exit::Ended(_), Some(said)) => Exit::Ended(said),
            (exit, _) => exit,
        };
        for at in 0..self.lanes[lane as usize].gates.len() {
            let gate = self.lanes[lane as usize].gates[at];
            let permit = pass.as_mut().and_then(|pass| {
                let own = pass.permits.iter().position(|(of, _)| *of == gate)?;
                Some(pass.permits.swap_remove(own).1)
            });
            let took = pass.as_ref().map_or(0, |pass| now.saturating_sub(pass.since));
            self.doors.gate_mut(gate).give(permit, exit, took, now);
            self.let_go(gate, now);
        }
    }

    /// Passes all gates of the lane, or none.
    fn take(&mut self, lane: LaneId, entry: Entry, now: Millis) -> bool {
        if lane == OPEN_LANE {
            return self.total.take(now).is_some();
        }
        let mut permits = Vec::new();
        for at in 0..self.lanes[lane as usize].gates.len() {
            let gate = self.lanes[lane as usize].gates[at];
            match self.doors.take(gate, now) {
                Some(permit) => permits.extend(permit.map(|permit| (gate, permit))),
                None => {
                    for gate in self.lanes[lane as usize].gates[..at].iter().rev() {
                        let own = permits.iter().position(|(of, _)| of == gate);
                        let permit = own.map(|own| permits.swap_remove(own).1);
                        self.doors.gate_mut(*gate).give(permit, Exit::Unbegun, 0, now);
                    }
                    return false;
                }
            }
        }
        self.lanes[lane as usize].let_go_by = None;
        if !permits.is_empty() {
            self.passes.insert(entry.slot, Pass { since: now, permits, said: None });
        }
        self.total.take(now).is_some()
    }

    /// Enters a lane under its first task, or takes it out when it has none.
    fn list(&mut self, lane: LaneId) {
        self.unpark(lane);
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
