//! The SQLite store under what happens to files and processes: killed, frozen and racing ones, power cuts, full
//! disks, lost rights, locks of others. Chance comes from a seed that every test prints; `SEED=7` plays that
//! one, `SOAK=1` plays the long form.

#![cfg(all(unix, feature = "sqlite"))]

// Not every test binary needs all of it.
#[allow(dead_code)]
mod bench;
#[path = "sqlite/denied.rs"]
mod denied;
#[path = "sim/dice.rs"]
#[allow(dead_code)]
mod dice;
#[path = "sqlite/disk.rs"]
mod disk;
#[path = "sqlite/history.rs"]
mod history;
#[path = "sqlite/kills.rs"]
mod kills;
#[path = "sqlite/locks.rs"]
mod locks;
#[path = "sqlite/parts.rs"]
mod parts;
#[path = "sqlite/power.rs"]
mod power;
#[path = "sqlite/process.rs"]
mod process;
#[path = "sqlite/races.rs"]
mod races;
#[path = "sqlite/sweep.rs"]
mod sweep;
#[path = "sqlite/vfs.rs"]
mod vfs;

use std::path::Path;

use task::store::sqlite::{Durability, Options, SqliteStore};
use task::store::{Query, Store};
use task::task::Record;

use bench::{now, number, wait};

/// The seed of a test: of the environment, or this one.
fn seed(usual: u64) -> u64 {
    let seed = number("SEED").unwrap_or(usual);
    println!("SEED={seed}");
    seed
}

fn open(path: &Path, durability: Durability) -> SqliteStore {
    SqliteStore::open(path, Options { durability, ..Options::default() }).expect("the file opens")
}

/// Every task of a file.
fn dump(store: &SqliteStore) -> Vec<Record> {
    let (mut records, mut cursor) = (Vec::new(), None);
    loop {
        let page = now(store.list(Query { limit: 1000, cursor, ..Query::default() }));
        records.extend(page.records);
        cursor = page.cursor;
        if cursor.is_none() {
            return records;
        }
    }
}

/// The file does not contradict itself.
fn assert_sound(store: &SqliteStore) {
    let found = wait(store.verify()).expect("the store answers");
    assert_eq!(found, Ok(()));
}
