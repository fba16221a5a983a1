//! From text to `Calendar`: a parser that takes only what the dialect has.
//!
//! One pass over at most 256 bytes; every refusal names the field and the column. The dialect is that of
//! Vixie cron, with seconds, years, `L`, `W` and `#` as in Quartz.

use std::sync::Arc;

use super::calendar::{Calendar, Days, Weekdays};
use super::error::{CronError, Field};

/// The longest expression, in bytes.
pub const MAX_LENGTH: usize = 256;

const MONTHS: [&str; 12] =
    ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"];
const WEEKDAYS: [&str; 7] = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];
const SUNDAY: u16 = 7;

const NICKNAMES: [(&str, &str); 7] = [
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
    ("@monthly", "0 0 1 * *"),
    ("@weekly", "0 0 * * 0"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@hourly", "0 * * * *"),
];

/// A part of the expression and where it begins, counted from 1.
#[derive(Clone, Copy)]
struct Part<'a> {
    text: &'a str,
    column: usize,
}

/// A part of one field.
#[derive(Clone, Copy)]
struct Item<'a> {
    field: Field,
    part: Part<'a>,
}

/// Reads an expression. That its dates exist is not yet known.
pub fn parse(text: &str) -> Result<Calendar, CronError> {
    if text.len() > MAX_LENGTH {
        return Err(CronError::TooLong { length: text.len() });
    }
    if let Some(at) = text.bytes().position(|byte| !byte.is_ascii()) {
        return Err(CronError::NotAscii { column: at + 1 });
    }
    let words = words(text);
    match words[..] {
        [] => Err(CronError::Empty),
        [word] if word.text.starts_with('@') => {
            let meant = NICKNAMES.iter().find(|(name, _)| name.eq_ignore_ascii_case(word.text));
            let (_, meant) = meant
                .ok_or_else(|| CronError::Nickname { given: word.text.to_owned(), column: word.column })?;
            parse(meant)
        }
        [minute, hour, day, month, weekday] => fields(None, [minute, hour, day, month, weekday], None),
        [second, minute, hour, day, month, weekday] => {
            fields(Some(second), [minute, hour, day, month, weekday], None)
        }
        [second, minute, hour, day, month, weekday, year] => {
            fields(Some(second), [minute, hour, day, month, weekday], Some(year))
        }
        _ => Err(CronError::FieldCount { count: words.len() }),
    }
}

fn words(text: &str) -> Vec<Part<'_>> {
    let words = text.split_ascii_whitespace();
    words.map(|word| Part { text: word, column: 1 + word.as_ptr().addr() - text.as_ptr().addr() }).collect()
}

fn fields(second: Option<Part>, five: [Part; 5], year: Option<Part>) -> Result<Calendar, CronError> {
    let [minute, hour, day, month, weekday] = five;
    let free = |part: Part| part.text.starts_with(['*', '?']);
    let seconds = second.map_or(Ok(1), |part| Item { field: Field::Second, part }.set())?;
    Ok(Calendar {
        seconds,
        minutes: Item { field: Field::Minute, part: minute }.set()?,
        hours: Item { field: Field::Hour, part: hour }.set()?,
        days: Item { field: Field::DayOfMonth, part: day }.days()?,
        months: Item { field: Field::Month, part: month }.set()?,
        weekdays: Item { field: Field::DayOfWeek, part: weekday }.weekdays()?,
        years: year.map_or(Ok(None), |part| Item { field: Field::Year, part }.years())?,
        either: !free(day) && !free(weekday),
        elapsed: [second, Some(minute), Some(hour)].iter().flatten().any(|part| part.text.starts_with('*')),
    })
}

impl<'a> Item<'a> {
    fn refuse<T>(self, reason: impl Into<String>) -> Result<T, CronError> {
        Err(CronError::Field { field: self.field, column: self.part.column, reason: reason.into() })
    }

    /// The piece of this item from `from` to `to`.
    fn slice(self, from: usize, to: usize) -> Self {
        let part = Part { text: &self.part.text[from..to], column: self.part.column + from };
        Self { part, ..self }
    }

    /// Before and after the first of these characters.
    fn split(self, at: char) -> Option<(Self, Self)> {
        let found = self.part.text.find(at)?;
        Some((self.slice(0, found), self.slice(found + 1, self.part.text.len())))
    }

    /// Without this ending, in either case.
    fn without(self, ending: char) -> Option<Self> {
        let last = self.part.text.chars().next_back()?;
        last.eq_ignore_ascii_case(&ending).then(|| self.slice(0, self.part.text.len() - 1))
    }

    /// The items of a list.
    fn list(self) -> impl Iterator<Item = Self> {
        let mut rest = Some(self);
        std::iter::from_fn(move || {
            let list = rest?;
            let (first, more) = match list.split(',') {
                Some((first, more)) => (first, Some(more)),
                None => (list, None),
            };
            rest = more;
            Some(first)
        })
    }

    /// A field without anything special: bit n for the value n.
    fn set(self) -> Result<u64, CronError> {
        let mut set = 0;
        for item in self.list() {
            item.values(&mut |value| set |= 1 << value)?;
        }
        Ok(set)
    }

    fn years(self) -> Result<Option<Arc<[u16]>>, CronError> {
        if self.part.text == "*" {
            return Ok(None);
        }
        let mut years = Vec::new();
        for item in self.list() {
            item.values(&mut |year| years.push(year))?;
        }
        years.sort_unstable();
        years.dedup();
        Ok(Some(years.into()))
    }

