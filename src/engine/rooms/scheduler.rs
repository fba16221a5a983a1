//! Fires schedules: asks the store which are due, decides, and pushes what is to run together with their cells.
//!
//! It looks at the store's clock at least once a second: a timer stands still while a machine sleeps, so no wait
//! towards a date is longer. Where that clock has gone by more, or by less, than this machine's timer between two
//! looks, it was set, or somebody slept: that is told, and everything that waits for a date is asked for again.

use std::sync::Arc;

use crate::error::TaskError;
use crate::store::{Cell, Due, Push, StoreError, Swap};
use crate::task::{Name, TaskId};
use crate::time::Millis;

use super::super::core::Closing;
use super::super::schedule::{Act, Entry, PAGE, PREFIX, Stand};
use super::super::shared::Shared;
use super::{FIRST_PAUSE, MAX_PAUSE, give_way, sleep, sleep_until};

/// Longest time between two looks.
const LOOK: Millis = 1000;
/// By so much the two clocks may differ.
const TOLERANCE: i64 = 2000;
/// A cell that cannot be read here is looked at again after this.
const UNREADABLE: Millis = 60_000;

pub(super) async fn run(shared: Arc<Shared>) {
    let (mut clocks, mut is_dated, mut pause) = (Clocks::default(), false, FIRST_PAUSE);
    loop {
        if !fires(&shared) {
            shared.expect_slot(false);
            shared.scheduled.notified().await;
            continue;
        }
        match round(&shared, &mut clocks, &mut is_dated).await {
            Ok(wait) => {
                pause = FIRST_PAUSE;
                tokio::select! {
                    biased;
                    () = shared.scheduled.notified() => {}
                    () = sleep_until(&shared, wait.map(|wait| shared.now().saturating_add(wait))) => {}
                }
            }
            // The engine is over, and so is this room.
            Err(TaskError::Closed) => return std::future::pending().await,
            Err(error) => {
                if let TaskError::Store(error) = &error {
                    shared.trouble(error);
                }
                sleep(pause).await;
                pause = (pause * 2).min(MAX_PAUSE);
            }
        }
    }
}

/// A node that works fires; a pure producer does not, and none does that closes.
fn fires(shared: &Shared) -> bool {
    let core = shared.core();
    core.is_started() && core.has_queues() && core.closing() == Closing::No
}

/// One look; gives the time to the next one, if there has to be one.
async fn round(
    shared: &Shared,
    clocks: &mut Clocks,
    is_dated: &mut bool,
) -> Result<Option<Millis>, TaskError> {
    if !*is_dated {
        date_anew(shared).await?;
        *is_dated = true;
    }
    let asked_at = shared.now();
    let due = shared.unless_over(shared.store.due(PAGE)).await?;
    if let Some(by) = clocks.look(due.now, asked_at, shared.now()) {
        tell_jump(shared, by);
    }
    let Due { now, cells, next_at } = due;
    let cells: Vec<(Name, Cell)> = cells.into_iter().filter(|(cell, _)| cell.starts_with(PREFIX)).collect();
    shared.expect_slot(next_at.is_some() || !cells.is_empty());
    if cells.is_empty() {
        shared.call_host();
        let ahead = next_at.map(|at| at.saturating_sub(now).max(1));
        // Both clocks of a time that is moved go on together, and nobody else has schedules on its store.
        let sets_itself = !shared.time.is_moved();
        return Ok(if sets_itself { Some(ahead.unwrap_or(LOOK).min(LOOK)) } else { ahead });
    }
    fire(shared, cells, now).await?;
    give_way().await;
    Ok(Some(0))
}

