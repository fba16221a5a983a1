//! What the gates say of themselves, for people to look at.

use crate::policy::Gate;
use crate::time::Millis;

use super::{Dispatcher, GateId, Lane};

/// A gate at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// The word for its kind.
    pub kind: &'static str,
    /// Something may start.
    pub is_open: bool,
    /// Of a circuit breaker: `closed`, `open` or `half-open`.
    pub circuit: Option<&'static str>,
    /// Tasks that stand before it, withdrawn ones included.
    pub waiting: usize,
}

impl Dispatcher {
    /// Tasks that run.
    pub fn running(&self) -> u32 {
        match self.total {
            Gate::Concurrency { running, .. } => running,
            _ => 0,
        }
    }

    /// The two gates that all tasks pass, by name.
    pub fn own_gates(&self, now: Millis) -> [(&'static str, Reading); 2] {
        let read = |gate| Self::read(gate, self.lanes.iter(), now);
        [("executor", read(&self.total)), ("pause", read(&Gate::Pause { paused: self.paused }))]
    }

    /// An added gate.
    pub fn reading(&self, gate: GateId, now: Millis) -> Reading {
        let lanes = self.lanes.iter().filter(|lane| lane.gates.contains(&gate));
        Self::read(self.gate(gate), lanes, now)
    }

    /// A gate that others may have too, and that stands here wherever `is_it` finds it, if anywhere.
    pub fn reading_of(&self, gate: &Gate, is_it: impl Fn(&Gate) -> bool, now: Millis) -> Reading {
        let has_it = |lane: &&Lane| lane.gates.iter().any(|gate| is_it(self.gate(*gate)));
        Self::read(gate, self.lanes.iter().filter(has_it), now)
    }

    fn read<'a>(gate: &Gate, lanes: impl Iterator<Item = &'a Lane>, now: Millis) -> Reading {
        let is_open = gate.room(now).slots > 0;
        let circuit = match gate {
            Gate::Breaker(breaker) => Some(breaker.word(now)),
            _ => None,
        };
        Reading { kind: gate.kind(), is_open, circuit, waiting: lanes.map(|lane| lane.ready.len()).sum() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dispatch::{Entry, OPEN_LANE};

    #[test]
    fn gates_say_what_stands_before_them() {
        let mut dispatcher = Dispatcher::new(2);
        let gate = dispatcher.add_gate(Gate::concurrency(1), None);
        let lane = dispatcher.lane(&[gate]);
        for slot in 0..3 {
            dispatcher.ready(lane, 0, Entry { slot, run: 0 });
        }
        dispatcher.ready(OPEN_LANE, 0, Entry { slot: 3, run: 0 });
        let open = Reading { kind: "concurrency", is_open: true, circuit: None, waiting: 3 };
        assert_eq!(dispatcher.reading(gate, 0), open);
        let _ = dispatcher.poll(0, |_| true, |_, _| false, |_| ());
        assert_eq!(dispatcher.reading(gate, 0), Reading { is_open: false, waiting: 2, ..open });
        let [(_, executor), (_, pause)] = dispatcher.own_gates(0);
        assert_eq!((executor.is_open, executor.waiting, dispatcher.running()), (false, 2, 2));
        assert_eq!((pause.kind, pause.is_open), ("pause", true));
        dispatcher.set_paused(true);
        assert!(!dispatcher.own_gates(0)[1].1.is_open);
    }
}
