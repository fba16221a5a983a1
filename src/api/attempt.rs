//! One attempt as the runtime sees it: begin, call the handler, report.
//!
//! A `Report` travels inside the future, so that the run is reported also where the future is dropped: by a
//! time-out, by a cancellation, or by the end of its runtime, before its first poll or in the middle.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt;

use crate::error::TaskError;

use super::context::{Run, TaskContext};
use super::failure::panicked;
use super::host::RustHost;
use super::{Ended, Running};

/// The duty to report a run.
pub(super) struct Report {
    host: Arc<RustHost>,
    run: Arc<Run>,
    stage: Stage,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Handed,
    Begun,
    Reported,
}

/// Runs the handler, unless the run has been taken back before it began.
pub(super) async fn attempt(mut report: Report, start: impl FnOnce(TaskContext) -> Running + Send) {
    if !report.begin() {
        return;
    }
    let context = TaskContext { run: report.run.clone() };
    // The call that makes the future may panic as well as the future.
    let ended = AssertUnwindSafe(async move { start(context).await }).catch_unwind().await;
    report.end(ended.unwrap_or_else(|payload| Err(panicked(payload))));
}

impl Report {
    pub fn new(host: Arc<RustHost>, run: Arc<Run>) -> Self {
        Self { host, run, stage: Stage::Handed }
    }

    fn begin(&mut self) -> bool {
        let begun = self.host.begin(&self.run);
        self.stage = if begun { Stage::Begun } else { Stage::Reported };
        begun
    }

    fn end(&mut self, ended: Ended) {
        self.stage = Stage::Reported;
        self.run.signal.end();
        self.host.ended(&self.run, ended);
    }
}

impl Drop for Report {
    fn drop(&mut self) {
        if self.stage == Stage::Reported {
            return;
        }
        if !self.run.signal.is_dropped() {
            // Nobody here wanted it gone: the runtime has ended, and nothing can run on it any more.
            self.host.end();
        }
        if self.stage == Stage::Begun {
            self.end(Err(TaskError::Cancelled("its future was dropped".into())));
        }
    }
}
