//! Decision table of the stored lane: phase by event, and the steps that go to the store.

use super::*;

fn timed_spec(timeout: Millis) -> Spec {
    Spec { timeout: Some(timeout), ..spec() }
}

#[test]
fn nothing_is_claimed_before_the_start_nor_beyond_the_slots() {
    let mut core = core(4);
    core.add_kind(Kind::new("work"));
    assert!(core.step(0).is_none());
    core.start();
    let step = core.step(0).unwrap();
    assert_eq!((step.claims.max, step.claims.lanes.len(), step.turn_no), (4, 1, 1));
    answer(&mut core, &step, Vec::new(), 0);
    assert!(core.step(0).is_none(), "the store has nothing, and nobody has said otherwise");
    core.hint();
    assert!(core.step(0).is_some());
}

#[test]
fn from_the_claim_to_the_accepted_settlement() {
    let mut core = started(config(1));
    let begun = begin(&mut core, spec(), 10);
    assert_eq!((begun.attempt, &*begun.spec.input), (1, "1"));
    assert!(core.ended(begun.slot, begun.run, ok(), 30));
    let step = core.step(30).unwrap();
    let finals = answer(&mut core, &step, Vec::new(), 30);
    assert_eq!((finals.len(), finals[0].took, finals[0].settlement.cause), (1, 20, Cause::Complete));
    assert!(core.is_quiet());
}

#[test]
fn a_step_whose_answer_was_lost_is_made_again_unchanged() {
    let mut core = started(config(2));
    let begun = begin(&mut core, spec(), 0);
    core.ended(begun.slot, begun.run, ok(), 1);
    let first = core.step(1).unwrap();
    let other = begin_unasked(&mut core);
    assert!(other, "more to settle does not change the step under way");
    let again = core.step(2).unwrap();
    assert!(Arc::ptr_eq(&first, &again));
    answer(&mut core, &first, Vec::new(), 3);
    core.hint();
    assert_eq!(core.step(4).unwrap().turn_no, first.turn_no + 1);
}

/// Something is left to settle that no step carries yet.
fn begin_unasked(core: &mut Core) -> bool {
    core.orphaned(&[claimed(spec(), 99)]);
    !core.is_quiet()
}

#[test]
fn a_stale_settlement_is_counted_and_told_to_nobody() {
    let mut core = started(config(1));
    core.events.set_listening(true);
    let begun = begin(&mut core, spec(), 0);
    core.ended(begun.slot, begun.run, ok(), 1);
    core.step(1).unwrap();
    core.events.take(100);
    let turn = Arc::new(Turn { settled: vec![Settled::Stale], ..Turn::default() });
    let (finals, stale) = core.answered(&turn, 2);
    assert_eq!((finals.len(), stale, core.events.is_empty()), (0, 1, true));
    let nobody = core.answered(&turn, 3);
    assert_eq!((nobody.0.len(), nobody.1), (0, 0), "an answer to no step");
}

#[test]
fn what_has_not_begun_in_time_goes_back_when_its_time_is_over() {
    let expiring = |at| Spec { expires_at: Some(at), ..spec() };
    let late = |core: &mut Core| {
        core.hint();
        core.step(0).unwrap();
        let claims = vec![claimed(expiring(1040), 1), claimed(Spec { priority: -1, ..expiring(1040) }, 2)];
        let settled = Vec::new();
        core.answered(&Arc::new(Turn { now: 1000, settled, claimed: claims, ..Turn::default() }), 0);
        core.poll(0);
        starts(core).remove(0)
    };
    let mut core = started(config(1));
    let handed = late(&mut core);
    core.tick(39);
    assert_eq!(settle(&mut core, 39), [], "one is handed over, one claimed ahead");
    core.tick(40);
    assert_eq!(settle(&mut core, 40), [Cause::Release; 2]);
    assert!(!core.begin_stored(handed.slot, handed.run, 40) && core.is_quiet());

    let mut core = started(config(1));
    let handed = late(&mut core);
    assert!(!core.begin_stored(handed.slot, handed.run, 40), "nor where the clock has not ticked");

    let mut core = started(config(2));
    let handed = late(&mut core);
    assert!(core.begin_stored(handed.slot, handed.run, 39));
    core.tick(10_000);
    assert!(core.ended(handed.slot, handed.run, ok(), 10_000), "what has begun may take its time");
}

