//! Power cuts: from what was written and when it was synced, the files are built as a disk may have them after
//! a cut at any point: all that was synced, and of what came later any part, torn at sectors.
//!
//! Strict: every answered operation is there. Relaxed: what is missing are the last ones. In any case the file
//! is whole.

use std::path::Path;
use std::sync::Arc;

use task::store::sqlite::{Durability, SqliteStore};
use task::store::{Advance, Amend, Cell, Claims, LaneClaim, Push, Store, Swap, Target};
use task::task::{Claimed, Outcome, Spec, State, TaskId};

use crate::bench::{now, soak};
use crate::dice::Dice;
use crate::parts::{KIND, ended_by, task, word_of};
use crate::process::{Actor, Log, Stage, say};
use crate::vfs::{self, Event, Place};

/// What a disk writes as one.
const SECTOR: usize = 512;

/// Something that an answer has promised.
#[derive(Clone, Debug)]
enum Fact {
    Is(TaskId, State),
    Counted(u64),
}

/// A store at work, and what it has answered after how many events.
struct Producer {
    store: SqliteStore,
    dice: Dice,
    facts: Vec<(usize, Fact)>,
    ids: Vec<TaskId>,
    runs: Vec<Claimed>,
    turn_no: u64,
    counted: u64,
}

impl Producer {
    fn work(&mut self) {
        let mut facts = Vec::new();
        match self.dice.within(0, 10) {
            0..4 => {
                let new = if self.dice.chance(30) { 20 } else { 1 };
                let first = self.ids.len();
                let specs: Vec<Spec> = (first..first + new).map(|n| task(&format!("t{n}"))).collect();
                self.ids.extend(specs.iter().map(|spec| spec.id.clone()));
                facts.extend(specs.iter().map(|spec| Fact::Is(spec.id.clone(), State::Waiting)));
                now(self.store.push(Arc::new([Push::of(specs)]))).remove(0).expect("nothing to refuse");
            }
            4..8 => {
                self.turn_no += 1;
                let ended = std::mem::take(&mut self.runs);
                let output = Outcome::Ok("\"an output\"".into());
                facts.extend(ended.iter().map(|run| Fact::Is(run.spec.id.clone(), State::Completed)));
                let max = self.dice.within(1, 9) as u32;
                let step = Advance {
                    node: "node".into(),
                    turn_no: self.turn_no,
                    settlements: ended.iter().map(|run| ended_by(run, &output)).collect(),
                    claims: Claims { max, lanes: vec![LaneClaim::of(KIND, max)] },
                };
                self.runs = now(self.store.advance(Arc::new(step))).claimed.clone();
            }
            8 => {
                let old = self.counted.checked_sub(1).map(|_| self.counted.to_string().into());
                self.counted += 1;
                let new = Some(Cell { value: self.counted.to_string().into(), due_at: None });
                now(self.store.swap(Swap { key: "count".into(), old, new })).expect("nobody else counts");
                facts.push(Fact::Counted(self.counted));
            }
            _ => {
                let id = self.dice.pick(&self.ids);
                let running = self.runs.iter().any(|run| run.spec.id == id);
                let change = Amend::Cancel("an operator".into());
                let changed = now(self.store.amend(Target::Ids(vec![id.clone()]), change)).changed;
                if running {
                    self.runs.retain(|run| run.spec.id != id);
                } else if !changed.is_empty() {
                    facts.push(Fact::Is(id, State::Cancelled));
                }
            }
        }
        let mark = vfs::mark();
        self.facts.extend(facts.into_iter().map(|fact| (mark, fact)));
    }
}

/// What is on the disk for certain, and what may be.
#[derive(Default)]
struct Disk {
    synced: [Vec<u8>; 2],
    pending: [Vec<Event>; 2],
}

impl Disk {
    fn take(&mut self, event: &Event) {
        match event {
            Event::Sync(place) => {
                let at = *place as usize;
                self.pending[at].drain(..).for_each(|event| apply(&mut self.synced[at], &event, |_| true));
            }
            Event::Write(place, ..) | Event::Truncate(place, _) => {
                self.pending[*place as usize].push(event.clone());
            }
        }
    }

    /// The files after a cut now, as chance would have it.
    fn cut(&self, dice: &mut Dice) -> [Vec<u8>; 2] {
        let mut files = self.synced.clone();
        for place in [Place::Database, Place::Log] {
            let luck = dice.pick(&[0, 30, 60, 90, 100]);
            for event in &self.pending[place as usize] {
                let is_torn = dice.chance(10);
                if dice.chance(luck) {
                    apply(&mut files[place as usize], event, |_| !is_torn || dice.chance(50));
                }
            }
        }
        files
    }
}

/// Writes those sectors of an event that are let through.
fn apply(file: &mut Vec<u8>, event: &Event, mut is_written: impl FnMut(usize) -> bool) {
    match event {
        Event::Truncate(_, size) => file.truncate(*size),
        Event::Write(_, at, bytes) => {
            let end = at + bytes.len();
            for sector in at / SECTOR..end.div_ceil(SECTOR) {
                let (from, to) = ((sector * SECTOR).max(*at), ((sector + 1) * SECTOR).min(end));
                if is_written(sector) {
                    file.resize(file.len().max(to), 0);
                    file[from..to].copy_from_slice(&bytes[from - at..to - at]);
                }
            }
        }
        Event::Sync(_) => {}
    }
}

