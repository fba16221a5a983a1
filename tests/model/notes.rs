//! What runs note down, in the reference: a list for each task.

use std::collections::BTreeMap;

use task::task::{Name, Note, NoteKind, Notes, Text, Unnoted};

use super::reference::Reference;

/// The notes of a task.
#[derive(Clone, Default)]
pub struct Pad {
    pub steps: BTreeMap<Name, Text>,
    progress: Option<Text>,
    lines: BTreeMap<(u64, u32), Text>,
}

impl Reference {
    /// A run of the task at this place, with this claim, notes something down.
    pub fn note(&mut self, at: usize, epoch: u64, note: &Note) -> Result<(), Unnoted> {
        let task = &mut self.tasks[at];
        let is_latest = task.status.epoch == epoch;
        if !is_latest || matches!(note, Note::Step { .. }) && !task.runs() {
            return Err(Unnoted::Stale);
        }
        match note {
            Note::Step { key, value } => {
                task.pad.steps.insert(key.clone(), value.clone());
            }
            Note::Progress(value) => task.pad.progress = Some(value.clone()),
            Note::Line { no, text } => {
                task.pad.lines.insert((epoch, *no), text.clone());
            }
        }
        Ok(())
    }

    pub fn notes(&self, at: usize, kind: NoteKind) -> Notes {
        let pad = &self.tasks[at].pad;
        let unnamed = |text: &Text| (Name::from(""), text.clone());
        match kind {
            NoteKind::Steps => pad.steps.iter().map(|(key, value)| (key.clone(), value.clone())).collect(),
            NoteKind::Progress => pad.progress.iter().map(unnamed).collect(),
            NoteKind::Lines => pad.lines.values().map(unnamed).collect(),
        }
    }
}
