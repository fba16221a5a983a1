//! What the handle and the rooms of an engine share: the core and the watch behind locks, the store, the host, and
//! the bells by which they wake each other.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::error::TaskError;
#[cfg(feature = "cron")]
use crate::store::Push;
use crate::store::{Amend, Amended, Answer, Retention, Store, StoreError, Target};
use crate::time::{Millis, Time};

use super::core::{Closing, Config, Core};
#[cfg(feature = "cron")]
use super::engine::PushResult;
use super::engine::{Host, PushBatch, PushReply};
use super::notes::Notebook;
use super::stall::Stall;
use super::watch::Watch;

pub(super) struct Shared {
    pub core: Mutex<Core>,
    pub watch: Mutex<Watch>,
    pub store: Arc<dyn Store>,
    pub host: Arc<dyn Host>,
    pub retention: Retention,
    pub inbox: Mutex<VecDeque<(PushBatch, PushReply)>>,
    pub notes: Mutex<Notebook>,
    /// For the noter: something was noted.
    pub noted: Notify,
    /// For the pusher: there is something in the inbox.
    pub filled: Notify,
    /// For the advancer: something has changed that it has to look at.
    pub nudge: Notify,
    /// The advancer waits for the store, and a nudge is for the ticker.
    pub absent: AtomicBool,
    /// For the ticker: a deadline lies before the one that it sleeps for.
    pub clock: Arc<Notify>,
    /// When the ticker will wake by itself; later than any deadline set since is too late.
    pub planned: AtomicU64,
    /// For the beat.
    pub beat: Notify,
    /// For the asker: somebody wants to know something.
    pub asked: Notify,
    /// For the room of shared circuit breakers: there is one, or one has changed.
    pub circuits: Arc<Notify>,
    /// For retention: enough has ended.
    pub full: Notify,
    /// For the scheduler: a schedule has changed, or the engine has started.
    pub scheduled: Notify,
    /// A schedule of the store will fire, as far as is known.
    pub has_slots: AtomicBool,
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
    pub time: Time,
    /// Whoever reads the log is told whose line it is.
    pub span: tracing::Span,
}

