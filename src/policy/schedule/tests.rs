use proptest::prelude::*;

use super::*;
use crate::policy::cron::Zone;

const HOUR: Millis = 3_600_000;
const KEY: &str = "nightly";

fn every(every: Millis, anchor: Millis) -> Plan {
    Plan::new(When::Every(Every { every, anchor }))
}

fn cron(text: &str) -> Plan {
    Plan::new(When::Cron(Cron::new(text, Zone::utc()).unwrap()))
}

/// Instants and how many were skipped before each; then what no run tells of.
fn fired(firing: &Firing) -> (Vec<(Millis, u64)>, u64) {
    (firing.slots.iter().map(|slot| (slot.at, slot.skipped)).collect(), firing.skipped)
}

#[test]
fn every_keeps_to_its_anchor() {
    let plan = every(1000, 500);
    assert_eq!(plan.preview(0, 3), [500, 1500, 2500]);
    assert_eq!(plan.next(500), Some(1500));
    assert_eq!(plan.next(1499), Some(1500));
    assert_eq!(plan.previous(500), None);
    assert_eq!(plan.previous(501), Some(500));
    assert_eq!(plan.previous(2500), Some(1500));
    assert_eq!(plan.next(u64::MAX), None);
    assert_eq!(every(u64::MAX, 1).next(1), None);
    assert_eq!((every(0, 0).next(5), every(0, 0).previous(5)), (Some(6), Some(4)));
    // A run that is late does not move those after it.
    let firing = plan.catch_up(KEY, Cursor::begin(600), 1730);
    assert_eq!(fired(&firing), (vec![(1500, 0)], 0));
    assert_eq!(firing.due_at, Some(2500));
}

#[test]
fn nothing_is_due_before_its_time_and_nothing_twice() {
    let plan = cron("0 * * * *");
    let begin = Cursor::begin(HOUR / 2);
    assert_eq!(plan.due_at(KEY, begin), Some(HOUR));
    assert_eq!(plan.catch_up(KEY, begin, HOUR - 1).slots, []);
    let firing = plan.catch_up(KEY, begin, HOUR);
    assert_eq!(fired(&firing), (vec![(HOUR, 0)], 0));
    assert_eq!(firing.cursor, Cursor { at: HOUR, fired: 1 });
    for now in [HOUR, HOUR + 1, HOUR - 1, 0] {
        let again = plan.catch_up(KEY, firing.cursor, now);
        assert_eq!((again.slots, again.cursor, again.due_at), (vec![], firing.cursor, Some(2 * HOUR)));
    }
}

#[test]
fn missed_slots() {
    let begin = Cursor { at: 0, fired: 4 };
    let now = 5 * HOUR + HOUR / 2;
    let with = |catch_up| Plan { catch_up, ..cron("0 * * * *") }.catch_up(KEY, begin, now);
    let hours = |n: Millis| n * HOUR;

    let latest = with(CatchUp::Latest);
    assert_eq!(fired(&latest), (vec![(hours(5), 4)], 0));
    assert_eq!((latest.cursor, latest.due_at), (Cursor { at: hours(5), fired: 5 }, Some(hours(6))));

    let all = with(CatchUp::All);
    assert_eq!(fired(&all), ((1..=5).map(|n| (hours(n), 0)).collect(), 0));
    assert_eq!((all.cursor, all.due_at), (Cursor { at: hours(5), fired: 9 }, Some(hours(6))));

    let none = with(CatchUp::None);
    assert_eq!(fired(&none), (vec![], 5));
    assert_eq!((none.cursor, none.due_at), (Cursor { at: hours(5), fired: 4 }, Some(hours(6))));
}

#[test]
fn without_catching_up_what_is_on_time_fires() {
    let plan = Plan { catch_up: CatchUp::None, ..cron("0 * * * *") };
    let at = |now| fired(&plan.catch_up(KEY, Cursor::begin(0), now));
    assert_eq!(at(3 * HOUR + ON_TIME), (vec![(3 * HOUR, 2)], 0));
    assert_eq!(at(3 * HOUR + ON_TIME + 1), (vec![], 3));
}

