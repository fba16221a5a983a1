//! The executor as its users hold it.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use serde::Serialize;

use crate::engine::{Engine, runtime};
use crate::error::TaskError;
use crate::policy::RetryPolicy;
use crate::store::{Counts, Node};
use crate::task::{Name, Spec, TaskId};
use crate::time::Millis;

use super::enqueue::Enqueue;
use super::handle::{TaskInfo, look_up};
use super::handler::KindHandler;
use super::host::RustHost;
use super::kind::TaskKind;
use super::lane::Local;
use super::limits::RateLimiter;
use super::settings::{ExecutorBuilder, check, millis};
use super::task::{Draft, Task};
use super::{Ended, TaskOutput};

/// Runs tasks, so many at once, by priority, with retries and timeouts. Cheap to clone: clones are the same
/// executor.
///
/// Handlers run on the tokio runtime that the executor was made in, else on threads of this library; the
/// executor ends with that runtime. The calls themselves can be awaited on any runtime or none.
///
/// The last clone to go ends what runs and refuses what waits, at once; [`close`](Self::close) does so in good
/// order. A registered handler that has a clone of its executor keeps it from going: such an executor ends by
/// `close`.
#[derive(Clone)]
pub struct TaskExecutor {
    inner: Arc<Inner>,
}

/// A way back to an executor that does not keep it.
#[derive(Clone, Default)]
pub(super) struct Owner(std::sync::Weak<Inner>);

impl Owner {
    pub fn executor(&self) -> Option<TaskExecutor> {
        self.0.upgrade().map(|inner| TaskExecutor { inner })
    }
}

struct Inner {
    engine: Arc<Engine>,
    host: Arc<RustHost>,
    timeout: Option<Millis>,
    retry: RetryPolicy,
    grace: Millis,
    /// It has made its store itself, and works on it from the first `enqueue` on.
    own_store: bool,
    started: AtomicBool,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.host.end();
    }
}

impl Default for TaskExecutor {
    fn default() -> Self {
        Self::from_checked(ExecutorBuilder::default())
    }
}

impl TaskExecutor {
    /// An executor with the default settings: as many tasks at once as there are processors, no retry, no
    /// timeout.
    pub fn new() -> Self {
        Self::default()
    }

    /// An executor that retries failures by this policy where a task says nothing else.
    pub fn with_retry(policy: RetryPolicy) -> Self {
        Self::from_checked(ExecutorBuilder::default().retry(policy))
    }

    /// An executor that starts no more than this.
    ///
    /// ```
    /// use task::{RateLimiter, TaskExecutor};
    ///
    /// let executor = TaskExecutor::with_rate_limiter(RateLimiter::with_defaults());
    /// ```
    pub fn with_rate_limiter(limiter: RateLimiter) -> Self {
        Self::from_checked(ExecutorBuilder::default().rate_limiter(&limiter))
    }

    /// An executor whose enqueued tasks are kept at this address: see `ExecutorBuilder::persistence`.
    ///
    /// # Errors
    /// ERR_OPTION where there is no such store, or not in this build.
    pub fn with_persistence(address: impl Into<String>) -> Result<Self, TaskError> {
        ExecutorBuilder::default().persistence(address).build()
    }

    /// Settings for an executor.
    pub fn builder() -> ExecutorBuilder {
        ExecutorBuilder::default()
    }

    pub(super) fn from_checked(settings: ExecutorBuilder) -> Self {
        let host = RustHost::new(settings.handlers());
        let (config, own_store) = (settings.config(), settings.store.is_none());
        let (timeout, grace) = (settings.timeout_ms(), settings.grace_ms());
        let limits = settings.clone();
        let store = settings.store_or_memory();
        let engine = Arc::new(Engine::new(config, store, settings.retention, host.clone()));
        limits.limit(&mut engine.core());
        host.serve(&engine);
        let (retry, started) = (settings.retry, AtomicBool::new(false));
        let executor =
            Self { inner: Arc::new(Inner { engine, host, timeout, retry, grace, own_store, started }) };
        executor.inner.host.owner.get_or_init(|| executor.owner());
        executor
    }

