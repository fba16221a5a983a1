//! The whole engine on this store: what one executor enqueues another one runs, and the first hears of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use task::store::redis::{RedisOptions, RedisStore};
use task::{TaskContext, TaskError, TaskExecutor, TaskState};

use crate::block_on;
use crate::rig::Server;

async fn executor(server: &Server) -> TaskExecutor {
    let store = RedisStore::connect(&server.url, RedisOptions::default()).await.expect("the server is up");
    TaskExecutor::builder().concurrency(16).store(Arc::new(store)).build().expect("good settings")
}

async fn ends<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(30), work).await.expect("it ends")
}

#[test]
fn one_executor_enqueues_and_another_runs() {
    let server = Server::plain();
    block_on(async {
        let (producer, worker) = (executor(&server).await, executor(&server).await);
        worker.register("double", async |n: u64| Ok::<_, TaskError>(n * 2)).expect("a good name");
        ends(worker.start()).await.expect("it starts");
        let mut handles = Vec::new();
        for n in 0..800u64 {
            handles.push(ends(producer.enqueue("double", n).into_future()).await.expect("it is accepted"));
        }
        let outputs = ends(join_all(handles.iter().map(|handle| handle.result()))).await;
        for (n, output) in outputs.into_iter().enumerate() {
            assert_eq!(output.expect("it completes").parse::<usize>().expect("a number"), n * 2);
        }
        ends(worker.close()).await;
        ends(producer.close()).await;
    });
}

#[test]
fn a_cancellation_reaches_another_executor_soon() {
    let server = Server::plain();
    block_on(async {
        let (producer, worker) = (executor(&server).await, executor(&server).await);
        worker
            .register("wait", async |_: (), context: TaskContext| {
                while !context.cancelled() {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
                Ok::<_, TaskError>(())
            })
            .expect("a good name");
        ends(worker.start()).await.expect("it starts");
        let handle = ends(producer.enqueue("wait", ()).into_future()).await.expect("it is accepted");
        while ends(handle.status()).await.expect("it is known").state != TaskState::Running {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let began = Instant::now();
        ends(handle.cancel()).await.expect("it runs");
        assert!(ends(handle.result()).await.is_err());
        // A beat a second tells it; a busy machine gets some more.
        assert!(began.elapsed() < Duration::from_secs(4), "it took {:?}", began.elapsed());
        ends(worker.close()).await;
        ends(producer.close()).await;
    });
}

#[test]
fn a_crash_of_the_server_is_sat_out() {
    let mut server = Server::with(&["--appendonly", "yes"]);
    block_on(async {
        let worker = executor(&server).await;
        let runs = Arc::new(AtomicUsize::new(0));
        let counted = runs.clone();
        worker
            .register("step", move |n: u64| {
                counted.fetch_add(1, Ordering::SeqCst);
                async move {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                    Ok::<_, TaskError>(n)
                }
            })
            .expect("a good name");
        ends(worker.start()).await.expect("it starts");
        let mut handles = Vec::new();
        for n in 0..1000u64 {
            handles.push(ends(worker.enqueue("step", n).into_future()).await.expect("it is accepted"));
        }
        server.crash_and_restart(Duration::from_millis(500));
        for (n, handle) in handles.iter().enumerate() {
            let output = ends(handle.result()).await.expect("it completes");
            assert_eq!(output.parse::<usize>().expect("a number"), n);
        }
        assert_eq!(runs.load(Ordering::SeqCst), 1000, "the node lived on, so nothing ran twice");
        ends(worker.close()).await;
    });
}
