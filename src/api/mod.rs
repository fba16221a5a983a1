//! The Rust facade: builds tasks, runs them, and hands their outcomes back.
//!
//! Two ways lead to the engine. A `Task` (`task`, `builder`, `handler`) runs here and now, once asked for, and is
//! never stored. An `enqueue` (`enqueue`, `kind`, `handle`) puts a record of a registered kind into the store.
//! `executor` is the door to both, `settings` its options. What stands between them and the engine is small:
//! `host` takes the engine's words and starts handlers, `lane` knows the slots of tasks that are not stored,
//! `limits` are what users hold of rate limits and
//! circuit breakers, `attempt` guards one run from its start to its report, `context` is what a handler is told.
//!
//! Invariants: no lock is held while user code runs (a handler, a waker, a destructor); a run is reported
//! once, whatever its handler does, a panic and the end of its runtime included; whoever waits is answered.

mod attempt;
mod awaited;
mod builder;
mod context;
mod desk;
mod enqueue;
mod executor;
mod failure;
mod flow;
mod handle;
pub mod handler;
mod host;
mod kind;
mod lane;
mod limits;
mod listeners;
mod observe;
mod output;
#[cfg(feature = "cron")]
mod schedule;
#[cfg(feature = "cron")]
mod scheduler;
mod settings;
mod task;
#[cfg(feature = "testing")]
pub mod testing;

pub use builder::TaskBuilder;
pub use context::{ScheduleSlot, TaskContext};
pub use enqueue::Enqueue;
pub use executor::TaskExecutor;
pub use flow::{Flow, FlowInfo, TaskFlow};
pub use handle::{LogLine, TaskHandle, TaskInfo};
pub use kind::TaskKind;
pub use limits::{CircuitBreaker, RateLimiter};
pub use output::TaskOutput;
#[cfg(feature = "cron")]
pub use schedule::{Schedule, ScheduleInfo};
#[cfg(feature = "cron")]
pub use scheduler::TaskScheduler;
pub use settings::ExecutorBuilder;
pub use task::Task;

use std::future::Future;
use std::pin::Pin;

use crate::error::TaskError;

/// How a handler's run ended.
type Ended = Result<TaskOutput, TaskError>;
/// A handler at work.
type Running = Pin<Box<dyn Future<Output = Ended> + Send>>;
