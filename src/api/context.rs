//! One run of a handler: what its handler is told, and how it is stopped.
//!
//! Invariants: a run is stopped for one reason, the first; `dropped` is set before the runtime is asked to drop
//! the run's future, so that whoever sees the future go knows whether that was wanted.

use std::borrow::Cow;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Deserialize;
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use crate::error::TaskError;
use crate::task::{Name, Spec, TaskId};
use crate::time::Millis;

/// What a run of a handler is told. Cheap to clone; a clone may outlive the run.
///
/// ```
/// # #[tokio::main]
/// # async fn main() -> Result<(), task::TaskError> {
/// use task::{Task, TaskContext, TaskExecutor};
///
/// let task = Task::builder()
///     .handler(async |context: TaskContext| {
///         for row in 0..1000 {
///             if context.cancelled() {
///                 return row;
///             }
///             // ... work on one row ...
///         }
///         1000
///     })
///     .build();
/// assert_eq!(TaskExecutor::new().execute(task).await?.parse::<u32>()?, 1000);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct TaskContext {
    pub(super) run: Arc<Run>,
}

/// What a run is told that a schedule has started.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ScheduleSlot {
    /// The schedule.
    pub key: String,
    /// The instant that this run stands for; of a run by `trigger`, when that was called.
    pub slot: SystemTime,
    /// By how much the run began later than its slot.
    pub late: Duration,
    /// Slots that were skipped since the run before: missed ones, and those that met a run that had not ended.
    pub skipped: u64,
}

pub(super) struct Run {
    pub slot: u32,
    /// Which of the slot's runs: reports have to name it.
    pub number: u32,
    pub id: RunId,
    pub name: Name,
    pub attempt: u32,
    pub max_attempts: u32,
    /// Its handler is told when it should stop; others can only be dropped.
    pub heeds_stop: bool,
    /// Of a run that a schedule has started.
    pub schedule: Option<ScheduleSlot>,
    pub signal: Signal,
    pub desk: super::desk::Desk,
}

pub(super) enum RunId {
    Local(u64),
    Stored(TaskId),
}

/// The way from those who end a run to its handler.
#[derive(Default)]
pub(super) struct Signal {
    reason: OnceLock<TaskError>,
    told: Notify,
    asked: AtomicBool,
    over: AtomicBool,
    dropped: AtomicBool,
    future: OnceLock<AbortHandle>,
}

impl TaskContext {
    /// The task: for an enqueued one its id, for others a text that no other task of the executor has.
    pub fn id(&self) -> String {
        match &self.run.id {
            RunId::Local(serial) => format!("local-{serial}"),
            RunId::Stored(id) => id.as_str().to_owned(),
        }
    }

    /// The name of the task, or of its kind.
    pub fn name(&self) -> &str {
        &self.run.name
    }

    /// 1 on the first run.
    pub fn attempt(&self) -> u32 {
        self.run.attempt
    }

    /// Of a run that a schedule has started: which slot, and how late it is.
    pub fn schedule(&self) -> Option<&ScheduleSlot> {
        self.run.schedule.as_ref()
    }

    /// Runs there may be in all.
    pub fn max_attempts(&self) -> u32 {
        self.run.max_attempts
    }

    /// The run is over or should end: for loops without an `await`, on any thread.
    pub fn cancelled(&self) -> bool {
        self.run.signal.reason.get().is_some() || self.run.signal.over.load(Ordering::Acquire)
    }

    /// Resolves when the run should end, with the reason: the task was cancelled, the executor closes, or the
    /// attempt has taken too long. After a time-out the run's own future is dropped where it awaits next, so
    /// only those whom it gave a clone of the context (threads, other tasks) come to see it.
    ///
    /// A cancelled run may go on for `cancel_grace`, one of a closing executor for the rest of `grace_period`.
    pub async fn stopped(&self) -> TaskError {
        loop {
            // Made before the look, so that it hears of what comes after the look.
            let told = self.run.signal.told.notified();
            if let Some(reason) = self.run.signal.reason.get() {
                return reason.clone();
            }
            told.await;
        }
    }
}

impl ScheduleSlot {
    /// What a schedule has written into the metadata of a task.
    pub(super) fn of(spec: &Spec, now: Millis) -> Option<Self> {
        #[derive(Deserialize)]
        struct Told<'a> {
            schedule: String,
            #[serde(borrow)]
            slot: Cow<'a, str>,
            #[serde(borrow)]
            skipped: Cow<'a, str>,
        }
        let told: Told<'_> = serde_json::from_str(spec.metadata.as_deref()?).ok()?;
        let slot = UNIX_EPOCH.checked_add(Duration::from_millis(told.slot.parse().ok()?))?;
        let now = UNIX_EPOCH + Duration::from_millis(now);
        let late = now.duration_since(slot).unwrap_or_default();
        Some(Self { key: told.schedule, slot, late, skipped: told.skipped.parse().ok()? })
    }
}

impl fmt::Debug for TaskContext {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("TaskContext")
            .field("id", &self.id())
            .field("name", &self.name())
            .field("attempt", &self.attempt())
            .field("max_attempts", &self.max_attempts())
            .field("cancelled", &self.cancelled())
            .finish()
    }
}

impl Signal {
    /// Tells the handler to stop.
    pub fn stop(&self, reason: TaskError) {
        if self.reason.set(reason).is_ok() {
            self.told.notify_waiters();
        }
    }

    /// Its task is cancelled; true if that has been said before.
    pub fn ask(&self) -> bool {
        self.asked.swap(true, Ordering::SeqCst)
    }

    /// Drops the handler's future, at once or where it awaits next.
    pub fn drop_future(&self) {
        self.dropped.store(true, Ordering::SeqCst);
        if let Some(future) = self.future.get() {
            future.abort();
        }
    }

    /// The handler's future has been given to the runtime.
    pub fn attach(&self, future: AbortHandle) {
        let future = self.future.get_or_init(|| future);
        // Whoever wanted it dropped just before did not find it.
        if self.dropped.load(Ordering::SeqCst) {
            future.abort();
        }
    }

    /// Its future has been dropped, or will be, because somebody here wanted that.
    pub fn is_dropped(&self) -> bool {
        self.dropped.load(Ordering::SeqCst)
    }

    /// The handler has ended.
    pub fn end(&self) {
        self.over.store(true, Ordering::Release);
    }
}