/// Ended tasks after which retention is looked at, and that it forgets in one go.
pub(super) const PRUNE_AFTER: usize = 500;

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic under the lock is a defect that is reported where it happened; the engine goes on.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    pub fn new(config: Config, store: Arc<dyn Store>, retention: Retention, host: Arc<dyn Host>) -> Self {
        let clock = Arc::new(Notify::new());
        let circuits = Arc::new(Notify::new());
        let span = tracing::error_span!(target: "task::engine", "engine", node = %config.node);
        let time = config.time.clone();
        let (mut core, bell, other) = (Core::new(config), clock.clone(), circuits.clone());
        core.set_bell(move || {
            bell.notify_one();
            other.notify_one();
        });
        Self {
            span,
            core: Mutex::new(core),
            watch: Mutex::default(),
            store,
            host,
            retention,
            inbox: Mutex::default(),
            notes: Mutex::default(),
            noted: Notify::new(),
            filled: Notify::new(),
            nudge: Notify::new(),
            absent: AtomicBool::new(false),
            clock,
            circuits,
            planned: AtomicU64::new(0),
            beat: Notify::new(),
            asked: Notify::new(),
            full: Notify::new(),
            scheduled: Notify::new(),
            has_slots: AtomicBool::new(false),
            calm: Notify::new(),
            quiet: AtomicBool::new(true),
            pushing: AtomicU64::new(0),
            ended: AtomicUsize::new(0),
            stale: AtomicU64::new(0),
            told_holds: AtomicBool::new(false),
            gone: AtomicBool::new(false),
            left: Notify::new(),
            time,
        }
    }

    pub fn now(&self) -> Millis {
        self.time.monotonic()
    }

    /// The core, locked.
    pub fn core(&self) -> MutexGuard<'_, Core> {
        lock(&self.core)
    }

    /// Tells a core that measures times what the moment is, finer than in milliseconds.
    pub fn stamp(&self, core: &mut Core) {
        if core.tally.is_timed() {
            core.tally.at(self.time.micros());
        }
    }

    pub fn watch(&self) -> MutexGuard<'_, Watch> {
        lock(&self.watch)
    }

    pub fn holds(&self, core: &Core) -> bool {
        let working = core.holds_process(self.now()) || core.store_due_at().is_some();
        let working = working || self.pushing.load(Ordering::SeqCst) > 0 || self.watch().is_asking();
        let working = working || self.has_slots.load(Ordering::SeqCst);
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

    /// A slot will come, or none: the process stays for it.
    #[cfg(feature = "cron")]
    pub fn expect_slot(&self, comes: bool) {
        self.has_slots.store(comes, Ordering::SeqCst);
    }

    /// See `Engine::push`.
    pub fn push(&self, batch: PushBatch, reply: PushReply) {
        self.pushing.fetch_add(1, Ordering::SeqCst);
        lock(&self.inbox).push_back((batch, reply));
        self.filled.notify_one();
    }

    /// The same, for whoever waits for the answers.
    #[cfg(feature = "cron")]
    pub async fn push_now(&self, pushes: Vec<Push>) -> Result<Vec<PushResult>, TaskError> {
        let (sender, answers) = tokio::sync::oneshot::channel();
        self.push(Box::new(move || Ok(pushes)), Box::new(move |all| drop(sender.send(all))));
        answers.await.unwrap_or(Err(TaskError::Closed))
    }

    /// See `Engine::amend`.
    pub async fn amend(&self, target: Target, change: Amend) -> Result<Amended, TaskError> {
        let mut sum = Amended::default();
        loop {
            let step = self.unless_over(self.store.amend(target.clone(), change.clone())).await?;
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
        self.expect(wake_at);
        if matches!(change, Amend::Retry) {
            let mut watch = self.watch();
            step.changed.iter().for_each(|id| watch.reopen(id));
        }
        if !step.ended.is_empty() {
            let now = self.now();
            self.core().count_ended_unrun(step.ended.len(), now);
            self.watch().ended_elsewhere(&step.ended);
            self.asked.notify_one();
        }
        self.call_host();
        self.nudge();
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

    /// Puts what blocks the host's loop into the log, while it does.
    fn tell_stall(&self, now: Millis) {
        let stall = self.core().take_stall(now);
        if let Some(Stall { length, culprit, .. }) = stall {
            let tasks = culprit.names.join(", ");
            match culprit.names.len() {
                1 => {
                    tracing::warn!(target: "task::engine", tasks, blocked_ms = length, "a task blocks the event loop")
                }
                _ => {
                    tracing::warn!(target: "task::engine", tasks, blocked_ms = length, "one of these blocks the event loop")
                }
            }
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
    pub async fn unless_over<T>(&self, call: Answer<'_, T>) -> Result<T, TaskError> {
        tokio::select! {
            biased;
            answer = call => Ok(answer?),
            () = self.over() => Err(TaskError::Closed),
        }
    }

    pub fn end(&self) {
        self.gone.store(true, Ordering::SeqCst);
        self.left.notify_waiters();
    }

    /// Calls the host if it has anything to fetch, or to let the process go.
    pub fn call_host(&self) {
        let now = self.now();
        self.tell_stall(now);
        let (call, lets_go) = {
            let mut core = self.core();
            let out = &core.outbox;
            let full = !out.words.is_empty() || !out.starts.is_empty() || !out.stops.is_empty();
            let call = full || !core.events.is_empty() || core.wants_ping(now) || core.wants_sample(now);
            if call {
                self.stamp(&mut core);
                core.host_called(now);
            }
            (call, self.told_holds.load(Ordering::SeqCst) && !self.holds(&core))
        };
        if call || lets_go || self.watch().has_notices() {
            self.host.wake();
        }
    }
}
