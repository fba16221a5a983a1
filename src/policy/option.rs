//! What is wrong with an option of a policy.

use std::fmt::Display;

use thiserror::Error;

/// An option has a value that it cannot have.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{option} is {given}, allowed are {allowed}")]
pub struct OptionError {
    /// The name of the option.
    pub option: &'static str,
    /// Its value.
    pub given: String,
    /// The values that it can have.
    pub allowed: String,
}

/// Passes where `holds`; if not, says which option is at fault.
pub(super) fn allow(
    holds: bool,
    option: &'static str,
    given: impl Display,
    allowed: impl Into<String>,
) -> Result<(), OptionError> {
    if holds {
        Ok(())
    } else {
        Err(OptionError { option, given: given.to_string(), allowed: allowed.into() })
    }
}
