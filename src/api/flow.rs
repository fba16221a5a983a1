//! Workflows: tasks that are enqueued in one step and wait for each other by name.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use futures_util::future::try_join_all;
use tokio::sync::oneshot;

use crate::engine::Engine;
use crate::error::TaskError;
use crate::store::{Amend, Counts, Filter, Push, Target};
use crate::task::{Blockers, Name, OnBlockerFailure, Record, Spec, TaskId, View, cycle};

use super::TaskOutput;
use super::enqueue::Enqueue;
use super::executor::{TaskExecutor, on_engine};
use super::handle::{TaskHandle, TaskInfo};
use super::settings::check;

/// A workflow on its way into the store.
///
/// ```
/// # #[tokio::main]
/// # async fn main() -> Result<(), task::TaskError> {
/// use task::{Flow, TaskContext, TaskExecutor};
///
/// let executor = TaskExecutor::new();
/// executor.register("count", async |text: String| Ok::<_, std::io::Error>(text.len()))?;
/// executor.register("sum", async |_: (), context: TaskContext| {
///     let mut sum = 0;
///     for part in context.results().await?.into_iter().flatten() {
///         sum += part.parse::<usize>()?;
///     }
///     Ok::<_, task::TaskError>(sum)
/// })?;
/// let flow = Flow::new()
///     .task("one", executor.enqueue("count", "one"))
///     .task("three", executor.enqueue("count", "three"))
///     .task_after("sum", executor.enqueue("sum", ()), ["one", "three"]);
/// let flow = executor.enqueue_flow(flow).await?;
/// assert_eq!(flow.results().await?["sum"].parse::<usize>()?, 8);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Default)]
#[must_use = "nothing is enqueued before `enqueue_flow` is awaited"]
pub struct Flow {
    id: Option<Name>,
    tasks: Vec<Entry>,
}

#[derive(Debug)]
struct Entry {
    name: Name,
    task: Enqueue,
    after: Vec<Name>,
}

impl Flow {
    /// A flow without tasks.
    pub fn new() -> Self {
        Self::default()
    }

    /// Its id. Its tasks have the ids `<id>/<ref>` then, where they are given none of their own: the same flow again
    /// finds them, as long as they are kept. Default: a new UUID, and new ids.
    pub fn id(mut self, id: impl Into<Name>) -> Self {
        self.id = Some(id.into());
        self
    }

    /// Adds a task, which the others know by this name.
    pub fn task(self, name: impl Into<Name>, task: Enqueue) -> Self {
        self.task_after(name, task, [""; 0])
    }

    /// The same for one that waits for others of this flow, which may be added later.
    pub fn task_after<N: Into<Name>>(
        mut self,
        name: impl Into<Name>,
        task: Enqueue,
        after: impl IntoIterator<Item = N>,
    ) -> Self {
        let after = after.into_iter().map(Into::into).collect();
        self.tasks.push(Entry { name: name.into(), task, after });
        self
    }

    /// The id, the names, and the specs, whose blockers are ids.
    fn into_specs(self) -> Result<(Name, Vec<Name>, Vec<Spec>), TaskError> {
        let named = self.id;
        if let Some(id) = &named {
            check("id of a flow", id)?;
        }
        let id = named.clone().unwrap_or_else(|| TaskId::new().to_text());
        let (mut names, mut specs, mut after) = (Vec::new(), Vec::new(), Vec::new());
        let mut ids: HashMap<Name, TaskId> = HashMap::new();
        for entry in self.tasks {
            check("ref of a task of a flow", &entry.name)?;
            let mut spec = entry.task.into_spec()?;
            spec.flow = Some(id.clone());
            if let (Some(flow), true) = (&named, spec.minted) {
                let own = format!("{flow}/{}", entry.name);
                check("id of a task of a flow", &own)?;
                (spec.id, spec.minted) = (TaskId::from(&*own), false);
            }
            if ids.insert(entry.name.clone(), spec.id.clone()).is_some() {
                return Err(TaskError::option(format!("the ref {:?} comes twice in a flow", entry.name)));
            }
            names.push(entry.name);
            specs.push(spec);
            after.push(entry.after);
        }
        for (spec, after) in specs.iter_mut().zip(after).filter(|(_, after)| !after.is_empty()) {
            let mut blockers = Vec::new();
            for name in after {
                let unknown = || TaskError::option(format!("a flow has no task {name:?} to wait for"));
                blockers.push(ids.get(&name).cloned().ok_or_else(unknown)?);
            }
            let own = spec
                .blockers
                .get_or_insert_with(|| Blockers { ids: Vec::new(), on_failure: OnBlockerFailure::Cancel });
            blockers.append(&mut own.ids);
            own.ids = blockers;
        }
        if let Some(path) = cycle(&specs) {
            let name =
                |id: &TaskId| specs.iter().position(|spec| spec.id == *id).map_or("?", |at| &names[at]);
            let path: Vec<&str> = path.iter().map(name).collect();
            let path = path.join(" -> ");
            return Err(TaskError::option(format!(
                "the tasks of a flow wait for each other in a circle: {path}"
            )));
        }
        Ok((id, names, specs))
    }
}