    /// Runs a task here and now, when there is room for it, and gives what it returns. It is never stored.
    ///
    /// The error is the handler's own where it returned one ([`TaskError::downcast_ref`]), ERR_TASK_TIMEOUT
    /// where the last attempt took too long. Dropping this future cancels the task: a waiting one is gone, the
    /// handler of a running one is dropped, or, if it takes a `TaskContext`, told and dropped after
    /// `cancel_grace`. A task that executes another one keeps its place meanwhile: with a concurrency of 1 both
    /// wait forever.
    pub async fn execute(&self, task: Task) -> Result<TaskOutput, TaskError> {
        match self.submit(vec![task])?.pop() {
            Some(awaited) => awaited.await,
            None => Err(TaskError::Closed),
        }
    }

    /// Runs tasks, and gives what they return in the same order; fails with the first failure there is.
    ///
    /// The others go on after a failure: all tasks are run. Dropping this future cancels those that have not
    /// ended.
    ///
    /// It takes a `Vec`, and nothing more general, so that a `collect()` just before knows what to make.
    pub async fn execute_all(&self, tasks: Vec<Task>) -> Result<Vec<TaskOutput>, TaskError> {
        let waiting = self.submit(tasks)?.into_iter().enumerate();
        let mut outputs: Vec<Option<TaskOutput>> = vec![None; waiting.len()];
        let mut waiting: FuturesUnordered<_> = waiting.map(|(at, awaited)| Place { at, awaited }).collect();
        while let Some((at, ended)) = waiting.next().await {
            match ended {
                Ok(output) => outputs[at] = Some(output),
                Err(error) => {
                    waiting.into_iter().for_each(|place| place.awaited.leave());
                    return Err(error);
                }
            }
        }
        Ok(outputs.into_iter().flatten().collect())
    }

    fn submit(&self, tasks: Vec<Task>) -> Result<Vec<super::awaited::Awaited>, TaskError> {
        let tasks = tasks.into_iter().map(|task| self.local(task)).collect::<Result<_, _>>()?;
        self.inner.host.submit(tasks)
    }

    /// A task with the defaults filled in.
    fn local(&self, Task { draft, work }: Task) -> Result<Local, TaskError> {
        let Draft { name, priority, timeout, retry, problem, .. } = draft;
        if let Some(problem) = problem {
            return Err(problem);
        }
        let timeout = timeout.map(millis).or(self.inner.timeout);
        let retry = retry.unwrap_or_else(|| self.inner.retry.clone());
        Ok(Local { name, priority, timeout, retry, work })
    }