#[test]
fn of_very_many_missed_slots_the_newest_hundred() {
    let year = 8760 * HOUR;
    for plan in [every(1000, 0), cron("* * * * * *")] {
        let firing = Plan { catch_up: CatchUp::All, ..plan.clone() }.catch_up(KEY, Cursor::begin(0), year);
        assert_eq!(firing.slots.len(), MOST_AT_ONCE);
        assert_eq!(firing.slots[0], Slot { at: year - 99_000, skipped: MOST_COUNTED });
        assert_eq!(firing.slots[99], Slot { at: year, skipped: 0 });
        let firing = plan.catch_up(KEY, Cursor::begin(0), 1_000_000);
        assert_eq!(fired(&firing), (vec![(1_000_000, 999)], 0));
    }
}

#[test]
fn bounds_of_time_and_number() {
    let plan = Plan { start_at: Some(3 * HOUR), end_at: Some(5 * HOUR), ..cron("0 * * * *") };
    assert_eq!(plan.preview(0, 9), [3 * HOUR, 4 * HOUR, 5 * HOUR]);
    assert_eq!(plan.previous(3 * HOUR), None);
    assert_eq!(plan.previous(99 * HOUR), Some(5 * HOUR));
    let firing = plan.catch_up(KEY, Cursor::begin(0), 99 * HOUR);
    assert_eq!(fired(&firing), (vec![(5 * HOUR, 2)], 0));
    assert_eq!(firing.due_at, None);

    let plan = Plan { limit: Some(3), catch_up: CatchUp::All, ..cron("0 * * * *") };
    assert_eq!(plan.preview(0, 9).len(), 3);
    let firing = plan.catch_up(KEY, Cursor { at: 0, fired: 1 }, 9 * HOUR);
    assert_eq!(fired(&firing), (vec![(8 * HOUR, 7), (9 * HOUR, 0)], 0));
    assert_eq!(firing.due_at, None);
    assert_eq!(plan.catch_up(KEY, firing.cursor, 20 * HOUR).slots, []);
    assert_eq!(plan.due_at(KEY, firing.cursor.restart(0)), None, "its runs are over for good");
}

#[test]
fn jitter_is_the_same_for_a_key_and_spreads_keys() {
    let plan = Plan { jitter: HOUR, ..cron("0 0 * * *") };
    let lateness = plan.lateness(KEY);
    assert!(lateness > 0 && lateness < HOUR);
    assert_eq!(lateness, 318_251, "it must not change between versions");
    let slot = 24 * HOUR;
    assert_eq!(plan.due_at(KEY, Cursor::begin(0)), Some(slot + lateness));
    assert_eq!(plan.catch_up(KEY, Cursor::begin(0), slot + lateness - 1).slots, []);
    assert_eq!(fired(&plan.catch_up(KEY, Cursor::begin(0), slot + lateness)), (vec![(slot, 0)], 0));
    let mut quarters = [0; 4];
    for n in 0..1000 {
        quarters[(plan.lateness(&format!("key {n}")) * 4 / HOUR) as usize] += 1;
    }
    assert!(quarters.iter().all(|n| (200..=300).contains(n)), "{quarters:?}");
}

