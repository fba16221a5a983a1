//! Days and seconds of the proleptic Gregorian calendar, as plain numbers without a zone.
//!
//! The two conversions are the algorithms `days_from_civil` and `civil_from_days` of Howard Hinnant,
//! "chrono-Compatible Low-Level Date Algorithms" (2014): years begin in March, so that the leap day is last.

/// What a clock on the wall shows: seconds since the midnight that began 1970-01-01 on that same clock.
pub type Reading = i64;

/// Seconds of a day.
pub const DAY: i64 = 86_400;

/// Months after which the calendar repeats, weekdays included: 400 years are a whole number of weeks.
pub const CYCLE_MONTHS: u32 = 4800;

/// A month of a year, with what a pattern of days has to know about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Month {
    /// The year.
    pub year: i32,
    /// 1 to 12.
    pub month: u32,
    /// The number of its first day, counted from 1970-01-01.
    pub first_day: i64,
    /// How many days it has.
    pub length: u32,
    /// The weekday of its first day, 0 = Sunday.
    pub first_weekday: u32,
}

impl Month {
    /// A month, 1 to 12, of a year.
    pub fn of(year: i32, month: u32) -> Self {
        let first_day = days_from_civil(year, month, 1);
        let length = match month {
            2 if is_leap(year) => 29,
            2 => 28,
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        };
        // 1970-01-01 was a Thursday.
        Self { year, month, first_day, length, first_weekday: (first_day + 4).rem_euclid(7) as u32 }
    }

    /// The weekday of a day of this month, 0 = Sunday.
    pub fn weekday(self, day: u32) -> u32 {
        (self.first_weekday + day - 1) % 7
    }
}

fn is_leap(year: i32) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

/// The number of a day, counted from 1970-01-01.
pub fn days_from_civil(year: i32, month: u32, day: u32) -> i64 {
    let year = i64::from(year) - i64::from(month <= 2);
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * (i64::from(month) + 9).rem_euclid(12) + 2) / 5 + i64::from(day) - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// Year, month and day of the day with this number.
pub fn civil_from_days(number: i64) -> (i32, u32, u32) {
    let shifted = number + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = (day_of_year - (153 * march_month + 2) / 5 + 1) as u32;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 } as u32;
    ((year_of_era + era * 400) as i32 + i32::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_day_of_a_cycle_there_and_back() {
        let (mut year, mut month, mut day) = (1969, 1, 1);
        for number in -365..146_097 {
            assert_eq!(civil_from_days(number), (year, month, day));
            assert_eq!(days_from_civil(year, month, day), number);
            day += 1;
            if day > Month::of(year, month).length {
                (month, day) = (month + 1, 1);
            }
            if month > 12 {
                (year, month) = (year + 1, 1);
            }
        }
        assert_eq!((year, month, day), (2370, 1, 1));
    }

    #[test]
    fn weekdays_of_known_dates() {
        assert_eq!(Month::of(1970, 1).weekday(1), 4);
        assert_eq!(Month::of(2000, 2).weekday(29), 2);
        assert_eq!(Month::of(2026, 11).weekday(23), 1);
        assert_eq!(Month::of(1969, 12).weekday(31), 3);
    }

    #[test]
    fn the_calendar_repeats_after_a_cycle() {
        let years = CYCLE_MONTHS as i32 / 12;
        for month in 1..=12 {
            let (a, b) = (Month::of(1970, month), Month::of(1970 + years, month));
            assert_eq!((a.length, a.first_weekday), (b.length, b.first_weekday));
        }
    }
}
