//! A stored task, held by whoever enqueued it.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use tokio::sync::oneshot;

use crate::engine::{Engine, Final, Level, Waiter};
use crate::error::TaskError;
use crate::store::{Amend, Found, Pushed, Target};
use crate::task::{Attempt, NoteKind, Notes, Record, TaskId, View};
use crate::time::Millis;

use super::TaskOutput;
use super::desk::broken_line;
use super::executor::on_engine;

/// An enqueued task. Its outcome can be had as long as the handle lives, also when the store has forgotten
/// the task; the task goes on without its handle.
pub struct TaskHandle {
    engine: Arc<Engine>,
    id: TaskId,
    created: bool,
    /// One question for all who ask this handle.
    outcome: Mutex<Option<Shared<BoxFuture<'static, Final>>>>,
}

/// What is known of a stored task.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TaskInfo {
    /// Its id.
    pub id: String,
    /// The name of its kind.
    pub name: String,
    /// The queue it stands in.
    pub queue: String,
    /// How far it has come.
    pub state: View,
    /// Larger starts first.
    pub priority: i32,
    /// The run that is under way or comes next: 1 for the first.
    pub attempt: u32,
    /// Runs there may be in all.
    pub max_attempts: u32,
    /// What the handler gets.
    pub input: TaskOutput,
    /// What the handler returned.
    pub output: Option<TaskOutput>,
    /// The newest failed attempts, oldest first.
    pub errors: Vec<Attempt>,
    /// When it was enqueued.
    pub created_at: SystemTime,
    /// The earliest start.
    pub run_at: SystemTime,
    /// The latest start.
    pub started_at: Option<SystemTime>,
    /// When it ended.
    pub finished_at: Option<SystemTime>,
}

impl TaskHandle {
    pub(super) fn new(engine: Arc<Engine>, pushed: Pushed) -> Self {
        let Pushed { id, created, .. } = pushed;
        engine.watch().hold(id.clone(), created);
        Self { engine, id, created, outcome: Mutex::default() }
    }

    /// The task's id.
    pub fn id(&self) -> &str {
        self.id.as_str()
    }

    /// False where the id or the key was that of a task that is there already: this is its handle.
    pub fn created(&self) -> bool {
        self.created
    }

    /// What the task returns, once it has ended well; otherwise why it has not. May be asked again.
    pub async fn result(&self) -> Result<TaskOutput, TaskError> {
        let outcome = self.outcome().get_or_insert_with(|| self.ask()).clone();
        outcome.await.map(TaskOutput::from_json)
    }

    fn outcome(&self) -> std::sync::MutexGuard<'_, Option<Shared<BoxFuture<'static, Final>>>> {
        self.outcome.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ask(&self) -> Shared<BoxFuture<'static, Final>> {
        let (sender, answer) = oneshot::channel();
        self.engine.wait(self.id.clone(), Waiter::Channel(sender));
        answer.map(|sent| sent.unwrap_or(Err(TaskError::Closed))).boxed().shared()
    }

    /// How far it has come; an error ERR_TASK_NOT_FOUND where the store has forgotten it.
    pub async fn status(&self) -> Result<TaskInfo, TaskError> {
        let info = look_up(&self.engine, self.id.clone()).await?;
        info.ok_or_else(|| TaskError::NotFound(self.id.to_text()))
    }

    /// Cancels it: at once while it waits; while it runs, its handler is told, and it ends when the handler
    /// does, at the latest after `cancel_grace`. False if it had ended.
    pub async fn cancel(&self) -> Result<bool, TaskError> {
        self.amend(Amend::Cancel("on request".into())).await
    }

    /// Lets an ended task run again, with all its attempts, and after it the tasks of its flow that were cancelled
    /// because of it alone. False if it has not ended.
    pub async fn retry(&self) -> Result<bool, TaskError> {
        let (engine, ids) = (self.engine.clone(), vec![self.id.clone()]);
        if engine.is_closed() {
            return Err(TaskError::Closed);
        }
        let changed = on_engine(async move { Ok(!engine.retry(ids).await?.changed.is_empty()) }).await?;
        self.ask_anew();
        Ok(changed)
    }

    /// Its outcome may be another one from now on.
    pub(super) fn ask_anew(&self) {
        *self.outcome() = None;
    }

    /// The result, for a future that does not borrow the handle.
    pub(super) fn result_of(&self) -> impl Future<Output = Result<TaskOutput, TaskError>> + use<> {
        let outcome = self.outcome().get_or_insert_with(|| self.ask()).clone();
        async move { outcome.await.map(TaskOutput::from_json) }
    }

