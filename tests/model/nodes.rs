//! The reference's nodes and operators.

use task::store::{Amend, Filter, NodeId, Target};
use task::task::{Blockers, Cause, OnBlockerFailure, State, TaskId};
use task::time::Millis;

use super::reference::Reference;

#[derive(Clone)]
pub struct Node {
    pub id: NodeId,
    beat_at: Millis,
    declared_dead: bool,
    /// Claims up to this one have been given up.
    given_up_to: u64,
}

/// What a beat brings: the dead, what should stop, whether the node had been found dead.
pub type Beat = (Vec<NodeId>, Vec<(TaskId, u64)>, bool);

/// What an amendment does: changed, stopping, ended.
#[derive(Debug, Default, PartialEq)]
pub struct Amendment {
    pub changed: Vec<TaskId>,
    pub stopping: Vec<(TaskId, u64)>,
    pub ended: Vec<TaskId>,
}

impl Reference {
    /// Knows a node from its first word on.
    pub fn meet(&mut self, id: &NodeId) {
        if !self.nodes.iter().any(|node| node.id == *id) {
            let node = Node { id: id.clone(), beat_at: self.now, declared_dead: false, given_up_to: 0 };
            self.nodes.push(node);
        }
    }

    /// Claims of a node, oldest first.
    fn claims_of(&self, id: &NodeId) -> Vec<(u64, usize)> {
        let owned = self.tasks.iter().enumerate().filter(|(_, task)| task.status.owner.as_ref() == Some(id));
        let mut claims: Vec<_> = owned.map(|(at, task)| (task.status.epoch, at)).collect();
        claims.sort();
        claims
    }

    pub fn pulse(&mut self, id: &NodeId) -> Beat {
        self.meet(id);
        let all_were_silent = self.now - self.pulsed_at > self.lease / 2;
        self.pulsed_at = self.now;
        for node in &mut self.nodes {
            if all_were_silent || node.id == *id {
                node.beat_at = self.now;
            }
        }
        let mut dead = Vec::new();
        let mut nodes = std::mem::take(&mut self.nodes);
        nodes.retain_mut(|node| {
            let is_silent = self.now - node.beat_at > self.lease;
            let claims = self.claims_of(&node.id);
            if is_silent && !claims.is_empty() {
                (node.declared_dead, node.given_up_to) = (true, self.epoch);
            }
            if claims.iter().any(|(epoch, _)| *epoch <= node.given_up_to) {
                dead.push(node.id.clone());
            }
            !is_silent || !claims.is_empty()
        });
        self.nodes = nodes;
        dead.sort();
        let node = self.nodes.iter_mut().find(|node| node.id == *id).expect("it has just beaten");
        let declared_dead = std::mem::take(&mut node.declared_dead);
        let stop = self.claims_of(id).into_iter().filter(|(_, at)| self.tasks[*at].status.cancel.is_some());
        let stop = stop.map(|(epoch, at)| (self.tasks[at].spec.id.clone(), epoch)).collect();
        (dead, stop, declared_dead)
    }

    pub fn orphans(&self, nodes: &[NodeId]) -> Vec<(TaskId, u64)> {
        let known = nodes.iter().filter_map(|id| self.nodes.iter().find(|node| node.id == *id));
        let claims = known.flat_map(|node| {
            self.claims_of(&node.id).into_iter().filter(|(epoch, _)| *epoch <= node.given_up_to)
        });
        claims.map(|(epoch, at)| (self.tasks[at].spec.id.clone(), epoch)).collect()
    }

    pub fn leave(&mut self, id: &NodeId) {
        if self.claims_of(id).is_empty() {
            self.nodes.retain(|node| node.id != *id);
        }
    }

    pub fn amend(&mut self, target: &Target, change: &Amend) -> Amendment {
        let ids = match target {
            Target::Ids(ids) => ids.clone(),
            Target::Filter(filter) => {
                let mut ids = self.matching(filter);
                if matches!(change, Amend::Cancel(_) | Amend::Remove) {
                    ids.reverse();
                }
                ids
            }
        };
        let mut amended = Amendment::default();
        let in_order = matches!((target, change), (Target::Ids(_), Amend::Retry));
        let mut undone: Vec<TaskId> = Vec::new();
        for id in ids {
            let Some(at) = self.at(&id) else { continue };
            let needs = |blockers: &Blockers| {
                blockers.on_failure == OnBlockerFailure::Cancel
                    && blockers.ids.iter().any(|id| undone.contains(id))
            };
            let is_held_back = self.tasks[at].spec.blockers.as_ref().is_some_and(needs);
            if !is_held_back && self.change(at, change, &mut amended) {
                amended.changed.push(id);
            } else if in_order && matches!(self.tasks[at].status.state, State::Failed | State::Cancelled) {
                undone.push(id);
            }
        }
        if matches!(change, Amend::Retry) {
            self.tie_revived(&amended.changed);
        }
        self.tell(&mut amended.ended);
        amended.ended.sort();
        amended
    }

    /// Tasks that a filter picks, in the order of their creation.
    pub fn matching(&self, filter: &Filter) -> Vec<TaskId> {
        let found = self.tasks.iter().filter(|task| self.fits(task, filter));
        found.map(|task| task.spec.id.clone()).collect()
    }

    fn change(&mut self, at: usize, change: &Amend, amended: &mut Amendment) -> bool {
        let now = self.now;
        let task = &mut self.tasks[at];
        let (waits, runs, id) = (task.waits(), task.runs(), task.spec.id.clone());
        match change {
            Amend::Cancel(reason) if waits => {
                task.status.cancel = Some(reason.clone());
                self.finish(at, Cause::Cancel);
                amended.ended.push(id);
            }
            Amend::Cancel(reason) if runs && task.status.cancel.is_none() => {
                task.status.cancel = Some(reason.clone());
                amended.stopping.push((id, task.status.epoch));
            }
            Amend::Retry if !waits && !runs => return self.revive(at),
            Amend::Remove if !runs => {
                if waits {
                    self.finish(at, Cause::Cancel);
                    amended.ended.push(id);
                }
                self.tasks.remove(at);
            }
            Amend::Promote if waits && task.status.run_at > now => task.status.run_at = now,
            Amend::Reschedule(to) if waits && task.status.run_at != *to => task.status.run_at = *to,
            Amend::Prioritise(to) if waits && task.status.priority != *to => task.status.priority = *to,
            _ => return false,
        }
        true
    }
}