#[test]
fn a_claim_that_is_cancelled_on_its_way_does_not_start() {
    let mut core = started(config(2));
    let step = core.step(0).unwrap();
    let (one, other) = (claimed(spec(), 1), claimed(spec(), 2));
    core.stop(&one.spec.id, 1, &"enough".into(), 1);
    answer(&mut core, &step, vec![one.clone(), other.clone()], 2);
    let begun = starts(&mut core);
    assert_eq!(begun.iter().map(|start| &start.spec.id).collect::<Vec<_>>(), [&other.spec.id]);
    assert_eq!(settle(&mut core, 2), [Cause::Cancel]);
    core.stop(&one.spec.id, 3, &"for nobody".into(), 3);
    core.hint();
    let step = core.step(3).unwrap();
    answer(&mut core, &step, vec![claimed(spec(), 3)], 4);
    assert_eq!(starts(&mut core).len(), 1, "nothing was on its way then");
}

#[test]
fn what_was_claimed_ahead_goes_back_when_nothing_moves() {
    let mut core = started(config(1));
    let begun = claim(&mut core, vec![spec(), spec(), spec()], 0);
    assert_eq!(begun.len(), 1, "two are claimed ahead");
    assert!(core.begin_stored(begun[0].slot, begun[0].run, 0));
    core.tick(900);
    core.ended(begun[0].slot, begun[0].run, ok(), 900);
    core.tick(900);
    let next = starts(&mut core).remove(0);
    assert!(core.begin_stored(next.slot, next.run, 900));
    core.tick(1000);
    assert_eq!(settle(&mut core, 1899), [Cause::Complete], "an end and a start are a move");
    core.tick(1899);
    assert_eq!(settle(&mut core, 1899), []);
    assert!(core.wake_at().is_some_and(|at| at <= 1900));
    core.tick(1900);
    assert_eq!(settle(&mut core, 1900), [Cause::Release]);
    assert!(core.ended(next.slot, next.run, ok(), 5000));
    assert_eq!(settle(&mut core, 5000), [Cause::Complete]);
}

#[test]
fn a_pause_gives_back_what_has_not_begun() {
    let mut core = started(config(2));
    let begun = claim(&mut core, vec![spec(), spec(), spec()], 0);
    assert!(core.begin_stored(begun[0].slot, begun[0].run, 0));
    core.set_paused(true);
    assert_eq!(settle(&mut core, 1), [Cause::Release; 2]);
    assert!(!core.begin_stored(begun[1].slot, begun[1].run, 1));
    assert!(core.ended(begun[0].slot, begun[0].run, ok(), 2), "what runs goes on");
}

#[test]
fn a_node_without_room_lets_its_store_do_what_is_due() {
    let mut core = started(config(1));
    begin(&mut core, spec(), 0);
    core.hint();
    assert!(core.step(1).is_none(), "no call for every push");
    assert_eq!(core.ask_at(), Some(100));
    let looked = core.step(100).unwrap();
    assert_eq!((looked.claims.max, looked.settlements.len()), (0, 0));
    core.answered(&Arc::new(Turn { now: 100, next_at: Some(250), ..Turn::default() }), 100);
    assert!(core.step(249).is_none());
    core.step(250).expect("something is due");
    core.answered(&Arc::new(Turn { now: 250, more: true, ..Turn::default() }), 250);
    core.step(250).expect("there is more of it");
    core.answered(&Arc::new(Turn { now: 250, ..Turn::default() }), 250);
    assert_eq!((core.step(9999).is_none(), core.ask_at()), (true, None));
    core.hint();
    core.close(10_000, 1000);
    assert_eq!(
        (core.step(10_000).is_none(), core.ask_at()),
        (true, None),
        "who closes has other things to do"
    );
}

#[test]
fn a_begun_attempt_times_out_and_an_unbegun_one_is_released() {
    let mut core = started(config(2));
    let handed = claim(&mut core, vec![timed_spec(10), timed_spec(10)], 0);
    assert!(core.begin_stored(handed[0].slot, handed[0].run, 0));
    core.tick(10);
    assert_eq!(settle(&mut core, 10), []);
    core.tick(11);
    let mut causes = settle(&mut core, 11);
    causes.sort_by_key(|cause| *cause == Cause::Release);
    assert_eq!(causes, [Cause::Retry, Cause::Release]);
    assert_eq!((stops(&mut core), core.abandoned()), (vec![Stop::Timeout(10)], 1));
    assert!(!core.begin_stored(handed[1].slot, handed[1].run, 12));
    assert!(!core.ended(handed[0].slot, handed[0].run, ok(), 12));
    assert_eq!((core.abandoned(), settle(&mut core, 12)), (0, vec![]), "late ends change nothing");
}

