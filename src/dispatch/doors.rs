//! Gates with the lanes that are parked at them.
//!
//! A gate that has opened lets go as many lanes as it has room for, the best first; a lane that was let go and starts
//! nothing after all passes that on. A gate that opens by itself has one timer, however many tasks wait for it.

use std::collections::BTreeSet;

use crate::policy::Gate;
use crate::policy::breaker::Permit;
use crate::time::Millis;

use super::ready::Rank;
use super::{Dispatcher, GateId, LaneId};

#[derive(Default)]
pub(super) struct Doors {
    doors: Vec<Door>,
    /// When closed gates open by themselves.
    timed: BTreeSet<(Millis, GateId)>,
    /// Gates that were taken while lanes were parked at them.
    taken: Vec<GateId>,
    changed: bool,
}

struct Door {
    gate: Gate,
    parked: BTreeSet<(Rank, LaneId)>,
    /// Its key in `timed`.
    wake_at: Option<Millis>,
}

impl Doors {
    pub fn add(&mut self, gate: Gate) -> GateId {
        self.doors.push(Door { gate, parked: BTreeSet::new(), wake_at: None });
        (self.doors.len() - 1) as GateId
    }

    pub fn gate(&self, gate: GateId) -> &Gate {
        &self.doors[gate as usize].gate
    }

    pub fn gate_mut(&mut self, gate: GateId) -> &mut Gate {
        &mut self.doors[gate as usize].gate
    }

    pub fn take(&mut self, gate: GateId, now: Millis) -> Option<Option<Permit>> {
        if !self.doors[gate as usize].parked.is_empty() {
            self.taken.push(gate);
        }
        self.gate_mut(gate).take(now)
    }

    fn time(&mut self, gate: GateId, at: Option<Millis>) {
        let door = &mut self.doors[gate as usize];
        if let Some(before) = door.wake_at.take() {
            self.timed.remove(&(before, gate));
        }
        door.wake_at = at;
        self.timed.extend(at.map(|at| (at, gate)));
    }
}

impl Dispatcher {
    /// Something that several share has changed: every closed gate may have opened.
    pub fn gates_changed(&mut self) {
        self.doors.changed = true;
    }

    /// When a gate opens by itself at which tasks wait.
    pub fn reopens_at(&self) -> Option<Millis> {
        self.doors.timed.first().map(|(at, _)| *at)
    }

    /// Lets lanes go whose gates may have opened since.
    pub(super) fn look_at_doors(&mut self, now: Millis) {
        if std::mem::take(&mut self.doors.changed) {
            for gate in 0..self.doors.doors.len() as GateId {
                self.let_go(gate, now);
            }
        }
        while let Some((_, gate)) = self.doors.timed.first().copied().filter(|(at, _)| *at <= now) {
            self.doors.time(gate, None);
            self.let_go(gate, now);
        }
        self.look_again(now);
    }

    /// Gates that were taken may have room left for lanes that are parked there; true where one was let go.
    pub(super) fn look_again(&mut self, now: Millis) -> bool {
        while let Some(gate) = self.doors.taken.pop() {
            self.let_go(gate, now);
        }
        !self.open.is_empty()
    }

    /// Lets as many lanes go as this gate has room for.
    pub(super) fn let_go(&mut self, gate: GateId, now: Millis) {
        let door = &self.doors.doors[gate as usize];
        if door.parked.is_empty() {
            return self.doors.time(gate, None);
        }
        let room = door.gate.room(now);
        if room.slots == 0 {
            return self.doors.time(gate, room.reopens_at.map(|at| at.max(now + 1)));
        }
        let best: Vec<LaneId> = door.parked.iter().take(room.slots as usize).map(|(_, lane)| *lane).collect();
        for lane in best {
            self.list(lane);
            self.lanes[lane as usize].let_go_by = Some(gate);
        }
    }

    /// The lane has found this gate closed.
    pub(super) fn park(&mut self, lane: LaneId, gate: GateId, reopens_at: Option<Millis>, now: Millis) {
        self.unlist(lane);
        if let Some(first) = self.lanes[lane as usize].ready.first() {
            self.lanes[lane as usize].parked = Some((gate, first));
            let door = &mut self.doors.doors[gate as usize];
            door.parked.insert((first, lane));
            if door.wake_at.is_none() {
                self.doors.time(gate, reopens_at.map(|at| at.max(now + 1)));
            }
        }
        if self.lanes[lane as usize].let_go_by != Some(gate) {
            self.pass_on(lane, now);
        }
        self.lanes[lane as usize].let_go_by = None;
    }

    /// The lane starts nothing at the gate that has let it go.
    pub(super) fn pass_on(&mut self, lane: LaneId, now: Millis) {
        if let Some(gate) = self.lanes[lane as usize].let_go_by.take() {
            self.let_go(gate, now);
        }
    }

    pub(super) fn unpark(&mut self, lane: LaneId) {
        if let Some((gate, rank)) = self.lanes[lane as usize].parked.take() {
            self.doors.doors[gate as usize].parked.remove(&(rank, lane));
        }
    }
}
