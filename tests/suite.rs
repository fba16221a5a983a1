//! The contract of a store, on every store that needs no server: in the calm, and in a storm of calls that
//! fail or whose answers get lost, under a caller that asks again. Every check is a test case of its own.

use std::future::{Future, ready};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use task::store::Store;
use task::store::memory::MemoryStore;
#[cfg(feature = "sqlite")]
use task::store::sqlite::{Durability, Options, SqliteStore};
use task::store::suite::{Fixture, check};
use task::time::{ManualClock, Millis};

mod storm;

use storm::Stubborn;

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
