//! What users are given: one moment of an engine, as plain values. Times are seconds.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::dispatch::Reading;
use crate::store::Counts;
use crate::task::{Name, View};
use crate::time::Millis;

use super::super::core::Core;
use super::histogram::Histogram;
use super::process::Cost;
use super::tally::{CLOSURES, COUNTS, Count, OTHER, SeriesId};

/// The metrics of an executor at one moment.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Metrics {
    /// Times are measured: without, every distribution is empty.
    pub enabled: bool,
    /// Seconds since the executor was made.
    pub uptime: f64,
    /// What this process costs, and how fast its parts answer.
    pub performance: Performance,
    /// Limits, by name.
    pub gates: BTreeMap<String, GateState>,
    /// Counted here since the executor was made.
    pub totals: Totals,
    /// Tasks of the store, over all its executors, that are in each state now.
    pub current: QueueCounts,
    /// The same for each queue that this executor knows.
    pub queues: BTreeMap<Name, QueueCounts>,
    /// Closures and other tasks that are never stored, which wait or run here now.
    pub live: u32,
    /// Handlers that have outlived their attempt and still run.
    pub abandoned_now: u32,
    /// Of attempts, from the call of the handler to its end.
    pub duration: Distribution,
    /// From when a task could start to when it did.
    pub wait_time: Distribution,
    /// Tasks that ended here, a second.
    pub throughput: Rates,
    /// The same by kind.
    pub per_task: BTreeMap<Name, TaskMetrics>,
    /// The store has told how many tasks it has.
    #[serde(skip)]
    pub(super) counted: bool,
    /// Rows, for the text.
    #[serde(skip)]
    pub(super) rows: Vec<Row>,
    #[serde(skip)]
    pub(super) whole: Whole,
}

/// What this process costs, and how fast its parts answer.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Performance {
    /// From a call of the event loop to its answer. Empty in Rust, which has no loop.
    pub loop_delay: Distribution,
    /// How late timers fire.
    pub timer_lateness: Distribution,
    /// Processor time and memory.
    #[serde(flatten)]
    pub cost: Cost,
    /// Calls that change the store.
    #[serde(flatten)]
    pub commits: Commits,
    /// Claims that this executor holds.
    pub leases: u32,
    /// Threads that all executors of the process share.
    pub engine_threads: usize,
    /// Events that a slow listener has lost.
    pub dropped_events: u64,
}

/// Calls that change the store.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Commits {
    /// How many.
    pub commits: u64,
    /// Tasks that were pushed, settled and claimed, for each call.
    pub tasks_per_commit: f64,
    /// From the call to its answer.
    pub commit_time: Distribution,
}

/// A limit at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct GateState {
    /// What limits: `concurrency`, `pause`, `rate`, `breaker`.
    pub kind: &'static str,
    /// `open` or `closed`: whether it lets tasks start.
    pub state: &'static str,
    /// Of a circuit breaker: whether its circuit is `closed`, `open` or `half-open`. Only the first lets tasks start
    /// freely.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub circuit: Option<&'static str>,
    /// Tasks that stand before it in this executor.
    pub waiting: usize,
}

/// What was counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Totals {
    /// Tasks that were taken in here: pushed to the store, or given to `execute`.
    pub enqueued: u64,
    /// Tasks that completed here.
    pub completed: u64,
    /// Tasks that failed for good here.
    pub failed: u64,
    /// Attempts that failed and were followed, or will be, by another.
    pub retried: u64,
    /// Tasks that were cancelled here, or ended without a run by what was done here: by a cascade, or because they
    /// expired.
    pub cancelled: u64,
    /// Claims that were lost, of this executor or of one that is gone.
    pub lost: u64,
    /// Handlers that outlived their attempt.
    pub abandoned: u64,
    /// Outcomes that came too late and changed nothing.
    pub stale: u64,
}

/// Tasks in each state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct QueueCounts {
    /// Their time has not come.
    pub scheduled: u64,
    /// They wait for their turn.
    pub waiting: u64,
    /// They wait for other tasks.
    pub blocked: u64,
    /// They run.
    pub running: u64,
    /// They completed and are kept.
    pub completed: u64,
    /// They failed and are kept.
    pub failed: u64,
    /// They were cancelled and are kept.
    pub cancelled: u64,
}

