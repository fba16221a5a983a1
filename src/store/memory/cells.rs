//! Small shared values: cursors of schedules, pause flags, the state of breakers.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

use crate::store::{Cell, Due, Swap, pause_cell};
use crate::task::Name;
use crate::time::Millis;

use super::book::Book;

const PAUSE: &str = "pause/";

#[derive(Default)]
pub(super) struct Cells {
    values: BTreeMap<Name, Cell>,
    /// Cells with a date, soonest first.
    dated: BTreeSet<(Millis, Name)>,
}

impl Cells {
    pub fn get(&self, key: &Name) -> Option<&Cell> {
        self.values.get(key)
    }

    pub fn value(&self, key: &Name) -> Option<&Arc<str>> {
        self.values.get(key).map(|cell| &cell.value)
    }

    /// Those with this prefix, by key.
    pub fn page(&self, prefix: &str, after: Option<&str>, max: usize) -> Vec<(Name, Cell)> {
        let from = match after {
            Some(after) if after >= prefix => Bound::Excluded(after),
            _ => Bound::Included(prefix),
        };
        let cells = self.values.range::<str, _>((from, Bound::Unbounded));
        let cells = cells.take_while(|(key, _)| key.starts_with(prefix)).take(max);
        cells.map(|(key, cell)| (key.clone(), cell.clone())).collect()
    }

    pub fn is_paused(&self, queue: &str) -> bool {
        self.values.contains_key(&pause_cell(queue))
    }

    pub fn paused(&self) -> Vec<Name> {
        let from = self.values.range::<str, _>((Bound::Included(PAUSE), Bound::Unbounded));
        from.map_while(|(key, _)| key.strip_prefix(PAUSE).map(Name::from)).collect()
    }

    fn put(&mut self, key: &Name, cell: Option<&Cell>) {
        if let Some(at) = self.values.get(key).and_then(|old| old.due_at) {
            self.dated.remove(&(at, key.clone()));
        }
        match cell {
            Some(cell) => {
                self.dated.extend(cell.due_at.map(|at| (at, key.clone())));
                self.values.insert(key.clone(), cell.clone());
            }
            None => {
                self.values.remove(key);
            }
        }
    }
}

impl Book {
    pub fn swap(&mut self, swap: &Swap) -> Result<(), Option<Cell>> {
        if self.cells.value(&swap.key) != swap.old.as_ref() {
            return Err(self.cells.get(&swap.key).cloned());
        }
        self.cells.put(&swap.key, swap.new.as_ref());
        if let Some(queue) = swap.key.strip_prefix(PAUSE) {
            for (_, lane) in self.lanes.iter_mut().filter(|(_, lane)| &*lane.queue == queue) {
                lane.paused = swap.new.is_some();
            }
        }
        Ok(())
    }

    pub fn due(&self, max: usize, now: Millis) -> Due {
        let mut dated = self.cells.dated.iter().peekable();
        let mut due = Vec::new();
        while due.len() < max
            && let Some((_, key)) = dated.next_if(|(at, _)| *at <= now)
        {
            due.push((key.clone(), self.cells.values[key].clone()));
        }
        Due { now, cells: due, next_at: dated.peek().map(|(at, _)| *at) }
    }
}
