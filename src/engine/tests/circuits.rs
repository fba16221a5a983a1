//! Circuit breakers that two nodes share by a cell, by hand-made clocks that differ.

use super::super::circuits::{Clocks, Kept};
use crate::policy::breaker::{BreakerPolicy, Verdict};
use crate::policy::{BreakerRules, SharedBreaker};
use crate::store::{Cell, NodeId};
use crate::time::Millis;

struct Node {
    id: NodeId,
    breaker: SharedBreaker,
    kept: Kept,
    /// What its clock shows when that of the store shows 0.
    zero: Millis,
}

impl Node {
    fn new(id: &str, zero: Millis) -> Self {
        let policy = BreakerPolicy { window: 2, min_calls: 2, open_for: 100, ..BreakerPolicy::default() };
        let name = Some("upstream".into());
        let rules = BreakerRules { name, shared: Some(true), fails: false, holder: id.into() };
        let breaker = SharedBreaker::new(policy, rules).unwrap();
        Self { id: id.into(), kept: Kept::new(breaker.clone(), "upstream"), breaker, zero }
    }

    /// One look at the store, which shows `now`.
    fn look(&mut self, cell: &mut Option<Cell>, now: Millis, lives: bool) {
        let at = Clocks { store: now, here: self.zero + now };
        let Some(change) = self.kept.look(cell.as_ref(), at, &self.id, |_| lives) else { return };
        assert_eq!(change.swap.old, cell.as_ref().map(|cell| cell.value.clone()));
        *cell = change.swap.new.clone();
        self.kept.changed(change, at);
    }

    fn call(&self, now: Millis, verdict: Verdict) {
        let permit = self.breaker.admit(self.zero + now).expect("there is room");
        self.breaker.give(permit, verdict, 0, self.zero + now);
    }

    fn fails(&self, now: Millis) {
        (0..2).for_each(|_| self.call(now, Verdict::Failed));
    }

    fn word(&self, now: Millis) -> &'static str {
        self.breaker.word(self.zero + now)
    }

    fn slots(&self, now: Millis) -> u32 {
        self.breaker.room(self.zero + now).slots
    }
}

fn two() -> (Node, Node, Option<Cell>) {
    (Node::new("one", 0), Node::new("other", 70_000), None)
}

#[test]
fn who_finds_out_tells_the_others_and_one_of_them_probes() {
    let (mut one, mut other, mut cell) = two();
    one.fails(10);
    one.look(&mut cell, 11, true);
    other.look(&mut cell, 12, true);
    assert_eq!((one.word(12), other.word(12)), ("open", "open"));
    assert_eq!(other.breaker.room(70_012).reopens_at, Some(70_110), "by its own clock");
    assert_eq!((one.slots(110), other.slots(110)), (0, 0), "time alone opens it for nobody");
    other.look(&mut cell, 110, true);
    one.look(&mut cell, 111, true);
    assert_eq!((one.slots(111), other.slots(111)), (0, 1));
    assert_eq!((one.word(111), other.word(111)), ("half-open", "half-open"));
    other.call(112, Verdict::Succeeded);
    other.look(&mut cell, 113, true);
    one.look(&mut cell, 114, true);
    assert_eq!((one.word(114), other.word(114)), ("closed", "closed"));
    assert!(one.slots(114) > 1000 && other.slots(114) > 1000);
}

#[test]
fn a_probe_that_fails_opens_it_for_all_and_for_longer() {
    let (mut one, mut other, mut cell) = two();
    one.fails(0);
    for now in [1, 100] {
        one.look(&mut cell, now, true);
        other.look(&mut cell, now, true);
    }
    one.call(101, Verdict::Failed);
    one.look(&mut cell, 102, true);
    other.look(&mut cell, 103, true);
    assert_eq!(other.breaker.room(70_103).reopens_at, Some(70_301), "twice as long");
}

#[test]
fn a_right_that_is_not_used_goes_to_another_node() {
    let (mut one, mut other, mut cell) = two();
    one.fails(0);
    one.look(&mut cell, 1, true);
    one.look(&mut cell, 100, true);
    other.look(&mut cell, 101, true);
    assert_eq!((one.slots(1099), other.slots(1099)), (1, 0));
    one.look(&mut cell, 1100, true);
    assert_eq!(one.slots(1100), 0);
    one.look(&mut cell, 1101, true);
    other.look(&mut cell, 1102, true);
    other.look(&mut cell, 1103, true);
    assert_eq!((one.slots(1103), other.slots(1103)), (0, 1));
    // Whoever is using it keeps it.
    let permit = other.breaker.admit(71_104).unwrap();
    other.look(&mut cell, 9_000, true);
    one.look(&mut cell, 9_000, true);
    assert_eq!(one.slots(9_000), 0);
    other.breaker.give(permit, Verdict::Succeeded, 0, 79_001);
    assert_eq!(other.word(9_001), "closed");
}

#[test]
fn the_right_of_a_node_that_is_gone_is_free() {
    let (mut one, mut other, mut cell) = two();
    one.fails(0);
    one.look(&mut cell, 1, true);
    one.look(&mut cell, 100, true);
    other.look(&mut cell, 101, true);
    other.look(&mut cell, 5_000, true);
    assert_eq!(other.slots(5_000), 0);
    other.look(&mut cell, 5_001, false);
    assert_eq!(other.slots(5_001), 1);
}

#[test]
fn by_hand_it_opens_and_closes_for_all() {
    let (mut one, mut other, mut cell) = two();
    one.breaker.open(0, None);
    one.look(&mut cell, 1, true);
    other.look(&mut cell, 2, true);
    assert_eq!((other.word(1_000_000), other.slots(1_000_000)), ("open", 0));
    other.breaker.close();
    other.look(&mut cell, 3, true);
    one.look(&mut cell, 4, true);
    assert_eq!((one.word(4), other.word(4)), ("closed", "closed"));
}

#[test]
fn without_its_store_a_node_is_on_its_own() {
    let (mut one, mut other, mut cell) = two();
    one.fails(0);
    one.look(&mut cell, 1, true);
    other.look(&mut cell, 2, true);
    other.kept.leave_alone();
    assert_eq!(other.slots(100), 1);
    other.call(100, Verdict::Succeeded);
    assert_eq!(other.word(100), "closed");
    // Back again, it follows those who know more.
    one.look(&mut cell, 101, true);
    other.look(&mut cell, 102, true);
    assert_eq!((one.slots(102), other.slots(102)), (1, 0));
}

#[test]
fn of_two_that_find_out_at_once_the_second_follows() {
    let (mut one, mut other, mut cell) = two();
    one.fails(0);
    other.fails(50);
    one.look(&mut cell, 51, true);
    other.look(&mut cell, 52, true);
    assert_eq!(other.breaker.room(70_052).reopens_at, Some(70_100), "as the first has it");
    other.look(&mut cell, 53, true);
    one.look(&mut cell, 54, true);
    assert_eq!(one.breaker.room(54).reopens_at, Some(100));
}

#[test]
fn a_cell_that_nobody_can_read_is_replaced() {
    let (mut one, _, _) = two();
    let mut cell = Some(Cell { value: "{}".into(), due_at: None });
    one.look(&mut cell, 0, true);
    assert_eq!(one.word(0), "closed");
    one.fails(0);
    one.look(&mut cell, 1, true);
    assert!(cell.unwrap().value.contains("open"));
}
