//! From the address of a store to the store.
//!
//! An address is checked at once; what it names is opened by the first call that needs it: see `lazy`.

use std::path::PathBuf;
use std::sync::Arc;

use super::memory::MemoryStore;
use super::{Store, StoreError};
use crate::task::check_name;
use crate::time::Millis;

/// What may stand where a store is named.
const ALLOWED: &str = "\"memory\", \"sqlite\", \"sqlite:<path of a file>\", \"redis://<address>\", \
     \"rediss://<address>\", \"redis+sentinel://<hosts>/<name>\", \"rediss+sentinel://<hosts>/<name>\"";
/// The file that is meant where none is named, in the working directory.
const FILE: &str = "tasks.db";

/// What a power cut may take of a store on this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Durability {
    /// Nothing that was answered: every commit is synced to the disk first.
    #[default]
    Strict,
    /// What was answered in the last half second. A file is whole in any case.
    Relaxed,
}

/// How a store is used.
#[derive(Clone, Debug)]
pub struct Options {
    /// What a power cut may take.
    pub durability: Durability,
    /// How long a node may stay silent before its tasks are given to others.
    pub lease: Millis,
    /// Separates the users of one server.
    pub namespace: String,
}

/// The namespace of whoever names none.
pub const NAMESPACE: &str = "default";

impl Default for Options {
    fn default() -> Self {
        Self { durability: Durability::Strict, lease: 30_000, namespace: NAMESPACE.into() }
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
    if let Err(error) = check_name(&options.namespace) {
        return Err(StoreError::Address(format!("namespace {error}").into()));
    }
    if scheme == "sqlite" && options.namespace != NAMESPACE {
        let what = format!(
            "namespace is for Redis only: a file has one user; got {:?} with {address:?}, name another file",
            options.namespace
        );
        return Err(StoreError::Address(what.into()));
    }
    match scheme {
        "memory" if rest.is_empty() => Ok(Arc::new(MemoryStore::new())),
        "sqlite" => sqlite(file(address, rest)?, options),
        // The rest may hold a password, and is never shown.
        "redis" | "rediss" | "redis+sentinel" | "rediss+sentinel" => redis(address.to_owned(), options),
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
    use super::Answer;
    use super::lazy::Lazy;
    use super::sqlite::{self, SqliteStore};
    use tokio::sync::oneshot;
    let options = sqlite::Options { durability: options.durability, lease: options.lease };
    let opener = move || -> Answer<'static, Arc<dyn Store>> {
        let (path, options) = (path.clone(), options.clone());
        Box::pin(async move {
            let (sender, opened) = oneshot::channel();
            // Who has stopped waiting needs no store.
            let work = move || drop(sender.send(SqliteStore::open(path, options)));
            let thread = std::thread::Builder::new().name("task-open".into()).spawn(work);
            thread.map_err(|error| StoreError::Failed(format!("no thread: {error}").into()))?;
            let store = opened.await.unwrap_or_else(|_| Err(StoreError::Failed("opening it failed".into())));
            Ok(Arc::new(store?) as Arc<dyn Store>)
        })
    };
    Ok(Arc::new(Lazy::new(Box::new(opener))))
}

#[cfg(not(feature = "redis"))]
fn redis(_: String, _: &Options) -> Result<Arc<dyn Store>, StoreError> {
    Err(missing("Redis", "redis"))
}

#[cfg(feature = "redis")]
fn redis(url: String, options: &Options) -> Result<Arc<dyn Store>, StoreError> {
    use super::Answer;
    use super::lazy::Lazy;
    use super::redis::{RedisOptions, RedisStore};
    RedisStore::check(&url).map_err(|error| StoreError::Address(error.to_string().into()))?;
    let (lease, namespace) = (options.lease, options.namespace.clone());
    let options = RedisOptions { lease, namespace, ..RedisOptions::default() };
    let opener = move || -> Answer<'static, Arc<dyn Store>> {
        let (url, options) = (url.clone(), options.clone());
        Box::pin(async move { Ok(Arc::new(RedisStore::connect(&url, options).await?) as Arc<dyn Store>) })
    };
    Ok(Arc::new(Lazy::new(Box::new(opener))))
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
        assert!(!refusal("redis+sentinel://me:secret@host").contains("secret"));
    }

    #[test]
    fn a_namespace_is_a_name_and_not_of_a_file() {
        let named = |namespace: &str| Options { namespace: namespace.into(), ..Options::default() };
        let refusal = |address, namespace| match open(address, &named(namespace)) {
            Ok(_) => panic!("{address} has no namespace {namespace:?}"),
            Err(error) => format!("{} {error}", error.code()),
        };
        assert!(refusal("memory", "").starts_with("ERR_OPTION namespace is empty"));
        let text = refusal("sqlite:tasks.db", "mail");
        assert!(
            text.starts_with("ERR_OPTION namespace is for Redis only") && text.contains("mail"),
            "{text}"
        );
        // In memory everybody is alone anyway.
        assert!(open("memory", &named("mail")).is_ok());
    }

    #[test]
    fn memory_is_a_store_and_outlives_nothing() {
        assert!(open("memory", &Options::default()).is_ok() && !is_durable("memory"));
        assert!(is_durable("sqlite"));
    }

    #[cfg(feature = "sqlite")]
    #[test]
    fn a_file_is_opened_by_the_first_call_and_tried_again_after_a_failure() {
        use crate::store::Counts;
        let folder = std::env::temp_dir().join(format!("task-open-{}", crate::task::TaskId::new()));
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
