//! Notes of tasks.

use std::sync::Arc;
use std::time::Duration;

use super::codec::check_name;
use super::link::Link;
use super::nodes::ask;
use super::script::NOTES;
use super::wire::{Items, corrupt};
use crate::store::StoreError;
use crate::task::{KEPT_LINES, MAX_STEPS, Name, Note, NoteKind, Noted, Notes, TaskId, Unnoted};

/// Notes and tasks of one call.
const CHUNK: usize = 500;
/// Characters of a line that say which one it is.
const LINE_KEY: usize = 30;

fn letter(kind: NoteKind) -> &'static str {
    match kind {
        NoteKind::Progress => "p",
        NoteKind::Steps => "s",
        NoteKind::Lines => "l",
    }
}

pub(super) async fn note(link: &Arc<Link>, notes: &[Noted]) -> Result<Vec<Result<(), Unnoted>>, StoreError> {
    let mut said = Vec::with_capacity(notes.len());
    for chunk in notes.chunks(CHUNK) {
        let mut command = link.command(&NOTES, 3 + 5 * chunk.len(), 256 * chunk.len());
        command.arg("note").arg(MAX_STEPS).arg(KEPT_LINES);
        for Noted { id, epoch, note } in chunk {
            check_name(id.as_str())?;
            let (key, text) = match note {
                Note::Step { key, value } => (key.to_string(), value),
                Note::Progress(value) => (String::new(), value),
                Note::Line { no, text } => (format!("{epoch:020}{no:010}"), text),
            };
            command.arg(id.as_str()).arg(epoch).arg(letter(note.kind())).arg(key).arg(text.as_bytes());
        }
        let answer = ask(link, &NOTES, command).await?.map(super::wire::number)?;
        if answer.len() != chunk.len() {
            return Err(corrupt("another number of notes"));
        }
        said.extend(answer.into_iter().map(|word| match word {
            0 => Ok(()),
            2 => Err(Unnoted::Full),
            _ => Err(Unnoted::Stale),
        }));
    }
    Ok(said)
}

pub(super) async fn read(link: &Arc<Link>, ids: &[TaskId], kind: NoteKind) -> Result<Vec<Notes>, StoreError> {
    let mut found = Vec::with_capacity(ids.len());
    for chunk in ids.chunks(CHUNK) {
        let mut command = link.command(&NOTES, 2 + chunk.len(), 64 * chunk.len());
        command.arg("read").arg(letter(kind));
        chunk.iter().for_each(|id| {
            command.arg(id.as_str());
        });
        let answer = link.run(&NOTES, command, Duration::from_millis(100)).await?;
        found.extend(Items::of(answer)?.map(|item| notes(super::wire::texts(item)?, kind))?);
    }
    Ok(found)
}

fn notes(texts: Vec<String>, kind: NoteKind) -> Result<Notes, StoreError> {
    let unnamed = |text: &str| (Name::from(""), text.into());
    match kind {
        NoteKind::Progress => Ok(texts.iter().map(|text| unnamed(text)).collect()),
        NoteKind::Lines => texts
            .iter()
            .map(|text| text.get(LINE_KEY..).map(unnamed).ok_or_else(|| corrupt("a line")))
            .collect(),
        NoteKind::Steps => {
            let pairs = texts.chunks_exact(2).map(|pair| (Name::from(&*pair[0]), pair[1].as_str().into()));
            let mut steps: Notes = pairs.collect();
            steps.sort();
            Ok(steps)
        }
    }
}
