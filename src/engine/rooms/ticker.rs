//! Fires what has a moment and calls the host, on time whatever the store does.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::super::core::Closing;
use super::super::shared::Shared;
use super::sleep_until;

pub(super) async fn run(shared: Arc<Shared>) {
    loop {
        let fired = {
            let (mut core, now) = (shared.core(), shared.now());
            let fired = core.closing() != Closing::No || core.wake_at().is_some_and(|at| at <= now);
            let fired = fired || core.is_rung();
            core.tick(now);
            fired
        };
        if fired {
            // What has ended has to be settled, and its slots are free.
            shared.nudge.notify_one();
        }
        shared.call_host();
        shared.tell_calm();
        let wake_at = shared.core().wake_at();
        shared.planned.store(wake_at.unwrap_or(u64::MAX), Ordering::Relaxed);
        // Whoever set an earlier deadline just before the line above was seen by nobody.
        // The sooner of the two: one set since may lie beyond what is planned, and then wakes nobody either.
        let wake_at = [wake_at, shared.core().wake_at()].into_iter().flatten().min();
        tokio::select! {
            () = shared.clock.notified() => {}
            () = sleep_until(&shared, wake_at) => {}
        }
        shared.planned.store(0, Ordering::Relaxed);
    }
}
