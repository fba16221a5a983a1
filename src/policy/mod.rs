//! Policies: plain data and pure functions that answer "when again?" (`retry`, `cron`, `schedule`) and "how
//! many now?" (`gate`, `rate`, `breaker`); what several engines share of the latter, behind a lock, is in `shared_rate`
//! and `shared_breaker`.

mod bells;
pub mod breaker;
#[cfg(feature = "cron")]
pub mod cron;
mod gate;
mod option;
pub mod rate;
mod retry;
#[cfg(feature = "cron")]
pub mod schedule;
pub mod shared_breaker;
pub mod shared_rate;

pub use bells::Bell;
pub use gate::{Exit, Gate, Room};
pub use option::OptionError;
pub use retry::{Backoff, Jitter, RetryPolicy};
pub use shared_breaker::{BreakerRules, SharedBreaker};
pub use shared_rate::{RateRules, SharedRate};
