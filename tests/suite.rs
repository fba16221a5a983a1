//! The contract of a store, on every store that needs no server: in the calm, and in a storm of calls that fail or whose
//! answers get lost, under a caller that asks again. Every check is a test case of its own.

use std::future::{Future, ready};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use task::store::faulty::{Fault, Faulty};
use task::store::memory::MemoryStore;
#[cfg(feature = "sqlite")]
use task::store::sqlite::{Durability, Options, SqliteStore};
use task::store::suite::{Fixture, check};
use task::store::{
    Advance, Amend, Amended, Answer, Cell, Counts, Due, Found, Node, NodeId, Page, Pulse, Push, Pushed,
    Query, Refusal, Retention, Store, Swap, Target, Turn,
};
use task::task::{Claimed, Name, TaskId};
use task::time::{ManualClock, Millis};

const LEASE: Millis = 30_000;

/// What the checks need of a store on a clock that is moved by hand.
trait Bench: Store {
    fn verify(&self) -> Result<(), String>;
}

impl Bench for MemoryStore {
    fn verify(&self) -> Result<(), String> {
        Self::verify(self)
    }
}

#[cfg(feature = "sqlite")]
impl Bench for SqliteStore {
    fn verify(&self) -> Result<(), String> {
        wait(Self::verify(self)).map_err(|error| error.to_string())?
    }
}

/// A store, in a storm or not.
struct Set<S> {
    store: Arc<S>,
    clock: Arc<ManualClock>,
    storm: Option<Stubborn<S>>,
}

impl<S: Bench> Fixture for Set<S> {
    fn store(&self) -> &dyn Store {
        match &self.storm {
            Some(stubborn) => stubborn,
            None => &*self.store,
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
        self.store.verify()
    }
}

/// For futures that other threads wake. It may be called within itself, unlike that of a runtime.
fn wait<T>(future: impl Future<Output = T>) -> T {
    struct Unpark(std::thread::Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut future = std::pin::pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => std::thread::park(),
        }
    }
}

fn run<S: Bench>(topic: &str, name: &str, in_a_storm: bool, open: impl FnOnce(Arc<ManualClock>) -> S) {
    let clock = Arc::new(ManualClock::at(1_700_000_000_000));
    let store = Arc::new(open(clock.clone()));
    let storm = in_a_storm.then(|| Stubborn::new(&store));
    let set = Set { store, clock, storm };
    let check = check(topic, name).expect("the name comes from the list");
    wait(check.run(Box::new(set)));
}

fn on_memory(topic: &str, name: &str, in_a_storm: bool) {
    run(topic, name, in_a_storm, |clock| MemoryStore::with_clock(clock, LEASE));
}

#[cfg(feature = "sqlite")]
fn on_sqlite(topic: &str, name: &str, in_a_storm: bool) {
    let folder = tempfile::tempdir().expect("a folder");
    let options = Options { durability: Durability::Relaxed, lease: LEASE };
    run(topic, name, in_a_storm, |clock| {
        SqliteStore::with_clock(&folder.path().join("tasks.db"), options, clock).expect("the file opens")
    });
}

macro_rules! memory {
    ($($topic:ident: [$($name:ident,)*])*) => {$(
        mod $topic {$(
            mod $name {
                #[test]
                fn in_the_calm() {
                    crate::on_memory(stringify!($topic), stringify!($name), false);
                }
                #[test]
                fn in_a_storm() {
                    crate::on_memory(stringify!($topic), stringify!($name), true);
                }
            }
        )*}
    )*};
}

mod memory {
    task::store_checks!(memory);
}

#[cfg(feature = "sqlite")]
macro_rules! sqlite {
    ($($topic:ident: [$($name:ident,)*])*) => {$(
        mod $topic {$(
            mod $name {
                #[test]
                fn in_the_calm() {
                    crate::on_sqlite(stringify!($topic), stringify!($name), false);
                }
                #[test]
                fn in_a_storm() {
                    crate::on_sqlite(stringify!($topic), stringify!($name), true);
                }
            }
        )*}
    )*};
}

#[cfg(feature = "sqlite")]
mod sqlite {
    task::store_checks!(sqlite);
}

/// A caller that repeats every call until it is answered.
///
/// Half of the calls fail. Those that may be repeated after they were done lose their answers as well; the
/// others (changes by an operator, compare-and-set, beats) fail before they have done anything.
struct Stubborn<S> {
    repeatable: Faulty<S>,
    others: Faulty<S>,
}

impl<S: Store> Stubborn<S> {
    fn new(store: &Arc<S>) -> Self {
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
