//! Namespaces of one private redis-server.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};

use task::store::Store;
use task::store::redis::{RedisOptions, RedisStore};
use task::time::{ManualClock, Millis};
use tokio::runtime::Runtime;

use super::Bench;
use super::rig::Server;
use super::verify::verify;

static SERVER: LazyLock<Server> = LazyLock::new(Server::plain);

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    runtime.expect("a runtime")
});

/// A namespace that nobody else uses; it goes when it is dropped.
struct Namespace {
    store: RedisStore,
    name: String,
}

pub fn redis(clock: Arc<ManualClock>, lease: Millis) -> Box<dyn Bench> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let name = format!("bench-{}", NEXT.fetch_add(1, Ordering::Relaxed));
    // A busy machine may be slow, and a world without faults must not have any.
    let options = RedisOptions { namespace: name.clone(), lease, timeout: 60_000, ..RedisOptions::default() };
    let store = RUNTIME.block_on(RedisStore::with_clock(&SERVER.url, options, clock));
    Box::new(Namespace { store: store.expect("the server is up"), name })
}

impl Bench for Namespace {
    fn store(&self) -> &dyn Store {
        &self.store
    }

    fn verify(&self) -> Result<(), String> {
        verify(&mut SERVER.connection(), &self.name)
    }

    fn transitions(&self) -> Option<Vec<u64>> {
        None
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let found = SERVER.command(&["KEYS", &format!("{{{}}}:*", self.name)]);
        let keys: Vec<String> = redis::from_redis_value(found).expect("keys are texts");
        let keys = keys.iter().map(String::as_str);
        SERVER.command(&["UNLINK", "none"].into_iter().chain(keys).collect::<Vec<_>>());
    }
}
