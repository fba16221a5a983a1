//! Forgets what ended and is beyond its limits: a little at a time, whenever enough has ended, and now and then
//! for what has grown old.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::time::Millis;

use super::super::shared::{PRUNE_AFTER, Shared};
use super::{MAX_PAUSE, give_way, sleep};

/// Time between two looks of a node at work at what has grown old.
const ROUND: Millis = 60_000;

pub(super) async fn run(shared: Arc<Shared>) {
    loop {
        tokio::select! {
            () = shared.full.notified() => {}
            () = shared.time.rest(ROUND) => {
                if !shared.core().is_started() {
                    continue;
                }
            }
        }
        shared.ended.store(0, Ordering::Relaxed);
        loop {
            match shared.store.prune(shared.retention, PRUNE_AFTER).await {
                Ok(gone) if gone < PRUNE_AFTER => break,
                Ok(_) => give_way().await,
                Err(error) => {
                    shared.trouble(&error);
                    sleep(MAX_PAUSE).await;
                    break;
                }
            }
        }
    }
}
