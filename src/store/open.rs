//! From the address of a store to the store.
//!
//! An address is checked at once; what it names is opened by the first call that needs it, and every call made
//! before then waits for that. A call that cannot open it fails, and the next one tries again: a folder that was
//! missing may be there by then.

use std::future::ready;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::{Notify, OnceCell};

use super::memory::MemoryStore;
use super::{
    Advance, Amend, Amended, Answer, Cell, Counts, Due, Found, Node, NodeId, Page, Pulse, Push, Pushed,
    Query, Refusal, Retention, Store, StoreError, Swap, Target, Turn,
};
use crate::task::{Claimed, Name, TaskId};
use crate::time::Millis;

/// What may stand where a store is named.
const ALLOWED: &str =
    "\"memory\", \"sqlite\", \"sqlite:<path of a file>\", \"redis://<address>\", \"rediss://<address>\"";
/// The file that is meant where none is named, in the working directory.
const FILE: &str = "tasks.db";

/// What a power cut may take of a store on this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Durability {
    /// Nothing that was answered.
    #[default]
    Strict,
    /// What was answered in the last half second.
    Relaxed,
}

/// How a store is used.
#[derive(Clone, Debug)]
pub struct Options {
    /// What a power cut may take.
    pub durability: Durability,
    /// How long a node may stay silent before its tasks are given to others.
    pub lease: Millis,
}

impl Default for Options {
    fn default() -> Self {
        Self { durability: Durability::Strict, lease: 30_000 }
    }
}

/// The store at this address: `memory`, `sqlite` (the file `tasks.db` in the working directory) or
/// `sqlite:<path>`.
///
/// # Errors
/// `Address` for anything else, and for a store that this build does not have. What can go wrong with the store
/// itself is the answer to its first call.
pub fn open(address: &str, options: &Options) -> Result<Arc<dyn Store>, StoreError> {
    let (scheme, rest) = address.split_once(':').unwrap_or((address, ""));
    match scheme {
        "memory" if rest.is_empty() => Ok(Arc::new(MemoryStore::new())),
        "sqlite" => sqlite(file(address, rest)?, options),
        // The rest may hold a password, and is never shown.
        "redis" | "rediss" => redis(address.to_owned(), options),
        _ => Err(StoreError::Address(format!("{scheme:?} is no store; allowed are {ALLOWED}").into())),
    }
}

/// It outlives the process.
pub fn is_durable(address: &str) -> bool {
    address != "memory"
}

// Absolute, since the working directory may be another one when it is opened.
fn file(address: &str, rest: &str) -> Result<PathBuf, StoreError> {
    let wrong =
        |what: &str| StoreError::Address(format!("{what}; got {address:?}, allowed are {ALLOWED}").into());
    let path = match rest {
        "" if address.contains(':') => return Err(wrong("the path of the file is missing")),
        "" => FILE,
        ":memory:" => return Err(wrong("a store in memory is called \"memory\"")),
        _ if rest.contains('\0') => return Err(wrong("no file has a name like that")),
        path => path,
    };
    std::path::absolute(path).map_err(|error| StoreError::Address(format!("{rest:?}: {error}").into()))
}

#[cfg(not(all(feature = "sqlite", feature = "redis")))]
fn missing(what: &str, feature: &str) -> StoreError {
    StoreError::Address(format!("this build is without {what}: it needs the feature `{feature}`").into())
}

#[cfg(not(feature = "sqlite"))]
fn sqlite(_: PathBuf, _: &Options) -> Result<Arc<dyn Store>, StoreError> {
    Err(missing("SQLite", "sqlite"))
}

#[cfg(feature = "sqlite")]
fn sqlite(path: PathBuf, options: &Options) -> Result<Arc<dyn Store>, StoreError> {
    use super::sqlite::{self, SqliteStore};
    let durability = match options.durability {
        Durability::Strict => sqlite::Durability::Strict,
        Durability::Relaxed => sqlite::Durability::Relaxed,
    };
    let options = sqlite::Options { durability, lease: options.lease };
    let opener: Opener = Box::new(move || {
        let (path, options) = (path.clone(), options.clone());
        Box::pin(async move {
            let opened = tokio::task::spawn_blocking(move || SqliteStore::open(path, options)).await;
            let failed = |_| StoreError::Failed("it failed to open".into());
            Ok(Arc::new(opened.map_err(failed)??) as Arc<dyn Store>)
        })
    });
    Ok(Arc::new(Lazy { opener, opened: OnceCell::new(), ready: Notify::new() }))
}

#[cfg(not(feature = "redis"))]
fn redis(_: String, _: &Options) -> Result<Arc<dyn Store>, StoreError> {
    Err(missing("Redis", "redis"))
}

#[cfg(feature = "redis")]
fn redis(url: String, options: &Options) -> Result<Arc<dyn Store>, StoreError> {
    use super::redis::{RedisOptions, RedisStore};
    RedisStore::check(&url).map_err(|error| StoreError::Address(error.to_string().into()))?;
    let options = RedisOptions { lease: options.lease, ..RedisOptions::default() };
    let opener: Opener = Box::new(move || {
        let (url, options) = (url.clone(), options.clone());
        Box::pin(async move { Ok(Arc::new(RedisStore::connect(&url, options).await?) as Arc<dyn Store>) })
    });
    Ok(Arc::new(Lazy { opener, opened: OnceCell::new(), ready: Notify::new() }))
}

type Opener = Box<dyn Fn() -> Answer<'static, Arc<dyn Store>> + Send + Sync>;

