//! The contract of a store, on the memory store: in the calm, and in a storm of calls that fail or whose
//! answers get lost, under a caller that asks again. Every check is a test case of its own.

use std::future::{Future, ready};
use std::pin::Pin;
use std::sync::Arc;

use futures_util::FutureExt;
use task::store::Store;
use task::store::memory::MemoryStore;
use task::store::suite::{Fixture, check};
use task::time::{ManualClock, Millis};

mod storm;

use storm::Stubborn;

const LEASE: Millis = 30_000;

/// A memory store on a clock that is moved by hand, in a storm or not.
struct Memory {
    memory: Arc<MemoryStore>,
    clock: Arc<ManualClock>,
    storm: Option<Stubborn<MemoryStore>>,
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
