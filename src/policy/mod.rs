//! Policies: plain data and pure functions that answer "when again?" (`retry`, `cron`, `schedule`) and "how
//! many now?" (`gate`, `rate`, `breaker`).

pub mod breaker;
#[cfg(feature = "cron")]
pub mod cron;
mod gate;
mod option;
pub mod rate;
mod retry;
#[cfg(feature = "cron")]
pub mod schedule;

pub use gate::{Gate, Room};
pub use option::OptionError;
pub use retry::{Backoff, Jitter, RetryPolicy};
