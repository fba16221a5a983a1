//! The seam between the engine and where tasks are kept.
//!
//! A store applies flat records and decides nothing, but for what only it can know exactly over several
//! nodes: whether a claim is still current, whether a unique key is free, and three admission guards inside
//! `advance`: pause, running totals (of a kind, of a group) and the shared rate. Every method is one atomic
//! step and takes a batch. No method has a backend type in its signature.
//!
//! The contract is written down as tests: `suite` runs on every store, also on one of your own.
//!
//! Promises of every store:
//! - an `epoch` is never drawn twice in a namespace, not even when a pruned id is used again;
//! - a settlement changes something only where its task is running under its epoch;
//! - a repeated `advance` (same node, same `turn_no`) gives the first answer again and does nothing;
//! - a repeated `push` of the same ids adds nothing;
//! - a blocked task becomes ready in the very step in which its last blocker ends, or by the work list
//!   that every later `advance` drains.

mod claim;
mod error;
pub mod faulty;
#[cfg(any(feature = "sqlite", feature = "redis"))]
mod lazy;
pub mod memory;
pub mod open;
mod plan;
mod query;
#[cfg(feature = "redis")]
pub mod redis;
#[cfg(feature = "sqlite")]
pub mod sqlite;
pub mod suite;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use crate::task::{Cause, Claimed, Name, NoteKind, Noted, Notes, Record, Settlement, Spec, TaskId, Unnoted};
use crate::time::Millis;

pub use claim::{Claims, LaneClaim, Rate};
pub use error::{Refusal, StoreError};
pub use query::{Amend, Amended, Counts, Filter, Keep, Page, Query, Retention, Target};

/// A random name of an engine that runs tasks of a store; new at every start of an engine.
pub type NodeId = Arc<str>;

/// What a store method returns: a boxed future, since calls are few and batched.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// Where tasks are kept.
pub trait Store: Send + Sync + 'static {
    /// Adds tasks. Each `Push` is all or nothing; one that is refused does not touch the others.
    fn push(&self, pushes: Arc<[Push]>) -> Answer<'_, Vec<Result<Vec<Pushed>, Refusal>>>;

    /// Settles what ended, promotes what is due, then claims more.
    fn advance(&self, step: Arc<Advance>) -> Answer<'_, Arc<Turn>>;

    /// What these nodes ran when they were found dead, at most `max`; any node may settle it as lost.
    fn orphans(&self, nodes: Vec<NodeId>, max: usize) -> Answer<'_, Vec<Claimed>>;

    /// Cells whose `due_at` has come, at most `max`.
    fn due(&self, max: usize) -> Answer<'_, Due>;

    /// Changes tasks on behalf of an operator. A filter is worked off in steps: `Amended::more`.
    fn amend(&self, target: Target, change: Amend) -> Answer<'_, Amended>;

    /// Takes down what runs note while they work, each note by itself.
    fn note(&self, notes: Arc<[Noted]>) -> Answer<'_, Vec<Result<(), Unnoted>>>;

    /// The notes of one kind of these tasks; none where there is no such task.
    fn notes(&self, ids: Vec<TaskId>, kind: NoteKind) -> Answer<'_, Vec<Notes>>;

    /// The records with these ids.
    fn get(&self, ids: Vec<TaskId>) -> Answer<'_, Found>;

    /// A page of records, newest first. A cursor that is neither of this store nor the id of a task is an error.
    fn list(&self, query: Query) -> Answer<'_, Page>;

    /// How many tasks are in each state, of one queue or of all.
    fn counts(&self, queue: Option<Name>) -> Answer<'_, Counts>;

    /// Forgets what ended and is beyond `limits`, oldest first, at most `max`; says how many.
    fn prune(&self, limits: Retention, max: usize) -> Answer<'_, usize>;

    /// Compare-and-set of a small value; a refusal brings what is there instead.
    fn swap(&self, swap: Swap) -> Answer<'_, Result<(), Option<Cell>>>;

    /// A small value.
    fn read(&self, key: Name) -> Answer<'_, Option<Cell>>;

    /// Cells whose keys begin with `prefix`, by key, from the one after `after` on, at most `max`.
    fn cells(&self, prefix: Name, after: Option<Name>, max: usize) -> Answer<'_, Vec<(Name, Cell)>>;

    /// Resolves when somebody else may have pushed or settled something: a hint, never a guarantee.
    fn changed(&self) -> Answer<'_, ()>;

    /// Tells the others that `node` lives, and it what it should know.
    fn pulse(&self, node: NodeId) -> Answer<'_, Pulse>;

    /// Takes a node that owns nothing any more off the list.
    fn leave(&self, node: NodeId) -> Answer<'_, ()>;

    /// Who has beaten and not left, by id.
    fn nodes(&self) -> Answer<'_, Vec<Node>>;
}

