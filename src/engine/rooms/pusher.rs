//! Carries what came in to the store: in order, and all that is at hand as one call.
//!
//! A batch whose call failed for a passing reason is set aside and tried again by itself: it may be what the call
//! failed for, and those that come later do not wait for it. Ids make a push that is repeated harmless.
//! Every batch is answered, also where a call panics or the engine ends.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;

use crate::error::TaskError;
use crate::store::{Push, Pushed, Refusal, StoreError};
use crate::task::{Spec, TaskId};
use crate::time::Millis;

use super::super::engine::{PushReply, PushResult, push_error};
use super::super::event::{Event, What};
use super::super::shared::{Shared, lock};
use super::{FIRST_PAUSE, MAX_PAUSE, PORTION, give_way, micros_since, sleep};

/// How long a push is tried.
const PATIENCE: Millis = 10_000;
/// Tasks of one call, unless a single batch has more.
const MANY: usize = 8192;

type Answers = Vec<Result<Vec<Pushed>, Refusal>>;
type Late = FuturesUnordered<BoxFuture<'static, ()>>;

pub(super) async fn run(shared: Arc<Shared>) {
    let mut late = Late::new();
    loop {
        let (batches, pushes) = take(&shared);
        if batches.is_empty() {
            tokio::select! {
                biased;
                () = shared.filled.notified() => {}
                Some(()) = late.next() => {}
            }
            continue;
        }
        let (pushes, sent_at): (Arc<[Push]>, _) = (pushes.into(), Instant::now());
        match beside(&mut late, shared.store.push(pushes.clone())).await {
            Ok(answers) => {
                count(&shared, &pushes, &answers, sent_at);
                share_out(&shared, batches, answers);
            }
            Err(error) => set_aside(&shared, batches, &pushes, &error, &late),
        }
        give_way().await;
    }
}

/// The answer to a call, while the late ones go on.
async fn beside<T>(late: &mut Late, call: impl Future<Output = T>) -> T {
    let mut call = std::pin::pin!(call);
    loop {
        tokio::select! {
            biased;
            answer = &mut call => return answer,
            Some(()) = late.next() => {}
        }
    }
}

/// A batch on its way.
struct Batch {
    /// Its part of the call.
    size: usize,
    until: Millis,
    /// Told after the push, from the specs, which only listeners need.
    told: Vec<Arc<Spec>>,
    /// They may have ended in this very push.
    tied: Vec<TaskId>,
    owed: Owed,
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
        let over = self.shared.gone.load(Ordering::SeqCst);
        let error = || TaskError::Engine("the batch was not worked off".into());
        self.answer(Err(if over { TaskError::Closed } else { error() }));
        if self.shared.pushing.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.shared.calm.notify_waiters();
        }
    }
}

/// What is at hand, read. The rest waits for the next call.
fn take(shared: &Arc<Shared>) -> (Vec<Batch>, Vec<Push>) {
    let (mut batches, mut pushes, mut tasks) = (Vec::new(), Vec::new(), 0);
    while tasks < MANY {
        let Some((batch, reply)) = lock(&shared.inbox).pop_front() else { break };
        let mut owed = Owed { reply: Some(reply), shared: shared.clone() };
        // A batch that cannot be read is its own trouble.
        let read = catch_unwind(AssertUnwindSafe(batch));
        let read = read.unwrap_or_else(|_| Err(TaskError::Engine("a batch could not be read".into())));
        match read {
            Err(error) => owed.answer(Err(error)),
            Ok(read) => {
                tasks += read.iter().map(|push| push.specs.len()).sum::<usize>();
                batches.push(Batch::of(&read, owed));
                match pushes.is_empty() {
                    true => pushes = read,
                    false => pushes.extend(read),
                }
            }
        }
    }
    (batches, pushes)
}

