//! Stores on a clock that is moved by hand, for tests that play on any of them.

#[cfg(all(unix, feature = "redis"))]
#[path = "../redis/rig.rs"]
mod rig;
#[cfg(all(unix, feature = "redis"))]
mod server;
#[cfg(all(unix, feature = "redis"))]
#[path = "../redis/verify.rs"]
mod verify;

use std::future::Future;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use task::store::memory::MemoryStore;
#[cfg(feature = "sqlite")]
use task::store::sqlite::{Durability, Options, SqliteStore};
use task::store::{Answer, Store};
use task::time::{ManualClock, Millis};

#[cfg(all(unix, feature = "redis"))]
#[allow(unused_imports, reason = "not every test plays on all stores")]
pub use server::redis;

/// A store, and what a test may ask of it beside its work.
pub trait Bench: Send + Sync {
    fn store(&self) -> &dyn Store;
    /// What contradicts itself.
    fn verify(&self) -> Result<(), String>;
    /// How often each row of the table of transitions was taken, where the store counts them.
    fn transitions(&self) -> Option<Vec<u64>>;
}

/// How to come by an empty store with this lease.
pub type Open = fn(Arc<ManualClock>, Millis) -> Box<dyn Bench>;

impl Bench for MemoryStore {
    fn store(&self) -> &dyn Store {
        self
    }
    fn verify(&self) -> Result<(), String> {
        Self::verify(self)
    }
    fn transitions(&self) -> Option<Vec<u64>> {
        Some(Self::transitions(self))
    }
}

pub fn memory(clock: Arc<ManualClock>, lease: Millis) -> Box<dyn Bench> {
    Box::new(MemoryStore::with_clock(clock, lease))
}

/// A file and the folder that goes with it.
#[cfg(feature = "sqlite")]
struct InFile {
    store: SqliteStore,
    _folder: tempfile::TempDir,
}

#[cfg(feature = "sqlite")]
impl Bench for InFile {
    fn store(&self) -> &dyn Store {
        &self.store
    }
    fn verify(&self) -> Result<(), String> {
        wait(self.store.verify()).map_err(|error| error.to_string())?
    }
    fn transitions(&self) -> Option<Vec<u64>> {
        Some(self.store.transitions())
    }
}

#[cfg(feature = "sqlite")]
pub fn sqlite(clock: Arc<ManualClock>, lease: Millis) -> Box<dyn Bench> {
    let folder = tempfile::tempdir().expect("a folder");
    let options = Options { durability: Durability::Relaxed, lease };
    let store =
        SqliteStore::with_clock(&folder.path().join("tasks.db"), options, clock).expect("the file opens");
    Box::new(InFile { store, _folder: folder })
}

/// The answer of a call that must not fail.
pub fn now<T>(answer: Answer<'_, T>) -> T {
    wait(answer).expect("the store answers")
}

/// For futures that other threads wake. It may be called within itself, unlike that of a runtime.
pub fn wait<T>(future: impl Future<Output = T>) -> T {
    struct Unpark(std::thread::Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let mut future = std::pin::pin!(future);
    // Memory answers at once, and is asked millions of times.
    if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        return output;
    }
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => std::thread::park(),
        }
    }
}

/// A number from the environment.
pub fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}={text} is not a number")))
}

/// What a short form is multiplied by: `SOAK=1` makes it long.
pub fn soak(long: u64) -> u64 {
    if number("SOAK").unwrap_or(0) > 0 { long } else { 1 }
}
