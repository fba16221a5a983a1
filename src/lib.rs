//! A task engine: priorities, concurrency, retries, timeouts and cancellation for async work, in one process or
//! over a store. The same engine drives Rust programs, by the types at the root of this crate, and Node.js, by
//! the feature `napi`.
//!
//! ```
//! use std::time::Duration;
//! use task::{RetryPolicy, Task, TaskError, TaskExecutor};
//!
//! #[tokio::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let executor = TaskExecutor::with_retry(RetryPolicy::exponential_backoff(3, Duration::from_millis(10)));
//!
//!     // A bare future runs once; a closure is called for each attempt.
//!     let task = Task::builder()
//!         .name("Process data")
//!         .timeout(Duration::from_secs(5))
//!         .handler(async || Ok::<_, TaskError>("processed".into()))
//!         .build();
//!     println!("Result: {}", executor.execute(task).await?);
//!
//!     // Named tasks wait in a store for the handler of their kind.
//!     executor.register("double", async |n: u32| Ok::<_, std::io::Error>(n * 2))?;
//!     let handle = executor.enqueue("double", 21).await?;
//!     assert_eq!(handle.result().await?.parse::<u32>()?, 42);
//!
//!     executor.close().await;
//!     Ok(())
//! }
//! ```
//!
//! # The house
//!
//! An arrow means "may use"; a test holds the sources to it.
//!
//! ```text
//!   api  (the root of the crate)     binding  (feature napi)
//!     \                                /
//!      +------------- engine ---------+     threads and timers: drives the dispatcher, runs handlers
//!                    /      \
//!             dispatch      store           who runs next            where tasks are kept
//!                |            |
//!             policy          |             when again, how many now
//!                 \           |
//!                  +--- task -+             what a task is, its states, what follows a run
//! ```
//!
//! Decisions are pure functions with the time as an argument; a store applies finished records and decides
//! nothing; everything crosses every border in batches.
//!
//! # Reading order
//!
//! 1. [`task`](mod@task): what is pushed, the states, and `settle`, the one place where a fate is decided.
//! 2. [`store`]: the contract of a store; `store::suite` is the same as tests, `store::memory` the reference.
//! 3. [`dispatch`] and [`policy`]: order and limits.
//! 4. [`engine`]: one node at work.
//! 5. The root: [`Task`], [`TaskExecutor`], [`TaskHandle`], and [`handler`] for the forms a handler can have.
//!
//! # What is guaranteed
//!
//! - A task ends once, with an output or an error, and whoever waits for it is told, also when the executor
//!   closes or its runtime ends.
//! - A handler's error or panic is an outcome of its attempt; it never ends a thread or another task.
//! - An attempt ends on time even if its handler never awaits: the slot is free and the next attempt may start,
//!   what the old one still does is ignored and counted. Too many such handlers, and nothing new starts.
//! - Never more tasks run than `concurrency` allows, but for handlers that were left behind. Larger priority
//!   first, then order of arrival; a retry goes to the back of its priority.
//! - An enqueued task runs at least once; a settlement counts only while its claim is the current one.
//! - A slot of a schedule is one task, once over all processes, whoever dies at whatever step (feature `cron`).
//! - In memory nothing survives the process. In a SQLite file ([`TaskExecutor::with_persistence`]) every enqueued
//!   task that was acknowledged does, and every outcome that the store has taken; handlers are registered anew.
//! - A store that fails keeps nothing from ending: outcomes are kept and offered again until the executor closes.
//!   An executor whose store has not heard of it for half a lease begins nothing more.

#![warn(missing_docs)]
#![cfg_attr(not(feature = "napi"), forbid(unsafe_code))]

mod api;
#[cfg(feature = "napi")]
mod binding;
pub mod dispatch;
pub mod engine;
pub mod error;
pub mod policy;
pub mod store;
pub mod task;
pub mod time;

#[cfg(feature = "testing")]
pub use api::testing;
pub use api::{
    CircuitBreaker, Enqueue, ExecutorBuilder, Flow, FlowInfo, LogLine, RateLimiter, ScheduleSlot, Task,
    TaskBuilder, TaskContext, TaskExecutor, TaskFlow, TaskHandle, TaskInfo, TaskKind, TaskOutput, handler,
};
#[cfg(feature = "cron")]
pub use api::{Schedule, ScheduleInfo, TaskScheduler};
pub use engine::metrics::Metrics;
#[cfg(feature = "cron")]
pub use engine::schedule::Pause;
pub use engine::{Event as TaskEvent, Examination, Level, What as TaskEventKind};
pub use error::TaskError;
pub use policy::RetryPolicy;
pub use policy::breaker::BreakerPolicy;
#[cfg(feature = "cron")]
pub use policy::schedule::{CatchUp, Overlap};
pub use store::{Counts, Node};
pub use task::View as TaskState;