fn count(shared: &Shared, pushes: &[Push], answers: &Answers, sent_at: Instant) {
    let (took, now) = (micros_since(sent_at), shared.now());
    let tasks = pushes.iter().map(|push| push.specs.len()).sum();
    shared.core().tally.committed(tasks, took);
    for (pushes, answers) in pushes.chunks(PORTION).zip(answers.chunks(PORTION)) {
        shared.core().count_pushed(pushes, answers, now);
    }
}

fn share_out(shared: &Shared, batches: Vec<Batch>, answers: Answers) {
    let mut answers = answers.into_iter();
    for batch in batches {
        let part = answers.by_ref().take(batch.size).collect();
        batch.accepted(shared, part);
    }
}

/// What failed as a whole is tried again in its parts.
fn set_aside(shared: &Arc<Shared>, batches: Vec<Batch>, pushes: &[Push], error: &StoreError, late: &Late) {
    if may_pass(error) {
        shared.trouble(error);
    } else if batches.len() == 1 {
        return batches.into_iter().for_each(|batch| batch.refused(error));
    }
    let pause = if may_pass(error) { FIRST_PAUSE } else { 0 };
    let mut from = 0;
    for batch in batches {
        let part: Arc<[Push]> = pushes[from..from + batch.size].into();
        from += batch.size;
        late.push(Box::pin(try_again(shared.clone(), batch, part, pause)));
    }
}

async fn try_again(shared: Arc<Shared>, batch: Batch, pushes: Arc<[Push]>, mut pause: Millis) {
    loop {
        sleep(pause).await;
        let sent_at = Instant::now();
        match shared.store.push(pushes.clone()).await {
            Ok(answers) => {
                count(&shared, &pushes, &answers, sent_at);
                return batch.accepted(&shared, answers);
            }
            Err(error) if may_pass(&error) && shared.now() < batch.until => {
                shared.trouble(&error);
                pause = (pause * 2).clamp(FIRST_PAUSE, MAX_PAUSE);
            }
            Err(error) => return batch.refused(&error),
        }
    }
}

/// Worth waiting for by itself. Room is not: somebody has to make it, and should know soon.
fn may_pass(error: &StoreError) -> bool {
    error.is_passing() && !matches!(error, StoreError::Full(_))
}

impl Batch {
    fn of(pushes: &[Push], owed: Owed) -> Self {
        let shared = &owed.shared;
        let told = match shared.core().events.is_listening() {
            true => pushes.iter().flat_map(|push| push.specs.clone()).collect(),
            false => Vec::new(),
        };
        let tied = pushes.iter().flat_map(|push| &push.specs).filter(|spec| spec.blockers.is_some());
        let tied = tied.map(|spec| spec.id.clone()).collect();
        Self { size: pushes.len(), until: shared.now() + PATIENCE, told, tied, owed }
    }

    fn refused(mut self, error: &StoreError) {
        self.owed.answer(Err(error.clone().into()));
    }

    fn accepted(mut self, shared: &Shared, answers: Answers) {
        let answers: Vec<PushResult> = answers.into_iter().map(|answer| answer.map_err(push_error)).collect();
        let mut doubtful = std::mem::take(&mut self.tied);
        doubtful.extend(ousted_by(&answers));
        self.owed.answer(Ok(answers));
        if !doubtful.is_empty() {
            let mut watch = shared.watch();
            doubtful.iter().for_each(|id| watch.doubt(id));
            if !self.told.is_empty() {
                watch.ended_elsewhere(&doubtful);
            }
            drop(watch);
            shared.asked.notify_one();
        }
        let at = shared.now();
        for told in self.told.chunks(PORTION) {
            let mut core = shared.core();
            for spec in told {
                core.events.tell(|| Event { what: What::Waiting, spec: spec.clone(), attempt: 1, at });
            }
        }
        shared.core().hint();
        shared.nudge();
    }
}

/// Tasks that had to go for those that were pushed.
fn ousted_by(answers: &[PushResult]) -> impl Iterator<Item = TaskId> {
    answers.iter().flatten().flatten().filter_map(|pushed| pushed.ousted.clone())
}
