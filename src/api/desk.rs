//! What a handler can ask for beside returning: results of blockers, steps, spawned tasks, progress, a log.
//!
//! Invariants: what is spawned is sent with the success of the attempt, or dropped with it; a key of a step is used
//! once in one run, unless the step has failed.

use std::collections::{HashMap, HashSet};
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::OnceCell;

use crate::engine::{Engine, Level};
use crate::error::TaskError;
use crate::store::StoreError;
use crate::task::{MAX_STEP_BYTES, Name, Spec, Text};
use crate::time::Millis;

use super::context::{RunId, TaskContext};
use super::enqueue::Enqueue;
use super::executor::{Owner, TaskExecutor, on_engine};
use super::settings::check;
use super::{TaskOutput, failure::not_json};

/// Tasks that one run may spawn.
const MAX_SPAWNED: usize = 10_000;

/// Of one run of a stored task.
#[derive(Default)]
pub(super) struct Desk {
    pub engine: Weak<Engine>,
    pub owner: Owner,
    keys: Mutex<HashSet<Name>>,
    known: OnceCell<HashMap<Name, Text>>,
    spawned: Mutex<Vec<Arc<Spec>>>,
}

impl Desk {
    pub fn new(engine: Weak<Engine>, owner: Owner) -> Self {
        Self { engine, owner, ..Self::default() }
    }

    /// The date where it runs.
    pub fn date(&self) -> Millis {
        self.engine.upgrade().map_or(0, |engine| engine.date())
    }

    /// What its success is to push.
    pub fn take_spawned(&self) -> Vec<Arc<Spec>> {
        std::mem::take(&mut *lock(&self.spawned))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl TaskContext {
    fn engine(&self) -> Result<Arc<Engine>, TaskError> {
        match self.run.id {
            RunId::Stored(_) => self.run.desk.engine.upgrade().ok_or(TaskError::Closed),
            RunId::Local(_) => Err(TaskError::option("a task that is executed here and now has no store")),
        }
    }

    fn place(&self) -> (u32, u32) {
        (self.run.slot, self.run.number)
    }

    /// The outputs of the tasks that this one has waited for, in the order of its `after`; `None` for one that did
    /// not complete. An error ERR_TASK_NOT_FOUND where one is no longer kept.
    pub async fn results(&self) -> Result<Vec<Option<TaskOutput>>, TaskError> {
        let (engine, (slot, number)) = (self.engine()?, self.place());
        let outputs = on_engine(async move { engine.results(slot, number).await }).await?;
        Ok(outputs.into_iter().map(|output| output.map(TaskOutput::from_json)).collect())
    }

    /// Runs `run` once for all runs of this task: its result is kept in the store under `key`, and the next run gets
    /// that. At most 1000 steps a task, 256 KiB of JSON a step. The steps of a task that has completed are
    /// forgotten when it is run again.
    ///
    /// An error is that of `run`; ERR_OPTION where a key comes twice in one run; ERR_TASK_LOST where this run has
    /// lost its task.
    pub async fn step<T, E, Fut>(&self, key: &str, run: impl FnOnce() -> Fut) -> Result<T, TaskError>
    where
        T: Serialize + DeserializeOwned,
        E: Into<TaskError>,
        Fut: Future<Output = Result<T, E>>,
    {
        check("key of a step", key)?;
        let key = Name::from(key);
        let desk = &self.run.desk;
        if !lock(&desk.keys).insert(key.clone()) {
            return Err(TaskError::option(format!("the step {key:?} was called twice in one run")));
        }
        let kept = self.kept_step(&key, run).await;
        if kept.is_err() {
            // A step that failed may be tried again by its own run.
            lock(&desk.keys).remove(&key);
        }
        kept
    }

    async fn kept_step<T, E, Fut>(&self, key: &Name, run: impl FnOnce() -> Fut) -> Result<T, TaskError>
    where
        T: Serialize + DeserializeOwned,
        E: Into<TaskError>,
        Fut: Future<Output = Result<T, E>>,
    {
        let (engine, (slot, number)) = (self.engine()?, self.place());
        let asked = engine.clone();
        let known = self.run.desk.known.get_or_try_init(|| async {
            let steps = on_engine(async move { asked.steps(slot, number).await }).await?;
            Ok::<_, TaskError>(steps.into_iter().collect())
        });
        let not_known = |error| not_json("the result of a step is something else", error);
        if let Some(text) = known.await?.get(key) {
            return serde_json::from_str(text).map_err(not_known);
        }
        let value = run().await.map_err(Into::into)?;
        let text = serde_json::to_string(&value)
            .map_err(|error| not_json("the result of a step cannot be JSON", error))?;
        if text.len() > MAX_STEP_BYTES {
            let bytes = text.len();
            return Err(TaskError::option(format!(
                "the result of step {key:?} has {bytes} bytes of JSON; a step may have {MAX_STEP_BYTES}"
            )));
        }
        let (key, kept) = (key.clone(), Text::from(text.as_str()));
        on_engine(async move { engine.note_step(slot, number, key, kept).await }).await?;
        // What the runs to come will see.
        serde_json::from_str(&text).map_err(not_known)
    }

    /// Enqueues a task in the same atomic step in which this run succeeds; it is dropped where the run fails. Gives
    /// its id. `options` sets what it has not from its kind. It is part of the same flow. A task of its `after` that
    /// does not exist is not waited for.
    pub fn spawn<In: Serialize>(
        &self,
        kind: impl Into<Name>,
        input: In,
        options: impl FnOnce(Enqueue) -> Enqueue,
    ) -> Result<String, TaskError> {
        self.engine()?;
        let executor: TaskExecutor = self.run.desk.owner.executor().ok_or(TaskError::Closed)?;
        let spec = options(executor.enqueue(kind, input)).into_spec()?;
        let mut spawned = lock(&self.run.desk.spawned);
        if spawned.len() >= MAX_SPAWNED {
            return Err(TaskError::option(format!("a run may spawn at most {MAX_SPAWNED} tasks")));
        }
        let id = spec.id.as_str().to_owned();
        spawned.push(Arc::new(spec));
        Ok(id)
    }

    /// Says how far this run has come, for `TaskHandle::progress`. The store hears of it ten times a second at most,
    /// and of the last value in any case.
    pub fn progress<T: Serialize>(&self, value: &T) -> Result<(), TaskError> {
        let text =
            serde_json::to_string(value).map_err(|error| not_json("progress cannot be JSON", error))?;
        let (engine, (slot, number)) = (self.engine()?, self.place());
        engine.note_progress(slot, number, text.into());
        Ok(())
    }

    /// Writes a line for `TaskHandle::logs`; the newest 1000 of a task are kept. `fields` is what JSON makes an
    /// object of, or `()`.
    pub fn log<T: Serialize>(&self, level: Level, message: &str, fields: &T) -> Result<(), TaskError> {
        let text =
            serde_json::to_string(fields).map_err(|error| not_json("the fields cannot be JSON", error))?;
        let fields = Some(&*text).filter(|text| text.starts_with('{'));
        let (engine, (slot, number)) = (self.engine()?, self.place());
        engine.note_line(slot, number, level, message, fields);
        Ok(())
    }
}

/// What the store says of a line that it should not have.
pub(super) fn broken_line(error: &serde_json::Error) -> TaskError {
    TaskError::Store(StoreError::Corrupt(error.to_string().into()))
}