    /// What `TaskContext::progress` was last called with.
    pub async fn progress(&self) -> Result<Option<TaskOutput>, TaskError> {
        let notes = self.notes(NoteKind::Progress).await?;
        Ok(notes.into_iter().next().map(|(_, value)| TaskOutput::from_json(value)))
    }

    /// What `TaskContext::log` was called with in all its runs, oldest first.
    pub async fn logs(&self) -> Result<Vec<LogLine>, TaskError> {
        let read = |(_, text): &(crate::task::Name, crate::task::Text)| LogLine::of(text);
        self.notes(NoteKind::Lines).await?.iter().map(read).collect()
    }

    async fn notes(&self, kind: NoteKind) -> Result<Notes, TaskError> {
        let (engine, ids) = (self.engine.clone(), vec![self.id.clone()]);
        on_engine(async move { Ok(engine.notes(ids, kind).await?.pop().unwrap_or_default()) }).await
    }

    /// Starts a delayed task now. False if it does not wait for its time.
    pub async fn promote(&self) -> Result<bool, TaskError> {
        self.amend(Amend::Promote).await
    }

    /// Changes the priority of a waiting task. False if it does not wait.
    pub async fn set_priority(&self, priority: i32) -> Result<bool, TaskError> {
        self.amend(Amend::Prioritise(priority)).await
    }

    async fn amend(&self, change: Amend) -> Result<bool, TaskError> {
        let (engine, target) = (self.engine.clone(), Target::Ids(vec![self.id.clone()]));
        if engine.is_closed() {
            return Err(TaskError::Closed);
        }
        on_engine(async move { Ok(!engine.amend(target, change).await?.changed.is_empty()) }).await
    }
}

impl Drop for TaskHandle {
    fn drop(&mut self) {
        self.engine.watch().let_go(&self.id);
    }
}

impl fmt::Debug for TaskHandle {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("TaskHandle")
            .field("id", &self.id)
            .field("created", &self.created)
            .finish_non_exhaustive()
    }
}

/// What the store knows of a task.
pub(super) async fn look_up(engine: &Arc<Engine>, id: TaskId) -> Result<Option<TaskInfo>, TaskError> {
    if engine.is_closed() {
        return Err(TaskError::Closed);
    }
    let engine = engine.clone();
    let Found { now, records } = on_engine(async move { engine.get(vec![id]).await }).await?;
    Ok(records.into_iter().flatten().next().map(|record| TaskInfo::of(&record, now)))
}

impl TaskInfo {
    pub(super) fn of(Record { spec, status }: &Record, now: Millis) -> Self {
        Self {
            id: spec.id.as_str().to_owned(),
            name: spec.name.as_ref().to_owned(),
            queue: spec.queue.as_ref().to_owned(),
            state: status.view(now),
            priority: status.priority,
            attempt: status.attempt().min(spec.retry.attempts.max(1)),
            max_attempts: spec.retry.attempts.max(1),
            input: TaskOutput::from_json(spec.input.clone()),
            output: status.output.clone().map(TaskOutput::from_json),
            errors: status.attempts.clone(),
            created_at: date(status.created_at),
            run_at: date(status.run_at),
            started_at: status.started_at.map(date),
            finished_at: status.finished_at.map(date),
        }
    }
}

/// A line of the log of a task.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct LogLine {
    /// When it was written, on the clock of the machine that ran the task.
    pub at: SystemTime,
    /// By which run.
    pub attempt: u32,
    /// How much somebody should care.
    pub level: Level,
    /// What it says.
    pub message: String,
    /// What belongs to it: an object.
    pub fields: Option<TaskOutput>,
}

#[derive(serde::Deserialize)]
struct Line<'a> {
    at: Millis,
    attempt: u32,
    level: &'a str,
    message: String,
    #[serde(borrow)]
    fields: Option<&'a serde_json::value::RawValue>,
}

impl LogLine {
    fn of(text: &str) -> Result<Self, TaskError> {
        let line: Line<'_> = serde_json::from_str(text).map_err(|error| broken_line(&error))?;
        let Line { at, attempt, level, message, fields } = line;
        let fields = fields.map(|fields| TaskOutput::from_json(fields.get().into()));
        let level = Level::from_word(level).unwrap_or(Level::Info);
        Ok(Self { at: date(at), attempt, level, message, fields })
    }
}

fn date(at: Millis) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(at)
}
