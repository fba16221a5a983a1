//! A clock for tests of code that uses this library (feature `testing`): `advance` it by three days, and what an
//! executor does in three days has happened. It is the same engine, with the same memory; only the time is another.
//!
//! ```
//! # #[tokio::main]
//! # async fn main() -> Result<(), task::TaskError> {
//! use std::time::Duration;
//! use task::TaskExecutor;
//! use task::testing::TestClock;
//!
//! let clock = TestClock::new();
//! let executor = TaskExecutor::builder().clock(&clock).build()?;
//! executor.register("remind", async |who: String| Ok::<_, std::io::Error>(format!("Hello {who}")))?;
//!
//! let handle = executor.enqueue("remind", "Ada").delay(Duration::from_secs(3 * 86_400)).await?;
//! clock.advance(Duration::from_secs(3 * 86_400)).await;
//! assert_eq!(handle.result().await?.to_string(), "Hello Ada");
//! # Ok(())
//! # }
//! ```

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use crate::engine::runtime;
use crate::error::TaskError;
use crate::task::View;
use crate::time::{Millis, Time, Timeline};

use super::executor::{TaskExecutor, on_engine};
use super::settings::millis;

/// How far `run_until_idle` goes: a year.
const FAR: Millis = 366 * 86_400_000;
/// What has not ended.
const LEFT: [View; 4] = [View::Scheduled, View::Blocked, View::Waiting, View::Running];
/// How long a handler may wait for something that is no task, where nothing else is said.
const PATIENCE: Duration = Duration::from_millis(10);
/// Time between two looks at what runs.
const LOOK: Duration = Duration::from_millis(1);

/// A time that stands still until it is moved. Clones are the same clock.
///
/// Executors in memory live in it by [`ExecutorBuilder::clock`](crate::ExecutorBuilder::clock), with all that goes by
/// a time: delays, retries, timeouts, schedules, rate limits, circuit breakers, retention. Limiters and breakers take
/// up the clock of the first executor that they are given to. What an executor does on its way out
/// ([`close`](TaskExecutor::close)) takes its time by itself.
///
/// The time leaps from one moment at which something happens to the next. It moves on when everything that can be done
/// at a moment has been done; a handler that waits for something else than a task, such as a file, is given `patience`
/// to go on, by the clock of the machine.
#[derive(Clone)]
pub struct TestClock {
    line: Arc<Timeline>,
    patience: Duration,
    /// Handlers that wait for this clock.
    asleep: Arc<AtomicUsize>,
    stuck: Arc<Mutex<Stuck>>,
}

/// Handlers that were waited for and did nothing.
#[derive(Clone, Copy, Default)]
struct Stuck {
    /// So many.
    count: usize,
    /// Up to here.
    beats: Option<u64>,
    /// So often in a row: each time they are given half the time.
    times: u32,
}

impl Default for TestClock {
    fn default() -> Self {
        Self::new()
    }
}

impl TestClock {
    /// A clock that shows the date of the machine.
    pub fn new() -> Self {
        Self::starting(Time::default().wall())
    }

    /// A clock that shows this date; what lies before 1970 is 1970.
    pub fn at(date: SystemTime) -> Self {
        Self::starting(date.duration_since(SystemTime::UNIX_EPOCH).map_or(0, millis))
    }

    fn starting(date: Millis) -> Self {
        let line = Timeline::at(date);
        Self { line, patience: PATIENCE, asleep: Arc::default(), stuck: Arc::default() }
    }

    /// How long handlers may wait for something that is no task, before the time goes on. Default: 10 ms. The same
    /// clock, for whoever holds what this gives.
    #[must_use]
    pub fn patience(mut self, length: Duration) -> Self {
        self.patience = length;
        self
    }

    pub(super) fn time(&self) -> Time {
        self.line.time()
    }

    /// The date that it shows.
    pub fn now(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_millis(self.line.time().wall())
    }

