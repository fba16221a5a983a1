//! What the errors of the server and of the connection mean. None of them repeats what was sent.

use redis::{ErrorKind, RedisError, ServerErrorKind};

use crate::store::StoreError;

/// The error of a call as the trait tells it.
pub(super) fn told(error: &RedisError) -> StoreError {
    let code = error.code().unwrap_or_default();
    let what = match error.kind() {
        ErrorKind::Server(_) | ErrorKind::Extension => {
            format!("{code} {}", error.detail().unwrap_or_default()).trim().to_owned()
        }
        // The text of an I/O error names the system's reason and nothing of ours.
        _ => error.to_string(),
    };
    match error.kind() {
        ErrorKind::AuthenticationFailed => {
            // What the server says may repeat the name of the user, never the password.
            StoreError::Failed(format!("the server refuses the user or the password: {code}").into())
        }
        ErrorKind::InvalidClientConfig => StoreError::Failed(what.into()),
        ErrorKind::Server(kind) => server(kind, code, what),
        ErrorKind::Extension | ErrorKind::Client => server(ServerErrorKind::ResponseError, code, what),
        ErrorKind::Parse | ErrorKind::UnexpectedReturnType => StoreError::Unreachable(what.into()),
        _ => StoreError::Unreachable(what.into()),
    }
}

fn server(kind: ServerErrorKind, code: &str, what: String) -> StoreError {
    let what = what.into();
    match (kind, code) {
        (_, "OOM") => StoreError::Full(what),
        (_, "BUSY") | (ServerErrorKind::TryAgain, _) => StoreError::Busy(what),
        (_, "MISCONF" | "NOREPLICAS" | "UNBLOCKED") => StoreError::Unreachable(what),
        (
            ServerErrorKind::BusyLoading
            | ServerErrorKind::MasterDown
            | ServerErrorKind::ReadOnly
            | ServerErrorKind::ClusterDown
            | ServerErrorKind::NoScript
            | ServerErrorKind::Moved
            | ServerErrorKind::Ask,
            _,
        ) => StoreError::Unreachable(what),
        _ if what.contains("max number of clients") => StoreError::Unreachable(what),
        // An error inside a script carries the code of its cause in its text.
        _ if what.contains("OOM command not allowed") => StoreError::Full(what),
        _ if what.contains("READONLY") || what.contains("MISCONF") => StoreError::Unreachable(what),
        _ => StoreError::Failed(what),
    }
}

/// The connection is of no use any more.
pub(super) fn breaks(error: &RedisError) -> bool {
    if let ErrorKind::Server(kind) = error.kind() {
        // Behind the same address another server may be the one that takes writes by now.
        // Up to 6.2 an error inside a script has the code only in its text.
        return error.detail().is_some_and(|what| what.contains("READONLY"))
            || matches!(
                kind,
                ServerErrorKind::ReadOnly
                    | ServerErrorKind::MasterDown
                    | ServerErrorKind::BusyLoading
                    | ServerErrorKind::Moved
                    | ServerErrorKind::Ask
                    | ServerErrorKind::ClusterDown
            );
    }
    !matches!(error.kind(), ErrorKind::Extension)
}

/// The script is not known to the server.
pub(super) fn wants_script(error: &RedisError) -> bool {
    error.kind() == ErrorKind::Server(ServerErrorKind::NoScript)
}
