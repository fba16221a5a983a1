//! The clock that tests move: what an executor does in hours and days is done at once, each thing at its time.

use std::future::ready;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use task::testing::TestClock;
use task::{CircuitBreaker, RateLimiter, RetryPolicy, Task, TaskContext, TaskError, TaskExecutor, TaskKind};

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);

/// A clock at the beginning of 2030, and an executor that lives by it.
fn start() -> (TestClock, TaskExecutor) {
    let clock = TestClock::at(SystemTime::UNIX_EPOCH + Duration::from_secs(1_893_456_000));
    let executor = TaskExecutor::builder().concurrency(4).clock(&clock).build().unwrap();
    (clock, executor)
}

/// When things happened, since the clock was made.
#[derive(Clone)]
struct Diary(TestClock, SystemTime, Arc<Mutex<Vec<Duration>>>);

impl Diary {
    fn of(clock: &TestClock) -> Self {
        Self(clock.clone(), clock.now(), Arc::default())
    }

    fn note(&self) -> usize {
        let mut pages = self.2.lock().unwrap();
        pages.push(self.0.now().duration_since(self.1).unwrap());
        pages.len()
    }

    fn seconds(&self) -> Vec<u64> {
        self.2.lock().unwrap().iter().map(Duration::as_secs).collect()
    }
}

#[tokio::test]
async fn what_is_delayed_runs_at_its_time_and_not_before() {
    let (clock, executor) = start();
    let diary = Diary::of(&clock);
    let writer = diary.clone();
    executor.register("note", move |_: ()| ready(Ok::<_, TaskError>(writer.note()))).unwrap();
    let began = Instant::now();
    for days in [3, 1, 2] {
        executor.enqueue("note", ()).delay(days * DAY).await.unwrap();
    }
    clock.advance(DAY - Duration::from_millis(1)).await;
    assert_eq!(diary.seconds(), [0_u64; 0]);
    clock.advance(Duration::from_millis(1)).await;
    assert_eq!(diary.seconds(), [86_400]);
    clock.advance(30 * DAY).await;
    assert_eq!(diary.seconds(), [86_400, 172_800, 259_200]);
    assert!(began.elapsed() < DAY);
    let (date, made) = (clock.now(), executor.enqueue("note", ()).await.unwrap());
    assert_eq!(executor.get(made.id()).await.unwrap().unwrap().created_at, date);
    executor.close().await;
}

#[tokio::test]
async fn retries_come_at_their_delays_and_timeouts_end_what_hangs() {
    let (clock, executor) = start();
    let diary = Diary::of(&clock);
    let writer = diary.clone();
    let kind = TaskKind::new("flaky").retry(RetryPolicy::fixed(4, HOUR.as_millis() as u64));
    let fail = move |_: ()| {
        ready(match writer.note() {
            4 => Ok("well"),
            _ => Err(std::io::Error::other("not yet")),
        })
    };
    executor.register(kind, fail).unwrap();
    let flaky = executor.enqueue("flaky", ()).await.unwrap();
    clock.run_until_idle(&executor).await.unwrap();
    assert_eq!(flaky.result().await.unwrap().to_string(), "well");
    assert_eq!(diary.seconds(), [0, 3600, 2 * 3600, 3 * 3600]);

    let hangs = TaskKind::new("hangs").timeout(2 * HOUR);
    executor.register(hangs, async |_: ()| std::future::pending::<Result<(), TaskError>>().await).unwrap();
    let hung = executor.enqueue("hangs", ()).await.unwrap();
    let before = clock.now();
    clock.run_until_idle(&executor).await.unwrap();
    assert_eq!(hung.result().await.unwrap_err().code(), "ERR_TASK_TIMEOUT");
    assert_eq!(clock.now().duration_since(before).unwrap().as_secs(), 2 * 3600);
    executor.close().await;
}

#[tokio::test]
async fn closures_live_by_the_clock_as_well() {
    let (clock, executor) = start();
    let sleeper = clock.clone();
    let task = Task::builder()
        .timeout(HOUR)
        .handler(move |context: TaskContext| {
            let clock = sleeper.clone();
            async move {
                clock.sleep(if context.attempt() == 1 { 2 * HOUR } else { HOUR / 2 }).await;
                context.attempt()
            }
        })
        .retry(RetryPolicy::fixed(2, DAY.as_millis() as u64))
        .build();
    let before = clock.now();
    let (outcome, ()) = tokio::join!(executor.execute(task), clock.advance(2 * DAY));
    assert_eq!(outcome.unwrap().parse::<u32>().unwrap(), 2);
    assert_eq!(clock.now().duration_since(before).unwrap(), 2 * DAY);
    executor.close().await;
}

