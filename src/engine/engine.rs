//! The engine as its users hold it: the core behind a lock, the store, and the rooms on the runtime.
//!
//! The lock is never held over I/O, JSON, or a call to the host.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use crate::error::TaskError;
use crate::store::{
    Amend, Amended, Answer, Cell, Counts, Found, Page, Push, Pushed, Query, Refusal, Retention, Store,
    StoreError, Swap, Target, pause_cell,
};
use crate::task::{Name, TaskId, View};
use crate::time::Millis;

use super::core::{Closing, Config, Core};
use super::rooms;
use super::watch::{Waiter, Watch};

/// Whoever runs the handlers.
pub trait Host: Send + Sync + 'static {
    /// There is something in the outbox, or among the notices. Called on any thread, with no lock held;
    /// must not block.
    fn wake(&self);
}

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

pub(super) struct Shared {
    pub core: Mutex<Core>,
    pub watch: Mutex<Watch>,
    pub store: Arc<dyn Store>,
    pub host: Arc<dyn Host>,
    pub retention: Retention,
    pub inbox: Mutex<VecDeque<(PushBatch, PushReply)>>,
    /// For the pusher: there is something in the inbox.
    pub filled: Notify,
    /// For the advancer: something has changed that it has to look at.
    pub nudge: Notify,
    /// The advancer waits for the store, and a nudge is for the ticker.
    pub absent: AtomicBool,
    /// For the ticker: a deadline lies before the one that it sleeps for.
    pub clock: Notify,
    /// When the ticker will wake by itself; later than any deadline set since is too late.
    pub planned: AtomicU64,
    /// For the beat.
    pub beat: Notify,
    /// For the asker: somebody wants to know something.
    pub asked: Notify,
    /// For retention: enough has ended.
    pub full: Notify,
    /// Something has ended: those who wait for quiet look again.
    pub calm: Notify,
    /// It was quiet when it was last looked at.
    pub quiet: AtomicBool,
    pub pushing: AtomicU64,
    pub ended: AtomicUsize,
    pub stale: AtomicU64,
    /// The host has been told that the process must stay.
    pub told_holds: AtomicBool,
    pub gone: AtomicBool,
    pub left: Notify,
    pub started_at: Instant,
}

/// Ended tasks after which retention is looked at, and that it forgets in one go.
pub(super) const PRUNE_AFTER: usize = 500;

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic under the lock is a defect that is reported where it happened; the engine goes on.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    pub fn now(&self) -> Millis {
        self.started_at.elapsed().as_millis() as Millis
    }

    pub fn core(&self) -> MutexGuard<'_, Core> {
        lock(&self.core)
    }

    pub fn watch(&self) -> MutexGuard<'_, Watch> {
        lock(&self.watch)
    }

    fn holds(&self, core: &Core) -> bool {
        let working = core.holds_process(self.now()) || core.store_due_at().is_some();
        let working = working || self.pushing.load(Ordering::SeqCst) > 0 || self.watch().is_asking();
        working && !self.gone.load(Ordering::SeqCst)
    }

    /// Something has changed that the advancer has to look at, or the ticker where that one waits for the store.
    pub fn nudge(&self) {
        self.nudge.notify_one();
        if self.absent.load(Ordering::SeqCst) {
            self.clock.notify_one();
        }
    }

    /// A deadline may have been set; wakes the ticker only if it would sleep past it.
    pub fn expect(&self, wake_at: Option<Millis>) {
        if wake_at.is_some_and(|at| at < self.planned.load(Ordering::Relaxed)) {
            self.clock.notify_one();
        }
    }

    /// Somebody may have begun to wait for an outcome.
    pub fn look(&self) {
        if self.watch().wakes_asker() {
            self.asked.notify_one();
        }
    }

    /// A call of the store has failed and will be made again, or its caller is told.
    pub fn trouble(&self, error: &StoreError) {
        let (mut core, now) = (self.core(), self.now());
        if core.events.trouble(error, now) {
            drop(core);
            tracing::warn!(target: "task::store", %error, "calls of the store fail");
            self.call_host();
        }
    }

    /// Tells those who wait for quiet when it has become quiet.
    pub fn tell_calm(&self) {
        let quiet = {
            let core = self.core();
            core.is_quiet() || core.closing() == Closing::Done
        };
        if !self.quiet.swap(quiet, Ordering::SeqCst) && quiet {
            self.calm.notify_waiters();
        }
    }

    /// So many tasks have ended that retention counts.
    pub fn count_ended(&self, ended: usize) {
        if ended > 0 && self.ended.fetch_add(ended, Ordering::Relaxed) + ended >= PRUNE_AFTER {
            self.full.notify_one();
        }
    }

    /// Resolves when the engine is over.
    pub async fn over(&self) {
        loop {
            let mut left = pin!(self.left.notified());
            left.as_mut().enable();
            if self.gone.load(Ordering::SeqCst) {
                return;
            }
            left.await;
        }
    }

    /// What the store answers; an engine that is over waits for nothing.
    async fn unless_over<T>(&self, call: Answer<'_, T>) -> Result<T, TaskError> {
        tokio::select! {
            biased;
            answer = call => Ok(answer?),
            () = self.over() => Err(TaskError::Closed),
        }
    }

    fn end(&self) {
        self.gone.store(true, Ordering::SeqCst);
        self.left.notify_waiters();
    }

    /// Calls the host if it has anything to fetch, or to let the process go.
    pub fn call_host(&self) {
        let now = self.now();
        let (call, lets_go) = {
            let mut core = self.core();
            let out = &core.outbox;
            let full = !out.words.is_empty() || !out.starts.is_empty() || !out.stops.is_empty();
            let call = full || !core.events.is_empty() || core.wants_ping(now);
            if call {
                core.host_called(now);
            }
            (call, self.told_holds.load(Ordering::SeqCst) && !self.holds(&core))
        };
        if call || lets_go || self.watch().has_notices() {
            self.host.wake();
        }
    }
}

