//! Tells the store that this node lives, and settles as lost what dead nodes ran.
//!
//! A beat counts from when it was sent: what its answer took is no proof of life.

use std::sync::Arc;
use std::time::Duration;

use crate::store::{Pulse, StoreError};
use crate::time::{Millis, monotonic};

use super::super::shared::Shared;
use super::{FIRST_PAUSE, pause_until, sleep};

/// Time between two beats.
const BEAT: Millis = 500;
/// Tasks of dead nodes that are taken over in one go.
const ORPHANS: usize = 1000;

pub(super) async fn run(shared: Arc<Shared>) {
    let mut pause = FIRST_PAUSE;
    let mut beat_at = 0;
    loop {
        let (beats, wanted) = {
            let core = shared.core();
            (core.beats(), core.wants_beat())
        };
        if !beats || (monotonic() < beat_at && !wanted) {
            tokio::select! {
                () = shared.beat.notified() => {}
                () = pause_until(beats.then_some(beat_at)) => {}
            }
            continue;
        }
        let now = monotonic();
        match beat(&shared).await {
            Ok(()) => (beat_at, pause) = (now + BEAT, FIRST_PAUSE),
            Err(error) => {
                shared.trouble(&error);
                sleep(pause).await;
                pause = (pause * 2).min(BEAT);
            }
        }
        shared.call_host();
    }
}

async fn beat(shared: &Shared) -> Result<(), StoreError> {
    let (node, patience) = {
        let core = shared.core();
        (core.node().clone(), core.lease() / 4)
    };
    let sent_at = shared.now();
    // One that does not answer may have lost the question.
    let pulse = tokio::time::timeout(Duration::from_millis(patience), shared.store.pulse(node)).await;
    let pulse = pulse.unwrap_or_else(|_| {
        Err(StoreError::Unreachable(format!("no answer to a beat within {patience} ms").into()))
    })?;
    learn(shared, &pulse, sent_at);
    if let Some(error) = &pulse.trouble {
        shared.trouble(error);
    }
    if !pulse.dead.is_empty() {
        let nodes = pulse.dead.len();
        let orphans = shared.store.orphans(pulse.dead, ORPHANS).await?;
        let tasks = orphans.len();
        tracing::warn!(target: "task::engine", nodes, tasks, "executors are gone: what they ran is lost");
        shared.core().orphaned(&orphans);
        shared.nudge();
    }
    Ok(())
}

fn learn(shared: &Shared, pulse: &Pulse, sent_at: Millis) {
    let wake_at = {
        let (mut core, now) = (shared.core(), shared.now());
        core.beaten(sent_at);
        core.pulsed(pulse, now);
        core.ask_again();
        core.wake_at()
    };
    shared.expect(wake_at);
    shared.nudge();
}
