//! Locks of others, and openings at the same time.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use task::store::sqlite::Durability;
use task::store::{Advance, Claims, LaneClaim, Push, Settled, Store};
use task::task::{Cause, Outcome};

use crate::bench::{now, wait};
use crate::parts::{KIND, ended_by, task};
use crate::process::{Actor, Log, Stage, say};

fn text(path: &Path) -> &str {
    path.to_str().expect("a path of UTF-8")
}

#[test]
fn a_lock_of_a_second_is_not_seen() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("tasks.db");
    let store = crate::open(&path, Durability::Relaxed);
    let log = Log::default();
    let holder = Actor::begin(&log, "lock", &[text(&path), "1000"]);
    log.wait_for(0, "HELD");
    let began = Instant::now();
    now(store.push(Arc::new([Push::of([task("one")])]))).remove(0).expect("nothing to refuse");
    let waited = began.elapsed();
    assert!(waited > Duration::from_millis(300), "the lock was passed after {waited:?}");
    assert!(now(store.get(vec!["one".into()])).records[0].is_some());
    holder.finish();
    crate::assert_sound(&store);
}

#[test]
fn a_long_lock_is_told_and_work_goes_on_after_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("tasks.db");
    let store = crate::open(&path, Durability::Relaxed);
    now(store.push(Arc::new([Push::of([task("one")])]))).remove(0).expect("nothing to refuse");
    let step = |turn_no, settlements, max| {
        let claims = Claims { max, lanes: vec![LaneClaim::of(KIND, max)] };
        store.advance(Arc::new(Advance { node: "node".into(), turn_no, settlements, claims }))
    };
    let run = now(step(1, Vec::new(), 1)).claimed[0].clone();
    let log = Log::default();
    let holder = Actor::begin(&log, "lock", &[text(&path), "7500"]);
    log.wait_for(0, "HELD");
    let end = ended_by(&run, &Outcome::Ok("1".into()));
    let error =
        wait(step(2, vec![end.clone()], 0)).expect_err("somebody holds it for longer than anybody waits");
    assert_eq!(error.code(), "ERR_STORE_BUSY", "{error}");
    // Readers do not wait for it, and nobody takes the run from a node that lives.
    assert!(now(store.get(vec!["one".into()])).records[0].is_some());
    assert!(now(store.pulse("node".into())).dead.is_empty());
    let until = Instant::now() + Duration::from_secs(60);
    let turn = loop {
        match wait(step(2, vec![end.clone()], 0)) {
            Ok(turn) => break turn,
            Err(error) => assert!(error.is_passing() && Instant::now() < until, "{error}"),
        }
    };
    assert_eq!(turn.settled, [Settled::Applied(Cause::Complete)]);
    holder.finish();
    crate::assert_sound(&store);
}

/// Words: file, mask of new files.
pub fn play_opener(stage: &Stage) {
    let mask = u32::from_str_radix(stage.word(1), 8).expect("a mask");
    // SAFETY: a call without memory of ours.
    unsafe { libc::umask(mask as libc::mode_t) };
    say("READY");
    stage.listen();
    let store = crate::open(Path::new(stage.word(0)), Durability::Strict);
    let id = format!("of-{}", std::process::id());
    now(store.push(Arc::new([Push::of([task(&id)])]))).remove(0).expect("nothing to refuse");
    now(store.pulse(id.as_str().into()));
    say(&format!("OPEN {id}"));
    stage.listen();
}

#[test]
fn a_new_file_is_opened_by_four_processes_at_once_and_is_for_its_owner_alone() {
    for mask in ["0", "022"] {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("tasks.db");
        let log = Log::default();
        let mut actors: Vec<Actor> =
            (0..4).map(|_| Actor::begin(&log, "opener", &[text(&path), mask])).collect();
        let ready = |word: &str| log.lines().iter().filter(|line| line.text.starts_with(word)).count();
        let all = |word: &str| {
            let until = Instant::now() + Duration::from_secs(20);
            while ready(word) < 4 {
                assert!(Instant::now() < until, "not all say {word}: {:?}", log.lines());
                std::thread::sleep(Duration::from_millis(2));
            }
        };
        all("READY");
        actors.iter_mut().for_each(|actor| actor.tell("go"));
        all("OPEN");
        let mut seen = 0;
        for folder in [folder.path(), &folder.path().join("tasks.db.nodes")] {
            for entry in fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path())
            {
                let found = fs::metadata(&entry).expect("an entry");
                let right = if found.is_dir() { 0o700 } else { 0o600 };
                let mode = found.permissions().mode() & 0o777;
                assert_eq!(mode, right, "{} under umask {mask}", entry.display());
                seen += 1;
            }
        }
        // The file, its log, the memory they share, and of every process a lock and a beat.
        assert_eq!(seen, 3 + 1 + 8);
        let store = crate::open(&path, Durability::Strict);
        assert_eq!(crate::dump(&store).len(), 4);
        assert_eq!(now(store.nodes()).len(), 4);
        crate::assert_sound(&store);
        actors.iter_mut().for_each(|actor| actor.tell("end"));
        actors.into_iter().for_each(Actor::finish);
    }
}

#[test]
fn a_file_that_others_could_read_is_tightened() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("tasks.db");
    drop(crate::open(&path, Durability::Strict));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("rights");
    let store = crate::open(&path, Durability::Strict);
    now(store.push(Arc::new([Push::of([task("one")])]))).remove(0).expect("nothing to refuse");
    for name in ["tasks.db", "tasks.db-wal", "tasks.db-shm"] {
        let found = fs::metadata(folder.path().join(name)).expect("a file");
        assert_eq!(found.permissions().mode() & 0o777, 0o600, "{name}");
    }
}

#[test]
fn a_file_that_is_opened_twice_in_one_process_has_one_writer() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("tasks.db");
    let first = crate::open(&path, Durability::Relaxed);
    let again = folder.path().join("../").join(folder.path().file_name().expect("a name")).join("tasks.db");
    let second = crate::open(&again, Durability::Strict);
    assert_eq!(first.path(), second.path());
    now(first.push(Arc::new([Push::of([task("one")])]))).remove(0).expect("nothing to refuse");
    let claims = Claims { max: 1, lanes: vec![LaneClaim::of(KIND, 1)] };
    let step = Advance { node: "node".into(), turn_no: 1, settlements: Vec::new(), claims };
    let turn = now(second.advance(Arc::new(step.clone())));
    assert_eq!(turn.claimed.len(), 1);
    // What only the writer remembers, both have: the answer to the turn, and the transitions it took.
    assert_eq!(now(first.advance(Arc::new(step))).claimed[0].epoch, turn.claimed[0].epoch);
    assert_eq!(first.transitions(), second.transitions());
    assert_eq!(first.transitions().iter().sum::<u64>(), 1);
}
