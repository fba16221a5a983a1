//! The dates and times of day that an expression names, as bit sets, on a clock without a zone.
//!
//! The sets of times and of months are never empty, but the dates that they name may not exist. A search
//! looks at no more months than the calendar has until it repeats, so it ends for any expression.

use std::sync::Arc;

use super::civil::{CYCLE_MONTHS, DAY, Month, Reading, civil_from_days};

/// Days 1, 8, 15, 22 and 29.
const EVERY_SEVENTH: u64 = 1 << 1 | 1 << 8 | 1 << 15 | 1 << 22 | 1 << 29;

/// What an expression says. Bit n of a set stands for the value n.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Calendar {
    /// Seconds.
    pub seconds: u64,
    /// Minutes.
    pub minutes: u64,
    /// Hours.
    pub hours: u64,
    /// Days of the month.
    pub days: Days,
    /// Months, from 1.
    pub months: u64,
    /// Days of the week.
    pub weekdays: Weekdays,
    /// In order; `None` for every year.
    pub years: Option<Arc<[u16]>>,
    /// Both fields of days are restricted: a day that one of them names is enough.
    pub either: bool,
    /// Follows elapsed time where a zone changes its offset; if not, it follows the clock on the wall.
    pub elapsed: bool,
}

/// The field of days of the month.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Days {
    /// Days by number.
    pub plain: u64,
    /// `nW`: the weekdays nearest to these numbers.
    pub nearest: u64,
    /// `L`: the last day.
    pub last: bool,
    /// `LW`: the last day from Monday to Friday.
    pub last_weekday: bool,
}

/// The field of days of the week, 0 = Sunday.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Weekdays {
    /// Each of these in a month.
    pub plain: u64,
    /// `nL`: the last of these in a month.
    pub last: u64,
    /// `n#k`: the k-th of these in a month is bit `7 * (k - 1) + n`.
    pub nth: u64,
}

impl Days {
    /// The days of a month; bit n is day n. May name days that the month does not have.
    fn of(&self, month: Month) -> u64 {
        let mut days = self.plain;
        if self.last {
            days |= 1 << month.length;
        }
        if self.last_weekday {
            days |= 1 << nearest_weekday(month, month.length);
        }
        for day in bits(self.nearest).take_while(|day| *day <= month.length) {
            days |= 1 << nearest_weekday(month, day);
        }
        days
    }
}

impl Weekdays {
    /// The days of a month; bit n is day n. May name days that the month does not have.
    fn of(&self, month: Month) -> u64 {
        let all = |weekday: u32| EVERY_SEVENTH << ((weekday + 7 - month.first_weekday) % 7);
        let exist = (2u64 << month.length) - 1;
        let plain = bits(self.plain).map(all).fold(0, |days, more| days | more);
        let last = bits(self.last).map(|weekday| 1 << (all(weekday) & exist).ilog2());
        let nth = bits(self.nth).map(|bit| all(bit % 7) & 0x7f << (7 * (bit / 7) + 1));
        last.chain(nth).fold(plain, |days, more| days | more)
    }
}

/// The day from Monday to Friday nearest to a day, in the same month.
fn nearest_weekday(month: Month, day: u32) -> u32 {
    match month.weekday(day) {
        6 if day == 1 => 3,
        6 => day - 1,
        0 if day == month.length => day - 2,
        0 => day + 1,
        _ => day,
    }
}

impl Calendar {
    /// The days of a month that match; bit n is day n.
    fn days_of(&self, month: Month) -> u64 {
        let (by_day, by_weekday) = (self.days.of(month), self.weekdays.of(month));
        let days = if self.either { by_day | by_weekday } else { by_day & by_weekday };
        days & ((2u64 << month.length) - 2)
    }

    /// The first match at or after `from`; `steps` grows by one with each month that is looked at.
    pub fn next(&self, from: Reading, steps: &mut u32) -> Option<Reading> {
        let (year, month, day) = civil_from_days(from.div_euclid(DAY));
        if let Some(month) = self.month_if_named(year, month) {
            *steps += 1;
            let days = self.days_of(month);
            let today = (days >> day & 1 == 1).then(|| self.time_from(from.rem_euclid(DAY) as u32)).flatten();
            if let Some(time) = today {
                return Some((month.first_day + i64::from(day) - 1) * DAY + i64::from(time));
            }
            if let Some(day) = next_bit(days, day + 1) {
                return Some(self.first_of(month, day));
            }
        }
        let (mut year, mut month) = (year, month);
        for _ in 0..CYCLE_MONTHS {
            (year, month) = self.next_month(year, month)?;
            *steps += 1;
            let found = Month::of(year, month);
            if let Some(day) = next_bit(self.days_of(found), 1) {
                return Some(self.first_of(found, day));
            }
        }
        None
    }

