//! Workflows as a whole: their tasks, their end, and what a retry of one of them revives.

use std::collections::{HashMap, HashSet};
use std::pin::pin;
use std::time::Duration;

use crate::error::TaskError;
use crate::store::{Amend, Amended, Filter, Query, Target};
use crate::task::{Cause, Name, Record, State, TaskId, View};

use super::engine::Engine;

/// Records of one question.
const PAGE: usize = 1000;
/// Tasks that are looked for upwards from one that is part of no workflow.
const ANCESTORS: usize = 10_000;
/// Longest and shortest time between two looks at what somebody waits for.
const ROUND: Duration = Duration::from_millis(200);
const GAP: Duration = Duration::from_millis(10);
/// Looks at whether a cascade has been worked off.
const LOOKS: usize = 100;

const UNFINISHED: [View; 4] = [View::Running, View::Waiting, View::Blocked, View::Scheduled];

impl Engine {
    /// The tasks of a workflow, oldest first: `id` is its own, or that of any of its tasks. Of a task that is part
    /// of none: those that it waits for or has waited for, at any remove, and itself.
    pub async fn flow(&self, id: &Name) -> Result<Vec<Record>, TaskError> {
        let records = self.tasks_of(id, Vec::new()).await?;
        if !records.is_empty() {
            return Ok(records);
        }
        let record = self.get(vec![TaskId::from(&**id)]).await?.records.pop().flatten();
        let record = record.ok_or_else(|| TaskError::NotFound(id.clone()))?;
        match record.spec.flow.clone() {
            Some(flow) => self.tasks_of(&flow, Vec::new()).await,
            None => self.with_ancestors(record).await,
        }
    }

    async fn tasks_of(&self, flow: &Name, views: Vec<View>) -> Result<Vec<Record>, TaskError> {
        let filter = Filter { flow: Some(flow.clone()), views, ..Filter::default() };
        let (mut records, mut cursor) = (Vec::new(), None);
        loop {
            let page = self.list(Query { filter: filter.clone(), limit: PAGE, cursor }).await?;
            records.extend(page.records);
            cursor = page.cursor;
            if cursor.is_none() {
                records.reverse();
                return Ok(records);
            }
        }
    }

    async fn with_ancestors(&self, record: Record) -> Result<Vec<Record>, TaskError> {
        let mut seen = HashSet::from([record.spec.id.clone()]);
        let mut records = vec![record];
        let mut next = 0;
        while next < records.len() && records.len() < ANCESTORS {
            let ids: Vec<TaskId> = records[next..].iter().flat_map(blockers).cloned().collect();
            next = records.len();
            let ids: Vec<TaskId> = ids.into_iter().filter(|id| seen.insert(id.clone())).collect();
            records.extend(self.get(ids).await?.records.into_iter().flatten());
        }
        records.reverse();
        Ok(records)
    }

    /// Resolves when every task of a workflow has ended, those included that it spawns meanwhile.
    pub async fn flow_ended(&self, flow: &Name) -> Result<(), TaskError> {
        let filter = Filter { flow: Some(flow.clone()), views: UNFINISHED.to_vec(), ..Filter::default() };
        loop {
            let mut calm = pin!(self.shared.calm.notified());
            calm.as_mut().enable();
            let mut cursor = None;
            loop {
                // A page may be short, or empty, and still not be the last.
                let page = self.list(Query { filter: filter.clone(), limit: 1, cursor }).await?;
                if !page.records.is_empty() {
                    break;
                }
                match page.cursor {
                    None => return Ok(()),
                    next => cursor = next,
                }
            }
            // What ends in another process is seen by looking; and this one may end something all the time.
            let _ = tokio::time::timeout(ROUND, calm).await;
            tokio::time::sleep(GAP).await;
        }
    }

    /// Lets ended tasks run again, and with them, in the same step, the tasks of their workflows that were
    /// cancelled because of them and of nothing else.
    pub async fn retry(&self, ids: Vec<TaskId>) -> Result<Amended, TaskError> {
        let mut ids = ids;
        let records = self.get(ids.clone()).await?.records;
        let undone: Vec<&Record> = records.iter().flatten().filter(|record| is_undone(record)).collect();
        let flows: HashSet<Name> = undone.iter().filter_map(|record| record.spec.flow.clone()).collect();
        for flow in flows {
            let dead = self.settled_dead(&flow, &ids).await?;
            ids = with_dependents(ids, &dead);
        }
        self.amend(Target::Ids(ids), Amend::Retry).await
    }

    /// The same for every task of a workflow that did not complete.
    pub async fn retry_flow(&self, flow: &Name) -> Result<Amended, TaskError> {
        let dead = self.tasks_of(flow, vec![View::Failed, View::Cancelled]).await?;
        self.amend(Target::Ids(blockers_first(&dead)), Amend::Retry).await
    }

    /// The tasks of a workflow that have ended undone, once all have that will because of these.
    async fn settled_dead(&self, flow: &Name, of: &[TaskId]) -> Result<Vec<Record>, TaskError> {
        let of: HashSet<&TaskId> = of.iter().collect();
        for _ in 0..LOOKS {
            let blocked = self.tasks_of(flow, vec![View::Blocked]).await?;
            let is_next = |record: &Record| {
                let cancels = |blockers: &crate::task::Blockers| {
                    blockers.on_failure == crate::task::OnBlockerFailure::Cancel
                };
                record.spec.blockers.as_ref().is_some_and(cancels)
                    && record.status.cause != Some(Cause::Revive)
                    && blockers(record).any(|id| of.contains(id))
            };
            if !blocked.iter().any(is_next) {
                break;
            }
            self.nudge();
            tokio::time::sleep(GAP).await;
        }
        self.tasks_of(flow, vec![View::Failed, View::Cancelled]).await
    }
}

