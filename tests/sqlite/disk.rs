//! A disk without room: on a small file system in memory where the process may mount one, else by the word of
//! the file system that stands before SQLite.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use task::store::sqlite::{Durability, Options, SqliteStore};
use task::store::{Advance, Claims, LaneClaim, Push, Settled, Store, StoreError, Turn};
use task::task::{Cause, Claimed, Outcome, Spec, State, TaskId};

use crate::bench::{now, wait};
use crate::parts::{KIND, ended_by, task, word_of};
use crate::process::{Actor, Log, Stage, say};
use crate::vfs;

/// What fills the disk.
enum Ballast {
    File(PathBuf),
    Word,
}

impl Ballast {
    /// Mounts a file system of so many bytes on `folder`, seen by nobody but this thread and those it begins.
    #[cfg(target_os = "linux")]
    fn mount(folder: &Path, size: usize) -> bool {
        use std::ffi::CString;
        use std::os::unix::ffi::OsStrExt;
        let folder = CString::new(folder.as_os_str().as_bytes()).expect("a path");
        let options = CString::new(format!("size={size}")).expect("a text");
        let (none, tmpfs) = (c"none".as_ptr(), c"tmpfs".as_ptr());
        // SAFETY: all texts end with a zero and live until the calls return.
        unsafe {
            libc::unshare(libc::CLONE_NEWNS) == 0
                && libc::mount(
                    none,
                    c"/".as_ptr(),
                    std::ptr::null(),
                    libc::MS_REC | libc::MS_PRIVATE,
                    std::ptr::null(),
                ) == 0
                && libc::mount(tmpfs, folder.as_ptr(), tmpfs, 0, options.as_ptr().cast()) == 0
        }
    }

    #[cfg(not(target_os = "linux"))]
    fn mount(_: &Path, _: usize) -> bool {
        false
    }

    fn prepare(db: &Path) -> Self {
        let folder = db.parent().expect("a folder");
        if Self::mount(folder, 4 << 20) {
            return Self::File(folder.join("ballast"));
        }
        vfs::install(db);
        Self::Word
    }

    fn fill(&self) {
        match self {
            Self::Word => vfs::fill(true),
            Self::File(path) => {
                let mut file = File::create(path).expect("a file");
                while file.write_all(&[7; 4096]).is_ok() {}
                while file.write_all(&[7]).is_ok() {}
            }
        }
    }

    fn free(&self) {
        match self {
            Self::Word => vfs::fill(false),
            Self::File(path) => fs::remove_file(path).expect("it goes"),
        }
    }
}

fn large(id: &str) -> Spec {
    Spec { input: format!("\"{}\"", "x".repeat(50_000)).into(), ..task(id) }
}

fn push(store: &SqliteStore, spec: Spec) -> Result<(), StoreError> {
    wait(store.push(Arc::new([Push::of([spec])]))).map(|answers| {
        assert!(answers[0].is_ok(), "nothing to refuse");
    })
}

fn step(store: &SqliteStore, turn_no: u64, ended: &[Claimed], max: u32) -> Result<Arc<Turn>, StoreError> {
    // An output that needs room of its own.
    let output = Outcome::Ok(format!("\"{}\"", "y".repeat(20_000)).into());
    wait(store.advance(Arc::new(Advance {
        node: "node".into(),
        turn_no,
        settlements: ended.iter().map(|run| ended_by(run, &output)).collect(),
        claims: Claims { max, lanes: vec![LaneClaim::of(KIND, max)] },
    })))
}

/// Words: file, durability.
pub fn play(stage: &Stage) {
    let path = Path::new(stage.word(0));
    let ballast = Ballast::prepare(path);
    let durability = if stage.word(1) == "strict" { Durability::Strict } else { Durability::Relaxed };
    let store = crate::open(path, durability);
    let mut there: Vec<TaskId> = Vec::new();
    for n in 0..10 {
        push(&store, task(&format!("t{n}"))).expect("there is room");
        there.push(format!("t{n}").as_str().into());
    }
    let runs = step(&store, 1, &[], 10).expect("there is room").claimed.clone();
    assert_eq!(runs.len(), 10);
    ballast.fill();
    let mut refused: Vec<TaskId> = Vec::new();
    for n in 0..200 {
        let spec = large(&format!("large{n}"));
        let id = spec.id.clone();
        match push(&store, spec) {
            Ok(()) => there.push(id),
            Err(error) => {
                assert_eq!(error.code(), "ERR_STORE_FULL", "{error}");
                refused.push(id);
            }
        }
    }
    assert!(refused.len() > 100, "the disk was not full: {} refused", refused.len());
    // What has ended cannot be written down; what is there can be read, and the node shows that it lives.
    let full = step(&store, 2, &runs, 0).expect_err("there is no room");
    assert_eq!(full.code(), "ERR_STORE_FULL", "{full}");
    let found = now(store.get(there.clone())).records;
    assert!(found.iter().all(Option::is_some), "what was answered can be read");
    assert_eq!(now(store.pulse("node".into())).dead.len(), 0);
    let other = path.with_file_name("other.db");
    if let (Ballast::File(_), Err(error)) = (&ballast, SqliteStore::open(&other, Options::default())) {
        assert!(error.is_passing(), "another file, on a full disk: {error}");
    }
    ballast.free();
    let turn = step(&store, 2, &runs, 0).expect("there is room again");
    assert!(turn.settled.iter().all(|settled| *settled == Settled::Applied(Cause::Complete)));
    push(&store, large("last")).expect("there is room again");
    there.push("last".into());
    let records = crate::dump(&store);
    let lost: Vec<_> = there.iter().filter(|id| !records.iter().any(|one| one.spec.id == **id)).collect();
    assert!(lost.is_empty(), "answered, and gone: {lost:?}");
    assert_eq!(records.len(), there.len(), "refused, and there");
    let completed = records.iter().filter(|record| record.status.state == State::Completed).count();
    assert_eq!(completed, runs.len());
    crate::assert_sound(&store);
    let by = if matches!(ballast, Ballast::Word) { "word" } else { "mount" };
    say(&format!("FULL by {by}: {} there, {} refused", there.len(), refused.len()));
}

fn a_full_disk(durability: Durability) {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("tasks.db");
    let log = Log::default();
    Actor::begin(&log, "disk", &[file.to_str().expect("a path of UTF-8"), word_of(durability)]).finish();
    println!("{}", log.wait_for(0, "FULL").text);
}

#[test]
fn a_full_disk_refuses_and_forgets_nothing_strict() {
    a_full_disk(Durability::Strict);
}

#[test]
fn a_full_disk_refuses_and_forgets_nothing_relaxed() {
    a_full_disk(Durability::Relaxed);
}