/// A store that is opened when it is first needed.
struct Lazy {
    opener: Opener,
    opened: OnceCell<Arc<dyn Store>>,
    ready: Notify,
}

impl Lazy {
    async fn store(&self) -> Result<&Arc<dyn Store>, StoreError> {
        let opened = self.opened.get_or_try_init(&self.opener).await;
        self.ready.notify_waiters();
        // Whoever asks first should know at once what is wrong, and not after many attempts.
        opened.map_err(|error| match error {
            StoreError::Unreachable(text) => {
                StoreError::Failed(format!("it cannot be opened: {text}").into())
            }
            error => error,
        })
    }

    /// The store, once somebody has opened it.
    async fn opened(&self) -> &Arc<dyn Store> {
        loop {
            let mut ready = std::pin::pin!(self.ready.notified());
            ready.as_mut().enable();
            if let Some(store) = self.opened.get() {
                return store;
            }
            ready.await;
        }
    }

    fn pass<'a, T: Send + 'a>(
        &'a self,
        call: impl FnOnce(&'a Arc<dyn Store>) -> Answer<'a, T> + Send + 'a,
    ) -> Answer<'a, T> {
        match self.opened.get() {
            Some(store) => call(store),
            None => Box::pin(async move { call(self.store().await?).await }),
        }
    }
}

impl Store for Lazy {
    fn push(&self, pushes: Arc<[Push]>) -> Answer<'_, Vec<Result<Vec<Pushed>, Refusal>>> {
        self.pass(move |store| store.push(pushes))
    }
    fn advance(&self, step: Arc<Advance>) -> Answer<'_, Arc<Turn>> {
        self.pass(move |store| store.advance(step))
    }
    fn orphans(&self, nodes: Vec<NodeId>, max: usize) -> Answer<'_, Vec<Claimed>> {
        self.pass(move |store| store.orphans(nodes, max))
    }
    fn due(&self, max: usize) -> Answer<'_, Due> {
        self.pass(move |store| store.due(max))
    }
    fn amend(&self, target: Target, change: Amend) -> Answer<'_, Amended> {
        self.pass(move |store| store.amend(target, change))
    }
    fn get(&self, ids: Vec<TaskId>) -> Answer<'_, Found> {
        self.pass(move |store| store.get(ids))
    }
    fn list(&self, query: Query) -> Answer<'_, Page> {
        self.pass(move |store| store.list(query))
    }
    fn counts(&self, queue: Option<Name>) -> Answer<'_, Counts> {
        self.pass(move |store| store.counts(queue))
    }
    fn prune(&self, limits: Retention, max: usize) -> Answer<'_, usize> {
        self.pass(move |store| store.prune(limits, max))
    }
    fn swap(&self, swap: Swap) -> Answer<'_, Result<(), Option<Cell>>> {
        self.pass(move |store| store.swap(swap))
    }
    fn read(&self, key: Name) -> Answer<'_, Option<Cell>> {
        self.pass(move |store| store.read(key))
    }
    fn changed(&self) -> Answer<'_, ()> {
        Box::pin(async move { self.opened().await.changed().await })
    }
    fn pulse(&self, node: NodeId) -> Answer<'_, Pulse> {
        self.pass(move |store| store.pulse(node))
    }
    fn leave(&self, node: NodeId) -> Answer<'_, ()> {
        match self.opened.get() {
            Some(store) => store.leave(node),
            // It was never there.
            None => Box::pin(ready(Ok(()))),
        }
    }
    fn nodes(&self) -> Answer<'_, Vec<Node>> {
        self.pass(move |store| store.nodes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(address: &str) -> String {
        match open(address, &Options::default()) {
            Ok(_) => panic!("{address} is a store"),
            Err(error) => {
                assert_eq!(error.code(), "ERR_OPTION");
                error.to_string()
            }
        }
    }

    #[test]
    fn an_address_that_names_no_store_is_refused_by_name() {
        for address in ["", "mem", "memory:x", "postgres://me:secret@host/db", "tasks.db", "SQLITE"] {
            let text = refusal(address);
            assert!(text.contains(ALLOWED) && !text.contains("secret"), "{text}");
        }
        assert!(refusal("sqlite:").contains("missing"));
        assert!(refusal("sqlite::memory:").contains("called \"memory\""));
        assert!(refusal("sqlite:a\0b").contains("no file"));
        assert!(!refusal("redis://me:secret@host:not-a-port").contains("secret"));
    }

    #[test]
    fn memory_is_a_store_and_outlives_nothing() {
        assert!(open("memory", &Options::default()).is_ok() && !is_durable("memory"));
        assert!(is_durable("sqlite"));
    }

    #[cfg(feature = "sqlite")]
    #[test]
    fn a_file_is_opened_by_the_first_call_and_tried_again_after_a_failure() {
        let folder = std::env::temp_dir().join(format!("task-open-{}", TaskId::new()));
        let file = folder.join("tasks.db");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let store = open(&format!("sqlite:{}", file.display()), &Options::default()).unwrap();
            store.leave("nobody".into()).await.unwrap();
            assert!(!folder.exists());
            let missing = store.counts(None).await.unwrap_err();
            assert!(matches!(missing, StoreError::Failed(_)), "{missing:?}");
            std::fs::create_dir(&folder).unwrap();
            let (one, other) = tokio::join!(store.counts(None), store.counts(None));
            assert_eq!((one.unwrap(), other.unwrap()), (Counts::default(), Counts::default()));
            assert!(file.exists());
        });
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
