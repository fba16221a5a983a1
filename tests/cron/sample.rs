//! The cases of `sample.json`: valid expressions with their instants, invalid ones, and changes of clocks.

use serde_json::Value;
use task::policy::cron::{Cron, Zone};

fn sample() -> Value {
    serde_json::from_str(include_str!("sample.json")).unwrap()
}

fn cases(kind: &str) -> Vec<Value> {
    let Value::Array(cases) = sample()[kind].take() else { panic!("{kind} is a list") };
    cases
}

fn text<'a>(case: &'a Value, name: &str) -> &'a str {
    case[name].as_str().unwrap()
}

fn instant(case: &Value) -> u64 {
    let at: jiff::Timestamp = case.as_str().unwrap().parse().unwrap();
    u64::try_from(at.as_millisecond()).unwrap()
}

fn instants(case: &Value) -> Vec<u64> {
    case.as_array().map(|list| list.iter().map(instant).collect()).unwrap_or_default()
}

/// How many answers are wrong, each on a line.
fn wrong(kind: &str) -> Vec<String> {
    let judge = |case: &Value| -> Result<(), String> {
        let zone = Zone::named(text(case, "tz")).map_err(|error| error.to_string())?;
        let cron = Cron::new(text(case, "expr"), zone).map_err(|error| error.to_string())?;
        let from = instant(&case["from"]);
        let next = instants(&case["next"]);
        let found = cron.preview(from, 5);
        if found != next {
            return Err(format!("next is {found:?}, not {next:?}"));
        }
        let previous = instants(&case["prev"]);
        let mut found = Vec::new();
        let mut before = from;
        while found.len() < previous.len() {
            let Some(slot) = cron.previous(before) else { break };
            found.push(slot);
            before = slot;
        }
        if found == previous { Ok(()) } else { Err(format!("previous is {found:?}, not {previous:?}")) }
    };
    let cases = cases(kind);
    cases
        .iter()
        .filter_map(|case| judge(case).err().map(|what| format!("{}: {what}", text(case, "expr"))))
        .collect()
}

#[test]
fn the_sample_is_all_there() {
    let count = |kind| cases(kind).len();
    assert_eq!((count("valid"), count("invalid"), count("dst")), (46, 8, 8));
}

#[test]
fn valid_expressions() {
    assert_eq!(wrong("valid"), [""; 0]);
}

#[test]
fn changes_of_clocks() {
    assert_eq!(wrong("dst"), [""; 0]);
}

#[test]
fn invalid_expressions() {
    let accepted: Vec<String> = cases("invalid")
        .iter()
        .filter(|case| Cron::new(text(case, "expr"), Zone::utc()).is_ok())
        .map(|case| text(case, "expr").to_owned())
        .collect();
    assert_eq!(accepted, [""; 0]);
}
