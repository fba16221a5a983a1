//! A store that is opened by the first call that needs it; every call made before then waits for that.
//!
//! A call that cannot open it fails, and the next one tries again: a folder that was missing may be there by then.

use std::future::ready;
use std::sync::Arc;

use tokio::sync::{Notify, OnceCell};

use super::{
    Advance, Amend, Amended, Answer, Cell, Counts, Due, Found, Node, NodeId, Page, Pulse, Push, Pushed,
    Query, Refusal, Retention, Store, StoreError, Swap, Target, Turn,
};
use crate::task::{Claimed, Name, NoteKind, Noted, Notes, TaskId, Unnoted};

/// Opens the store; may be called again where that has failed.
pub(super) type Opener = Box<dyn Fn() -> Answer<'static, Arc<dyn Store>> + Send + Sync>;

/// A store that is opened when it is first needed.
pub(super) struct Lazy {
    opener: Opener,
    opened: OnceCell<Arc<dyn Store>>,
    ready: Notify,
}

impl Lazy {
    pub fn new(opener: Opener) -> Self {
        Self { opener, opened: OnceCell::new(), ready: Notify::new() }
    }

    async fn store(&self) -> Result<&Arc<dyn Store>, StoreError> {
        let opened = self.opened.get_or_try_init(&self.opener).await;
        self.ready.notify_waiters();
        // Whoever asks first should know at once what is wrong, and not after many attempts.
        opened.map_err(|error| match error {
            StoreError::Unreachable(text) => {
                StoreError::Failed(format!("it cannot be opened: {text}").into())
            }
            error => error,
        })
    }

    /// The store, once somebody has opened it.
    async fn opened(&self) -> &Arc<dyn Store> {
        loop {
            let mut ready = std::pin::pin!(self.ready.notified());
            ready.as_mut().enable();
            if let Some(store) = self.opened.get() {
                return store;
            }
            ready.await;
        }
    }

    fn pass<'a, T: Send + 'a>(
        &'a self,
        call: impl FnOnce(&'a Arc<dyn Store>) -> Answer<'a, T> + Send + 'a,
    ) -> Answer<'a, T> {
        match self.opened.get() {
            Some(store) => call(store),
            None => Box::pin(async move { call(self.store().await?).await }),
        }
    }
}

impl Store for Lazy {
    fn push(&self, pushes: Arc<[Push]>) -> Answer<'_, Vec<Result<Vec<Pushed>, Refusal>>> {
        self.pass(move |store| store.push(pushes))
    }
    fn advance(&self, step: Arc<Advance>) -> Answer<'_, Arc<Turn>> {
        self.pass(move |store| store.advance(step))
    }
    fn orphans(&self, nodes: Vec<NodeId>, max: usize) -> Answer<'_, Vec<Claimed>> {
        self.pass(move |store| store.orphans(nodes, max))
    }
    fn due(&self, max: usize) -> Answer<'_, Due> {
        self.pass(move |store| store.due(max))
    }
    fn amend(&self, target: Target, change: Amend) -> Answer<'_, Amended> {
        self.pass(move |store| store.amend(target, change))
    }
    fn note(&self, notes: Arc<[Noted]>) -> Answer<'_, Vec<Result<(), Unnoted>>> {
        self.pass(move |store| store.note(notes))
    }
    fn notes(&self, ids: Vec<TaskId>, kind: NoteKind) -> Answer<'_, Vec<Notes>> {
        self.pass(move |store| store.notes(ids, kind))
    }
    fn get(&self, ids: Vec<TaskId>) -> Answer<'_, Found> {
        self.pass(move |store| store.get(ids))
    }
    fn list(&self, query: Query) -> Answer<'_, Page> {
        self.pass(move |store| store.list(query))
    }
    fn counts(&self, queue: Option<Name>) -> Answer<'_, Counts> {
        self.pass(move |store| store.counts(queue))
    }
    fn prune(&self, limits: Retention, max: usize) -> Answer<'_, usize> {
        self.pass(move |store| store.prune(limits, max))
    }
    fn swap(&self, swap: Swap) -> Answer<'_, Result<(), Option<Cell>>> {
        self.pass(move |store| store.swap(swap))
    }
    fn read(&self, key: Name) -> Answer<'_, Option<Cell>> {
        self.pass(move |store| store.read(key))
    }
    fn cells(&self, prefix: Name, after: Option<Name>, max: usize) -> Answer<'_, Vec<(Name, Cell)>> {
        self.pass(move |store| store.cells(prefix, after, max))
    }
    fn changed(&self) -> Answer<'_, ()> {
        Box::pin(async move { self.opened().await.changed().await })
    }
    fn pulse(&self, node: NodeId) -> Answer<'_, Pulse> {
        self.pass(move |store| store.pulse(node))
    }
    fn leave(&self, node: NodeId) -> Answer<'_, ()> {
        match self.opened.get() {
            Some(store) => store.leave(node),
            // It was never there.
            None => Box::pin(ready(Ok(()))),
        }
    }
    fn nodes(&self) -> Answer<'_, Vec<Node>> {
        self.pass(move |store| store.nodes())
    }
}
