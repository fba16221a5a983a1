//! What can go wrong in a store.

use std::sync::Arc;

use crate::task::TaskId;

/// A call that failed as a whole: nothing, or everything with the answer lost, has happened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Somebody else holds it; worth trying again.
    #[error("the store is busy: {0}")]
    Busy(Arc<str>),
    /// No room; worth trying again when there is.
    #[error("the store is full: {0}")]
    Full(Arc<str>),
    /// It cannot be reached, or the answer was lost; worth trying again.
    #[error("the store cannot be reached: {0}")]
    Unreachable(Arc<str>),
    /// Its content cannot be trusted.
    #[error("the store is corrupt: {0}")]
    Corrupt(Arc<str>),
    /// It was written by a newer version of this library.
    #[error("the store has version {found}, this library knows {known}")]
    Version {
        /// In the store.
        found: u32,
        /// Here.
        known: u32,
    },
    /// There is no such store.
    #[error("{0}")]
    Address(Arc<str>),
    /// Anything else.
    #[error("the store failed: {0}")]
    Failed(Arc<str>),
}

impl StoreError {
    /// The same call may succeed later.
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::Busy(_) | Self::Full(_) | Self::Unreachable(_))
    }

    /// The stable word for it.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Busy(_) => "ERR_STORE_BUSY",
            Self::Full(_) => "ERR_STORE_FULL",
            Self::Corrupt(_) => "ERR_STORE_CORRUPT",
            Self::Version { .. } => "ERR_STORE_VERSION",
            Self::Address(_) => "ERR_OPTION",
            Self::Unreachable(_) | Self::Failed(_) => "ERR_STORE",
        }
    }
}

/// Why a push was refused; it has left nothing behind.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The id belongs to a task with another input.
    #[error("task {0} exists with another input")]
    IdTaken(TaskId),
    /// The key is held by an unfinished task.
    #[error("the key is held by the unfinished task {0}")]
    KeyHeld(TaskId),
    /// A blocker is not known: never pushed, or pruned.
    #[error("there is no task {0} to wait for")]
    NoBlocker(TaskId),
    /// The tasks wait for each other; the path comes back to its beginning.
    #[error("the tasks wait for each other: {}", path(.0))]
    Cycle(Vec<TaskId>),
    /// The guard's cell has another value by now.
    #[error("the cell has changed")]
    Moved,
    /// Too many tasks wait.
    #[error("{waiting} tasks are waiting, {limit} are allowed")]
    Full {
        /// Waiting now.
        waiting: u64,
        /// The bound.
        limit: u64,
    },
}

fn path(ids: &[TaskId]) -> String {
    ids.iter().map(TaskId::as_str).collect::<Vec<_>>().join(" -> ")
}
