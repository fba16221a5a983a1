//! The engine as its users hold it: the core behind a lock, the store, and the rooms on the runtime.
//!
//! The lock is never held over I/O, JSON, or a call to the host.

use std::pin::pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, MutexGuard};
use std::time::Duration;

use crate::error::TaskError;
use crate::store::{Cell, Node, Push, Pushed, Refusal, Retention, Store, StoreError, Swap, pause_cell};
use crate::task::{Name, TaskId};
use crate::time::{Millis, Time};

use super::core::{Closing, Config, Core};
use super::rooms;
use super::shared::{Shared, lock};
use super::watch::{Waiter, Watch};

/// Whoever runs the handlers.
pub trait Host: Send + Sync + 'static {
    /// There is something in the outbox, or among the notices. Called on any thread, with no lock held;
    /// must not block.
    fn wake(&self);
}

/// Time between two looks of whoever closes, in milliseconds.
const LOOK: Millis = 50;

/// The answer to one `Push` of a batch.
pub type PushResult = Result<Vec<Pushed>, TaskError>;
/// Makes the tasks of a batch, on a thread of the runtime: reading them costs the caller nothing.
pub type PushBatch = Box<dyn FnOnce() -> Result<Vec<Push>, TaskError> + Send>;
/// Called once, on a thread of the runtime, with the answers in order, or why there are none.
pub type PushReply = Box<dyn FnOnce(Result<Vec<PushResult>, TaskError>) + Send>;

/// A running engine. Dropping it leaves the rooms; `close` ends it in good order.
pub struct Engine {
    pub(super) shared: Arc<Shared>,
}

impl Engine {
    /// Starts an engine on this store; `host` runs its handlers. Claims nothing before `start`.
    pub fn new(config: Config, store: Arc<dyn Store>, retention: Retention, host: Arc<dyn Host>) -> Self {
        let shared = Arc::new(Shared::new(config, store, retention, host));
        let watched = Arc::downgrade(&shared);
        shared.time.look_after(move || watched.upgrade().map_or(0, |shared| shared.core().running()));
        rooms::open(&shared);
        Self { shared }
    }

