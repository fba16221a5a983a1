//! Other crates, where their rules agree with ours: `croner` in UTC and away from changes of clocks, `cron`
//! in UTC with one field of days (it joins the two by "and", and counts Sunday as 1).

use std::str::FromStr;

use chrono::{DateTime, Utc};
use croner::parser::{CronParser, Seconds, Year};
use proptest::prelude::*;
use task::policy::cron::{Cron, Zone};

const RUNS: usize = 8;

/// One item of a field that both sides read alike.
fn item(low: u32, high: u32) -> impl Strategy<Value = String> {
    let ends = (low..=high, low..=high).prop_map(|(a, b)| (a.min(b), a.max(b)));
    prop_oneof![
        3 => (low..=high).prop_map(|value| value.to_string()),
        2 => ends.clone().prop_map(|(from, to)| format!("{from}-{to}")),
        1 => (ends, 1..=high).prop_map(|((from, to), step)| format!("{from}-{to}/{step}")),
    ]
}

fn list(low: u32, high: u32) -> impl Strategy<Value = String> {
    prop::collection::vec(item(low, high), 1..4).prop_map(|items| items.join(","))
}

fn field(low: u32, high: u32) -> impl Strategy<Value = String> {
    prop_oneof![
        2 => Just("*".to_owned()),
        1 => (1..=high).prop_map(|step| format!("*/{step}")),
        3 => list(low, high),
    ]
}

/// Days of the month with `L` or `W`; `LW` stands alone, since `croner` takes an `L` beside it for another.
fn special_days() -> impl Strategy<Value = String> {
    prop_oneof![
        (list(1, 31)).prop_map(|list| format!("{list},L")),
        Just("LW".to_owned()),
        (1..=31u32, 1..=31u32).prop_map(|(a, b)| format!("{a}W,{b}")),
    ]
}

fn special_weekdays() -> impl Strategy<Value = String> {
    prop_oneof![
        (0..=7u32).prop_map(|day| format!("{day}L")),
        (0..=7u32, 1..=5u32).prop_map(|(day, turn)| format!("{day}#{turn}")),
        (0..=6u32, 0..=6u32, 1..=5u32).prop_map(|(a, b, turn)| format!("{a},{b}#{turn}")),
    ]
}

/// Both fields of days; where both are restricted neither begins with a star, as `croner` means it.
fn days() -> impl Strategy<Value = (String, String)> {
    let day = || prop_oneof![3 => list(1, 31), 1 => special_days()];
    let weekday = || prop_oneof![3 => list(0, 7), 1 => special_weekdays()];
    prop_oneof![
        (field(1, 31), Just("*".to_owned())),
        (Just("*".to_owned()), field(0, 7)),
        (day(), Just("*".to_owned())),
        (Just("*".to_owned()), weekday()),
        (day(), weekday()),
    ]
}

fn ours(text: &str, from: i64) -> Option<Vec<i64>> {
    let cron = Cron::new(text, Zone::utc()).ok()?;
    Some(cron.after(from as u64 * 1000).take(RUNS).map(|slot| slot as i64 / 1000).collect())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1500) })]

    #[test]
    fn croner_agrees(
        second in prop::option::of(field(0, 59)),
        (minute, hour, month) in (field(0, 59), field(0, 23), field(1, 12)),
        (day, weekday) in days(),
        from in 0..2_500_000_000i64,
    ) {
        let second = second.map_or(String::new(), |second| format!("{second} "));
        let text = format!("{second}{minute} {hour} {day} {month} {weekday}");
        let parser = CronParser::builder().seconds(Seconds::Optional).year(Year::Disallowed).build();
        let theirs = parser.parse(&text).unwrap();
        let start = DateTime::<Utc>::from_timestamp(from, 0).unwrap();
        match ours(&text, from) {
            Some(slots) => {
                let found = theirs.iter_after(start).take(RUNS).map(|at| at.timestamp());
                prop_assert_eq!(slots, found.collect::<Vec<_>>(), "{}", text);
            }
            None => prop_assert!(theirs.find_next_occurrence(&start, false).is_err(), "{text} fires"),
        }
    }

    #[test]
    fn cron_agrees(
        (second, minute, hour, month) in (field(0, 59), field(0, 59), field(0, 23), field(1, 12)),
        days in prop_oneof![
            field(1, 31).prop_map(|day| (day, "*".to_owned())),
            list(0, 6).prop_map(|weekday| ("*".to_owned(), weekday)),
        ],
        from in 0..2_500_000_000i64,
    ) {
        let (day, weekday) = days;
        let text = format!("{second} {minute} {hour} {day} {month} {weekday}");
        // One more for each number of a day; the numbers of steps stay.
        let counted_from_one = weekday
            .split(',')
            .map(|item| {
                let (range, step) = item.split_once('/').map_or((item, None), |(a, b)| (a, Some(b)));
                let ends = range.split('-').map(|end| end.parse::<u32>().map_or(end.into(), |n| (n + 1).to_string()));
                let range = ends.collect::<Vec<String>>().join("-");
                step.map_or(range.clone(), |step| format!("{range}/{step}"))
            })
            .collect::<Vec<_>>()
            .join(",");
        let theirs = format!("{second} {minute} {hour} {day} {month} {counted_from_one}");
        let theirs = cron::Schedule::from_str(&theirs).unwrap();
        // It knows no year after 2100.
        let found = theirs.after(&DateTime::<Utc>::from_timestamp(from, 0).unwrap()).map(|at| at.timestamp());
        let found: Vec<i64> = found.take(RUNS).collect();
        let slots = ours(&text, from).unwrap_or_default();
        prop_assert_eq!(&slots[..found.len().min(slots.len())], &found[..], "{}", text);
        prop_assert!(found.len() == RUNS || slots.get(found.len()).is_none_or(|next| *next >= 4_102_444_800));
    }
}
