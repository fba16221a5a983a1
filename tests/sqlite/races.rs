//! Several processes on one file: who runs a task, who takes it over, and when.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use task::store::sqlite::{Durability, Options, SqliteStore};
use task::store::{Push, Store};
use task::task::State;

use crate::bench::{now, soak};
use crate::history::judge;
use crate::parts::task;
use crate::process::{Actor, Log};

/// Longer than any test: only the death of a process gives its tasks to others.
const NEVER: &str = "600000";

fn file_with(folder: &Path, tasks: usize) -> PathBuf {
    let file = folder.join("tasks.db");
    let store = crate::open(&file, Durability::Relaxed);
    let push = Push::of((0..tasks).map(|n| task(&format!("t{n}"))));
    now(store.push(Arc::new([push]))).remove(0).expect("nothing to refuse");
    file
}

/// A worker on a relaxed file: name, tasks at once, longest run, lease.
fn worker(log: &Log, file: &Path, words: [&str; 4]) -> Actor {
    let file = file.to_str().expect("a path of UTF-8");
    let [name, max, hold, lease] = words;
    Actor::begin(log, "worker", &[file, "relaxed", name, max, hold, lease])
}

#[test]
fn eight_processes_race_and_no_task_starts_twice() {
    let tasks = 5000 * soak(10) as usize;
    let folder = tempfile::tempdir().expect("a folder");
    let file = file_with(folder.path(), tasks);
    let log = Log::default();
    let names: Vec<String> = (0..8).map(|n| format!("racer{n}")).collect();
    let racers: Vec<Actor> = names.iter().map(|name| worker(&log, &file, [name, "0", "1", NEVER])).collect();
    let store = crate::open(&file, Durability::Relaxed);
    let until = Instant::now() + Duration::from_secs(120);
    while now(store.counts(None)).unfinished() > 0 {
        assert!(Instant::now() < until, "it does not come to its end: {:?}", now(store.counts(None)));
        std::thread::sleep(Duration::from_millis(20));
    }
    for mut racer in racers {
        racer.tell("end");
        racer.finish();
    }
    let lines = log.lines();
    let seen = judge(&lines, &BTreeSet::new(), &crate::dump(&store)).unwrap_or_else(|what| panic!("{what}"));
    assert_eq!((seen.starts, seen.commits, seen.stale, seen.losses), (tasks, tasks, 0, 0));
    assert!(lines.iter().all(|line| !line.text.starts_with("ERR")), "a lock was not waited for");
    // The promise is five seconds, whatever the machine; it is what a transaction waits for a lock.
    let slowest = lines.iter().filter_map(|line| line.text.strip_prefix("SLOWEST ")?.parse::<u64>().ok());
    let slowest: Vec<u64> = slowest.collect();
    assert_eq!(slowest.len(), 8);
    println!("slowest steps, in ms: {slowest:?}");
    assert!(slowest.iter().all(|time| *time < 5000), "somebody starved");
    crate::assert_sound(&store);
}

