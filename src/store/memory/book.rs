//! The tasks and every index over them.
//!
//! Invariants (`verify` checks them): a task is in exactly one of the indexes of its place (ready, timed,
//! blocked, running, ended); a key row names a holder if and only if an unfinished task holds that key;
//! `blockers` is the number of its unfinished blockers plus those whose end the work list still carries.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use slab::Slab;

use crate::store::NodeId;
use crate::task::{
    Cause, Name, OnBlockerFailure, Place, Record, Spec, State, Status, TRANSITIONS, TaskId, View,
};
use crate::time::Millis;

use super::cells::Cells;
use super::claim::Rates;
use super::keys::Keys;
use super::lane::{Lane, Slot};
use super::nodes::Nodes;
use super::notes::Pad;
use super::retention::Ended;

#[derive(Default)]
pub(super) struct Book {
    pub tasks: Slab<Task>,
    pub by_id: HashMap<TaskId, Slot>,
    /// Tasks in the order of their creation.
    pub serials: BTreeMap<u64, Slot>,
    /// The same, for each workflow.
    pub flows: HashMap<Name, BTreeMap<u64, Slot>>,
    pub lanes: Slab<Lane>,
    pub kinds: Slab<Kind>,
    pub kind_of: HashMap<Name, usize>,
    /// Tasks that wait, for whatever reason.
    pub waiting: u64,
    pub timed: BTreeSet<(Millis, u64, Slot)>,
    pub expiring: BTreeSet<(Millis, Slot)>,
    pub keys: Keys,
    pub cells: Cells,
    pub nodes: Nodes,
    pub rates: Rates,
    /// Dependents of ended tasks that have not been told yet, and whether the task completed.
    pub cascades: VecDeque<(Edge, bool)>,
    pub ended: [Ended; 3],
    pub transitions: [u64; TRANSITIONS.len()],
    /// Where the latest amendment by filter has stopped.
    pub amended_to: u64,
    pub epoch: u64,
    /// Most pushes are for the lane of the push before.
    latest_lane: usize,
    next_place: u64,
    next_end: u64,
}

pub(super) struct Task {
    pub spec: Arc<Spec>,
    pub status: Status,
    pub lane: usize,
    /// Order of arrival among its equals; retries draw a new one.
    pub place: u64,
    /// Order of creation, for lists.
    pub serial: u64,
    /// Name of its present wait for blockers: edges that show another one are void.
    pub wait_no: u64,
    /// Of an ended one: its order among those.
    pub end_no: u64,
    /// When it fails unless it has started; nothing once a run has been settled other than by a release.
    pub expires_at: Option<Millis>,
    /// A debounce has replaced its input.
    pub slid: bool,
    pub dependents: Vec<Edge>,
    pub pad: Option<Box<Pad>>,
}

/// A task that waits for another.
#[derive(Clone, Copy, Debug)]
pub(super) struct Edge {
    pub slot: Slot,
    pub wait_no: u64,
    pub on_failure: OnBlockerFailure,
}

/// What is counted of a kind over all its queues.
#[derive(Debug)]
pub(super) struct Kind {
    pub name: Name,
    pub lanes: HashMap<Name, usize>,
    pub running: u32,
    pub running_in: HashMap<Name, u32>,
}

impl Task {
    pub fn record(&self) -> Record {
        Record { spec: self.spec.clone(), status: self.status.clone() }
    }

    pub fn bytes(&self) -> u64 {
        (self.spec.input.len() + self.status.output.as_ref().map_or(0, |output| output.len())) as u64
    }
}

impl Book {
    pub fn find(&self, id: &TaskId) -> Option<&Task> {
        self.by_id.get(id).map(|&slot| &self.tasks[slot])
    }

    /// Tasks in the order of their creation: of a workflow, or all.
    pub fn serials_of(&self, flow: Option<&Name>) -> &BTreeMap<u64, Slot> {
        static NONE: BTreeMap<u64, Slot> = BTreeMap::new();
        flow.map_or(&self.serials, |flow| self.flows.get(flow).unwrap_or(&NONE))
    }

    pub fn lane(&mut self, queue: &Name, name: &Name) -> usize {
        if let Some(lane) = self.lanes.get(self.latest_lane)
            && lane.queue == *queue
            && self.kinds[lane.kind].name == *name
        {
            return self.latest_lane;
        }
        self.latest_lane = self.find_lane(queue, name);
        self.latest_lane
    }

    fn find_lane(&mut self, queue: &Name, name: &Name) -> usize {
        let kind = self.kind_of.get(name).copied().unwrap_or_else(|| {
            let kind =
                Kind { name: name.clone(), lanes: HashMap::new(), running: 0, running_in: HashMap::new() };
            let kind = self.kinds.insert(kind);
            self.kind_of.insert(name.clone(), kind);
            kind
        });
        if let Some(&lane) = self.kinds[kind].lanes.get(queue) {
            return lane;
        }
        let lane = self.lanes.insert(Lane::new(queue.clone(), kind, self.cells.is_paused(queue)));
        self.kinds[kind].lanes.insert(queue.clone(), lane);
        lane
    }

