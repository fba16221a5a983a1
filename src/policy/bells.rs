//! Who has to look again when something that several share has changed.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// Called after a change, on any thread, perhaps under a lock of the caller: it must not block.
pub type Bell = Arc<dyn Fn() + Send + Sync>;

/// The bells of one shared thing; those whose owners are gone are forgotten.
#[derive(Default)]
pub(super) struct Bells(Mutex<Vec<Weak<dyn Fn() + Send + Sync>>>);

impl Bells {
    pub fn add(&self, bell: &Bell) {
        let mut bells = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let new = Arc::downgrade(bell);
        bells.retain(|other| other.strong_count() > 0 && !Weak::ptr_eq(other, &new));
        bells.push(new);
    }

    pub fn ring(&self) {
        let living: Vec<Bell> = {
            let bells = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            bells.iter().filter_map(Weak::upgrade).collect()
        };
        living.iter().for_each(|bell| bell());
    }
}

impl fmt::Debug for Bells {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Bells")
    }
}
