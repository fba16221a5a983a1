//! Plain tasks that this process has pushed and nobody has claimed: their specs are at hand, and a claim need
//! not read them back.
//!
//! Invariant: of its lane an entry knows every plain task with a number from `from` to that of its last one.
//! So it is only asked where the cursor has come to `from`; it is forgotten as soon as others write.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use crate::task::Spec;

use super::numbers::Numbered;

/// Specs that are kept in all; what is pushed beyond it is read back.
const KEPT: usize = 20_000;

#[derive(Default)]
pub(super) struct Fresh {
    lanes: HashMap<i64, Lane, Numbered>,
    kept: usize,
}

struct Lane {
    from: i64,
    /// Nothing more is added: something after the last one was not kept.
    is_full: bool,
    tasks: VecDeque<(i64, Arc<Spec>)>,
}

impl Fresh {
    pub fn push(&mut self, lane: i64, serial: i64, spec: &Arc<Spec>) {
        let new = || Lane { from: serial, is_full: false, tasks: VecDeque::new() };
        let known = self.lanes.entry(lane).or_insert_with(new);
        if known.is_full && known.tasks.is_empty() {
            *known = new();
        }
        known.is_full |= self.kept >= KEPT;
        if !known.is_full {
            known.tasks.push_back((serial, spec.clone()));
            self.kept += 1;
        }
    }

    /// The next plain task of a lane after one that was taken; `None`: it has to be looked for in the file.
    pub fn next(&mut self, lane: i64, cursor: i64) -> Option<(i64, Arc<Spec>)> {
        let known = self.lanes.get_mut(&lane)?;
        if cursor + 1 < known.from {
            return None;
        }
        while known.tasks.front().is_some_and(|(serial, _)| *serial <= cursor) {
            known.tasks.pop_front();
            self.kept -= 1;
        }
        known.tasks.front().cloned()
    }

    /// The number up to which the file has to be read before this is asked.
    pub fn begins(&self, lane: i64) -> i64 {
        self.lanes.get(&lane).filter(|known| !known.tasks.is_empty()).map_or(i64::MAX, |known| known.from)
    }

    /// A task is plain no more.
    pub fn remove(&mut self, lane: i64, serial: i64) {
        let Some(known) = self.lanes.get_mut(&lane) else { return };
        if let Ok(at) = known.tasks.binary_search_by_key(&serial, |(serial, _)| *serial) {
            known.tasks.remove(at);
            self.kept -= 1;
        }
    }

    pub fn forget(&mut self) {
        self.lanes.clear();
        self.kept = 0;
    }
}
