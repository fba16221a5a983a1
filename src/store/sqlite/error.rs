//! What goes wrong in SQLite, in the words of the store.

use rusqlite::{Error, ErrorCode, ffi};

use crate::store::StoreError;

/// The version of the tables that this library writes.
pub(super) const SCHEMA: u32 = 1;
/// Marks a file as one of ours: "wtsk".
pub(super) const APPLICATION: i64 = 0x7774_736b;

/// The kind of failure, with what SQLite says about it. No text of a task is ever part of that.
pub(super) fn translate(error: &Error) -> StoreError {
    let text = error.to_string().into();
    match error {
        Error::SqliteFailure(failure, _) => match failure.code {
            ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => StoreError::Busy(text),
            ErrorCode::DiskFull => StoreError::Full(text),
            ErrorCode::NotADatabase => StoreError::Corrupt("the file is not a database".into()),
            ErrorCode::DatabaseCorrupt => StoreError::Corrupt(text),
            ErrorCode::CannotOpen
            | ErrorCode::SystemIoFailure
            | ErrorCode::ReadOnly
            | ErrorCode::PermissionDenied
            | ErrorCode::FileLockingProtocolFailed
            | ErrorCode::OutOfMemory
            | ErrorCode::OperationInterrupted => StoreError::Unreachable(text),
            _ => StoreError::Failed(text),
        },
        Error::FromSqlConversionFailure(..)
        | Error::InvalidColumnType(..)
        | Error::IntegralValueOutOfRange(..) => StoreError::Corrupt(text),
        _ => StoreError::Failed(text),
    }
}

/// The file was moved or deleted under its connection, which can only be opened anew.
pub(super) fn is_gone(error: &Error) -> bool {
    error.sqlite_error().is_some_and(|error| error.extended_code == ffi::SQLITE_READONLY_DBMOVED)
}
