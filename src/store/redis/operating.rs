//! `amend` and `prune`.
//!
//! A filter is worked off in steps: tasks are looked for in the order of their creation or against it, and what was
//! found is changed by id, where it still fits. A round that goes on remembers where it was; one that nobody has gone on
//! with for a while is forgotten.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::codec::{Decoder, FAR, status};
use super::link::Link;
use super::reading::{Scan, views_of};
use super::script::{AMEND, PRUNE};
use super::wire::Items;
use crate::store::query::has_text;
use crate::store::{Amend, Amended, Filter, Keep, Retention, StoreError, Target};
use crate::task::{State, Status, TaskId};
use crate::time::Millis;

/// Bound on what one step changes, or one call prunes.
const STEP: usize = 1000;

/// How long a step looks for tasks, and how long a round is remembered.
const PATIENCE: Duration = Duration::from_secs(1);
const MEMORY: Duration = Duration::from_secs(10);

/// How far a round over a filter has come.
#[derive(Default)]
pub(super) struct Round(Mutex<Option<Progress>>);

struct Progress {
    /// Which filter and which change.
    work: String,
    cursor: String,
    at: Instant,
}

impl Round {
    fn cursor(&self, work: &str) -> String {
        let progress = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let fits = |progress: &&Progress| progress.work == work && progress.at.elapsed() < MEMORY;
        progress.as_ref().filter(fits).map(|progress| progress.cursor.clone()).unwrap_or_default()
    }

    fn set(&self, work: String, cursor: String) {
        let progress = (!cursor.is_empty()).then(|| Progress { work, cursor, at: Instant::now() });
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = progress;
    }
}

pub(super) async fn amend(
    link: &Arc<Link>,
    round: &Round,
    target: &Target,
    change: &Amend,
) -> Result<Amended, StoreError> {
    match target {
        // Revivals tie tasks to others that are revived with them, so they stay together.
        Target::Ids(ids) if matches!(change, Amend::Retry) => amend_ids(link, ids, change, true, "").await,
        Target::Ids(ids) => {
            let mut all = Amended::default();
            for chunk in ids.chunks(STEP) {
                let amended = amend_ids(link, chunk, change, true, "").await?;
                all.changed.extend(amended.changed);
                all.stopping.extend(amended.stopping);
                all.ended.extend(amended.ended);
            }
            Ok(all)
        }
        Target::Filter(filter) => {
            let work = format!("{filter:?} {change:?}");
            let (ids, cursor) = find(link, filter, change, round.cursor(&work)).await?;
            let mut amended = amend_ids(link, &ids, change, false, &views_of(filter)).await?;
            amended.more = !cursor.is_empty();
            round.set(work, cursor);
            Ok(amended)
        }
    }
}

/// Tasks that match and can be changed, from `cursor` on, and where to go on.
async fn find(
    link: &Arc<Link>,
    filter: &Filter,
    change: &Amend,
    mut cursor: String,
) -> Result<(Vec<TaskId>, String), StoreError> {
    let began = Instant::now();
    let text = filter.text();
    let scan = Scan::new(link, filter, !change.is_newest_first(), text.is_none()).await?;
    let mut decoder = Decoder::default();
    let mut ids = Vec::new();
    loop {
        let portion = scan.next(link, &cursor, STEP - ids.len()).await?;
        for (_, told) in portion.found {
            let (id, status) = match &text {
                None => status(&Items::of(told)?.bytes()?)?,
                Some(text) => match decoder.record(told)? {
                    Some(record) if has_text(&record.spec, &record.status, text) => {
                        (record.spec.id.clone(), record.status)
                    }
                    _ => continue,
                },
            };
            if can(&status, change, portion.now) {
                ids.push(id);
            }
        }
        cursor = portion.next;
        if cursor.is_empty() || ids.len() == STEP || began.elapsed() > PATIENCE {
            return Ok((ids, cursor));
        }
    }
}

/// Whether a change would change it, as far as the task alone can tell.
fn can(status: &Status, change: &Amend, now: Millis) -> bool {
    let waits = status.state == State::Waiting;
    match change {
        Amend::Cancel(_) => waits || status.state == State::Running,
        Amend::Retry => status.state.is_final(),
        Amend::Remove => status.state != State::Running,
        Amend::Promote => waits && status.run_at > now,
        Amend::Reschedule(at) => waits && status.run_at != (*at).min(FAR),
        Amend::Prioritise(priority) => waits && status.priority != *priority,
    }
}

async fn amend_ids(
    link: &Arc<Link>,
    ids: &[TaskId],
    change: &Amend,
    by_id: bool,
    views: &str,
) -> Result<Amended, StoreError> {
    if ids.is_empty() {
        return Ok(Amended::default());
    }
    let (asked, value) = match change {
        Amend::Cancel(reason) => ("cancel", reason.to_string()),
        Amend::Retry => ("retry", String::from(if by_id { "by id" } else { "" })),
        Amend::Remove => ("remove", String::new()),
        Amend::Reschedule(at) => ("reschedule", (*at).min(FAR).to_string()),
        Amend::Promote => ("promote", String::new()),
        Amend::Prioritise(priority) => ("prioritise", priority.to_string()),
    };
    let mut command = link.command(&AMEND, ids.len() + 3, 40 * ids.len() + value.len());
    command.arg(asked).arg(value).arg(views);
    ids.iter().for_each(|id| {
        command.arg(id.as_str());
    });
    let mut answer =
        Items::of(link.run(&AMEND, command, Duration::from_micros(200) * ids.len() as u32).await?)?;
    let ids = |texts: Vec<String>| texts.iter().map(|id| TaskId::from(&**id)).collect();
    let changed = ids(answer.texts()?);
    let stopping = answer.items()?.map(|item| {
        let mut item = Items::of(item)?;
        Ok((TaskId::from(&*item.text()?), item.number()? as u64))
    })?;
    Ok(Amended { changed, stopping, ended: ids(answer.texts()?), more: false })
}

pub(super) async fn prune(link: &Arc<Link>, limits: &Retention, max: usize) -> Result<usize, StoreError> {
    let mut pruned = 0;
    loop {
        let step = (max - pruned).min(STEP);
        let mut command = link.command(&PRUNE, 10, 128);
        command.arg(step);
        for Keep { age, count, bytes } in [limits.completed, limits.failed, limits.cancelled] {
            for limit in [age, count, bytes] {
                command.arg(limit.map_or_else(String::new, |limit| limit.min(FAR).to_string()));
            }
        }
        let answer = link.run(&PRUNE, command, Duration::from_millis(100)).await?;
        let done = super::wire::number(answer)? as usize;
        pruned += done;
        if done < step || pruned >= max {
            return Ok(pruned);
        }
    }
}
