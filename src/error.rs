//! The errors a caller can meet. Each has a stable code, the same word in Rust and in JavaScript.
//!
//! What a handler throws is not one of these until its task is out of attempts: before that it is data
//! (`task::Outcome`).

use std::sync::Arc;

use crate::task::Failure;
use crate::time::Millis;

/// Why a call or a task did not succeed.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TaskError {
    /// The handler failed and no attempt is left.
    #[error(transparent)]
    Failed(Arc<Failure>),
    /// The last attempt did not end in time.
    #[error("the attempt did not end within {0} ms")]
    Timeout(Millis),
    /// The task was cancelled; the text is the reason.
    #[error("the task was cancelled: {0}")]
    Cancelled(Arc<str>),
    /// The processes that ran the task died or froze more often than `max_losses` allows.
    #[error("the task was lost {0} times by the processes that ran it")]
    Lost(u32),
    /// `expires_at` passed before the task could start.
    #[error("the task was not started before it expired")]
    Expired,
    /// No such task: never enqueued, or pruned.
    #[error("there is no task {0}")]
    NotFound(Arc<str>),
    /// The id is taken by a task with another input, or the key by an unfinished task.
    #[error("{0}")]
    Duplicate(Arc<str>),
    /// The executor has been closed.
    #[error("the executor is closed")]
    Closed,
    /// More tasks wait than `max_queue` allows.
    #[error("{waiting} tasks are waiting, {limit} are allowed")]
    QueueFull {
        /// Waiting now.
        waiting: u64,
        /// The bound.
        limit: u64,
    },
    /// An input or output is larger than `max_payload`.
    #[error("{bytes} bytes of JSON, {limit} are allowed")]
    PayloadSize {
        /// What was given.
        bytes: u64,
        /// The bound.
        limit: u64,
    },
    /// A rate limit lets nothing more start, and lets nobody wait.
    #[error("{} lets nothing more start{}", called("rate limit", .name.as_deref()), opens(*.opens_in))]
    RateLimited {
        /// Its name, where it has one.
        name: Option<Arc<str>>,
        /// In how long it may be asked again, where that is known.
        opens_in: Option<Millis>,
    },
    /// A circuit breaker lets nothing through: what lies behind it fails.
    #[error("{} is open{}", called("circuit breaker", .name.as_deref()), opens(*.opens_in))]
    CircuitOpen {
        /// Its name, where it has one.
        name: Option<Arc<str>>,
        /// In how long a probe may pass, where that is known.
        opens_in: Option<Millis>,
    },
    /// An option has a value that it cannot have.
    #[error("{0}")]
    Option(Arc<str>),
    /// There can be no such schedule: its expression, its time zone or its key.
    #[error("{0}")]
    Schedule(Arc<str>),
    /// The store could not do what it was asked to.
    #[error("{0}")]
    Store(#[from] crate::store::StoreError),
    /// A test has waited for tasks to which nothing will happen by itself.
    #[error("{0}")]
    Stuck(Arc<str>),
    /// A defect of this library: a panic inside the engine.
    #[error("the engine failed: {0}")]
    Engine(Arc<str>),
}

impl TaskError {
    /// The stable word for this error, `ERR_...`.
    pub fn code(&self) -> &str {
        match self {
            Self::Failed(failure) => failure.code.as_deref().unwrap_or("ERR_TASK_FAILED"),
            Self::Timeout(_) => "ERR_TASK_TIMEOUT",
            Self::Cancelled(_) => "ERR_TASK_CANCELLED",
            Self::Lost(_) => "ERR_TASK_LOST",
            Self::Expired => "ERR_TASK_EXPIRED",
            Self::NotFound(_) => "ERR_TASK_NOT_FOUND",
            Self::Duplicate(_) => "ERR_TASK_DUPLICATE",
            Self::Closed => "ERR_EXECUTOR_CLOSED",
            Self::QueueFull { .. } => "ERR_QUEUE_FULL",
            Self::PayloadSize { .. } => "ERR_PAYLOAD_SIZE",
            Self::RateLimited { .. } => "ERR_RATE_LIMITED",
            Self::CircuitOpen { .. } => "ERR_CIRCUIT_OPEN",
            Self::Option(_) => "ERR_OPTION",
            Self::Schedule(_) => "ERR_SCHEDULE",
            Self::Store(error) => error.code(),
            Self::Stuck(_) => "ERR_STUCK",
            Self::Engine(_) => "ERR_ENGINE",
        }
    }

    /// An error that says what is wrong with an option.
    pub fn option(text: impl AsRef<str>) -> Self {
        Self::Option(text.as_ref().into())
    }
}

fn called(what: &str, name: Option<&str>) -> String {
    name.map_or_else(|| format!("a {what}"), |name| format!("the {what} {name:?}"))
}

fn opens(opens_in: Option<Millis>) -> String {
    opens_in.map_or_else(String::new, |time| format!("; it may be asked again in {time} ms"))
}

impl From<String> for TaskError {
    fn from(message: String) -> Self {
        Self::Failed(Arc::new(Failure::new("Error", message)))
    }
}

impl From<&str> for TaskError {
    fn from(message: &str) -> Self {
        message.to_owned().into()
    }
}