    pub fn next_place(&mut self) -> u64 {
        self.next_place += 1;
        self.next_place
    }

    /// Puts a waiting task where it belongs at `now`.
    pub fn place(&mut self, slot: Slot, now: Millis) {
        let task = &self.tasks[slot];
        let lane = &mut self.lanes[task.lane];
        let view = match task.status.place(now) {
            Place::Blocked => View::Blocked,
            Place::Timed => {
                self.timed.insert((task.status.run_at, task.place, slot));
                View::Scheduled
            }
            Place::Ready => {
                lane.insert(slot, task.status.priority, task.place, task.spec.group.as_ref());
                View::Waiting
            }
        };
        lane.counts[view as usize] += 1;
        self.waiting += 1;
        if let Some(at) = task.expires_at {
            self.expiring.insert((at, slot));
        }
    }

    /// Takes a waiting task from where it stands.
    pub fn unplace(&mut self, slot: Slot) {
        let task = &self.tasks[slot];
        let lane = &mut self.lanes[task.lane];
        let view = if task.status.blockers > 0 {
            View::Blocked
        } else if self.timed.remove(&(task.status.run_at, task.place, slot)) {
            View::Scheduled
        } else {
            lane.remove(task.status.priority, task.place, task.spec.group.as_ref());
            View::Waiting
        };
        lane.counts[view as usize] -= 1;
        self.waiting -= 1;
        if let Some(at) = task.expires_at {
            self.expiring.remove(&(at, slot));
        }
    }

    /// Changes the state by the table and counts the transition.
    pub fn enter(&mut self, slot: Slot, cause: Cause) -> State {
        let status = &mut self.tasks[slot].status;
        let row = TRANSITIONS.iter().position(|(from, by, _)| *from == status.state && *by == cause);
        let row = row.unwrap_or_else(|| panic!("no transition from {} by {}", status.state, cause.as_str()));
        self.transitions[row] += 1;
        status.state = TRANSITIONS[row].2;
        status.cause = Some(cause);
        status.state
    }

    /// Ends a task that no index holds any more: frees its key, tells its dependents, files it.
    pub fn finish(&mut self, slot: Slot, cause: Cause, now: Millis) {
        let state = self.enter(slot, cause);
        self.next_end += 1;
        let task = &mut self.tasks[slot];
        task.status.finished_at = Some(now);
        task.status.blockers = 0;
        task.end_no = self.next_end;
        let completed = state == State::Completed;
        let dependents = std::mem::take(&mut task.dependents);
        self.cascades.extend(dependents.into_iter().map(|edge| (edge, completed)));
        self.ended[file_of(state)].push(task.end_no, slot, task.bytes());
        self.lanes[task.lane].counts[task.status.view(now) as usize] += 1;
        self.free_key(slot, now);
    }

    /// Takes an ended task out of its file.
    pub fn unfile(&mut self, slot: Slot) {
        let task = &mut self.tasks[slot];
        let tasks_of_its_file = &mut self.ended[file_of(task.status.state)];
        tasks_of_its_file.remove(task.bytes());
        task.end_no = 0;
        self.lanes[task.lane].counts[task.status.view(0) as usize] -= 1;
    }

    /// Forgets an ended task.
    pub fn forget(&mut self, slot: Slot) {
        self.unfile(slot);
        let task = self.tasks.remove(slot);
        self.by_id.remove(&task.spec.id);
        self.serials.remove(&task.serial);
        if let Some(flow) = &task.spec.flow
            && let Some(serials) = self.flows.get_mut(flow)
        {
            serials.remove(&task.serial);
            if serials.is_empty() {
                self.flows.remove(flow);
            }
        }
        let lane = &self.lanes[task.lane];
        if lane.is_empty() {
            let kind = lane.kind;
            self.kinds[kind].lanes.remove(&lane.queue);
            self.lanes.remove(task.lane);
            if self.kinds[kind].lanes.is_empty() {
                self.kind_of.remove(&self.kinds.remove(kind).name);
            }
        }
    }

    /// Takes a running task from its node.
    pub fn let_go(&mut self, slot: Slot) {
        let task = &mut self.tasks[slot];
        let lane = &mut self.lanes[task.lane];
        lane.counts[View::Running as usize] -= 1;
        let kind = &mut self.kinds[lane.kind];
        kind.running -= 1;
        if let Some(group) = &task.spec.group
            && let Some(running) = kind.running_in.get_mut(group)
        {
            *running -= 1;
            if *running == 0 {
                kind.running_in.remove(group);
            }
        }
        let owner: NodeId = task.status.owner.take().expect("a running task has an owner");
        self.nodes.let_go(&owner, task.status.epoch);
    }
}

/// Which file of ended tasks a state belongs to.
fn file_of(state: State) -> usize {
    match state {
        State::Completed => 0,
        State::Failed => 1,
        State::Cancelled => 2,
        State::Waiting | State::Running => unreachable!("only ended tasks are filed"),
    }
}
