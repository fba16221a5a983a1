//! Identity of a task: a UUIDv7 made here, or a text of the caller's.

use std::fmt;
use std::sync::Arc;

use super::name::{NameError, check_name};

/// A task's id. Cheap to clone; ordered by time of creation when made by `TaskId::new`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TaskId(Arc<str>);

impl TaskId {
    /// A new id that no other task has.
    #[expect(clippy::new_without_default, reason = "every call gives another id")]
    pub fn new() -> Self {
        let mut text = [0; uuid::fmt::Hyphenated::LENGTH];
        Self(Arc::from(&*uuid::Uuid::now_v7().hyphenated().encode_lower(&mut text)))
    }

    /// The caller's own id, which obeys the rule for names.
    pub fn from_text(text: &str) -> Result<Self, NameError> {
        check_name(text)?;
        Ok(Self(text.into()))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The id as shared text.
    pub fn to_text(&self) -> Arc<str> {
        self.0.clone()
    }

    /// A number that is the same for the same id on every node: the seed of its jitter.
    pub fn fingerprint(&self) -> u64 {
        // FNV-1a: stable by definition, unlike the hashers of std.
        self.0
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
    }
}

impl fmt::Debug for TaskId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl fmt::Display for TaskId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl From<&str> for TaskId {
    /// Takes a text that is known to be a good id; use `from_text` for what a user gave.
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

impl std::borrow::Borrow<str> for TaskId {
    fn borrow(&self) -> &str {
        &self.0
    }
}
