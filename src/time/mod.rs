//! Time as plain numbers, so that it can be an argument everywhere.
//!
//! Two clocks are in use and never compared: a store's clock (`Clock`, milliseconds since the Unix
//! epoch), on which dates live, and the monotonic clock of the process (milliseconds since its first engine or
//! limiter was made), on which timeouts and waits live. All engines of a process have the same, so that a limit
//! can be shared by them.
//!
//! An engine lives in a `Time`: that of the machine, or one that a test moves (`timeline`), in which both of these
//! clocks go on together. What an engine does for its own sake, such as a pause after a failure of its store, goes by
//! the machine in any case.

#[cfg(feature = "testing")]
mod timeline;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

#[cfg(feature = "testing")]
pub(crate) use timeline::Timeline;

/// Milliseconds: since the Unix epoch for dates, since an arbitrary start for monotonic times,
/// or a length of time.
pub type Millis = u64;

/// The start of the monotonic clock: a little before whoever asks first, since a moment of 0 is taken for none.
pub(crate) fn origin() -> Instant {
    static ORIGIN: LazyLock<Instant> = LazyLock::new(|| {
        let now = Instant::now();
        now.checked_sub(Duration::from_millis(1)).unwrap_or(now)
    });
    *ORIGIN
}

/// The monotonic clock of the process.
pub(crate) fn monotonic() -> Millis {
    origin().elapsed().as_millis() as Millis
}

/// Work without a result, on its way to a runtime.
pub(crate) type Work = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A time that somebody moves.
pub(crate) trait Course: Send + Sync {
    /// The monotonic clock.
    fn monotonic(&self) -> Millis;
    /// The date.
    fn wall(&self) -> Millis;
    /// Until the monotonic clock shows `at`. Whoever moves the time stops there if it is a step.
    fn sleep_until(self: Arc<Self>, at: Millis, is_step: bool) -> Work;
    /// The same work; whoever moves the time waits while it is busy.
    fn attend(&self, work: Work) -> Work;
    /// Handlers run here, so many; whoever moves the time gives them a chance to end.
    fn look_after(&self, running: Box<dyn Fn() -> usize + Send + Sync>);
    /// Goes on by so much, whatever lies between.
    fn pass(&self, length: Millis);
}

/// The time that an engine lives in: that of the machine, where nothing else is said.
#[derive(Clone, Default)]
pub struct Time(Option<Arc<dyn Course>>);

impl fmt::Debug for Time {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(if self.is_moved() { "Time(moved by a test)" } else { "Time" })
    }
}

impl Time {
    /// It goes on only when somebody moves it: that something takes long means nothing.
    pub fn is_moved(&self) -> bool {
        self.0.is_some()
    }

    /// The monotonic clock.
    pub fn monotonic(&self) -> Millis {
        self.0.as_ref().map_or_else(monotonic, |course| course.monotonic())
    }

    /// The same in microseconds, as fine as it is known.
    pub fn micros(&self) -> u64 {
        match &self.0 {
            None => origin().elapsed().as_micros() as u64,
            Some(course) => course.monotonic() * 1000,
        }
    }

    /// The date, in milliseconds since the Unix epoch.
    pub fn wall(&self) -> Millis {
        self.0.as_ref().map_or_else(|| WallClock.now(), |course| course.wall())
    }

    /// Until the monotonic clock shows `at`.
    pub(crate) async fn sleep_until(&self, at: Millis) {
        match &self.0 {
            None => tokio::time::sleep_until((origin() + Duration::from_millis(at)).into()).await,
            Some(course) => course.clone().sleep_until(at, true).await,
        }
    }

    /// For so long, where it does not matter that a time that is moved leaps over the end of it.
    pub(crate) async fn rest(&self, length: Millis) {
        match &self.0 {
            None => tokio::time::sleep(Duration::from_millis(length)).await,
            Some(course) => {
                course.clone().sleep_until(course.monotonic().saturating_add(length), false).await
            }
        }
    }

    /// The same work, which whoever moves the time waits for.
    pub(crate) fn attend(&self, work: impl Future<Output = ()> + Send + 'static) -> Work {
        let work = Box::pin(work);
        match &self.0 {
            None => work,
            Some(course) => course.attend(work),
        }
    }

    /// Handlers run here, so many.
    pub(crate) fn look_after(&self, running: impl Fn() -> usize + Send + Sync + 'static) {
        if let Some(course) = &self.0 {
            course.look_after(Box::new(running));
        }
    }

    /// A time that is moved goes on by so much; that of the machine does so by itself.
    pub(crate) fn pass(&self, length: Millis) {
        if let Some(course) = &self.0 {
            course.pass(length);
        }
    }
}

impl Clock for Time {
    fn now(&self) -> Millis {
        self.wall()
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_moment_is_that_of_none() {
        assert!(Time::default().micros() > 0 && monotonic() > 0);
    }
}
