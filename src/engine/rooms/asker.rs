//! Asks the store how tasks stand that somebody waits for: at once about those that may have ended before anybody
//! waited, and again and again about those that end elsewhere. Where nearly all of them run here, the questions at
//! once are few: each that has brought little puts off the next.

use std::sync::Arc;

use crate::error::TaskError;
use crate::store::StoreError;
use crate::task::{Record, State, TaskId};
use crate::time::{Millis, monotonic};

use super::super::event::{Event, What};
use super::super::shared::Shared;
use super::super::watch::{Rest, final_of};
use super::{FIRST_PAUSE, MAX_PAUSE, PORTION, pause_until, sleep};

/// Longest time between two questions about the same tasks, where these are few.
const ROUND: Millis = 500;
/// Shortest time between two rounds, however often the store says that something has changed; in memory, where
/// nearly all of that is this node's own doing, only `ROUND` counts.
const GAP: Millis = 50;
/// Tasks of one question.
const MANY: usize = 1000;
/// Somebody has waited for so long, and nobody may be there who works.
const LONELY: Millis = 3000;

pub(super) async fn run(shared: Arc<Shared>) {
    let mut pause = FIRST_PAUSE;
    let mut round = Round::default();
    loop {
        match round.work(&shared).await {
            Ok(()) => pause = FIRST_PAUSE,
            Err(error) => {
                shared.trouble(&error);
                sleep(pause).await;
                pause = (pause * 2).min(MAX_PAUSE);
                continue;
            }
        }
        shared.call_host();
        shared.calm.notify_waiters();
        // From here on `Shared::look` tells whoever begins to wait.
        let wake_at = match shared.watch().rest() {
            Rest::Soon => Some(round.fresh_at),
            Rest::Round => Some(round.last + ROUND),
            Rest::Told => None,
        };
        tokio::select! {
            () = shared.asked.notified() => {}
            () = pause_until(wake_at) => {}
        }
    }
}

#[derive(Default)]
struct Round {
    /// When tasks that end elsewhere were last asked about.
    last: Millis,
    /// Not before are those asked about whom somebody has begun to wait for.
    fresh_at: Millis,
    /// Since when somebody has waited while nobody worked here.
    lonely_since: Option<Millis>,
    has_warned: bool,
}

impl Round {
    async fn work(&mut self, shared: &Shared) -> Result<(), StoreError> {
        loop {
            let (unseen, ended) = shared.watch().take_unseen(MANY);
            if unseen.is_empty() && ended.is_empty() {
                break;
            }
            let answer = look_up(shared, &unseen, &ended).await;
            shared.watch().asked(if answer.is_err() { (unseen, ended) } else { Default::default() });
            answer?;
        }
        self.ask_about_fresh(shared).await?;
        let gap = if shared.core().is_durable() { GAP } else { ROUND };
        if shared.watch().is_awaiting() && monotonic() >= self.last + gap {
            self.last = monotonic();
            self.ask_about_awaited(shared).await?;
        }
        self.look_for_workers(shared).await
    }

    /// All of them in turn; where a portion brings little, the next one comes with the next round.
    async fn ask_about_awaited(&mut self, shared: &Shared) -> Result<(), StoreError> {
        loop {
            let ids = shared.watch().awaited(MANY);
            if ids.is_empty() {
                return Ok(());
            }
            if !brings_much(&ask(shared, &ids).await?) {
                return Ok(());
            }
            shared.call_host();
        }
    }

    /// What ended elsewhere before somebody began to wait for it is not left to a round.
    async fn ask_about_fresh(&mut self, shared: &Shared) -> Result<(), StoreError> {
        while monotonic() >= self.fresh_at {
            let ids = shared.watch().take_fresh();
            if ids.is_empty() {
                return Ok(());
            }
            let answer = ask(shared, &ids).await;
            shared.watch().asked(if answer.is_err() { (ids, Vec::new()) } else { Default::default() });
            if !brings_much(&answer?) {
                self.fresh_at = monotonic() + GAP;
            }
            shared.call_host();
        }
        Ok(())
    }

    /// Somebody may wait for what nobody will ever do: that is worth a word, once.
    async fn look_for_workers(&mut self, shared: &Shared) -> Result<(), StoreError> {
        if self.has_warned || shared.core().is_working() || !shared.watch().is_awaiting() {
            self.lonely_since = None;
            return Ok(());
        }
        let now = monotonic();
        if now < *self.lonely_since.get_or_insert(now) + LONELY {
            return Ok(());
        }
        self.lonely_since = None;
        let lease = shared.core().lease();
        let clock = shared.store.get(Vec::new()).await?.now;
        let nodes = shared.store.nodes().await?;
        if !nodes.iter().any(|node| node.beat_at.saturating_add(lease) > clock) {
            self.has_warned = true;
            let text = "a result is awaited and nobody works on this store: an executor with its handler has to \
                        call start()";
            tracing::warn!(target: "task::engine", "{text}");
            shared.core().events.warn(text.into());
        }
        Ok(())
    }
}

/// So many of them had ended that it is worth asking on.
fn brings_much(records: &[Option<Record>]) -> bool {
    let has_ended =
        |record: &&Option<Record>| record.as_ref().is_none_or(|record| record.status.state.is_final());
    records.iter().filter(has_ended).count() * 4 >= records.len()
}

/// Tells those who wait, and those who listen, how these tasks have ended.
async fn look_up(shared: &Shared, unseen: &[TaskId], ended: &[TaskId]) -> Result<(), StoreError> {
    let heard = shared.core().events.is_listening();
    let known: Vec<TaskId> = {
        let watch = shared.watch();
        ended.iter().filter(|id| heard || watch.knows(id)).cloned().collect()
    };
    if !unseen.is_empty() {
        ask(shared, unseen).await?;
    }
    if !known.is_empty() {
        let records = ask(shared, &known).await?;
        if heard {
            tell_ended(shared, &records);
        }
    }
    shared.call_host();
    Ok(())
}

/// Tells listeners of tasks that have ended without a run.
fn tell_ended(shared: &Shared, records: &[Option<Record>]) {
    let (mut core, at) = (shared.core(), shared.now());
    for Record { spec, status } in records.iter().flatten() {
        let what = match (status.state, status.attempts.last()) {
            (State::Cancelled, _) => What::Cancelled,
            (State::Failed, Some(error)) => What::Failed { error: error.clone(), retry_in: None },
            _ => continue,
        };
        core.events.tell(|| Event { what, spec: spec.clone(), attempt: status.attempt(), at });
    }
}

/// Asks the store about tasks that somebody waits for.
async fn ask(shared: &Shared, ids: &[TaskId]) -> Result<Vec<Option<Record>>, StoreError> {
    let records = shared.store.get(ids.to_vec()).await?.records;
    for (ids, records) in ids.chunks(PORTION).zip(records.chunks(PORTION)) {
        let mut watch = shared.watch();
        for (id, record) in ids.iter().zip(records) {
            match record {
                None => watch.end(id, &Err(TaskError::NotFound(id.to_text()))),
                Some(record) => {
                    if let Some(outcome) = final_of(record) {
                        watch.end(id, &outcome);
                    }
                }
            }
        }
    }
    Ok(records)
}
