//! The rule for names of tasks, queues, groups, keys and ids: 1 to 128 bytes of UTF-8 without control
//! characters. Names are compared byte for byte; nothing is trimmed, folded or normalised, so two
//! different names never mean the same thing.

use std::sync::Arc;

/// A name that has passed `check_name`. Cheap to clone.
pub type Name = Arc<str>;

/// Longest name, in bytes of UTF-8.
pub const MAX_NAME: usize = 128;

/// What is wrong with a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// No character at all.
    #[error("is empty; 1 to 128 bytes of UTF-8 are allowed")]
    Empty,
    /// More than `MAX_NAME` bytes.
    #[error("has {0} bytes of UTF-8; 1 to 128 are allowed")]
    TooLong(usize),
    /// A control character or a line separator.
    #[error("has a control character at byte {0}; none are allowed")]
    Control(usize),
}

/// Says whether `text` can be a name.
pub fn check_name(text: &str) -> Result<(), NameError> {
    if text.is_empty() {
        return Err(NameError::Empty);
    }
    if text.len() > MAX_NAME {
        return Err(NameError::TooLong(text.len()));
    }
    match text.char_indices().find(|(_, c)| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}')) {
        Some((at, _)) => Err(NameError::Control(at)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rule() {
        for good in ["a", "mail.send", "constructor", "__proto__", "'; DROP TABLE", "{}", "\u{1f980}", "%s"] {
            assert_eq!(check_name(good), Ok(()), "{good}");
        }
        assert_eq!(check_name(""), Err(NameError::Empty));
        assert_eq!(check_name(&"x".repeat(128)), Ok(()));
        assert_eq!(check_name(&"x".repeat(129)), Err(NameError::TooLong(129)));
        assert_eq!(check_name("a\nb"), Err(NameError::Control(1)));
        assert_eq!(check_name("a\u{0}"), Err(NameError::Control(1)));
        assert_eq!(check_name("\u{85}"), Err(NameError::Control(0)));
        assert_eq!(check_name("ab\u{2028}"), Err(NameError::Control(2)));
    }
}
