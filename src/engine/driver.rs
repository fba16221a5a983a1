//! The driver: the one place that talks to the store on behalf of the core.
//!
//! One loop: push what came in, advance, beat, prune, tell the host, sleep until the next deadline or nudge.
//! A call that failed for a passing reason is made again, with growing pauses; all of them may be repeated.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::error::TaskError;
use crate::store::{Push, Pushed, Refusal, StoreError};
use crate::task::{Record, State, TaskId};
use crate::time::Millis;

use super::core::Closing;
use super::engine::{PushBatch, PushReply, PushResult, Shared, lock, push_error};
use super::event::{Event, What};
use super::exchange::accepted;
use super::watch::{final_of, final_of_end};

/// Time between two beats.
const BEAT: Millis = 500;
/// Tasks of dead nodes that are taken over in one go.
const ORPHANS: usize = 1000;
/// Ended tasks after which retention is looked at.
const PRUNE_AFTER: usize = 500;
/// What is done under a lock that the host may wait for.
const PORTION: usize = 64;
/// Longest pause after a failure of the store.
const MAX_PAUSE: Millis = 1000;

struct Drive {
    beat_at: Millis,
    ended: usize,
    pause: Millis,
    quiet: bool,
}

/// Drives until the engine is gone. A panic is a defect, of ours or of a store: what it interrupted is
/// refused or made again, and the engine goes on.
pub(super) async fn keep_driving(shared: Arc<Shared>) {
    while let Err(error) = tokio::spawn(drive(shared.clone())).await {
        tracing::error!(target: "task::engine", %error, "the driver failed and starts again");
        tokio::time::sleep(Duration::from_millis(MAX_PAUSE)).await;
    }
}