#[test]
fn refusals_name_the_option() {
    let said = |plan: Plan| plan.check(1000, HOUR).unwrap_err().to_string();
    assert_eq!(said(every(999, 0)), "every is 999 ms, allowed are times from 1000 ms");
    assert_eq!(every(0, 0).check(0, 0).unwrap_err().option, "every");
    assert_eq!(
        said(Plan { limit: Some(0), ..every(1000, 0) }),
        "limit is 0, allowed are whole numbers from 1"
    );
    assert_eq!(
        said(Plan { catch_up: CatchUp::All, ..every(1000, 0) }),
        "catchUp is \"all\", allowed are \"latest\" and \"none\", unless overlap is \"queue\" or \"allow\""
    );
    assert!(said(Plan { end_at: Some(HOUR), ..every(1000, 0) }).starts_with("endAt is 3600000"));
    assert!(said(cron("0 0 0 1 1 * 1970")).starts_with("cron is over"));
    assert!(said(Plan { jitter: u64::MAX, ..every(1000, 0) }).starts_with("jitter"));
    for overlap in [Overlap::Queue, Overlap::Allow] {
        assert_eq!(Plan { catch_up: CatchUp::All, overlap, ..every(1000, 0) }.check(1000, 0), Ok(()));
    }
}

#[test]
fn the_stored_form() {
    let plan = Plan { catch_up: CatchUp::All, jitter: 5, limit: Some(9), ..cron("@daily") };
    let text = serde_json::to_string(&plan).unwrap();
    assert_eq!(
        text,
        r#"{"cron":"@daily","timeZone":"UTC","catchUp":"all","overlap":"skip","jitter":5,"limit":9}"#
    );
    assert_eq!(serde_json::from_str::<Plan>(&text).unwrap(), plan);
    let short: Plan = serde_json::from_str(r#"{"every":1000,"anchor":7}"#).unwrap();
    assert_eq!(short, every(1000, 7));
    let cursor = Cursor { at: 7, fired: 1 };
    assert_eq!(serde_json::to_string(&cursor).unwrap(), r#"{"at":7,"fired":1}"#);
}

#[test]
fn ids_of_slots_differ() {
    assert_eq!(slot_id("a", 5), "schedule:a:5");
    assert_ne!(slot_id("a:1", 5), slot_id("a", 15));
    assert_ne!(slot_id("a:", 5), slot_id("a", 5));
}

/// A plan and the same as a question about each multiple of a step.
#[derive(Clone, Copy, Debug)]
struct Known {
    text: &'static str,
    step: Millis,
    names: fn(Millis) -> bool,
}

const KNOWN: [Known; 4] = [
    Known { text: "0 * * * *", step: 60_000, names: |at| at % HOUR == 0 },
    Known {
        text: "*/7 3-20 * * *",
        step: 60_000,
        names: |at| at / 60_000 % 60 % 7 == 0 && (3..=20).contains(&(at / HOUR % 24)),
    },
    Known { text: "0 0 0 * * *", step: 60_000, names: |at| at % (24 * HOUR) == 0 },
    Known { text: "", step: 77_777, names: |at| at >= 13 * 77_777 },
];

proptest! {
    #[test]
    fn every_slot_is_fired_or_skipped_once(
        known in prop::sample::select(KNOWN.to_vec()),
        catch_up in prop::sample::select(vec![CatchUp::None, CatchUp::Latest, CatchUp::All]),
        jitter in prop::sample::select(vec![0, 90_000]),
        jumps in prop::collection::vec(-20_000_000..40_000_000i64, 1..40),
        limit in prop::option::of(1..60u64),
        bounds in prop::option::of((0..200_000_000u64, 0..400_000_000u64)),
    ) {
        let plan = if known.text.is_empty() { every(known.step, 13 * known.step) } else { cron(known.text) };
        let (start_at, end_at) = bounds.unzip();
        let end_at = start_at.zip(end_at).map(|(start, length)| start + length);
        let plan = Plan { catch_up, jitter, limit, start_at, end_at, ..plan };
        let begin = 50_000_000;
        let (mut cursor, mut now, mut latest) = (Cursor::begin(begin), begin, begin);
        let (mut runs, mut skipped) = (Vec::new(), 0);
        for jump in jumps {
            now = now.saturating_add_signed(jump);
            let is_due = plan.due_at(KEY, cursor).is_some_and(|at| at <= now);
            let firing = plan.catch_up(KEY, cursor, now);
            prop_assert_eq!(is_due, firing.cursor != cursor, "it does something when it is due, and only then");
            prop_assert!(firing.due_at.is_none_or(|at| at > now));
            let most = if catch_up == CatchUp::All { MOST_AT_ONCE } else { 1 };
            prop_assert!(firing.slots.len() <= most);
            prop_assert!(catch_up == CatchUp::None || is_due != firing.slots.is_empty());
            skipped += firing.skipped + firing.slots.iter().map(|slot| slot.skipped).sum::<u64>();
            runs.extend(firing.slots.iter().map(|slot| slot.at));
            cursor = firing.cursor;
            latest = latest.max(now);
        }
        prop_assert!(runs.windows(2).all(|pair| pair[0] < pair[1]), "in order, none twice");
        prop_assert!(runs.iter().all(|at| (known.names)(*at)));
        prop_assert_eq!(cursor.fired, runs.len() as u64);
        prop_assert!(limit.is_none_or(|limit| cursor.fired <= limit));
        // All slots that have come are accounted for, unless the limit was reached before.
        if limit.is_none_or(|limit| cursor.fired < limit) {
            let from = (begin + 1).max(start_at.unwrap_or(0)).div_ceil(known.step);
            let until = (latest - plan.lateness(KEY)).min(end_at.unwrap_or(u64::MAX)) / known.step;
            let all = (from..=until).filter(|n| (known.names)(n * known.step)).count();
            prop_assert_eq!(all as u64, cursor.fired + skipped);
        }
    }
}

#[test]
fn what_is_asked_for_becomes_a_plan_or_says_why_not() {
    let wanted: Wanted = serde_json::from_str(
        r#"{"cron":"0 3 * * *","timeZone":"europe/berlin","overlap":"queue","limit":2}"#,
    )
    .unwrap();
    let plan = wanted.plan(7).unwrap();
    assert_eq!((plan.overlap, plan.limit), (Overlap::Queue, Some(2)));
    assert!(matches!(&plan.when, When::Cron(cron) if cron.zone().name() == "Europe/Berlin"));
    let every = Wanted { every: Some(1000), ..Wanted::default() };
    assert_eq!(every.plan(7).unwrap().when, When::Every(Every { every: 1000, anchor: 7 }));
    let later = Wanted { start_at: Some(9), ..every.clone() };
    assert_eq!(later.plan(7).unwrap().next(0), Some(9), "the first slot is the start");
    let said = |wanted: Wanted| wanted.plan(0).unwrap_err().to_string();
    assert_eq!(said(Wanted::default()), "cron is missing, allowed are an expression, or every instead of it");
    let both = Wanted { cron: Some("@daily".into()), ..every.clone() };
    assert_eq!(said(both), "every is given beside cron, allowed are one of the two");
    assert!(said(Wanted { time_zone: Some("UTC".into()), ..every }).starts_with("timeZone is given"));
    let mars =
        Wanted { cron: Some("@daily".into()), time_zone: Some("Mars/Olympus".into()), ..Wanted::default() };
    assert!(matches!(mars.plan(0), Err(WantedError::Cron(_))));
}

#[test]
fn a_plan_that_is_asked_for_again_goes_on() {
    let mut again = every(1000, 900);
    assert!(again.goes_on(&every(1000, 100)));
    assert_eq!(again, every(1000, 100), "where it began");
    assert!(!every(2000, 100).goes_on(&every(1000, 100)));
    let anchored = |start| Plan { start_at: Some(start), ..every(1000, start) };
    assert!(anchored(5).goes_on(&anchored(5)) && !anchored(6).goes_on(&anchored(5)));
    assert!(cron("0 * * * *").goes_on(&Plan { overlap: Overlap::Allow, ..cron("0 * * * *") }));
    assert!(!cron("0 * * * *").goes_on(&cron("1 * * * *")));
    assert!(!cron("0 * * * *").goes_on(&every(1000, 0)));
}
