//! The settings of an executor, their defaults and their checks.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use tokio::runtime::{Builder, Handle, Runtime};

use crate::engine::{Config, Core, Limits, Place};
use crate::error::TaskError;
use crate::policy::RetryPolicy;
use crate::store::memory::MemoryStore;
use crate::store::open::{self, Durability};
use crate::store::{Retention, Store};
use crate::task::{Name, check_name};
use crate::time::{Millis, Time};

use super::executor::TaskExecutor;
use super::limits::{CircuitBreaker, RateLimiter};

const MAX_CONCURRENCY: u32 = 1_000_000;
/// A hundred years: what is longer counts as that, so that a date plus a length is a date.
const LONGEST: Millis = 3_155_760_000_000;

/// Settings of an executor; what is not set has its default.
///
/// ```
/// use std::time::Duration;
/// use task::{RetryPolicy, TaskExecutor};
///
/// let executor = TaskExecutor::builder()
///     .concurrency(16)
///     .retry(RetryPolicy::exponential_backoff(3, Duration::from_millis(100)))
///     .timeout(Duration::from_secs(10))
///     .build()?;
/// # Ok::<(), task::TaskError>(())
/// ```
#[derive(Clone)]
#[must_use]
pub struct ExecutorBuilder {
    concurrency: u32,
    pub(super) retry: RetryPolicy,
    timeout: Option<Duration>,
    grace_period: Duration,
    cancel_grace: Duration,
    pub(super) store: Option<Arc<dyn Store>>,
    persistence: Option<String>,
    namespace: Option<String>,
    persistence_is_redis: bool,
    relaxed: bool,
    lease: Duration,
    queues: Option<Vec<Name>>,
    pub(super) retention: Retention,
    runtime: Option<Handle>,
    pub(super) limits: Limits,
    queue_limits: Vec<(Name, Limits)>,
    time: Time,
}

impl Default for ExecutorBuilder {
    fn default() -> Self {
        Self {
            concurrency: Config::default().concurrency,
            retry: RetryPolicy::none(),
            timeout: None,
            grace_period: Duration::from_secs(8),
            cancel_grace: Duration::from_secs(5),
            store: None,
            persistence: None,
            namespace: None,
            persistence_is_redis: false,
            relaxed: false,
            lease: Duration::from_secs(30),
            queues: None,
            retention: Retention::default(),
            runtime: None,
            limits: Limits::default(),
            queue_limits: Vec::new(),
            time: Time::default(),
        }
    }
}

impl ExecutorBuilder {
    /// How many tasks run at once, 1 to 1000000. Default: the number of processors.
    pub fn concurrency(mut self, concurrency: u32) -> Self {
        self.concurrency = concurrency;
        self
    }

    /// What follows a failure, where a task says nothing else. Default: nothing.
    pub fn retry(mut self, policy: RetryPolicy) -> Self {
        self.retry = policy;
        self
    }

    /// How long one attempt may take, where a task says nothing else. Default: no limit.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// How long `close` waits for running tasks; at half of it they are told to stop. Default: 8 s.
    pub fn grace_period(mut self, length: Duration) -> Self {
        self.grace_period = length;
        self
    }

    /// How long a cancelled run that was told so may go on before it is dropped. Default: 5 s.
    pub fn cancel_grace(mut self, length: Duration) -> Self {
        self.cancel_grace = length;
        self
    }

    /// Where enqueued tasks are kept. Default: in memory. With a store of its own an executor works on what is
    /// in it from `TaskExecutor::start` on.
    pub fn store(mut self, store: Arc<dyn Store>) -> Self {
        self.store = Some(store);
        self
    }

    /// Where enqueued tasks are kept, by its address: `memory`; `sqlite`, which is the file `tasks.db` in the
    /// working directory; `sqlite:<path>`. Default: in memory.
    ///
    /// What outlives the process is opened by the first call that needs it, and worked on from
    /// `TaskExecutor::start` on. Of what has ended it keeps what completed for a day, at most 100,000 tasks, and
    /// what failed or was cancelled for 14 days; memory keeps the newest 1,000 of each.
    pub fn persistence(mut self, address: impl Into<String>) -> Self {
        self.persistence = Some(address.into());
        self
    }

    /// Lets a power cut take what a store in a file has acknowledged in the last half second; the death of a
    /// process never takes anything. Default: every commit is synced to the disk before it is acknowledged.
    pub fn relaxed_durability(mut self) -> Self {
        self.relaxed = true;
        self
    }

    /// Separates the users of one Redis server: executors meet only in the same namespace. 1 to 128 bytes without
    /// control characters. In a cluster a namespace is on one node, so work is spread by using several. Memory
    /// ignores it; a file is refused, since its users are separated by having files of their own. Default:
    /// `default`.
    pub fn namespace(mut self, name: impl Into<String>) -> Self {
        self.namespace = Some(name.into());
        self
    }

    /// How long this node may be silent before its tasks are given to others, at least 1 s. A process that has
    /// died on the same machine is noticed at once. Default: 30 s.
    pub fn lease(mut self, length: Duration) -> Self {
        self.lease = length;
        self
    }

    /// Works on these queues only; on none of them it is a pure producer, which claims nothing. Default: all.
    pub fn queues<Q: Into<Name>>(mut self, queues: impl IntoIterator<Item = Q>) -> Self {
        self.queues = Some(queues.into_iter().map(Into::into).collect());
        self
    }

    /// How many tasks start over time here; limits of kinds and queues hold too. Default: no limit.
    pub fn rate_limiter(mut self, limiter: &RateLimiter) -> Self {
        self.limits.rate = Some(limiter.gate());
        self
    }

