//! The scheduler as its users hold it.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use serde::Serialize;
use serde_json::value::RawValue;

use crate::engine::schedule::Template;
use crate::error::TaskError;
use crate::policy::RetryPolicy;
use crate::policy::cron::tzdb_version;
use crate::task::{Name, Spec};

use super::executor::{TaskExecutor, on_engine};
use super::failure::not_json;
use super::handle::TaskHandle;
use super::handler::KindWork;
use super::kind::TaskKind;
use super::schedule::{Schedule, ScheduleInfo, date, since_epoch};
use super::settings::check;
use super::task::Task;

/// Runs tasks at dates. Cheap to clone: clones are the same scheduler.
///
/// Schedules live in the store of an executor, and each slot is one task of it, once over all processes. Every
/// started executor on that store fires them, unless it works on no queue; a scheduler is only needed where schedules
/// are made and changed.
///
/// ```
/// # #[tokio::main]
/// # async fn main() -> Result<(), task::TaskError> {
/// use task::{Task, TaskScheduler};
///
/// let scheduler = TaskScheduler::new();
/// let task = Task::builder()
///     .name("Hourly Cleanup")
///     .schedule("0 * * * *")
///     .handler(async || "cleanup complete")
///     .build();
/// let info = scheduler.schedule(task).await?;
/// assert!(info.next_run.is_some());
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct TaskScheduler {
    executor: TaskExecutor,
    /// It has made its executor, and closes it.
    own: bool,
}

impl Default for TaskScheduler {
    fn default() -> Self {
        Self { executor: TaskExecutor::new(), own: true }
    }
}

impl TaskScheduler {
    /// A scheduler with an executor of its own, in memory: its schedules live as long as it.
    pub fn new() -> Self {
        Self::default()
    }

    /// A scheduler for the store of this executor.
    pub fn with_executor(executor: TaskExecutor) -> Self {
        Self { executor, own: false }
    }

    /// Makes the schedule of a task, or changes the one with its key, and makes its handler that of its name here.
    ///
    /// With the same slots as before a schedule goes on where it was, and catches up; other slots begin now. A handler
    /// that is a bare future can run only once: its schedule fires once and then pauses, which is worth a warning in
    /// the log. An executor in memory starts by this; one with a store has to be started.
    ///
    /// # Errors
    /// ERR_SCHEDULE for the expression or the zone, ERR_OPTION for another setting, or where the task has no schedule or
    /// its name is that of a kind that was registered.
    pub async fn schedule(&self, task: Task) -> Result<ScheduleInfo, TaskError> {
        let Task { draft, work } = task;
        if let Some(problem) = draft.problem {
            return Err(problem);
        }
        let name = draft.name;
        let Some(schedule) = draft.schedule else {
            let text =
                format!("the task {name:?} has no schedule; give it one by Task::builder().schedule()");
            return Err(TaskError::option(text));
        };
        schedule.plan(date(self.executor.engine().date()))?;
        let once = !work.habits.repeatable;
        if once {
            tracing::warn!(
                target: "task::schedule", task = &*name,
                "the handler is a bare future, which runs once: its schedule will pause after one run; \
                 `async || {{ .. }}` can be run again"
            );
        }
        let (start, heeds_stop) = (work.start, work.habits.heeds_stop);
        let work = KindWork { start: Arc::new(move |_, context| start(context)), heeds_stop };
        let retry = if once { Some(RetryPolicy::none()) } else { draft.retry };
        let mut kind = TaskKind::new(name.clone()).priority(draft.priority).of_a_schedule();
        (kind.timeout, kind.retry) = (draft.timeout, retry);
        self.executor.host().register(kind, work)?;
        let template = template(self.executor.spec(name, "null".into()), once)?;
        self.make(&schedule, template).await
    }

    /// Makes a schedule for tasks of a registered kind; each run gets this input.
    pub async fn schedule_kind<In: Serialize>(
        &self,
        kind: impl Into<Name>,
        when: impl Into<Schedule>,
        input: In,
    ) -> Result<ScheduleInfo, TaskError> {
        let name = kind.into();
        check("name of a kind", &name)?;
        let input =
            serde_json::to_string(&input).map_err(|error| not_json("the input cannot be JSON", error))?;
        let template = template(self.executor.spec(name, input), false)?;
        self.make(&when.into(), template).await
    }

