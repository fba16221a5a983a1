//! A storm of calls that fail or whose answers get lost, and a caller that sits it out; over any store.

use std::sync::Arc;

use task::store::faulty::{Fault, Faulty};
use task::store::{
    Advance, Amend, Amended, Answer, Cell, Counts, Due, Found, Node, NodeId, Page, Pulse, Push, Pushed,
    Query, Refusal, Retention, Store, Swap, Target, Turn,
};
use task::task::{Claimed, Name, NoteKind, Noted, Notes, TaskId, Unnoted};

/// A caller that repeats every call until it is answered.
///
/// Half of the calls fail. Those that may be repeated after they were done lose their answers as well; the
/// others (changes by an operator, compare-and-set, beats) fail before they have done anything.
pub struct Stubborn<S> {
    repeatable: Faulty<S>,
    others: Faulty<S>,
}

impl<S: Store> Stubborn<S> {
    pub fn new(store: &Arc<S>) -> Self {
        let dice = |call: u64| call.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 60;
        let repeatable = move |call| match dice(call) {
            0..4 => Fault::Before,
            4..8 => Fault::After,
            _ => Fault::None,
        };
        let others = move |call| if dice(call) < 8 { Fault::Before } else { Fault::None };
        Self {
            repeatable: Faulty::new(store.clone(), Box::new(repeatable)),
            others: Faulty::new(store.clone(), Box::new(others)),
        }
    }

    fn repeat<'a, T: Send>(call: impl Fn() -> Answer<'a, T> + Send + 'a) -> Answer<'a, T> {
        Box::pin(async move {
            loop {
                match call().await {
                    Err(error) if error.is_passing() => {}
                    answer => return answer,
                }
            }
        })
    }
}

impl<S: Store> Store for Stubborn<S> {
    fn push(&self, pushes: Arc<[Push]>) -> Answer<'_, Vec<Result<Vec<Pushed>, Refusal>>> {
        // A guard that has moved its cell refuses the repetition; and only a minted id knows itself again.
        let is_repeatable = |push: &Push| push.guard.is_none() && push.specs.iter().all(|spec| spec.minted);
        let store = if pushes.iter().all(is_repeatable) { &self.repeatable } else { &self.others };
        Self::repeat(move || store.push(pushes.clone()))
    }
    fn advance(&self, step: Arc<Advance>) -> Answer<'_, Arc<Turn>> {
        Self::repeat(move || self.repeatable.advance(step.clone()))
    }
    fn orphans(&self, nodes: Vec<NodeId>, max: usize) -> Answer<'_, Vec<Claimed>> {
        Self::repeat(move || self.repeatable.orphans(nodes.clone(), max))
    }
    fn due(&self, max: usize) -> Answer<'_, Due> {
        Self::repeat(move || self.repeatable.due(max))
    }
    fn cells(&self, prefix: Name, after: Option<Name>, max: usize) -> Answer<'_, Vec<(Name, Cell)>> {
        Self::repeat(move || self.repeatable.cells(prefix.clone(), after.clone(), max))
    }
    fn amend(&self, target: Target, change: Amend) -> Answer<'_, Amended> {
        Self::repeat(move || self.others.amend(target.clone(), change.clone()))
    }
    fn note(&self, notes: Arc<[Noted]>) -> Answer<'_, Vec<Result<(), Unnoted>>> {
        Self::repeat(move || self.repeatable.note(notes.clone()))
    }
    fn notes(&self, ids: Vec<TaskId>, kind: NoteKind) -> Answer<'_, Vec<Notes>> {
        Self::repeat(move || self.repeatable.notes(ids.clone(), kind))
    }
    fn get(&self, ids: Vec<TaskId>) -> Answer<'_, Found> {
        Self::repeat(move || self.repeatable.get(ids.clone()))
    }
    fn list(&self, query: Query) -> Answer<'_, Page> {
        Self::repeat(move || self.repeatable.list(query.clone()))
    }
    fn counts(&self, queue: Option<Name>) -> Answer<'_, Counts> {
        Self::repeat(move || self.repeatable.counts(queue.clone()))
    }
    fn prune(&self, limits: Retention, max: usize) -> Answer<'_, usize> {
        Self::repeat(move || self.others.prune(limits, max))
    }
    fn swap(&self, swap: Swap) -> Answer<'_, Result<(), Option<Cell>>> {
        Self::repeat(move || self.others.swap(swap.clone()))
    }
    fn read(&self, key: Name) -> Answer<'_, Option<Cell>> {
        Self::repeat(move || self.repeatable.read(key.clone()))
    }
    fn changed(&self) -> Answer<'_, ()> {
        self.repeatable.changed()
    }
    fn pulse(&self, node: NodeId) -> Answer<'_, Pulse> {
        Self::repeat(move || self.others.pulse(node.clone()))
    }
    fn leave(&self, node: NodeId) -> Answer<'_, ()> {
        Self::repeat(move || self.repeatable.leave(node.clone()))
    }
    fn nodes(&self) -> Answer<'_, Vec<Node>> {
        Self::repeat(move || self.repeatable.nodes())
    }
}
