//! Connections: how a file is opened, what it must be, and how it is brought to the current tables.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use crate::store::StoreError;

use super::error::{APPLICATION, SCHEMA, translate};

/// The first version of SQLite whose write-ahead log cannot lose commits of several connections
/// (sqlite.org/wal.html, "The WAL-Reset Bug").
const LEAST_SQLITE: i32 = 3_051_003;
/// How long a transaction waits for those of others.
pub(super) const BUSY: Duration = Duration::from_secs(5);

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
    let db = open(path, flags)?;
    let version = prepare(&db).map_err(|error| translate(&error))?;
    if let Some(error) = version {
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

pub(super) fn set_durability(db: &Connection, is_strict: bool) -> rusqlite::Result<()> {
    db.pragma_update(None, "synchronous", if is_strict { "FULL" } else { "NORMAL" })?;
    // Elsewhere it does nothing; there a plain sync stops short of the platter.
    db.pragma_update(None, "fullfsync", is_strict)
}

fn open(path: &Path, flags: OpenFlags) -> Result<Connection, StoreError> {
    let told = |error: rusqlite::Error| translate(&error);
    // The path as it is, not as a URI: no part of it can be an option.
    let db = Connection::open_with_flags(path, flags).map_err(told)?;
    let settle = || -> rusqlite::Result<()> {
        db.busy_timeout(BUSY)?;
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

/// Sets up the file where it is new; an error where it is somebody else's, or newer.
fn prepare(db: &Connection) -> rusqlite::Result<Option<StoreError>> {
    // Only ours, or nobody's, is touched.
    if let Some(error) = refusal(db)? {
        return Ok(Some(error));
    }
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
