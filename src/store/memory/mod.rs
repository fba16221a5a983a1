//! The memory store: one mutex around a slab and ordered indexes. The reference for the others.
//!
//! Nothing survives the process. Layout: `book` holds the tasks and keeps every index in step with them, with
//! `lane` for what can be claimed and `keys`, `cells`, `nodes` for the rest; `push`, `advance` and
//! `claim`, `amend`, `retention` and `read` are the methods of the trait; `verify` checks it all.

mod advance;
mod amend;
mod book;
mod cells;
mod claim;
mod keys;
mod lane;
mod nodes;
mod notes;
mod push;
mod read;
mod retention;
#[cfg(test)]
mod tests;
mod verify;

use std::future::ready;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::{
    Advance, Amend, Amended, Answer, Cell, Counts, Due, Found, Node, NodeId, Page, Pulse, Push, Pushed,
    Query, Refusal, Retention, Store, Swap, Target, Turn,
};
use crate::task::{Claimed, Name, NoteKind, Noted, Notes, TaskId, Unnoted};
use crate::time::{Clock, Millis, Time, WallClock};

use book::Book;

/// Tasks in memory, for the life of the process.
pub struct MemoryStore {
    book: Mutex<Book>,
    clock: Box<dyn Clock>,
    lease: Millis,
    changed: Arc<Notify>,
}

/// How long a node may stay silent.
const LEASE: Millis = 30_000;

/// Bound on what one step promotes, ends by itself, or changes for a filter.
const STEP: usize = 1000;

impl MemoryStore {
    /// An empty store on the wall clock.
    pub fn new() -> Self {
        Self::with_clock(WallClock, LEASE)
    }

    /// An empty store in this time; in one that a test moves nobody is silent for too long.
    pub(crate) fn in_time(time: Time) -> Self {
        let lease = if time.is_moved() { Millis::MAX } else { LEASE };
        Self::with_clock(time, lease)
    }

    /// An empty store on another clock; a node that has not beaten for `lease` is dead.
    pub fn with_clock(clock: impl Clock, lease: Millis) -> Self {
        Self { book: Mutex::default(), clock: Box::new(clock), lease, changed: Arc::default() }
    }

    /// Checks every index against the tasks themselves; the error says what does not fit. For tests.
    pub fn verify(&self) -> Result<(), String> {
        self.book().verify()
    }

    /// How often each transition of `task::state::TRANSITIONS` was taken, in that order. For tests.
    pub fn transitions(&self) -> Vec<u64> {
        self.book().transitions.to_vec()
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        // A panic in here is a defect that has been reported; the data are as good as they were.
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with<'a, T: Send + 'a>(&'a self, run: impl FnOnce(&mut Book, Millis) -> T) -> Answer<'a, T> {
        let mut book = self.book();
        // Read under the lock: whoever waited for it must not look back behind what others have done meanwhile.
        let now = self.clock.now();
        let answer = run(&mut book, now);
        Box::pin(ready(Ok(answer)))
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl Store for MemoryStore {
    fn push(&self, pushes: Arc<[Push]>) -> Answer<'_, Vec<Result<Vec<Pushed>, Refusal>>> {
        let answer = self.with(|book, now| pushes.iter().map(|push| book.push(push, now)).collect());
        self.changed.notify_waiters();
        answer
    }

    fn advance(&self, step: Arc<Advance>) -> Answer<'_, Arc<Turn>> {
        let turn = {
            let mut book = self.book();
            let now = self.clock.now();
            book.advance(&step, now)
        };
        if !turn.settled.is_empty() || !turn.ended.is_empty() {
            self.changed.notify_waiters();
        }
        Box::pin(ready(Ok(turn)))
    }

    fn orphans(&self, nodes: Vec<NodeId>, max: usize) -> Answer<'_, Vec<Claimed>> {
        self.with(|book, now| book.orphans(&nodes, max, now))
    }

    fn due(&self, max: usize) -> Answer<'_, Due> {
        self.with(|book, now| book.due(max, now))
    }

    fn amend(&self, target: Target, change: Amend) -> Answer<'_, Amended> {
        let answer = self.with(|book, now| book.amend(&target, &change, now));
        self.changed.notify_waiters();
        answer
    }

    fn note(&self, notes: Arc<[Noted]>) -> Answer<'_, Vec<Result<(), Unnoted>>> {
        self.with(|book, _| notes.iter().map(|noted| book.note(noted)).collect())
    }

    fn notes(&self, ids: Vec<TaskId>, kind: NoteKind) -> Answer<'_, Vec<Notes>> {
        self.with(|book, _| ids.iter().map(|id| book.notes(id, kind)).collect())
    }

    fn get(&self, ids: Vec<TaskId>) -> Answer<'_, Found> {
        let found = |id: &TaskId, book: &Book| book.find(id).map(|task| task.record());
        self.with(|book, now| Found { now, records: ids.iter().map(|id| found(id, book)).collect() })
    }

    fn list(&self, query: Query) -> Answer<'_, Page> {
        let now = self.clock.now();
        let page = self.book().list(&query, now);
        Box::pin(ready(page))
    }

    fn counts(&self, queue: Option<Name>) -> Answer<'_, Counts> {
        self.with(|book, now| book.counts(queue.as_ref(), now))
    }

    fn prune(&self, limits: Retention, max: usize) -> Answer<'_, usize> {
        self.with(|book, now| book.prune(&limits, max, now))
    }

    fn swap(&self, swap: Swap) -> Answer<'_, Result<(), Option<Cell>>> {
        let answer = self.with(|book, _| book.swap(&swap));
        self.changed.notify_waiters();
        answer
    }

    fn read(&self, key: Name) -> Answer<'_, Option<Cell>> {
        self.with(|book, _| book.cells.get(&key).cloned())
    }

    fn cells(&self, prefix: Name, after: Option<Name>, max: usize) -> Answer<'_, Vec<(Name, Cell)>> {
        self.with(|book, _| book.cells.page(&prefix, after.as_deref(), max))
    }

    fn changed(&self) -> Answer<'_, ()> {
        // Registered before the caller awaits it, so that nothing between the two is missed.
        let mut wake = Box::pin(self.changed.clone().notified_owned());
        wake.as_mut().enable();
        Box::pin(async move {
            wake.await;
            Ok(())
        })
    }

    fn pulse(&self, node: NodeId) -> Answer<'_, Pulse> {
        let lease = self.lease;
        self.with(|book, now| book.pulse(&node, now, lease))
    }

    fn leave(&self, node: NodeId) -> Answer<'_, ()> {
        self.with(|book, _| book.nodes.leave(&node))
    }

    fn nodes(&self) -> Answer<'_, Vec<Node>> {
        self.with(|book, _| book.node_list())
    }
}
