//! The book of an engine: a row of counters for each kind in each queue, and, once asked for, histograms.
//!
//! Invariants: there are at most `MAX_SERIES` rows, the two fixed ones included; a row is named only by a registered
//! kind and a queue it was seen in; counters never go down.
//!
//! Times are microseconds of the engine's clock. The core works in milliseconds: where a caller has told a finer moment
//! of the same millisecond (`at`), that one counts.

use crate::task::{Name, default_queue};
use crate::time::Millis;

use super::super::core::KindId;
use super::histogram::Histogram;
use super::throughput::Throughput;

/// Most rows.
pub const MAX_SERIES: usize = 200;

/// Counters of a row.
pub const COUNTS: usize = 8;

/// What is counted for each row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Count {
    /// Was taken in here: pushed to the store, or handed to `execute`.
    Enqueued,
    /// Ended well.
    Completed,
    /// Ended with an error.
    Failed,
    /// An attempt failed, and another follows.
    Retried,
    /// Ended without an outcome of its own.
    Cancelled,
    /// A claim was lost.
    Lost,
    /// A handler outlived its attempt.
    Abandoned,
    /// An outcome came too late and changed nothing.
    Stale,
}

impl Count {
    fn is_end(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Cancelled)
    }
}

/// Number of a row.
pub type SeriesId = u32;

/// The row of closures.
pub const CLOSURES: SeriesId = 0;
/// The row of all that has none of its own.
pub const OTHER: SeriesId = 1;

/// A row.
pub struct Series {
    /// `None` for the two fixed rows.
    pub kind: Option<KindId>,
    /// The queue.
    pub queue: Name,
    /// In the order of `Count`.
    pub counts: [u64; COUNTS],
}

/// What is measured once somebody wants it.
#[derive(Default)]
pub struct Timing {
    clock: u64,
    /// Of local runs, by slot: since when it is ready, and since when it runs.
    slots: Vec<(u64, u64)>,
    /// Of each row: waits, and runs.
    rows: Vec<[Option<Histogram>; 2]>,
    /// Calls that change the store.
    pub commit_time: Histogram,
    /// From a call of the host to its answer.
    pub loop_delay: Histogram,
    /// How late timers fire.
    pub lateness: Histogram,
    /// When the host was last called.
    called_at: Option<u64>,
}

/// See the module.
pub struct Tally {
    pub series: Vec<Series>,
    /// Rows of each kind.
    by_kind: Vec<Vec<SeriesId>>,
    pub(super) throughput: Throughput,
    /// Calls that changed the store.
    pub commits: u64,
    /// Tasks that these calls carried.
    pub committed: u64,
    pub(super) timing: Option<Box<Timing>>,
}

impl Default for Tally {
    fn default() -> Self {
        let fixed = |queue| Series { kind: None, queue, counts: [0; COUNTS] };
        Self {
            series: vec![fixed(default_queue()), fixed("other".into())],
            by_kind: Vec::new(),
            throughput: Throughput::default(),
            commits: 0,
            committed: 0,
            timing: None,
        }
    }
}

const WAIT: usize = 0;
const RUN: usize = 1;

impl Tally {
    /// The row of a kind in a queue; `OTHER` where there are too many.
    pub fn series(&mut self, kind: Option<KindId>, queue: &Name) -> SeriesId {
        let Some(kind) = kind else { return OTHER };
        if kind as usize >= self.by_kind.len() {
            self.by_kind.resize(kind as usize + 1, Vec::new());
        }
        let rows = &self.by_kind[kind as usize];
        if let Some(&id) = rows.iter().find(|id| self.series[**id as usize].queue == *queue) {
            return id;
        }
        if self.series.len() >= MAX_SERIES {
            return OTHER;
        }
        let id = self.series.len() as SeriesId;
        self.by_kind[kind as usize].push(id);
        self.series.push(Series { kind: Some(kind), queue: queue.clone(), counts: [0; COUNTS] });
        id
    }

    /// Counts one.
    pub fn count(&mut self, series: SeriesId, what: Count, now: Millis) {
        self.count_many(series, what, 1, now);
    }

    /// Counts several.
    pub fn count_many(&mut self, series: SeriesId, what: Count, n: u64, now: Millis) {
        self.series[series as usize].counts[what as usize] += n;
        if what.is_end() {
            self.throughput.add(n.min(u64::from(u32::MAX)) as u32, now);
        }
    }

    /// Counts what ended without a run: of it only the number is known.
    pub fn ended_unrun(&mut self, n: usize, now: Millis) {
        if n > 0 {
            self.count_many(OTHER, Count::Cancelled, n as u64, now);
        }
    }

    /// Measures times from now on.
    pub fn enable(&mut self) {
        self.timing.get_or_insert_default();
    }

    /// Times are measured.
    pub fn is_timed(&self) -> bool {
        self.timing.is_some()
    }

    /// It is this microsecond.
    pub fn at(&mut self, micros: u64) {
        if let Some(timing) = &mut self.timing {
            timing.clock = timing.clock.max(micros);
        }
    }

    /// A call to the store carried so many tasks and took so many microseconds; with none it changed nothing.
    pub fn committed(&mut self, tasks: usize, took: u64) {
        if tasks == 0 {
            return;
        }
        self.commits += 1;
        self.committed += tasks as u64;
        if let Some(timing) = &mut self.timing {
            timing.commit_time.record(took);
        }
    }

    /// A timer that was set for `due` fires.
    pub fn fired(&mut self, due: Millis, now: Millis) {
        if let Some(timing) = &mut self.timing {
            let moment = timing.moment(now);
            timing.lateness.record(moment.saturating_sub(due * 1000));
        }
    }

