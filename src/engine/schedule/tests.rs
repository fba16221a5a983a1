//! What becomes of an entry, by a hand-made clock.

use super::entry::{Act, Entry, Pause, Stand, Template};
use crate::policy::RetryPolicy;
use crate::policy::schedule::{CatchUp, Overlap, Wanted};
use crate::task::{Conflict, OnBlockerFailure, Spec};
use crate::time::Millis;

const MINUTE: Millis = 60_000;

fn wanted() -> Wanted {
    Wanted { cron: Some("* * * * *".into()), ..Wanted::default() }
}

fn template() -> Template {
    Template {
        name: "work".into(),
        queue: "default".into(),
        priority: 3,
        timeout: Some(5),
        retry: RetryPolicy::fixed(2, 7),
        input: serde_json::value::to_raw_value(&[1, 2]).unwrap(),
        once: false,
    }
}

fn entry(wanted: &Wanted) -> Entry {
    Entry::begin(wanted.plan(0).unwrap(), template(), 0)
}

fn overlapping(overlap: Overlap) -> Entry {
    entry(&Wanted { overlap, ..wanted() })
}

fn ids(act: &Act) -> Vec<&str> {
    act.specs.iter().map(|spec| spec.id.as_str()).collect()
}

fn blockers(spec: &Spec) -> Vec<&str> {
    spec.blockers.iter().flat_map(|blockers| &blockers.ids).map(|id| id.as_str()).collect()
}

