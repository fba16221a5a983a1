//! What the checks have in common: a store, nodes that count their turns, and short words for frequent calls.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use crate::store::{
    Advance, Amend, Amended, Claims, Filter, LaneClaim, NodeId, Page, Pulse, Push, Pushed, Query, Refusal,
    Settled, Store, Swap, Target, Turn, pause_cell,
};
use crate::store::{Cell, Counts};
use crate::task::{
    Blockers, Cause, Claimed, Conflict, Failure, Key, Name, OnBlockerFailure, Outcome, Quiet, Record, Rules,
    Settlement, Spec, State, TaskId, settle,
};
use crate::time::Millis;

use super::Fixture;

/// The kind of nearly all tasks here.
pub const KIND: &str = "work";

/// Longer than any check takes on a store whose clock cannot be moved.
pub const LONG: Millis = 3_600_000;

pub struct Stage {
    fixture: Box<dyn Fixture>,
    turns: Mutex<HashMap<NodeId, u64>>,
}

impl Stage {
    pub fn new(fixture: Box<dyn Fixture>) -> Self {
        Self { fixture, turns: Mutex::default() }
    }

    pub fn verify(&self) {
        self.fixture.verify().expect("the store contradicts itself");
    }

    pub fn store(&self) -> &dyn Store {
        self.fixture.store()
    }

    pub fn lease(&self) -> Millis {
        self.fixture.lease()
    }

    pub async fn pass(&self, time: Millis) {
        self.fixture.pass(time).await;
    }

    /// The store's clock.
    pub async fn now(&self) -> Millis {
        self.list(Query::default()).await.now
    }

    /// Pushes that have to be accepted.
    pub async fn push(&self, specs: Vec<Spec>) -> Vec<Pushed> {
        self.offer(Push::of(specs)).await.expect("the push is accepted")
    }

    /// A push that may be refused.
    pub async fn offer(&self, push: Push) -> Result<Vec<Pushed>, Refusal> {
        let mut answers = self.store().push(Arc::new([push])).await.expect("the store works");
        assert_eq!(answers.len(), 1, "one answer for each push");
        answers.remove(0)
    }

    /// Pushes one task that has to be new.
    pub async fn add(&self, spec: Spec) -> TaskId {
        let pushed = self.push(vec![spec]).await.remove(0);
        assert!(pushed.created, "task {} is new", pushed.id);
        pushed.id
    }

    pub async fn refused(&self, specs: Vec<Spec>) -> Refusal {
        self.offer(Push::of(specs)).await.expect_err("the push is refused")
    }

    /// The next turn of a node.
    pub fn turn_of(&self, node: &str) -> u64 {
        let mut turns = self.turns.lock().expect("no check panics here");
        let turn = turns.entry(node.into()).or_default();
        *turn += 1;
        *turn
    }

    pub async fn step(&self, node: &str, settlements: Vec<Settlement>, claims: Claims) -> Arc<Turn> {
        self.repeat(&Arc::new(Advance {
            node: node.into(),
            turn_no: self.turn_of(node),
            settlements,
            claims,
        }))
        .await
    }

    /// Sends a step, perhaps not for the first time.
    pub async fn repeat(&self, step: &Arc<Advance>) -> Arc<Turn> {
        self.store().advance(step.clone()).await.expect("the store works")
    }

    /// Up to `max` tasks of `KIND`, from all queues.
    pub async fn claim(&self, node: &str, max: u32) -> Vec<Claimed> {
        self.claim_lanes(node, vec![LaneClaim::of(KIND, max)]).await
    }

    pub async fn claim_lanes(&self, node: &str, lanes: Vec<LaneClaim>) -> Vec<Claimed> {
        let claims = Claims { max: 10_000, lanes };
        self.step(node, Vec::new(), claims).await.claimed.clone()
    }

    /// One task that has to be there.
    pub async fn claim_one(&self, node: &str) -> Claimed {
        let mut claimed = self.claim(node, 1).await;
        assert_eq!(claimed.len(), 1, "a task is ready");
        claimed.remove(0)
    }

    pub async fn settle(&self, node: &str, settlements: Vec<Settlement>) -> Vec<Settled> {
        self.step(node, settlements, Claims::default()).await.settled.clone()
    }

    /// Settles one run that has to be current.
    pub async fn end(&self, node: &str, run: &Claimed, outcome: Outcome) -> Cause {
        match self.settle(node, vec![fate(run, outcome)]).await[..] {
            [Settled::Applied(cause)] => cause,
            ref other => panic!("{other:?} for the current run of {}", run.spec.id),
        }
    }

    /// Claims and completes the one task that is ready.
    pub async fn run_one(&self, node: &str) -> TaskId {
        let run = self.claim_one(node).await;
        self.end(node, &run, done()).await;
        run.spec.id.clone()
    }

