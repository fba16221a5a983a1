//! Carries settlements to the store and claims from it: step, advance, hear; one step is under way.
//!
//! A step that failed stays the step, under its number, until the store has answered it: outcomes are kept.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::Instant;

use crate::store::{Advance, StoreError, Turn};
use crate::time::Millis;

use super::super::exchange::accepted;
use super::super::shared::Shared;
use super::super::watch::final_of_end;
use super::{FIRST_PAUSE, MAX_PAUSE, PORTION, give_way, micros_since, sleep, sleep_until};

pub(super) async fn run(shared: Arc<Shared>) {
    let mut changed = shared.store.changed();
    let mut pause = FIRST_PAUSE;
    // What a panic has left.
    take_in(&shared);
    loop {
        let step = {
            let (mut core, now) = (shared.core(), shared.now());
            core.tick(now);
            core.step(now)
        };
        let Some(step) = step else {
            shared.call_host();
            shared.tell_calm();
            let (wake_at, due_at) = {
                let core = shared.core();
                (core.wake_at(), core.ask_at())
            };
            shared.expect(wake_at);
            tokio::select! {
                biased;
                () = shared.nudge.notified() => {}
                answer = &mut changed => {
                    if answer.is_err() {
                        sleep(MAX_PAUSE).await;
                    }
                    changed = shared.store.changed();
                    shared.core().hint();
                    shared.asked.notify_one();
                }
                () = sleep_until(&shared, due_at) => {}
            }
            // A host that is called may nudge at once, and the pusher is on this thread too.
            give_way().await;
            continue;
        };
        let (carried, sent_at) = (step.settlements.len(), Instant::now());
        match advance(&shared, step).await {
            Ok(turn) => {
                shared.core().tally.committed(carried + turn.claimed.len(), micros_since(sent_at));
                hear(&shared, turn);
                pause = FIRST_PAUSE;
                give_way().await;
            }
            Err(error) => {
                shared.trouble(&error);
                rest(&shared, pause).await;
                pause = (pause * 2).min(MAX_PAUSE);
            }
        }
    }
}

/// The store's answer. While it is waited for, the ticker looks after everything else.
async fn advance(shared: &Shared, step: Arc<Advance>) -> Result<Arc<Turn>, StoreError> {
    let mut call = pin!(shared.store.advance(step));
    let at_once = poll_fn(|context| Poll::Ready(call.as_mut().poll(context))).await;
    if let Poll::Ready(answer) = at_once {
        return answer;
    }
    let _absence = Absence::of(shared);
    call.await
}

async fn rest(shared: &Shared, length: Millis) {
    let _absence = Absence::of(shared);
    sleep(length).await;
}

/// The advancer waits for the store: a nudge is for the ticker.
struct Absence<'a>(&'a Shared);

impl<'a> Absence<'a> {
    fn of(shared: &'a Shared) -> Self {
        shared.absent.store(true, Ordering::SeqCst);
        // A nudge that came before the line above has reached nobody but this room.
        let wake_at = {
            let (mut core, now) = (shared.core(), shared.now());
            core.tick(now);
            core.wake_at()
        };
        shared.expect(wake_at);
        shared.call_host();
        shared.tell_calm();
        Self(shared)
    }
}

impl Drop for Absence<'_> {
    fn drop(&mut self) {
        self.0.absent.store(false, Ordering::SeqCst);
        self.0.nudge.notify_one();
    }
}

// In small portions: the host waits for these locks in the middle of its loop.
fn hear(shared: &Shared, turn: Arc<Turn>) {
    let now = shared.now();
    let ends = shared.core().heard(turn.clone(), now);
    shared.core().count_stale(&ends, &turn, now);
    let (ends, stale) = accepted(ends, &turn);
    shared.stale.fetch_add(stale, Ordering::Relaxed);
    ends.chunks(PORTION).for_each(|ends| shared.core().count_ends(ends, now));
    shared.core().tell_ends(&ends, now);
    take_in(shared);
    let mut ended = turn.ended.len();
    for ends in ends.chunks(PORTION) {
        let mut watch = shared.watch();
        for end in ends.iter().filter(|end| end.settlement.state().is_final()) {
            ended += 1;
            match final_of_end(end) {
                Some(outcome) => watch.end(&end.spec.id, &outcome),
                None => {
                    watch.doubt(&end.spec.id);
                    shared.asked.notify_one();
                }
            }
        }
    }
    if !turn.ended.is_empty() {
        shared.core().count_ended_unrun(turn.ended.len(), now);
        shared.watch().ended_elsewhere(&turn.ended);
        shared.asked.notify_one();
    }
    shared.count_ended(ended);
    shared.call_host();
    shared.tell_calm();
    shared.calm.notify_waiters();
}

/// Takes in what was claimed; what is taken in once is never taken in again, whatever fails in between.
fn take_in(shared: &Shared) {
    while shared.core().take_in_some(PORTION, shared.now()) {}
    let (wake_at, wants_beat) = {
        let (mut core, now) = (shared.core(), shared.now());
        core.poll(now);
        (core.wake_at(), core.wants_beat())
    };
    shared.expect(wake_at);
    if wants_beat {
        shared.beat.notify_one();
    }
}
