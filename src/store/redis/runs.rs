//! Where the tasks stand that this process has claimed, so that the server need not look for them by id.
//!
//! A serial and an epoch name a claim as well as an id and an epoch do. What is not known here, such as the runs
//! of a dead node, is settled by its id.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::task::{Claimed, Settlement, TaskId};

/// Digits of a serial.
pub(super) const SERIAL: usize = 16;

/// Claims that are remembered; the oldest are forgotten first, since they may have been lost to others.
const MOST: usize = 100_000;

/// Claims by their epochs.
#[derive(Default)]
pub(super) struct Runs(Mutex<BTreeMap<u64, Run>>);

struct Run {
    id: TaskId,
    serial: [u8; SERIAL],
}

impl Runs {
    fn all(&self) -> MutexGuard<'_, BTreeMap<u64, Run>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers claims, whose serials stand one after the other.
    pub fn note(&self, claimed: &[Claimed], serials: &[u8]) {
        let mut all = self.all();
        let (serials, _) = serials.as_chunks::<SERIAL>();
        let runs = claimed.iter().zip(serials).map(|(run, serial)| {
            let (id, serial) = (run.spec.id.clone(), *serial);
            (run.epoch, Run { id, serial })
        });
        all.extend(runs);
        while all.len() > MOST {
            all.pop_first();
        }
    }

    /// The serial of the task with this id, if it was claimed under this epoch.
    pub fn serial_of(&self, id: &TaskId, epoch: u64) -> Option<[u8; SERIAL]> {
        self.all().get(&epoch).filter(|run| run.id == *id).map(|run| run.serial)
    }

    /// Forgets claims that are over.
    pub fn forget(&self, settlements: &[Settlement]) {
        let mut all = self.all();
        for end in settlements {
            all.remove(&end.epoch);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::task::Spec;

    #[test]
    fn the_oldest_claims_are_forgotten_first() {
        let runs = Runs::default();
        let spec = Arc::new(Spec::new("work", "null"));
        let run =
            |epoch| Claimed { spec: spec.clone(), epoch, priority: 0, failures: 0, losses: 0, elapsed: 0 };
        for epoch in 0..=MOST as u64 {
            runs.note(&[run(epoch)], b"1000000000000001");
        }
        assert_eq!(runs.serial_of(&spec.id, 0), None);
        assert_eq!(runs.serial_of(&spec.id, MOST as u64), Some(*b"1000000000000001"));
        assert_eq!(runs.serial_of(&"another".into(), MOST as u64), None);
    }
}