async fn fire(shared: &Shared, cells: Vec<(Name, Cell)>, now: Millis) -> Result<(), TaskError> {
    let mut entries = Vec::with_capacity(cells.len());
    for (name, cell) in cells {
        match Entry::read(&cell.value) {
            Ok(entry) => entries.push((name, cell.value, entry)),
            Err(error) => postpone(shared, name, cell, now, &error).await?,
        }
    }
    let last = |entry: &Entry| entry.last.as_ref().map(|last| TaskId::from(&*last.id));
    let ids = entries.iter().filter_map(|(_, _, entry)| last(entry)).collect();
    let found = shared.unless_over(shared.store.get(ids)).await?;
    let mut records = found.records.iter();
    let (mut pushes, mut plain) = (Vec::new(), Vec::new());
    for (name, old, entry) in entries {
        let record = last(&entry).and_then(|_| records.next()).and_then(Option::as_ref);
        let key = &name[PREFIX.len()..];
        let Act { entry, specs, stop } = entry.fire(key, Stand::of(record), found.now);
        if let Some(stop) = stop {
            shared.stop_run(stop).await?;
        }
        plain.push(Act { entry: entry.clone(), specs: Vec::new(), stop: None }.into_push(key, old.clone()));
        pushes.push(Act { entry, specs, stop: None }.into_push(key, old));
    }
    let answers = shared.push_now(pushes).await?;
    // Of a task that somebody has pushed by hand under the id of a slot, with another input, nothing is made;
    // the schedule goes on all the same.
    let taken = |(answer, plain)| matches!(answer, Err(TaskError::Duplicate(_))).then_some(plain);
    let plain: Vec<Push> = answers.into_iter().zip(plain).filter_map(taken).collect();
    if !plain.is_empty() {
        shared.push_now(plain).await?;
    }
    Ok(())
}

/// A newer version may have written it; it must not stand in the way of the others.
async fn postpone(
    shared: &Shared,
    name: Name,
    cell: Cell,
    now: Millis,
    error: &serde_json::Error,
) -> Result<(), TaskError> {
    tracing::warn!(target: "task::schedule", cell = &*name, %error, "a schedule cannot be read");
    shared.trouble(&StoreError::Failed(format!("{name:?} cannot be read: {error}").into()));
    let new = Some(Cell { value: cell.value.clone(), due_at: Some(now.saturating_add(UNREADABLE)) });
    let swap = Swap { key: name, old: Some(cell.value), new };
    shared.unless_over(shared.store.swap(swap)).await.map(drop)
}

/// Computes the dates anew that were computed with older time zones than those of this binary.
async fn date_anew(shared: &Shared) -> Result<(), TaskError> {
    let mut after = None;
    loop {
        let page = shared.unless_over(shared.store.cells(PREFIX.into(), after, PAGE)).await?;
        for (name, cell) in &page {
            let newer = Entry::read(&cell.value).ok().and_then(Entry::with_newer_zones);
            let Some(entry) = newer else { continue };
            let new = Some(entry.cell(&name[PREFIX.len()..]));
            let swap = Swap { key: name.clone(), old: Some(cell.value.clone()), new };
            // Where somebody else was faster, that one has dated it.
            let _ = shared.unless_over(shared.store.swap(swap)).await?;
        }
        if page.len() < PAGE {
            return Ok(());
        }
        after = page.last().map(|(name, _)| name.clone());
        give_way().await;
    }
}

fn tell_jump(shared: &Shared, by: i64) {
    tracing::warn!(target: "task::schedule", by, "the clock was set, or this machine slept");
    {
        let mut core = shared.core();
        core.events.jump(by);
        core.hint();
    }
    shared.nudge();
    shared.call_host();
}

/// The store's clock beside the timer of this machine.
#[derive(Debug, Default)]
struct Clocks {
    /// What the store's clock showed, and the moments between which it did.
    last: Option<(Millis, Millis, Millis)>,
}

impl Clocks {
    /// The store's clock showed `at` between these moments; gives by how much it has been set since the last look.
    fn look(&mut self, at: Millis, from: Millis, until: Millis) -> Option<i64> {
        let (before, last_from, last_until) = self.last.replace((at, from, until))?;
        let passed = at as i64 - before as i64;
        let (least, most) = (from.saturating_sub(last_until) as i64, until.saturating_sub(last_from) as i64);
        let by = if passed > most { passed - most } else { (passed - least).min(0) };
        (by.abs() > TOLERANCE).then_some(by)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_goes_as_it_should_has_not_jumped() {
        let mut clocks = Clocks::default();
        assert_eq!(clocks.look(1_000_000, 0, 5), None);
        assert_eq!(clocks.look(1_001_000, 1000, 1005), None);
        assert_eq!(clocks.look(1_031_000, 1100, 31_000), None, "the answer took long");
        assert_eq!(clocks.look(1_034_000, 32_000, 32_001), None, "a little is allowed");
    }

    #[test]
    fn a_clock_that_was_set_has_jumped_by_so_much() {
        let mut clocks = Clocks::default();
        clocks.look(10_000_000, 0, 0);
        assert_eq!(clocks.look(13_601_000, 1000, 1000), Some(3_600_000));
        assert_eq!(clocks.look(6_402_000, 2000, 2000), Some(-7_200_000));
        assert_eq!(clocks.look(6_403_000, 3000, 3000), None, "it is told once");
    }
}