    /// Makes a kind of task known, with the handler that runs it: see [`KindHandler`].
    ///
    /// An error ERR_OPTION where the kind has a handler here already.
    ///
    /// ```
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), task::TaskError> {
    /// use task::TaskExecutor;
    ///
    /// let executor = TaskExecutor::new();
    /// executor.register("greet", async |name: String| Ok::<_, std::io::Error>(format!("Hello {name}")))?;
    /// let handle = executor.enqueue("greet", "Ada").await?;
    /// assert_eq!(handle.result().await?.to_string(), "Hello Ada");
    /// # Ok(())
    /// # }
    /// ```
    pub fn register<Form>(
        &self,
        kind: impl Into<TaskKind>,
        handler: impl KindHandler<Form>,
    ) -> Result<(), TaskError> {
        let kind = kind.into();
        kind.check()?;
        self.inner.host.register(kind, handler.into_work())
    }

    /// Puts a task of a kind into the store, when awaited, and gives its handle. The kind may be registered
    /// later, or elsewhere: the task waits for it.
    pub fn enqueue<In: Serialize>(&self, kind: impl Into<Name>, input: In) -> Enqueue {
        Enqueue::new(self.clone(), kind.into(), input)
    }

    /// A way back to it that does not keep it.
    pub(super) fn owner(&self) -> Owner {
        Owner(Arc::downgrade(&self.inner))
    }

    /// A spec with the defaults of its kind, else of the executor.
    pub(super) fn spec(&self, name: Name, input: String) -> Spec {
        let kind = self.inner.host.kind(&name).unwrap_or_else(|| TaskKind::new(name.clone()));
        Spec {
            queue: kind.queue,
            priority: kind.priority,
            timeout: kind.timeout.map(millis).or(self.inner.timeout),
            retry: kind.retry.unwrap_or_else(|| self.inner.retry.clone()),
            ..Spec::new(name, input)
        }
    }

    /// Begins to work on what is in the store, once that can be used, and makes or changes the schedule of each
    /// registered kind that has one; an error says why it cannot. An executor
    /// whose store is its own memory does so by itself at its first `enqueue`.
    pub async fn start(&self) -> Result<(), TaskError> {
        self.check_open()?;
        let engine = self.inner.engine.clone();
        on_engine(async move { engine.open().await }).await?;
        self.inner.started.store(true, Ordering::SeqCst);
        #[cfg(feature = "cron")]
        for kind in self.inner.host.scheduled_kinds() {
            let scheduler = super::TaskScheduler::with_executor(self.clone());
            if let Some(when) = kind.schedule.clone() {
                scheduler.schedule_kind(kind.name().clone(), when, ()).await?;
            }
        }
        Ok(())
    }

    fn begin(&self) {
        if !self.inner.started.swap(true, Ordering::SeqCst) {
            self.inner.engine.start();
        }
    }

    pub(super) fn start_if_its_own(&self) {
        if self.inner.own_store {
            self.begin();
        }
    }

    pub(super) fn engine(&self) -> &Arc<Engine> {
        &self.inner.engine
    }

    pub(super) fn host(&self) -> &Arc<RustHost> {
        &self.inner.host
    }

    pub(super) fn is_open(&self) -> bool {
        !self.inner.engine.is_closing() && !self.inner.engine.is_closed()
    }

    pub(super) fn check_open(&self) -> Result<(), TaskError> {
        if self.is_open() { Ok(()) } else { Err(TaskError::Closed) }
    }

    /// What is known of an enqueued task; `None` if there is none with this id, or none any more.
    pub async fn get(&self, id: &str) -> Result<Option<TaskInfo>, TaskError> {
        check("id of a task", id)?;
        look_up(&self.inner.engine, TaskId::from(id)).await
    }

    /// How many enqueued tasks are in each state.
    pub async fn counts(&self) -> Result<Counts, TaskError> {
        self.check_open()?;
        let engine = self.inner.engine.clone();
        on_engine(async move { engine.counts(None).await }).await
    }

    /// The executors that work on the same store, here and in other processes, by id.
    pub async fn nodes(&self) -> Result<Vec<Node>, TaskError> {
        self.check_open()?;
        let engine = self.inner.engine.clone();
        on_engine(async move { engine.nodes().await }).await
    }

    /// Starts nothing more on this executor; what runs goes on.
    pub fn pause(&self) {
        self.set_paused(true);
    }

    /// Starts tasks again.
    pub fn resume(&self) {
        self.set_paused(false);
    }

    fn set_paused(&self, paused: bool) {
        self.inner.engine.core().set_paused(paused);
        self.inner.engine.nudge();
    }

    /// Resolves when nothing waits and nothing runs, or when the executor has closed.
    pub async fn on_idle(&self) -> Result<(), TaskError> {
        let engine = self.inner.engine.clone();
        on_engine(async move { engine.idle().await }).await
    }

    /// Closes: refuses what waits here and what comes, lets running tasks end for `grace_period`, tells them at
    /// half of it, drops them at the end. Enqueued tasks stay in their store; those that run are given back.
    ///
    /// Takes at most `grace_period` and 2 s more. May be called again, from several places, and by a handler;
    /// goes on when its future is dropped.
    pub async fn close(&self) {
        let (engine, host, grace) = (self.inner.engine.clone(), self.inner.host.clone(), self.inner.grace);
        let closed = on_engine(async move {
            engine.close(grace).await;
            host.end();
            Ok(())
        });
        if let Err(error) = closed.await {
            tracing::error!(target: "task::api", %error, "the executor could not close in good order");
        }
    }
}

impl fmt::Debug for TaskExecutor {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("TaskExecutor")
            .field("retry", &self.inner.retry)
            .field("closed", &self.inner.engine.is_closed())
            .finish_non_exhaustive()
    }
}

/// A task among others.
struct Place {
    at: usize,
    awaited: super::awaited::Awaited,
}

impl Future for Place {
    type Output = (usize, Ended);

    fn poll(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Self::Output> {
        let at = self.at;
        std::pin::Pin::new(&mut self.awaited).poll(context).map(|ended| (at, ended))
    }
}

/// Does what needs a timer or a store on the engine's runtime, so that callers need none. It is done to its
/// end even if nobody waits for it any more.
pub(super) async fn on_engine<T: Send + 'static>(
    work: impl Future<Output = Result<T, TaskError>> + Send + 'static,
) -> Result<T, TaskError> {
    match runtime().spawn(work).await {
        Ok(result) => result,
        Err(error) => Err(TaskError::Engine(error.to_string().into())),
    }
}