    /// What stops starting tasks while they only fail; those of kinds hold too. Default: nothing.
    pub fn circuit_breaker(mut self, breaker: &CircuitBreaker) -> Self {
        self.limits.breaker = Some(breaker.gate());
        self
    }

    /// How many enqueued tasks of a queue start over time here; it is worked on where `queues` names it. Default: no
    /// limit.
    pub fn queue_rate_limiter(mut self, queue: impl Into<Name>, limiter: &RateLimiter) -> Self {
        self.queue_limits.push((queue.into(), Limits { rate: Some(limiter.gate()), breaker: None }));
        self
    }

    /// Lives in the time of this clock, which a test moves. Only in memory: what is kept on a disk or on a server has
    /// the time of that. Default: the machine's.
    #[cfg(feature = "testing")]
    pub fn clock(mut self, clock: &super::testing::TestClock) -> Self {
        self.time = clock.time();
        self
    }

    pub(super) fn limit(&self, core: &mut Core) {
        if self.persistence_is_redis {
            core.share_rates();
        }
        if !self.limits.is_empty() {
            core.limit(Place::Executor, self.limits.clone());
        }
        for (queue, limits) in &self.queue_limits {
            core.limit(Place::Queue(queue), limits.clone());
        }
    }

    /// Where handlers run. Default: on the runtime that `build` is called in, else on threads of this library.
    pub fn runtime(mut self, runtime: Handle) -> Self {
        self.runtime = Some(runtime);
        self
    }

    /// The executor; an error ERR_OPTION names the setting that cannot be.
    pub fn build(self) -> Result<TaskExecutor, TaskError> {
        if !(1..=MAX_CONCURRENCY).contains(&self.concurrency) {
            let text = format!("concurrency must be from 1 to {MAX_CONCURRENCY}; got {}", self.concurrency);
            return Err(TaskError::option(text));
        }
        check_timeout(self.timeout)?;
        if self.lease < Duration::from_secs(1) {
            return Err(TaskError::option(format!("lease must be at least 1 s; got {:?}", self.lease)));
        }
        let limited = self.queue_limits.iter().map(|(queue, _)| queue);
        let mut named = self.queues.iter().flatten().chain(limited);
        named.try_for_each(|queue| check("name of a queue", queue))?;
        let settings = self.opened()?;
        if settings.store.is_some() && settings.time.is_moved() {
            let text =
                "clock is for executors in memory: a store has a time of its own; got a clock and a store";
            return Err(TaskError::option(text));
        }
        Ok(TaskExecutor::from_checked(settings))
    }

    fn opened(mut self) -> Result<Self, TaskError> {
        let Some(address) = self.persistence.take() else { return Ok(self) };
        self.persistence_is_redis = address.starts_with("redis");
        if self.store.is_some() {
            return Err(TaskError::option("store and persistence exclude each other; give one of them"));
        }
        let durability = if self.relaxed { Durability::Relaxed } else { Durability::Strict };
        let namespace = self.namespace.clone().unwrap_or_else(|| open::NAMESPACE.into());
        let options = open::Options { durability, lease: millis(self.lease), namespace };
        let store = open::open(&address, &options)?;
        if open::is_durable(&address) {
            (self.store, self.retention) = (Some(store), Retention::durable());
        }
        Ok(self)
    }

    pub(super) fn config(&self) -> Config {
        Config {
            concurrency: self.concurrency,
            max_abandoned: self.concurrency.saturating_mul(2).max(16),
            cancel_grace: millis(self.cancel_grace),
            lease: millis(self.lease),
            durable: self.store.is_some(),
            queues: self.queues.as_ref().map(|all| all.iter().map(|queue| (queue.clone(), None)).collect()),
            time: self.time.clone(),
            ..Config::default()
        }
    }

    /// The store that it has been given, else memory of its own.
    pub(super) fn store_or_memory(&self) -> Arc<dyn Store> {
        self.store.clone().unwrap_or_else(|| Arc::new(MemoryStore::in_time(self.time.clone())))
    }

    pub(super) fn timeout_ms(&self) -> Option<Millis> {
        self.timeout.map(millis)
    }

    pub(super) fn grace_ms(&self) -> Millis {
        millis(self.grace_period)
    }

    /// The runtime for handlers. Never that of the engine: a handler that blocks its thread must not keep the
    /// engine from noticing.
    pub(super) fn handlers(&self) -> Handle {
        static OWN: LazyLock<Runtime> = LazyLock::new(|| {
            Builder::new_multi_thread()
                .thread_name("task-handler")
                .enable_all()
                .build()
                .expect("threads can be made")
        });
        let current = || Handle::try_current().unwrap_or_else(|_| OWN.handle().clone());
        self.runtime.clone().unwrap_or_else(current)
    }
}

/// Whole milliseconds, never less than what was given.
pub(super) fn millis(length: Duration) -> Millis {
    let whole = length.as_nanos().div_ceil(1_000_000);
    Millis::try_from(whole).unwrap_or(LONGEST).min(LONGEST)
}

/// A time of 0 would end each attempt before it began.
pub(super) fn check_timeout(timeout: Option<Duration>) -> Result<(), TaskError> {
    match timeout {
        Some(Duration::ZERO) => Err(TaskError::option("timeout must be longer than 0; got 0")),
        _ => Ok(()),
    }
}

/// The rule for names; `what` says which one it is.
pub(super) fn check(what: &str, name: &str) -> Result<(), TaskError> {
    check_name(name).map_err(|error| TaskError::option(format!("the {what} {error}; got {name:?}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_rounded_up_and_bounded() {
        assert_eq!(millis(Duration::ZERO), 0);
        assert_eq!(millis(Duration::from_nanos(1)), 1);
        assert_eq!(millis(Duration::from_micros(1500)), 2);
        assert_eq!(millis(Duration::MAX), LONGEST);
    }
}
