//! The contract of a store, on the memory store: in the calm, and in a storm of calls that fail or whose
//! answers get lost, under a caller that asks again. Every check is a test case of its own.

use std::future::{Future, ready};
use std::pin::Pin;
use std::sync::Arc;

use futures_util::FutureExt;
use task::store::faulty::{Fault, Faulty};
use task::store::memory::MemoryStore;
use task::store::suite::{Fixture, check};
use task::store::{
    Advance, Amend, Amended, Answer, Cell, Counts, Due, Found, Node, NodeId, Page, Pulse, Push, Pushed,
    Query, Refusal, Retention, Store, Swap, Target, Turn,
};
use task::task::{Claimed, Name, TaskId};
use task::time::{ManualClock, Millis};

const LEASE: Millis = 30_000;

/// A memory store on a clock that is moved by hand, in a storm or not.
struct Memory {
    memory: Arc<MemoryStore>,
    clock: Arc<ManualClock>,
    storm: Option<Stubborn>,
}

impl Fixture for Memory {
    fn store(&self) -> &dyn Store {
        match &self.storm {
            Some(stubborn) => stubborn,
            None => &*self.memory,
        }
    }

    fn pass(&self, time: Millis) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        self.clock.advance(time);
        Box::pin(ready(()))
    }

    fn lease(&self) -> Millis {
        LEASE
    }

    fn verify(&self) -> Result<(), String> {
        self.memory.verify()
    }
}

fn run(topic: &str, name: &str, in_a_storm: bool) {
    let clock = Arc::new(ManualClock::at(1_700_000_000_000));
    let memory = Arc::new(MemoryStore::with_clock(clock.clone(), LEASE));
    let storm = in_a_storm.then(|| Stubborn::new(&memory));
    let fixture = Memory { memory, clock, storm };
    let check = check(topic, name).expect("the name comes from the list");
    check.run(Box::new(fixture)).now_or_never().expect("the memory store never waits");
}

macro_rules! calm {
    ($($topic:ident: [$($name:ident,)*])*) => {$(
        mod $topic {$(
            #[test]
            fn $name() {
                crate::run(stringify!($topic), stringify!($name), false);
            }
        )*}
    )*};
}

macro_rules! stormy {
    ($($topic:ident: [$($name:ident,)*])*) => {$(
        mod $topic {$(
            #[test]
            fn $name() {
                crate::run(stringify!($topic), stringify!($name), true);
            }
        )*}
    )*};
}

mod in_the_calm {
    task::store_checks!(calm);
}

mod in_a_storm {
    task::store_checks!(stormy);
}

/// A caller that repeats every call until it is answered.
///
/// Half of the calls fail. Those that may be repeated after they were done lose their answers as well; the
/// others (changes by an operator, compare-and-set, beats) fail before they have done anything.
struct Stubborn {
    repeatable: Faulty<MemoryStore>,
    others: Faulty<MemoryStore>,
}

impl Stubborn {
    fn new(memory: &Arc<MemoryStore>) -> Self {
        let dice = |call: u64| call.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 60;
        let repeatable = move |call| match dice(call) {
            0..4 => Fault::Before,
            4..8 => Fault::After,
            _ => Fault::None,
        };
        let others = move |call| if dice(call) < 8 { Fault::Before } else { Fault::None };
        Self {
            repeatable: Faulty::new(memory.clone(), Box::new(repeatable)),
            others: Faulty::new(memory.clone(), Box::new(others)),
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

impl Store for Stubborn {
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
    fn amend(&self, target: Target, change: Amend) -> Answer<'_, Amended> {
        Self::repeat(move || self.others.amend(target.clone(), change.clone()))
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
