//! From what a handler returned or panicked with to a `TaskError`, and to the data that a store keeps of it.

use std::any::{Any, type_name};
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use crate::engine::verdict_of;
use crate::error::TaskError;
use crate::policy::breaker::Verdict;
use crate::task::{Failure, Original};

use super::settings::millis;

/// What any error can become.
pub(super) type AnyError = Box<dyn Error + Send + Sync>;

/// Why a task was not tried again although its policy would have it.
const RUNS_ONCE: &str = "not tried again: its handler is a bare future, which runs once; `async || { .. }` can be \
                         run again";

impl TaskError {
    /// The failure of a handler, from any error or from a text. A `TaskError` stays what it is.
    ///
    /// ```
    /// use task::TaskError;
    ///
    /// fn port(text: &str) -> Result<u16, TaskError> {
    ///     text.parse().map_err(TaskError::new)
    /// }
    ///
    /// let error = port("many").unwrap_err();
    /// assert_eq!(error.to_string(), "ParseIntError: invalid digit found in string");
    /// assert!(error.downcast_ref::<std::num::ParseIntError>().is_some());
    /// ```
    pub fn new<E: Into<Box<dyn Error + Send + Sync>>>(error: E) -> Self {
        match error.into().downcast::<TaskError>() {
            Ok(own) => *own,
            Err(error) => {
                let failure = Failure::new(class::<E>(), error.to_string());
                failed(Failure { original: Some(Original(error.into())), ..failure })
            }
        }
    }

    /// A failure that is not tried again.
    pub fn fatal<E: Into<Box<dyn Error + Send + Sync>>>(error: E) -> Self {
        failed(Failure { fatal: true, ..Self::new(error).into_failure() })
    }

    /// A failure after which the next attempt comes in `delay`, whatever the retry policy says of delays; how
    /// many attempts there are is still up to the policy.
    pub fn retry_after<E: Into<Box<dyn Error + Send + Sync>>>(delay: Duration, error: E) -> Self {
        let retry_after = Some(millis(delay));
        failed(Failure { fatal: false, retry_after, ..Self::new(error).into_failure() })
    }

    /// Another run of the task that failed with it may end better.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Failed(failure) => !failure.fatal,
            Self::Store(error) => error.is_passing(),
            Self::Timeout(_) | Self::Lost(_) | Self::QueueFull { .. } | Self::Closed => true,
            Self::RateLimited { .. } | Self::CircuitOpen { .. } => true,
            _ => false,
        }
    }

    /// The error that the handler returned, if it was of this type and the handler ran in this process.
    pub fn downcast_ref<E: Error + 'static>(&self) -> Option<&E> {
        match self {
            Self::Failed(failure) => failure.original.as_ref()?.0.downcast_ref(),
            _ => None,
        }
    }

    /// What it says to a circuit breaker about what the handler has called.
    pub(super) fn verdict(&self) -> Verdict {
        match self {
            Self::Failed(failure) => verdict_of(failure),
            Self::RateLimited { .. } | Self::CircuitOpen { .. } => Verdict::Unknown,
            own if own.is_retryable() => Verdict::Failed,
            _ => Verdict::Unknown,
        }
    }

    /// What the handler wants the next attempt to wait for.
    pub(super) fn delay(&self) -> Option<u64> {
        match self {
            Self::Failed(failure) => failure.retry_after,
            _ => None,
        }
    }

    /// The same as data.
    pub(super) fn into_failure(self) -> Failure {
        match self {
            Self::Failed(failure) => Arc::unwrap_or_clone(failure),
            own => Failure {
                code: Some(own.code().to_owned()),
                fatal: !own.is_retryable(),
                original: Some(Original(Arc::new(own.clone()))),
                ..Failure::new("TaskError", own.to_string())
            },
        }
    }

    /// The same, with the reason why there is no other attempt.
    pub(super) fn of_a_bare_future(self) -> Self {
        let failure = self.into_failure();
        let message = format!("{} ({RUNS_ONCE})", failure.message);
        failed(Failure { message, ..failure })
    }
}

