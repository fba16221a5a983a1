//! What an engine counts, and the snapshot of it.
//!
//! `tally` is the book that the core keeps: plain integers, under the core's lock. `histogram` and `throughput` are its
//! instruments, `snapshot` is what users are given, `prometheus` the same as text, `process` what the machine says, `ask` puts it together.

mod ask;
mod histogram;
mod process;
mod prometheus;
mod snapshot;
mod tally;
mod throughput;

pub use histogram::Histogram;
pub use process::Cost;
pub use snapshot::{
    Commits, Distribution, GateState, Metrics, Performance, QueueCounts, Rates, TaskMetrics, Totals,
};
pub(super) use tally::{Count, SeriesId, Tally};