    /// Lets a node work off what is left to do; answers what ended by it.
    pub async fn drain(&self, node: &str) -> Vec<TaskId> {
        let mut ended = Vec::new();
        loop {
            let turn = self.step(node, Vec::new(), Claims::default()).await;
            ended.extend(turn.ended.iter().cloned());
            if !turn.more {
                return ended;
            }
        }
    }

    pub async fn find(&self, id: &TaskId) -> Option<Record> {
        let mut records = self.store().get(vec![id.clone()]).await.expect("the store works").records;
        assert_eq!(records.len(), 1, "one answer for each id");
        records.remove(0)
    }

    pub async fn get(&self, id: &TaskId) -> Record {
        self.find(id).await.unwrap_or_else(|| panic!("task {id} is there"))
    }

    pub async fn state(&self, id: &TaskId) -> State {
        self.get(id).await.status.state
    }

    /// The state and the transition that led there.
    pub async fn fate(&self, id: &TaskId) -> (State, Option<Cause>) {
        let status = self.get(id).await.status;
        (status.state, status.cause)
    }

    pub async fn amend(&self, id: &TaskId, change: Amend) -> Amended {
        self.store().amend(Target::Ids(vec![id.clone()]), change).await.expect("the store works")
    }

    /// Amends by filter until nothing is left to change; answers what was changed.
    pub async fn amend_all(&self, filter: Filter, change: Amend) -> Vec<TaskId> {
        let mut changed = Vec::new();
        loop {
            let target = Target::Filter(filter.clone());
            let amended = self.store().amend(target, change.clone()).await.expect("the store works");
            assert!(amended.changed.len() <= 1000, "a step changes at most 1000");
            changed.extend(amended.changed);
            if !amended.more {
                return changed;
            }
        }
    }

    pub async fn pulse(&self, node: &str) -> Pulse {
        self.store().pulse(node.into()).await.expect("the store works")
    }

    pub async fn list(&self, query: Query) -> Page {
        self.store().list(query).await.expect("the store works")
    }

    pub async fn counts(&self) -> Counts {
        self.store().counts(None).await.expect("the store works")
    }

    pub async fn swap(&self, key: &str, old: Option<&str>, new: Option<Cell>) -> Result<(), Option<Cell>> {
        self.store().swap(change(key, old, new)).await.expect("the store works")
    }

    pub async fn pause(&self, queue: &str) {
        self.swap(&pause_cell(queue), None, Some(cell("1", None))).await.expect("the queue was not paused");
    }
}

/// A task with an id of its own, as a caller gives it.
pub fn spec(id: &str) -> Spec {
    Spec { id: TaskId::from(id), minted: false, ..Spec::new(KIND, "null") }
}

/// Ready tasks `prefix-0`, `prefix-1`, ...
pub fn specs(prefix: &str, count: usize) -> Vec<Spec> {
    (0..count).map(|n| spec(&format!("{prefix}-{n}"))).collect()
}

pub fn keyed(id: &str, conflict: Conflict) -> Spec {
    quiet(id, conflict, Quiet::Off)
}

pub fn quiet(id: &str, conflict: Conflict, quiet: Quiet) -> Spec {
    Spec { key: Some(Key { text: "key".into(), conflict, quiet }), ..spec(id) }
}

pub fn after(id: &str, blockers: &[&str]) -> Spec {
    blocked(id, blockers, OnBlockerFailure::Cancel)
}

pub fn blocked(id: &str, blockers: &[&str], on_failure: OnBlockerFailure) -> Spec {
    let ids = blockers.iter().map(|id| TaskId::from(*id)).collect();
    Spec { blockers: Some(Blockers { ids, on_failure }), ..spec(id) }
}

/// What the engine would decide.
pub fn fate(run: &Claimed, outcome: Outcome) -> Settlement {
    settle(&run.standing(), &outcome, &Rules::default())
}

pub fn done() -> Outcome {
    Outcome::Ok("\"done\"".into())
}

pub fn failure() -> Outcome {
    Outcome::Error(Arc::new(Failure::new("Error", "it went wrong")))
}

pub fn cell(value: &str, due_at: Option<Millis>) -> Cell {
    Cell { value: value.into(), due_at }
}

pub fn change(key: &str, old: Option<&str>, new: Option<Cell>) -> Swap {
    Swap { key: Name::from(key), old: old.map(Into::into), new }
}

pub fn ids<'a>(tasks: impl IntoIterator<Item = &'a Claimed>) -> Vec<String> {
    tasks.into_iter().map(|task| task.spec.id.to_string()).collect()
}

pub fn id(text: &str) -> TaskId {
    TaskId::from(text)
}