impl TaskExecutor {
    /// Puts a workflow into the store: all of its tasks or none, in one step.
    ///
    /// An error ERR_OPTION where a name comes twice or is not there, or where tasks wait for each other in a circle,
    /// whose path it names; otherwise as `enqueue`.
    pub async fn enqueue_flow(&self, flow: Flow) -> Result<TaskFlow, TaskError> {
        let (id, names, specs) = flow.into_specs()?;
        let engine = self.engine();
        if engine.is_closing() || engine.is_closed() {
            return Err(TaskError::Closed);
        }
        self.start_if_its_own();
        let (reply, answer) = oneshot::channel();
        let push = Push::of(specs);
        let answered = move |answers| {
            // Who has stopped waiting need not be told.
            let _ = reply.send(answers);
        };
        engine.push(Box::new(move || Ok(vec![push])), Box::new(answered));
        if engine.is_closed() {
            return Err(TaskError::Closed);
        }
        let pushed =
            answer.await.unwrap_or(Err(TaskError::Closed))?.pop().unwrap_or(Err(TaskError::Closed))?;
        let handles = pushed.into_iter().map(|pushed| TaskHandle::new(engine.clone(), pushed));
        Ok(TaskFlow { engine: engine.clone(), id, handles: names.into_iter().zip(handles).collect() })
    }

    /// How a workflow stands; `id` is its own, or that of any task of it. Of a task that is part of no flow: the tasks
    /// that it waits or has waited for, at any remove, and itself. An error ERR_TASK_NOT_FOUND where there is neither.
    pub async fn flow(&self, id: &str) -> Result<FlowInfo, TaskError> {
        flow_info(self.engine().clone(), id.into()).await
    }
}

async fn flow_info(engine: Arc<Engine>, id: Name) -> Result<FlowInfo, TaskError> {
    on_engine(async move {
        let records = engine.flow(&id).await?;
        let now = engine.get(Vec::new()).await?.now;
        Ok(FlowInfo::of(&records, now))
    })
    .await
}

/// A workflow: tasks that were enqueued in one step, and what they spawn.
pub struct TaskFlow {
    engine: Arc<Engine>,
    id: Name,
    handles: HashMap<Name, TaskHandle>,
}

impl TaskFlow {
    /// Of the flow.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The handle of the task with this name in the flow.
    pub fn handle(&self, name: &str) -> Option<&TaskHandle> {
        self.handles.get(name)
    }

    /// The outputs of all its tasks, by name; fails with the first failure there is.
    pub async fn results(&self) -> Result<HashMap<String, TaskOutput>, TaskError> {
        let output = |(name, handle): (&Name, &TaskHandle)| {
            let (name, result) = (name.to_string(), handle.result_of());
            async move { Ok::<_, TaskError>((name, result.await?)) }
        };
        Ok(try_join_all(self.handles.iter().map(output)).await?.into_iter().collect())
    }

    /// Resolves when all its tasks have ended, however they did, those included that they have spawned.
    pub async fn settled(&self) -> Result<FlowInfo, TaskError> {
        let (engine, id) = (self.engine.clone(), self.id.clone());
        on_engine(async move { engine.flow_ended(&id).await }).await?;
        self.status().await
    }

    /// How it stands now.
    pub async fn status(&self) -> Result<FlowInfo, TaskError> {
        flow_info(self.engine.clone(), self.id.clone()).await
    }

    /// Cancels those of its tasks that have not ended; gives their number.
    pub async fn cancel(&self) -> Result<usize, TaskError> {
        let engine = self.engine.clone();
        let target = Target::Filter(Filter { flow: Some(self.id.clone()), ..Filter::default() });
        let change = Amend::Cancel("on request".into());
        on_engine(async move { Ok(engine.amend(target, change).await?.changed.len()) }).await
    }

    /// Runs what has failed or was cancelled again, and what waits for it after it; gives their number. A task whose
    /// key another one has stays as it is, and so does what needs it.
    pub async fn retry(&self) -> Result<usize, TaskError> {
        let (engine, id) = (self.engine.clone(), self.id.clone());
        let changed = on_engine(async move { Ok(engine.retry_flow(&id).await?.changed.len()) }).await?;
        self.handles.values().for_each(TaskHandle::ask_anew);
        Ok(changed)
    }
}

impl fmt::Debug for TaskFlow {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("TaskFlow")
            .field("id", &self.id)
            .field("handles", &self.handles)
            .finish_non_exhaustive()
    }
}

/// How a flow stood when it was asked for.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct FlowInfo {
    /// Of the flow; `None` for a task that is part of none.
    pub id: Option<String>,
    /// Its tasks, in the order in which they were enqueued.
    pub tasks: Vec<TaskInfo>,
    /// Who waits for whom, by ids: the second for the first.
    pub edges: Vec<(String, String)>,
    /// How many of its tasks are in each state.
    pub counts: Counts,
}

impl FlowInfo {
    fn of(records: &[Record], now: crate::time::Millis) -> Self {
        let mut counts = Counts::default();
        let mut edges = Vec::new();
        for Record { spec, status } in records {
            counts.by_view[status.view(now) as usize] += 1;
            let blockers = spec.blockers.iter().flat_map(|blockers| &blockers.ids);
            edges.extend(blockers.map(|id| (id.to_string(), spec.id.to_string())));
        }
        let id = records.first().and_then(|record| record.spec.flow.as_deref().map(str::to_owned));
        let tasks = records.iter().map(|record| TaskInfo::of(record, now)).collect();
        Self { id, tasks, edges, counts }
    }

    /// How many of its tasks have ended.
    pub fn ended(&self) -> u64 {
        [View::Completed, View::Failed, View::Cancelled].map(|view| self.counts.of(view)).iter().sum()
    }
}
