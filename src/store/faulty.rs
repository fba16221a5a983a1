//! A store that fails, dawdles or never answers, on purpose; for tests of what must survive it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::{
    Advance, Amend, Amended, Answer, Cell, Counts, Due, Found, Node, NodeId, Page, Pulse, Push, Pushed,
    Query, Refusal, Retention, Store, StoreError, Swap, Target, Turn,
};
use crate::task::{Claimed, Name, NoteKind, Noted, Notes, TaskId, Unnoted};
use crate::time::Millis;

/// What happens to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    None,
    /// It fails before it has done anything.
    Before,
    /// It fails for lack of room before it has done anything.
    Full,
    /// It does everything, and then its answer is lost.
    After,
    /// It is done after this time; needs a tokio runtime.
    Slow(Millis),
    /// It is never done, and never answered.
    Never,
}

/// A method of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the methods of the trait, by their names")]
pub enum Method {
    Push,
    Advance,
    Orphans,
    Due,
    Amend,
    Note,
    Notes,
    Get,
    List,
    Counts,
    Prune,
    Swap,
    Read,
    Cells,
    Pulse,
    Leave,
    Nodes,
}

/// Decides about call number n (0, 1, ...).
pub type Plan = Box<dyn Fn(u64) -> Fault + Send + Sync>;

/// Decides about a call of this method, as the n-th of all calls (0, 1, ...).
pub type MethodPlan = Box<dyn Fn(Method, u64) -> Fault + Send + Sync>;

/// Wraps a store and makes calls fail as planned.
pub struct Faulty<S> {
    inner: Arc<S>,
    plan: MethodPlan,
    calls: AtomicU64,
}

impl<S: Store> Faulty<S> {
    /// `inner`, with every call going by `plan`.
    pub fn new(inner: Arc<S>, plan: Plan) -> Self {
        Self::by_method(inner, Box::new(move |_, call| plan(call)))
    }

    /// `inner`, with the calls of each method going by `plan`.
    pub fn by_method(inner: Arc<S>, plan: MethodPlan) -> Self {
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

    fn pass<'a, T: Send + 'a>(
        &'a self,
        method: Method,
        call: impl FnOnce(&'a S) -> Answer<'a, T> + Send + 'a,
    ) -> Answer<'a, T> {
        let lost = || StoreError::Unreachable("on purpose".into());
        match (self.plan)(method, self.calls.fetch_add(1, Ordering::SeqCst)) {
            Fault::None => call(&self.inner),
            Fault::Before => Box::pin(std::future::ready(Err(lost()))),
            Fault::Full => Box::pin(std::future::ready(Err(StoreError::Full("on purpose".into())))),
            Fault::Slow(length) => Box::pin(async move {
                tokio::time::sleep(Duration::from_millis(length)).await;
                call(&self.inner).await
            }),
            Fault::Never => Box::pin(std::future::pending()),
            Fault::After => {
                let answer = call(&self.inner);
                Box::pin(async move { answer.await.and_then(|_| Err(lost())) })
            }
        }
    }
}

impl<S: Store> Store for Faulty<S> {
    fn push(&self, pushes: Arc<[Push]>) -> Answer<'_, Vec<Result<Vec<Pushed>, Refusal>>> {
        self.pass(Method::Push, move |store| store.push(pushes))
    }
    fn advance(&self, step: Arc<Advance>) -> Answer<'_, Arc<Turn>> {
        self.pass(Method::Advance, move |store| store.advance(step))
    }
    fn orphans(&self, nodes: Vec<NodeId>, max: usize) -> Answer<'_, Vec<Claimed>> {
        self.pass(Method::Orphans, move |store| store.orphans(nodes, max))
    }
    fn due(&self, max: usize) -> Answer<'_, Due> {
        self.pass(Method::Due, move |store| store.due(max))
    }
    fn amend(&self, target: Target, change: Amend) -> Answer<'_, Amended> {
        self.pass(Method::Amend, move |store| store.amend(target, change))
    }
    fn note(&self, notes: Arc<[Noted]>) -> Answer<'_, Vec<Result<(), Unnoted>>> {
        self.pass(Method::Note, move |store| store.note(notes))
    }
    fn notes(&self, ids: Vec<TaskId>, kind: NoteKind) -> Answer<'_, Vec<Notes>> {
        self.pass(Method::Notes, move |store| store.notes(ids, kind))
    }
    fn get(&self, ids: Vec<TaskId>) -> Answer<'_, Found> {
        self.pass(Method::Get, move |store| store.get(ids))
    }
    fn list(&self, query: Query) -> Answer<'_, Page> {
        self.pass(Method::List, move |store| store.list(query))
    }
    fn counts(&self, queue: Option<Name>) -> Answer<'_, Counts> {
        self.pass(Method::Counts, move |store| store.counts(queue))
    }
    fn prune(&self, limits: Retention, max: usize) -> Answer<'_, usize> {
        self.pass(Method::Prune, move |store| store.prune(limits, max))
    }
    fn swap(&self, swap: Swap) -> Answer<'_, Result<(), Option<Cell>>> {
        self.pass(Method::Swap, move |store| store.swap(swap))
    }
    fn read(&self, key: Name) -> Answer<'_, Option<Cell>> {
        self.pass(Method::Read, move |store| store.read(key))
    }
    fn cells(&self, prefix: Name, after: Option<Name>, max: usize) -> Answer<'_, Vec<(Name, Cell)>> {
        self.pass(Method::Cells, move |store| store.cells(prefix, after, max))
    }
    fn changed(&self) -> Answer<'_, ()> {
        self.inner.changed()
    }
    fn pulse(&self, node: NodeId) -> Answer<'_, Pulse> {
        self.pass(Method::Pulse, move |store| store.pulse(node))
    }
    fn leave(&self, node: NodeId) -> Answer<'_, ()> {
        self.pass(Method::Leave, move |store| store.leave(node))
    }
    fn nodes(&self) -> Answer<'_, Vec<Node>> {
        self.pass(Method::Nodes, move |store| store.nodes())
    }
}
