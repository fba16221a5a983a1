//! The engine: drives the dispatcher, runs handlers through a host, talks to the store.
//!
//! `core` is everything that decides, without I/O (`local` and `stored` are its two kinds of run, `kinds`
//! and `gates` what holds for them, `pace` says how much to claim, `timers` and `event` serve them); `rooms` do the I/O, `shared` is what they share; `engine` is the handle.

mod circuits;
mod core;
mod count;
mod doctor;
#[expect(clippy::module_inception, reason = "the handle is the engine")]
mod engine;
mod event;
mod exchange;
mod expiry;
mod fence;
mod flows;
mod gates;
mod kinds;
mod local;
pub mod metrics;
mod notes;
mod pace;
mod rooms;
#[cfg(feature = "cron")]
pub mod schedule;
mod seen;
mod shared;
mod stall;
mod stored;
mod telling;
#[cfg(test)]
mod tests;
mod timers;
mod verdicts;
mod watch;

use std::sync::LazyLock;

pub use self::core::{Closing, Config, Core, KindId, MAX_SLOTS, Outbox, PolicyId, STORED, Stop, Word};
pub use doctor::Examination;
pub use engine::{Engine, Host, PushBatch, PushReply, PushResult};
pub use event::{Event, Events, What};
pub(crate) use gates::verdict_of;
pub use kinds::{Hold, Kind, Limits, Place};
pub use local::{Done, Submission};
pub use notes::Level;
pub use stall::{Culprit, Stall};
pub use stored::{End, Start};
pub use watch::{Final, Notice, Waiter, Watch, final_of};

/// Threads of the runtime of all engines.
pub(crate) const THREADS: usize = 2;

/// The runtime of all engines of this process: it outlives every one of them, and every JavaScript
/// environment.
pub(crate) fn runtime() -> &'static tokio::runtime::Handle {
    static RUNTIME: LazyLock<tokio::runtime::Runtime> = LazyLock::new(|| {
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(THREADS)
            .thread_name("task-engine")
            .enable_all()
            .build()
            .expect("threads can be made")
    });
    RUNTIME.handle()
}
