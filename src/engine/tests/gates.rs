//! Rates and circuit breakers in front of closures and of stored tasks, by a hand-made clock.

use std::sync::atomic::{AtomicU32, Ordering};

use super::super::kinds::{Limits, Place};
use super::*;
use crate::policy::breaker::{BreakerPolicy, Verdict};
use crate::policy::rate::RateLimit;
use crate::policy::{BreakerRules, RateRules, SharedBreaker, SharedRate};

fn rate(limit: u32, per: Millis, rules: RateRules) -> SharedRate {
    SharedRate::new(RateLimit::new(limit, per).unwrap(), rules)
}

fn plain_rate(limit: u32, per: Millis) -> SharedRate {
    rate(limit, per, RateRules::default())
}

fn breaker(fails: bool) -> SharedBreaker {
    let policy = BreakerPolicy { window: 4, min_calls: 2, open_for: 100, ..BreakerPolicy::default() };
    let rules = BreakerRules { name: Some("upstream".into()), shared: None, fails, holder: "me".into() };
    SharedBreaker::new(policy, rules).unwrap()
}

fn of_rate(rate: &SharedRate) -> Limits {
    Limits { rate: Some(rate.clone()), breaker: None }
}

fn of_breaker(breaker: &SharedBreaker) -> Limits {
    Limits { rate: None, breaker: Some(breaker.clone()) }
}

/// Starts of closures until `end`, each of which ends at once, woken only when the core says so.
fn starts_until(core: &mut Core, end: Millis) -> Vec<(Millis, u32)> {
    let (mut now, mut starts) = (0, Vec::new());
    loop {
        core.tick(now);
        for word in words(core) {
            if let Word::Start(slot) = word {
                starts.push((now, slot));
                core.done(slot, Done::Ok, now);
            }
        }
        core.poll(now);
        if core.outbox.words.is_empty() {
            match core.wake_at().filter(|at| *at <= end) {
                Some(at) => now = at,
                None => return starts,
            }
        }
    }
}

#[test]
fn a_rate_lets_closures_start_in_order_and_on_time_by_one_timer() {
    let mut core = core(100);
    core.limit(Place::Executor, of_rate(&plain_rate(10, 1000)));
    (0..25).for_each(|slot| core.submit(local(slot)));
    let starts = starts_until(&mut core, 10_000);
    let expected: Vec<(Millis, u32)> =
        (0..25).map(|slot| (if slot < 10 { 0 } else { u64::from(slot - 9) * 100 }, slot)).collect();
    assert_eq!(starts, expected);
}

#[test]
fn a_closed_rate_delays_no_other_kind() {
    let mut core = core(100);
    let limits = of_rate(&plain_rate(1, 60_000));
    let slow = Some(core.add_kind(Kind { limits, ..Kind::new("slow") }));
    (0..1000).for_each(|slot| core.submit(Submission { kind: slow, priority: 9, ..local(slot) }));
    (1000..1003).for_each(|slot| core.submit(local(slot)));
    core.poll(0);
    let started = words(&mut core);
    assert_eq!(started, [Word::Start(0), Word::Start(1000), Word::Start(1001), Word::Start(1002)]);
    assert_eq!(core.wake_at(), Some(60_000));
}

#[test]
fn what_is_withdrawn_before_it_begins_gives_its_token_back() {
    let mut core = core(100);
    core.limit(Place::Executor, of_rate(&plain_rate(1, 1000)));
    (0..2).for_each(|slot| core.submit(local(slot)));
    core.poll(0);
    assert_eq!(words(&mut core), [Word::Start(0)]);
    core.withdraw(0, 1);
    core.poll(1);
    assert_eq!(words(&mut core), [Word::Cancel(0), Word::Start(1)]);
}

#[test]
fn a_rate_that_rejects_keeps_no_closure_waiting_but_stored_tasks() {
    let mut core = started(config(10));
    let rules = RateRules { rejects: true, name: Some("api".into()), ..RateRules::default() };
    let limits = of_rate(&rate(1, 1000, rules));
    let kind = Some(core.add_kind(Kind { limits, ..Kind::new("work") }));
    core.submit(Submission { kind, ..local(0) });
    core.poll(0);
    core.submit(Submission { kind, ..local(1) });
    core.poll(10);
    assert_eq!(words(&mut core), [Word::Start(0), Word::Refuse(1)]);
    let text = crate::error::TaskError::from(core.refusal(1).unwrap()).to_string();
    assert_eq!(text, "the rate limit \"api\" lets nothing more start; it may be asked again in 990 ms");
    assert!(claim(&mut core, vec![spec()], 20).is_empty());
    core.tick(1000);
    assert_eq!(starts(&mut core).len(), 1);
}

