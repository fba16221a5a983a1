//! Circuit breakers whose state is that of all nodes of a store.
//!
//! What nodes share is the phase, in a cell that they change by compare-and-set: whose window has opened the breaker
//! opens it for all; when its time is over one node gets the right to let probes pass, and their verdict is for all.
//! Outcomes are counted by each node for itself. A node that has no use for the right gives it back, so that another
//! one can try; of a node that is gone anybody takes it. While the store cannot be reached each node is on its own.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::policy::SharedBreaker;
use crate::policy::breaker::{Circuit, Phase};
use crate::store::{Cell, NodeId, Swap};
use crate::task::Name;
use crate::time::Millis;

/// For so long a node may have the right to let probes pass without using it.
const UNUSED: Millis = 1000;
/// Rounds in which a node that has given it back lets others go first.
const PATIENCE: u32 = 3;

/// What is in the cell; times on the store's clock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Told {
    /// Grows with every change.
    serial: u64,
    circuit: Circuit,
}

/// The two clocks at one moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clocks {
    pub store: Millis,
    pub here: Millis,
}

/// A breaker that this node shares with others.
#[derive(Debug)]
pub(super) struct Kept {
    breaker: SharedBreaker,
    key: Name,
    /// Of the cell, as it was taken over or written last.
    serial: u64,
    /// Of the breaker here, when it was like the cell.
    turn: u64,
    /// Since when this node has the right to let probes pass.
    granted_at: Option<Millis>,
    patience: u32,
}

/// What to ask of the store.
#[derive(Debug)]
pub(super) struct Change {
    pub swap: Swap,
    told: Told,
    grants: bool,
}

impl Kept {
    pub fn new(breaker: SharedBreaker, name: &str) -> Self {
        let (key, turn) = (format!("breaker/{name}").into(), breaker.circuit().turn());
        breaker.guard(true);
        Self { breaker, key, serial: 0, turn, granted_at: None, patience: 0 }
    }

    pub fn key(&self) -> &Name {
        &self.key
    }

    pub fn is(&self, other: &SharedBreaker) -> bool {
        self.breaker.is(other)
    }

    /// The store cannot be reached: what is known here has to do.
    pub fn leave_alone(&mut self) {
        self.breaker.guard(false);
        self.granted_at = None;
    }

    /// Takes over what others have done, or says what they should be told.
    pub fn look(
        &mut self,
        cell: Option<&Cell>,
        at: Clocks,
        me: &NodeId,
        lives: impl Fn(&str) -> bool,
    ) -> Option<Change> {
        self.breaker.guard(true);
        let old = cell.map(|cell| cell.value.clone());
        // What cannot be read was written by another version: it is replaced where there is something to say.
        let told: Option<Told> = cell.and_then(|cell| serde_json::from_str(&cell.value).ok());
        let (serial, theirs) = told.map_or((0, Circuit::default()), |told| (told.serial, told.circuit));
        let here = self.breaker.circuit();
        let write = |circuit: Circuit, grants| {
            let told = Told { serial: serial + 1, circuit };
            let value: Arc<str> = serde_json::to_string(&told).unwrap_or_default().into();
            let new = Some(Cell { value, due_at: None });
            Some(Change { swap: Swap { key: self.key.clone(), old: old.clone(), new }, told, grants })
        };
        let has_changed_here = here.turn() != self.turn && !matches!(here.phase(), Phase::HalfOpen { .. });
        let is_news = serial != self.serial;
        let opens = matches!(here.phase(), Phase::Open { .. });
        if has_changed_here && (!is_news || (opens && !matches!(theirs.phase(), Phase::Open { .. }))) {
            return write(here.at_clock(at.here, at.store), false);
        }
        if is_news {
            self.adopt(serial, &theirs, at);
            return None;
        }
        match theirs.phase() {
            Phase::Open { until: Some(until), .. } if *until <= at.store => {
                if self.patience > 0 {
                    self.patience -= 1;
                    return None;
                }
                write(theirs.half_open(me), true)
            }
            Phase::HalfOpen { holders, .. } if holders.contains(me) => {
                let unused = self.granted_at.is_some_and(|since| at.here >= since + UNUSED);
                let used =
                    !matches!(here.phase(), Phase::HalfOpen { holders, succeeded: 0 } if holders.is_empty());
                if used || !unused {
                    return None;
                }
                write(theirs.open_until(at.store), false)
            }
            Phase::HalfOpen { holders, .. } if !holders.iter().any(|holder| lives(holder)) => {
                write(theirs.half_open(me), true)
            }
            _ => None,
        }
    }

    /// The store has taken the change.
    pub fn changed(&mut self, change: Change, at: Clocks) {
        self.serial = change.told.serial;
        if change.grants {
            self.breaker.adopt(change.told.circuit.probing(false));
            self.granted_at = Some(at.here);
        } else if self.granted_at.take().is_some()
            && matches!(self.breaker.circuit().phase(), Phase::HalfOpen { .. })
        {
            // It was given back unused.
            self.breaker.adopt(change.told.circuit.at_clock(at.store, at.here));
            self.patience = PATIENCE;
        }
        self.turn = self.breaker.circuit().turn();
    }

    fn adopt(&mut self, serial: u64, theirs: &Circuit, at: Clocks) {
        self.serial = serial;
        self.granted_at = None;
        let others = match theirs.phase() {
            // Somebody else lets them pass; nobody does here.
            Phase::HalfOpen { .. } => theirs.probing(true),
            _ => theirs.at_clock(at.store, at.here),
        };
        self.breaker.adopt(others);
        self.turn = self.breaker.circuit().turn();
    }
}
