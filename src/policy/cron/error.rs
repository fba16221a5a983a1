//! What is wrong with an expression or the name of a zone, and where.

use thiserror::Error;

/// A field of an expression.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Field {
    /// 0 to 59; only in expressions of 6 and 7 fields.
    Second,
    /// 0 to 59.
    Minute,
    /// 0 to 23.
    Hour,
    /// 1 to 31, `L`, `LW`, `nW`, `?`.
    DayOfMonth,
    /// 1 to 12 or a name.
    Month,
    /// 0 to 7 or a name, both 0 and 7 are Sunday; `nL`, `n#k`, `?`.
    DayOfWeek,
    /// 1970 to 2199; only in expressions of 7 fields.
    Year,
}

/// Why an expression cannot be a schedule. Columns count from 1, in bytes.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CronError {
    /// There is nothing.
    #[error("the cron expression is empty; give 5 to 7 fields or a name such as @hourly")]
    Empty,
    /// Too much text.
    #[error("the cron expression has {length} bytes, at most {max} are allowed", max = super::MAX_LENGTH)]
    TooLong {
        /// Its length.
        length: usize,
    },
    /// A character that no expression has.
    #[error("the cron expression has a character at column {column} that is not ASCII")]
    NotAscii {
        /// Where.
        column: usize,
    },
    /// Neither 5 nor 6 nor 7 fields.
    #[error(
        "the cron expression has {count} fields; allowed are 5 (minute, hour, day of month, month, day of \
         week), 6 (second first) and 7 (year last)"
    )]
    FieldCount {
        /// How many.
        count: usize,
    },
    /// A word with `@` that stands for nothing.
    #[error(
        "{given:?} at column {column} is not a cron expression; allowed are @yearly, @annually, @monthly, \
         @weekly, @daily, @midnight and @hourly"
    )]
    Nickname {
        /// The word.
        given: String,
        /// Where.
        column: usize,
    },
    /// A field that breaks a rule.
    #[error("{name} field of the cron expression, column {column}: {reason}", name = field.name())]
    Field {
        /// Which.
        field: Field,
        /// Where in the whole expression.
        column: usize,
        /// What was given and what is allowed.
        reason: String,
    },
    /// Its dates never come, or not in its zone.
    #[error("the cron expression can never fire: {given:?} in {zone}")]
    NeverFires {
        /// The expression.
        given: String,
        /// The zone.
        zone: String,
    },
    /// There is no such zone.
    #[error("{given:?} is not a time zone; give an IANA name such as \"Europe/Berlin\" or \"UTC\"")]
    Zone {
        /// The name, at most its first 64 characters.
        given: String,
    },
}

impl Field {
    /// Its name in messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Second => "second",
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::DayOfMonth => "day-of-month",
            Self::Month => "month",
            Self::DayOfWeek => "day-of-week",
            Self::Year => "year",
        }
    }

    /// The smallest and the largest value.
    pub(super) fn range(self) -> (u16, u16) {
        match self {
            Self::Second | Self::Minute => (0, 59),
            Self::Hour => (0, 23),
            Self::DayOfMonth => (1, 31),
            Self::Month => (1, 12),
            Self::DayOfWeek => (0, 7),
            Self::Year => (1970, 2199),
        }
    }
}

impl CronError {
    /// The field at fault, if it is one.
    pub fn field(&self) -> Option<Field> {
        match self {
            Self::Field { field, .. } => Some(*field),
            _ => None,
        }
    }

    /// Where the fault begins, counted from 1, if it is in one place.
    pub fn column(&self) -> Option<usize> {
        match self {
            Self::NotAscii { column } | Self::Nickname { column, .. } | Self::Field { column, .. } => {
                Some(*column)
            }
            _ => None,
        }
    }
}
