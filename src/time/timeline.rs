//! A time that stands still until a test moves it.
//!
//! It knows who sleeps until when, so that a test leaps from one moment at which something happens to the next, and it
//! knows when everything that can be done at a moment has been done: work that it attends is busy from when it is woken
//! until it waits again, and nobody moves the time meanwhile.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use futures_util::task::AtomicWaker;
use tokio::sync::Notify;

use super::{Course, Millis, Time, Work, monotonic};

/// See the module.
pub(crate) struct Timeline {
    now: AtomicU64,
    /// What the date is ahead of the monotonic clock.
    ahead: i64,
    sleepers: Mutex<Sleepers>,
    pulse: Arc<Pulse>,
    running: Mutex<Vec<Box<dyn Fn() -> usize + Send + Sync>>>,
}

#[derive(Default)]
struct Sleepers {
    by_end: BTreeMap<(Millis, u64), Sleeper>,
    numbers: u64,
}

struct Sleeper {
    waker: Waker,
    is_step: bool,
}

/// Whether anything is busy, and how often something has been.
#[derive(Default)]
struct Pulse {
    busy: AtomicUsize,
    beats: AtomicU64,
    still: Notify,
}

impl Timeline {
    /// A time in which it is this date.
    pub fn at(date: Millis) -> Arc<Self> {
        // It begins with the machine's: a limit that was used before is not left in the future.
        let now = monotonic();
        Arc::new(Self {
            now: AtomicU64::new(now),
            ahead: date as i64 - now as i64,
            sleepers: Mutex::default(),
            pulse: Arc::default(),
            running: Mutex::default(),
        })
    }

    /// The same for an engine.
    pub fn time(self: &Arc<Self>) -> Time {
        Time(Some(self.clone()))
    }

    /// Moves the monotonic clock to `at`, and wakes whoever has slept until then. Never back.
    pub fn move_to(&self, at: Millis) {
        let woken = {
            let mut sleepers = self.sleepers();
            let at = self.now.fetch_max(at, Ordering::SeqCst).max(at);
            let later = sleepers.by_end.split_off(&(at, u64::MAX));
            std::mem::replace(&mut sleepers.by_end, later)
        };
        woken.into_values().for_each(|sleeper| sleeper.waker.wake());
    }

    /// The next moment at which something happens by itself.
    pub fn next_step(&self) -> Option<Millis> {
        let sleepers = self.sleepers();
        sleepers.by_end.iter().find(|(_, sleeper)| sleeper.is_step).map(|((at, _), _)| *at)
    }

    /// Something is at work on this moment.
    pub fn is_busy(&self) -> bool {
        self.pulse.busy.load(Ordering::SeqCst) > 0
    }

    /// How often something has begun to work; the same number twice: nothing has happened between.
    pub fn beats(&self) -> u64 {
        self.pulse.beats.load(Ordering::SeqCst)
    }

    /// Resolves when nothing is at work, or may be so.
    pub async fn still(&self) {
        let still = self.pulse.still.notified();
        if self.is_busy() {
            still.await;
        }
    }

    /// Handlers that run.
    pub fn running(&self) -> usize {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.iter().map(|count| count()).sum()
    }

    fn sleepers(&self) -> MutexGuard<'_, Sleepers> {
        self.sleepers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Course for Timeline {
    fn monotonic(&self) -> Millis {
        self.now.load(Ordering::SeqCst)
    }

    fn wall(&self) -> Millis {
        self.monotonic().saturating_add_signed(self.ahead)
    }

    fn sleep_until(self: Arc<Self>, at: Millis, is_step: bool) -> Work {
        Box::pin(Sleep { line: self, at, is_step, number: None })
    }

    fn attend(&self, work: Work) -> Work {
        self.pulse.enter();
        let (woken, waker) = (AtomicBool::new(true), AtomicWaker::new());
        Box::pin(Attended { work, bell: Arc::new(Bell { pulse: self.pulse.clone(), woken, waker }) })
    }

    fn look_after(&self, running: Box<dyn Fn() -> usize + Send + Sync>) {
        self.running.lock().unwrap_or_else(PoisonError::into_inner).push(running);
    }

    fn pass(&self, length: Millis) {
        self.move_to(self.monotonic().saturating_add(length));
    }
}

struct Sleep {
    line: Arc<Timeline>,
    at: Millis,
    is_step: bool,
    number: Option<u64>,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let Self { line, at, is_step, number } = &mut *self;
        let mut sleepers = line.sleepers();
        // Under the lock, so that a move is either seen here or finds the sleeper.
        if line.monotonic() >= *at {
            return Poll::Ready(());
        }
        sleepers.numbers += 1;
        let number = *number.get_or_insert(sleepers.numbers);
        sleepers.by_end.insert((*at, number), Sleeper { waker: context.waker().clone(), is_step: *is_step });
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(number) = self.number {
            self.line.sleepers().by_end.remove(&(self.at, number));
        }
    }
}

