//! Nodes: who lives, what they run, and the last answer to each, so that a lost reply can be given again.
//!
//! Invariant: `running` holds exactly the running tasks whose owner is this node, by epoch. Those up to
//! `orphaned_to` have been given up, even if the node has come back since: it has been told to drop them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use crate::store::{NodeId, Pulse, Turn};
use crate::task::Claimed;
use crate::time::Millis;

use super::book::{Book, Task};
use super::lane::Slot;

#[derive(Default)]
pub(super) struct Nodes {
    by_id: HashMap<NodeId, Node>,
    /// The latest beat of anybody.
    pulsed_at: Millis,
}

pub(super) struct Node {
    pub last: Option<(u64, Arc<Turn>)>,
    pub running: BTreeMap<u64, Slot>,
    beat_at: Millis,
    declared_dead: bool,
    orphaned_to: u64,
    /// Runs that should stop, told at every beat until they end: an answer may get lost.
    stop: BTreeSet<u64>,
}

impl Nodes {
    pub fn get(&self, id: &str) -> Option<&Node> {
        self.by_id.get(id)
    }

    pub fn entry(&mut self, id: &NodeId, now: Millis) -> &mut Node {
        let (last, running, stop) = Default::default();
        let new = || Node { last, running, beat_at: now, declared_dead: false, orphaned_to: 0, stop };
        self.by_id.entry(id.clone()).or_insert_with(new)
    }

    pub fn let_go(&mut self, id: &str, epoch: u64) {
        if let Some(node) = self.by_id.get_mut(id) {
            node.running.remove(&epoch);
            node.stop.remove(&epoch);
        }
    }

    pub fn ask_to_stop(&mut self, id: &str, epoch: u64) {
        if let Some(node) = self.by_id.get_mut(id) {
            node.stop.insert(epoch);
        }
    }

    pub fn leave(&mut self, id: &str) {
        if self.by_id.get(id).is_some_and(|node| node.running.is_empty()) {
            self.by_id.remove(id);
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = (&NodeId, &Node)> {
        self.by_id.iter()
    }

    fn beat(&mut self, id: &NodeId, now: Millis, lease: Millis) {
        if now.saturating_sub(self.pulsed_at) > lease / 2 {
            // Nobody has beaten for so long: more likely a suspend or a step of the clock than the death of
            // all, so nobody is declared dead for it.
            self.by_id.values_mut().for_each(|node| node.beat_at = now);
        }
        self.pulsed_at = now;
        self.entry(id, now).beat_at = now;
    }

    fn dead(&mut self, epoch: u64, now: Millis, lease: Millis) -> Vec<NodeId> {
        let mut dead = Vec::new();
        self.by_id.retain(|id, node| {
            let is_silent = now.saturating_sub(node.beat_at) > lease;
            let Some((&oldest, _)) = node.running.first_key_value() else { return !is_silent };
            if is_silent {
                node.declared_dead = true;
                node.orphaned_to = epoch;
            }
            if oldest <= node.orphaned_to {
                dead.push(id.clone());
            }
            true
        });
        dead.sort();
        dead
    }
}

impl Book {
    pub fn pulse(&mut self, id: &NodeId, now: Millis, lease: Millis) -> Pulse {
        self.nodes.beat(id, now, lease);
        let dead = self.nodes.dead(self.epoch, now, lease);
        let node = self.nodes.entry(id, now);
        let declared_dead = std::mem::take(&mut node.declared_dead);
        let stop: Vec<u64> = node.stop.iter().copied().collect();
        let slots = stop.into_iter().filter_map(|epoch| Some((epoch, *node.running.get(&epoch)?)));
        let stop = slots.filter_map(|(epoch, slot)| {
            let task = &self.tasks[slot];
            Some((task.spec.id.clone(), epoch, task.status.cancel.clone()?))
        });
        Pulse { now, dead, stop: stop.collect(), paused: self.cells.paused(), declared_dead, trouble: None }
    }

    pub fn node_list(&self) -> Vec<crate::store::Node> {
        let host = crate::store::host();
        let told = |(id, node): (&NodeId, &Node)| crate::store::Node {
            id: id.clone(),
            host: host.clone(),
            pid: std::process::id(),
            running: node.running.len() as u64,
            beat_at: node.beat_at,
        };
        let mut nodes: Vec<_> = self.nodes.iter().map(told).collect();
        nodes.sort_by(|a, b| a.id.cmp(&b.id));
        nodes
    }

    pub fn orphans(&self, nodes: &[NodeId], max: usize, now: Millis) -> Vec<Claimed> {
        let nodes = nodes.iter().filter_map(|id| self.nodes.get(id));
        let slots = nodes.flat_map(|node| node.running.range(..=node.orphaned_to).map(|(_, slot)| *slot));
        slots.take(max).map(|slot| claimed(&self.tasks[slot], now)).collect()
    }
}

/// A running task as its node sees it.
pub(super) fn claimed(task: &Task, now: Millis) -> Claimed {
    let status = &task.status;
    Claimed {
        spec: task.spec.clone(),
        epoch: status.epoch,
        priority: status.priority,
        failures: status.failures,
        losses: status.losses,
        elapsed: now.saturating_sub(status.first_started_at.unwrap_or(now)),
    }
}
