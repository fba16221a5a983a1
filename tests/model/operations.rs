//! Random operations, few names for much collision.

use proptest::prelude::*;
use proptest::sample::select;
use task::policy::RetryPolicy;
use task::store::{Amend, Filter, Keep, LaneClaim, Rate, Retention};
use task::task::{
    Blockers, Conflict, Key, Name, Note, OnBlockerFailure, Outcome, Quiet, Spec, TaskId, View, When,
};
use task::time::Millis;

/// One thing that is done to both. Running tasks are picked by a number, modulo how many there are.
#[derive(Clone, Debug)]
pub enum Operation {
    Push {
        specs: Vec<Spec>,
        max_waiting: Option<u64>,
        guard: Option<u8>,
    },
    Advance {
        node: u8,
        ends: Vec<End>,
        max: u32,
        lanes: Vec<LaneClaim>,
    },
    /// The latest step of a node once more.
    Repeat {
        node: u8,
    },
    Amend {
        ids: Option<Vec<u8>>,
        filter: Filter,
        change: Amend,
    },
    /// Puts or takes away the pause of a queue.
    Pause {
        queue: u8,
    },
    Pass {
        time: Millis,
    },
    Pulse {
        node: u8,
        heal: bool,
    },
    Leave {
        node: u8,
    },
    Prune {
        limits: Retention,
        max: usize,
    },
    List {
        filter: Filter,
        limit: usize,
    },
    /// A run is picked, and a number added to its epoch.
    Note {
        run: u8,
        off: i8,
        note: Note,
    },
}

/// How a run ends, or how it pretends to.
#[derive(Clone, Debug)]
pub struct End {
    pub run: u8,
    pub outcome: Outcome,
    /// Added to the epoch.
    pub off: i8,
    pub spawn: Vec<Spec>,
}

pub fn task_id(n: u8) -> TaskId {
    TaskId::from(format!("t{n}").as_str())
}

pub fn operations() -> impl Strategy<Value = Vec<Operation>> {
    prop::collection::vec(operation(), 1..50)
}

fn operation() -> impl Strategy<Value = Operation> {
    let few = prop::collection::vec(spec(), 1..4);
    prop_oneof![
        8 => (few, prop::option::weighted(0.1, 0..8u64), prop::option::weighted(0.1, 0..2u8))
            .prop_map(|(specs, max_waiting, guard)| Operation::Push { specs, max_waiting, guard }),
        12 => (0..3u8, prop::collection::vec(end(), 0..4), 0..6u32, lanes())
            .prop_map(|(node, ends, max, lanes)| Operation::Advance { node, ends, max, lanes }),
        2 => (0..3u8).prop_map(|node| Operation::Repeat { node }),
        4 => (prop::option::of(prop::collection::vec(0..10u8, 1..4)), filter(), change())
            .prop_map(|(ids, filter, change)| Operation::Amend { ids, filter, change }),
        1 => (0..2u8).prop_map(|queue| Operation::Pause { queue }),
        4 => select(vec![1, 10, 50, 400]).prop_map(|time| Operation::Pass { time }),
        3 => (0..3u8, any::<bool>()).prop_map(|(node, heal)| Operation::Pulse { node, heal }),
        1 => (0..3u8).prop_map(|node| Operation::Leave { node }),
        1 => (keep(), keep(), keep(), 1..9usize).prop_map(|(completed, failed, cancelled, max)| {
            Operation::Prune { limits: Retention { completed, failed, cancelled }, max }
        }),
        2 => (filter(), 1..5usize).prop_map(|(filter, limit)| Operation::List { filter, limit }),
        2 => (any::<u8>(), prop_oneof![9 => Just(0i8), 1 => -2..3i8], note())
            .prop_map(|(run, off, note)| Operation::Note { run, off, note }),
    ]
}

