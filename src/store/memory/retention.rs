//! `prune`: ended tasks in the order of their ends, and what of them is beyond the limits.

use std::collections::VecDeque;

use crate::store::{Keep, Retention};
use crate::time::Millis;

use super::book::Book;
use super::lane::Slot;

/// Ended tasks of one state, oldest first.
#[derive(Default)]
pub(super) struct Ended {
    pub count: u64,
    pub bytes: u64,
    /// By number of their end; an entry whose task shows another number is out of date.
    order: VecDeque<(u64, Slot)>,
}

impl Ended {
    pub fn push(&mut self, end_no: u64, slot: Slot, bytes: u64) {
        self.order.push_back((end_no, slot));
        self.count += 1;
        self.bytes += bytes;
    }

    #[cfg(test)]
    pub fn entries(&self) -> usize {
        self.order.len()
    }

    /// Forgets one of them; its entry goes out of date by itself.
    pub fn remove(&mut self, bytes: u64) {
        self.count -= 1;
        self.bytes -= bytes;
    }
}

impl Book {
    pub fn prune(&mut self, limits: &Retention, max: usize, now: Millis) -> usize {
        let mut pruned = 0;
        for (file, keep) in [limits.completed, limits.failed, limits.cancelled].into_iter().enumerate() {
            self.tidy_order(file);
            while pruned < max
                && let Some(&(end_no, slot)) = self.ended[file].order.front()
            {
                let is_current = self.tasks.get(slot).is_some_and(|task| task.end_no == end_no);
                if is_current && !self.is_beyond(file, slot, &keep, now) {
                    break;
                }
                self.ended[file].order.pop_front();
                if is_current {
                    self.forget(slot);
                    pruned += 1;
                }
            }
        }
        self.tidy_keys(max, now);
        pruned
    }

    fn is_beyond(&self, file: usize, slot: Slot, keep: &Keep, now: Millis) -> bool {
        let ended = &self.ended[file];
        let finished_at = self.tasks[slot].status.finished_at.unwrap_or(now);
        keep.count.is_some_and(|count| ended.count > count)
            || keep.bytes.is_some_and(|bytes| ended.bytes > bytes)
            || keep.age.is_some_and(|age| now.saturating_sub(finished_at) > age)
    }

    /// Drops entries that are out of date once they are the greater part: revivals leave them behind.
    fn tidy_order(&mut self, file: usize) {
        let Ended { count, order, .. } = &mut self.ended[file];
        if order.len() as u64 > 2 * *count + 1000 {
            let tasks = &self.tasks;
            order.retain(|(end_no, slot)| tasks.get(*slot).is_some_and(|task| task.end_no == *end_no));
        }
    }
}
