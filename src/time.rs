//! Time as plain numbers, so that it can be an argument everywhere.
//!
//! Two clocks are in use and never compared: a store's clock (`Clock`, milliseconds since the Unix
//! epoch), on which dates live, and the monotonic clock of the process (milliseconds since its first engine or
//! limiter was made), on which timeouts and waits live. All engines of a process have the same, so that a limit
//! can be shared by them.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Milliseconds: since the Unix epoch for dates, since an arbitrary start for monotonic times,
/// or a length of time.
pub type Millis = u64;

/// The start of the monotonic clock.
pub(crate) fn origin() -> Instant {
    static ORIGIN: LazyLock<Instant> = LazyLock::new(Instant::now);
    *ORIGIN
}

/// The monotonic clock of the process.
pub(crate) fn monotonic() -> Millis {
    origin().elapsed().as_millis() as Millis
}

/// A store's clock.
pub trait Clock: Send + Sync + 'static {
    /// Milliseconds since the Unix epoch.
    fn now(&self) -> Millis;
}

/// The machine's wall clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct WallClock;

impl Clock for WallClock {
    fn now(&self) -> Millis {
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as Millis)
    }
}

/// A clock that stands still until it is moved; for tests and the simulator.
#[derive(Debug, Default)]
pub struct ManualClock(AtomicU64);

impl ManualClock {
    /// A clock that shows `at`.
    pub fn at(at: Millis) -> Self {
        Self(AtomicU64::new(at))
    }

    /// Moves the clock forward.
    pub fn advance(&self, by: Millis) {
        self.0.fetch_add(by, Ordering::SeqCst);
    }

    /// Sets the clock, backwards too.
    pub fn set(&self, to: Millis) {
        self.0.store(to, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Millis {
        self.0.load(Ordering::SeqCst)
    }
}

impl<C: Clock> Clock for std::sync::Arc<C> {
    fn now(&self) -> Millis {
        (**self).now()
    }
}
