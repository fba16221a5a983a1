//! Reading: lists and counts.

use std::sync::Arc;

use crate::store::query::{MARK, has_text, no_cursor};
use crate::store::{Counts, Filter, Page, Query, StoreError};
use crate::task::{Name, TaskId, View};
use crate::time::Millis;

use super::book::{Book, Task};

/// A filter, with its text ready to be searched for.
pub(super) struct Prepared<'a> {
    filter: &'a Filter,
    text: Option<String>,
}

impl Book {
    pub fn counts(&self, queue: Option<&Name>, now: Millis) -> Counts {
        let is_counted = |lane: usize| queue.is_none_or(|queue| self.lanes[lane].queue == *queue);
        let mut counts = Counts::default();
        for (_, lane) in self.lanes.iter().filter(|(lane, _)| is_counted(*lane)) {
            for (sum, n) in counts.by_view.iter_mut().zip(lane.counts) {
                *sum += n;
            }
        }
        // What is due waits for its turn, promoted or not.
        let due = self.timed.range(..=(now, u64::MAX, usize::MAX));
        let due = due.filter(|(.., slot)| is_counted(self.tasks[*slot].lane)).count() as u64;
        counts.by_view[View::Scheduled as usize] -= due;
        counts.by_view[View::Waiting as usize] += due;
        counts
    }

    pub fn list(&self, query: &Query, now: Millis) -> Result<Page, StoreError> {
        let filter = query.filter.prepared();
        let before = match &query.cursor {
            None => u64::MAX,
            Some(cursor) => self.serial_at(cursor).ok_or_else(|| no_cursor(cursor))?,
        };
        let serials = self.serials_of(query.filter.flow.as_ref());
        let tasks = serials.range(..before).rev().map(|(_, slot)| &self.tasks[*slot]);
        let mut found = tasks.filter(|task| filter.fits(task, now)).peekable();
        let page: Vec<&Task> = found.by_ref().take(query.limit).collect();
        let last = page.last().filter(|_| found.peek().is_some());
        let cursor = last.map(|task| Arc::from(format!("{MARK}{}", task.serial)));
        Ok(Page { now, records: page.into_iter().map(Task::record).collect(), cursor })
    }
}

impl Book {
    /// Where a page goes on: after one that was read here, or after the task with this id.
    fn serial_at(&self, cursor: &str) -> Option<u64> {
        match cursor.strip_prefix(MARK) {
            Some(serial) => serial.parse().ok(),
            None => self.find(&TaskId::from(cursor)).map(|task| task.serial),
        }
    }
}

impl Filter {
    pub(super) fn prepared(&self) -> Prepared<'_> {
        Prepared { filter: self, text: self.text() }
    }
}

impl Prepared<'_> {
    pub fn fits(&self, task: &Task, now: Millis) -> bool {
        let (spec, status, filter) = (&task.spec, &task.status, self.filter);
        (filter.views.is_empty() || filter.views.contains(&status.view(now)))
            && filter.queue.as_ref().is_none_or(|queue| *queue == spec.queue)
            && filter.name.as_ref().is_none_or(|name| *name == spec.name)
            && filter.group.as_ref().is_none_or(|group| Some(group) == spec.group.as_ref())
            && filter.flow.as_ref().is_none_or(|flow| Some(flow) == spec.flow.as_ref())
            && filter.created_before.is_none_or(|at| status.created_at < at)
            && filter.created_after.is_none_or(|at| status.created_at > at)
            && self.text.as_ref().is_none_or(|text| has_text(spec, status, text))
    }
}
