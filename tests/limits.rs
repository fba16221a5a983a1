//! What limits promise, on the stores that need no server.
#![cfg(feature = "sqlite")]

#[path = "limits/mod.rs"]
mod promises;

use std::sync::Arc;

use task::store::Store;
use task::store::memory::MemoryStore;
use task::store::open::{Durability, Options, open};

/// A folder that goes with its test.
struct Folder(std::path::PathBuf);

impl Folder {
    fn new() -> Self {
        let path = std::env::temp_dir().join(format!("task-limits-{}", task::task::TaskId::new()));
        std::fs::create_dir(&path).expect("there is room");
        Self(path)
    }

    /// A store on the file of this folder, as a process of its own would have it.
    fn store(&self) -> Arc<dyn Store> {
        let address = format!("sqlite:{}", self.0.join("tasks.db").display());
        open(&address, &Options { durability: Durability::Relaxed, ..Options::default() }).expect("it opens")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[tokio::test]
async fn a_shared_rate_holds_for_four_executors_on_memory() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    promises::a_shared_rate_holds_for_four([store.clone(), store.clone(), store.clone(), store]).await;
}

#[tokio::test]
async fn a_shared_rate_holds_for_four_executors_on_a_file() {
    let folder = Folder::new();
    promises::a_shared_rate_holds_for_four(std::array::from_fn(|_| folder.store())).await;
}

#[tokio::test]
async fn a_dead_upstream_is_left_alone_on_memory() {
    promises::a_dead_upstream_is_left_alone(Arc::new(MemoryStore::new())).await;
}

#[tokio::test]
async fn a_dead_upstream_is_left_alone_on_a_file() {
    let folder = Folder::new();
    promises::a_dead_upstream_is_left_alone(folder.store()).await;
}

#[tokio::test]
async fn a_breaker_is_shared_by_name_on_memory() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    promises::a_breaker_is_shared_by_name([store.clone(), store]).await;
}

#[tokio::test]
async fn a_breaker_is_shared_by_name_on_a_file() {
    let folder = Folder::new();
    promises::a_breaker_is_shared_by_name(std::array::from_fn(|_| folder.store())).await;
}