#[test]
fn who_wakes_after_its_lease_has_nothing_left_to_settle() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = file_with(folder.path(), 1);
    let log = Log::default();
    let mut zombie = worker(&log, &file, ["zombie", "1", "600000", "600"]);
    let first = log.wait_for(0, "START t0");
    zombie.signal(libc::SIGSTOP);
    let stopped = Instant::now();
    let mut heir = worker(&log, &file, ["heir", "1", "600000", "600"]);
    let lost = log.wait_for(0, "LOSS t0");
    // Its beat was at most one round old when it stopped, and nobody is given up before a whole lease.
    assert!(stopped.elapsed() >= Duration::from_millis(500), "given up after {:?}", stopped.elapsed());
    let known = log.lines().iter().position(|line| line.text == lost.text).expect("the line");
    let second = log.wait_for(known, "START t0");
    assert_eq!((first.actor, lost.actor, second.actor), (zombie.no, heir.no, heir.no));
    // It wakes while the other runs the task, and must not end that run.
    zombie.signal(libc::SIGCONT);
    zombie.tell("settle");
    assert_eq!(log.wait_for(known, "STALE t0").actor, zombie.no);
    heir.tell("settle");
    assert_eq!(log.wait_for(known, "COMMIT t0").actor, heir.no);
    for actor in [&mut zombie, &mut heir] {
        actor.tell("end");
    }
    zombie.finish();
    heir.finish();
    let store = crate::open(&file, Durability::Relaxed);
    let status = crate::dump(&store).remove(0).status;
    let (state, output) = (status.state, status.output.as_deref());
    assert_eq!((state, output, status.losses), (State::Completed, Some("\"heir\""), 1));
    let commits = log.lines().iter().filter(|line| line.text.starts_with("COMMIT")).count();
    assert_eq!(commits, 1);
    crate::assert_sound(&store);
}

#[test]
fn who_wakes_after_it_was_taken_off_the_list_works_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("tasks.db");
    let options = Options { durability: Durability::Relaxed, lease: 600 };
    let store = SqliteStore::open(&file, options).expect("the file opens");
    let log = Log::default();
    let mut sleeper = worker(&log, &file, ["sleeper", "1", "600000", "600"]);
    let listed = || now(store.nodes()).iter().any(|node| &*node.id == "sleeper");
    let until = Instant::now() + Duration::from_secs(60);
    let watch = |wanted: bool| {
        while listed() != wanted {
            assert!(Instant::now() < until, "the list does not change");
            now(store.pulse("watcher".into()));
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    watch(true);
    sleeper.signal(libc::SIGSTOP);
    watch(false);
    // Its place in the file goes to somebody else meanwhile.
    now(store.pulse("newcomer".into()));
    sleeper.signal(libc::SIGCONT);
    now(store.push(Arc::new([Push::of([task("t0")])]))).remove(0).expect("nothing to refuse");
    log.wait_for(0, "START t0");
    let owner = now(store.get(vec!["t0".into()])).records.remove(0).and_then(|record| record.status.owner);
    assert_eq!(owner.as_deref(), Some("sleeper"));
    sleeper.tell("settle");
    assert_eq!(log.wait_for(0, "COMMIT t0").actor, sleeper.no);
    sleeper.tell("end");
    sleeper.finish();
    crate::assert_sound(&store);
}

#[test]
fn the_death_of_a_process_is_noticed_long_before_its_lease() {
    let tasks = 100;
    let folder = tempfile::tempdir().expect("a folder");
    let file = file_with(folder.path(), tasks);
    let log = Log::default();
    let victim = worker(&log, &file, ["victim", "100", "600000", NEVER]);
    log.wait_for(0, "START t99");
    let known = log.lines().len();
    let mut heir = worker(&log, &file, ["heir", "100", "0", NEVER]);
    log.wait_for(known, "READY");
    let heard = log.lines().len();
    let killed = victim.kill();
    let died = Instant::now();
    log.wait_for(heard, "START");
    let noticed = died.elapsed();
    println!("noticed after {noticed:?}");
    // By the kernel's word, not by a lease of ten minutes; what is left is a machine that is busy.
    assert!(noticed < Duration::from_secs(10), "noticed after {noticed:?}");
    let store = crate::open(&file, Durability::Relaxed);
    while now(store.counts(None)).unfinished() > 0 {
        assert!(died.elapsed() < Duration::from_secs(60), "{:?}", now(store.counts(None)));
        std::thread::sleep(Duration::from_millis(5));
    }
    heir.tell("end");
    heir.finish();
    let killed = BTreeSet::from([killed]);
    let seen = judge(&log.lines(), &killed, &crate::dump(&store)).unwrap_or_else(|what| panic!("{what}"));
    assert_eq!((seen.losses, seen.commits), (tasks, tasks));
}