/// Opens such files; the answer says for each fact whether it holds.
fn look(folder: &Path, files: &[Vec<u8>; 2], ids: &[TaskId], facts: &[(usize, Fact)]) -> Vec<bool> {
    let path = folder.join("tasks.db");
    std::fs::create_dir(folder).expect("a folder");
    std::fs::write(&path, &files[0]).expect("a file");
    std::fs::write(folder.join("tasks.db-wal"), &files[1]).expect("a file");
    let store = crate::open(&path, Durability::Relaxed);
    crate::assert_sound(&store);
    let records = now(store.get(ids.to_vec())).records;
    let records: Vec<_> = ids.iter().zip(records).collect();
    let found: std::collections::HashMap<_, _> = records.into_iter().collect();
    let counted = now(store.read("count".into()));
    let counted: u64 = counted.map_or(0, |cell| cell.value.parse().expect("a number"));
    let holds = |fact: &Fact| match fact {
        Fact::Is(id, State::Waiting) => found[id].is_some(),
        Fact::Is(id, state) => found[id].as_ref().is_some_and(|record| record.status.state == *state),
        Fact::Counted(count) => counted >= *count,
    };
    let held = facts.iter().map(|(_, fact)| holds(fact)).collect();
    drop(store);
    std::fs::remove_dir_all(folder).expect("the folder goes");
    held
}

/// Words: file, durability, seed, images.
pub fn play(stage: &Stage) {
    let (path, is_strict) = (Path::new(stage.word(0)), stage.word(1) == "strict");
    let mut dice = Dice::new(stage.number(2));
    vfs::install(path);
    let durability = if is_strict { Durability::Strict } else { Durability::Relaxed };
    let store = crate::open(path, durability);
    let (facts, ids, runs) = (Vec::new(), Vec::new(), Vec::new());
    let mut producer = Producer { store, dice: dice.clone(), facts, ids, runs, turn_no: 0, counted: 0 };
    producer.ids.push("t0".into());
    now(producer.store.push(Arc::new([Push::of([task("t0")])]))).remove(0).expect("nothing to refuse");
    let first = vfs::mark();
    // The second connection takes the log into the database now and then, and begins it anew.
    let other = rusqlite::Connection::open(path).expect("the file opens");
    for n in 0..500 {
        producer.work();
        if n % 90 == 89 {
            let mode = if n % 180 == 89 { "PASSIVE" } else { "RESTART" };
            let checkpoint = format!("PRAGMA wal_checkpoint({mode})");
            other.query_row(&checkpoint, [], |_| Ok(())).expect("a checkpoint");
        }
    }
    let events = vfs::events();
    let Producer { facts, ids, .. } = producer;
    let images = stage.number(3);
    let every = ((events.len() - first) as u64 / images).max(1);
    let (mut disk, mut lossy, mut looked) = (Disk::default(), 0, 0);
    for (at, event) in events.iter().enumerate() {
        // Cuts before a sync are the cruellest: all that it would have saved is at stake.
        let is_due =
            at >= first && (dice.within(0, every) == 0 || matches!(event, Event::Sync(_)) && dice.chance(5));
        if is_due {
            let files = disk.cut(&mut dice);
            let held = look(&path.with_extension(at.to_string()), &files, &ids, &facts);
            looked += 1;
            let answered = facts.partition_point(|(mark, _)| *mark <= at);
            let kept = held.iter().take_while(|held| **held).count();
            if is_strict {
                assert!(kept >= answered, "cut at {at}: {:?} was answered and is gone", facts[kept]);
            }
            let gap = held.iter().skip(kept).position(|held| *held);
            assert!(gap.is_none(), "cut at {at}: {:?} is gone, a later one is there", facts[kept]);
            lossy += u64::from(kept < answered);
        }
        disk.take(event);
    }
    say(&format!(
        "IMAGES {looked}, {lossy} of them with losses, {} events, {} facts",
        events.len(),
        facts.len()
    ));
    // Unless they take something where they may, the images would find nothing where they must not.
    assert_eq!(lossy > 0, !is_strict, "{lossy} images lack what was answered");
}

fn cut(durability: Durability, usual: u64) {
    let seed = crate::seed(usual).to_string();
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("tasks.db");
    let images = (300 * soak(20)).to_string();
    let log = Log::default();
    let words = [file.to_str().expect("a path of UTF-8"), word_of(durability), &seed, &images];
    Actor::begin(&log, "power", &words).finish();
    println!("{}", log.wait_for(0, "IMAGES").text);
}

#[test]
fn a_power_cut_takes_nothing_that_was_answered() {
    cut(Durability::Strict, 3);
}

#[test]
fn a_power_cut_takes_only_the_last_answers_when_relaxed() {
    cut(Durability::Relaxed, 4);
}
