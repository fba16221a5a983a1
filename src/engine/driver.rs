//! The driver: the one place that talks to the store on behalf of the core.
//!
//! One loop: push what came in, advance, beat, prune, tell the host, sleep until the next deadline or nudge.
//! A call that failed for a passing reason is made again, with growing pauses; all of them may be repeated.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::error::TaskError;
use crate::store::{Push, StoreError};
use crate::task::TaskId;
use crate::time::Millis;

use super::core::Closing;
use super::engine::{PushBatch, PushReply, Shared, lock, push_error};
use super::event::{Event, What};
use super::watch::{final_of, final_of_end};

/// Time between two beats.
const BEAT: Millis = 500;
/// Tasks of dead nodes that are taken over in one go.
const ORPHANS: usize = 1000;
/// Ended tasks after which retention is looked at.
const PRUNE_AFTER: usize = 500;
/// Longest pause after a failure of the store.
const MAX_PAUSE: Millis = 1000;

struct Drive {
    beat_at: Millis,
    ended: usize,
    pause: Millis,
    quiet: bool,
}

/// Runs until the engine is gone.
pub(super) async fn drive(shared: Arc<Shared>) {
    let mut drive = Drive { beat_at: 0, ended: 0, pause: 0, quiet: true };
    let mut changed = shared.store.changed();
    while !shared.gone.load(Ordering::SeqCst) {
        let (worked, failed) = drive.round(&shared).await;
        shared.call_host();
        drive.tell_calm(&shared);
        if failed {
            drive.pause = (drive.pause * 2).clamp(10, MAX_PAUSE);
            tokio::time::sleep(Duration::from_millis(drive.pause)).await;
            continue;
        }
        drive.pause = 0;
        if worked {
            continue;
        }
        let wake_at = drive.wake_at(&shared);
        shared.planned.store(wake_at.unwrap_or(u64::MAX), Ordering::Relaxed);
        // Whoever set an earlier deadline just before the store above was seen by nobody.
        let wake_at = drive.wake_at(&shared).or(wake_at);
        tokio::select! {
            () = shared.nudge.notified() => {}
            () = sleep_until(&shared, wake_at) => {}
            _ = &mut changed => {
                changed = shared.store.changed();
                shared.core().hint();
            }
        }
        shared.planned.store(0, Ordering::Relaxed);
    }
}

async fn sleep_until(shared: &Shared, at: Option<Millis>) {
    match at {
        Some(at) => {
            let at = shared.started_at + Duration::from_millis(at);
            tokio::time::sleep_until(at.into()).await;
        }
        None => std::future::pending().await,
    }
}

impl Drive {
    /// One round; says whether there was anything to do, and whether the store failed.
    async fn round(&mut self, shared: &Shared) -> (bool, bool) {
        let pushed = self.push(shared).await;
        let (step, now) = {
            let (mut core, now) = (shared.core(), shared.now());
            core.tick(now);
            (core.step(now), now)
        };
        let mut worked = pushed;
        if let Some(step) = step {
            match shared.store.advance(step).await {
                Ok(turn) => {
                    self.answered(shared, &turn);
                    if look_up(shared, turn.ended.clone()).await.is_err() {
                        return (true, true);
                    }
                    worked = true;
                }
                Err(error) => return self.failed(&error),
            }
        }
        let unseen = shared.watch().take_unseen();
        if !unseen.is_empty() && ask(shared, unseen).await.is_err() {
            return (true, true);
        }
        if self.beats(shared) && now >= self.beat_at {
            self.beat_at = now + BEAT;
            if let Err(error) = self.beat(shared).await {
                return self.failed(&error);
            }
        }
        if self.ended >= PRUNE_AFTER {
            self.ended = 0;
            if let Err(error) = shared.store.prune(shared.retention, 2 * PRUNE_AFTER).await {
                return self.failed(&error);
            }
        }
        (worked, false)
    }

    fn failed(&self, error: &StoreError) -> (bool, bool) {
        tracing::warn!(target: "task::store", %error, "a call failed and will be made again");
        (true, true)
    }

