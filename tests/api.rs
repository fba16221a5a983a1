//! The Rust facade as its users see it; read in this order it is the manual.

#[path = "api/brief.rs"]
mod brief;
#[path = "api/handlers.rs"]
mod handlers;

#[path = "api/order.rs"]
mod order;
#[path = "api/retry.rs"]
mod retry;

#[path = "api/limits.rs"]
mod limits;

#[path = "api/cancel.rs"]
mod cancel;
#[path = "api/timeout.rs"]
mod timeout;

#[path = "api/close.rs"]
mod close;
#[path = "api/flows.rs"]
mod flows;
#[path = "api/stored.rs"]
mod stored;

#[path = "api/observe.rs"]
mod observe;

#[cfg(feature = "sqlite")]
#[path = "api/persistence.rs"]
mod persistence;

#[cfg(feature = "cron")]
#[path = "api/schedules.rs"]
mod schedules;

#[path = "api/runtimes.rs"]
mod runtimes;

use std::future::Future;
use std::time::Duration;

/// Longer than anything here takes on the slowest machine: only a test that hangs comes to it.
const HANG: Duration = Duration::from_secs(60);

/// The output of what has to end.
async fn ends<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(HANG, work).await.expect("it ends")
}

/// Waits until this is so.
async fn until(mut is_so: impl FnMut() -> bool) {
    ends(async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
}
