//! Rate limiters and circuit breakers as users hold them: one limit, wherever its clones are used in this process.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;

use crate::engine::runtime;
use crate::error::TaskError;
use crate::policy::breaker::{BreakerPolicy, Permit, Verdict};
use crate::policy::rate::RateLimit;
use crate::policy::shared_rate::Excess;
use crate::policy::{BreakerRules, OptionError, RateRules, SharedBreaker, SharedRate};
use crate::task::Name;
use crate::time::{Millis, Time};

use super::settings::{check, millis};

/// How many tasks may start over time. Clones are the same limit: given to several kinds, queues or executors of this
/// process, it holds for all of them together.
///
/// ```
/// # #[tokio::main]
/// # async fn main() -> Result<(), task::TaskError> {
/// use std::time::Duration;
/// use task::{RateLimiter, TaskExecutor};
///
/// let limiter = RateLimiter::new(10, Duration::from_secs(1))?.burst(20)?;
/// let executor = TaskExecutor::with_rate_limiter(limiter.clone());
///
/// // Any code can take from it, too.
/// limiter.acquire().await?;
/// assert!(limiter.try_acquire());
/// # executor.close().await;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct RateLimiter {
    limit: RateLimit,
    rules: RateRules,
    shared: SharedRate,
    lines: Arc<Mutex<HashMap<Option<Name>, Arc<Semaphore>>>>,
}

/// Stops calling what only fails. Clones are the same breaker.
///
/// It opens when half of the last 20 calls have failed, 10 at least; is open for 30 s, and for twice as long each
/// time a probe fails, up to 5 min; then one call is let through as a probe, which closes it if it succeeds. While it is
/// open `execute` fails with ERR_CIRCUIT_OPEN, and enqueued tasks wait, without losing attempts or their order.
///
/// ```
/// # #[tokio::main]
/// # async fn main() -> Result<(), task::TaskError> {
/// use task::{CircuitBreaker, TaskError};
///
/// let breaker = CircuitBreaker::new();
/// let answer = breaker.execute(async || Ok::<_, TaskError>("well")).await?;
/// assert_eq!((answer, breaker.state()), ("well", "closed"));
///
/// breaker.open(None);
/// let refused = breaker.execute(async || Ok::<_, TaskError>("not called")).await;
/// assert_eq!(refused.unwrap_err().code(), "ERR_CIRCUIT_OPEN");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct CircuitBreaker {
    policy: BreakerPolicy,
    rules: BreakerRules,
    shared: SharedBreaker,
}

impl RateLimiter {
    /// `limit` starts in each `per`, and as many at once. ERR_OPTION where that is none.
    pub fn new(limit: u32, per: Duration) -> Result<Self, TaskError> {
        Ok(Self::of(RateLimit::new(limit, millis(per)).map_err(wrong)?, RateRules::default()))
    }

    /// 100 starts a second, 100 at once.
    pub fn with_defaults() -> Self {
        Self::of(RateLimit::default(), RateRules::default())
    }

    /// So many starts a second, and as many at once. ERR_OPTION for 0.
    pub fn per_second(limit: u32) -> Result<Self, TaskError> {
        Self::new(limit, Duration::from_secs(1))
    }

    fn of(limit: RateLimit, rules: RateRules) -> Self {
        let shared = SharedRate::new(limit, rules.clone());
        Self { limit, rules, shared, lines: Arc::default() }
    }

    /// So many may start at once after a quiet time. Another limit, which has nothing in common with this one.
    pub fn burst(self, burst: u32) -> Result<Self, TaskError> {
        Ok(Self::of(self.limit.with_burst(burst).map_err(wrong)?, self.rules))
    }

    /// The limit holds for each group of tasks, and for each key, by itself. Another limit.
    pub fn by_group(self) -> Self {
        Self::of(self.limit, RateRules { by_group: true, ..self.rules })
    }

    /// Whether it holds for all executors on a store together, which then counts what they take from queues. Another
    /// limit. Default: where the store is Redis.
    pub fn shared(self, shared: bool) -> Self {
        Self::of(self.limit, RateRules { shared: Some(shared), ..self.rules })
    }

