//! What a run notes down while it works: results of steps, how far it has come, lines of a log.
//!
//! Notes belong to the task and go away with it; a store keeps them beside the record, so that tasks without any
//! cost nothing. A note names the claim under which it was made, so that a run that has lost its task writes nothing.

use super::id::TaskId;
use super::name::Name;
use super::record::Status;
use super::spec::Text;
use super::state::State;

/// Steps that a task may have.
pub const MAX_STEPS: usize = 1000;
/// Bytes of the result of one step.
pub const MAX_STEP_BYTES: usize = 256 * 1024;
/// Lines that are kept of the log of a task, the newest.
pub const KEPT_LINES: usize = 1000;

/// A note on its way into a store.
#[derive(Clone, Debug)]
pub struct Noted {
    /// The task.
    pub id: TaskId,
    /// The claim of the run that makes it.
    pub epoch: u64,
    /// What it says.
    pub note: Note,
}

/// What a run notes down. Noting the same again changes nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    /// The result of a step: kept for the runs after this one, until one has completed the task.
    Step {
        /// Which step.
        key: Name,
        /// JSON text, at most `MAX_STEP_BYTES`.
        value: Text,
    },
    /// How far the task has come, as JSON text; the newest takes the place of those before.
    Progress(Text),
    /// A line of the log, as JSON text.
    Line {
        /// Its number among those of its run.
        no: u32,
        /// What it says.
        text: Text,
    },
}

/// Which notes to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoteKind {
    /// How far it has come: at most one.
    Progress,
    /// Results of steps, by their keys.
    Steps,
    /// Lines of the log, oldest first.
    Lines,
}

/// Why a note was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unnoted {
    /// The claim is not the latest one of the task, or, of a step, its run is over.
    Stale,
    /// The task has `MAX_STEPS` other steps.
    Full,
}

/// Notes of one kind of one task: a key, empty but for steps, and JSON text.
pub type Notes = Vec<(Name, Text)>;

impl Note {
    /// Which kind it is of.
    pub fn kind(&self) -> NoteKind {
        match self {
            Self::Step { .. } => NoteKind::Steps,
            Self::Progress(_) => NoteKind::Progress,
            Self::Line { .. } => NoteKind::Lines,
        }
    }

    /// A task of this status takes it from a run with this claim. What was said just before the end may come just
    /// after it, as long as nobody else has the task; a step would be one that nobody knows to have happened.
    pub fn is_of(&self, status: &Status, epoch: u64) -> bool {
        let runs = status.state == State::Running;
        status.epoch == epoch && (runs || self.kind() != NoteKind::Steps)
    }
}
