//! The one place where the fate of a run is decided.
//!
//! `settle` is a pure function of what is known about the run and how it ended. What it returns is flat:
//! a store applies it `if the claim is still the current one` and decides nothing itself, but for one rule
//! (`Settlement::under`): a task that was asked to stop, or whose key was taken, goes back to no queue.

use std::sync::Arc;

use crate::policy::RetryPolicy;
use crate::time::Millis;

use super::id::TaskId;
use super::record::Attempt;
use super::spec::{Spec, Text};
use super::state::{Cause, State};

/// How a run ended.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// The handler succeeded with this output.
    Ok(Text),
    /// The same, and these tasks are to be pushed in the same step.
    Spawned(Text, Vec<Arc<Spec>>),
    /// The handler failed.
    Error(Arc<Failure>),
    /// The attempt did not end in time.
    Timeout,
    /// The handler asked to come again after this time.
    Snooze(Millis),
    /// The handler ended, or was abandoned, after a request to stop.
    Cancelled(Arc<str>),
    /// The node or environment that ran it is gone or frozen.
    Lost,
    /// The node gives it back, unbegun or at shutdown.
    Released,
}

/// What a handler threw, as data.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Failure {
    /// Class of the error.
    pub name: String,
    /// Its message.
    pub message: String,
    /// Its code, where it has one.
    pub code: Option<String>,
    /// Its stack, at most 16 KiB.
    pub stack: Option<String>,
    /// Trying again cannot help.
    pub fatal: bool,
    /// Replaces the delay of the retry policy.
    pub retry_after: Option<Millis>,
    /// It speaks against what the handler has called, or does not; `None`: unless it is fatal.
    pub blames: Option<bool>,
    /// The error itself, where a Rust handler of this process returned one.
    pub original: Option<Original>,
}

/// An error as it was returned; equal only to itself.
#[derive(Clone, Debug)]
pub struct Original(pub Arc<dyn std::error::Error + Send + Sync>);

impl PartialEq for Original {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Original {}

impl Failure {
    /// A failure that the retry policy decides about.
    pub fn new(name: impl Into<String>, message: impl Into<String>) -> Self {
        Self { name: name.into(), message: message.into(), ..Self::default() }
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{}: {}", self.name, self.message)
    }
}

impl std::error::Error for Failure {
    /// What the original names as its source: its own message is part of this one.
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.original.as_ref()?.0.source()
    }
}

/// What is known about a run when it ends.
#[derive(Clone, Debug)]
pub struct Standing<'a> {
    /// The task.
    pub id: &'a TaskId,
    /// The claim: the fence.
    pub epoch: u64,
    /// Failed attempts before this one.
    pub failures: u32,
    /// Lost claims before this one.
    pub losses: u32,
    /// Time since the first start of the task.
    pub elapsed: Millis,
    /// Its limit for one attempt.
    pub timeout: Option<Millis>,
    /// Its retry policy.
    pub retry: &'a RetryPolicy,
}

/// What an executor decides for all its tasks.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// Lost claims that a task survives.
    pub max_losses: u32,
    /// Seed of the jitter.
    pub seed: u64,
}

impl Default for Rules {
    fn default() -> Self {
        Self { max_losses: 3, seed: 0 }
    }
}

/// A decided fate: applied by a store where `id` is running under `epoch`, and without effect elsewhere.
#[derive(Clone, Debug)]
#[must_use]
pub struct Settlement {
    /// The task.
    pub id: TaskId,
    /// The claim that ends.
    pub epoch: u64,
    /// The transition.
    pub cause: Cause,
    /// Of a task that waits again: for so long, on the store's clock.
    pub delay: Millis,
    /// The new count of failed attempts.
    pub failures: u32,
    /// The new count of lost claims.
    pub losses: u32,
    /// What the handler returned.
    pub output: Option<Text>,
    /// What this attempt failed with; the store stamps its time.
    pub attempt: Option<Attempt>,
    /// Tasks to push in the same step, if the run completed.
    pub spawn: Vec<Arc<Spec>>,
}

