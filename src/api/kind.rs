//! A kind of stored task: its name, and what its tasks have where an `enqueue` says nothing else.

use std::time::Duration;

use crate::engine::{Kind, Limits};
use crate::error::TaskError;
use crate::policy::RetryPolicy;
use crate::task::{Name, default_queue};

use super::limits::{CircuitBreaker, RateLimiter};
use super::settings::{check, check_timeout};

/// A kind of task for `TaskExecutor::register`; a name alone will do.
///
/// ```
/// use std::time::Duration;
/// use task::{RetryPolicy, TaskKind};
///
/// let kind = TaskKind::new("resize")
///     .concurrency(2)
///     .timeout(Duration::from_secs(30))
///     .retry(RetryPolicy::exponential_backoff(5, Duration::from_secs(1)));
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct TaskKind {
    name: Name,
    pub(super) queue: Name,
    pub(super) priority: i32,
    pub(super) timeout: Option<Duration>,
    pub(super) retry: Option<RetryPolicy>,
    concurrency: Option<u32>,
    limits: Limits,
    /// It belongs to a schedule, and another handler may take the place of this one.
    pub(super) is_of_a_schedule: bool,
    #[cfg(feature = "cron")]
    pub(super) schedule: Option<super::schedule::Schedule>,
}

impl TaskKind {
    /// A kind that has the defaults of its executor: 1 to 128 bytes without control characters.
    pub fn new(name: impl Into<Name>) -> Self {
        let (name, queue) = (name.into(), default_queue());
        Self {
            name,
            queue,
            priority: 0,
            timeout: None,
            retry: None,
            concurrency: None,
            limits: Limits::default(),
            is_of_a_schedule: false,
            #[cfg(feature = "cron")]
            schedule: None,
        }
    }

    /// The queue of its tasks. Default: `default`.
    pub fn queue(mut self, queue: impl Into<Name>) -> Self {
        self.queue = queue.into();
        self
    }

    /// Larger starts first. Default: 0.
    pub fn priority(mut self, priority: i32) -> Self {
        self.priority = priority;
        self
    }

    /// How long one attempt may take. Default: that of the executor.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// What follows a failure. Default: that of the executor.
    pub fn retry(mut self, policy: RetryPolicy) -> Self {
        self.retry = Some(policy);
        self
    }

    /// How many of this kind run at once on this executor, at least 1. Default: as many as the executor runs.
    pub fn concurrency(mut self, concurrency: u32) -> Self {
        self.concurrency = Some(concurrency);
        self
    }

    /// How many of this kind start over time; the limit of the executor holds too. Default: no limit.
    pub fn rate_limiter(mut self, limiter: &RateLimiter) -> Self {
        self.limits.rate = Some(limiter.gate());
        self
    }

    /// What stops starting them while they only fail; that of the executor holds too. Default: nothing.
    pub fn circuit_breaker(mut self, breaker: &CircuitBreaker) -> Self {
        self.limits.breaker = Some(breaker.gate());
        self
    }

    /// When it runs by itself, with the input `null`: a cron expression or a `Schedule`, made by `TaskExecutor::start`.
    #[cfg(feature = "cron")]
    pub fn schedule(mut self, when: impl Into<super::schedule::Schedule>) -> Self {
        self.schedule = Some(when.into());
        self
    }

    #[cfg(feature = "cron")]
    pub(super) fn of_a_schedule(mut self) -> Self {
        self.is_of_a_schedule = true;
        self
    }

    pub(super) fn name(&self) -> &Name {
        &self.name
    }

    pub(super) fn check(&self) -> Result<(), TaskError> {
        check("name of a kind", &self.name)?;
        check("name of a queue", &self.queue)?;
        check_timeout(self.timeout)?;
        match self.concurrency {
            Some(0) => Err(TaskError::option("concurrency of a kind must be at least 1; got 0")),
            _ => Ok(()),
        }
    }

    pub(super) fn for_engine(&self) -> Kind {
        Kind { per_node: self.concurrency, limits: self.limits.clone(), ..Kind::new(self.name.clone()) }
    }
}

impl From<&str> for TaskKind {
    fn from(name: &str) -> Self {
        Self::new(name)
    }
}

impl From<String> for TaskKind {
    fn from(name: String) -> Self {
        Self::new(name)
    }
}
