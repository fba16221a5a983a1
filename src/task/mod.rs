//! The task: what is pushed (`spec`), what a store keeps of it (`record`), the states it can be in
//! (`state`) and the one place where its fate is decided (`settle`).
//!
//! Everything here is pure: no clock, no I/O, no locks.

mod flow;
mod id;
mod name;
mod note;
mod record;
mod settle;
mod spec;
mod state;

#[doc(no_inline)]
pub use crate::policy::RetryPolicy;
pub use flow::cycle;
pub use id::TaskId;
pub use name::{Name, NameError, check_name};
pub use note::{KEPT_LINES, MAX_STEP_BYTES, MAX_STEPS, Note, NoteKind, Noted, Notes, Unnoted};
pub use record::{Attempt, Claimed, KEPT_ATTEMPTS, Place, Record, Status, Waiting};
pub use settle::{Failure, Original, Outcome, Rules, Settlement, Standing, settle};
pub use spec::{Blockers, Conflict, Key, OnBlockerFailure, Quiet, Spec, Text, When, default_queue};
pub use state::{Cause, State, TRANSITIONS, View};