impl Engine {
    /// Starts an engine on this store; `host` runs its handlers. Claims nothing before `start`.
    pub fn new(config: Config, store: Arc<dyn Store>, retention: Retention, host: Arc<dyn Host>) -> Self {
        let shared = Arc::new(Shared {
            core: Mutex::new(Core::new(config)),
            watch: Mutex::default(),
            store,
            host,
            retention,
            inbox: Mutex::default(),
            filled: Notify::new(),
            nudge: Notify::new(),
            absent: AtomicBool::new(false),
            clock: Notify::new(),
            planned: AtomicU64::new(0),
            beat: Notify::new(),
            asked: Notify::new(),
            full: Notify::new(),
            calm: Notify::new(),
            quiet: AtomicBool::new(true),
            pushing: AtomicU64::new(0),
            ended: AtomicUsize::new(0),
            stale: AtomicU64::new(0),
            told_holds: AtomicBool::new(false),
            gone: AtomicBool::new(false),
            left: Notify::new(),
            started_at: Instant::now(),
        });
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
        self.shared.pushing.fetch_add(1, Ordering::SeqCst);
        lock(&self.shared.inbox).push_back((batch, reply));
        self.shared.filled.notify_one();
    }

    /// Begins to claim stored tasks.
    pub fn start(&self) {
        self.core().start();
        self.shared.beat.notify_one();
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

    /// Changes tasks; a filter is worked off to its end.
    pub async fn amend(&self, target: Target, change: Amend) -> Result<Amended, TaskError> {
        let mut sum = Amended::default();
        loop {
            let step =
                self.shared.unless_over(self.shared.store.amend(target.clone(), change.clone())).await?;
            self.amended(&step, &change);
            sum.changed.extend(step.changed);
            sum.ended.extend(step.ended);
            if !step.more {
                return Ok(sum);
            }
        }
    }

    fn amended(&self, step: &Amended, change: &Amend) {
        let wake_at = {
            let (mut core, now) = (self.core(), self.now());
            if let Amend::Cancel(reason) = change {
                for (id, epoch) in &step.stopping {
                    core.stop(id, *epoch, reason, now);
                }
            }
            core.hint();
            core.wake_at()
        };
        self.shared.expect(wake_at);
        if matches!(change, Amend::Retry) {
            let mut watch = self.watch();
            step.changed.iter().for_each(|id| watch.reopen(id));
        }
        if !step.ended.is_empty() {
            self.watch().ended_elsewhere(&step.ended);
            self.shared.asked.notify_one();
        }
        self.shared.call_host();
        self.nudge();
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

    /// Records by id. A task that this node has claimed ahead waits, as people see it.
    pub async fn get(&self, ids: Vec<TaskId>) -> Result<Found, TaskError> {
        let mut found = self.shared.unless_over(self.shared.store.get(ids)).await?;
        self.core().show_as_seen(found.records.iter_mut().flatten());
        Ok(found)
    }

    /// A page of records, newest first.
    pub async fn list(&self, query: Query) -> Result<Page, TaskError> {
        let mut page = self.shared.unless_over(self.shared.store.list(query)).await?;
        self.core().show_as_seen(page.records.iter_mut());
        Ok(page)
    }

    /// Tasks by state. Those that this node has claimed ahead wait, as people see it.
    pub async fn counts(&self, queue: Option<Name>) -> Result<Counts, TaskError> {
        let mut counts = self.shared.unless_over(self.shared.store.counts(queue.clone())).await?;
        let ahead = self.core().claimed_ahead(queue.as_ref()).min(counts.of(View::Running));
        counts.by_view[View::Running as usize] -= ahead;
        counts.by_view[View::Waiting as usize] += ahead;
        Ok(counts)
    }

    /// Resolves when nothing waits and nothing runs, here and in the store.
    pub async fn idle(&self) -> Result<(), TaskError> {
        loop {
            let mut calm = pin!(self.shared.calm.notified());
            calm.as_mut().enable();
            if self.is_quiet() && self.counts(None).await?.unfinished() == 0 && self.is_quiet() {
                return Ok(());
            }
            // The hint may be missed where another process ends the last task.
            let _ = tokio::time::timeout(Duration::from_millis(200), calm).await;
            if self.is_closed() {
                return Ok(());
            }
        }
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
        self.shared.call_host();
        self.shared.clock.notify_one();
        self.nudge();
        let end = Duration::from_millis(grace.saturating_add(1700));
        let quiet = async {
            loop {
                let mut calm = pin!(self.shared.calm.notified());
                calm.as_mut().enable();
                if self.core().closing() == Closing::Done && self.is_quiet() {
                    return;
                }
                let _ = tokio::time::timeout(Duration::from_millis(50), calm).await;
            }
        };
        let _ = tokio::time::timeout(end, quiet).await;
        let node = self.node();
        let _ = tokio::time::timeout(Duration::from_millis(100), self.shared.store.leave(node)).await;
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
