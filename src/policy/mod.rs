//! Policies: plain data and pure functions that answer "when again?" (`retry`, `cron`) and "how many now?"
//! (`gate`).

#[cfg(feature = "cron")]
pub mod cron;
mod gate;
mod retry;

pub use gate::{Gate, Room};
pub use retry::{Backoff, Jitter, RetryPolicy};
