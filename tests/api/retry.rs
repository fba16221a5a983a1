//! Attempts: how many, how long between them, and what ends them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use task::{RetryPolicy, Task, TaskContext, TaskError, TaskExecutor};

use super::ends;

/// A handler that fails, and how often it was called.
fn failing(error: impl Fn() -> TaskError + Send + Sync + 'static) -> (TaskHandler, Arc<AtomicU32>) {
    let calls = Arc::new(AtomicU32::new(0));
    let counted = calls.clone();
    let handler = move |_: TaskContext| {
        counted.fetch_add(1, Ordering::SeqCst);
        std::future::ready(Err::<(), _>(error()))
    };
    (Box::new(handler), calls)
}

type TaskHandler = Box<dyn Fn(TaskContext) -> std::future::Ready<Result<(), TaskError>> + Send + Sync>;

#[tokio::test]
async fn attempts_count_every_run() {
    for attempts in [1, 2, 5] {
        let executor = TaskExecutor::with_retry(RetryPolicy::fixed(attempts, 0));
        let (handler, calls) = failing(|| TaskError::new("no"));
        let error = ends(executor.execute(Task::builder().handler(handler).build())).await.unwrap_err();
        assert_eq!(error.to_string(), "Error: no");
        assert_eq!(calls.load(Ordering::SeqCst), attempts);
    }
}

#[tokio::test]
async fn a_later_attempt_may_succeed() {
    let executor = TaskExecutor::new();
    let handler = async |context: TaskContext| match (context.attempt(), context.max_attempts()) {
        (3, 4) => Ok("the third"),
        (attempt, _) => Err(format!("attempt {attempt}")),
    };
    let task = Task::builder().retry(RetryPolicy::fixed(4, 1)).handler(handler).build();
    assert_eq!(ends(executor.execute(task)).await.unwrap().to_string(), "the third");
}

#[tokio::test]
async fn the_policy_of_the_task_goes_before_that_of_the_executor() {
    let executor = TaskExecutor::with_retry(RetryPolicy::fixed(9, 0));
    let (handler, calls) = failing(|| TaskError::new("no"));
    let task = Task::builder().retry(RetryPolicy::none()).handler(handler).build();
    assert!(ends(executor.execute(task)).await.is_err());
    assert_eq!(calls.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn delays_are_kept() {
    let executor = TaskExecutor::with_retry(RetryPolicy::list([30, 50]));
    let (handler, calls) = failing(|| TaskError::new("no"));
    let began = Instant::now();
    assert!(ends(executor.execute(Task::builder().handler(handler).build())).await.is_err());
    assert_eq!(calls.load(Ordering::SeqCst), 3);
    assert!(began.elapsed() >= Duration::from_millis(80), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_waiting_retry_holds_no_slot() {
    let executor = TaskExecutor::builder().concurrency(1).build().unwrap();
    let handler = async |context: TaskContext| match context.attempt() {
        1 => Err("comes again in an hour"),
        _ => Ok(()),
    };
    let task = Task::builder().retry(RetryPolicy::fixed(2, 3_600_000)).handler(handler).build();
    let first = tokio::spawn({
        let executor = executor.clone();
        async move { executor.execute(task).await }
    });
    let second = Task::builder().handler(async { "meanwhile" }).build();
    tokio::task::yield_now().await;
    assert_eq!(ends(executor.execute(second)).await.unwrap().to_string(), "meanwhile");
    first.abort();
}

#[tokio::test]
async fn fatal_errors_are_the_last() {
    let executor = TaskExecutor::with_retry(RetryPolicy::fixed(5, 0));
    let fatal: [fn() -> TaskError; 3] = [
        || TaskError::fatal("never"),
        || TaskError::Expired,
        || TaskError::fatal(std::io::Error::other("never")),
    ];
    for error in fatal {
        let (handler, calls) = failing(error);
        let ended = ends(executor.execute(Task::builder().handler(handler).build())).await.unwrap_err();
        assert_eq!(ended.to_string(), error().to_string());
        assert_eq!(calls.load(Ordering::SeqCst), 1);
    }
}

#[tokio::test]
async fn a_handler_may_name_the_delay() {
    let executor = TaskExecutor::with_retry(RetryPolicy::fixed(2, 3_600_000));
    let (handler, calls) = failing(|| TaskError::retry_after(Duration::from_millis(5), "too many requests"));
    let error = ends(executor.execute(Task::builder().handler(handler).build())).await.unwrap_err();
    assert_eq!((error.to_string().as_str(), error.is_retryable()), ("Error: too many requests", true));
    assert_eq!(calls.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_bare_future_runs_once_and_says_so() {
    let executor = TaskExecutor::with_retry(RetryPolicy::fixed(3, 0));
    let missing = async { Err::<(), _>(std::io::Error::from(std::io::ErrorKind::NotFound)) };
    let error = ends(executor.execute(Task::builder().handler(missing).build())).await.unwrap_err();
    assert_eq!(error.code(), "ERR_TASK_FAILED");
    assert_eq!(error.downcast_ref::<std::io::Error>().unwrap().kind(), std::io::ErrorKind::NotFound);
    let text = error.to_string();
    assert!(text.contains("entity not found") && text.contains("a bare future, which runs once"), "{text}");

    // No note where nothing was withheld: it is fatal, or there is no policy.
    let fatal = async { Err::<(), _>(TaskError::fatal("never")) };
    let error = ends(executor.execute(Task::builder().handler(fatal).build())).await.unwrap_err();
    assert_eq!(error.to_string(), "Error: never");
    let plain = Task::builder().retry(RetryPolicy::none()).handler(async { Err::<(), _>("plain") }).build();
    assert_eq!(ends(executor.execute(plain)).await.unwrap_err().to_string(), "Error: plain");
}

#[tokio::test]
async fn any_number_of_policies() {
    let executor = TaskExecutor::builder().concurrency(64).build().unwrap();
    let tasks = (0..2000).map(|n| {
        let handler = async |context: TaskContext| match context.attempt() {
            1 => Err("again"),
            attempt => Ok(attempt),
        };
        Task::builder().retry(RetryPolicy::fixed(2 + n, 0)).handler(handler).build()
    });
    let outputs = ends(executor.execute_all(tasks.collect())).await.unwrap();
    assert!(outputs.iter().all(|output| output.to_string() == "2"));
}