    /// The host is called.
    pub fn host_called(&mut self, now: Millis) {
        if let Some(timing) = &mut self.timing {
            let at = timing.moment(now);
            timing.called_at.get_or_insert(at);
        }
    }

    /// The host has come.
    pub fn host_turned(&mut self, now: Millis) {
        if let Some(timing) = &mut self.timing {
            let moment = timing.moment(now);
            if let Some(called_at) = timing.called_at.take() {
                timing.loop_delay.record(moment.saturating_sub(called_at));
            }
        }
    }

    /// A local run is ready; `now` is not known, since this takes no time after what was before.
    pub fn local_ready(&mut self, slot: u32) {
        if let Some(timing) = &mut self.timing {
            let clock = timing.clock;
            timing.slot(slot).0 = clock;
        }
    }

    /// A local run starts.
    pub fn local_started(&mut self, slot: u32, series: SeriesId, now: Millis) {
        if let Some(timing) = &mut self.timing {
            let moment = timing.moment(now);
            let (ready_at, started_at) = timing.slot(slot);
            *started_at = moment;
            // Ready before anybody measured: nothing is known of its wait.
            let ready_at = std::mem::take(ready_at);
            if ready_at > 0 {
                timing.row(series, WAIT).record(moment.saturating_sub(ready_at));
            }
        }
    }

    /// An attempt of a local run has ended.
    pub fn local_ended(&mut self, slot: u32, series: SeriesId, now: Millis) {
        if let Some(timing) = &mut self.timing {
            let moment = timing.moment(now);
            let started_at = std::mem::take(&mut timing.slot(slot).1);
            if started_at > 0 {
                timing.row(series, RUN).record(moment.saturating_sub(started_at));
            }
        }
    }

    /// A stored run begins; `waited` milliseconds where that is known. Gives the moment, 0 where nobody measures.
    pub fn stored_began(&mut self, series: SeriesId, waited: Option<Millis>, now: Millis) -> u64 {
        let Some(timing) = &mut self.timing else { return 0 };
        if let Some(waited) = waited {
            timing.row(series, WAIT).record(waited.saturating_mul(1000));
        }
        timing.moment(now)
    }

    /// A stored run that began at this moment has ended.
    pub fn stored_ended(&mut self, series: SeriesId, began_at: u64, now: Millis) {
        if let Some(timing) = &mut self.timing
            && began_at > 0
        {
            let moment = timing.moment(now);
            timing.row(series, RUN).record(moment.saturating_sub(began_at));
        }
    }

    /// Waits and runs of a row.
    pub(super) fn times(&self, series: SeriesId) -> [Option<&Histogram>; 2] {
        let rows = self.timing.as_ref().and_then(|timing| timing.rows.get(series as usize));
        rows.map_or([None, None], |row| [row[WAIT].as_ref(), row[RUN].as_ref()])
    }
}

impl Timing {
    fn moment(&mut self, now: Millis) -> u64 {
        if self.clock / 1000 < now {
            self.clock = now * 1000;
        }
        self.clock
    }

    fn slot(&mut self, slot: u32) -> &mut (u64, u64) {
        if slot as usize >= self.slots.len() {
            self.slots.resize(slot as usize + 1, (0, 0));
        }
        &mut self.slots[slot as usize]
    }

    fn row(&mut self, series: SeriesId, which: usize) -> &mut Histogram {
        if series as usize >= self.rows.len() {
            self.rows.resize(series as usize + 1, [None, None]);
        }
        self.rows[series as usize][which].get_or_insert_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_bounded_and_what_has_none_is_kept_together() {
        let mut tally = Tally::default();
        let queue: Name = "q".into();
        for kind in 0..10_000 {
            let series = tally.series(Some(kind), &queue);
            assert_eq!(series, tally.series(Some(kind), &queue));
            tally.count(series, Count::Completed, 0);
        }
        assert_eq!(tally.series.len(), MAX_SERIES);
        let sum: u64 = tally.series.iter().map(|row| row.counts[Count::Completed as usize]).sum();
        assert_eq!(sum, 10_000);
        assert_eq!(tally.series[OTHER as usize].counts[Count::Completed as usize], 10_000 - 198);
        assert_eq!(tally.series(None, &queue), OTHER);
    }

    #[test]
    fn queues_of_a_kind_have_rows_of_their_own() {
        let mut tally = Tally::default();
        let (one, other) = (tally.series(Some(0), &"a".into()), tally.series(Some(0), &"b".into()));
        assert_ne!(one, other);
        assert_eq!(tally.series(Some(0), &"a".into()), one);
    }

    #[test]
    fn a_finer_moment_counts_within_its_millisecond() {
        let mut tally = Tally::default();
        tally.enable();
        tally.at(5_250);
        tally.local_ready(3);
        tally.at(5_750);
        tally.local_started(3, CLOSURES, 5);
        // The next caller knows only milliseconds.
        tally.local_ended(3, CLOSURES, 7);
        let [wait, run] = tally.times(CLOSURES).map(|histogram| histogram.unwrap().sum());
        assert_eq!((wait, run), (500, 1_250));
    }

    #[test]
    fn what_was_ready_before_anybody_measured_is_not_guessed() {
        let mut tally = Tally::default();
        tally.local_ready(0);
        tally.local_started(0, CLOSURES, 5);
        tally.enable();
        tally.local_ended(0, CLOSURES, 9);
        assert!(tally.times(CLOSURES)[RUN].is_none());
    }
}
