//! Attempts that take too long.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use task::{RetryPolicy, Task, TaskContext, TaskError, TaskExecutor};

use super::{ends, until};

const SHORT: Duration = Duration::from_millis(30);

/// Sets its flag when it goes.
struct Flag(Arc<AtomicBool>);

impl Drop for Flag {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

#[tokio::test]
async fn an_attempt_that_takes_too_long_is_dropped() {
    let executor = TaskExecutor::builder().timeout(SHORT).build().unwrap();
    let dropped = Arc::new(AtomicBool::new(false));
    let flag = Flag(dropped.clone());
    let task = Task::builder()
        .handler(async move {
            std::future::pending::<()>().await;
            drop(flag);
        })
        .build();
    let began = Instant::now();
    let error = ends(executor.execute(task)).await.unwrap_err();
    assert!(began.elapsed() >= SHORT, "never early: {:?}", began.elapsed());
    assert!(matches!(error, TaskError::Timeout(30)));
    assert_eq!(error.code(), "ERR_TASK_TIMEOUT");
    until(|| dropped.load(Ordering::SeqCst)).await;
}

#[tokio::test]
async fn the_next_attempt_may_be_faster() {
    let executor = TaskExecutor::with_retry(RetryPolicy::fixed(2, 0));
    let handler = async |context: TaskContext| {
        if context.attempt() == 1 {
            std::future::pending::<()>().await;
        }
        context.attempt()
    };
    let task = Task::builder().timeout(SHORT).handler(handler).build();
    assert_eq!(ends(executor.execute(task)).await.unwrap().to_string(), "2");
}

#[tokio::test]
async fn the_time_of_an_attempt_begins_with_the_attempt() {
    let executor = TaskExecutor::builder().concurrency(1).build().unwrap();
    let task = |_| {
        let sleep = async || tokio::time::sleep(Duration::from_millis(60)).await;
        Task::builder().timeout(super::HANG).handler(sleep).build()
    };
    assert_eq!(ends(executor.execute_all((0..4).map(task).collect())).await.unwrap().len(), 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handler_that_blocks_its_thread_is_left_behind_on_time() {
    let executor = TaskExecutor::builder().concurrency(1).timeout(SHORT).build().unwrap();
    let (release, blocked) = std::sync::mpsc::channel::<()>();
    let late = Arc::new(AtomicBool::new(false));
    let flag = Flag(late.clone());
    let task = Task::builder()
        .handler(async move {
            let _flag = flag;
            // Never comes to an await: nothing can stop it from outside.
            blocked.recv().is_ok()
        })
        .build();
    let error = ends(executor.execute(task)).await.unwrap_err();
    assert_eq!(error.code(), "ERR_TASK_TIMEOUT");
    assert!(!late.load(Ordering::SeqCst), "it still blocks");
    let task = Task::builder().handler(async { "the slot is free" }).build();
    assert_eq!(ends(executor.execute(task)).await.unwrap().to_string(), "the slot is free");
    release.send(()).unwrap();
    until(|| late.load(Ordering::SeqCst)).await;
    let task = Task::builder().handler(async { "nothing came of it" }).build();
    assert_eq!(ends(executor.execute(task)).await.unwrap().to_string(), "nothing came of it");
}

#[test]
fn all_threads_blocked_on_the_threads_of_this_library() {
    let executor = TaskExecutor::builder().concurrency(256).timeout(SHORT).build().unwrap();
    let (release, blocked) = std::sync::mpsc::channel::<()>();
    let blocked = Arc::new(std::sync::Mutex::new(blocked));
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let tasks = (0..threads).map(|_| {
        let blocked = blocked.clone();
        Task::builder().handler(async move { blocked.lock().is_ok_and(|gate| gate.recv().is_ok()) }).build()
    });
    let error = super::runtimes::block_on(executor.execute_all(tasks.collect())).unwrap_err();
    assert_eq!(error.code(), "ERR_TASK_TIMEOUT", "the engine has threads of its own");
    drop(release);
}

#[tokio::test]
async fn handlers_that_await_are_never_left_behind() {
    let executor = TaskExecutor::builder().concurrency(1).timeout(Duration::from_millis(1)).build().unwrap();
    // More than may be left behind before nothing new starts.
    for _ in 0..50 {
        let task = Task::builder().handler(std::future::pending::<()>()).build();
        assert_eq!(ends(executor.execute(task)).await.unwrap_err().code(), "ERR_TASK_TIMEOUT");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 20)]
async fn too_many_left_behind_and_nothing_new_starts() {
    let executor = TaskExecutor::builder().concurrency(1).build().unwrap();
    let mut blocked = Vec::new();
    // 16 may be left behind.
    for _ in 0..17 {
        let (release, gate) = std::sync::mpsc::channel::<()>();
        blocked.push(release);
        let task = Task::builder().timeout(SHORT).handler(async move { gate.recv().is_ok() }).build();
        assert_eq!(ends(executor.execute(task)).await.unwrap_err().code(), "ERR_TASK_TIMEOUT");
    }
    let next = executor.execute(Task::builder().handler(async { "in the end" }).build());
    let mut next = std::pin::pin!(next);
    tokio::select! {
        _ = &mut next => panic!("it has started"),
        () = tokio::time::sleep(SHORT) => {}
    }
    blocked.pop();
    assert_eq!(ends(next).await.unwrap().to_string(), "in the end");
}

#[tokio::test]
async fn others_who_work_for_an_attempt_are_told_that_it_is_over() {
    let executor = TaskExecutor::builder().timeout(SHORT).build().unwrap();
    let (tell, told) = tokio::sync::oneshot::channel();
    let tell = Arc::new(std::sync::Mutex::new(Some(tell)));
    let handler = move |context: TaskContext| {
        let tell = tell.lock().unwrap().take().unwrap();
        let helper = context.clone();
        tokio::spawn(async move { tell.send((helper.stopped().await, helper.cancelled())) });
        async move { context.stopped().await.code().to_owned() }
    };
    let error = ends(executor.execute(Task::builder().handler(handler).build())).await.unwrap_err();
    assert_eq!(error.code(), "ERR_TASK_TIMEOUT");
    let (reason, cancelled) = ends(told).await.unwrap();
    assert!(matches!(reason, TaskError::Timeout(30)) && cancelled);
}
