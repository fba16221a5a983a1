//! A task that runs here and now: its handler and what its maker decides.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::error::TaskError;
use crate::policy::RetryPolicy;
use crate::task::Name;

use super::builder::TaskBuilder;
use super::handler::Work;

/// A unit of work for `TaskExecutor::execute`.
///
/// ```
/// use task::Task;
///
/// let task = Task::builder()
///     .name("Task 1")
///     .description("Process user data")
///     .handler(async { "result" })
///     .build();
/// ```
#[must_use = "a task does nothing until it is executed"]
pub struct Task {
    pub(super) draft: Draft,
    pub(super) work: Work,
}

/// Everything about a task but its handler.
#[derive(Clone)]
pub(super) struct Draft {
    pub name: Name,
    pub description: Option<Arc<str>>,
    pub priority: i32,
    pub timeout: Option<Duration>,
    pub retry: Option<RetryPolicy>,
    #[cfg(feature = "cron")]
    pub schedule: Option<super::schedule::Schedule>,
    /// The first setting that cannot be.
    pub problem: Option<TaskError>,
}

impl Default for Draft {
    fn default() -> Self {
        Self {
            name: "task".into(),
            description: None,
            priority: 0,
            timeout: None,
            retry: None,
            #[cfg(feature = "cron")]
            schedule: None,
            problem: None,
        }
    }
}

impl Draft {
    pub fn blame(&mut self, checked: Result<(), TaskError>) {
        if self.problem.is_none() {
            self.problem = checked.err();
        }
    }
}

impl Task {
    /// Begins a task.
    pub fn builder() -> TaskBuilder {
        TaskBuilder::new()
    }

    /// What it is called.
    pub fn name(&self) -> &str {
        &self.draft.name
    }

    /// What it is for.
    pub fn description(&self) -> Option<&str> {
        self.draft.description.as_deref()
    }

    /// Larger starts first.
    pub fn priority(&self) -> i32 {
        self.draft.priority
    }
}

impl fmt::Debug for Task {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Draft { name, description, priority, timeout, retry, .. } = &self.draft;
        out.debug_struct("Task")
            .field("name", name)
            .field("description", description)
            .field("priority", priority)
            .field("timeout", timeout)
            .field("retry", retry)
            .finish_non_exhaustive()
    }
}