    /// The last match at or before `to`, but none before 1969; `steps` as in `next`.
    pub fn previous(&self, to: Reading, steps: &mut u32) -> Option<Reading> {
        let (year, month, day) = civil_from_days(to.div_euclid(DAY));
        if let Some(month) = self.month_if_named(year, month) {
            *steps += 1;
            let days = self.days_of(month);
            let today = (days >> day & 1 == 1).then(|| self.time_to(to.rem_euclid(DAY) as u32)).flatten();
            if let Some(time) = today {
                return Some((month.first_day + i64::from(day) - 1) * DAY + i64::from(time));
            }
            if let Some(day) = previous_bit(days, day - 1) {
                return Some(self.last_of(month, day));
            }
        }
        let (mut year, mut month) = (year, month);
        for _ in 0..CYCLE_MONTHS {
            (year, month) = self.previous_month(year, month).filter(|(year, _)| *year >= 1969)?;
            *steps += 1;
            let found = Month::of(year, month);
            if let Some(day) = previous_bit(self.days_of(found), found.length) {
                return Some(self.last_of(found, day));
            }
        }
        None
    }

    fn month_if_named(&self, year: i32, month: u32) -> Option<Month> {
        let named = self.months >> month & 1 == 1 && self.year_from(year) == Some(year);
        named.then(|| Month::of(year, month))
    }

    /// The month that is named after this one.
    fn next_month(&self, year: i32, month: u32) -> Option<(i32, u32)> {
        if self.year_from(year) == Some(year)
            && let Some(month) = next_bit(self.months, month + 1)
        {
            return Some((year, month));
        }
        Some((self.year_from(year + 1)?, self.months.trailing_zeros()))
    }

    /// The month that is named before this one.
    fn previous_month(&self, year: i32, month: u32) -> Option<(i32, u32)> {
        if self.year_to(year) == Some(year)
            && let Some(month) = previous_bit(self.months, month - 1)
        {
            return Some((year, month));
        }
        Some((self.year_to(year - 1)?, self.months.ilog2()))
    }

    /// The first year that is named, not before `year`.
    fn year_from(&self, year: i32) -> Option<i32> {
        let Some(years) = &self.years else { return Some(year) };
        years.get(years.partition_point(|named| i32::from(*named) < year)).copied().map(i32::from)
    }

    /// The last year that is named, not after `year`.
    fn year_to(&self, year: i32) -> Option<i32> {
        let Some(years) = &self.years else { return Some(year) };
        let after = years.partition_point(|named| i32::from(*named) <= year);
        years[..after].last().copied().map(i32::from)
    }

    fn first_of(&self, month: Month, day: u32) -> Reading {
        let [hour, minute, second] = [self.hours, self.minutes, self.seconds].map(u64::trailing_zeros);
        (month.first_day + i64::from(day) - 1) * DAY + i64::from(clock(hour, minute, second))
    }

    fn last_of(&self, month: Month, day: u32) -> Reading {
        let [hour, minute, second] = [self.hours, self.minutes, self.seconds].map(u64::ilog2);
        (month.first_day + i64::from(day) - 1) * DAY + i64::from(clock(hour, minute, second))
    }

    /// The first time of day at or after this second of the day.
    fn time_from(&self, time: u32) -> Option<u32> {
        let (hour, minute, second) = (time / 3600, time / 60 % 60, time % 60);
        if self.hours >> hour & 1 == 1 {
            if self.minutes >> minute & 1 == 1
                && let Some(second) = next_bit(self.seconds, second)
            {
                return Some(clock(hour, minute, second));
            }
            if let Some(minute) = next_bit(self.minutes, minute + 1) {
                return Some(clock(hour, minute, self.seconds.trailing_zeros()));
            }
        }
        let hour = next_bit(self.hours, hour + 1)?;
        Some(clock(hour, self.minutes.trailing_zeros(), self.seconds.trailing_zeros()))
    }

    /// The last time of day at or before this second of the day.
    fn time_to(&self, time: u32) -> Option<u32> {
        let (hour, minute, second) = (time / 3600, time / 60 % 60, time % 60);
        if self.hours >> hour & 1 == 1 {
            if self.minutes >> minute & 1 == 1
                && let Some(second) = previous_bit(self.seconds, second)
            {
                return Some(clock(hour, minute, second));
            }
            if let Some(minute) = minute.checked_sub(1).and_then(|minute| previous_bit(self.minutes, minute))
            {
                return Some(clock(hour, minute, self.seconds.ilog2()));
            }
        }
        let hour = previous_bit(self.hours, hour.checked_sub(1)?)?;
        Some(clock(hour, self.minutes.ilog2(), self.seconds.ilog2()))
    }
}

fn clock(hour: u32, minute: u32, second: u32) -> u32 {
    hour * 3600 + minute * 60 + second
}

/// The smallest member at or above `from`, which is below 64.
fn next_bit(set: u64, from: u32) -> Option<u32> {
    let rest = set & (u64::MAX << from);
    (rest != 0).then(|| rest.trailing_zeros())
}

/// The largest member at or below `to`, which is below 63.
fn previous_bit(set: u64, to: u32) -> Option<u32> {
    let rest = set & ((2 << to) - 1);
    (rest != 0).then(|| rest.ilog2())
}

/// The members in order.
fn bits(mut set: u64) -> impl Iterator<Item = u32> {
    std::iter::from_fn(move || {
        let bit = (set != 0).then(|| set.trailing_zeros())?;
        set &= set - 1;
        Some(bit)
    })
}
