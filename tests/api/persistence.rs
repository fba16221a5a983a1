//! Executors whose tasks outlive them: in a file.

use std::path::PathBuf;

use task::{RetryPolicy, TaskError, TaskExecutor, TaskKind, TaskState};

use super::ends;

/// A folder that goes with its test.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        let path = std::env::temp_dir().join(format!("task-api-{}", task::task::TaskId::new()));
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn address(&self) -> String {
        format!("sqlite:{}", self.0.join("tasks.db").display())
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[tokio::test]
async fn what_was_enqueued_outlives_its_executor() {
    let folder = Folder::new();
    let first = TaskExecutor::with_persistence(folder.address()).unwrap();
    let id = ends(first.enqueue("double", 21).into_future()).await.unwrap().id().to_owned();
    ends(first.close()).await;
    let second = TaskExecutor::builder().persistence(folder.address()).relaxed_durability().build().unwrap();
    second.register("double", async |n: u32| Ok::<_, TaskError>(n * 2)).unwrap();
    let info = ends(second.get(&id)).await.unwrap().unwrap();
    assert_eq!(info.state, TaskState::Waiting, "nothing runs before the start");
    ends(second.start()).await.unwrap();
    ends(second.on_idle()).await.unwrap();
    let info = ends(second.get(&id)).await.unwrap().unwrap();
    assert_eq!((info.state, info.output.unwrap().to_string().as_str()), (TaskState::Completed, "42"));
    ends(second.close()).await;
}

#[tokio::test]
async fn a_retry_goes_on_after_a_restart() {
    let folder = Folder::new();
    let kind = || TaskKind::new("flaky").retry(RetryPolicy::fixed(3, 200));
    let first = TaskExecutor::with_persistence(folder.address()).unwrap();
    first.register(kind(), async |_: ()| Err::<(), TaskError>("not yet".into())).unwrap();
    ends(first.start()).await.unwrap();
    let handle = ends(first.enqueue("flaky", ()).into_future()).await.unwrap();
    let id = handle.id().to_owned();
    ends(async {
        while handle.status().await.unwrap().errors.is_empty() {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    })
    .await;
    ends(first.close()).await;
    let second = TaskExecutor::with_persistence(folder.address()).unwrap();
    second.register(kind(), async |_: ()| Ok::<_, TaskError>("now")).unwrap();
    ends(second.start()).await.unwrap();
    ends(second.on_idle()).await.unwrap();
    let info = ends(second.get(&id)).await.unwrap().unwrap();
    assert_eq!(info.output.unwrap().to_string(), "now");
    assert!(info.attempt >= 2 && !info.errors.is_empty());
}

#[tokio::test]
async fn a_producer_starts_without_working() {
    let folder = Folder::new();
    let none: [&str; 0] = [];
    let producer = TaskExecutor::builder().persistence(folder.address()).queues(none).build().unwrap();
    producer.register("double", async |n: u32| Ok::<_, TaskError>(n * 2)).unwrap();
    ends(producer.start()).await.unwrap();
    let handle = ends(producer.enqueue("double", 2).into_future()).await.unwrap();
    let worker = TaskExecutor::with_persistence(folder.address()).unwrap();
    assert_eq!(ends(handle.status()).await.unwrap().state, TaskState::Waiting);
    worker.register("double", async |n: u32| Ok::<_, TaskError>(n * 2)).unwrap();
    ends(worker.start()).await.unwrap();
    assert_eq!(ends(handle.result()).await.unwrap().to_string(), "4");
}

#[tokio::test]
async fn what_cannot_be_a_store_is_said_at_once() {
    for address in ["postgres://host", "sqlite:", "redis://host:no-port", "tasks.db"] {
        assert_eq!(TaskExecutor::with_persistence(address).unwrap_err().code(), "ERR_OPTION", "{address}");
    }
    let both = TaskExecutor::builder()
        .persistence("memory")
        .store(std::sync::Arc::new(task::store::memory::MemoryStore::new()));
    assert_eq!(both.build().unwrap_err().code(), "ERR_OPTION");
    let short = TaskExecutor::builder().lease(std::time::Duration::from_millis(999));
    assert_eq!(short.build().unwrap_err().code(), "ERR_OPTION");
    let missing = TaskExecutor::with_persistence("sqlite:/no/such/folder/tasks.db").unwrap();
    assert_eq!(ends(missing.start()).await.unwrap_err().code(), "ERR_STORE");
    assert_eq!(ends(missing.enqueue("a", 1).into_future()).await.unwrap_err().code(), "ERR_STORE");
    ends(missing.close()).await;
}
