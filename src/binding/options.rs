//! Settings as they come from JavaScript, which has checked them and filled in every default.

use std::sync::Arc;

use serde::Deserialize;

use crate::engine::{Config, Core, Kind, Place};
use crate::policy::RetryPolicy;
use crate::store::memory::MemoryStore;
use crate::store::open::{self, Durability};
use crate::store::{Keep, Retention, Store, StoreError};
use crate::task::{Name, Rules};
use crate::time::{Millis, Time};

use super::clock::ClockNumber;
use super::limits::Numbers;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Options {
    pub persistence: String,
    namespace: String,
    durability: Durable,
    lease: Millis,
    concurrency: u32,
    pub max_queue: Option<u64>,
    queues: Option<Vec<Queue>>,
    stall_limit: Millis,
    max_losses: u32,
    max_abandoned: u32,
    cancel_grace: Millis,
    retention: Kept,
    #[serde(flatten)]
    limits: Numbers,
    #[serde(default)]
    pub clock: ClockNumber,
    #[serde(default)]
    pub metrics: bool,
    /// Records of the log are wanted.
    #[serde(default)]
    pub logs: bool,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Durable {
    Strict,
    Relaxed,
}

#[derive(Deserialize)]
struct Queue {
    name: Name,
    concurrency: Option<u32>,
    #[serde(flatten)]
    limits: Numbers,
}

#[derive(Deserialize)]
struct Kept {
    completed: KeepOptions,
    failed: KeepOptions,
    cancelled: KeepOptions,
}

#[derive(Deserialize)]
struct KeepOptions {
    age: Option<Millis>,
    count: Option<u64>,
    bytes: Option<u64>,
}

impl Options {
    pub fn config(&self, time: Time) -> Config {
        let queues = self.queues.as_ref();
        Config {
            concurrency: self.concurrency,
            rules: Rules { max_losses: self.max_losses, ..Rules::default() },
            max_abandoned: self.max_abandoned,
            stall_limit: self.stall_limit,
            cancel_grace: self.cancel_grace,
            lease: self.lease,
            has_loop: true,
            durable: open::is_durable(&self.persistence),
            queues: queues
                .map(|all| all.iter().map(|queue| (queue.name.clone(), queue.concurrency)).collect()),
            time,
            ..Config::default()
        }
    }

    /// The limits of the executor and of its queues.
    pub fn limit(&self, core: &mut Core) {
        if self.persistence.starts_with("redis") {
            core.share_rates();
        }
        if !self.limits.is_empty() {
            core.limit(Place::Executor, self.limits.limits());
        }
        for queue in self.queues.iter().flatten().filter(|queue| !queue.limits.is_empty()) {
            core.limit(Place::Queue(&queue.name), queue.limits.limits());
        }
    }

    pub fn store(&self, time: &Time) -> Result<Arc<dyn Store>, StoreError> {
        if !open::is_durable(&self.persistence) {
            return Ok(Arc::new(MemoryStore::in_time(time.clone())));
        }
        let durability = match self.durability {
            Durable::Strict => Durability::Strict,
            Durable::Relaxed => Durability::Relaxed,
        };
        let namespace = self.namespace.clone();
        open::open(&self.persistence, &open::Options { durability, lease: self.lease, namespace })
    }

    pub fn retention(&self) -> Retention {
        let keep = |kept: &KeepOptions| Keep { age: kept.age, count: kept.count, bytes: kept.bytes };
        let Kept { completed, failed, cancelled } = &self.retention;
        Retention { completed: keep(completed), failed: keep(failed), cancelled: keep(cancelled) }
    }
}

/// A kind of task, with what its tasks have where an enqueue says nothing else.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Definition {
    pub name: Name,
    /// There is a handler for it here.
    pub handled: bool,
    pub queue: Name,
    pub priority: i32,
    pub timeout: Option<Millis>,
    pub retry: Option<RetryPolicy>,
    per_node: Option<u32>,
    total: Option<u32>,
    per_group: Option<u32>,
    #[serde(flatten)]
    limits: Numbers,
    #[serde(default)]
    asks: bool,
}

impl Definition {
    pub fn kind(&self) -> Kind {
        Kind {
            name: self.name.clone(),
            per_node: self.per_node,
            total: self.total,
            per_group: self.per_group,
            rate: None,
            limits: self.limits.limits(),
            asks: self.asks,
            queue: self.queue.clone(),
            handled: self.handled,
        }
    }
}