#[test]
fn its_time_runs_from_the_call_of_the_handler() {
    let mut core = started(config(1));
    let handed = claim(&mut core, vec![timed_spec(10)], 0).remove(0);
    assert!(core.begin_stored(handed.slot, handed.run, 8));
    core.tick(18);
    assert_eq!(settle(&mut core, 18), []);
    core.tick(19);
    assert_eq!(settle(&mut core, 19), [Cause::Retry]);
}

#[test]
fn attempts_are_counted_and_the_last_failure_is_final() {
    let mut core = started(config(1));
    let mut run = claimed(spec(), 1);
    for (failures, cause) in [(0, Cause::Retry), (1, Cause::Retry), (2, Cause::Fail)] {
        run.failures = failures;
        core.hint();
        let step = core.step(0).unwrap();
        answer(&mut core, &step, vec![run.clone()], 0);
        let start = starts(&mut core).remove(0);
        assert_eq!(start.attempt, failures + 1);
        assert!(core.begin_stored(start.slot, start.run, 0));
        assert!(core.ended(start.slot, start.run, error(), 0));
        assert_eq!(settle(&mut core, 0), [cause]);
    }
}

#[test]
fn a_cancel_by_phase() {
    let mut core = started(config(1));
    let reason: Arc<str> = "no more".into();
    let (ready, handed) = (spec(), spec());
    let ids = [handed.id.clone(), ready.id.clone()];
    claim(&mut core, vec![handed, ready], 0);
    core.stop(&ids[0], 7, &reason, 0);
    assert_eq!(settle(&mut core, 0), [], "another claim of the same task");
    core.stop(&ids[1], 2, &reason, 0);
    core.stop(&ids[0], 1, &reason, 0);
    assert_eq!(settle(&mut core, 0), [Cause::Cancel, Cause::Cancel]);

    let begun = begin(&mut core, timed_spec(1_000), 0);
    core.stop(&begun.spec.id, 1, &reason, 0);
    core.stop(&begun.spec.id, 1, &reason, 0);
    assert!(core.is_stopped_stored(begun.slot, begun.run));
    assert_eq!(stops(&mut core), [Stop::Cancelled(reason.clone())], "once");
    assert!(core.ended(begun.slot, begun.run, ok(), 20));
    assert_eq!(settle(&mut core, 20), [Cause::Cancel], "whatever its handler returns");

    let hung = begin(&mut core, timed_spec(40), 100);
    core.stop(&hung.spec.id, 1, &reason, 110);
    core.tick(160);
    assert_eq!(settle(&mut core, 160), [], "neither its timeout nor the end of the grace");
    core.tick(161);
    assert_eq!((settle(&mut core, 161), core.abandoned()), (vec![Cause::Cancel], 1));
}

#[test]
fn a_slot_that_is_used_again_answers_to_its_new_run_only() {
    let mut core = started(config(1));
    let first = begin(&mut core, timed_spec(10), 0);
    core.tick(11);
    settle(&mut core, 11);
    let second = begin(&mut core, spec(), 20);
    assert_eq!(first.slot, second.slot);
    assert_ne!(first.run, second.run);
    assert!(!core.begin_stored(first.slot, first.run, 21));
    assert!(!core.ended(first.slot, first.run, ok(), 21));
    assert!(core.is_stopped_stored(first.slot, first.run));
    assert!(!core.is_stopped_stored(second.slot, second.run));
    core.tick(10_000);
    assert_eq!(settle(&mut core, 10_000), [], "the timer of the first means nothing to the second");
    assert!(core.ended(second.slot, second.run, ok(), 10_001));
}

#[test]
fn a_step_carries_a_bounded_number_of_settlements() {
    let mut core = started(config(1));
    let orphans: Vec<_> = (0..5_000).map(|epoch| claimed(spec(), epoch)).collect();
    core.orphaned(&orphans);
    let mut sizes = Vec::new();
    while let Some(step) = core.step(0).filter(|step| !step.settlements.is_empty()) {
        sizes.push(step.settlements.len());
        assert!(step.settlements.iter().all(|end| end.cause == Cause::Lose));
        answer(&mut core, &step, Vec::new(), 0);
    }
    assert_eq!(sizes, [2000, 2000, 1000]);
}

