//! A task on its way into the store.

use std::fmt;
use std::future::IntoFuture;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio::sync::oneshot;

use crate::engine::{Engine, PushResult};
use crate::error::TaskError;
use crate::policy::RetryPolicy;
use crate::store::Push;
use crate::task::{Blockers, Conflict, Key, Name, OnBlockerFailure, Quiet, Spec, TaskId, When};

use super::executor::TaskExecutor;
use super::failure::not_json;
use super::handle::TaskHandle;
use super::settings::{check, check_timeout, millis};

/// A task that is enqueued when this is awaited; what is not set it has from its kind, else from the executor.
///
/// ```
/// # #[tokio::main]
/// # async fn main() -> Result<(), task::TaskError> {
/// use std::time::Duration;
/// use task::TaskExecutor;
///
/// let executor = TaskExecutor::new();
/// executor.register("double", async |n: u32| Ok::<_, std::io::Error>(n * 2))?;
/// let handle = executor.enqueue("double", 21).priority(5).delay(Duration::from_millis(1)).await?;
/// assert_eq!(handle.result().await?.parse::<u32>()?, 42);
/// # Ok(())
/// # }
/// ```
#[must_use = "nothing is enqueued before this is awaited"]
pub struct Enqueue {
    executor: TaskExecutor,
    spec: Spec,
    problem: Option<TaskError>,
}

impl Enqueue {
    pub(super) fn new<In: Serialize>(executor: TaskExecutor, name: Name, input: In) -> Self {
        let mut problem = check("name of a kind", &name).err();
        let text = serde_json::to_string(&input).unwrap_or_else(|error| {
            problem.get_or_insert(not_json("the input cannot be JSON", error));
            "null".into()
        });
        let spec = executor.spec(name, text);
        Self { executor, spec, problem }
    }

    fn blame(&mut self, checked: Result<(), TaskError>) {
        if self.problem.is_none() {
            self.problem = checked.err();
        }
    }

    /// The task's id. One that a task has already gives the handle of that task; with another input it is an
    /// error ERR_TASK_DUPLICATE. Default: a new UUIDv7.
    pub fn id(mut self, id: &str) -> Self {
        let checked = check("id of a task", id);
        self.blame(checked);
        (self.spec.id, self.spec.minted) = (TaskId::from(id), false);
        self
    }

    /// The queue it stands in.
    pub fn queue(mut self, queue: impl Into<Name>) -> Self {
        self.spec.queue = queue.into();
        let checked = check("name of a queue", &self.spec.queue);
        self.blame(checked);
        self
    }

    /// Groups of equal priority take turns; limits by group count it.
    pub fn group(mut self, group: impl Into<Name>) -> Self {
        let group = group.into();
        let checked = check("group of a task", &group);
        self.blame(checked);
        self.spec.group = Some(group);
        self
    }

    /// Larger starts first; equals start in the order in which they came.
    pub fn priority(mut self, priority: i32) -> Self {
        self.spec.priority = priority;
        self
    }

    /// It does not start before this time has passed.
    pub fn delay(mut self, delay: Duration) -> Self {
        self.spec.when = When::After(millis(delay));
        self
    }

    /// How long one attempt may take.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        let checked = check_timeout(Some(timeout));
        self.blame(checked);
        self.spec.timeout = Some(millis(timeout));
        self
    }

    /// What follows a failure.
    pub fn retry(mut self, policy: RetryPolicy) -> Self {
        self.spec.retry = policy;
        self
    }

    /// At most one unfinished task of the queue has this key: while there is one, its handle is what one gets.
    pub fn key(mut self, key: impl Into<Name>) -> Self {
        let text = key.into();
        let checked = check("key of a task", &text);
        self.blame(checked);
        self.spec.key = Some(Key { text, conflict: Conflict::Ignore, quiet: Quiet::Off });
        self
    }

    /// Tasks that have to complete first, by their ids; one that is named twice counts once.
    pub fn after<S: AsRef<str>>(mut self, ids: impl IntoIterator<Item = S>) -> Self {
        let ids: Vec<TaskId> = ids.into_iter().map(|id| TaskId::from(id.as_ref())).collect();
        let on_failure =
            self.spec.blockers.take().map_or_else(Default::default, |blockers| blockers.on_failure);
        self.spec.blockers = (!ids.is_empty()).then_some(Blockers { ids, on_failure });
        self
    }

    /// It runs in spite of tasks of `after` that fail or are cancelled; say it after `after`.
    pub fn run_anyway(mut self) -> Self {
        if let Some(blockers) = &mut self.spec.blockers {
            blockers.on_failure = OnBlockerFailure::Run;
        }
        self
    }

    /// What was made of it, or what is wrong with it.
    pub(super) fn into_spec(self) -> Result<Spec, TaskError> {
        match self.problem {
            Some(problem) => Err(problem),
            None => Ok(self.spec),
        }
    }

    async fn send(self) -> Result<TaskHandle, TaskError> {
        if let Some(problem) = self.problem {
            return Err(problem);
        }
        let engine = self.executor.engine();
        if engine.is_closing() || engine.is_closed() {
            return Err(TaskError::Closed);
        }
        self.executor.start_if_its_own();
        let (reply, answer) = oneshot::channel();
        let (owner, push) = (Arc::downgrade(engine), Push::of([self.spec]));
        let answered = move |answers| {
            // The engine is there where it answers; who has stopped waiting need not be told.
            let handle =
                owner.upgrade().ok_or(TaskError::Closed).and_then(|engine| handle_of(engine, answers));
            let _ = reply.send(handle);
        };
        engine.push(Box::new(move || Ok(vec![push])), Box::new(answered));
        if engine.is_closed() {
            return Err(TaskError::Closed);
        }
        answer.await.unwrap_or(Err(TaskError::Closed))
    }
}

fn handle_of(
    engine: Arc<Engine>,
    answers: Result<Vec<PushResult>, TaskError>,
) -> Result<TaskHandle, TaskError> {
    let pushed = answers?.pop().unwrap_or(Err(TaskError::Closed))?.pop();
    pushed.map(|pushed| TaskHandle::new(engine, pushed)).ok_or(TaskError::Closed)
}

impl IntoFuture for Enqueue {
    type Output = Result<TaskHandle, TaskError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.send())
    }
}

impl fmt::Debug for Enqueue {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Enqueue").field("spec", &self.spec).field("problem", &self.problem).finish()
    }
}
