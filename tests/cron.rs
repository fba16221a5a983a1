//! Cron expressions: the cases of `cron/sample.json`, a naive clock that is asked second by second, random
//! expressions in random zones, and other crates where their rules agree with ours.

#[path = "cron/clock.rs"]
mod clock;
#[path = "cron/oracles.rs"]
mod oracles;
#[path = "cron/pattern.rs"]
mod pattern;
#[path = "cron/sample.rs"]
mod sample;

use proptest::prelude::*;
use task::policy::cron::{Cron, Zone, tzdb_version};

use clock::Clock;
use pattern::pattern;

/// Zones and instants at which their clocks are moved: by an hour, two, three, half an hour, 44 minutes and a
/// half, a whole day; at midnight
/// and a minute after midnight. One is never moved.
const CHANGES: &[(&str, i64)] = &[
    ("America/New_York", 1_772_953_200),
    ("America/New_York", 1_793_512_800),
    ("Europe/London", 1_774_746_000),
    ("Australia/Lord_Howe", 1_775_314_800),
    ("Australia/Lord_Howe", 1_791_041_400),
    ("America/Sao_Paulo", 1_541_300_400),
    ("America/Sao_Paulo", 1_550_368_800),
    ("Africa/Casablanca", 1_587_261_600),
    ("Africa/Casablanca", 1_590_890_400),
    ("Antarctica/Troll", 1_774_746_000),
    ("Antarctica/Troll", 1_792_890_000),
    ("Antarctica/Casey", 1_267_714_800),
    ("America/Danmarkshavn", 820_465_200),
    ("America/Caracas", 1_197_183_600),
    ("America/St_Johns", 1_289_097_060),
    ("Africa/Monrovia", 63_593_070),
    ("Pacific/Apia", 1_325_239_200),
    ("Pacific/Kwajalein", 745_934_400),
    ("UTC", 1_000_000_000),
];

const HOURS: i64 = 3600;

fn cron(text: &str, zone: &str) -> Cron {
    Cron::new(text, Zone::named(zone).unwrap()).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn millis(second: i64) -> u64 {
    u64::try_from(second).unwrap() * 1000
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(200) })]

    #[test]
    fn every_slot_around_a_change_is_one_of_a_naive_clock(
        pattern in pattern(),
        (zone, change) in prop::sample::select(CHANGES),
    ) {
        let clock = Clock::around(zone, change, 30 * HOURS);
        let expected = clock.slots(&pattern);
        let text = pattern.text();
        // What the naive clock never sees is not refused by chance alone: it may come at another time.
        let Ok(cron) = Cron::new(&text, Zone::named(zone).unwrap()) else {
            prop_assert!(expected.is_empty(), "{text} is refused, but fires");
            return Ok(());
        };
        let (from, until) = clock.bounds();
        let slots: Vec<i64> = cron
            .after(millis(from) - 1)
            .map(|slot| slot as i64 / 1000)
            .take_while(|slot| *slot < until)
            .collect();
        prop_assert_eq!(&slots, &expected, "{} in {}", text, zone);

        for at in (from..until).step_by(1801) {
            let inside = |slot: &u64| (millis(from)..millis(until)).contains(slot);
            let next = expected.iter().find(|slot| **slot > at).map(|slot| millis(*slot));
            prop_assert_eq!(cron.next(millis(at)).filter(inside), next, "{} in {} after {}", text, zone, at);
            let previous = expected.iter().rfind(|slot| **slot < at).map(|slot| millis(*slot));
            let found = cron.previous(millis(at)).filter(inside);
            prop_assert_eq!(found, previous, "{} in {} before {}", text, zone, at);
        }
    }

    #[test]
    fn next_and_previous_agree(
        pattern in pattern(),
        zone in prop::sample::select(CHANGES).prop_map(|(zone, _)| zone),
        at in 0..8_000_000_000_000u64,
    ) {
        let text = pattern.text();
        let Ok(cron) = Cron::new(&text, Zone::named(zone).unwrap()) else { return Ok(()) };
        let (mut before, mut count) = (at, 0);
        for slot in cron.after(at).take(20) {
            prop_assert!(slot > before, "{text} in {zone}: {slot} does not come after {before}");
            prop_assert_eq!(cron.next(before), Some(slot));
            prop_assert_eq!(cron.next(slot - 1), Some(slot));
            prop_assert_eq!(cron.previous(slot + 1), Some(slot));
            // Nothing lies between the two.
            prop_assert!(cron.previous(slot).is_none_or(|earlier| earlier <= before));
            (before, count) = (slot, count + 1);
        }
        prop_assert_eq!(cron.preview(at, 20).len(), count);
        let back = cron.previous(at);
        prop_assert!(back.is_none_or(|slot| slot < at && cron.next(slot).is_none_or(|next| next >= at)));
    }
}

#[test]
fn slots_one_by_one_are_those_of_a_run() {
    for (zone, change) in CHANGES {
        let hourly = cron("30 */2 * * *", zone);
        let run = hourly.preview(millis(change - 50 * HOURS), 50);
        let single = run.windows(2).all(|pair| hourly.next(pair[0]) == Some(pair[1]));
        assert!(single, "{zone}");
    }
}

#[test]
fn the_changes_are_changes() {
    for (zone, change) in CHANGES {
        let clock = Clock::around(zone, *change, 2);
        assert_eq!(clock.is_moved(), *zone != "UTC", "{zone} at {change}");
    }
}

#[test]
fn the_zones_have_a_version() {
    assert!(tzdb_version().starts_with("20"));
}