async fn drive(shared: Arc<Shared>) {
    let mut drive = Drive { beat_at: 0, ended: 0, pause: 0, quiet: true };
    let mut changed = shared.store.changed();
    while !shared.gone.load(Ordering::SeqCst) {
        let (worked, failed) = drive.round(&shared).await;
        shared.call_host();
        drive.tell_calm(&shared);
        if failed {
            drive.pause = (drive.pause * 2).clamp(10, MAX_PAUSE);
            rest(&shared, drive.pause).await;
            continue;
        }
        drive.pause = 0;
        if worked {
            continue;
        }
        let wake_at = drive.wake_at(&shared);
        shared.planned.store(wake_at.unwrap_or(u64::MAX), Ordering::Relaxed);
        // Whoever set an earlier deadline just before the line above was seen by nobody.
        // The sooner of the two: one set since may lie beyond what is planned, and then wakes nobody either.
        let wake_at = [wake_at, drive.wake_at(&shared)].into_iter().flatten().min();
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

/// Waits while the store fails; what has a moment is not late for that.
async fn rest(shared: &Shared, length: Millis) {
    let end = shared.now().saturating_add(length);
    while shared.now() < end && !shared.gone.load(Ordering::SeqCst) {
        let at = shared.core().wake_at().map_or(end, |at| at.min(end));
        shared.planned.store(at, Ordering::Relaxed);
        let at = shared.core().wake_at().map_or(at, |sooner| sooner.min(at));
        tokio::select! {
            () = shared.nudge.notified() => {}
            () = sleep_until(shared, Some(at)) => {}
        }
        shared.planned.store(0, Ordering::Relaxed);
        {
            let (mut core, now) = (shared.core(), shared.now());
            core.tick(now);
        }
        shared.call_host();
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

/// The answer to a batch, and its place among those on their way.
struct Owed {
    reply: Option<PushReply>,
    shared: Arc<Shared>,
}

impl Owed {
    fn answer(&mut self, answers: Result<Vec<PushResult>, TaskError>) {
        if let Some(reply) = self.reply.take() {
            reply(answers);
        }
    }
}

impl Drop for Owed {
    fn drop(&mut self) {
        self.answer(Err(TaskError::Engine("the batch was not worked off".into())));
        self.shared.pushing.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Drive {
    /// One round; says whether there was anything to do, and whether the store failed.
    async fn round(&mut self, shared: &Arc<Shared>) -> (bool, bool) {
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
        if !unseen.is_empty() {
            let answer = ask(shared, unseen.clone()).await;
            shared.watch().asked(if answer.is_err() { unseen } else { Vec::new() });
            if let Err(error) = answer {
                return self.failed(&error);
            }
        }
        if self.beats(shared) && (now >= self.beat_at || shared.core().wants_beat()) {
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

    async fn push(&mut self, shared: &Arc<Shared>) -> bool {
        let batches: Vec<(PushBatch, PushReply)> = std::mem::take(&mut *lock(&shared.inbox));
        if batches.is_empty() {
            return false;
        }
        // Each is answered even if a panic ends this call.
        let batches: Vec<_> = batches
            .into_iter()
            .map(|(batch, reply)| (batch, Owed { reply: Some(reply), shared: shared.clone() }))
            .collect();
        for (batch, mut owed) in batches {
            let pushes = match batch() {
                Ok(pushes) => pushes,
                Err(error) => {
                    owed.answer(Err(error));
                    continue;
                }
            };
            // Told after the push, from the specs, which only listeners need.
            let told: Vec<_> = match shared.core().events.is_listening() {
                true => pushes.iter().flat_map(|push| push.specs.clone()).collect(),
                false => Vec::new(),
            };
            let tied = pushes.iter().flat_map(|push| &push.specs).filter(|spec| spec.blockers.is_some());
            let tied: Vec<TaskId> = tied.map(|spec| spec.id.clone()).collect();
            let answers = self.push_all(shared, pushes).await;
            let answers =
                answers.map(|all| all.into_iter().map(|answer| answer.map_err(push_error)).collect());
            let ousted = ousted_by(&answers);
            owed.answer(answers.map_err(TaskError::from));
            {
                let mut watch = shared.watch();
                tied.iter().chain(&ousted).for_each(|id| watch.doubt(id));
            }
            let heard = !told.is_empty();
            {
                let (mut core, at) = (shared.core(), shared.now());
                core.hint();
                for spec in told {
                    core.events.tell(|| Event { what: What::Waiting, spec, attempt: 1, at });
                }
            }
            // Where that fails nobody waits in vain: they are in doubt, and asked about again.
            if heard {
                let _ = look_up(shared, tied.into_iter().chain(ousted).collect()).await;
            }
        }
        true
    }

    /// A push may be repeated: ids make it idempotent.
    async fn push_all(
        &self,
        shared: &Shared,
        pushes: Vec<Push>,
    ) -> Result<Vec<Result<Vec<Pushed>, Refusal>>, StoreError> {
        let (pushes, mut pause): (Arc<[Push]>, _) = (pushes.into(), 10);
        loop {
            match shared.store.push(pushes.clone()).await {
                Err(error) if error.is_passing() && pause < 10 * MAX_PAUSE => {
                    tokio::time::sleep(Duration::from_millis(pause)).await;
                    pause *= 2;
                }
                answer => return answer,
            }
        }
    }

    // In small portions: the host waits for these locks in the middle of its loop.
    fn answered(&mut self, shared: &Shared, turn: &crate::store::Turn) {
        let now = shared.now();
        let ends = shared.core().heard(turn, now);
        let (ends, stale) = accepted(ends, turn);
        shared.stale.fetch_add(stale, Ordering::Relaxed);
        shared.core().tell_ends(&ends, now);
        for claimed in turn.claimed.chunks(PORTION) {
            shared.core().take_in_all(claimed, now);
        }
        {
            let mut core = shared.core();
            core.answer_is_done();
            core.poll(now);
        }
        self.ended += turn.ended.len();
        for ends in ends.chunks(PORTION) {
            let mut watch = shared.watch();
            for end in ends.iter().filter(|end| end.settlement.state().is_final()) {
                self.ended += 1;
                watch.end(&end.spec.id, &final_of_end(end));
            }
        }
    }

    /// One that only waits for what others run beats too: that is when it asks how far they are.
    fn beats(&self, shared: &Shared) -> bool {
        let awaits = shared.watch().is_awaiting();
        let core = shared.core();
        core.is_started() || !core.is_quiet() || awaits
    }

    async fn beat(&self, shared: &Shared) -> Result<(), StoreError> {
        let node = shared.core().node().clone();
        let pulse = shared.store.pulse(node).await?;
        {
            let (mut core, now) = (shared.core(), shared.now());
            core.pulsed(&pulse, now);
            core.ask_again();
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
        let beat = self.beats(shared).then_some(self.beat_at);
        let core = shared.core();
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
    let heard = shared.core().events.is_listening();
    let known: Vec<TaskId> = {
        let watch = shared.watch();
        ended.into_iter().filter(|id| heard || watch.knows(id)).collect()
    };
    if !known.is_empty() {
        let records = ask(shared, known).await?;
        if heard {
            tell_ended(shared, &records);
        }
        shared.call_host();
    }
    shared.calm.notify_waiters();
    Ok(())
}

/// Tells listeners of tasks that have ended without a run.
fn tell_ended(shared: &Shared, records: &[Option<Record>]) {
    let (mut core, at) = (shared.core(), shared.now());
    for Record { spec, status } in records.iter().flatten() {
        let what = match (status.state, status.attempts.last()) {
            (State::Cancelled, _) => What::Cancelled,
            (State::Failed, Some(error)) => What::Failed { error: error.clone(), retry_in: None },
            _ => continue,
        };
        core.events.tell(|| Event { what, spec: spec.clone(), attempt: status.attempt(), at });
    }
}

/// Tasks that had to go for those that were pushed.
fn ousted_by(answers: &Result<Vec<PushResult>, StoreError>) -> Vec<TaskId> {
    let pushed = answers.iter().flatten().flatten().flatten();
    pushed.filter_map(|pushed| pushed.ousted.clone()).collect()
}

/// Asks the store about tasks that somebody waits for.
async fn ask(shared: &Shared, ids: Vec<TaskId>) -> Result<Vec<Option<Record>>, StoreError> {
    let records = shared.store.get(ids.clone()).await?.records;
    let mut watch = shared.watch();
    for (id, record) in ids.iter().zip(&records) {
        match record {
            None => watch.end(id, &Err(TaskError::NotFound(id.to_text()))),
            Some(record) => {
                if let Some(outcome) = final_of(record) {
                    watch.end(id, &outcome);
                }
            }
        }
    }
    Ok(records)
}
