//! What an executor says of itself: metrics, events, findings.

use futures_util::Stream;

use crate::engine::metrics::{Cost, Metrics};
use crate::engine::{Event, Examination};
use crate::error::TaskError;

use super::executor::{TaskExecutor, on_engine};
use super::listeners;

impl TaskExecutor {
    /// Measures times from now on: waits, runs, calls of the store. Counters are always kept. There is no way back.
    ///
    /// ```
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), task::TaskError> {
    /// use task::{Task, TaskError, TaskExecutor};
    ///
    /// let executor = TaskExecutor::new();
    /// executor.enable_metrics().await?;
    /// let task = Task::builder().handler(async || Ok::<_, TaskError>("done".into())).build();
    /// executor.execute(task).await?;
    /// let metrics = executor.get_metrics().await?;
    /// assert_eq!((metrics.totals.completed, metrics.duration.count), (1, 1));
    /// # Ok(())
    /// # }
    /// ```
    pub async fn enable_metrics(&self) -> Result<(), TaskError> {
        self.check_open()?;
        self.engine().enable_metrics();
        Ok(())
    }

    /// The metrics now; an error where the store does not tell how many tasks it has.
    pub async fn get_metrics(&self) -> Result<Metrics, TaskError> {
        self.check_open()?;
        let engine = self.engine().clone();
        on_engine(async move { engine.metrics(Cost::now()).await }).await
    }

    /// The metrics as text for Prometheus, format 0.0.4. Where the store does not answer within 2 s, `task_store_up`
    /// is 0 and what only it knows is left out.
    pub async fn metrics_text(&self) -> Result<String, TaskError> {
        self.check_open()?;
        let engine = self.engine().clone();
        on_engine(async move { Ok(engine.metrics_text(Cost::now()).await) }).await
    }

    /// Looks at the executor, its settings and its store. A store that does not answer is a finding, not an error.
    pub async fn doctor(&self) -> Result<Examination, TaskError> {
        self.check_open()?;
        let engine = self.engine().clone();
        on_engine(async move { Ok(engine.examine().await) }).await
    }

    /// What happens to enqueued tasks here from now on, until the executor closes or the stream is dropped. Nothing is
    /// made while nobody listens; who reads slowly loses the oldest. `execute` makes no events.
    pub fn events(&self) -> impl Stream<Item = Event> + Send + 'static {
        let receiver = self.host().listeners.join();
        if self.is_open() {
            self.engine().core().events.set_listening(true);
        } else {
            self.host().listeners.end();
        }
        listeners::stream(receiver)
    }
}