impl From<AnyError> for TaskError {
    fn from(error: AnyError) -> Self {
        Self::new(error)
    }
}

impl From<std::io::Error> for TaskError {
    fn from(error: std::io::Error) -> Self {
        Self::new(error)
    }
}

fn failed(failure: Failure) -> TaskError {
    TaskError::Failed(Arc::new(failure))
}

/// A handler's panic: an attempt that failed, never more.
pub(super) fn panicked(payload: Box<dyn Any + Send>) -> TaskError {
    let text = payload.downcast_ref::<&str>().copied();
    let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    let error = failed(Failure::new("Panic", text.unwrap_or("the handler panicked")));
    discard(payload);
    error
}

/// Drops what a user made: its destructor may panic as well.
pub(super) fn discard<T>(value: T) {
    let drop_it = std::panic::AssertUnwindSafe(|| drop(value));
    if let Err(again) = std::panic::catch_unwind(drop_it) {
        // The payload of that panic may be of the same sort: it is worth a leak to be done with it.
        std::mem::forget(again);
    }
}

/// JSON that cannot be made or read: the same the next time.
pub(super) fn not_json(what: &str, error: serde_json::Error) -> TaskError {
    coded("ERR_TASK_SERIALIZE", format!("{what}: {error}"))
}

/// The input is not what the handler takes.
pub(super) fn wrong_input(error: serde_json::Error) -> TaskError {
    coded("ERR_TASK_INPUT", format!("the input is not what the handler takes: {error}"))
}

/// A bare future is wanted for a second time.
pub(super) fn not_repeatable() -> TaskError {
    coded("ERR_TASK_NOT_REPEATABLE", "the bare future of this task has been run".into())
}

fn coded(code: &str, message: String) -> TaskError {
    failed(Failure { code: Some(code.into()), fatal: true, ..Failure::new("TaskError", message) })
}

/// The last word of the path of a type; `Error` where the type only carries a text or another error.
fn class<E>() -> &'static str {
    let path = type_name::<E>().split('<').next().unwrap_or_default();
    match path.rsplit("::").next().unwrap_or_default() {
        "" | "Box" | "Cow" | "String" | "&str" | "&mut str" => "Error",
        name => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(error: TaskError) -> (String, String) {
        let failure = error.into_failure();
        (failure.name, failure.message)
    }

    #[test]
    fn the_class_is_the_name_of_the_type() {
        let number = "x".parse::<i8>().unwrap_err();
        assert_eq!(parts(TaskError::new(number)).0, "ParseIntError");
        assert_eq!(parts(TaskError::new("text")), ("Error".into(), "text".into()));
        assert_eq!(parts(TaskError::new(String::from("text"))), ("Error".into(), "text".into()));
        assert_eq!(parts(TaskError::from(AnyError::from("text"))), ("Error".into(), "text".into()));
    }

    #[test]
    fn a_task_error_stays_what_it_is() {
        assert!(matches!(TaskError::new(TaskError::Closed), TaskError::Closed));
        assert!(matches!(TaskError::new(Box::new(TaskError::Closed) as AnyError), TaskError::Closed));
        let closed = TaskError::Closed.into_failure();
        assert_eq!((closed.code.as_deref(), closed.fatal), (Some("ERR_EXECUTOR_CLOSED"), false));
    }

    #[test]
    fn fatal_and_retry_after_keep_the_error() {
        let io = || std::io::Error::other("disk");
        let fatal = TaskError::fatal(io());
        assert!(!fatal.is_retryable() && fatal.downcast_ref::<std::io::Error>().is_some());
        let later = TaskError::retry_after(Duration::from_secs(2), TaskError::fatal(io()));
        assert_eq!((later.is_retryable(), later.delay()), (true, Some(2000)));
    }

    #[test]
    fn a_panic_has_the_text_it_was_given() {
        let payload = |text: &str| std::panic::catch_unwind(|| panic!("{text}")).unwrap_err();
        assert_eq!(parts(panicked(payload("no"))), ("Panic".into(), "no".into()));
        assert_eq!(parts(panicked(Box::new(7))), ("Panic".into(), "the handler panicked".into()));
    }
}
