//! Files that are not to be had, or are not what they should be: every one is refused with a typed error that
//! names it, and is left as it was.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use task::store::sqlite::{Durability, Options, SqliteStore};
use task::store::{Push, Store, StoreError};

use crate::bench::{now, wait};
use crate::parts::task;
use crate::process::{Actor, Log, Stage, say};

#[track_caller]
fn refusal(path: &Path) -> StoreError {
    match SqliteStore::open(path, Options::default()) {
        Ok(_) => panic!("{} was opened", path.display()),
        Err(error) => error,
    }
}

/// All that a folder holds, with its bytes.
fn bytes(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let entries = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    let mut all: Vec<_> = entries
        .filter(|path| path.is_file())
        .map(|path| (path.clone(), fs::read(path).expect("bytes")))
        .collect();
    all.sort();
    all
}

#[test]
fn what_is_no_task_file_is_refused_and_untouched() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    fs::write(at("text"), "not a database. ".repeat(500)).expect("a file");
    let foreign = rusqlite::Connection::open(at("foreign")).expect("a file");
    foreign.execute_batch("CREATE TABLE t (x); INSERT INTO t VALUES (1)").expect("a table");
    foreign.close().expect("it closes");
    let marked = rusqlite::Connection::open(at("marked")).expect("a file");
    marked.execute_batch("PRAGMA application_id = 7; CREATE TABLE t (x)").expect("a mark");
    marked.close().expect("it closes");
    for name in ["text", "foreign", "marked"] {
        fs::set_permissions(at(name), Permissions::from_mode(0o600)).expect("rights");
    }
    let before = bytes(folder.path());
    for name in ["text", "foreign", "marked"] {
        let error = refusal(&at(name));
        assert_eq!(error.code(), "ERR_STORE_CORRUPT", "{name}: {error}");
    }
    assert!(bytes(folder.path()) == before, "a file was touched");
}

#[test]
fn a_newer_file_is_refused_by_both_versions() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("tasks.db");
    drop(crate::open(&path, Durability::Strict));
    wait_for_the_end_of(&path);
    let db = rusqlite::Connection::open(&path).expect("the file opens");
    let known: u32 = db.pragma_query_value(None, "user_version", |row| row.get(0)).expect("a version");
    db.pragma_update(None, "user_version", known + 1).expect("a newer version");
    db.close().expect("it closes");
    let before = bytes(folder.path());
    assert_eq!(refusal(&path), StoreError::Version { found: known + 1, known });
    let text = refusal(&path).to_string();
    assert!(text.contains(&known.to_string()) && text.contains(&(known + 1).to_string()), "{text}");
    assert!(bytes(folder.path()) == before, "the file was touched");
}

#[test]
fn a_path_that_is_no_file_is_refused_by_name() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    fs::create_dir(at("folder")).expect("a folder");
    File::create(at("file")).expect("a file");
    std::os::unix::fs::symlink(at("file"), at("link")).expect("a link");
    std::os::unix::fs::symlink(at("nothing"), at("dangling")).expect("a link");
    for (name, word) in [
        ("folder", "a folder"),
        ("link", "not a plain file"),
        ("dangling", "not a plain file"),
        ("none/tasks.db", "folder"),
        ("file/tasks.db", "cannot be created"),
    ] {
        let error = refusal(&at(name)).to_string();
        assert!(error.contains(word) && error.contains(name), "{name}: {error}");
    }
    assert!(!at("nothing").exists());
    assert_eq!(fs::metadata(at("file")).expect("the file").len(), 0);
}

/// Gives up the rights of root, which no right of a file binds.
fn step_down(folder: &Path) {
    // SAFETY: calls without memory of ours.
    unsafe {
        if libc::geteuid() == 0 {
            for path in fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path()) {
                std::os::unix::fs::chown(path, Some(65_534), Some(65_534)).expect("an owner");
            }
            std::os::unix::fs::chown(folder, Some(65_534), Some(65_534)).expect("an owner");
            assert_eq!((libc::setgid(65_534), libc::setuid(65_534)), (0, 0));
        }
    }
}

