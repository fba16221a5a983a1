//! Notes of tasks, kept in the tasks themselves.

use std::collections::BTreeMap;

use crate::task::{KEPT_LINES, MAX_STEPS, Name, Note, NoteKind, Noted, Notes, TaskId, Text, Unnoted};

use super::book::Book;

/// What a task has noted.
#[derive(Default)]
pub(super) struct Pad {
    pub steps: BTreeMap<Name, Text>,
    progress: Option<Text>,
    /// By claim and number.
    lines: BTreeMap<(u64, u32), Text>,
}

impl Book {
    pub fn note(&mut self, noted: &Noted) -> Result<(), Unnoted> {
        let Noted { id, epoch, note } = noted;
        let slot = *self.by_id.get(id).ok_or(Unnoted::Stale)?;
        let task = &mut self.tasks[slot];
        if !note.is_of(&task.status, *epoch) {
            return Err(Unnoted::Stale);
        }
        let pad = task.pad.get_or_insert_default();
        match note {
            Note::Step { key, value } => {
                if pad.steps.len() >= MAX_STEPS && !pad.steps.contains_key(key) {
                    return Err(Unnoted::Full);
                }
                pad.steps.insert(key.clone(), value.clone());
            }
            Note::Progress(value) => pad.progress = Some(value.clone()),
            Note::Line { no, text } => {
                pad.lines.insert((*epoch, *no), text.clone());
                if pad.lines.len() > KEPT_LINES {
                    pad.lines.pop_first();
                }
            }
        }
        Ok(())
    }

    pub fn notes(&self, id: &TaskId, kind: NoteKind) -> Notes {
        let Some(pad) = self.find(id).and_then(|task| task.pad.as_ref()) else { return Notes::new() };
        let unnamed = |text: &Text| (Name::from(""), text.clone());
        match kind {
            NoteKind::Progress => pad.progress.iter().map(unnamed).collect(),
            NoteKind::Steps => pad.steps.iter().map(|(key, text)| (key.clone(), text.clone())).collect(),
            NoteKind::Lines => pad.lines.values().map(unnamed).collect(),
        }
    }
}
