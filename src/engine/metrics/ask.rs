//! Asking an engine for its metrics: its own book, then the store.

use std::time::Duration;

use crate::error::TaskError;
use crate::task::Name;

use super::super::engine::Engine;
use super::{Cost, Metrics};

/// How long a text waits for the store: a scrape has a time limit of its own, and most of the text is known here.
const PATIENCE: Duration = Duration::from_secs(2);

impl Engine {
    /// Measures times from now on.
    pub fn enable_metrics(&self) {
        let wake_at = {
            let mut core = self.core();
            core.tally.enable();
            core.wake_at()
        };
        self.expect(wake_at);
        self.nudge();
    }

    /// The metrics now; an error where the store does not tell its counts.
    pub async fn metrics(&self, cost: Cost) -> Result<Metrics, TaskError> {
        let (mut metrics, queues) = self.own_metrics(cost);
        self.count_store(&mut metrics, queues).await?;
        Ok(metrics)
    }

    /// The metrics as text for Prometheus; without the counts of a store that does not tell them.
    pub async fn metrics_text(&self, cost: Cost) -> String {
        let (mut metrics, queues) = self.own_metrics(cost);
        let counted = tokio::time::timeout(PATIENCE, self.count_store(&mut metrics, queues)).await;
        metrics.counted = matches!(counted, Ok(Ok(())));
        metrics.to_text()
    }

    fn own_metrics(&self, cost: Cost) -> (Metrics, Vec<Name>) {
        let now = self.now();
        let (reads, queues) = {
            let mut core = self.core();
            (core.read_metrics(now), core.known_queues())
        };
        let mut metrics = reads.finish();
        metrics.performance.cost = cost;
        (metrics, queues)
    }

    async fn count_store(&self, metrics: &mut Metrics, queues: Vec<Name>) -> Result<(), TaskError> {
        metrics.current = self.counts(None).await?.into();
        for queue in queues {
            let counts = self.counts(Some(queue.clone())).await?.into();
            metrics.queues.insert(queue, counts);
        }
        metrics.counted = true;
        Ok(())
    }
}