impl Settlement {
    /// The state that the task is in afterwards.
    pub fn state(&self) -> State {
        State::Running.after(self.cause).expect("settle takes only causes that end a run")
    }

    /// The settlement as it is applied to a task that was asked to stop (`cancel`), or whose unique key
    /// was taken (`superseded`) while it ran.
    pub fn under(mut self, cancel: bool, superseded: bool) -> Self {
        if cancel {
            self.cause = Cause::Cancel;
        } else if superseded && self.cause != Cause::Complete {
            self.cause = Cause::Supersede;
        }
        if self.cause != Cause::Complete {
            self.output = None;
            self.spawn.clear();
        }
        self
    }
}

/// Decides what follows a run that ended with `outcome`.
pub fn settle(run: &Standing<'_>, outcome: &Outcome, rules: &Rules) -> Settlement {
    let as_is = Settlement {
        id: run.id.clone(),
        epoch: run.epoch,
        cause: Cause::Release,
        delay: 0,
        failures: run.failures,
        losses: run.losses,
        output: None,
        attempt: None,
        spawn: Vec::new(),
    };
    match outcome {
        Outcome::Ok(output) => Settlement { cause: Cause::Complete, output: Some(output.clone()), ..as_is },
        Outcome::Spawned(output, spawn) => {
            Settlement { cause: Cause::Complete, output: Some(output.clone()), spawn: spawn.clone(), ..as_is }
        }
        Outcome::Error(failure) => {
            let attempt = Attempt::failed(run.failures + 1, failure);
            failed(
                run,
                rules,
                failure.fatal,
                failure.retry_after,
                Settlement { attempt: Some(attempt), ..as_is },
            )
        }
        Outcome::Timeout => {
            let attempt = Attempt::timed_out(run.failures + 1, run.timeout.unwrap_or_default());
            failed(run, rules, false, None, Settlement { attempt: Some(attempt), ..as_is })
        }
        Outcome::Snooze(delay) => Settlement { cause: Cause::Snooze, delay: *delay, ..as_is },
        Outcome::Cancelled(_) => Settlement { cause: Cause::Cancel, ..as_is },
        Outcome::Lost => lost(run, rules, as_is),
        Outcome::Released => as_is,
    }
}

fn failed(
    run: &Standing<'_>,
    rules: &Rules,
    fatal: bool,
    retry_after: Option<Millis>,
    base: Settlement,
) -> Settlement {
    let failures = run.failures.saturating_add(1);
    let seed = rules.seed ^ run.id.fingerprint();
    let delay = match run.retry.next(failures, run.elapsed, seed, retry_after) {
        Some(delay) if !fatal => delay,
        _ => return Settlement { cause: Cause::Fail, failures, ..base },
    };
    Settlement { cause: Cause::Retry, failures, delay, ..base }
}