    async fn push(&mut self, shared: &Shared) -> bool {
        let batches: Vec<(PushBatch, PushReply)> = std::mem::take(&mut *lock(&shared.inbox));
        if batches.is_empty() {
            return false;
        }
        let n = batches.len() as u64;
        for (batch, reply) in batches {
            let pushes = match batch() {
                Ok(pushes) => pushes,
                Err(error) => {
                    reply(Err(error));
                    continue;
                }
            };
            // Told after the push, from the specs, which only listeners need.
            let told: Vec<_> = match shared.core().events.is_listening() {
                true => pushes.iter().flat_map(|push| push.specs.clone()).collect(),
                false => Vec::new(),
            };
            let answers = self.push_all(shared, pushes).await;
            let answers = answers.map(|all| all.into_iter().map(|answer| answer.map_err(push_error)).collect());
            reply(answers.map_err(TaskError::from));
            let (mut core, at) = (shared.core(), shared.now());
            core.hint();
            for spec in told {
                core.events.tell(|| Event { what: What::Waiting, spec: Arc::new(spec), attempt: 1, at });
            }
        }
        shared.pushing.fetch_sub(n, Ordering::SeqCst);
        true
    }

    /// A push may be repeated: ids make it idempotent.
    async fn push_all(
        &self,
        shared: &Shared,
        pushes: Vec<Push>,
    ) -> Result<Vec<Result<Vec<crate::store::Pushed>, crate::store::Refusal>>, StoreError> {
        let mut pause = 10;
        loop {
            // The copy is cheap beside a store that can fail; memory cannot, but is not asked what it is.
            match shared.store.push(pushes.clone()).await {
                Err(error) if error.is_passing() && pause < 10 * MAX_PAUSE => {
                    tokio::time::sleep(Duration::from_millis(pause)).await;
                    pause *= 2;
                }
                answer => return answer,
            }
        }
    }

    fn answered(&mut self, shared: &Shared, turn: &crate::store::Turn) {
        let finals = {
            let (mut core, now) = (shared.core(), shared.now());
            let (finals, stale) = core.answered(turn, now);
            shared.stale.fetch_add(stale, Ordering::Relaxed);
            core.poll(now);
            finals
        };
        self.ended += finals.len() + turn.ended.len();
        let mut watch = shared.watch();
        for end in &finals {
            watch.end(&end.spec.id, &final_of_end(end));
        }
    }

    fn beats(&self, shared: &Shared) -> bool {
        let core = shared.core();
        core.is_started() || !core.is_quiet()
    }

    async fn beat(&self, shared: &Shared) -> Result<(), StoreError> {
        let node = shared.core().node().clone();
        let pulse = shared.store.pulse(node).await?;
        {
            let (mut core, now) = (shared.core(), shared.now());
            core.pulsed(&pulse, now);
            core.hint();
        }
        if !pulse.dead.is_empty() {
            let orphans = shared.store.orphans(pulse.dead, ORPHANS).await?;
            shared.core().orphaned(&orphans);
        }
        let awaited = shared.watch().awaited(ORPHANS);
        if !awaited.is_empty() {
            ask(shared, awaited).await?;
        }
        Ok(())
    }

    fn wake_at(&self, shared: &Shared) -> Option<Millis> {
        let core = shared.core();
        let beat = (core.is_started() || !core.is_quiet()).then_some(self.beat_at);
        [core.wake_at(), core.store_due_at(), beat].into_iter().flatten().min()
    }

    fn tell_calm(&mut self, shared: &Shared) {
        let core = shared.core();
        let quiet = core.is_quiet() || core.closing() == Closing::Done;
        if quiet && !self.quiet {
            shared.calm.notify_waiters();
        }
        self.quiet = quiet;
    }
}

/// Tells those who wait for these tasks, which have ended, how.
pub(super) async fn look_up(shared: &Shared, ended: Vec<TaskId>) -> Result<(), TaskError> {
    let known: Vec<TaskId> = {
        let watch = shared.watch();
        ended.into_iter().filter(|id| watch.knows(id)).collect()
    };
    if !known.is_empty() {
        ask(shared, known).await?;
        shared.call_host();
    }
    shared.calm.notify_waiters();
    Ok(())
}

/// Asks the store about tasks that somebody waits for.
async fn ask(shared: &Shared, ids: Vec<TaskId>) -> Result<(), StoreError> {
    let records = shared.store.get(ids.clone()).await?;
    let mut watch = shared.watch();
    for (id, record) in ids.iter().zip(records) {
        match record {
            None => watch.end(id, &Err(TaskError::NotFound(id.to_text()))),
            Some(record) => {
                if let Some(outcome) = final_of(&record) {
                    watch.end(id, &outcome);
                }
            }
        }
    }
    Ok(())
}