/// Tasks to add in one step, perhaps on a condition.
#[derive(Clone, Debug)]
pub struct Push {
    /// The tasks. `Blockers::ids` may name tasks of the same push.
    pub specs: Vec<Arc<Spec>>,
    /// Has to succeed in the same step: the cursor of a schedule.
    pub guard: Option<Swap>,
    /// Refused when it adds to those that wait and more than this would.
    pub max_waiting: Option<u64>,
}

impl Push {
    /// These tasks, on no condition.
    pub fn of<S: Into<Arc<Spec>>>(specs: impl IntoIterator<Item = S>) -> Self {
        Self { specs: specs.into_iter().map(Into::into).collect(), guard: None, max_waiting: None }
    }
}

/// The task that a pushed spec stands for now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pushed {
    /// Its id: that of the spec, or that of the holder of its key.
    pub id: TaskId,
    /// This push made it.
    pub created: bool,
    /// The waiting task that held its key, and was cancelled for it.
    pub ousted: Option<TaskId>,
}

/// One step of a node.
#[derive(Clone, Debug)]
pub struct Advance {
    /// Who.
    pub node: NodeId,
    /// Grows by one with every new step; the same again means "I did not hear the answer".
    pub turn_no: u64,
    /// Ended runs.
    pub settlements: Vec<Settlement>,
    /// Wanted work.
    pub claims: Claims,
}

/// The answer to an `Advance`.
#[derive(Debug, Default)]
#[must_use]
pub struct Turn {
    /// The store's clock.
    pub now: Millis,
    /// For each settlement, in order.
    pub settled: Vec<Settled>,
    /// Tasks to run now.
    pub claimed: Vec<Claimed>,
    /// Tasks that ended in this step by a cascade or by expiry, at most 1000 of them.
    pub ended: Vec<TaskId>,
    /// There is more to do at once: due tasks not yet promoted, cascades not yet worked off.
    pub more: bool,
    /// When the next task becomes due or expires, or a rate that was in the way has room again.
    pub next_at: Option<Millis>,
}

/// What became of a settlement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settled {
    /// Applied, by this transition (a request to stop may have changed it).
    Applied(Cause),
    /// The claim was not current: nothing changed.
    Stale,
}

/// A small value that nodes share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cell {
    /// The value.
    pub value: Arc<str>,
    /// When somebody should look at it: the next slot of a schedule.
    pub due_at: Option<Millis>,
}

/// Cells that are due.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Due {
    /// The store's clock, by which they are.
    pub now: Millis,
    /// The cells, soonest first.
    pub cells: Vec<(Name, Cell)>,
    /// When the one after them is due.
    pub next_at: Option<Millis>,
}

/// Compare-and-set of a cell.
#[derive(Clone, Debug)]
pub struct Swap {
    /// Which cell.
    pub key: Name,
    /// The value it must have; `None`: there must be no cell.
    pub old: Option<Arc<str>>,
    /// What it becomes; `None`: it is removed.
    pub new: Option<Cell>,
}

/// What a node learns by its beat.
#[derive(Clone, Debug, Default)]
pub struct Pulse {
    /// The store's clock.
    pub now: Millis,
    /// Nodes that are gone, or were, and still own tasks from before: `orphans` has them.
    pub dead: Vec<NodeId>,
    /// Tasks of this node that should stop: id, epoch, reason. Told at every beat until they have ended.
    pub stop: Vec<(TaskId, u64, Arc<str>)>,
    /// Queues that are paused.
    pub paused: Vec<Name>,
    /// This node had been found dead since its last beat: what it ran then is lost to whoever settles it.
    pub declared_dead: bool,
    /// What the store has found out about itself since the last beat.
    pub trouble: Option<StoreError>,
}

/// Tasks that were asked for by id.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// The store's clock, by which views are told.
    pub now: Millis,
    /// For each id, in order.
    pub records: Vec<Option<Record>>,
}

/// An engine that runs tasks of a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Its name.
    pub id: NodeId,
    /// The machine it is on.
    pub host: Arc<str>,
    /// Its process there.
    pub pid: u32,
    /// Tasks that it runs, or has claimed ahead.
    pub running: u64,
    /// When it was last known to live, on the store's clock.
    pub beat_at: Millis,
}

/// The cell whose presence pauses a queue.
pub fn pause_cell(queue: &str) -> Name {
    format!("pause/{queue}").into()
}

/// The name of this machine, for people; it decides nothing.
pub(crate) fn host() -> Arc<str> {
    static HOST: std::sync::LazyLock<Arc<str>> = std::sync::LazyLock::new(|| {
        let name = std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
        let name =
            name.or_else(|| ["HOSTNAME", "COMPUTERNAME"].iter().find_map(|name| std::env::var(name).ok()));
        name.as_deref().map(str::trim).filter(|name| !name.is_empty()).unwrap_or("localhost").into()
    });
    HOST.clone()
}
