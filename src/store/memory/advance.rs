//! `advance`: settle, promote, expire, cascade, claim, in that order and in one step.

use std::sync::Arc;

use crate::store::plan::{BLOCKED, TAKEN};
use crate::store::{Advance, NodeId, Settled, Turn};
use crate::task::{Attempt, Cause, OnBlockerFailure, Settlement, State, TaskId};
use crate::time::Millis;

use super::STEP;
use super::book::Book;
use super::lane::Slot;

impl Book {
    pub fn advance(&mut self, step: &Advance, now: Millis) -> Arc<Turn> {
        if let Some((turn_no, turn)) = &self.nodes.entry(&step.node, now).last
            && *turn_no >= step.turn_no
        {
            return turn.clone();
        }
        let mut turn = Turn { now, ..Turn::default() };
        turn.settled = step.settlements.iter().map(|end| self.settle(end, &step.node, now)).collect();
        self.promote(now);
        // Expiries leave room for cascades, so that neither can hold up the other.
        self.expire(STEP / 2, now, &mut turn.ended);
        self.cascade(STEP - turn.ended.len(), now, &mut turn.ended);
        let reopens_at = self.claim(&step.node, &step.claims, now, &mut turn);
        let due_at = self.timed.first().map(|(at, ..)| *at);
        let expires_at = self.expiring.first().map(|(at, _)| *at);
        turn.more =
            !self.cascades.is_empty() || [due_at, expires_at].into_iter().flatten().any(|at| at <= now);
        turn.next_at = [due_at, expires_at, reopens_at].into_iter().flatten().min();
        let turn = Arc::new(turn);
        self.nodes.entry(&step.node, now).last = Some((step.turn_no, turn.clone()));
        turn
    }

    fn settle(&mut self, settlement: &Settlement, node: &NodeId, now: Millis) -> Settled {
        let Some(slot) = self.current_run(settlement, node) else { return Settled::Stale };
        let status = &self.tasks[slot].status;
        let end = settlement.clone().under(status.cancel.is_some(), status.superseded);
        self.let_go(slot);
        let task = &mut self.tasks[slot];
        task.status.failures = end.failures;
        task.status.losses = end.losses;
        if let Some(attempt) = end.attempt.clone() {
            task.status.note(Attempt { at: now, ..attempt });
        }
        if end.cause != Cause::Release {
            task.expires_at = None;
        }
        if end.state().is_final() {
            task.status.output = end.output.clone();
            if end.cause == Cause::Supersede {
                task.status.cancel = Some(TAKEN.into());
            }
            self.finish(slot, end.cause, now);
            if !end.spawn.is_empty() {
                self.spawn(end.spawn, now);
            }
        } else {
            task.status.run_at = now.saturating_add(end.delay);
            self.enter(slot, end.cause);
            if end.cause != Cause::Release {
                self.tasks[slot].place = self.next_place();
            }
            self.place(slot, now);
        }
        Settled::Applied(end.cause)
    }

    /// The task that a settlement is for, if it runs under that claim.
    fn current_run(&self, end: &Settlement, node: &NodeId) -> Option<Slot> {
        // Most ends come from the node that has claimed, whose few runs are found sooner than the id.
        let own = self.nodes.get(node).and_then(|node| node.running.get(&end.epoch));
        let slot = *own.or_else(|| self.by_id.get(&end.id))?;
        let task = &self.tasks[slot];
        let is_current = task.status.state == State::Running && task.status.epoch == end.epoch;
        (is_current && task.spec.id == end.id).then_some(slot)
    }

    /// Makes due tasks ready.
    fn promote(&mut self, now: Millis) {
        for _ in 0..STEP {
            match self.timed.first() {
                Some(&(at, _, slot)) if at <= now => {
                    self.unplace(slot);
                    self.place(slot, now);
                }
                _ => return,
            }
        }
    }

    fn expire(&mut self, max: usize, now: Millis, ended: &mut Vec<TaskId>) {
        for _ in 0..max {
            match self.expiring.first() {
                Some(&(at, slot)) if at <= now => self.expire_one(slot, now, ended),
                _ => return,
            }
        }
    }

    pub fn expire_one(&mut self, slot: Slot, now: Millis, ended: &mut Vec<TaskId>) {
        self.unplace(slot);
        let task = &mut self.tasks[slot];
        task.expires_at = None;
        let number = task.status.failures + 1;
        task.status.note(Attempt { at: now, ..Attempt::expired(number) });
        ended.push(task.spec.id.clone());
        self.finish(slot, Cause::Expire, now);
    }

    /// Tells up to `max` dependents of ended tasks.
    pub fn cascade(&mut self, max: usize, now: Millis, ended: &mut Vec<TaskId>) {
        for _ in 0..max {
            let Some((edge, completed)) = self.cascades.pop_front() else { return };
            let slot = edge.slot;
            let waits = |task: &super::book::Task| {
                task.wait_no == edge.wait_no && task.status.state == State::Waiting
            };
            if !self.tasks.get(slot).is_some_and(waits) {
                continue;
            }
            self.unplace(slot);
            if completed || edge.on_failure == OnBlockerFailure::Run {
                self.tasks[slot].status.blockers -= 1;
                self.place(slot, now);
            } else {
                self.tasks[slot].status.cancel = Some(BLOCKED.into());
                ended.push(self.tasks[slot].spec.id.clone());
                self.finish(slot, Cause::Block, now);
            }
        }
    }
}
