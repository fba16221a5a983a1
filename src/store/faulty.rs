//! A store that fails on purpose; for tests of what must survive it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{
    Advance, Amend, Amended, Answer, Cell, Counts, Due, Found, Node, NodeId, Page, Pulse, Push, Pushed,
    Query, Refusal, Retention, Store, StoreError, Swap, Target, Turn,
};
use crate::task::{Claimed, Name, TaskId};

/// What happens to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    None,
    /// It fails before it has done anything.
    Before,
    /// It does everything, and then its answer is lost.
    After,
}

/// Decides about call number n (0, 1, ...).
pub type Plan = Box<dyn Fn(u64) -> Fault + Send + Sync>;

/// Wraps a store and makes calls fail as planned.
pub struct Faulty<S> {
    inner: Arc<S>,
    plan: Plan,
    calls: AtomicU64,
}

impl<S: Store> Faulty<S> {
    /// `inner`, with every call going by `plan`.
    pub fn new(inner: Arc<S>, plan: Plan) -> Self {
        Self { inner, plan, calls: AtomicU64::new(0) }
    }

    /// `inner`, whose n-th call (0, 1, ...) has this fault, and no other.
    pub fn nth(inner: Arc<S>, n: u64, fault: Fault) -> Self {
        Self::new(inner, Box::new(move |call| if call == n { fault } else { Fault::None }))
    }

    /// Calls so far.
    pub fn calls(&self) -> u64 {
        self.calls.load(Ordering::SeqCst)
    }

    fn pass<'a, T: Send + 'a>(&'a self, call: impl FnOnce(&'a S) -> Answer<'a, T>) -> Answer<'a, T> {
        let lost = || StoreError::Unreachable("on purpose".into());
        match (self.plan)(self.calls.fetch_add(1, Ordering::SeqCst)) {
            Fault::None => call(&self.inner),
            Fault::Before => Box::pin(std::future::ready(Err(lost()))),
            Fault::After => {
                let answer = call(&self.inner);
                Box::pin(async move { answer.await.and_then(|_| Err(lost())) })
            }
        }
    }
}

impl<S: Store> Store for Faulty<S> {
    fn push(&self, pushes: Arc<[Push]>) -> Answer<'_, Vec<Result<Vec<Pushed>, Refusal>>> {
        self.pass(|store| store.push(pushes))
    }
    fn advance(&self, step: Arc<Advance>) -> Answer<'_, Arc<Turn>> {
        self.pass(|store| store.advance(step))
    }
    fn orphans(&self, nodes: Vec<NodeId>, max: usize) -> Answer<'_, Vec<Claimed>> {
        self.pass(|store| store.orphans(nodes, max))
    }
    fn due(&self, max: usize) -> Answer<'_, Due> {
        self.pass(|store| store.due(max))
    }
    fn amend(&self, target: Target, change: Amend) -> Answer<'_, Amended> {
        self.pass(|store| store.amend(target, change))
    }
    fn get(&self, ids: Vec<TaskId>) -> Answer<'_, Found> {
        self.pass(|store| store.get(ids))
    }
    fn list(&self, query: Query) -> Answer<'_, Page> {
        self.pass(|store| store.list(query))
    }
    fn counts(&self, queue: Option<Name>) -> Answer<'_, Counts> {
        self.pass(|store| store.counts(queue))
    }
    fn prune(&self, limits: Retention, max: usize) -> Answer<'_, usize> {
        self.pass(|store| store.prune(limits, max))
    }
    fn swap(&self, swap: Swap) -> Answer<'_, Result<(), Option<Cell>>> {
        self.pass(|store| store.swap(swap))
    }
    fn read(&self, key: Name) -> Answer<'_, Option<Cell>> {
        self.pass(|store| store.read(key))
    }
    fn changed(&self) -> Answer<'_, ()> {
        self.inner.changed()
    }
    fn pulse(&self, node: NodeId) -> Answer<'_, Pulse> {
        self.pass(|store| store.pulse(node))
    }
    fn leave(&self, node: NodeId) -> Answer<'_, ()> {
        self.pass(|store| store.leave(node))
    }
    fn nodes(&self) -> Answer<'_, Vec<Node>> {
        self.pass(|store| store.nodes())
    }
}