#[test]
fn claims_ahead_follow_the_pace_within_bounds() {
    let mut core = started(config(10));
    let mut now = 0;
    // A hundred ends in each window of 100 ms.
    for _ in 0..300 {
        let begun = begin(&mut core, spec(), now);
        core.ended(begun.slot, begun.run, ok(), now);
        settle(&mut core, now);
        now += 1;
    }
    core.hint();
    let max = core.step(now).unwrap().claims.max;
    assert!((90..=120).contains(&max), "{max}");

    let mut fast = started(config(10));
    for _ in 0..10_000 {
        fast.stored.pace.ended(5);
    }
    assert_eq!(fast.step(50).unwrap().claims.max, 2_010, "10 slots, and no more than 2000 ahead");
}

#[test]
fn a_kind_with_a_limit_of_the_store_is_claimed_for_free_slots_only() {
    let mut core = Core::new(config(10));
    core.add_kind(Kind { total: Some(100), ..Kind::new("work") });
    core.start();
    (0..1_000).for_each(|_| core.stored.pace.ended(5));
    let step = core.step(50).unwrap();
    assert_eq!((step.claims.max, step.claims.lanes[0].max), (1_010, 10));
}

#[test]
fn tasks_of_a_full_kind_take_no_room_from_others() {
    let mut core = Core::new(config(4));
    core.add_kind(Kind { per_node: Some(1), ..Kind::new("work") });
    core.add_kind(Kind::new("other"));
    core.start();
    let handed = claim(&mut core, vec![spec(), spec(), spec()], 0);
    assert_eq!(handed.len(), 1);
    core.hint();
    let step = core.step(0).unwrap();
    assert_eq!(step.claims.max, 3);
    assert_eq!(step.claims.lanes.iter().map(|lane| &*lane.name).collect::<Vec<_>>(), ["other"]);
}

#[test]
fn a_node_that_was_declared_dead_loses_what_runs_and_returns_the_rest() {
    let mut core = started(config(2));
    let handed = claim(&mut core, vec![spec(), spec()], 0);
    assert!(core.begin_stored(handed[0].slot, handed[0].run, 0));
    core.pulsed(&crate::store::Pulse { declared_dead: true, ..Default::default() }, 1);
    let mut causes = settle(&mut core, 1);
    causes.sort_by_key(|cause| *cause == Cause::Release);
    assert_eq!(causes, [Cause::Lose, Cause::Release]);
    assert_eq!(stops(&mut core), [Stop::Lost]);
    assert!(!core.ended(handed[0].slot, handed[0].run, ok(), 2));
}

#[test]
fn a_paused_queue_gets_back_what_has_not_begun() {
    let mut core = started(config(2));
    let handed = claim(&mut core, vec![spec(), spec(), Spec { queue: "other".into(), ..spec() }], 0);
    assert!(core.begin_stored(handed[0].slot, handed[0].run, 0));
    core.pulsed(&crate::store::Pulse { paused: vec!["default".into()], ..Default::default() }, 1);
    assert_eq!(settle(&mut core, 1), [Cause::Release]);
    core.poll(1);
    assert_eq!(starts(&mut core).len(), 1, "the other queue goes on");
    core.hint();
    let step = core.step(2);
    if let Some(step) = step {
        answer(&mut core, &step, vec![claimed(spec(), 9)], 2);
        assert_eq!(settle(&mut core, 2), [Cause::Release], "what was claimed meanwhile");
    }
}

#[test]
fn the_process_is_held_until_the_store_has_been_asked() {
    let mut core = Core::new(config(1));
    assert!(!core.holds_process(0));
    core.start();
    core.add_kind(Kind::new("work"));
    assert!(core.holds_process(0));
    let step = core.step(0).unwrap();
    assert!(core.holds_process(0), "the answer may bring tasks");
    answer(&mut core, &step, Vec::new(), 0);
    assert!(!core.holds_process(0));
    core.ask_again();
    assert!(!core.holds_process(0), "a question out of habit holds nobody");
    core.hint();
    assert!(core.holds_process(0));
}
