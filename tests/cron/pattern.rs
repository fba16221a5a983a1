//! Random expressions whose meaning is known without reading them.

use std::collections::BTreeSet;
use std::fmt::Write;

use jiff::civil::{Date, DateTime};
use proptest::prelude::*;

/// One item of a field: its text, and the values that it stands for.
type Item = (String, BTreeSet<i32>);

/// A field of plain values.
#[derive(Clone, Debug)]
pub struct Values {
    items: Vec<Item>,
}

/// An item of a field of days that needs the calendar.
#[derive(Clone, Copy, Debug)]
enum Special {
    Last,
    LastWeekday,
    Nearest(i32),
    LastOf(i32),
    Nth(i32, i32),
}

/// An expression of six fields, or of five where the second is 0 by itself.
#[derive(Clone, Debug)]
pub struct Pattern {
    second: Option<Values>,
    minute: Values,
    hour: Values,
    day: Values,
    day_special: Option<Special>,
    month: Values,
    weekday: Values,
    weekday_special: Option<Special>,
}

impl Values {
    fn text(&self) -> String {
        self.items.iter().map(|(text, _)| text.as_str()).collect::<Vec<_>>().join(",")
    }

    fn has(&self, value: i8) -> bool {
        self.items.iter().any(|(_, values)| values.contains(&i32::from(value)))
    }

    fn starts_with_star(&self) -> bool {
        self.items[0].0.starts_with('*')
    }
}

fn values(low: i32, high: i32) -> impl Strategy<Value = Values> {
    let star = Just(("*".to_owned(), (low..=high).collect()));
    let step =
        (1..=high).prop_map(move |step| (format!("*/{step}"), (low..=high).step_by(step as usize).collect()));
    let one = (low..=high).prop_map(|value| (value.to_string(), BTreeSet::from([value])));
    let ends = (low..=high, low..=high).prop_map(|(a, b)| (a.min(b), a.max(b)));
    let range = ends.clone().prop_map(|(from, to)| (format!("{from}-{to}"), (from..=to).collect()));
    let stepped = (ends, 1..=high).prop_map(|((from, to), step)| {
        (format!("{from}-{to}/{step}"), (from..=to).step_by(step as usize).collect())
    });
    let some = prop_oneof![one, range, stepped];
    prop_oneof![
        3 => star.prop_map(|star| Values { items: vec![star] }),
        1 => step.prop_map(|step| Values { items: vec![step] }),
        4 => prop::collection::vec(some, 1..4).prop_map(|items| Values { items }),
    ]
}

/// A random expression: mostly one that fires within days, often one that never does.
pub fn pattern() -> impl Strategy<Value = Pattern> {
    let day_special =
        prop_oneof![Just(Special::Last), Just(Special::LastWeekday), (1..=31).prop_map(Special::Nearest),];
    let weekday_special = prop_oneof![
        (0..=6).prop_map(Special::LastOf),
        (0..=6, 1..=5).prop_map(|(day, turn)| Special::Nth(day, turn)),
    ];
    let month =
        prop_oneof![3 => Just(Values { items: vec![("*".into(), (1..=12).collect())] }), 1 => values(1, 12)];
    (
        prop::option::weighted(0.2, values(0, 59)),
        values(0, 59),
        values(0, 23),
        (values(1, 31), prop::option::weighted(0.2, day_special)),
        month,
        (values(0, 6), prop::option::weighted(0.2, weekday_special)),
    )
        .prop_map(|(second, minute, hour, (day, day_special), month, (weekday, weekday_special))| {
            Pattern { second, minute, hour, day, day_special, month, weekday, weekday_special }
        })
}

impl Pattern {
    /// The expression.
    pub fn text(&self) -> String {
        let mut text = String::new();
        if let Some(second) = &self.second {
            write!(text, "{} ", second.text()).unwrap();
        }
        let with = |values: &Values, special: Option<Special>| match special {
            Some(special) => format!("{},{}", values.text(), special.text()),
            None => values.text(),
        };
        let day = with(&self.day, self.day_special);
        let weekday = with(&self.weekday, self.weekday_special);
        let (minute, hour, month) = (self.minute.text(), self.hour.text(), self.month.text());
        write!(text, "{minute} {hour} {day} {month} {weekday}").unwrap();
        text
    }

    /// Whether it follows elapsed time.
    pub fn is_elapsed(&self) -> bool {
        [self.second.as_ref(), Some(&self.minute), Some(&self.hour)]
            .iter()
            .flatten()
            .any(|f| f.starts_with_star())
    }

    /// Whether a day matches.
    pub fn names_day(&self, date: Date) -> bool {
        let weekday = date.weekday().to_sunday_zero_offset();
        let by_day = self.day.has(date.day()) || self.day_special.is_some_and(|special| special.is(date));
        let by_weekday =
            self.weekday.has(weekday) || self.weekday_special.is_some_and(|special| special.is(date));
        let by_both = if self.day.starts_with_star() || self.weekday.starts_with_star() {
            by_day && by_weekday
        } else {
            by_day || by_weekday
        };
        by_both && self.month.has(date.month())
    }

    /// Whether a time of day matches.
    pub fn names_time(&self, reading: DateTime) -> bool {
        let second = match &self.second {
            Some(second) => second.has(reading.second()),
            None => reading.second() == 0,
        };
        second && self.minute.has(reading.minute()) && self.hour.has(reading.hour())
    }
}

impl Special {
    fn text(self) -> String {
        match self {
            Self::Last => "L".into(),
            Self::LastWeekday => "LW".into(),
            Self::Nearest(day) => format!("{day}W"),
            Self::LastOf(weekday) => format!("{weekday}L"),
            Self::Nth(weekday, turn) => format!("{weekday}#{turn}"),
        }
    }

    fn is(self, date: Date) -> bool {
        let works = |date: Date| (1..=5).contains(&date.weekday().to_monday_one_offset());
        let weekday = i32::from(date.weekday().to_sunday_zero_offset());
        match self {
            Self::Last => date == date.last_of_month(),
            Self::LastWeekday => {
                let mut last = date.last_of_month();
                while !works(last) {
                    last = last.yesterday().unwrap();
                }
                date == last
            }
            Self::Nearest(day) => {
                let Ok(wanted) = Date::new(date.year(), date.month(), day as i8) else { return false };
                // Ever further away, on both sides, Friday before Monday by a hair: the order of the rule.
                let by_distance = [0, -1, 1, -2, 2].map(|by| wanted + jiff::Span::new().days(by));
                by_distance.into_iter().find(|near| near.month() == date.month() && works(*near))
                    == Some(date)
            }
            Self::LastOf(wanted) => weekday == wanted && date.day() + 7 > date.days_in_month(),
            Self::Nth(wanted, turn) => weekday == wanted && i32::from((date.day() - 1) / 7) + 1 == turn,
        }
    }
}
