//! What a world is held against, beyond what every call to its store is.

use std::collections::{BTreeMap, BTreeSet};

use task::task::{Record, State, TaskId, View};
use task::time::Millis;

use super::node::{Around, CANCEL_GRACE, Handler, Node, STALL_LIMIT};
use super::world::World;

/// How late anything may be in the calm.
const LATE: Millis = 1500;

impl World {
    fn records(&self) -> Vec<Record> {
        self.truth.book().tasks.iter().filter_map(|id| self.truth.get(id)).collect()
    }

    /// Tasks that have neither ended nor a reason to wait.
    pub fn unfinished(&self) -> Vec<Record> {
        let records = self.records();
        let mut parked: BTreeSet<TaskId> = BTreeSet::new();
        let is_parked = |record: &Record| {
            record.status.state == State::Waiting
                && (&*record.spec.name == "nobody" || self.truth.is_paused(&record.spec.queue))
        };
        parked.extend(records.iter().filter(|record| is_parked(record)).map(|record| record.spec.id.clone()));
        // Whoever waits for a parked task is parked too.
        loop {
            let waits = |record: &&Record| {
                let blockers = record.spec.blockers.iter().flat_map(|blockers| &blockers.ids);
                record.status.blockers > 0 && blockers.into_iter().any(|id| parked.contains(id))
            };
            let more: Vec<TaskId> =
                records.iter().filter(waits).map(|record| record.spec.id.clone()).collect();
            let before = parked.len();
            parked.extend(more);
            if parked.len() == before {
                break;
            }
        }
        let is_over = |record: &Record| record.status.state.is_final() || parked.contains(&record.spec.id);
        records.into_iter().filter(|record| !is_over(record)).collect()
    }

    /// In the calm nobody waits much longer than is said: a ready task for an idle node, an expired one for
    /// its end.
    pub fn judge_lateness(&mut self) -> Result<(), String> {
        let (at, now) = (self.at, self.at + self.leapt);
        if !self.nodes.last().is_some_and(Node::is_idle) {
            self.idle_since = at;
        }
        let mut ready = BTreeMap::new();
        for record in self.records().iter().filter(|record| record.status.state == State::Waiting) {
            let (spec, status) = (&record.spec, &record.status);
            let is_new = status.cause.is_none();
            if is_new && spec.expires_at.is_some_and(|last| now > last + LATE) && at > self.calm_since + LATE
            {
                return Err(format!("{} does not expire", spec.id));
            }
            if status.view(now) == View::Waiting
                && &*spec.name == "plain"
                && !self.truth.is_paused(&spec.queue)
            {
                let since = self.ready_since.get(&spec.id).copied().unwrap_or(at);
                if at > since.max(self.idle_since) + LATE {
                    return Err(format!("{} is ready and a node is idle", spec.id));
                }
                ready.insert(spec.id.clone(), since);
            }
        }
        self.ready_since = ready;
        Ok(())
    }

    /// What was acknowledged is there, and nothing was delivered too often.
    pub fn judge_tasks(&self) -> Result<(), String> {
        let book = self.truth.book();
        for id in self.acknowledged.iter().filter(|id| book.tasks.contains(id)) {
            let record = self.truth.get(id).ok_or_else(|| format!("{id} was acknowledged and is gone"))?;
            book.bounded(&record, self.max_losses)?;
        }
        Ok(())
    }
}

impl Node {
    /// No attempt outlives its timeout unnoticed while its node is awake.
    pub fn judge_times(&self, at: Millis) -> Result<(), String> {
        let late = |handler: &&Handler| {
            let limit = handler.start.spec.timeout.unwrap_or(Millis::MAX);
            handler.is_current() && at > handler.begun_at.saturating_add(limit).saturating_add(1)
        };
        // A blocked host hears of it when it comes back.
        match self.handlers.iter().find(late).filter(|_| at >= self.blocked_until) {
            Some(handler) => {
                Err(format!("{} has outlived its timeout on {}", handler.start.spec.id, self.name))
            }
            None => Ok(()),
        }
    }

    /// No handler goes on as if nothing had happened whose run this very node has settled: whoever runs the
    /// task next would overlap with it. What others have settled as lost is another matter. And no run is held
    /// for a handler that does not stop, or for a host that hangs.
    pub fn judge_claims(&self, around: &Around<'_>) -> Result<(), String> {
        let (at, name) = (around.at, &self.name);
        let listens = at >= self.blocked_until;
        let hangs = self.called_at.is_some_and(|called_at| at > called_at + STALL_LIMIT + 1);
        let book = around.truth.book();
        for handler in &self.handlers {
            let claim = book.claims.get(&handler.epoch).ok_or("a handler runs without a claim")?;
            let (id, end) = (&claim.id, claim.end);
            if listens && handler.is_current() && claim.ended_by.as_ref() == Some(name) {
                return Err(format!("{name} has settled {id} ({end:?}) and its handler goes on"));
            }
            let stopped_at = handler.stopped.as_ref().map_or(Millis::MAX - CANCEL_GRACE - 1, |(_, at)| *at);
            // Its store has heard of it, unless it is failing.
            if end.is_none() && at >= self.retry_at && (hangs || at > stopped_at + CANCEL_GRACE + 1) {
                return Err(format!("{name} holds {id}, which does not stop"));
            }
        }
        Ok(())
    }
}
