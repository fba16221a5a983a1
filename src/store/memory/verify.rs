//! Checks every index against the tasks themselves; for tests.

use std::collections::{HashMap, HashSet};

use crate::task::{State, View};
use crate::time::Millis;

use super::book::{Book, Task};
use super::lane::Slot;
use crate::store::plan::key_of;

/// What the tasks say about the indexes.
#[derive(Default)]
struct Tally {
    counts: HashMap<usize, [u64; View::ALL.len()]>,
    running: HashMap<usize, u32>,
    ended: [(u64, u64); 3],
}

impl Book {
    pub fn verify(&self) -> Result<(), String> {
        let mut ready: HashSet<Slot> = HashSet::new();
        for (_, lane) in &self.lanes {
            ready.extend(lane.ready().map_err(|what| format!("queue {}: {what}", lane.queue))?);
        }
        let mut edges: HashMap<(Slot, u64), u32> = HashMap::new();
        let held = self.tasks.iter().flat_map(|(_, task)| &task.dependents);
        for edge in held.chain(self.cascades.iter().map(|(edge, _)| edge)) {
            *edges.entry((edge.slot, edge.wait_no)).or_default() += 1;
        }
        let mut tally = Tally::default();
        for (slot, task) in &self.tasks {
            let blockers = edges.get(&(slot, task.wait_no)).copied().unwrap_or(0);
            self.verify_task(slot, task, ready.contains(&slot), blockers, &mut tally)
                .map_err(|what| format!("task {} ({}) {what}", task.spec.id, task.status.state))?;
        }
        self.verify_sums(&tally)?;
        self.verify_keys()
    }

    fn verify_task(
        &self,
        slot: Slot,
        task: &Task,
        ready: bool,
        blockers: u32,
        tally: &mut Tally,
    ) -> Result<(), &'static str> {
        let (status, state) = (&task.status, task.status.state);
        let timed = self.timed.contains(&(status.run_at, task.place, slot));
        let owner = status.owner.as_ref().and_then(|owner| self.nodes.get(owner));
        let running = owner.is_some_and(|node| node.running.get(&status.epoch) == Some(&slot));
        let blocked = state == State::Waiting && status.blockers > 0;
        if [timed, ready, running, blocked, state.is_final()].iter().filter(|held| **held).count() != 1 {
            return Err("is not in exactly one place");
        }
        if running != (state == State::Running) || running != status.owner.is_some() {
            return Err("has an owner without running, or runs without one");
        }
        if state == State::Waiting && status.blockers != blockers {
            return Err("has a wrong number of blockers");
        }
        let expires = task.expires_at.filter(|_| state == State::Waiting);
        if expires.is_some_and(|at| !self.expiring.contains(&(at, slot))) {
            return Err("would not expire");
        }
        if state.is_final() != status.finished_at.is_some()
            || status.output.is_some() && state != State::Completed
        {
            return Err("has an end or an output without having ended");
        }
        if self.by_id.get(&task.spec.id) != Some(&slot) || self.serials.get(&task.serial) != Some(&slot) {
            return Err("cannot be found");
        }
        let of_flow = |flow| self.flows.get(flow).and_then(|serials| serials.get(&task.serial));
        if task.spec.flow.as_ref().is_some_and(|flow| of_flow(flow) != Some(&slot)) {
            return Err("cannot be found in its workflow");
        }
        let key = key_of(&task.spec).filter(|_| !state.is_final() && !status.superseded);
        if key.is_some_and(|at| self.keys.rows.get(&at).and_then(|row| row.holder) != Some(slot)) {
            return Err("does not hold its key");
        }
        let view = if timed { View::Scheduled } else { status.view(Millis::MAX) };
        tally.counts.entry(task.lane).or_default()[view as usize] += 1;
        *tally.running.entry(self.lanes[task.lane].kind).or_default() += u32::from(running);
        if state.is_final() {
            let (count, bytes) = &mut tally.ended[view as usize - View::Completed as usize];
            (*count, *bytes) = (*count + 1, *bytes + task.bytes());
        }
        Ok(())
    }

    fn verify_sums(&self, tally: &Tally) -> Result<(), String> {
        for (at, lane) in &self.lanes {
            let real = tally.counts.get(&at).copied().unwrap_or_default();
            if lane.counts != real || lane.is_empty() {
                return Err(format!("a lane of queue {} counts {:?}, has {real:?}", lane.queue, lane.counts));
            }
            if lane.paused != self.cells.is_paused(&lane.queue) {
                return Err(format!("a lane of queue {} does not know whether it is paused", lane.queue));
            }
        }
        for (at, kind) in &self.kinds {
            let real = tally.running.get(&at).copied().unwrap_or(0);
            if kind.running != real || kind.running_in.values().sum::<u32>() > real {
                return Err(format!("{} of kind {} run, {} are counted", real, kind.name, kind.running));
            }
        }
        let real: u64 = tally.counts.values().flat_map(|counts| &counts[..View::Running as usize]).sum();
        let ended = self.ended.each_ref().map(|ended| (ended.count, ended.bytes));
        if self.waiting != real || ended != tally.ended {
            return Err(format!(
                "{real} wait and {:?} have ended, {} and {ended:?} are counted",
                tally.ended, self.waiting
            ));
        }
        let running: usize = self.nodes.iter().map(|(_, node)| node.running.len()).sum();
        let expected: u32 = tally.running.values().sum();
        if running == expected as usize {
            Ok(())
        } else {
            Err(format!("nodes run {running}, {expected} run"))
        }
    }

    fn verify_keys(&self) -> Result<(), String> {
        for ((queue, key), row) in &self.keys.rows {
            let holds = |slot: &Slot| self.tasks.get(*slot).is_some_and(|task| !task.status.state.is_final());
            let after = row.after.as_ref().map(|id| self.find(id).is_some_and(|task| task.status.superseded));
            if row.holder.is_some_and(|slot| !holds(&slot)) || after == Some(false) {
                return Err(format!("key {key} of queue {queue} is held by a task that has ended"));
            }
        }
        Ok(())
    }
}