/// Values and how they are spread, within about 3 %. Seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Distribution {
    /// How many.
    pub count: u64,
    /// Of all.
    pub sum: f64,
    /// The smallest.
    pub min: f64,
    /// The largest.
    pub max: f64,
    /// The average.
    pub mean: f64,
    /// Half of them are not larger.
    pub p50: f64,
    /// 90 % are not larger.
    pub p90: f64,
    /// 99 % are not larger.
    pub p99: f64,
    /// 99.9 % are not larger.
    pub p999: f64,
}

/// Ends a second, over three windows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Rates {
    /// Over the last minute.
    pub last1m: f64,
    /// Over the last 5 minutes.
    pub last5m: f64,
    /// Over the last 15 minutes.
    pub last15m: f64,
}

/// One kind, in all queues.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TaskMetrics {
    /// Counted here.
    #[serde(flatten)]
    pub totals: Totals,
    /// Of its attempts.
    pub duration: Distribution,
    /// Before they began.
    pub wait_time: Distribution,
}

/// One kind in one queue.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub queue: Name,
    pub task: Name,
    pub totals: Totals,
    pub wait: Option<Histogram>,
    pub run: Option<Histogram>,
}

/// Instruments of the whole engine, as they are.
#[derive(Clone, Debug, Default)]
pub(super) struct Whole {
    pub commit_time: Histogram,
    pub loop_delay: Histogram,
    pub lateness: Histogram,
}

const MICROS: f64 = 1e6;

impl From<&Histogram> for Distribution {
    fn from(histogram: &Histogram) -> Self {
        let seconds = |micros: u64| micros as f64 / MICROS;
        let [p50, p90, p99, p999] = histogram.quantiles([0.5, 0.9, 0.99, 0.999]).map(seconds);
        let sum = seconds(histogram.sum());
        Self {
            count: histogram.count(),
            sum,
            min: seconds(histogram.min()),
            max: seconds(histogram.max()),
            mean: sum / histogram.count().max(1) as f64,
            p50,
            p90,
            p99,
            p999,
        }
    }
}

impl From<Counts> for QueueCounts {
    fn from(counts: Counts) -> Self {
        Self {
            scheduled: counts.of(View::Scheduled),
            waiting: counts.of(View::Waiting),
            blocked: counts.of(View::Blocked),
            running: counts.of(View::Running),
            completed: counts.of(View::Completed),
            failed: counts.of(View::Failed),
            cancelled: counts.of(View::Cancelled),
        }
    }
}

impl From<Reading> for GateState {
    fn from(Reading { kind, is_open, circuit, waiting }: Reading) -> Self {
        Self { kind, state: if is_open { "open" } else { "closed" }, circuit, waiting }
    }
}

impl GateState {
    /// A queue that is paused.
    pub(crate) fn paused() -> Self {
        Self { kind: "pause", state: "closed", circuit: None, waiting: 0 }
    }
}

impl Totals {
    fn of(counts: &[u64; COUNTS]) -> Self {
        let of = |what: Count| counts[what as usize];
        Self {
            enqueued: of(Count::Enqueued),
            completed: of(Count::Completed),
            failed: of(Count::Failed),
            retried: of(Count::Retried),
            cancelled: of(Count::Cancelled),
            lost: of(Count::Lost),
            abandoned: of(Count::Abandoned),
            stale: of(Count::Stale),
        }
    }

    fn add(&mut self, other: &Self) {
        self.enqueued += other.enqueued;
        self.completed += other.completed;
        self.failed += other.failed;
        self.retried += other.retried;
        self.cancelled += other.cancelled;
        self.lost += other.lost;
        self.abandoned += other.abandoned;
        self.stale += other.stale;
    }
}

/// Adds a row, or what it has to the fixed row that looks the same: a kind may be called as those are.
fn join(mut rows: Vec<Row>, row: Row) -> Vec<Row> {
    let is_same = |known: &&mut Row| known.queue == row.queue && known.task == row.task;
    match rows.iter_mut().take(2).find(is_same) {
        None => rows.push(row),
        Some(known) => {
            known.totals.add(&row.totals);
            for (sum, times) in [(&mut known.wait, row.wait), (&mut known.run, row.run)] {
                if let Some(times) = times {
                    sum.get_or_insert_default().add(&times);
                }
            }
        }
    }
    rows
}

