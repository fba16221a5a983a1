//! The end of an executor.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use task::{Task, TaskContext, TaskError, TaskExecutor, TaskOutput};

use super::{HANG, ends, until};

type Work = tokio::task::JoinHandle<Result<TaskOutput, TaskError>>;

/// A task that runs, on an executor with this grace period.
async fn running<F, Fut>(grace: Duration, handler: F) -> (TaskExecutor, Work)
where
    F: Fn(TaskContext) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = &'static str> + Send + 'static,
{
    let executor = TaskExecutor::builder().concurrency(1).grace_period(grace).build().unwrap();
    let runs = Arc::new(AtomicBool::new(false));
    let begun = runs.clone();
    let handler = move |context| {
        begun.store(true, Ordering::SeqCst);
        handler(context)
    };
    let task = Task::builder().handler(handler).build();
    let work = tokio::spawn({
        let executor = executor.clone();
        async move { executor.execute(task).await }
    });
    until(|| runs.load(Ordering::SeqCst)).await;
    (executor, work)
}

fn code<T>(ended: Result<T, TaskError>) -> String {
    match ended {
        Ok(_) => "it ended well".into(),
        Err(error) => error.code().into(),
    }
}

#[tokio::test]
async fn an_idle_executor_closes_at_once_and_twice() {
    let executor = TaskExecutor::builder().grace_period(HANG).build().unwrap();
    executor.register("kind", async |n: u32| Ok::<_, TaskError>(n)).unwrap();
    let handle = executor.enqueue("kind", 1).await.unwrap();
    ends(handle.result()).await.unwrap();
    let began = Instant::now();
    ends(async { tokio::join!(executor.close(), executor.close()) }).await;
    ends(executor.close()).await;
    assert!(began.elapsed() < HANG / 2, "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_closed_executor_refuses_everything() {
    let executor = TaskExecutor::new();
    let handle = executor.enqueue("nobody", ()).await.unwrap();
    ends(executor.close()).await;
    let task = || Task::builder().handler(async {}).build();
    let closed = [
        code(ends(executor.execute(task())).await),
        code(ends(executor.execute_all(vec![task(), task()])).await),
        code(ends(executor.enqueue("kind", 1).into_future()).await),
        code(executor.register("kind", async |n: u32| Ok::<_, TaskError>(n))),
        code(ends(executor.start()).await),
        code(ends(executor.get("id")).await),
        code(ends(executor.counts()).await),
        code(ends(handle.result()).await),
        code(ends(handle.status()).await),
        code(ends(handle.cancel()).await),
    ];
    assert!(closed.iter().all(|code| code == "ERR_EXECUTOR_CLOSED"), "{closed:?}");
    executor.pause();
    executor.resume();
    ends(executor.on_idle()).await.unwrap();
}

#[tokio::test]
async fn running_tasks_may_end_and_waiting_ones_are_refused() {
    let (open, gate) = tokio::sync::watch::channel(false);
    let handler = move |_| {
        let mut gate = gate.clone();
        async move {
            let _ = gate.wait_for(|open| *open).await;
            "ended"
        }
    };
    let (executor, work) = running(HANG, handler).await;
    let waiting = tokio::spawn({
        let executor = executor.clone();
        async move { executor.execute(Task::builder().handler(async {}).build()).await }
    });
    tokio::task::yield_now().await;
    let close = tokio::spawn({
        let executor = executor.clone();
        async move { executor.close().await }
    });
    assert_eq!(code(ends(waiting).await.unwrap()), "ERR_EXECUTOR_CLOSED");
    let late = Task::builder().handler(async {}).build();
    assert_eq!(code(ends(executor.execute(late)).await), "ERR_EXECUTOR_CLOSED");
    let began = Instant::now();
    open.send(true).unwrap();
    assert_eq!(ends(work).await.unwrap().unwrap().to_string(), "ended");
    ends(close).await.unwrap();
    assert!(began.elapsed() < HANG / 4, "it closes with the last task: {:?}", began.elapsed());
}

#[tokio::test]
async fn handlers_are_told_at_half_of_the_grace() {
    let handler = async |context: TaskContext| match context.stopped().await {
        TaskError::Closed => "told",
        _ => "told something else",
    };
    let (executor, work) = running(Duration::from_millis(100), handler).await;
    ends(executor.close()).await;
    assert_eq!(ends(work).await.unwrap().unwrap().to_string(), "told");
}

#[tokio::test]
async fn what_does_not_end_is_dropped_at_the_end_of_the_grace() {
    let (executor, work) = running(Duration::from_millis(50), async |_| std::future::pending().await).await;
    ends(executor.close()).await;
    assert_eq!(code(ends(work).await.unwrap()), "ERR_EXECUTOR_CLOSED");
}

#[tokio::test]
async fn stored_handlers_are_told_and_dropped_as_well() {
    let executor = TaskExecutor::builder().grace_period(Duration::from_millis(60)).build().unwrap();
    let (events, mut seen) = tokio::sync::mpsc::unbounded_channel();
    struct Tells(&'static str, tokio::sync::mpsc::UnboundedSender<&'static str>);
    impl Drop for Tells {
        fn drop(&mut self) {
            let _ = self.1.send(self.0);
        }
    }
    let handler = move |_: (), context: TaskContext| {
        let (begun, told) = (Tells("begun", events.clone()), Tells("told", events.clone()));
        let dropped = Tells("dropped", events.clone());
        async move {
            drop(begun);
            context.stopped().await;
            drop(told);
            std::future::pending::<()>().await;
            drop(dropped);
            Ok::<_, TaskError>(())
        }
    };
    executor.register("endless", handler).unwrap();
    let handle = executor.enqueue("endless", ()).await.unwrap();
    assert_eq!(ends(seen.recv()).await, Some("begun"));
    ends(executor.close()).await;
    assert_eq!(ends(seen.recv()).await, Some("told"));
    assert_eq!(ends(seen.recv()).await, Some("dropped"));
    assert_eq!(ends(seen.recv()).await, None, "a closed executor has let go of its handlers");
    assert_eq!(code(ends(handle.result()).await), "ERR_EXECUTOR_CLOSED");
}

#[tokio::test]
async fn a_handler_may_close_its_executor() {
    let executor = TaskExecutor::builder().grace_period(Duration::from_millis(50)).build().unwrap();
    let inner = executor.clone();
    let handler = move || {
        let inner = inner.clone();
        async move { inner.close().await }
    };
    // It waits for its own end, so it is given up when the grace is over.
    let ended = ends(executor.execute(Task::builder().handler(handler).build())).await;
    assert_eq!(code(ended), "ERR_EXECUTOR_CLOSED");
    ends(executor.close()).await;
}

#[tokio::test]
async fn a_close_that_nobody_waits_for_goes_on() {
    let executor = TaskExecutor::builder().grace_period(Duration::from_millis(1)).build().unwrap();
    tokio::select! {
        biased;
        () = executor.close() => {}
        () = std::future::ready(()) => {}
    }
    until(|| format!("{executor:?}").contains("closed: true")).await;
}

#[tokio::test]
async fn the_last_clone_to_go_ends_what_runs() {
    let dropped = Arc::new(AtomicBool::new(false));
    struct Flag(Arc<AtomicBool>);
    impl Drop for Flag {
        fn drop(&mut self) {
            self.0.store(true, Ordering::SeqCst);
        }
    }
    let executor = TaskExecutor::new();
    let begun = Arc::new(AtomicBool::new(false));
    let (flag, began) = (dropped.clone(), begun.clone());
    let handler = move |_: ()| {
        let flag = Flag(flag.clone());
        began.store(true, Ordering::SeqCst);
        async move {
            std::future::pending::<()>().await;
            drop(flag);
            Ok::<_, TaskError>(())
        }
    };
    executor.register("endless", handler).unwrap();
    let handle = executor.enqueue("endless", ()).await.unwrap();
    until(|| begun.load(Ordering::SeqCst)).await;
    drop(executor.clone());
    assert!(!dropped.load(Ordering::SeqCst), "a clone is left");
    drop(executor);
    assert_eq!(code(ends(handle.result()).await), "ERR_EXECUTOR_CLOSED");
    until(|| dropped.load(Ordering::SeqCst)).await;
}
