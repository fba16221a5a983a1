//! What a run asks of its engine beside its end: to note something down, and what is known of its task.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use crate::error::TaskError;
use crate::task::{Name, NoteKind, Notes, Outcome, Spec, TaskId, Text};
use crate::time::{Millis, monotonic};

use super::core::Core;
use super::engine::Engine;
use super::notes::{Author, Level};
use super::shared::{Shared, lock};

/// An end waits at most so long for what its run has said last.
const LAST_WORDS: Duration = Duration::from_millis(1000);

impl Core {
    /// The task of a run, and its claim.
    pub(super) fn author(&self, slot: u32, number: u32) -> Option<(Author, Arc<Spec>)> {
        let run = self.stored.runs.get((slot & !super::core::STORED) as usize)?;
        let claimed = &run.claimed;
        let author =
            Author { id: claimed.spec.id.clone(), epoch: claimed.epoch, attempt: claimed.failures + 1 };
        (run.number == number).then(|| (author, claimed.spec.clone()))
    }
}

impl Engine {
    fn author(&self, slot: u32, number: u32) -> Option<Author> {
        Some(self.core().author(slot, number)?.0)
    }

    /// The task of a run has come so far; nothing where the run is over.
    pub fn note_progress(&self, slot: u32, number: u32, value: Text) {
        if let Some(author) = self.author(slot, number) {
            lock(&self.shared.notes).progress(&author, value, monotonic());
            self.shared.noted.notify_one();
        }
    }

    /// A line for the log of the task of a run; `fields` is JSON text of an object.
    pub fn note_line(&self, slot: u32, number: u32, level: Level, message: &str, fields: Option<&str>) {
        if let Some(author) = self.author(slot, number) {
            let at = self.date();
            lock(&self.shared.notes).line(&author, level, message, fields, at, monotonic());
            self.shared.noted.notify_one();
        }
    }

    /// Keeps the result of a step for the runs to come.
    pub async fn note_step(&self, slot: u32, number: u32, key: Name, value: Text) -> Result<(), TaskError> {
        let author = self.author(slot, number).ok_or(TaskError::Lost(1))?;
        let (reply, answer) = oneshot::channel();
        lock(&self.shared.notes).step(&author, key, value, reply);
        self.shared.noted.notify_one();
        tokio::select! {
            answer = answer => answer.unwrap_or(Err(TaskError::Closed)),
            () = self.shared.over() => Err(TaskError::Closed),
        }
    }

    /// What runs before this one have kept, by key.
    pub async fn steps(&self, slot: u32, number: u32) -> Result<Notes, TaskError> {
        let author = self.author(slot, number).ok_or(TaskError::Lost(1))?;
        Ok(self.notes(vec![author.id], NoteKind::Steps).await?.pop().unwrap_or_default())
    }

    /// The notes of one kind of these tasks.
    pub async fn notes(&self, ids: Vec<TaskId>, kind: NoteKind) -> Result<Vec<Notes>, TaskError> {
        self.shared.unless_over(self.shared.store.notes(ids, kind)).await
    }

    /// The outputs of the tasks that the one of this run has waited for, in order; `None`: it did not complete.
    pub async fn results(&self, slot: u32, number: u32) -> Result<Vec<Option<Text>>, TaskError> {
        let spec = self.core().author(slot, number).ok_or(TaskError::Lost(1))?.1;
        let Some(blockers) = &spec.blockers else { return Ok(Vec::new()) };
        let found = self.shared.unless_over(self.shared.store.get(blockers.ids.clone())).await?;
        let output = |(id, record): (&TaskId, Option<crate::task::Record>)| match record {
            Some(record) => Ok(record.status.output),
            None => Err(TaskError::NotFound(id.to_text())),
        };
        blockers.ids.iter().zip(found.records).map(output).collect()
    }

    /// The host reports how runs have ended: slot, number, outcome. The store hears what a run has noted before it
    /// hears of its end.
    pub fn runs_ended(&self, ends: impl IntoIterator<Item = (u32, u32, Outcome)>) {
        let now = self.now();
        let is_blank = lock(&self.shared.notes).is_blank();
        let mut core = self.core();
        for (slot, number, outcome) in ends {
            let author = if is_blank { None } else { core.author(slot, number) };
            let flushed =
                author.and_then(|(author, _)| lock(&self.shared.notes).end(author.epoch, monotonic()));
            match flushed {
                None => {
                    core.ended(slot, number, outcome, now);
                }
                Some(flushed) => {
                    let shared = self.shared.clone();
                    let time = shared.time.clone();
                    let work = end_later(shared, flushed, (slot, number, outcome), now);
                    super::runtime().spawn(time.attend(work));
                    self.shared.noted.notify_one();
                }
            }
        }
        drop(core);
        self.nudge();
    }
}

async fn end_later(
    shared: Arc<Shared>,
    flushed: oneshot::Receiver<Result<(), TaskError>>,
    (slot, number, outcome): (u32, u32, Outcome),
    now: Millis,
) {
    let _ = tokio::time::timeout(LAST_WORDS, flushed).await;
    shared.core().ended(slot, number, outcome, now);
    shared.nudge();
}