    /// What it is called in errors, and who shares it in a store. Another limit.
    pub fn name(self, name: impl Into<Name>) -> Result<Self, TaskError> {
        let name = name.into();
        check("name of a rate limiter", &name)?;
        Ok(Self::of(self.limit, RateRules { name: Some(name), ..self.rules }))
    }

    /// `execute` and `acquire` fail with ERR_RATE_LIMITED instead of waiting. Another limit.
    pub fn reject_excess(self) -> Self {
        Self::of(self.limit, RateRules { rejects: true, ..self.rules })
    }

    /// A handler that fails with `TaskError::retry_after` also pauses it for that time. Another limit.
    pub fn heed_retry_after(self) -> Self {
        Self::of(self.limit, RateRules { heeds_retry_after: true, ..self.rules })
    }

    /// Another rate from now on, with as many at once; what has started counts on.
    pub fn update(&self, limit: u32, per: Duration) -> Result<(), TaskError> {
        self.shared.change(RateLimit::new(limit, millis(per)).map_err(wrong)?, self.now());
        Ok(())
    }

    /// Nothing starts before so long from now: after a 429, for instance. Never shortens a pause.
    pub fn pause(&self, length: Duration) {
        self.shared.hold(self.now().saturating_add(millis(length)));
    }

    /// Returns when it may go on; who came first goes first.
    pub async fn acquire(&self) -> Result<(), TaskError> {
        self.acquire_for(None).await
    }

    /// The same from the limit of a key, where it holds by group.
    pub async fn acquire_key(&self, key: impl Into<Name>) -> Result<(), TaskError> {
        self.acquire_for(Some(key.into())).await
    }

    async fn acquire_for(&self, key: Option<Name>) -> Result<(), TaskError> {
        let place = self.line_up(key);
        // Fair: permits go to those who wait in the order in which they came.
        let _turn = place.line.clone().acquire_owned().await;
        loop {
            let wait = match self.shared.try_take(place.key.as_deref(), self.now()) {
                Ok(()) => return Ok(()),
                Err(Excess::Keys) => return Err(self.refusal(None)),
                Err(Excess::Until(at)) => at.saturating_sub(self.now()).max(1),
            };
            if self.rules.rejects {
                return Err(self.refusal(Some(wait)));
            }
            sleep(self.shared.time(), wait).await;
        }
    }

    /// Whether it may go on now; false too where others wait.
    pub fn try_acquire(&self) -> bool {
        self.try_acquire_for(None)
    }

    /// The same from the limit of a key, where it holds by group.
    pub fn try_acquire_key(&self, key: impl Into<Name>) -> bool {
        self.try_acquire_for(Some(key.into()))
    }

    fn try_acquire_for(&self, key: Option<Name>) -> bool {
        let place = self.line_up(key);
        let turn = place.line.clone().try_acquire_owned();
        turn.is_ok_and(|_turn| self.shared.try_take(place.key.as_deref(), self.now()).is_ok())
    }

    fn now(&self) -> Millis {
        self.shared.time().monotonic()
    }

    fn line_up(&self, key: Option<Name>) -> InLine<'_> {
        let key = key.filter(|_| self.rules.by_group);
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let line = lines.entry(key.clone()).or_insert_with(|| Arc::new(Semaphore::new(1))).clone();
        InLine { limiter: self, key, line }
    }

    fn refusal(&self, opens_in: Option<Millis>) -> TaskError {
        TaskError::RateLimited { name: self.rules.name.clone(), opens_in }
    }

    pub(super) fn gate(&self) -> SharedRate {
        self.shared.clone()
    }
}

impl Default for CircuitBreaker {
    fn default() -> Self {
        Self::of(BreakerPolicy::default(), rules()).expect("the defaults make a breaker")
    }
}

impl CircuitBreaker {
    /// A breaker with the defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// A breaker with this policy. ERR_OPTION where that contradicts itself.
    pub fn with_policy(policy: BreakerPolicy) -> Result<Self, TaskError> {
        Self::of(policy, rules())
    }