fn name(names: &[&'static str]) -> impl Strategy<Value = Name> + use<> {
    select(names.to_vec()).prop_map(Name::from)
}

fn spec() -> impl Strategy<Value = Spec> {
    let what = (0..10u8, name(&["a", "b"]), name(&["q", "r"]), prop::option::of(name(&["g", "h"])));
    let when = prop_oneof![3 => Just(When::Now), 1 => (0..60u64).prop_map(When::After)];
    let expires = prop::option::weighted(0.1, 0..200u64);
    let how = (-1..2i32, when, expires, 1..4u32, select(vec!["1", "2", "2", "2"]));
    let blockers = (prop::collection::vec(0..10u8, 1..3), any::<bool>());
    let flow = prop::option::weighted(0.4, name(&["f", "e"]));
    let ties = (prop::option::weighted(0.3, key()), prop::option::weighted(0.3, blockers), flow);
    (what, how, ties).prop_map(|((id, name, queue, group), how, (key, blockers, flow))| {
        let (priority, when, expires, attempts, input) = how;
        // An id that the engine has made comes again only with the same input.
        let minted = id >= 8;
        let input = if minted { "3" } else { input };
        let blockers = blockers.map(|(ids, run)| Blockers {
            ids: ids.into_iter().map(task_id).collect(),
            on_failure: if run { OnBlockerFailure::Run } else { OnBlockerFailure::Cancel },
        });
        Spec {
            id: task_id(id),
            minted,
            queue,
            group,
            priority,
            when,
            key,
            blockers,
            flow,
            expires_at: expires,
            retry: RetryPolicy::fixed(attempts, 20),
            ..Spec::new(name, input)
        }
    })
}

fn key() -> impl Strategy<Value = Key> {
    let quiet = prop_oneof![
        3 => Just(Quiet::Off),
        1 => (0..60u64).prop_map(Quiet::Throttle),
        1 => (0..40u64, 0..90u64).prop_map(|(wait, max_wait)| Quiet::Debounce { wait, max_wait }),
    ];
    let conflict = select(vec![Conflict::Ignore, Conflict::Replace, Conflict::Refuse]);
    (name(&["k", "l"]), conflict, quiet).prop_map(|(text, conflict, quiet)| Key { text, conflict, quiet })
}

fn end() -> impl Strategy<Value = End> {
    let outcome = prop_oneof![
        4 => Just(Outcome::Ok("[]".into())),
        2 => Just(Outcome::Error(std::sync::Arc::default())),
        1 => Just(Outcome::Timeout),
        1 => (0..40u64).prop_map(Outcome::Snooze),
        1 => Just(Outcome::Cancelled("enough".into())),
        2 => Just(Outcome::Lost),
        2 => Just(Outcome::Released),
    ];
    let off = prop_oneof![9 => Just(0i8), 1 => -2..3i8];
    // A circle among spawned tasks is cut where the store likes: at most the second waits, for the first.
    let spawn = prop_oneof![4 => Just(Vec::new()), 1 => prop::collection::vec(spec(), 1..3)];
    (any::<u8>(), outcome, off, spawn).prop_map(|(run, outcome, off, mut spawn)| {
        for spec in &mut spawn {
            spec.blockers = None;
        }
        if let [first, second] = &mut spawn[..]
            && first.id != second.id
        {
            second.blockers =
                Some(Blockers { ids: vec![first.id.clone()], on_failure: OnBlockerFailure::Cancel });
        }
        End { run, outcome, off, spawn }
    })
}

fn note() -> impl Strategy<Value = Note> {
    let step = |(key, value): (Name, &str)| Note::Step { key, value: value.into() };
    prop_oneof![
        (name(&["s", "t"]), select(vec!["1", "2"])).prop_map(step),
        select(vec!["1", "2"]).prop_map(|value| Note::Progress(value.into())),
        (0..3u32).prop_map(|no| Note::Line { no, text: format!("\"{no}\"").into() }),
    ]
}

fn lanes() -> impl Strategy<Value = Vec<LaneClaim>> {
    let lane = |kind: &'static str| {
        // One setting for each key: with another one, whether a start was refused in between would matter.
        let (interval_us, burst) = if kind == "a" { (7_000, 1) } else { (15_000, 2) };
        let rate =
            any::<bool>().prop_map(move |by_group| Rate { key: kind.into(), by_group, interval_us, burst });
        let limits = (
            prop::option::weighted(0.2, 0..3u32),
            prop::option::weighted(0.2, 0..3u32),
            prop::option::weighted(0.2, rate),
        );
        let lane = (prop::option::weighted(0.2, name(&["q", "r"])), 0..4u32, limits).prop_map(
            move |(queue, max, (total, per_group, rate))| LaneClaim {
                queue,
                total,
                per_group,
                rate,
                ..LaneClaim::of(kind, max)
            },
        );
        prop::option::weighted(0.8, lane)
    };
    (lane("a"), lane("b")).prop_map(|(a, b)| a.into_iter().chain(b).collect())
}

fn filter() -> impl Strategy<Value = Filter> {
    let views = prop::collection::vec(select(View::ALL.to_vec()), 0..3);
    let names = (
        prop::option::weighted(0.3, name(&["q", "r"])),
        prop::option::weighted(0.3, name(&["a", "b"])),
        prop::option::weighted(0.3, name(&["g", "h"])),
        prop::option::weighted(0.2, name(&["f", "e"])),
    );
    (views, names).prop_map(|(views, (queue, name, group, flow))| Filter {
        views,
        queue,
        name,
        group,
        flow,
        ..Filter::default()
    })
}

fn change() -> impl Strategy<Value = Amend> {
    prop_oneof![
        3 => Just(Amend::Cancel("no".into())),
        4 => Just(Amend::Retry),
        1 => Just(Amend::Remove),
        1 => (0..300u64).prop_map(Amend::Reschedule),
        1 => Just(Amend::Promote),
        1 => (-2..3i32).prop_map(Amend::Prioritise),
    ]
}

fn keep() -> impl Strategy<Value = Keep> {
    let age = prop::option::weighted(0.2, 0..300u64);
    (age, prop::option::weighted(0.5, 0..5u64), prop::option::weighted(0.2, 0..20u64))
        .prop_map(|(age, count, bytes)| Keep { age, count, bytes })
}
