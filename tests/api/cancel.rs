//! Tasks that nobody wants any more.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use task::{RetryPolicy, Task, TaskContext, TaskExecutor};
use tokio::sync::oneshot;

use super::{HANG, ends, until};

fn executor() -> TaskExecutor {
    TaskExecutor::builder().concurrency(1).cancel_grace(HANG).build().unwrap()
}

/// Tells when it goes.
struct Gone(Option<oneshot::Sender<()>>);

impl Drop for Gone {
    fn drop(&mut self) {
        let _ = self.0.take().map(|sender| sender.send(()));
    }
}

fn gone() -> (Gone, oneshot::Receiver<()>) {
    let (sender, receiver) = oneshot::channel();
    (Gone(Some(sender)), receiver)
}

/// Executes a task and stops waiting once it runs.
async fn abandon(executor: &TaskExecutor, task: Task, runs: &AtomicBool) {
    let work = executor.execute(task);
    tokio::select! {
        ended = work => panic!("it has ended: {ended:?}"),
        () = until(|| runs.load(Ordering::SeqCst)) => {}
    }
}

#[tokio::test]
async fn a_waiting_task_is_gone_at_once() {
    let executor = executor();
    executor.pause();
    let ran = Arc::new(AtomicBool::new(false));
    let task = {
        let ran = ran.clone();
        Task::builder().handler(async move { ran.store(true, Ordering::SeqCst) }).build()
    };
    assert!(tokio::time::timeout(Duration::from_millis(10), executor.execute(task)).await.is_err());
    executor.resume();
    ends(executor.on_idle()).await.unwrap();
    let task = Task::builder().handler(async { "next" }).build();
    assert_eq!(ends(executor.execute(task)).await.unwrap().to_string(), "next");
    assert!(!ran.load(Ordering::SeqCst));
}

#[tokio::test]
async fn a_running_future_is_dropped_with_its_execute() {
    let executor = executor();
    let (flag, dropped) = gone();
    let runs = Arc::new(AtomicBool::new(false));
    let begun = runs.clone();
    let handler = async move {
        begun.store(true, Ordering::SeqCst);
        std::future::pending::<()>().await;
        drop(flag);
    };
    abandon(&executor, Task::builder().handler(handler).build(), &runs).await;
    ends(dropped).await.unwrap();
    // The slot is free, long before any grace is over.
    let task = Task::builder().handler(async { "next" }).build();
    assert_eq!(ends(executor.execute(task)).await.unwrap().to_string(), "next");
}

#[tokio::test]
async fn a_handler_with_a_context_may_end_in_good_order() {
    let executor = executor();
    let runs = Arc::new(AtomicBool::new(false));
    let (tell, told) = oneshot::channel();
    let tell = Arc::new(std::sync::Mutex::new(Some(tell)));
    let begun = runs.clone();
    let handler = move |context: TaskContext| {
        let (begun, tell) = (begun.clone(), tell.clone());
        async move {
            begun.store(true, Ordering::SeqCst);
            let reason = context.stopped().await;
            tokio::time::sleep(Duration::from_millis(5)).await;
            let tell = tell.lock().unwrap().take().unwrap();
            tell.send((reason, context.cancelled())).unwrap();
            Err::<(), _>("whatever it returns, it is not run again")
        }
    };
    let task = Task::builder().retry(RetryPolicy::fixed(9, 0)).handler(handler).build();
    abandon(&executor, task, &runs).await;
    let (reason, cancelled) = ends(told).await.unwrap();
    assert_eq!((reason.code(), cancelled), ("ERR_TASK_CANCELLED", true));
    ends(executor.on_idle()).await.unwrap();
}

#[tokio::test]
async fn one_that_does_not_heed_is_dropped_after_the_grace() {
    let grace = Duration::from_millis(20);
    let executor = TaskExecutor::builder().concurrency(1).cancel_grace(grace).build().unwrap();
    let runs = Arc::new(AtomicBool::new(false));
    let (flag, dropped) = gone();
    let flag = Arc::new(std::sync::Mutex::new(Some(flag)));
    let begun = runs.clone();
    let handler = move |_: TaskContext| {
        let (begun, flag) = (begun.clone(), flag.lock().unwrap().take());
        async move {
            begun.store(true, Ordering::SeqCst);
            std::future::pending::<()>().await;
            drop(flag);
        }
    };
    abandon(&executor, Task::builder().handler(handler).build(), &runs).await;
    ends(dropped).await.unwrap();
    let task = Task::builder().handler(async { "next" }).build();
    assert_eq!(ends(executor.execute(task)).await.unwrap().to_string(), "next");
}

#[tokio::test]
async fn a_task_between_two_attempts_is_gone_at_once() {
    let executor = executor();
    let calls = Arc::new(AtomicU32::new(0));
    let counted = calls.clone();
    let handler = move || {
        counted.fetch_add(1, Ordering::SeqCst);
        async { Err::<(), _>("again") }
    };
    let task = Task::builder().retry(RetryPolicy::fixed(2, 20)).handler(handler).build();
    {
        let work = executor.execute(task);
        tokio::select! {
            ended = work => assert!(ended.is_err()),
            () = until(|| calls.load(Ordering::SeqCst) == 1) => {}
        }
    }
    ends(executor.on_idle()).await.unwrap();
    assert!(calls.load(Ordering::SeqCst) <= 2);
}

#[tokio::test]
async fn all_tasks_of_a_dropped_execute_all_are_cancelled() {
    let executor = TaskExecutor::builder().concurrency(2).build().unwrap();
    let begun = Arc::new(AtomicU32::new(0));
    let task = |_| {
        let begun = begun.clone();
        let handler = async move {
            begun.fetch_add(1, Ordering::SeqCst);
            std::future::pending::<()>().await;
        };
        Task::builder().handler(handler).build()
    };
    let tasks = (0..50).map(task).collect();
    tokio::select! {
        _ = executor.execute_all(tasks) => panic!("they never end"),
        () = until(|| begun.load(Ordering::SeqCst) == 2) => {}
    }
    ends(executor.on_idle()).await.unwrap();
    assert_eq!(begun.load(Ordering::SeqCst), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storm_of_cancellations_leaves_nothing_behind() {
    let executor = TaskExecutor::builder().concurrency(8).cancel_grace(Duration::ZERO).build().unwrap();
    let storm = (0..2000u64).map(|n| {
        let executor = executor.clone();
        tokio::spawn(async move {
            let handler = move |context: TaskContext| async move {
                match n % 4 {
                    0 => tokio::task::yield_now().await,
                    1 => tokio::time::sleep(Duration::from_micros(n % 500)).await,
                    2 => drop(context.stopped().await),
                    _ => std::future::pending().await,
                }
                if n % 8 < 4 { Ok(n) } else { Err("again") }
            };
            let policy = RetryPolicy::fixed(2, 0);
            let task =
                Task::builder().timeout(Duration::from_millis(3)).retry(policy).handler(handler).build();
            let patience = Duration::from_micros(n % 7000);
            let ended = tokio::time::timeout(patience, executor.execute(task)).await;
            if let Ok(Ok(output)) = ended {
                assert_eq!(output.parse::<u64>().unwrap(), n);
            }
        })
    });
    let storm: Vec<_> = storm.collect();
    for task in storm {
        ends(task).await.unwrap();
    }
    ends(executor.on_idle()).await.unwrap();
    let tasks = (0..100).map(|n| Task::builder().handler(async move { n }).build()).collect();
    assert_eq!(ends(executor.execute_all(tasks)).await.unwrap().len(), 100, "all slots are free");
}