fn lost(run: &Standing<'_>, rules: &Rules, base: Settlement) -> Settlement {
    let losses = run.losses.saturating_add(1);
    if losses > rules.max_losses {
        let attempt = Some(Attempt::lost(run.failures + 1, losses));
        return Settlement { cause: Cause::Poison, losses, attempt, ..base };
    }
    // The first loss costs no time: most are restarts. Later ones suggest that the task itself kills.
    let delay = u64::from(losses - 1).min(60) * 1000;
    Settlement { cause: Cause::Lose, losses, delay, ..base }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run<'a>(id: &'a TaskId, retry: &'a RetryPolicy, failures: u32, losses: u32) -> Standing<'a> {
        Standing { id, epoch: 7, failures, losses, elapsed: 0, timeout: Some(50), retry }
    }

    fn error(fatal: bool, retry_after: Option<Millis>) -> Outcome {
        Outcome::Error(Arc::new(Failure { fatal, retry_after, ..Failure::new("Error", "no") }))
    }

    #[test]
    fn attempts_count_every_run() {
        let (id, retry) = (TaskId::new(), RetryPolicy::fixed(3, 10));
        for (failures, cause) in [(0, Cause::Retry), (1, Cause::Retry), (2, Cause::Fail)] {
            let end = settle(&run(&id, &retry, failures, 0), &error(false, None), &Rules::default());
            assert_eq!((end.cause, end.failures, end.epoch), (cause, failures + 1, 7));
            assert_eq!(end.attempt.unwrap().number, failures + 1);
        }
    }

    #[test]
    fn a_timeout_is_a_failure_and_a_fatal_error_is_the_last() {
        let (id, retry) = (TaskId::new(), RetryPolicy::fixed(3, 10));
        let standing = run(&id, &retry, 0, 0);
        assert_eq!(settle(&standing, &Outcome::Timeout, &Rules::default()).cause, Cause::Retry);
        assert_eq!(settle(&standing, &error(true, None), &Rules::default()).cause, Cause::Fail);
        let patient = settle(&standing, &error(false, Some(5000)), &Rules::default());
        assert_eq!((patient.cause, patient.delay), (Cause::Retry, 5000));
    }

    #[test]
    fn only_a_success_spawns() {
        let (id, retry) = (TaskId::new(), RetryPolicy::none());
        let spawned = Outcome::Spawned("1".into(), vec![Arc::new(Spec::new("kind", "null"))]);
        let end = settle(&run(&id, &retry, 0, 0), &spawned, &Rules::default());
        assert_eq!((end.cause, end.spawn.len()), (Cause::Complete, 1));
        assert!(end.clone().under(true, false).spawn.is_empty(), "one that was asked to stop does not");
        assert_eq!(end.under(false, true).spawn.len(), 1);
    }

    #[test]
    fn losses_have_a_budget_of_their_own() {
        let (id, retry) = (TaskId::new(), RetryPolicy::none());
        let fates: Vec<_> = (0..4)
            .map(|losses| settle(&run(&id, &retry, 0, losses), &Outcome::Lost, &Rules::default()))
            .map(|end| (end.cause, end.delay, end.failures))
            .collect();
        assert_eq!(
            fates,
            [(Cause::Lose, 0, 0), (Cause::Lose, 1000, 0), (Cause::Lose, 2000, 0), (Cause::Poison, 0, 0)]
        );
        let strict = Rules { max_losses: 0, ..Rules::default() };
        assert_eq!(settle(&run(&id, &retry, 0, 0), &Outcome::Lost, &strict).cause, Cause::Poison);
    }

    #[test]
    fn snooze_and_release_cost_nothing() {
        let (id, retry) = (TaskId::new(), RetryPolicy::none());
        let standing = run(&id, &retry, 2, 1);
        for (outcome, cause, delay) in
            [(Outcome::Snooze(900), Cause::Snooze, 900), (Outcome::Released, Cause::Release, 0)]
        {
            let end = settle(&standing, &outcome, &Rules::default());
            assert_eq!((end.cause, end.delay, end.failures, end.losses), (cause, delay, 2, 1));
            assert!(end.attempt.is_none());
        }
    }

    #[test]
    fn a_stop_request_beats_every_outcome_and_a_taken_key_all_but_success() {
        let (id, retry) = (TaskId::new(), RetryPolicy::fixed(5, 1));
        let standing = run(&id, &retry, 0, 0);
        let ok = settle(&standing, &Outcome::Ok("1".into()), &Rules::default());
        let again = settle(&standing, &error(false, None), &Rules::default());
        assert_eq!(ok.clone().under(true, false).cause, Cause::Cancel);
        assert!(ok.clone().under(true, false).output.is_none());
        assert_eq!(ok.under(false, true).cause, Cause::Complete);
        assert_eq!(again.clone().under(false, true).cause, Cause::Supersede);
        assert_eq!(again.under(false, false).cause, Cause::Retry);
    }
}
