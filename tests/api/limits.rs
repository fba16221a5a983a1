//! Rate limiters and circuit breakers.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use task::{
    BreakerPolicy, CircuitBreaker, RateLimiter, RetryPolicy, Task, TaskError, TaskExecutor, TaskKind,
};

use super::{ends, until};

const HOUR: Duration = Duration::from_secs(3600);

fn ok() -> Task {
    Task::builder().handler(async || 1).build()
}

#[tokio::test]
async fn an_executor_starts_no_more_than_its_rate() {
    let limiter = RateLimiter::new(50, Duration::from_secs(1)).unwrap().burst(2).unwrap();
    let executor = TaskExecutor::with_rate_limiter(limiter.clone());
    let began = Instant::now();
    ends(executor.execute_all((0..5).map(|_| ok()).collect())).await.unwrap();
    assert!(began.elapsed() >= Duration::from_millis(58), "{:?}", began.elapsed());
    assert_eq!(
        ends(TaskExecutor::with_rate_limiter(RateLimiter::with_defaults()).execute(ok()))
            .await
            .unwrap()
            .to_string(),
        "1"
    );
}

#[tokio::test]
async fn a_rate_that_rejects_says_when_to_come_back() {
    let limiter = RateLimiter::new(1, HOUR).unwrap().name("api").unwrap().reject_excess();
    let executor = TaskExecutor::with_rate_limiter(limiter.clone());
    ends(executor.execute(ok())).await.unwrap();
    for error in [ends(executor.execute(ok())).await.unwrap_err(), ends(limiter.acquire()).await.unwrap_err()]
    {
        let TaskError::RateLimited { name, opens_in: Some(time) } = error else { panic!("{error}") };
        assert_eq!(name.as_deref(), Some("api"));
        assert!((3_590_000..=3_600_000).contains(&time), "{time}");
    }
}

#[tokio::test]
async fn a_line_is_first_come_first_served_and_who_leaves_it_is_forgotten() {
    let limiter = RateLimiter::new(50, Duration::from_secs(1)).unwrap().burst(1).unwrap();
    assert!(limiter.try_acquire());
    let order = Arc::new(std::sync::Mutex::new(Vec::new()));
    let wait = |n| {
        let (limiter, order) = (limiter.clone(), order.clone());
        async move {
            limiter.acquire().await.unwrap();
            order.lock().unwrap().push(n);
        }
    };
    let left = tokio::time::timeout(Duration::from_millis(1), wait(0)).await;
    assert!(left.is_err() && !limiter.try_acquire());
    ends(async { tokio::join!(wait(1), wait(2), wait(3)) }).await;
    assert_eq!(*order.lock().unwrap(), [1, 2, 3]);
    let executor = TaskExecutor::new();
    let calls = RateLimiter::new(1, HOUR).unwrap().by_group();
    executor
        .register(TaskKind::new("call").rate_limiter(&calls), async |n: u32| Ok::<_, TaskError>(n))
        .unwrap();
    for group in ["a", "b"] {
        let handle = executor.enqueue("call", 7).group(group).await.unwrap();
        assert_eq!(ends(handle.result()).await.unwrap().to_string(), "7");
    }
    let keyed = RateLimiter::new(1, HOUR).unwrap().by_group();
    assert!(keyed.try_acquire_key("a") && keyed.try_acquire_key("b") && !keyed.try_acquire_key("a"));
}

#[tokio::test]
async fn a_pause_and_another_rate_hold_for_those_who_wait() {
    let limiter = RateLimiter::new(1, HOUR).unwrap();
    let executor = TaskExecutor::with_rate_limiter(limiter.clone());
    ends(executor.execute(ok())).await.unwrap();
    let waiting = tokio::spawn({
        let executor = executor.clone();
        async move { executor.execute_all((0..3).map(|_| ok()).collect()).await }
    });
    tokio::time::sleep(Duration::from_millis(10)).await;
    assert!(!waiting.is_finished());
    limiter.update(1000, Duration::from_secs(1)).unwrap();
    ends(waiting).await.unwrap().unwrap();
    limiter.pause(Duration::from_millis(40));
    let began = Instant::now();
    ends(executor.execute(ok())).await.unwrap();
    assert!(began.elapsed() >= Duration::from_millis(39));
}

