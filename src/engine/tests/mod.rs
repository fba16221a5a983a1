//! The core by a hand-made clock, and the driver on stores that fail.

mod asker;
mod circuits;
mod close;
mod counting;
mod faults;
mod fence;
mod gates;
mod host;
mod local;
mod rooms;
#[cfg(feature = "cron")]
mod schedule;
mod stall;
mod stored;
mod verdicts;

use std::sync::Arc;

use crate::policy::RetryPolicy;
use crate::store::{Advance, Settled, Turn};
use crate::task::{Cause, Claimed, Failure, Outcome, Rules, Spec, TaskId};
use crate::time::{Millis, Time};

use super::core::{Config, Core, Stop, Word};
use super::kinds::Kind;
use super::local::{Done, Submission};
use super::stored::{End, Start};

fn config(concurrency: u32) -> Config {
    Config {
        node: "node".into(),
        concurrency,
        rules: Rules { max_losses: 3, seed: 0 },
        max_abandoned: 8,
        stall_limit: 60_000,
        give_back_after: 250,
        cancel_grace: 50,
        lease: 1_000_000,
        has_loop: false,
        durable: false,
        queues: None,
        time: Time::default(),
    }
}

fn core(concurrency: u32) -> Core {
    Core::new(config(concurrency))
}

/// What the host would read now.
fn words(core: &mut Core) -> Vec<Word> {
    core.outbox.words.drain(..).collect()
}

fn local(slot: u32) -> Submission {
    Submission { slot, ..Submission::default() }
}

fn timed(slot: u32, timeout: Millis) -> Submission {
    Submission { timeout: Some(timeout), ..local(slot) }
}

fn failed() -> Done {
    Done::Error { retry_after: None }
}

/// A core that claims tasks of one kind, `work`.
fn started(config: Config) -> Core {
    let mut core = Core::new(config);
    core.add_kind(Kind::new("work"));
    core.start();
    core
}

fn spec() -> Spec {
    Spec { id: TaskId::new(), retry: RetryPolicy::fixed(3, 10), ..Spec::new("work", "1") }
}

fn claimed(spec: Spec, epoch: u64) -> Claimed {
    let priority = spec.priority;
    Claimed { spec: Arc::new(spec), epoch, priority, failures: 0, losses: 0, elapsed: 0 }
}

/// The store's answer to the current step: everything is applied as asked for, and `claims` come along.
fn answer(core: &mut Core, step: &Advance, claims: Vec<Claimed>, now: Millis) -> Vec<End> {
    let settled = step.settlements.iter().map(|end| Settled::Applied(end.cause)).collect();
    let turn = Arc::new(Turn { now, settled, claimed: claims, ..Turn::default() });
    let (finals, stale) = core.answered(&turn, now);
    assert_eq!(stale, 0);
    core.poll(now);
    finals
}

/// Claims these, and hands over as many as there are slots for.
fn claim(core: &mut Core, specs: Vec<Spec>, now: Millis) -> Vec<Start> {
    core.hint();
    let step = core.step(now).expect("there is room");
    let claims = specs.into_iter().zip(1..).map(|(spec, epoch)| claimed(spec, epoch)).collect();
    answer(core, &step, claims, now);
    starts(core)
}

/// What the host would begin now.
fn starts(core: &mut Core) -> Vec<Start> {
    std::iter::from_fn(|| core.next_start()).collect()
}

/// Claims one task and begins it.
fn begin(core: &mut Core, spec: Spec, now: Millis) -> Start {
    let start = claim(core, vec![spec], now).remove(0);
    assert!(core.begin_stored(start.slot, start.run, now));
    start
}

/// The causes of what the store is asked to settle now, all of it applied.
fn settle(core: &mut Core, now: Millis) -> Vec<Cause> {
    let mut causes = Vec::new();
    while let Some(step) = core.step(now).filter(|step| !step.settlements.is_empty()) {
        causes.extend(step.settlements.iter().map(|end| end.cause));
        answer(core, &step, Vec::new(), now);
    }
    causes
}

fn ok() -> Outcome {
    Outcome::Ok("1".into())
}

fn error() -> Outcome {
    Outcome::Error(Arc::new(Failure::new("Error", "no")))
}

fn stops(core: &mut Core) -> Vec<Stop> {
    core.outbox.stops.drain(..).map(|(_, _, stop)| stop).collect()
}