    fn of(policy: BreakerPolicy, rules: BreakerRules) -> Result<Self, TaskError> {
        let shared = SharedBreaker::new(policy.clone(), rules.clone()).map_err(wrong)?;
        Ok(Self { policy, rules, shared })
    }

    /// What it is called in errors. Another breaker, which has nothing in common with this one.
    pub fn name(self, name: impl Into<Name>) -> Result<Self, TaskError> {
        let name = name.into();
        check("name of a circuit breaker", &name)?;
        Self::of(self.policy, BreakerRules { name: Some(name), ..self.rules })
    }

    /// Enqueued tasks fail while it is open, instead of waiting. Another breaker.
    pub fn fail_when_open(self) -> Result<Self, TaskError> {
        Self::of(self.policy, BreakerRules { fails: true, ..self.rules })
    }

    /// Whether its state is that of all executors on a store whose breakers have its name: who finds out that the
    /// upstream is dead tells the others, and one of them lets the probe pass. Another breaker. Default: where the store
    /// is Redis and it has a name.
    pub fn shared(self, shared: bool) -> Result<Self, TaskError> {
        Self::of(self.policy, BreakerRules { shared: Some(shared), ..self.rules })
    }

    /// `closed`, `open` or `half-open`.
    pub fn state(&self) -> &'static str {
        self.shared.word(self.shared.time().monotonic())
    }

    /// Opens it by hand, for a time or until `close`.
    pub fn open(&self, length: Option<Duration>) {
        self.shared.open(self.shared.time().monotonic(), length.map(millis));
    }

    /// Closes it by hand and forgets what it has counted.
    pub fn close(&self) {
        self.shared.close();
    }

    /// Runs any code through it: its own result, or ERR_CIRCUIT_OPEN without calling it. Dropping this future frees
    /// its place and counts for nothing.
    pub async fn execute<T, E, F>(&self, run: impl FnOnce() -> F) -> Result<T, TaskError>
    where
        F: Future<Output = Result<T, E>>,
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let since = self.shared.time().monotonic();
        let permit = self.shared.admit(since).map_err(|at| TaskError::CircuitOpen {
            name: self.rules.name.clone(),
            opens_in: at.map(|at| at.saturating_sub(since)),
        })?;
        let mut call = Call { breaker: &self.shared, permit: Some(permit), since };
        let result = run().await.map_err(TaskError::new);
        call.end(result.as_ref().map_or_else(TaskError::verdict, |_| Verdict::Succeeded));
        result
    }

    pub(super) fn gate(&self) -> SharedBreaker {
        self.shared.clone()
    }
}

/// A place among those who wait for one key. The line is there as long as somebody stands in it.
struct InLine<'a> {
    limiter: &'a RateLimiter,
    key: Option<Name>,
    line: Arc<Semaphore>,
}

impl Drop for InLine<'_> {
    fn drop(&mut self) {
        let mut lines = self.limiter.lines.lock().unwrap_or_else(PoisonError::into_inner);
        // One is in the list, one is this.
        if Arc::strong_count(&self.line) <= 2 {
            lines.remove(&self.key);
        }
    }
}

/// A call under way: its permit goes back, whatever becomes of it.
struct Call<'a> {
    breaker: &'a SharedBreaker,
    permit: Option<Permit>,
    since: Millis,
}

impl Call<'_> {
    fn end(&mut self, verdict: Verdict) {
        if let Some(permit) = self.permit.take() {
            let now = self.breaker.time().monotonic();
            self.breaker.give(permit, verdict, now.saturating_sub(self.since), now);
        }
    }
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        self.end(Verdict::Unknown);
    }
}

fn rules() -> BreakerRules {
    BreakerRules { name: None, shared: None, fails: false, holder: "this process".into() }
}

fn wrong(error: OptionError) -> TaskError {
    TaskError::option(error.to_string())
}

/// On the engine's runtime, so that callers need none.
async fn sleep(time: Time, length: Millis) {
    let at = time.monotonic().saturating_add(length);
    let timer = runtime().spawn(async move { time.sleep_until(at).await });
    let _ = timer.await;
}