impl Pulse {
    fn enter(&self) {
        self.beats.fetch_add(1, Ordering::SeqCst);
        self.busy.fetch_add(1, Ordering::SeqCst);
    }

    fn leave(&self) {
        if self.busy.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.still.notify_waiters();
        }
    }
}

/// Work that is busy from when it is woken until it waits again.
struct Attended {
    work: Work,
    bell: Arc<Bell>,
}

struct Bell {
    pulse: Arc<Pulse>,
    /// It has been woken, and is counted as busy.
    woken: AtomicBool,
    waker: AtomicWaker,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.woken.swap(true, Ordering::SeqCst) {
            self.pulse.enter();
        }
        self.waker.wake();
    }
}

/// Whoever looks is busy until it has looked, also where that ends in a panic.
struct Look<'a>(&'a Pulse);

impl Drop for Look<'_> {
    fn drop(&mut self) {
        self.0.leave();
    }
}

impl Future for Attended {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let Self { work, bell } = &mut *self;
        bell.waker.register(context.waker());
        if !bell.woken.swap(false, Ordering::SeqCst) {
            bell.pulse.enter();
        }
        let _look = Look(&bell.pulse);
        let waker = Waker::from(bell.clone());
        work.as_mut().poll(&mut Context::from_waker(&waker))
    }
}

impl Drop for Attended {
    fn drop(&mut self) {
        // From now on it counts as woken, so that no wake that comes late is counted.
        if self.bell.woken.swap(true, Ordering::SeqCst) {
            self.bell.pulse.leave();
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn woken(line: &Arc<Timeline>, at: Millis) -> tokio::task::JoinHandle<Millis> {
        let (line, (sender, moment)) = (line.clone(), tokio::sync::oneshot::channel());
        let sleeper = line.clone();
        tokio::spawn(line.attend(Box::pin(async move {
            sleeper.clone().sleep_until(at, true).await;
            let _ = sender.send(sleeper.monotonic());
        })));
        tokio::spawn(async move { moment.await.unwrap() })
    }

    #[tokio::test]
    async fn whoever_sleeps_is_woken_at_its_moment_and_not_before() {
        let line = Timeline::at(1_000_000);
        let start = line.monotonic();
        let (one, other) = (woken(&line, start + 50), woken(&line, start + 20));
        assert!(line.is_busy(), "what has not been looked at yet is at work");
        line.still().await;
        assert_eq!(line.next_step(), Some(start + 20));
        line.move_to(start + 20);
        assert!(line.is_busy(), "what was woken has to look");
        line.still().await;
        assert_eq!((other.await.unwrap(), line.next_step()), (start + 20, Some(start + 50)));
        line.move_to(start + 1000);
        assert_eq!(one.await.unwrap(), start + 1000);
        assert_eq!((line.next_step(), line.wall()), (None, 1_001_000));
    }

    #[tokio::test]
    async fn a_rest_is_no_step_and_a_sleeper_that_goes_is_forgotten() {
        let line = Timeline::at(0);
        let now = line.monotonic();
        let mut rest = line.clone().sleep_until(now + 5, false);
        assert!((&mut rest).now_or_never().is_none());
        assert_eq!(line.next_step(), None);
        line.pass(10);
        rest.await;
        let mut step = line.clone().sleep_until(now + 50, true);
        assert!((&mut step).now_or_never().is_none());
        assert_eq!(line.next_step(), Some(now + 50));
        drop(step);
        assert_eq!(line.next_step(), None);
    }

    #[tokio::test]
    async fn work_that_panics_or_is_dropped_is_not_busy_for_ever() {
        let line = Timeline::at(0);
        let failed = tokio::spawn(line.attend(Box::pin(async { panic!("on purpose") })));
        assert!(failed.await.is_err() && !line.is_busy());
        drop(line.attend(Box::pin(std::future::pending())));
        assert!(!line.is_busy());
        let before = line.beats();
        let waits = tokio::spawn(line.attend(Box::pin(std::future::pending())));
        line.still().await;
        waits.abort();
        assert!(waits.await.is_err() && !line.is_busy() && line.beats() > before);
    }
}
