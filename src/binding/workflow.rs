//! What runs and flows ask for: steps, results, logs, progress, and a flow as a whole. Answered by mail, as text.

use std::collections::HashSet;
use std::fmt::Write;
use std::time::Duration;

use crate::engine::{Engine, Level};
use crate::error::TaskError;
use crate::task::{Name, NoteKind, Record, TaskId, Text, View};

use super::mail::quote;
use super::request::write_record;
use super::session::Session;

/// Longest time between two looks at the progress that somebody follows.
const ROUND: Duration = Duration::from_millis(100);
/// Records whose notes are asked for together.
const MANY: usize = 1000;
/// Tasks that one is said to wait for.
const NAMED: usize = 100;

impl Session {
    /// How far the task of a run has come.
    pub fn progress(&self, slot: u32, run: u32, value: String) {
        self.engine.note_progress(slot, run, value.into());
    }

    /// A line of the log of the task of a run; empty fields are none.
    pub fn log(&self, slot: u32, run: u32, level: &str, message: &str, fields: &str) {
        let level = Level::from_word(level).unwrap_or(Level::Info);
        self.engine.note_line(slot, run, level, message, Some(fields).filter(|text| !text.is_empty()));
    }
}

/// An object of what the runs before have kept.
pub(super) async fn steps(engine: &Engine, slot: u32, run: u32) -> Result<Text, TaskError> {
    let mut text = String::from("{");
    for (at, (key, value)) in engine.steps(slot, run).await?.iter().enumerate() {
        text.push_str(if at > 0 { "," } else { "" });
        quote(&mut text, key);
        let _ = write!(text, ":{value}");
    }
    text.push('}');
    Ok(text.into())
}

/// The outputs of blockers; null for one that did not complete.
pub(super) async fn results(engine: &Engine, slot: u32, run: u32) -> Result<Text, TaskError> {
    Ok(listed(engine.results(slot, run).await?.iter().map(|output| output.as_deref().unwrap_or("null"))))
}

/// Lines of the log of a task, oldest first.
pub(super) async fn logs(engine: &Engine, id: Name) -> Result<Text, TaskError> {
    let lines = engine.notes(vec![TaskId::from(&*id)], NoteKind::Lines).await?.pop().unwrap_or_default();
    Ok(listed(lines.iter().map(|(_, text)| &**text)))
}

fn listed<'a>(items: impl Iterator<Item = &'a str>) -> Text {
    let mut text = String::from("[");
    for (at, item) in items.enumerate() {
        text.push_str(if at > 0 { "," } else { "" });
        text.push_str(item);
    }
    text.push(']');
    text.into()
}

/// `[progress or null, has ended]`, as soon as the progress is not the one that was seen last, or it has ended.
pub(super) async fn follow(engine: &Engine, id: Name, seen: Option<Text>) -> Result<Text, TaskError> {
    let ids = vec![TaskId::from(&*id)];
    loop {
        // The end first: what comes before it has been noted by then.
        let record = engine.get(ids.clone()).await?.records.pop().flatten();
        let is_over = record.ok_or_else(|| TaskError::NotFound(id.clone()))?.status.state.is_final();
        let progress = progress_of(engine, &ids).await?.pop().flatten();
        if is_over || progress != seen {
            let is_new = progress != seen;
            let value = progress.filter(|_| is_new);
            let text = value.as_deref().map_or_else(
                || "null".to_owned(),
                |value| {
                    let mut text = String::new();
                    quote(&mut text, value);
                    text
                },
            );
            return Ok(format!("[{text},{is_over}]").into());
        }
        tokio::time::sleep(ROUND).await;
    }
}

async fn progress_of(engine: &Engine, ids: &[TaskId]) -> Result<Vec<Option<Text>>, TaskError> {
    let notes = engine.notes(ids.to_vec(), NoteKind::Progress).await?;
    Ok(notes.into_iter().map(|notes| notes.into_iter().next().map(|(_, value)| value)).collect())
}

/// Appends records, separated by commas, as people see them.
pub(super) async fn write_records(
    text: &mut String,
    records: &[Record],
    now: crate::time::Millis,
    engine: &Engine,
) -> Result<(), TaskError> {
    for records in records.chunks(MANY) {
        let ids: Vec<TaskId> = records.iter().map(|record| record.spec.id.clone()).collect();
        let progress = progress_of(engine, &ids).await?;
        let unended = unended(engine, records, now).await?;
        for (record, progress) in records.iter().zip(progress) {
            text.push_str(if text.ends_with('}') { "," } else { "" });
            let awaited = awaited_by(record, now).filter(|id| unended.contains(id));
            let awaited: Vec<&TaskId> = awaited.take(NAMED).collect();
            write_record(text, record, progress.as_deref(), &awaited, now, engine);
        }
    }
    Ok(())
}

/// The tasks that a blocked one was told to wait for.
fn awaited_by(record: &Record, now: crate::time::Millis) -> impl Iterator<Item = &TaskId> {
    let is_blocked = record.status.view(now) == View::Blocked;
    record.spec.blockers.iter().filter(move |_| is_blocked).flat_map(|blockers| &blockers.ids)
}

/// Those of them that have not ended, as far as that is asked.
async fn unended(
    engine: &Engine,
    records: &[Record],
    now: crate::time::Millis,
) -> Result<HashSet<TaskId>, TaskError> {
    let ids: HashSet<TaskId> = records.iter().flat_map(|record| awaited_by(record, now)).cloned().collect();
    let ids: Vec<TaskId> = ids.into_iter().take(MANY).collect();
    if ids.is_empty() {
        return Ok(HashSet::new());
    }
    let found = engine.get(ids.clone()).await?.records;
    let is_unended = |record: Option<Record>| record.is_some_and(|record| !record.status.state.is_final());
    Ok(ids.into_iter().zip(found).filter_map(|(id, record)| is_unended(record).then_some(id)).collect())
}

/// The tasks of a flow, oldest first.
pub(super) async fn flow(engine: &Engine, id: Name) -> Result<Text, TaskError> {
    let records = engine.flow(&id).await?;
    let now = engine.get(Vec::new()).await?.now;
    let mut text = String::from("[");
    write_records(&mut text, &records, now, engine).await?;
    text.push(']');
    Ok(text.into())
}
