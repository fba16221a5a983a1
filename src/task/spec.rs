//! What a producer pushes. A spec never changes once its task has been accepted, but for a debounce,
//! which replaces the input of a task that has not started.

use std::sync::Arc;

use crate::policy::RetryPolicy;
use crate::time::Millis;

use super::id::TaskId;
use super::name::Name;

/// JSON text, opaque to the engine: it is stored and handed back byte for byte.
pub type Text = Arc<str>;

/// Everything about a task that its producer decides.
#[derive(Clone, Debug)]
pub struct Spec {
    /// Identity; pushing an id again finds the task that has it.
    pub id: TaskId,
    /// The id was made by the engine: a task that already has it is this very push, sent again after a
    /// lost reply.
    pub minted: bool,
    /// Kind of task: who can run it.
    pub name: Name,
    /// Which queue it stands in.
    pub queue: Name,
    /// Tasks of one group take turns with those of others.
    pub group: Option<Name>,
    /// Larger starts first.
    pub priority: i32,
    /// The earliest start.
    pub when: When,
    /// What the handler gets.
    pub input: Text,
    /// Uniqueness.
    pub key: Option<Key>,
    /// Tasks that have to end first.
    pub blockers: Option<Blockers>,
    /// The workflow that it is part of.
    pub flow: Option<Name>,
    /// One attempt may take this long.
    pub timeout: Option<Millis>,
    /// What follows a failure.
    pub retry: RetryPolicy,
    /// Not started by then: it fails as expired. On the store's clock.
    pub expires_at: Option<Millis>,
    /// JSON text of an object with text values.
    pub metadata: Option<Text>,
}

/// The earliest start of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum When {
    /// As soon as there is room.
    #[default]
    Now,
    /// So long after the push, on the store's clock.
    After(Millis),
    /// A date that a user gave, on the store's clock.
    At(Millis),
}

/// A unique key: at most one unfinished task per queue holds it.
#[derive(Clone, Debug)]
pub struct Key {
    /// The key, within the queue.
    pub text: Name,
    /// What a push does that finds the key held.
    pub conflict: Conflict,
    /// Coalescing over time.
    pub quiet: Quiet,
}

/// What a push does that finds its key held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Conflict {
    /// Gives the holder.
    #[default]
    Ignore,
    /// Cancels a waiting holder; takes the key from a running one and waits for it to end.
    Replace,
    /// Is refused.
    Refuse,
}

/// Coalescing of pushes with one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Quiet {
    /// None.
    #[default]
    Off,
    /// The newest input wins; the start slides until no push has come for `wait`, at most by `max_wait`
    /// after the first.
    Debounce {
        /// Silence that lets it start.
        wait: Millis,
        /// Bound on all the sliding.
        max_wait: Millis,
    },
    /// The first wins; later pushes within this time give it back, even when it has ended.
    Throttle(Millis),
}

/// Tasks that have to end before this one can start.
#[derive(Clone, Debug)]
pub struct Blockers {
    /// Their ids; those of the same push may come in any order.
    pub ids: Vec<TaskId>,
    /// What to do when one of them does not complete.
    pub on_failure: OnBlockerFailure,
}

/// What happens to a task when one of its blockers fails or is cancelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum OnBlockerFailure {
    /// It is cancelled too, and so is what waits for it.
    #[default]
    Cancel,
    /// It runs all the same.
    Run,
}

impl When {
    /// The date that it means for a push at `now`.
    pub fn date(self, now: Millis) -> Millis {
        match self {
            Self::Now => now,
            Self::After(delay) => now.saturating_add(delay),
            Self::At(at) => at,
        }
    }
}

impl Spec {
    /// A task of this kind with default everything.
    pub fn new(name: impl Into<Name>, input: impl Into<Text>) -> Self {
        Self {
            id: TaskId::new(),
            minted: true,
            name: name.into(),
            queue: default_queue(),
            group: None,
            priority: 0,
            when: When::Now,
            input: input.into(),
            key: None,
            blockers: None,
            flow: None,
            timeout: None,
            retry: RetryPolicy::none(),
            expires_at: None,
            metadata: None,
        }
    }
}

/// The queue of a task that names none: `default`.
pub fn default_queue() -> Name {
    static DEFAULT: std::sync::LazyLock<Name> = std::sync::LazyLock::new(|| Name::from("default"));
    DEFAULT.clone()
}