#[tokio::test]
async fn queued_tasks_outlive_a_dead_upstream_without_losing_attempts() {
    let policy = BreakerPolicy { window: 4, min_calls: 4, ..BreakerPolicy::default() };
    let breaker = CircuitBreaker::with_policy(policy).unwrap();
    let executor = TaskExecutor::builder().concurrency(1).build().unwrap();
    let (is_up, calls) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(0)));
    let (up, counted) = (is_up.clone(), calls.clone());
    let handler = move |n: u32| {
        counted.fetch_add(1, Ordering::SeqCst);
        let is_up = up.load(Ordering::SeqCst);
        async move { if is_up { Ok(n) } else { Err("down") } }
    };
    let kind = TaskKind::new("call").retry(RetryPolicy::fixed(5, 1)).circuit_breaker(&breaker);
    executor.register(kind, handler).unwrap();
    let mut handles = Vec::new();
    for n in 0..50 {
        handles.push(executor.enqueue("call", n).await.unwrap());
    }
    until(|| breaker.state() == "open").await;
    assert_eq!(calls.load(Ordering::SeqCst), 4);
    is_up.store(true, Ordering::SeqCst);
    breaker.close();
    for (n, handle) in handles.iter().enumerate() {
        assert_eq!(ends(handle.result()).await.unwrap().parse::<usize>().unwrap(), n);
    }
    assert_eq!(calls.load(Ordering::SeqCst), 54);
}

#[tokio::test]
async fn closures_fail_at_once_while_it_is_open() {
    let breaker = CircuitBreaker::new().name("db").unwrap();
    let executor = TaskExecutor::builder().circuit_breaker(&breaker).build().unwrap();
    breaker.open(Some(HOUR));
    let error = ends(executor.execute(ok())).await.unwrap_err();
    assert_eq!(error.code(), "ERR_CIRCUIT_OPEN");
    assert!(error.to_string().starts_with("the circuit breaker \"db\" is open; it may be asked again in "));
    let direct = ends(breaker.execute(async || Ok::<_, TaskError>(1))).await.unwrap_err();
    assert_eq!(direct.code(), "ERR_CIRCUIT_OPEN");
    breaker.close();
    assert_eq!(ends(executor.execute(ok())).await.unwrap().to_string(), "1");
}

#[test]
fn never_more_than_the_probes_whatever_the_threads_do() {
    for _ in 0..50 {
        let policy = BreakerPolicy { probes: 2, ..BreakerPolicy::default() };
        let breaker = CircuitBreaker::with_policy(policy).unwrap();
        breaker.open(Some(Duration::from_millis(1)));
        while breaker.state() == "open" {
            std::thread::yield_now();
        }
        let probes = Arc::new(AtomicU32::new(0));
        // All of them have asked before any of them ends.
        let asked = Arc::new(std::sync::Barrier::new(8));
        let threads: Vec<_> = (0..8)
            .map(|_| {
                let (breaker, probes, asked) = (breaker.clone(), probes.clone(), asked.clone());
                std::thread::spawn(move || {
                    let waits = asked.clone();
                    let call = breaker.execute(async || {
                        probes.fetch_add(1, Ordering::SeqCst);
                        waits.wait();
                        Ok::<_, TaskError>(())
                    });
                    let result = futures_util::FutureExt::now_or_never(call).expect("nothing is awaited");
                    if result.is_err() {
                        asked.wait();
                    }
                })
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!((probes.load(Ordering::SeqCst), breaker.state()), (2, "closed"));
    }
}

#[test]
fn wrong_settings_are_named() {
    let text = RateLimiter::new(0, HOUR).unwrap_err().to_string();
    assert_eq!(text, "limit is 0, allowed are whole numbers from 1");
    let policy = BreakerPolicy { min_calls: 0, ..BreakerPolicy::default() };
    assert!(CircuitBreaker::with_policy(policy).unwrap_err().to_string().starts_with("minCalls is 0"));
    assert!(RateLimiter::with_defaults().name("").is_err());
}