    fn days(self) -> Result<Days, CronError> {
        let mut days = Days::default();
        for item in self.list() {
            if self.part.text == "?" {
                days.plain = u64::from(u32::MAX) - 1;
            } else if item.part.text.eq_ignore_ascii_case("L") {
                days.last = true;
            } else if item.part.text.eq_ignore_ascii_case("LW") {
                days.last_weekday = true;
            } else if let Some(day) = item.without('W') {
                days.nearest |= 1 << day.value()?;
            } else {
                item.values(&mut |day| days.plain |= 1 << day)?;
            }
        }
        Ok(days)
    }

    fn weekdays(self) -> Result<Weekdays, CronError> {
        let mut weekdays = Weekdays::default();
        for item in self.list() {
            if self.part.text == "?" {
                weekdays.plain = 0x7f;
            } else if let Some((day, turn)) = item.split('#') {
                weekdays.nth |= 1 << (7 * (turn.turn()? - 1) + day.value()? % SUNDAY);
            } else if item.part.text.eq_ignore_ascii_case("L") {
                return item.refuse("L needs the day before it, as in 5L for the last Friday");
            } else if let Some(day) = item.without('L') {
                weekdays.last |= 1 << (day.value()? % SUNDAY);
            } else {
                item.values(&mut |day| weekdays.plain |= 1 << (day % SUNDAY))?;
            }
        }
        Ok(weekdays)
    }

    /// The values of `*`, a value or a range, with or without a step.
    fn values(self, found: &mut dyn FnMut(u16)) -> Result<(), CronError> {
        if self.part.text.is_empty() {
            return self.refuse("there is nothing here; a list has a value before and after each comma");
        }
        let (range, step) = match self.split('/') {
            Some((range, step)) => (range, Some(step.step()?)),
            None => (self, None),
        };
        let (from, to) = range.ends(step.is_some())?;
        (from..=to).step_by(usize::from(step.unwrap_or(1))).for_each(found);
        Ok(())
    }

    /// The first and the last value of a range. A lone value with a step goes on to the end, as in Quartz.
    fn ends(self, stepped: bool) -> Result<(u16, u16), CronError> {
        let (low, high) = self.field.range();
        if self.part.text == "*" {
            return Ok((low, high));
        }
        let Some((from, to)) = self.split('-') else {
            let value = self.value()?;
            return Ok((value, if stepped { high } else { value }));
        };
        let (first, mut last) = (from.value()?, to.value()?);
        // Sunday as a name is the 0th day, but at the end of a range only the 7th makes sense.
        if self.field == Field::DayOfWeek && first > 0 && to.part.text.eq_ignore_ascii_case(WEEKDAYS[0]) {
            last = SUNDAY;
        }
        if first > last {
            return self.refuse(format!("the range {:?} runs backwards; write it as a list", self.part.text));
        }
        Ok((first, last))
    }

    /// A number within the range of the field, or one of its names.
    fn value(self) -> Result<u16, CronError> {
        let text = self.part.text;
        let (low, high) = self.field.range();
        if let Some(number) = self.number() {
            if (low..=high).contains(&number) {
                return Ok(number);
            }
            return self.refuse(format!("{text} is outside of {low} to {high}"));
        }
        let place = |names: &[&str]| names.iter().position(|name| name.eq_ignore_ascii_case(text));
        match (self.field, place(&MONTHS), place(&WEEKDAYS)) {
            (Field::Month, Some(at), _) => Ok(at as u16 + 1),
            (Field::DayOfWeek, _, Some(at)) => Ok(at as u16),
            (_, Some(_), _) => self.refuse(format!("{text:?} is a month; it belongs in the month field")),
            (_, _, Some(_)) => {
                self.refuse(format!("{text:?} is a day of the week; it belongs in the day-of-week field"))
            }
            _ => self.refuse(format!("{text:?} is not a value; {}", self.allowed())),
        }
    }

    /// Digits; what has too many of them is as wrong as any number that is too large.
    fn number(self) -> Option<u16> {
        let text = self.part.text;
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| text.parse().unwrap_or(u16::MAX))
    }

    fn step(self) -> Result<u16, CronError> {
        let (low, high) = self.field.range();
        // The distance from which on only the first value is left; days and months begin at 1.
        let most = if low <= 1 { high } else { high - low };
        match self.number() {
            Some(step) if (1..=most).contains(&step) => Ok(step),
            _ => self.refuse(format!("{:?} is not a step; allowed are 1 to {most}", self.part.text)),
        }
    }

    /// The k of `n#k`.
    fn turn(self) -> Result<u16, CronError> {
        match self.number() {
            Some(turn @ 1..=5) => Ok(turn),
            _ => self.refuse(format!("{:?} after # is not allowed; it is 1 to 5", self.part.text)),
        }
    }

    fn allowed(self) -> String {
        let (low, high) = self.field.range();
        let more = match self.field {
            Field::DayOfMonth => ", L, LW, nW and a lone ?",
            Field::Month => " and JAN to DEC",
            Field::DayOfWeek => ", SUN to SAT, nL, n#k and a lone ?",
            _ => "",
        };
        format!("allowed are {low} to {high}{more}, *, lists, ranges and steps")
    }
}
