//! How a `Task` is made, and how its handler's output becomes the task's.
//!
//! `build` exists three times, and the compiler takes the first that fits: on `TaskBuilder` for a `Result` of
//! `TaskOutput` and `TaskError`, on `Fallible` for any other `Result`, on `Infallible` for any other value. The
//! first is what lets `Ok::<_, TaskError>("text".into())` compile: with it alone in sight, the type of the
//! success is known. `Deref` leads from one to the next, since a method found earlier wins; it cannot be left by
//! value, which is why `build` borrows.

use std::ops::Deref;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde::Serialize;

use crate::error::TaskError;
use crate::policy::RetryPolicy;
use crate::task::Name;

use super::failure::AnyError;
use super::handler::{Convert, Handler, WorkFor, from_result};
use super::settings::{check, check_timeout};
use super::task::{Draft, Task};
use super::{Ended, TaskOutput};

/// Makes a `Task`: settings in any order, then `handler`, then `build`.
///
/// ```
/// use std::time::Duration;
/// use task::{RetryPolicy, Task};
///
/// let task = Task::builder()
///     .name("report")
///     .timeout(Duration::from_secs(5))
///     .retry(RetryPolicy::exponential_backoff(3, Duration::from_millis(100)))
///     .handler(async || "written")
///     .build();
/// assert_eq!(task.name(), "report");
/// ```
#[must_use]
pub struct TaskBuilder<H = NoHandler>(Fallible<H>);

/// A builder whose handler gives a `Result`.
pub struct Fallible<H>(Infallible<H>);

/// A builder whose handler gives a value that is no `Result`.
pub struct Infallible<H> {
    draft: Draft,
    handler: H,
}

/// A builder that has no handler yet.
#[derive(Debug)]
pub struct NoHandler;

/// A builder whose handler gives an `O`.
pub struct Returning<O>(Mutex<Option<WorkFor<O>>>);

impl TaskBuilder {
    pub(super) fn new() -> Self {
        Self(Fallible(Infallible { draft: Draft::default(), handler: NoHandler }))
    }

    /// What the task does: see [`Handler`] for the forms it can have.
    ///
    /// What it gives is the output of the task: a value that serde can serialize, or a `Result` of such a value
    /// and any error. A panic is an attempt that failed.
    pub fn handler<H: Handler<Form>, Form>(self, handler: H) -> TaskBuilder<Returning<H::Output>> {
        let TaskBuilder(Fallible(Infallible { draft, .. })) = self;
        TaskBuilder(Fallible(Infallible { draft, handler: Returning(Mutex::new(Some(handler.into_work()))) }))
    }
}

impl<H> TaskBuilder<H> {
    fn draft(&mut self) -> &mut Draft {
        &mut self.0.0.draft
    }

    /// What the task is called in logs and errors: 1 to 128 bytes without control characters. Default: `task`.
    pub fn name(mut self, name: impl Into<Name>) -> Self {
        let name = name.into();
        let checked = check("name of a task", &name);
        self.draft().blame(checked);
        self.draft().name = name;
        self
    }

    /// What the task is for, in words.
    pub fn description(mut self, text: impl Into<String>) -> Self {
        self.draft().description = Some(text.into().into());
        self
    }

    /// Larger starts first; equals start in the order in which they came. Default: 0.
    pub fn priority(mut self, priority: i32) -> Self {
        self.draft().priority = priority;
        self
    }

    /// How long one attempt may take. Default: that of the executor.
    ///
    /// The attempt ends on time whatever its handler does. The handler's future is dropped where it awaits next,
    /// as for every future in Rust that is not wanted any more: it then holds no connection, lock or memory that
    /// its next attempt may need. A handler that does not come to an `await` cannot be stopped from outside; it
    /// is left behind and counted, and what it returns is ignored.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        let checked = check_timeout(Some(timeout));
        self.draft().blame(checked);
        self.draft().timeout = Some(timeout);
        self
    }

    /// When it runs by itself: a cron expression or a `Schedule`, for `TaskScheduler::schedule`.
    #[cfg(feature = "cron")]
    pub fn schedule(mut self, when: impl Into<super::schedule::Schedule>) -> Self {
        self.draft().schedule = Some(when.into());
        self
    }

    /// What follows a failure. Default: that of the executor. A bare future has one attempt all the same.
    pub fn retry(mut self, policy: RetryPolicy) -> Self {
        self.draft().retry = Some(policy);
        self
    }
}

impl TaskBuilder<Returning<Result<TaskOutput, TaskError>>> {
    /// The task; a builder builds one. What is wrong with a setting is said by `execute`, before anything runs.
    pub fn build(&self) -> Task {
        fn as_it_is(result: Ended) -> Ended {
            result
        }
        self.0.0.finish(as_it_is)
    }
}

impl<T: Serialize + 'static, E: Into<AnyError> + 'static> Fallible<Returning<Result<T, E>>> {
    /// The task; a builder builds one. What is wrong with a setting is said by `execute`, before anything runs.
    pub fn build(&self) -> Task {
        self.0.finish(from_result)
    }
}

impl<O: Serialize + 'static> Infallible<Returning<O>> {
    /// The task; a builder builds one. What is wrong with a setting is said by `execute`, before anything runs.
    pub fn build(&self) -> Task {
        self.finish(|value| TaskOutput::new(&value))
    }
}

impl<O: 'static> Infallible<Returning<O>> {
    /// Takes the handler out: what it has captured belongs to the task alone, however long the builder lives.
    fn finish(&self, convert: Convert<O>) -> Task {
        let mut draft = self.draft.clone();
        let work =
            self.handler.0.lock().unwrap_or_else(PoisonError::into_inner).take().unwrap_or_else(|| {
                draft.blame(Err(TaskError::option("a builder builds one task; this one has built it")));
                WorkFor::nothing()
            });
        Task { draft, work: work.converted(convert) }
    }
}

impl<O> Deref for TaskBuilder<Returning<O>> {
    type Target = Fallible<Returning<O>>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl<O> Deref for Fallible<Returning<O>> {
    type Target = Infallible<Returning<O>>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}
