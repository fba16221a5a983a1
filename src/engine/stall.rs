//! Watches the host's event loop: when it does not answer, whoever reads the log is told what blocks it, while it does.
//!
//! The engine cannot see into JavaScript. It knows when the loop last turned, and what began to run since: that is what
//! blocks it, unless code that belongs to no task does. Where nothing has begun since, something that had begun before
//! goes on, and all that run are named.

use std::sync::Arc;

use crate::task::Spec;
use crate::time::Millis;

use super::core::{Core, STORED};
use super::metrics::SeriesId;
use super::stored::Phase;

/// How long the loop may be silent before it is asked for an answer, while tasks run.
const PATIENCE: Millis = 500;
/// The same while times are measured: each answer is one value of the loop's delay.
const SAMPLE: Millis = 100;
/// A loop that has not answered for so long is blocked.
pub(super) const THRESHOLD: Millis = 500;
/// Names of running tasks in a report.
const NAMED: usize = 5;

/// What is known of the loop.
#[derive(Debug, Default)]
pub(super) struct Loop {
    began: Option<(Began, Millis)>,
    /// The report that was made, and since when it is silent.
    stalled: Option<(Culprit, Millis)>,
    told: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Began {
    Closure,
    Local { series: SeriesId },
    Stored { slot: u32, run: u32, series: SeriesId },
}

/// Who blocks the loop, as far as is known.
#[derive(Clone, Debug, Default)]
pub struct Culprit {
    /// Kinds of the tasks that may do it: one where it is known.
    pub names: Vec<Arc<str>>,
    /// The stored task and its attempt, where it is known to be one.
    pub task: Option<(Arc<Spec>, u32)>,
}

/// A loop that was blocked.
#[derive(Clone, Debug)]
pub struct Stall {
    /// For at least so long.
    pub length: Millis,
    /// Since when, on the monotonic clock of the engine.
    pub began_at: Millis,
    /// By whom.
    pub culprit: Culprit,
}

impl Loop {
    #[inline]
    pub fn closure_started(&mut self, now: Millis) {
        self.began = Some((Began::Closure, now));
    }

    pub fn local_began(&mut self, series: SeriesId, now: Millis) {
        self.began = Some((Began::Local { series }, now));
    }

    pub fn stored_began(&mut self, slot: u32, run: u32, series: SeriesId, now: Millis) {
        self.began = Some((Began::Stored { slot, run, series }, now));
    }
}

impl Core {
    /// The loop turns; whoever listens is told that it had not.
    #[inline]
    pub(super) fn loop_is_back(&mut self, now: Millis) {
        if let Some((culprit, since)) = self.host_loop.stalled.take() {
            let length = now.saturating_sub(since);
            self.events.stalled(Stall { length, began_at: since, culprit });
        }
    }

    /// The loop should show that it turns.
    pub(super) fn wants_sample(&self, now: Millis) -> bool {
        self.host_called_at.is_none() && self.sample_at().is_some_and(|at| at <= now)
    }

    fn has_loop(&self) -> bool {
        self.config.has_loop && !self.config.time.is_moved()
    }

    fn sample_at(&self) -> Option<Millis> {
        let patience = match (self.tally.is_timed(), self.dispatcher.running()) {
            (true, _) => SAMPLE,
            (false, 0) => return None,
            (false, _) => PATIENCE,
        };
        self.has_loop().then(|| self.host_seen_at.saturating_add(patience))
    }

    /// When `look_after_loop` or a sample is next due.
    pub(super) fn loop_deadline(&self) -> Option<Millis> {
        match self.host_called_at {
            _ if !self.has_loop() => None,
            None => self.sample_at(),
            Some(_) if self.host_loop.stalled.is_some() => None,
            Some(called_at) if self.dispatcher.running() > 0 => Some(called_at.saturating_add(THRESHOLD)),
            Some(_) => None,
        }
    }

    /// Finds out who blocks a loop that does not answer.
    pub(super) fn look_after_loop(&mut self, now: Millis) {
        let Some(called_at) = self.host_called_at else { return };
        let is_silent = now.saturating_sub(called_at) >= THRESHOLD && self.dispatcher.running() > 0;
        if !self.has_loop() || !is_silent || self.host_loop.stalled.is_some() {
            return;
        }
        // It began after the loop had turned for the last time: silent since then.
        let since = self.host_loop.began.map_or(0, |(_, at)| at).max(self.host_seen_at).min(called_at);
        let culprit = self.culprit();
        self.host_loop.stalled = Some((culprit, since));
        self.host_loop.told = false;
    }

    /// A report that is to be logged now.
    pub(super) fn take_stall(&mut self, now: Millis) -> Option<Stall> {
        let (culprit, since) = self.host_loop.stalled.as_ref()?;
        if std::mem::replace(&mut self.host_loop.told, true) {
            return None;
        }
        Some(Stall { length: now.saturating_sub(*since), began_at: *since, culprit: culprit.clone() })
    }

    fn culprit(&self) -> Culprit {
        let began = self.host_loop.began.filter(|(_, at)| *at >= self.host_seen_at);
        match began.map(|(what, _)| what) {
            Some(Began::Closure) => Culprit { names: vec![self.series_name(0)], task: None },
            Some(Began::Local { series }) => Culprit { names: vec![self.series_name(series)], task: None },
            Some(Began::Stored { slot, run, series }) => {
                let found = self.stored.runs.get((slot & !STORED) as usize).filter(|one| one.number == run);
                let task = found.map(|run| (run.claimed.spec.clone(), run.claimed.failures + 1));
                let name =
                    task.as_ref().map_or_else(|| self.series_name(series), |(spec, _)| spec.name.clone());
                Culprit { names: vec![name], task }
            }
            None => self.all_that_run(),
        }
    }

    fn all_that_run(&self) -> Culprit {
        let begun = |phase| matches!(phase, Phase::Begun | Phase::Stopping);
        let stored: Vec<_> =
            self.stored.runs.iter().filter(|(_, run)| begun(run.phase)).map(|(_, run)| run).collect();
        let local = self.running_local();
        let mut names: Vec<Arc<str>> = stored.iter().map(|run| run.claimed.spec.name.clone()).collect();
        names.extend(local.iter().map(|series| self.series_name(*series)));
        let task = match (&stored[..], local.is_empty()) {
            ([run], true) => Some((run.claimed.spec.clone(), run.claimed.failures + 1)),
            _ => None,
        };
        names.sort();
        names.dedup();
        names.truncate(NAMED);
        Culprit { names, task }
    }

    pub(super) fn series_name(&self, series: SeriesId) -> Arc<str> {
        match self.tally.series[series as usize].kind {
            Some(kind) => self.kinds[kind as usize].name.clone(),
            None if series == 0 => "(closure)".into(),
            None => "other".into(),
        }
    }
}
