//! Policies: plain data and pure functions that answer "when again?" (`retry`) and "how many now?" (`gate`).

mod gate;
mod retry;

pub use gate::{Gate, Room};
pub use retry::{Backoff, Jitter, RetryPolicy};