fn blockers(record: &Record) -> impl Iterator<Item = &TaskId> {
    record.spec.blockers.iter().flat_map(|blockers| &blockers.ids)
}

fn is_undone(record: &Record) -> bool {
    matches!(record.status.state, State::Failed | State::Cancelled)
}

/// The ids of these tasks, each after those of its blockers: what needs a task that cannot be revived is not, either.
/// Left out are tasks that would wait for each other, which takes an id that was forgotten and used again.
fn blockers_first(dead: &[Record]) -> Vec<TaskId> {
    let at: HashMap<&TaskId, usize> = dead.iter().enumerate().map(|(at, one)| (&one.spec.id, at)).collect();
    let mut dependents = vec![Vec::new(); dead.len()];
    let mut left = vec![0; dead.len()];
    for (task, record) in dead.iter().enumerate() {
        for blocker in blockers(record).filter_map(|id| at.get(id)) {
            dependents[*blocker].push(task);
            left[task] += 1;
        }
    }
    let mut order: Vec<usize> = (0..dead.len()).filter(|task| left[*task] == 0).collect();
    let mut next = 0;
    while next < order.len() {
        for task in &dependents[order[next]] {
            left[*task] -= 1;
            if left[*task] == 0 {
                order.push(*task);
            }
        }
        next += 1;
    }
    order.into_iter().map(|task| dead[task].spec.id.clone()).collect()
}

/// `ids`, and of the tasks that ended undone those that were cancelled because of them: each of their blockers that
/// did not complete is among those that are revived.
fn with_dependents(ids: Vec<TaskId>, dead: &[Record]) -> Vec<TaskId> {
    let mut left: HashMap<&TaskId, usize> = HashMap::new();
    let mut dependents: HashMap<&TaskId, Vec<&Record>> = HashMap::new();
    let is_dead: HashSet<&TaskId> = dead.iter().map(|record| &record.spec.id).collect();
    for record in dead.iter().filter(|record| record.status.cause == Some(Cause::Block)) {
        for id in blockers(record).filter(|id| is_dead.contains(id)) {
            *left.entry(&record.spec.id).or_default() += 1;
            dependents.entry(id).or_default().push(record);
        }
    }
    let mut revived = ids;
    let mut seen: HashSet<TaskId> = revived.iter().cloned().collect();
    let mut next = 0;
    while next < revived.len() {
        let id = revived[next].clone();
        next += 1;
        for record in dependents.get(&id).into_iter().flatten() {
            let Some(left) = left.get_mut(&record.spec.id) else { continue };
            *left -= 1;
            if *left == 0 && seen.insert(record.spec.id.clone()) {
                revived.push(record.spec.id.clone());
            }
        }
    }
    revived
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::task::{Blockers, OnBlockerFailure, Spec, Status};

    fn record(id: &str, after: &[&str], cause: Cause) -> Record {
        let ids = after.iter().map(|id| TaskId::from(*id)).collect();
        let blockers = Some(Blockers { ids, on_failure: OnBlockerFailure::Cancel });
        let spec = Arc::new(Spec { id: TaskId::from(id), blockers, ..Spec::new("kind", "null") });
        let status = Status {
            state: State::Cancelled,
            cause: Some(cause),
            priority: 0,
            run_at: 0,
            blockers: 0,
            epoch: 0,
            owner: None,
            failures: 0,
            losses: 0,
            cancel: None,
            superseded: false,
            created_at: 0,
            first_started_at: None,
            started_at: None,
            finished_at: None,
            output: None,
            attempts: Vec::new(),
        };
        Record { spec, status }
    }

    #[test]
    fn what_had_another_reason_to_end_stays_as_it_is() {
        let dead = [
            record("one", &[], Cause::Fail),
            record("two", &[], Cause::Fail),
            record("both", &["one", "two"], Cause::Block),
            record("child", &["one", "completed"], Cause::Block),
            record("grandchild", &["child", "one"], Cause::Block),
            record("withdrawn", &["one"], Cause::Cancel),
            record("below", &["both"], Cause::Block),
        ];
        let revived = |ids: &[&str]| {
            let ids = ids.iter().map(|id| TaskId::from(*id)).collect();
            let mut ids: Vec<String> = with_dependents(ids, &dead).iter().map(TaskId::to_string).collect();
            ids.sort();
            ids
        };
        assert_eq!(revived(&["one"]), ["child", "grandchild", "one"]);
        assert_eq!(revived(&["two"]), ["two"]);
        assert_eq!(revived(&["one", "two"]), ["below", "both", "child", "grandchild", "one", "two"]);
        assert_eq!(revived(&["withdrawn"]), ["withdrawn"]);
    }

    #[test]
    fn nobody_comes_before_a_blocker_of_its_own() {
        let dead = [
            record("last", &["right", "left", "elsewhere"], Cause::Block),
            record("right", &["first", "first"], Cause::Block),
            record("alone", &[], Cause::Cancel),
            record("left", &["first"], Cause::Cancel),
            record("first", &[], Cause::Fail),
        ];
        let order: Vec<String> = blockers_first(&dead).iter().map(TaskId::to_string).collect();
        assert_eq!(order, ["alone", "first", "right", "left", "last"]);
        assert!(blockers_first(&[]).is_empty());
    }
}