#[test]
fn one_task_stands_at_a_closed_rate_and_more_when_it_is_about_to_open() {
    let mut core = started(config(100));
    let limits = of_rate(&plain_rate(2, 10_000));
    core.add_kind(Kind { limits, ..Kind::new("work") });
    let step = core.step(0).unwrap();
    assert_eq!(step.claims.lanes[0].max, 2);
    answer(&mut core, &step, vec![claimed(spec(), 1), claimed(spec(), 2)], 0);
    assert_eq!(starts(&mut core).len(), 2);
    core.hint();
    let step = core.step(1).unwrap();
    assert_eq!(step.claims.lanes[0].max, 1, "so that it is known that there is more");
    answer(&mut core, &step, vec![claimed(spec(), 3)], 1);
    core.hint();
    assert!(core.step(2).is_none());
    assert_eq!(core.wake_at().map(|at| at.min(5000)), Some(5000).min(core.wake_at()));
    core.tick(4999);
    assert!(starts(&mut core).is_empty());
    core.tick(5000);
    assert_eq!(starts(&mut core).len(), 1);
}

#[test]
fn a_shared_rate_goes_along_with_the_claims_and_is_held_here() {
    let mut core = started(config(100));
    let rules = RateRules { shared: Some(true), name: Some("api".into()), ..RateRules::default() };
    let api = rate(100, 1000, rules);
    core.add_kind(Kind { limits: of_rate(&api), ..Kind::new("work") });
    let step = core.step(0).unwrap();
    let claim = step.claims.lanes[0].clone();
    let rate = claim.rate.unwrap();
    assert_eq!((&*rate.key, rate.interval_us, rate.burst, rate.by_group), ("api", 10_000, 100, false));
    answer(&mut core, &step, Vec::new(), 0);
    api.hold(500);
    core.hint();
    assert!(core.step(1).is_none(), "nothing is claimed while it is held");
    let look = core.step(core.ask_at().unwrap()).unwrap();
    assert_eq!(look.claims.max, 0, "it only looks what has expired");
    answer(&mut core, &look, Vec::new(), 100);
    assert_eq!(core.ask_at(), Some(500));
    assert!(core.step(500).unwrap().claims.max > 0);
}

#[test]
fn a_limit_by_group_that_is_not_shared_has_a_key_of_its_own_node() {
    let mut core = started(config(100));
    let by_group = rate(1, 1000, RateRules { by_group: true, ..RateRules::default() });
    core.add_kind(Kind { limits: of_rate(&by_group), ..Kind::new("work") });
    let step = core.step(0).unwrap();
    let rate = step.claims.lanes[0].rate.clone().unwrap();
    assert_eq!((&*rate.key, rate.by_group), ("task/work@node", true));
}

#[test]
fn a_breaker_that_opens_refuses_closures_and_keeps_stored_tasks_in_order() {
    let mut core = started(config(1));
    let upstream = breaker(false);
    let kind = Some(core.add_kind(Kind { limits: of_breaker(&upstream), ..Kind::new("work") }));
    for slot in 0..2 {
        core.submit(Submission { kind, ..local(slot) });
        core.poll(0);
        core.done(slot, Done::Failed, 0);
    }
    assert_eq!(upstream.word(0), "open");
    core.submit(Submission { kind, ..local(2) });
    core.poll(1);
    assert_eq!(words(&mut core), [Word::Start(0), Word::Start(1), Word::Refuse(2)]);
    assert_eq!(core.refusal(2).unwrap().opens_in, Some(99));
    core.hint();
    let step = core.step(2).unwrap();
    answer(&mut core, &step, vec![claimed(spec(), 1)], 2);
    assert!(starts(&mut core).is_empty());
    let hold = core.holds(&"work".into(), &"default".into(), 10).unwrap();
    assert_eq!((hold.reason, hold.name.as_deref(), hold.opens_in), ("breaker", Some("upstream"), Some(90)));
    core.tick(99);
    assert!(starts(&mut core).is_empty());
    core.tick(100);
    let probe = starts(&mut core).remove(0);
    assert_eq!((probe.attempt, upstream.word(100)), (1, "half-open"));
    assert!(core.begin_stored(probe.slot, probe.run, 100));
    assert!(core.ended(probe.slot, probe.run, ok(), 100));
    assert_eq!(upstream.word(100), "closed");
}

#[test]
fn a_breaker_may_fail_what_is_enqueued() {
    let mut core = started(config(1));
    let upstream = breaker(true);
    core.add_kind(Kind { limits: of_breaker(&upstream), ..Kind::new("work") });
    upstream.open(0, Some(5000));
    core.hint();
    let step = core.step(0).unwrap();
    answer(&mut core, &step, vec![claimed(spec(), 1)], 0);
    let step = core.step(0).unwrap();
    let end = &step.settlements[0];
    assert_eq!((end.cause, end.delay), (Cause::Retry, 5000));
    assert_eq!(end.attempt.as_ref().unwrap().code, "ERR_CIRCUIT_OPEN");
}