/// What is read under the core's lock; histograms are copied there and worked out later.
pub(crate) struct Reads {
    rows: Vec<Row>,
    whole: Whole,
    metrics: Metrics,
}

impl Core {
    /// Reads everything that this node knows by itself.
    pub(crate) fn read_metrics(&mut self, now: Millis) -> Reads {
        let rate = |core: &mut Self, minutes| core.tally.throughput.over(minutes, now);
        let throughput = Rates { last1m: rate(self, 1), last5m: rate(self, 5), last15m: rate(self, 15) };
        let rows = (0..self.tally.series.len() as SeriesId).map(|series| self.row(series)).collect();
        let tally = &self.tally;
        let whole = tally.timing.as_ref().map_or_else(Whole::default, |timing| Whole {
            commit_time: timing.commit_time.clone(),
            loop_delay: timing.loop_delay.clone(),
            lateness: timing.lateness.clone(),
        });
        let per_commit = tally.committed as f64 / tally.commits.max(1) as f64;
        let none = Distribution::default();
        let metrics = Metrics {
            enabled: tally.is_timed(),
            uptime: now as f64 / 1000.0,
            performance: Performance {
                loop_delay: none,
                timer_lateness: none,
                cost: Cost::default(),
                commits: Commits { commits: tally.commits, tasks_per_commit: per_commit, commit_time: none },
                leases: self.stored.runs.len() as u32,
                engine_threads: super::super::THREADS,
                dropped_events: self.events.dropped(),
            },
            gates: self.gate_states(now).into_iter().collect(),
            totals: Totals::default(),
            current: QueueCounts::default(),
            queues: BTreeMap::new(),
            live: self.local_live,
            abandoned_now: self.abandoned,
            duration: none,
            wait_time: none,
            throughput,
            per_task: BTreeMap::new(),
            counted: false,
            rows: Vec::new(),
            whole: Whole::default(),
        };
        Reads { rows, whole, metrics }
    }

    fn row(&self, series: SeriesId) -> Row {
        let known = &self.tally.series[series as usize];
        let [wait, run] = self.tally.times(series);
        Row {
            queue: known.queue.clone(),
            task: self.series_name(series),
            totals: Totals::of(&known.counts),
            wait: wait.cloned(),
            run: run.cloned(),
        }
    }
}

impl Reads {
    /// Works out what was read.
    pub(crate) fn finish(self) -> Metrics {
        let Self { rows, whole, mut metrics } = self;
        let mut kinds: BTreeMap<Name, (Totals, Histogram, Histogram)> = BTreeMap::new();
        let (mut waits, mut runs) = (Histogram::default(), Histogram::default());
        let is_fixed = |at: usize| at == CLOSURES as usize || at == OTHER as usize;
        let rows: Vec<Row> = rows
            .into_iter()
            .enumerate()
            .filter(|(at, row)| !is_fixed(*at) || row.totals != Totals::default() || row.run.is_some())
            .map(|(_, row)| row)
            .fold(Vec::new(), join);
        for row in &rows {
            metrics.totals.add(&row.totals);
            let (totals, wait, run) = kinds.entry(row.task.clone()).or_default();
            totals.add(&row.totals);
            row.wait.iter().for_each(|times| (waits.add(times), wait.add(times)).0);
            row.run.iter().for_each(|times| (runs.add(times), run.add(times)).0);
        }
        metrics.per_task = kinds
            .into_iter()
            .map(|(task, (totals, wait, run))| {
                (task, TaskMetrics { totals, duration: (&run).into(), wait_time: (&wait).into() })
            })
            .collect();
        (metrics.duration, metrics.wait_time) = ((&runs).into(), (&waits).into());
        metrics.performance.loop_delay = (&whole.loop_delay).into();
        metrics.performance.timer_lateness = (&whole.lateness).into();
        metrics.performance.commits.commit_time = (&whole.commit_time).into();
        (metrics.rows, metrics.whole) = (rows, whole);
        metrics
    }
}
