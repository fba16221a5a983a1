//! A naive clock: it looks at every second around a change, and at every reading that was skipped.

use std::collections::BTreeMap;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};

use super::pattern::Pattern;

/// Some days of a zone. Readings and instants are seconds since 1970, of the clock and of UTC.
pub struct Clock {
    from: i64,
    /// The reading at each second.
    readings: Vec<i64>,
    /// The greatest reading before that.
    shown: i64,
}

impl Clock {
    /// The seconds around an instant, as far as `reach` on both sides.
    pub fn around(zone: &str, at: i64, reach: i64) -> Self {
        let zone = TimeZone::get(zone).unwrap();
        let reading = |second: i64| {
            let offset = zone.to_offset(Timestamp::from_second(second).unwrap());
            second + i64::from(offset.seconds())
        };
        let readings: Vec<i64> = (at - reach..at + reach).map(reading).collect();
        let shown = (at - reach - 60 * 3600..at - reach).map(reading).max().unwrap();
        Self { from: at - reach, readings, shown }
    }

    /// The first second, and the first after the last.
    pub fn bounds(&self) -> (i64, i64) {
        (self.from, self.from + self.readings.len() as i64)
    }

    /// Whether it does not just go on.
    pub fn is_moved(&self) -> bool {
        self.readings.windows(2).any(|pair| pair[1] != pair[0] + 1)
    }

    /// The seconds at which a pattern fires.
    pub fn slots(&self, pattern: &Pattern) -> Vec<i64> {
        let mut days = BTreeMap::new();
        let mut names = |reading: i64| {
            let date = Date::constant(1970, 1, 1) + reading.div_euclid(86_400).days();
            let second = reading.rem_euclid(86_400) as i32;
            let time = date.at((second / 3600) as i8, (second / 60 % 60) as i8, (second % 60) as i8, 0);
            pattern.names_time(time) && *days.entry(date).or_insert_with(|| pattern.names_day(date))
        };
        let mut shown = self.shown;
        let mut slots = Vec::new();
        for (instant, reading) in (self.from..).zip(&self.readings) {
            let fires =
                if pattern.is_elapsed() { names(*reading) } else { (shown + 1..=*reading).any(&mut names) };
            shown = shown.max(*reading);
            if fires {
                slots.push(instant);
            }
        }
        slots
    }
}