#[test]
fn what_says_nothing_about_the_upstream_counts_for_nothing() {
    let mut core = started(config(1));
    let upstream = breaker(false);
    core.add_kind(Kind { limits: of_breaker(&upstream), ..Kind::new("work") });
    let fatal = || Outcome::Error(Arc::new(Failure { fatal: true, ..Failure::new("Error", "bad input") }));
    let excused =
        || Outcome::Error(Arc::new(Failure { blames: Some(false), ..Failure::new("Error", "404") }));
    for outcome in [fatal(), excused(), Outcome::Snooze(5), fatal(), excused()] {
        let begun = begin(&mut core, spec(), 0);
        assert!(core.ended(begun.slot, begun.run, outcome, 0));
        settle(&mut core, 0);
    }
    assert_eq!(upstream.word(0), "closed");
    for _ in 0..2 {
        let begun = begin(&mut core, spec(), 0);
        assert!(core.ended(begun.slot, begun.run, error(), 0));
        settle(&mut core, 0);
    }
    assert_eq!(upstream.word(0), "open");
}

#[test]
fn a_probe_that_was_never_begun_frees_its_place() {
    let mut core = core(4);
    let upstream = breaker(false);
    core.limit(Place::Executor, of_breaker(&upstream));
    upstream.open(0, Some(10));
    core.submit(local(0));
    core.submit(local(1));
    core.poll(10);
    assert_eq!(words(&mut core), [Word::Start(0), Word::Refuse(1)]);
    core.withdraw(0, 11);
    core.submit(local(2));
    core.poll(11);
    assert_eq!(words(&mut core), [Word::Cancel(0), Word::Start(2)]);
    core.judged(2, Verdict::Unknown);
    core.done(2, Done::Failed, 12);
    assert_eq!(upstream.word(12), "half-open");
}

#[test]
fn closing_by_hand_wakes_whoever_waits() {
    let mut core = started(config(4));
    let upstream = breaker(false);
    core.add_kind(Kind { limits: of_breaker(&upstream), ..Kind::new("work") });
    let rung = Arc::new(AtomicU32::new(0));
    let count = rung.clone();
    core.set_bell(move || {
        count.fetch_add(1, Ordering::SeqCst);
    });
    core.add_kind(Kind { limits: of_breaker(&upstream), ..Kind::new("work") });
    core.events.set_listening(true);
    claim(&mut core, Vec::new(), 0);
    upstream.open(0, None);
    core.hint();
    let step = core.step(0).unwrap();
    answer(&mut core, &step, vec![claimed(spec(), 1)], 0);
    assert!(starts(&mut core).is_empty());
    upstream.close();
    core.tick(1);
    assert_eq!(starts(&mut core).len(), 1);
    // Once for the gate itself, which may be one to share.
    let told: Vec<_> = core.events.take_gates().into_iter().map(|(_, state)| state).collect();
    assert_eq!((told, rung.load(Ordering::SeqCst)), (vec!["open", "closed"], 3));
}

#[test]
fn a_limit_that_two_engines_have_is_one_limit() {
    let (mut one, mut other) = (core(10), core(10));
    let both = plain_rate(3, 1000);
    one.limit(Place::Executor, of_rate(&both));
    other.limit(Place::Executor, of_rate(&both));
    (0..5).for_each(|slot| one.submit(local(slot)));
    (0..5).for_each(|slot| other.submit(local(slot)));
    one.poll(0);
    other.poll(0);
    assert_eq!((words(&mut one).len(), words(&mut other).len()), (3, 0));
    assert_eq!(other.wake_at(), Some(334));
}

#[test]
fn a_handler_that_says_when_to_come_back_holds_a_rate_that_heeds_it() {
    let mut core = core(10);
    let rules = RateRules { heeds_retry_after: true, ..RateRules::default() };
    core.limit(Place::Executor, of_rate(&rate(100, 1000, rules)));
    core.submit(local(0));
    core.poll(0);
    core.heed(0, 700, 0);
    core.done(0, Done::Failed, 0);
    core.submit(local(1));
    core.poll(1);
    assert_eq!((words(&mut core), core.wake_at()), (vec![Word::Start(0)], Some(700)));
}

#[test]
fn what_has_expired_at_a_gate_goes_back_to_its_store() {
    let mut core = started(config(10));
    let slow = plain_rate(1, 1000);
    core.add_kind(Kind { limits: of_rate(&slow), ..Kind::new("work") });
    slow.hold(500);
    core.hint();
    let step = core.step(0).unwrap();
    answer(&mut core, &step, vec![claimed(Spec { expires_at: Some(400), ..spec() }, 1)], 0);
    core.tick(500);
    assert!(starts(&mut core).is_empty());
    assert_eq!(settle(&mut core, 500), [Cause::Release]);
    assert_eq!(slow.room(500).slots, 1, "nothing has started");
}