    /// The core, locked. Keep it short; call `changed` afterwards.
    pub fn core(&self) -> MutexGuard<'_, Core> {
        self.shared.core()
    }

    /// The watch, locked.
    pub fn watch(&self) -> MutexGuard<'_, Watch> {
        self.shared.watch()
    }

    /// Milliseconds since the engine was made.
    pub fn now(&self) -> Millis {
        self.shared.now()
    }

    /// The time that it lives in.
    pub fn time(&self) -> &Time {
        &self.shared.time
    }

    /// The date, in milliseconds since the Unix epoch.
    pub fn date(&self) -> Millis {
        self.shared.time.wall()
    }

    /// Tells a core that measures times what the moment is; before a host reports.
    pub fn stamp(&self, core: &mut Core) {
        self.shared.stamp(core);
    }

    /// A run has ended, or something was asked for: the engine has to look.
    pub fn nudge(&self) {
        self.shared.nudge();
    }

    /// A deadline may have been set; the engine wakes only if it would sleep past it.
    pub fn expect(&self, wake_at: Option<Millis>) {
        self.shared.expect(wake_at);
    }

    /// Somebody may have begun to wait for an outcome; call it after a change of the watch.
    pub fn look(&self) {
        self.shared.look();
    }

    /// Those who wait for quiet should look again.
    pub fn calm(&self) {
        self.shared.calm.notify_waiters();
        if self.is_closing() {
            // That was what the close has waited for.
            self.shared.clock.notify_one();
            self.nudge();
        }
    }

    /// Pushes tasks; each `Push` is all or nothing. Batches are worked off in order.
    pub fn push(&self, batch: PushBatch, reply: PushReply) {
        self.shared.push(batch, reply);
    }

    /// Begins to claim stored tasks.
    pub fn start(&self) {
        self.core().start();
        tracing::info!(target: "task::engine", parent: &self.shared.span, "it begins to take tasks from its store");
        self.shared.beat.notify_one();
        self.shared.scheduled.notify_one();
        self.nudge();
    }

    /// The same, once the store has shown that it can be used: by a beat, or by an answer where this node works
    /// on no queue.
    pub async fn open(&self) -> Result<(), TaskError> {
        let (node, works) = {
            let core = self.core();
            (core.node().clone(), core.has_queues())
        };
        if works {
            let sent_at = self.now();
            let pulse = self.shared.unless_over(self.shared.store.pulse(node)).await?;
            let (mut core, now) = (self.core(), self.now());
            core.beaten(sent_at);
            core.pulsed(&pulse, now);
        } else {
            self.shared.unless_over(self.shared.store.counts(None)).await?;
        }
        if self.is_closing() {
            return Err(TaskError::Closed);
        }
        self.start();
        Ok(())
    }

    /// Sends the outcome of a task to `waiter`.
    pub fn wait(&self, id: TaskId, waiter: Waiter) {
        self.watch().wait(id, waiter);
        self.look();
    }

    /// Pauses or resumes a queue on every node of the store.
    pub async fn set_queue_paused(&self, queue: &Name, paused: bool) -> Result<(), TaskError> {
        let key = pause_cell(queue);
        loop {
            let old =
                self.shared.unless_over(self.shared.store.read(key.clone())).await?.map(|cell| cell.value);
            let new = paused.then(|| Cell { value: "1".into(), due_at: None });
            let swap = Swap { key: key.clone(), old, new };
            if self.shared.unless_over(self.shared.store.swap(swap)).await?.is_ok() {
                break;
            }
        }
        let pulse = self.shared.unless_over(self.shared.store.pulse(self.node())).await?;
        let now = self.now();
        self.core().pulsed(&pulse, now);
        self.shared.call_host();
        self.nudge();
        Ok(())
    }

    fn node(&self) -> crate::store::NodeId {
        self.core().node().clone()
    }

    /// The engines that work on the store, by id.
    pub async fn nodes(&self) -> Result<Vec<Node>, TaskError> {
        self.shared.unless_over(self.shared.store.nodes()).await
    }

    /// Resolves when nothing waits and nothing runs, here and in the store.
    pub async fn idle(&self) -> Result<(), TaskError> {
        loop {
            let mut calm = pin!(self.shared.calm.notified());
            calm.as_mut().enable();
            if self.is_idle().await? {
                return Ok(());
            }
            // The hint may be missed where another process ends the last task.
            let _ = tokio::time::timeout(Duration::from_millis(200), calm).await;
            if self.is_closed() {
                return Ok(());
            }
        }
    }

    /// Nothing waits and nothing runs, here and in the store.
    pub async fn is_idle(&self) -> Result<bool, TaskError> {
        Ok(self.is_quiet() && self.counts(None).await?.unfinished() == 0 && self.is_quiet())
    }

    /// Nothing waits or runs here, and nothing is on its way to the store.
    pub fn is_quiet(&self) -> bool {
        self.shared.pushing.load(Ordering::SeqCst) == 0 && self.core().is_quiet()
    }

    /// There is work that the process must not leave. The host is called when that ends, so it has to be told
    /// what was found under the same lock as what it fetches: a timer that fires in between would be missed.
    pub fn holds(&self, core: &Core) -> bool {
        let holds = self.shared.holds(core);
        self.shared.told_holds.store(holds, Ordering::SeqCst);
        holds
    }

    /// Settlements that came too late.
    pub fn stale(&self) -> u64 {
        self.shared.stale.load(Ordering::Relaxed)
    }

    /// It has been asked to close.
    pub fn is_closing(&self) -> bool {
        self.core().closing() != Closing::No
    }

    /// It has closed.
    pub fn is_closed(&self) -> bool {
        self.shared.gone.load(Ordering::SeqCst)
    }

    /// Stops claiming, gives running tasks `grace`, aborts them at half of it, gives back what is left, and
    /// resolves once the store has heard of everything, at the latest 2 s after the grace.
    pub async fn close(&self, grace: Millis) {
        {
            let now = self.now();
            self.core().close(now, grace);
        }
        tracing::info!(target: "task::engine", parent: &self.shared.span, grace_ms = grace, "it closes");
        // Where there is nothing to wait for, what is refused and the end of the close are told together.
        if self.core().closing() != Closing::Done {
            self.shared.call_host();
            self.shared.clock.notify_one();
        }
        self.nudge();
        let end = Duration::from_millis(grace.saturating_add(1700));
        let quiet = async {
            loop {
                let mut calm = pin!(self.shared.calm.notified());
                calm.as_mut().enable();
                if self.core().closing() == Closing::Done && self.is_quiet() {
                    return;
                }
                let _ = tokio::time::timeout(Duration::from_millis(LOOK), calm).await;
                // Nobody may move the time any more.
                self.shared.time.pass(LOOK);
            }
        };
        let _ = tokio::time::timeout(end, quiet).await;
        let node = self.node();
        let _ = tokio::time::timeout(Duration::from_millis(100), self.shared.store.leave(node)).await;
        tracing::info!(target: "task::engine", parent: &self.shared.span, "it has closed");
        self.stop();
    }

    /// Ends it at once; whoever still waits is refused.
    pub fn stop(&self) {
        self.shared.end();
        // In a statement of its own, or the lock would be held over the replies.
        let unread = std::mem::take(&mut *lock(&self.shared.inbox));
        for (_, reply) in unread {
            reply(Err(TaskError::Closed));
        }
        self.watch().refuse_all(&TaskError::Closed);
        self.shared.call_host();
        self.shared.calm.notify_waiters();
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.shared.end();
    }
}

/// What the caller of a push is told.
pub(super) fn push_error(refusal: Refusal) -> TaskError {
    match refusal {
        Refusal::Full { waiting, limit } => TaskError::QueueFull { waiting, limit },
        Refusal::NoBlocker(id) => TaskError::NotFound(id.to_text()),
        Refusal::Cycle(_) => TaskError::option(refusal.to_string()),
        Refusal::IdTaken(_) | Refusal::KeyHeld(_) => TaskError::Duplicate(refusal.to_string().into()),
        Refusal::Moved => TaskError::Store(StoreError::Busy(refusal.to_string().into())),
    }
}