#[test]
fn a_slot_is_one_task_under_an_id_of_its_own() {
    let entry = entry(&wanted());
    assert_eq!(entry.due_at("key"), Some(MINUTE));
    let early = entry.clone().fire("key", Stand::Over, MINUTE - 1);
    assert!(early.specs.is_empty() && early.entry.cursor == entry.cursor);
    let act = entry.fire("key", Stand::Over, MINUTE + 5);
    assert_eq!(ids(&act), ["schedule:key:60000"]);
    let Spec { minted, name, queue, priority, timeout, retry, input, metadata, .. } = &act.specs[0];
    assert_eq!((*minted, &**name, &**queue, *priority, *timeout), (false, "work", "default", 3, Some(5)));
    assert_eq!((retry, &**input), (&RetryPolicy::fixed(2, 7), "[1,2]"));
    assert_eq!(metadata.as_deref(), Some(r#"{"schedule":"key","skipped":"0","slot":"60000"}"#));
    assert_eq!(act.entry.due_at("key"), Some(2 * MINUTE));
    assert!(act.entry.fire("key", Stand::Over, MINUTE + 5).specs.is_empty(), "once");
}

#[test]
fn an_entry_is_what_its_cell_says() {
    let act = entry(&Wanted { limit: Some(9), ..wanted() }).fire("key", Stand::Over, MINUTE);
    let cell = act.entry.paused(Pause::OnRequest).cell("key");
    assert_eq!(cell.due_at, None);
    let read = Entry::read(&cell.value).unwrap();
    assert_eq!(read.cell("key"), cell);
    assert_eq!(read.last.unwrap().at, MINUTE);
    assert!(Entry::read("{}").is_err());
}

#[test]
fn skip_leaves_a_slot_out_while_the_last_run_has_not_ended() {
    for stand in [Stand::Fresh, Stand::Busy] {
        let act = overlapping(Overlap::Skip).fire("key", stand, 3 * MINUTE);
        assert!(act.specs.is_empty());
        assert_eq!((act.entry.cursor.at, act.entry.cursor.fired, act.entry.skipped), (3 * MINUTE, 0, 3));
        let next = act.entry.fire("key", Stand::Over, 4 * MINUTE);
        assert!(next.specs[0].metadata.as_deref().unwrap().contains(r#""skipped":"3""#));
        assert_eq!(next.entry.skipped, 0);
        let key = next.specs[0].key.as_ref().unwrap();
        assert_eq!((&*key.text, key.conflict), ("schedule:key", Conflict::Ignore));
    }
}

#[test]
fn queue_lets_one_wait_for_the_end_of_the_last_run() {
    let first = overlapping(Overlap::Queue).fire("key", Stand::Over, MINUTE);
    assert_eq!(blockers(&first.specs[0]), [""; 0]);
    let second = first.entry.fire("key", Stand::Busy, 2 * MINUTE);
    assert_eq!(blockers(&second.specs[0]), ["schedule:key:60000"]);
    assert_eq!(second.specs[0].blockers.as_ref().unwrap().on_failure, OnBlockerFailure::Run);
    assert!(second.specs[0].key.is_none());
    let third = second.entry.fire("key", Stand::Fresh, 3 * MINUTE);
    assert!(third.specs.is_empty(), "one waits already");
    assert_eq!(third.entry.skipped, 1);
}

#[test]
fn queue_lets_all_missed_slots_wait_for_each_other() {
    let wanted = Wanted { overlap: Overlap::Queue, catch_up: CatchUp::All, ..wanted() };
    let act = entry(&wanted).fire("key", Stand::Busy, 3 * MINUTE);
    assert_eq!(ids(&act), ["schedule:key:60000", "schedule:key:120000", "schedule:key:180000"]);
    let waits: Vec<_> = act.specs.iter().map(blockers).collect();
    assert_eq!(waits, [vec![], vec!["schedule:key:60000"], vec!["schedule:key:120000"]]);
    assert_eq!(act.entry.cursor.fired, 3);
}

#[test]
fn cancel_stops_the_last_run_and_takes_its_key() {
    let first = overlapping(Overlap::Cancel).fire("key", Stand::Over, MINUTE);
    assert!(first.stop.is_none());
    let second = first.entry.fire("key", Stand::Busy, 2 * MINUTE);
    assert_eq!(second.stop.unwrap().as_str(), "schedule:key:60000");
    assert_eq!(second.specs[0].key.as_ref().unwrap().conflict, Conflict::Replace);
}

#[test]
fn allow_knows_nothing_of_other_runs() {
    let wanted = Wanted { overlap: Overlap::Allow, catch_up: CatchUp::All, ..wanted() };
    let act = entry(&wanted).fire("key", Stand::Busy, 3 * MINUTE);
    assert_eq!(act.specs.len(), 3);
    assert!(act.stop.is_none() && act.specs.iter().all(|spec| spec.key.is_none() && spec.blockers.is_none()));
}

#[test]
fn what_did_not_run_does_not_count_for_the_limit() {
    let wanted = Wanted { limit: Some(1), ..wanted() };
    let held = entry(&wanted).fire("key", Stand::Busy, MINUTE).entry;
    assert_eq!(held.due_at("key"), Some(2 * MINUTE));
    let fired = held.fire("key", Stand::Over, 2 * MINUTE);
    assert_eq!((fired.specs.len(), fired.entry.due_at("key")), (1, None));
}

#[test]
fn a_trigger_obeys_overlap_and_moves_nothing() {
    let before = overlapping(Overlap::Skip);
    assert!(before.clone().trigger("key", Stand::Busy, 5).is_none());
    let act = before.clone().trigger("key", Stand::Over, 5).unwrap();
    assert_eq!((act.entry.cursor, act.specs.len()), (before.cursor, 1));
    assert!(act.specs[0].minted);
    assert_eq!(act.entry.last.unwrap().at, 5);
    assert!(overlapping(Overlap::Queue).trigger("key", Stand::Fresh, 5).is_none());
    assert!(before.paused(Pause::OnRequest).trigger("key", Stand::Over, 5).is_some(), "also while paused");
}

#[test]
fn a_pause_forgets_what_passes_meanwhile() {
    let paused = entry(&wanted()).paused(Pause::OnRequest);
    assert_eq!(paused.due_at("key"), None);
    assert!(paused.clone().fire("key", Stand::Over, 9 * MINUTE).specs.is_empty());
    let resumed = paused.resumed(9 * MINUTE + 1);
    assert_eq!(resumed.due_at("key"), Some(10 * MINUTE));
    let going = entry(&wanted());
    assert_eq!(going.clone().resumed(9 * MINUTE).cursor, going.cursor, "what fires is not touched");
}

#[test]
fn a_renewed_schedule_goes_on_or_begins_again() {
    let fired = entry(&wanted()).fire("key", Stand::Over, MINUTE).entry;
    let plan = |cron: &str| Wanted { cron: Some(cron.into()), ..Wanted::default() }.plan(0).unwrap();
    let other = Template { priority: 9, ..template() };
    let same = fired.clone().renewed(plan("* * * * *"), other, 5 * MINUTE);
    assert_eq!((same.cursor, same.task.priority), (fired.cursor, 9));
    let moved = fired.clone().renewed(plan("*/2 * * * *"), template(), 5 * MINUTE);
    assert_eq!((moved.cursor.at, moved.cursor.fired), (5 * MINUTE, 1));
    let paused = fired.paused(Pause::OnRequest).renewed(plan("* * * * *"), template(), 5 * MINUTE);
    assert_eq!(paused.pause, Some(Pause::OnRequest), "a start does not undo what somebody wanted");
}

#[test]
fn a_handler_that_runs_once_fires_once() {
    let all = Wanted { overlap: Overlap::Allow, catch_up: CatchUp::All, ..wanted() };
    let once = Entry { task: Template { once: true, ..template() }, ..entry(&all) };
    let act = once.fire("key", Stand::Over, 3 * MINUTE);
    assert_eq!(ids(&act), ["schedule:key:180000"]);
    assert!(act.specs[0].metadata.as_deref().unwrap().contains(r#""skipped":"2""#));
    assert_eq!((act.entry.pause, act.entry.due_at("key")), (Some(Pause::NotRepeatable), None));
    let again = act.entry.renewed(all.plan(0).unwrap(), template(), 9 * MINUTE);
    assert_eq!((again.pause, again.cursor.at), (None, 9 * MINUTE), "another handler may run");
}

#[test]
fn only_older_time_zones_are_computed_anew() {
    let entry = entry(&wanted());
    assert!(entry.clone().with_newer_zones().is_none());
    let old = Entry { zones: "1999z".into(), ..entry.clone() };
    assert_eq!(old.with_newer_zones().unwrap().zones, entry.zones);
    assert!(Entry { zones: "9999a".into(), ..entry }.with_newer_zones().is_none());
}
