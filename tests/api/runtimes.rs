//! Where handlers run, and what executors cost.

use std::future::Future;
use std::sync::Arc;
use std::task::{Context, Poll, Wake};
use std::time::{Duration, Instant};

use task::{RetryPolicy, Task, TaskContext, TaskError, TaskExecutor};
use tokio::runtime::{Builder, Handle, Runtime};

use super::{HANG, ends};

struct Unpark(std::thread::Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Waits on this thread, without any runtime.
pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    let waker = Arc::new(Unpark(std::thread::current())).into();
    let mut future = std::pin::pin!(future);
    let began = Instant::now();
    while began.elapsed() < HANG {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => std::thread::park_timeout(HANG),
        }
    }
    panic!("it does not end");
}

fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(1).thread_name("of-the-user").enable_all().build().unwrap()
}

fn thread_name() -> String {
    std::thread::current().name().unwrap_or_default().to_owned()
}

#[test]
fn without_a_runtime_handlers_run_on_threads_of_the_library() {
    let executor = TaskExecutor::with_retry(RetryPolicy::fixed(2, 1));
    let handler = async |context: TaskContext| {
        // Timers and all else of tokio are there.
        tokio::time::sleep(Duration::from_millis(1)).await;
        if context.attempt() == 1 { Err("again") } else { Ok(thread_name()) }
    };
    let output = block_on(executor.execute(Task::builder().handler(handler).build())).unwrap();
    assert_eq!(output.to_string(), "task-handler");

    executor.register("double", async |n: u32| Ok::<_, TaskError>(n * 2)).unwrap();
    let handle = block_on(executor.enqueue("double", 4).into_future()).unwrap();
    assert_eq!(block_on(handle.result()).unwrap().to_string(), "8");
    assert_eq!(block_on(handle.status()).unwrap().attempt, 1);
    block_on(executor.on_idle()).unwrap();
    assert_eq!(block_on(executor.counts()).unwrap().unfinished(), 0);

    // Made outside, awaited inside of a runtime that comes later.
    let task = Task::builder().handler(async { thread_name() }).build();
    assert_eq!(runtime().block_on(executor.execute(task)).unwrap().to_string(), "task-handler");
    block_on(executor.close());
}

#[test]
fn within_a_runtime_handlers_run_there() {
    let runtime = runtime();
    let task = || Task::builder().handler(async { thread_name() }).build();
    let inside = runtime.block_on(async { TaskExecutor::new() });
    assert_eq!(block_on(inside.execute(task())).unwrap().to_string(), "of-the-user");
    let chosen = TaskExecutor::builder().runtime(runtime.handle().clone()).build().unwrap();
    assert_eq!(block_on(chosen.execute(task())).unwrap().to_string(), "of-the-user");
}

#[test]
fn an_executor_ends_with_its_runtime() {
    let runtime = runtime();
    let executor = runtime.block_on(async { TaskExecutor::with_retry(RetryPolicy::fixed(9, 0)) });
    let (begun, has_begun) = std::sync::mpsc::channel();
    let endless = move || {
        begun.send(()).unwrap();
        std::future::pending::<()>()
    };
    let running = std::thread::spawn({
        let (executor, task) = (executor.clone(), Task::builder().handler(endless).build());
        move || block_on(executor.execute(task))
    });
    has_begun.recv_timeout(HANG).unwrap();
    drop(runtime);
    assert_eq!(running.join().unwrap().unwrap_err().code(), "ERR_EXECUTOR_CLOSED");
    let late = Task::builder().handler(async {}).build();
    assert_eq!(block_on(executor.execute(late)).unwrap_err().code(), "ERR_EXECUTOR_CLOSED");
}

#[test]
fn a_runtime_that_has_ended_before_the_first_task() {
    let runtime = runtime();
    let executor = TaskExecutor::builder().runtime(runtime.handle().clone()).build().unwrap();
    drop(runtime);
    let task = Task::builder().handler(async {}).build();
    assert_eq!(block_on(executor.execute(task)).unwrap_err().code(), "ERR_EXECUTOR_CLOSED");
}

#[test]
fn a_runtime_of_one_thread_is_enough() {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let executor = TaskExecutor::builder().concurrency(4).build().unwrap();
        let tasks = (0..100).map(|n| {
            let handler = async move {
                tokio::task::yield_now().await;
                n
            };
            Task::builder().handler(handler).build()
        });
        assert_eq!(ends(executor.execute_all(tasks.collect())).await.unwrap().len(), 100);
        ends(executor.close()).await;
    });
}

/// Threads of this process that belong to the library, whatever other tests do meanwhile.
#[cfg(target_os = "linux")]
fn threads() -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let names = tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok());
    names.filter(|name| name.starts_with("task-engine") || name.starts_with("task-handler")).count()
}

#[cfg(target_os = "linux")]
#[test]
fn many_executors_share_their_threads() {
    let work = || {
        let executor = TaskExecutor::new();
        let task = Task::builder().handler(async { 1 }).build();
        assert_eq!(block_on(executor.execute(task)).unwrap().to_string(), "1");
        executor
    };
    let held: Vec<_> = (0..100).map(|_| work()).collect();
    for n in 0..200 {
        let executor = work();
        if n % 2 == 0 {
            block_on(executor.close());
        }
    }
    // Two for the engines, and one a processor for handlers.
    let most = 2 + std::thread::available_parallelism().map_or(1, usize::from);
    assert!((3..=most).contains(&threads()), "{} threads, at most {most} were expected", threads());
    drop(held);
}

#[tokio::test]
async fn an_executor_that_is_dropped_leaves_no_task_behind() {
    let metrics = Handle::current().metrics();
    let before = metrics.num_alive_tasks();
    for _ in 0..50 {
        let executor = TaskExecutor::new();
        executor
            .register("endless", async |_: ()| std::future::pending::<Result<(), TaskError>>().await)
            .unwrap();
        ends(executor.enqueue("endless", ()).into_future()).await.unwrap();
    }
    super::until(|| metrics.num_alive_tasks() <= before).await;
}
