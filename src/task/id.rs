//! Identity of a task: a UUIDv7 made here, or a text of the caller's.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{BuildHasher, Hash, Hasher, RandomState};
use std::sync::{Arc, LazyLock};

use super::name::{NameError, check_name};

/// A task's id. Cheap to clone, to compare with its own clones, and to hash.
#[derive(Clone, Eq)]
pub struct TaskId {
    /// Of the text, under a seed of this process; kept because ids are looked up far more often than made.
    hash: u64,
    text: Arc<str>,
}

impl TaskId {
    /// Bytes of an id made here.
    pub const LENGTH: usize = uuid::fmt::Hyphenated::LENGTH;

    /// A new id that no other task has.
    #[expect(clippy::new_without_default, reason = "every call gives another id")]
    pub fn new() -> Self {
        let mut text = [0; Self::LENGTH];
        Self::from(&*uuid::Uuid::now_v7().hyphenated().encode_lower(&mut text))
    }

    /// The caller's own id, which obeys the rule for names.
    pub fn from_text(text: &str) -> Result<Self, NameError> {
        check_name(text)?;
        Ok(Self::from(text))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The id as shared text.
    pub fn to_text(&self) -> Arc<str> {
        self.text.clone()
    }

    /// When an id that was made here was made, in milliseconds since the Unix epoch by the clock of its maker; `None`
    /// for a text that is no such id.
    pub fn made_at(&self) -> Option<u64> {
        let id = uuid::Uuid::try_parse(&self.text).ok()?;
        let (seconds, nanos) = id.get_timestamp()?.to_unix();
        Some(seconds * 1000 + u64::from(nanos) / 1_000_000)
    }

    /// A number that is the same for the same id on every node: the seed of its jitter.
    pub fn fingerprint(&self) -> u64 {
        // FNV-1a: stable by definition, unlike the hashers of std.
        self.text
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
    }
}

impl fmt::Debug for TaskId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.text)
    }
}

impl fmt::Display for TaskId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.text)
    }
}

impl From<&str> for TaskId {
    /// Takes a text that is known to be a good id; use `from_text` for what a user gave.
    fn from(text: &str) -> Self {
        static SEED: LazyLock<RandomState> = LazyLock::new(RandomState::new);
        Self { hash: SEED.hash_one(text), text: text.into() }
    }
}

impl PartialEq for TaskId {
    fn eq(&self, other: &Self) -> bool {
        self.hash == other.hash && (Arc::ptr_eq(&self.text, &other.text) || self.text == other.text)
    }
}

impl Hash for TaskId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

impl Ord for TaskId {
    fn cmp(&self, other: &Self) -> Ordering {
        self.text.cmp(&other.text)
    }
}

impl PartialOrd for TaskId {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