/// As one without rights: word 0 is the folder.
pub fn play_without_rights(stage: &Stage) {
    let folder = Path::new(stage.word(0));
    step_down(folder);
    let at = |name: &str| folder.join(name);
    let mode = |path: &Path, mode| fs::set_permissions(path, Permissions::from_mode(mode)).expect("rights");
    let store = crate::open(&at("tasks.db"), Durability::Strict);
    now(store.push(Arc::new([Push::of([task("kept")])]))).remove(0).expect("nothing to refuse");
    drop(store);
    wait_for_the_end_of(&at("tasks.db"));
    mode(&at("tasks.db"), 0o400);
    let error = refusal(&at("tasks.db"));
    assert!(error.is_passing() && error.code() == "ERR_STORE", "a file that is only to be read: {error}");
    assert!(error.to_string().contains("cannot be written"), "{error}");
    mode(&at("tasks.db"), 0o000);
    let error = refusal(&at("tasks.db"));
    assert!(error.is_passing() && error.code() == "ERR_STORE", "a file without rights: {error}");
    mode(&at("tasks.db"), 0o600);
    mode(folder, 0o500);
    let error = refusal(&at("new.db"));
    assert!(error.is_passing() && error.to_string().contains("new.db"), "a new file there: {error}");
    let error = refusal(&at("tasks.db"));
    assert!(error.is_passing(), "a log that cannot be created: {error}");
    mode(folder, 0o700);
    let store = crate::open(&at("tasks.db"), Durability::Strict);
    assert!(now(store.get(vec!["kept".into()])).records[0].is_some());
    crate::assert_sound(&store);
    say("DENIED");
}

/// The threads of a store end a moment after it, and the last of them takes the log away.
fn wait_for_the_end_of(path: &Path) {
    let log = PathBuf::from(format!("{}-wal", path.display()));
    let until = Instant::now() + Duration::from_secs(20);
    while log.exists() {
        assert!(Instant::now() < until, "the store does not end");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn lost_rights_are_told_and_come_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let log = Log::default();
    Actor::begin(&log, "rights", &[folder.path().to_str().expect("a path of UTF-8")]).finish();
    log.wait_for(0, "DENIED");
}

/// With no file to open left: word 0 is the file.
pub fn play_without_files(stage: &Stage) {
    let path = Path::new(stage.word(0));
    let limit = libc::rlimit { rlim_cur: 64, rlim_max: 64 };
    // SAFETY: the limit is read, and nothing else.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) }, 0);
    let working = crate::open(path, Durability::Relaxed);
    now(working.push(Arc::new([Push::of([task("before")])]))).remove(0).expect("nothing to refuse");
    let mut hoard = Vec::new();
    while let Ok(file) = File::open("/dev/null") {
        hoard.push(file);
    }
    let error = refusal(&path.with_file_name("other.db"));
    assert!(error.is_passing(), "{error}");
    // An answer, whichever, and no wait without end. What is open can work on.
    let pushed = wait(working.push(Arc::new([Push::of([task("during")])])));
    let found = wait(working.get(vec!["before".into()]));
    for error in [pushed.as_ref().err(), found.as_ref().err()].into_iter().flatten() {
        assert!(error.is_passing(), "{error}");
    }
    drop(hoard);
    now(working.push(Arc::new([Push::of([task("after")])]))).remove(0).expect("nothing to refuse");
    let there = now(working.get(vec!["before".into(), "during".into(), "after".into()])).records;
    assert_eq!([&there[0], &there[2]].map(Option::is_some), [true, true]);
    assert!(pushed.is_err() || there[1].is_some(), "answered, and gone");
    crate::assert_sound(&crate::open(&path.with_file_name("other.db"), Durability::Relaxed));
    crate::assert_sound(&working);
    say("HOARDED");
}

#[test]
fn a_process_without_files_to_open_is_told_so_and_works_on_later() {
    let folder = tempfile::tempdir().expect("a folder");
    let log = Log::default();
    let path = folder.path().join("tasks.db");
    Actor::begin(&log, "files", &[path.to_str().expect("a path of UTF-8")]).finish();
    log.wait_for(0, "HOARDED");
}

#[test]
fn a_folder_that_is_removed_is_told_at_the_next_call() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("inner/tasks.db");
    fs::create_dir(folder.path().join("inner")).expect("a folder");
    let store = crate::open(&path, Durability::Strict);
    now(store.push(Arc::new([Push::of([task("before")])]))).remove(0).expect("nothing to refuse");
    fs::remove_dir_all(folder.path().join("inner")).expect("the folder goes");
    let push = |id: &str| wait(store.push(Arc::new([Push::of([task(id)])])));
    let error = push("into the void").expect_err("a push was answered that is nowhere");
    assert!(error.is_passing() && error.code() == "ERR_STORE", "{error}");
    let error = wait(store.get(vec!["before".into()])).expect_err("what is read there is nowhere");
    assert!(error.is_passing(), "{error}");
    // A new folder is a new beginning, with a file for its owner alone.
    fs::create_dir(folder.path().join("inner")).expect("a folder");
    let until = Instant::now() + Duration::from_secs(20);
    while let Err(error) = push("after") {
        assert!(error.is_passing() && Instant::now() < until, "{error}");
        std::thread::sleep(Duration::from_millis(5));
    }
    let found = now(store.get(vec!["after".into(), "before".into()])).records;
    assert_eq!([&found[0], &found[1]].map(Option::is_some), [true, false]);
    assert_eq!(fs::metadata(&path).expect("the file").permissions().mode() & 0o777, 0o600);
    crate::assert_sound(&store);
}
