//! Limits under load, in virtual time, on every store: they are used, they are kept, and nobody else waits for them.

// Not every test binary needs all of it.
#[allow(dead_code)]
mod bench;
#[path = "load/plant.rs"]
mod plant;

use task::engine::{Kind, Limits};
use task::policy::rate::RateLimit;
use task::policy::{RateRules, SharedRate};
use task::store::Rate;
use task::task::{Name, Spec, TaskId};
use task::time::Millis;

use bench::Open;
use plant::{Plant, START, Started};

/// `limit` a second, kept by the node or by the store.
fn rated(limit: u32, burst: u32, by_store: bool) -> Kind {
    let mut kind = Kind::new("limited");
    if by_store {
        let interval_us = 1_000_000 / u64::from(limit);
        kind.rate = Some(Rate { key: "limited".into(), by_group: false, interval_us, burst });
    } else {
        let limit = RateLimit::new(limit, 1000).and_then(|limit| limit.with_burst(burst)).expect("a rate");
        kind.limits = Limits { rate: Some(SharedRate::new(limit, RateRules::default())), breaker: None };
    }
    kind
}

fn specs(kind: &str, from: u64, count: u64) -> Vec<Spec> {
    let id = |n| TaskId::from(format!("{kind}-{n}").as_str());
    (from..from + count).map(|n| Spec { id: id(n), ..Spec::new(kind, "null") }).collect()
}

/// Numbers by chance, the same every time.
fn dice(seed: u64) -> impl FnMut(u64) -> u64 {
    let mut state = seed;
    move |below| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    }
}

fn of<'a>(kind: &'a str, starts: &'a [Started]) -> impl Iterator<Item = &'a Started> {
    starts.iter().filter(move |start| &*start.spec.name == kind)
}

/// The 99th percentile of the wait of two kinds at three quarters of what the node can do, beside a kind of which a
/// thousand times as many come as its limit lets through, and before them by priority.
fn p99_of_the_others(open: Open, span: Millis, by_store: Option<bool>) -> (Millis, usize) {
    let mut plant = Plant::new(open, 16).kind(Kind::new("mail"), 100).kind(Kind::new("report"), 100);
    let mut dice = dice(7);
    let mut at = 0;
    for n in 0.. {
        // One each 8 ms: 12 of the 16 slots.
        at += dice(17);
        if at > span {
            break;
        }
        plant.enqueue(at, specs(["mail", "report"][n as usize % 2], n, 1));
    }
    if let Some(by_store) = by_store {
        plant = plant.kind(rated(1, 1, by_store), 1);
        for n in 0..span / 20 {
            let crowd = specs("limited", 20 * n, 20).into_iter();
            plant.enqueue(20 * n, crowd.map(|spec| Spec { priority: 9, ..spec }).collect());
        }
    }
    plant.run(span + 2000);
    let others = plant.starts.iter().filter(|start| &*start.spec.name != "limited");
    let mut waits: Vec<Millis> = others.map(|start| start.waited).collect();
    waits.sort_unstable();
    assert!(waits.len() as u64 > span / 10, "all of them have started");
    (waits[waits.len() * 99 / 100], of("limited", &plant.starts).count())
}

fn nobody_waits_for_the_limit_of_another(open: Open, span: Millis) {
    let (without, _) = p99_of_the_others(open, span, None);
    assert!(without >= 10, "{without} ms: there is too little to do to see anything");
    for by_store in [false, true] {
        let (beside, limited) = p99_of_the_others(open, span, Some(by_store));
        assert!(limited as u64 >= span / 1000, "{limited} of the crowd have started");
        assert!(beside * 10 <= without * 11, "{beside} ms beside the crowd, {without} ms without it");
    }
}

/// The limit is used to 99 of 100, and over no time more start than the limit and the burst.
fn a_rate_is_used_and_kept(open: Open, span: Millis) {
    for (limit, burst, by_store) in [(100, 10, false), (100, 10, true), (250, 1, false), (250, 1, true)] {
        let mut plant = Plant::new(open, 8).kind(rated(limit, burst, by_store), 3);
        let allowed = u64::from(limit) * span / 1000;
        plant.enqueue(0, specs("limited", 0, allowed + u64::from(burst) + 100));
        plant.run(span);
        let starts: Vec<Millis> = plant.starts.iter().map(|start| start.at - START).collect();
        assert!(starts.len() as u64 * 100 >= allowed * 99, "{} of {allowed} were used", starts.len());
        for (first, from) in starts.iter().enumerate() {
            for (count, to) in (1..).zip(&starts[first..]) {
                let most = (to - from) * u64::from(limit) / 1000 + u64::from(burst);
                assert!(count <= most, "{count} starts within {} ms", to - from);
            }
        }
    }
}

/// A tenant has `crowd` tasks. Another one comes with one task while these are worked off: it starts within two turns,
/// after what the node has claimed ahead, which is work for 100 ms.
fn one_task_starts_within_two_turns(open: Open, crowd: u64) {
    let of = |group: &str, specs: Vec<Spec>| -> Vec<Spec> {
        let group = Some(Name::from(group));
        specs.into_iter().map(|spec| Spec { group: group.clone(), ..spec }).collect()
    };
    for takes in [10, 200] {
        let mut plant = Plant::new(open, 1).kind(Kind::new("crowd"), takes);
        for from in (0..crowd).step_by(1000) {
            plant.enqueue(0, of("crowd", specs("crowd", from, 1000.min(crowd - from))));
        }
        let alone = Spec { name: "crowd".into(), ..specs("alone", 0, 1).remove(0) };
        plant.enqueue(50 * takes + 5, of("alone", vec![alone]));
        plant.run(100 * takes);
        let came = START + 50 * takes + 5;
        let mut since = plant.starts.iter().filter(|start| start.at >= came);
        let turns = since.position(|start| start.spec.id.as_str() == "alone-0").expect("it starts");
        assert!(turns as u64 <= 2 + 100 / takes, "{turns} turns of {takes} ms before it");
        assert!(plant.starts.len() >= 100, "the others go on");
    }
}

macro_rules! on {
    ($store:ident, $span:expr, $crowd:expr) => {
        mod $store {
            use super::bench::$store;

            #[test]
            fn nobody_waits_for_the_limit_of_another() {
                super::nobody_waits_for_the_limit_of_another($store, $span);
            }

            #[test]
            fn a_rate_is_used_and_kept() {
                super::a_rate_is_used_and_kept($store, $span);
            }

            #[test]
            fn one_task_starts_within_two_turns() {
                super::one_task_starts_within_two_turns($store, $crowd);
            }
        }
    };
}

on!(memory, 30_000, 100_000);
#[cfg(feature = "sqlite")]
on!(sqlite, 4_000, 5_000);
#[cfg(all(unix, feature = "redis"))]
on!(redis, 4_000, 5_000);