    async fn make(&self, schedule: &Schedule, template: Template) -> Result<ScheduleInfo, TaskError> {
        self.executor.check_open()?;
        self.executor.start_if_its_own();
        let (engine, wanted) = (self.executor.engine().clone(), schedule.wanted.clone());
        let key = schedule.key_of(&template.name)?;
        on_engine(async move { engine.schedule(&key, &wanted, template).await }).await.map(Into::into)
    }

    /// Removes a schedule; tasks that it has started go on. False where there is none.
    pub async fn unschedule(&self, key: &str) -> Result<bool, TaskError> {
        let (engine, key) = (self.executor.engine().clone(), self.key(key)?);
        on_engine(async move { engine.unschedule(&key).await }).await
    }

    /// Stops it from firing until `resume`, also over restarts. An error ERR_SCHEDULE where there is none.
    pub async fn pause(&self, key: &str) -> Result<(), TaskError> {
        self.set_paused(key, true).await
    }

    /// Lets it go on; slots that have passed meanwhile are not made up for. An error ERR_SCHEDULE where there is none.
    pub async fn resume(&self, key: &str) -> Result<(), TaskError> {
        self.set_paused(key, false).await
    }

    async fn set_paused(&self, key: &str, paused: bool) -> Result<(), TaskError> {
        let (engine, key) = (self.executor.engine().clone(), self.key(key)?);
        on_engine(async move { engine.set_schedule_paused(&key, paused).await.map(drop) }).await
    }

    /// Runs it now, beside its slots, also while it is paused. Where an earlier run stands for it, by what its overlap
    /// says, the handle is that of the earlier run. An error ERR_SCHEDULE where there is none.
    pub async fn trigger(&self, key: &str) -> Result<TaskHandle, TaskError> {
        let (engine, key) = (self.executor.engine().clone(), self.key(key)?);
        let pushed = on_engine(async move { engine.trigger(&key).await }).await?;
        Ok(TaskHandle::new(self.executor.engine().clone(), pushed))
    }

    /// All schedules of the store, by key.
    pub async fn list(&self) -> Result<Vec<ScheduleInfo>, TaskError> {
        self.executor.check_open()?;
        let engine = self.executor.engine().clone();
        let all = on_engine(async move { engine.schedules().await }).await?;
        Ok(all.into_iter().map(Into::into).collect())
    }

    /// The coming slots after an instant, without any store: at most `count`.
    pub fn preview(
        when: impl Into<Schedule>,
        count: usize,
        from: SystemTime,
    ) -> Result<Vec<SystemTime>, TaskError> {
        let slots = when.into().plan(from)?.preview(since_epoch(from), count);
        Ok(slots.into_iter().map(date).collect())
    }

    /// The first slot after an instant.
    pub fn next(when: impl Into<Schedule>, from: SystemTime) -> Result<Option<SystemTime>, TaskError> {
        Ok(when.into().plan(from)?.next(since_epoch(from)).map(date))
    }

    /// The last slot before an instant.
    pub fn previous(when: impl Into<Schedule>, from: SystemTime) -> Result<Option<SystemTime>, TaskError> {
        Ok(when.into().plan(from)?.previous(since_epoch(from)).map(date))
    }

    /// The version of the IANA time zones inside this library, such as `2026a`; those of the machine do not matter.
    pub fn time_zone_data() -> &'static str {
        tzdb_version()
    }

    /// Closes the executor if the scheduler has made it. Schedules in a store stay, and go on in the executors there.
    pub async fn close(&self) {
        if self.own {
            self.executor.close().await;
        }
    }

    fn key(&self, key: &str) -> Result<Name, TaskError> {
        self.executor.check_open()?;
        check("key of a schedule", key)?;
        Ok(key.into())
    }
}

impl fmt::Debug for TaskScheduler {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("TaskScheduler").field("executor", &self.executor).finish_non_exhaustive()
    }
}

/// Tasks like this one.
fn template(spec: Spec, once: bool) -> Result<Template, TaskError> {
    let Spec { name, queue, priority, timeout, retry, input, .. } = spec;
    let input =
        RawValue::from_string(input.to_string()).map_err(|error| not_json("the input is no JSON", error))?;
    Ok(Template { name, queue, priority, timeout, retry, input, once })
}
