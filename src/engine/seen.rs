//! Tasks as people see them: what this node has claimed ahead of its start waits, whatever its store has to say of the
//! claim; for whoever reads, counts, or changes tasks by their state.

use crate::error::TaskError;
use crate::store::{Amend, Amended, Counts, Filter, Found, Page, Query, Target};
use crate::task::{Name, Record, State, TaskId, View};

use super::core::Core;
use super::engine::Engine;
use super::stored::{Phase, StoredRun};

/// Records of one question.
const PAGE: usize = 1000;

fn is_unbegun(run: &StoredRun) -> bool {
    matches!(run.phase, Phase::Ready | Phase::Handed)
}

impl Core {
    /// Tasks of this queue, or of all, that are claimed here and have not begun.
    fn claimed_ahead(&self, queue: Option<&Name>) -> u64 {
        let here = |run: &StoredRun| queue.is_none_or(|queue| run.claimed.spec.queue == *queue);
        self.stored.runs.iter().filter(|(_, run)| is_unbegun(run) && here(run)).count() as u64
    }

    fn show_as_seen<'a>(&self, records: impl Iterator<Item = &'a mut Record>) {
        let unbegun = |epoch: u64, id: &TaskId| {
            let mut runs = self.stored.runs.iter().map(|(_, run)| run);
            let found = runs.find(|run| run.claimed.epoch == epoch && run.claimed.spec.id == *id);
            found.is_some_and(is_unbegun)
        };
        for record in records.filter(|record| record.status.state == State::Running) {
            if unbegun(record.status.epoch, &record.spec.id) {
                (record.status.state, record.status.owner) = (State::Waiting, None);
            }
        }
    }
}

/// Which of the two states that people and the store tell apart in different ways a filter names, where it is one.
fn divides(filter: &Filter) -> Option<View> {
    match [View::Waiting, View::Running].map(|view| filter.views.contains(&view)) {
        [true, false] => Some(View::Waiting),
        [false, true] => Some(View::Running),
        _ => None,
    }
}

impl Engine {
    /// Records by id.
    pub async fn get(&self, ids: Vec<TaskId>) -> Result<Found, TaskError> {
        let mut found = self.shared.unless_over(self.shared.store.get(ids)).await?;
        self.core().show_as_seen(found.records.iter_mut().flatten());
        Ok(found)
    }

    /// A page of records, newest first; it may be short, or empty, and still not be the last.
    pub async fn list(&self, mut query: Query) -> Result<Page, TaskError> {
        let asked = divides(&query.filter).map(|_| query.filter.views.clone());
        if divides(&query.filter) == Some(View::Waiting) {
            query.filter.views.push(View::Running);
        }
        let mut page = self.shared.unless_over(self.shared.store.list(query)).await?;
        self.core().show_as_seen(page.records.iter_mut());
        if let Some(asked) = asked {
            page.records.retain(|record| asked.contains(&record.status.view(page.now)));
        }
        Ok(page)
    }

    /// Tasks by state.
    pub async fn counts(&self, queue: Option<Name>) -> Result<Counts, TaskError> {
        let mut counts = self.shared.unless_over(self.shared.store.counts(queue.clone())).await?;
        let ahead = self.core().claimed_ahead(queue.as_ref()).min(counts.of(View::Running));
        counts.by_view[View::Running as usize] -= ahead;
        counts.by_view[View::Waiting as usize] += ahead;
        Ok(counts)
    }

    /// Changes tasks; a filter is worked off to its end.
    pub async fn amend(&self, target: Target, change: Amend) -> Result<Amended, TaskError> {
        let Target::Filter(filter) = &target else { return self.shared.amend(target, change).await };
        match (divides(filter), &change) {
            (Some(view), Amend::Cancel(_)) => self.cancel_as_seen(filter.clone(), view, change).await,
            _ => self.shared.amend(target, change).await,
        }
    }

    /// Cancels by a filter that tells what waits from what runs.
    async fn cancel_as_seen(&self, filter: Filter, view: View, cancel: Amend) -> Result<Amended, TaskError> {
        let running = Filter { views: vec![View::Running], ..filter.clone() };
        let mut others = filter;
        others.views.retain(|other| *other != View::Running);
        let mut sum = Amended::default();
        // First what waits there: what is claimed meanwhile is found here.
        if !others.views.is_empty() {
            sum = self.shared.amend(Target::Filter(others), cancel.clone()).await?;
        }
        let mut query = Query { filter: running, limit: PAGE, cursor: None };
        loop {
            let mut page = self.shared.unless_over(self.shared.store.list(query.clone())).await?;
            self.core().show_as_seen(page.records.iter_mut());
            let seen = page.records.iter().filter(|record| record.status.view(page.now) == view);
            let ids: Vec<TaskId> = seen.map(|record| record.spec.id.clone()).collect();
            if !ids.is_empty() {
                let part = self.shared.amend(Target::Ids(ids), cancel.clone()).await?;
                sum.changed.extend(part.changed);
                sum.ended.extend(part.ended);
            }
            match page.cursor {
                None => return Ok(sum),
                next => query.cursor = next,
            }
        }
    }
}
