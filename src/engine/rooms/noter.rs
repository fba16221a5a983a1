//! Carries to the store what runs note down, all that is at hand as one call.

use std::sync::Arc;

use crate::time::{Millis, monotonic};

use super::super::notes::Sheet;
use super::super::shared::{Shared, lock};
use super::{FIRST_PAUSE, MAX_PAUSE, give_way, pause_until, sleep};

/// How long a call is tried; a note is worth less than the work that makes it.
const PATIENCE: Millis = 10_000;

pub(super) async fn run(shared: Arc<Shared>) {
    loop {
        let next_at = lock(&shared.notes).next_at();
        if next_at.is_none_or(|at| at > monotonic()) {
            tokio::select! {
                () = shared.noted.notified() => {}
                () = pause_until(next_at) => {}
            }
        }
        let sheet = lock(&shared.notes).take(monotonic());
        if !sheet.notes.is_empty() {
            send(&shared, sheet).await;
        }
        give_way().await;
    }
}

async fn send(shared: &Shared, sheet: Sheet) {
    let notes: Arc<[_]> = sheet.notes.clone().into();
    let (mut pause, until) = (FIRST_PAUSE, monotonic() + PATIENCE);
    loop {
        let answer = shared.store.note(notes.clone()).await;
        match &answer {
            Err(error) if error.is_passing() && monotonic() < until => {
                shared.trouble(error);
                sleep(pause).await;
                pause = (pause * 2).min(MAX_PAUSE);
            }
            _ => return sheet.answer(&answer),
        }
    }
}