#[tokio::test]
async fn a_handler_that_waits_for_something_else_is_given_a_chance() {
    let (clock, executor) = start();
    let clock = clock.patience(Duration::from_secs(10));
    let slow = TaskKind::new("reads").timeout(Duration::from_secs(1));
    let read = async |_: ()| {
        tokio::time::sleep(Duration::from_millis(30)).await;
        Ok::<_, TaskError>("read")
    };
    executor.register(slow, read).unwrap();
    let handle = executor.enqueue("reads", ()).await.unwrap();
    clock.advance(DAY).await;
    assert_eq!(handle.result().await.unwrap().to_string(), "read");
    executor.close().await;
}

#[tokio::test]
async fn limits_live_by_the_clock() {
    let clock = TestClock::new();
    let limiter = RateLimiter::new(1, HOUR).unwrap();
    let executor = TaskExecutor::builder().clock(&clock).rate_limiter(&limiter).build().unwrap();
    let diary = Diary::of(&clock);
    let writer = diary.clone();
    executor.register("note", move |_: ()| ready(Ok::<_, TaskError>(writer.note()))).unwrap();
    for _ in 0..4 {
        executor.enqueue("note", ()).await.unwrap();
    }
    clock.run_until_idle(&executor).await.unwrap();
    assert_eq!(diary.seconds(), [0, 3600, 7200, 10_800]);
    // Other code that takes from it waits by the same clock.
    let taken = tokio::join!(limiter.acquire(), clock.advance(HOUR)).0;
    taken.unwrap();
    assert!(!limiter.try_acquire());

    let breaker = CircuitBreaker::new();
    let other = TaskExecutor::builder().clock(&clock).circuit_breaker(&breaker).build().unwrap();
    breaker.open(Some(DAY));
    clock.advance(DAY - HOUR).await;
    assert_eq!(breaker.state(), "open");
    clock.advance(HOUR).await;
    assert_eq!(breaker.state(), "half-open");
    executor.close().await;
    other.close().await;
}

#[cfg(feature = "cron")]
#[tokio::test]
async fn a_schedule_fires_at_each_of_its_slots() {
    let (clock, executor) = start();
    let diary = Diary::of(&clock);
    let late = Arc::new(AtomicUsize::new(0));
    let (writer, delays) = (diary.clone(), late.clone());
    let kind = TaskKind::new("report").schedule("0 6 * * *");
    let report = move |_: (), context: TaskContext| {
        let slot = context.schedule().expect("a slot").clone();
        delays.fetch_add(slot.late.as_millis() as usize, Ordering::SeqCst);
        assert_eq!(slot.slot, writer.0.now());
        ready(Ok::<_, TaskError>(writer.note()))
    };
    executor.register(kind, report).unwrap();
    executor.start().await.unwrap();
    clock.advance(3 * DAY).await;
    assert_eq!(diary.seconds(), [6 * 3600, 30 * 3600, 54 * 3600]);
    assert_eq!(late.load(Ordering::SeqCst), 0);
    clock.run_until_idle(&executor).await.unwrap();
    assert_eq!(diary.seconds().len(), 3, "a schedule is no task that waits");
    executor.close().await;
}

#[tokio::test]
async fn what_will_never_run_is_told() {
    let (clock, executor) = start();
    executor.enqueue("nobody", ()).await.unwrap();
    let error = clock.run_until_idle(&executor).await.unwrap_err();
    assert_eq!(error.code(), "ERR_STUCK");
    assert_eq!(error.to_string(), "tasks are left and nothing will happen by itself: 1 waiting");
    executor.register("later", async |_: ()| Ok::<_, TaskError>(())).unwrap();
    executor.enqueue("later", ()).delay(1000 * DAY).await.unwrap();
    let error = clock.run_until_idle(&executor).await.unwrap_err();
    assert_eq!(error.to_string(), "tasks are left after a year: 1 scheduled, 1 waiting");
    executor.close().await;
    assert_eq!(clock.run_until_idle(&executor).await.unwrap_err().code(), "ERR_EXECUTOR_CLOSED");
}

#[tokio::test]
async fn closing_takes_its_time_by_itself() {
    let clock = TestClock::new();
    let settings = TaskExecutor::builder().grace_period(Duration::from_millis(200));
    let executor = settings.clock(&clock).build().unwrap();
    executor.register("hangs", async |_: ()| std::future::pending::<Result<(), TaskError>>().await).unwrap();
    let handle = executor.enqueue("hangs", ()).await.unwrap();
    clock.settle().await;
    executor.close().await;
    assert_eq!(handle.result().await.unwrap_err().code(), "ERR_EXECUTOR_CLOSED");
}

#[test]
fn a_store_has_a_time_of_its_own() {
    let clock = TestClock::new();
    for address in ["sqlite:never-made.db", "redis://127.0.0.1:1"] {
        let refused = TaskExecutor::builder().persistence(address).clock(&clock).build();
        let error = refused.expect_err("a store");
        assert_eq!(error.code(), "ERR_OPTION");
        assert!(error.to_string().starts_with("clock is for executors in memory"), "{error}");
    }
    assert!(TaskExecutor::builder().persistence("memory").clock(&clock).build().is_ok());
}
