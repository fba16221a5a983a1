//! What limits promise, on any store: for the tests of each.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::join_all;
use task::store::Store;
use task::task::TaskId;
use task::{
    BreakerPolicy, CircuitBreaker, RateLimiter, RetryPolicy, TaskError, TaskExecutor, TaskHandle, TaskKind,
};

/// Longer than anything here takes on the slowest machine.
const HANG: Duration = Duration::from_secs(60);

async fn ends<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(HANG, work).await.expect("it ends")
}

fn executor(store: &Arc<dyn Store>, concurrency: u32) -> TaskExecutor {
    TaskExecutor::builder().concurrency(concurrency).store(store.clone()).build().expect("good settings")
}

async fn enqueue(executor: &TaskExecutor, kind: &str, count: u32) -> Vec<TaskHandle> {
    let pushes = (0..count).map(|n| executor.enqueue(kind, n).into_future());
    ends(join_all(pushes)).await.into_iter().map(|handle| handle.expect("it is accepted")).collect()
}

/// Four executors work under one rate, one of them closes in the middle: over no time do more start than the limit
/// and the burst, and nothing is lost.
pub async fn a_shared_rate_holds_for_four(stores: [Arc<dyn Store>; 4]) {
    let (limit, burst, count) = (400, 40, 400);
    let rate = || {
        let limiter = RateLimiter::new(limit, Duration::from_secs(1)).and_then(|rate| rate.burst(burst));
        limiter.expect("a rate").shared(true)
    };
    let executors: Vec<_> = stores.iter().map(|store| executor(store, 8)).collect();
    for executor in &executors {
        let kind = TaskKind::new("tick").rate_limiter(&rate());
        executor.register(kind, async |n: u32| Ok::<_, TaskError>(n)).expect("a good name");
    }
    let handles = enqueue(&executors[0], "tick", count).await;
    for executor in &executors {
        ends(executor.start()).await.expect("it starts");
    }
    ends(handles[count as usize / 2].result()).await.expect("it completes");
    ends(executors[3].close()).await;
    let outputs = ends(join_all(handles.iter().map(|handle| handle.result()))).await;
    for (n, output) in outputs.into_iter().enumerate() {
        assert_eq!(output.expect("it completes").parse::<usize>().expect("a number"), n);
    }
    let ids: Vec<_> = handles.iter().map(|handle| TaskId::from(handle.id())).collect();
    let records = ends(stores[0].get(ids)).await.expect("the store answers").records;
    // On the store's clock: when they were claimed.
    let mut starts: Vec<u64> = records
        .iter()
        .map(|record| record.as_ref().and_then(|record| record.status.started_at))
        .map(|at| at.expect("it has started"))
        .collect();
    starts.sort_unstable();
    for (first, from) in starts.iter().enumerate() {
        for (last, to) in starts.iter().enumerate().skip(first) {
            let allowed = (to - from) * u64::from(limit) / 1000 + u64::from(burst);
            assert!(
                (last - first + 1) as u64 <= allowed,
                "{} starts within {} ms",
                last - first + 1,
                to - from
            );
        }
    }
    ends(join_all(executors.iter().map(TaskExecutor::close))).await;
}

/// A thousand tasks wait for an upstream that is dead, and comes back: each completes once, and it was called no more
/// often than it took to see that it is dead, and by the probes.
pub async fn a_dead_upstream_is_left_alone(store: Arc<dyn Store>) {
    const FAILURES: u32 = 7;
    let open_for = 20;
    let policy = BreakerPolicy {
        window: 4,
        min_calls: 4,
        open_for,
        max_open_for: open_for,
        ..BreakerPolicy::default()
    };
    let breaker = CircuitBreaker::with_policy(policy).expect("a policy");
    let worker = executor(&store, 1);
    let calls = Arc::new(AtomicU32::new(0));
    let states = Arc::new(Mutex::new(Vec::new()));
    let (counted, seen, looked_at) = (calls.clone(), states.clone(), breaker.clone());
    let handler = move |n: u32| {
        seen.lock().expect("nobody panics").push(looked_at.state());
        // It is back after the four calls that have opened the breaker, and three probes.
        let is_up = counted.fetch_add(1, Ordering::SeqCst) >= FAILURES;
        async move { if is_up { Ok(n) } else { Err("503") } }
    };
    let kind = TaskKind::new("call").retry(RetryPolicy::fixed(2, 1)).circuit_breaker(&breaker);
    worker.register(kind, handler).expect("a good name");
    let handles = enqueue(&worker, "call", 1000).await;
    ends(worker.start()).await.expect("it starts");
    for (n, handle) in handles.iter().enumerate() {
        let output = ends(handle.result()).await.expect("it loses no attempt but its own");
        assert_eq!(output.parse::<usize>().expect("a number"), n);
    }
    assert_eq!(calls.load(Ordering::SeqCst), 1000 + FAILURES);
    let states = states.lock().expect("nobody panics").clone();
    let probes = FAILURES as usize + 1;
    assert_eq!(states[..4], ["closed"; 4], "they open it");
    assert!(states[4..probes].iter().all(|state| *state == "half-open"), "nothing but probes: {states:?}");
    assert!(states[probes..].iter().all(|state| *state == "closed"));
    ends(worker.close()).await;
}

/// Two executors call one upstream that is dead: who finds out tells the other one, and when it is back the probe of one
/// of them is enough for both.
pub async fn a_breaker_is_shared_by_name(stores: [Arc<dyn Store>; 2]) {
    let policy = BreakerPolicy { window: 2, min_calls: 2, open_for: 700, ..BreakerPolicy::default() };
    let breakers: [CircuitBreaker; 2] = std::array::from_fn(|_| {
        let breaker = CircuitBreaker::with_policy(policy.clone()).and_then(|one| one.name("upstream"));
        breaker.and_then(|one| one.shared(true)).expect("a breaker")
    });
    let calls = Arc::new(AtomicU32::new(0));
    let executors: Vec<_> = stores.iter().map(|store| executor(store, 1)).collect();
    for (executor, breaker) in executors.iter().zip(&breakers) {
        let counted = calls.clone();
        let handler = move |n: u32| {
            let is_up = counted.fetch_add(1, Ordering::SeqCst) >= 2;
            async move { if is_up { Ok(n) } else { Err("503") } }
        };
        let kind = TaskKind::new("call").retry(RetryPolicy::fixed(3, 1)).circuit_breaker(breaker);
        executor.register(kind, handler).expect("a good name");
    }
    // The second one knows of its breaker from its start on, and has nothing to do meanwhile.
    ends(executors[1].start()).await.expect("it starts");
    executors[1].pause();
    ends(executors[0].start()).await.expect("it starts");
    let handles = enqueue(&executors[0], "call", 20).await;
    ends(async {
        while breakers[1].state() == "closed" {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    assert_eq!(calls.load(Ordering::SeqCst), 2, "one of them has found out for both");
    executors[1].resume();
    for output in ends(join_all(handles.iter().map(|handle| handle.result()))).await {
        output.expect("it completes");
    }
    assert_eq!(calls.load(Ordering::SeqCst), 22);
    ends(async {
        while breakers.iter().any(|breaker| breaker.state() != "closed") {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    ends(join_all(executors.iter().map(TaskExecutor::close))).await;
}
