//! Connections: how a file is opened, what it must be, and how it is brought to the current tables.

use std::cell::Cell;
use std::path::Path;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use crate::store::StoreError;

use super::error::{APPLICATION, SCHEMA, translate};
use super::writer::Bond;

/// The first version of SQLite whose write-ahead log cannot lose commits of several connections
/// (sqlite.org/wal.html, "The WAL-Reset Bug").
const LEAST_SQLITE: i32 = 3_051_003;
/// How long a transaction waits for those of others.
const BUSY: Duration = Duration::from_secs(5);

/// The connection that writes, on a file with current tables.
pub(super) fn writer(path: &Path, is_strict: bool) -> Result<Connection, StoreError> {
    if rusqlite::version_number() < LEAST_SQLITE {
        let text = format!("SQLite {} is older than 3.51.3, which keeps all commits", rusqlite::version());
        return Err(StoreError::Failed(text.into()));
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    let db = in_turn(|| open(path, flags))?;
    let prepared = in_turn(|| prepare(&db).map_err(|error| translate(&error)))?;
    if let Some(error) = prepared {
        return Err(error);
    }
    set_durability(&db, is_strict).map_err(|error| translate(&error))?;
    Ok(db)
}

/// One that only reads.
pub(super) fn reader(path: &Path) -> Result<Connection, StoreError> {
    let flags =
        OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    let db = open(path, flags)?;
    db.set_prepared_statement_cache_capacity(64);
    Ok(db)
}

thread_local! {
    /// Since when the statement of this thread has been waiting.
    static SINCE: Cell<Instant> = Cell::new(Instant::now());
    /// What this thread does now can be left undone.
    static IS_HASTY: Cell<bool> = const { Cell::new(false) };
}

/// Lets statements wait for the locks of others, in short steps: SQLite's own way sleeps so long that who
/// waits rarely meets the moment between two transactions of a busy neighbour.
fn wait(tries: i32) -> bool {
    if tries == 0 {
        SINCE.set(Instant::now());
    }
    // Uneven, so that two who wait do not go on meeting each other.
    let step = 200 + 150 * ((u64::from(tries.unsigned_abs()) + u64::from(std::process::id())) % 7);
    if IS_HASTY.get() || SINCE.get().elapsed() >= BUSY {
        return false;
    }
    std::thread::sleep(Duration::from_micros(step));
    true
}

/// Brings the log into the file, and cuts it, where nobody is in the way.
pub(super) fn cut_log(db: &Connection) {
    IS_HASTY.set(true);
    // Where others read or write it does what can be done without waiting for them, which is enough.
    let _ = db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
    IS_HASTY.set(false);
}

/// Looks for damage in a file whose last user did not close it.
pub(super) fn look_over(bond: &Bond) {
    let looked = reader(&bond.path).and_then(|db| {
        let sound = |row: &rusqlite::Row<'_>| row.get::<_, String>(0);
        db.query_row("PRAGMA quick_check(1)", [], sound).map_err(|error| translate(&error))
    });
    let found = match looked {
        Ok(sound) if sound == "ok" => return,
        Ok(damage) => StoreError::Corrupt(damage.into()),
        Err(error) => error,
    };
    tracing::error!(target: "task::store", error = %found, "the file was not closed and is damaged");
    *bond.trouble.lock().unwrap_or_else(PoisonError::into_inner) = Some(found);
}

pub(super) fn set_durability(db: &Connection, is_strict: bool) -> rusqlite::Result<()> {
    db.pragma_update(None, "synchronous", if is_strict { "FULL" } else { "NORMAL" })?;
    // Elsewhere it does nothing; there a plain sync stops short of the platter.
    db.pragma_update(None, "fullfsync", is_strict)
}

fn open(path: &Path, flags: OpenFlags) -> Result<Connection, StoreError> {
    let told = |error: rusqlite::Error| translate(&error);
    // The path as it is, not as a URI: no part of it can be an option.
    let mut db = Connection::open_with_flags(path, flags).map_err(told)?;
    let mut settle = || -> rusqlite::Result<()> {
        db.busy_handler(Some(wait))?;
        // Plans that do not depend on what is bound: SQLite would compile many statements again at each use.
        db.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
        db.pragma_update(None, "trusted_schema", false)?;
        db.pragma_update(None, "cell_size_check", true)?;
        // A file that shrinks under a map would be a signal.
        db.pragma_update(None, "mmap_size", 0)?;
        db.pragma_update(None, "cache_size", -32_768)?;
        db.pragma_update(None, "temp_store", "MEMORY")
    };
    settle().map_err(told)?;
    Ok(db)
}

/// Where several set up a new file at once, or the last one is just closing it, SQLite does not let them wait
/// for each other: the way to the log needs a lock that it gives up rather than wait with.
fn in_turn<T>(step: impl Fn() -> Result<T, StoreError>) -> Result<T, StoreError> {
    let began = Instant::now();
    loop {
        match step() {
            Err(StoreError::Busy(_)) if began.elapsed() < BUSY => {
                std::thread::sleep(Duration::from_millis(5))
            }
            done => return done,
        }
    }
}

/// Sets up the file where it is new; an error where it is somebody else's, or newer.
fn prepare(db: &Connection) -> rusqlite::Result<Option<StoreError>> {
    // Only ours, or nobody's, is touched. Seen in one snapshot: between two looks another process may set it up.
    let snapshot = db.unchecked_transaction()?;
    if let Some(error) = refusal(&snapshot)? {
        return Ok(Some(error));
    }
    snapshot.commit()?;
    db.pragma_update(None, "page_size", 4096)?;
    let mode: String = db.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
    if mode != "wal" {
        let text = format!("the file system cannot do what a write-ahead log needs (journal mode {mode})");
        return Ok(Some(StoreError::Failed(text.into())));
    }
    db.pragma_update(None, "journal_size_limit", 64 << 20)?;
    db.pragma_update(None, "wal_autocheckpoint", 2000)?;
    db.execute_batch("BEGIN IMMEDIATE")?;
    let migrated = migrate(db);
    db.execute_batch(if matches!(migrated, Ok(None)) { "COMMIT" } else { "ROLLBACK" })?;
    migrated
}

/// Under the write lock, so that of several processes one does it and the others find it done.
fn migrate(db: &Connection) -> rusqlite::Result<Option<StoreError>> {
    if let Some(error) = refusal(db)? {
        return Ok(Some(error));
    }
    if number(db, "user_version")? == 0 {
        db.execute_batch(include_str!("schema.sql"))?;
        db.pragma_update(None, "application_id", APPLICATION)?;
        db.pragma_update(None, "user_version", SCHEMA)?;
    }
    Ok(None)
}

fn refusal(db: &Connection) -> rusqlite::Result<Option<StoreError>> {
    let (application, version) = (number(db, "application_id")?, number(db, "user_version")?);
    if application != APPLICATION {
        let tables: i64 = db.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
        let is_empty = application == 0 && version == 0 && tables == 0;
        let text = "the file is a database of something else";
        return Ok((!is_empty).then(|| StoreError::Corrupt(text.into())));
    }
    let found = u32::try_from(version).unwrap_or(u32::MAX);
    Ok((found > SCHEMA).then_some(StoreError::Version { found, known: SCHEMA }))
}

fn number(db: &Connection, pragma: &str) -> rusqlite::Result<i64> {
    db.pragma_query_value(None, pragma, |row| row.get(0))
}