    /// Moves it forward, and does on the way what is to be done, each thing at its time. On return nothing is left
    /// that could be done by now, but for handlers that wait for something that is no task.
    pub async fn advance(&self, by: Duration) {
        let until = self.line.time().monotonic().saturating_add(millis(by));
        self.settle().await;
        while let Some(at) = self.line.next_step().filter(|at| *at <= until) {
            self.line.move_to(at);
            self.settle().await;
        }
        self.line.move_to(until);
        self.settle().await;
    }

    /// Moves it forward until no task waits or runs: what is delayed, tried again or limited included. Schedules fire
    /// on the way, and are no task that waits.
    ///
    /// # Errors
    /// ERR_STUCK where nothing will happen by itself and tasks are left, as in a queue that is paused, and where a
    /// year has not been enough. ERR_EXECUTOR_CLOSED where the executor is closed.
    pub async fn run_until_idle(&self, executor: &TaskExecutor) -> Result<(), TaskError> {
        let until = self.line.time().monotonic().saturating_add(FAR);
        loop {
            self.settle().await;
            executor.check_open()?;
            let engine = executor.engine().clone();
            if on_engine(async move { engine.is_idle().await }).await? {
                return Ok(());
            }
            match self.line.next_step() {
                Some(at) if at <= until => self.line.move_to(at),
                Some(_) => return Err(stuck(executor, "after a year").await),
                // What a handler waits for is not known here; that it waits for nothing is up to whoever wrote it.
                None if self.line.running() > 0 => self.look_on(self.line.beats()).await,
                None => return Err(stuck(executor, "and nothing will happen by itself").await),
            }
        }
    }

    /// Does what is to be done now, without moving it.
    pub async fn settle(&self) {
        loop {
            self.line.still().await;
            let (beats, running) = (self.line.beats(), self.line.running());
            let before = *self.stuck();
            if running <= self.asleep.load(Ordering::SeqCst) || before.beats == Some(beats) {
                return;
            }
            // One more than those that are known to do nothing. Others may have taken the place of one of them.
            let times = if running > before.count { 0 } else { before.times };
            let mut left = self.patience / 2_u32.saturating_pow(times);
            while left >= LOOK && self.line.beats() == beats {
                pause(LOOK).await;
                left = left.saturating_sub(LOOK);
            }
            if self.line.beats() == beats {
                *self.stuck() = Stuck { count: running, beats: Some(beats), times: times + 1 };
                return;
            }
            *self.stuck() = Stuck::default();
        }
    }

    fn stuck(&self) -> std::sync::MutexGuard<'_, Stuck> {
        self.stuck.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn look_on(&self, beats: u64) {
        while self.line.beats() == beats {
            pause(LOOK).await;
        }
    }

    /// Waits until it has been moved forward by so much: for handlers, in place of a timer.
    pub async fn sleep(&self, length: Duration) {
        let time = self.line.time();
        let at = time.monotonic().saturating_add(millis(length));
        let _asleep = Asleep::in_bed(&self.asleep);
        time.sleep_until(at).await;
    }
}

/// A handler that waits for the clock.
struct Asleep<'a>(&'a AtomicUsize);

impl<'a> Asleep<'a> {
    fn in_bed(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(count)
    }
}

impl Drop for Asleep<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

async fn stuck(executor: &TaskExecutor, why: &str) -> TaskError {
    match executor.counts().await {
        Err(error) => error,
        Ok(counts) => {
            let left = LEFT.iter().filter(|view| counts.of(**view) > 0);
            let left: Vec<String> =
                left.map(|view| format!("{} {}", counts.of(*view), view.as_str())).collect();
            TaskError::Stuck(format!("tasks are left {why}: {}", left.join(", ")).into())
        }
    }
}

/// By the clock of the machine, on the engine's runtime, so that callers need none.
async fn pause(length: Duration) {
    let _ = runtime().spawn(tokio::time::sleep(length)).await;
}
