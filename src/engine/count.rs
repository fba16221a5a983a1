//! What of the core is counted, and what it says of itself when somebody asks for metrics.

use crate::policy::Gate;
use crate::store::{Push, Pushed, Refusal, Settled, Turn};
use crate::task::{Cause, Name, Spec};
use crate::time::Millis;

use super::core::{Core, KindId};
use super::metrics::{Count, GateState, SeriesId};
use super::stored::End;

impl Core {
    pub(super) fn series_of_kind(&mut self, kind: KindId) -> SeriesId {
        self.tally.series(Some(kind), &self.kinds[kind as usize].queue)
    }

    pub(super) fn series_of(&mut self, spec: &Spec) -> SeriesId {
        self.tally.series(self.kind_of.get(&spec.name).copied(), &spec.queue)
    }

    /// Runs whose settlement the store has taken.
    pub(super) fn count_ends(&mut self, ends: &[End], now: Millis) {
        for end in ends {
            let series = self.series_of(&end.spec);
            let is_lost = matches!(end.settlement.cause, Cause::Lose | Cause::Poison);
            if is_lost {
                self.tally.count(series, Count::Lost, now);
            }
            let what = match end.settlement.cause {
                Cause::Complete => Count::Completed,
                Cause::Fail | Cause::Poison => Count::Failed,
                Cause::Retry => Count::Retried,
                Cause::Cancel | Cause::Supersede => Count::Cancelled,
                _ => continue,
            };
            self.tally.count(series, what, now);
            for spec in &end.settlement.spawn {
                let series = self.series_of(spec);
                self.tally.count(series, Count::Enqueued, now);
            }
        }
    }

    /// Runs whose settlement the store has not taken, since their claim was not current.
    pub(super) fn count_stale(&mut self, ends: &[End], turn: &Turn, now: Millis) {
        for (end, settled) in ends.iter().zip(&turn.settled) {
            if matches!(settled, Settled::Stale) {
                let series = self.series_of(&end.spec);
                self.tally.count(series, Count::Stale, now);
            }
        }
    }

    /// Tasks that the store has taken in for this node.
    pub(super) fn count_pushed(
        &mut self,
        pushes: &[Push],
        answers: &[Result<Vec<Pushed>, Refusal>],
        now: Millis,
    ) {
        for (push, answer) in pushes.iter().zip(answers) {
            let Ok(answer) = answer else { continue };
            for (spec, pushed) in push.specs.iter().zip(answer) {
                if pushed.created {
                    let series = self.series_of(spec);
                    self.tally.count(series, Count::Enqueued, now);
                }
                self.tally.ended_unrun(usize::from(pushed.ousted.is_some()), now);
            }
        }
    }

    /// Tasks that have ended without a run.
    pub(super) fn count_ended_unrun(&mut self, n: usize, now: Millis) {
        self.tally.ended_unrun(n, now);
    }

    /// Every gate that has a name, with what it says now.
    pub(super) fn gate_states(&self, now: Millis) -> Vec<(String, GateState)> {
        let dispatcher = &self.dispatcher;
        let whole = dispatcher.own_gates(now).map(|(name, reading)| (name.to_owned(), reading.into()));
        let queues = self.queue_gates.iter().map(|(queue, gate)| (format!("queue {queue}"), *gate));
        let kinds = self.kinds.iter().zip(&self.kind_gates);
        let kinds = kinds.filter_map(|(kind, gate)| Some((format!("task {}", kind.name), (*gate)?)));
        let added = queues.chain(kinds).map(|(name, gate)| (name, dispatcher.reading(gate, now).into()));
        let paused = self.paused_queues.iter().map(|queue| (format!("pause {queue}"), GateState::paused()));
        let limits = self.placed_limits().into_iter().flat_map(|(place, limits)| {
            let rate = limits.rate.map(|rate| {
                let is_it =
                    |gate: &Gate| matches!(gate, Gate::Rate(other) | Gate::Hold(other) if other.is(&rate));
                let name = rate.rules().name.as_deref().unwrap_or(&place);
                let reading = dispatcher.reading_of(&Gate::Rate(rate.clone()), is_it, now);
                (format!("rate {name}"), reading.into())
            });
            let breaker = limits.breaker.map(|breaker| {
                let is_it = |gate: &Gate| matches!(gate, Gate::Breaker(other) if other.is(&breaker));
                let name = breaker.rules().name.as_deref().unwrap_or(&place);
                let reading = dispatcher.reading_of(&Gate::Breaker(breaker.clone()), is_it, now);
                (format!("breaker {name}"), reading.into())
            });
            rate.into_iter().chain(breaker)
        });
        whole.into_iter().chain(added).chain(paused).chain(limits).collect()
    }

    /// The queues that rows or settings name.
    pub(super) fn known_queues(&self) -> Vec<Name> {
        let rows = self.tally.series.iter().filter(|row| row.kind.is_some()).map(|row| &row.queue);
        let set = self.config.queues.iter().flatten().map(|(queue, _)| queue);
        let all: std::collections::BTreeSet<&Name> = rows.chain(set).collect();
        all.into_iter().cloned().collect()
    }
}
