//! What happens to a world from outside, by chance: producers, operators, crashes, frozen and blocked nodes.

use std::sync::Arc;

use task::policy::RetryPolicy;
use task::store::{Amend, Cell, Filter, Keep, Push, Retention, Store, Swap, Target, pause_cell};
use task::task::{Blockers, Conflict, Key, Name, OnBlockerFailure, Quiet, Spec, TaskId, View, When};

use crate::bench::wait;

use super::dice::Dice;
use super::node::{Node, STALL_LIMIT};
use super::world::{KINDS, LEASE, QUEUES, World};

impl World {
    /// Something happens from outside.
    pub fn deed(&mut self) {
        match self.dice.within(0, 100) {
            0..45 => self.push(),
            45..65 => self.amend(),
            65..72 => {
                let queue = self.dice.pick(&QUEUES);
                let paused = self.dice.chance(50);
                self.pause(queue, paused);
            }
            72..78 if !self.nodes.is_empty() => {
                // Crashed: what it knew is gone.
                let gone = self.dice.within(0, self.nodes.len() as u64) as usize;
                self.nodes.remove(gone);
            }
            78..85 if self.nodes.len() < 5 => self.join(false),
            85..87 => {
                let keep = Keep { count: Some(self.dice.within(0, 40)), ..Keep::default() };
                let limits = Retention { completed: keep, failed: keep, cancelled: keep };
                let _ = wait(self.store.prune(limits, 10));
            }
            87 if self.dice.chance(10) => self.leapt += self.dice.within(1000, 3_600_000),
            88..93 => {
                let until = self.at + self.dice.within(10, 3 * LEASE);
                self.with_node(|node| node.frozen_until = until);
            }
            93..97 => {
                let until = self.at + self.dice.within(10, 2 * STALL_LIMIT);
                self.with_node(|node| node.blocked_until = until);
            }
            97.. => {
                let grace = self.dice.within(0, 300);
                let at = self.at;
                self.with_node(|node| node.close(at, grace));
            }
            _ => {}
        }
    }

    fn with_node(&mut self, change: impl FnOnce(&mut Node)) {
        if !self.nodes.is_empty() {
            let at = self.dice.within(0, self.nodes.len() as u64) as usize;
            change(&mut self.nodes[at]);
        }
    }

    /// A producer asks until it is answered, or gives up.
    fn push(&mut self) {
        let specs: Vec<Spec> = (0..self.dice.within(1, 4)).map(|_| self.spec()).collect();
        for _ in 0..self.dice.within(1, 6) {
            let push = Push { max_waiting: Some(200), ..Push::of(specs.clone()) };
            if let Ok(answers) = wait(self.store.push(Arc::new([push]))) {
                let pushed = answers.into_iter().flatten().flatten();
                self.acknowledged.extend(pushed.map(|pushed| pushed.id));
                return;
            }
        }
    }

    fn spec(&mut self) -> Spec {
        self.pushed += 1;
        let dice = &mut self.dice;
        let known =
            |dice: &mut Dice, last: u64| TaskId::from(format!("task-{}", dice.within(1, last + 1)).as_str());
        let key = dice.chance(25).then(|| Key {
            text: dice.pick(&["one", "two"]).into(),
            conflict: dice.pick(&[Conflict::Ignore, Conflict::Replace, Conflict::Replace, Conflict::Refuse]),
            quiet: match dice.within(0, 6) {
                0 => Quiet::Throttle(300),
                1 => Quiet::Debounce { wait: 50, max_wait: 200 },
                _ => Quiet::Off,
            },
        });
        let blockers = dice.chance(25).then(|| Blockers {
            ids: (0..dice.within(1, 3)).map(|_| known(dice, self.pushed)).collect(),
            on_failure: dice.pick(&[OnBlockerFailure::Cancel, OnBlockerFailure::Run]),
        });
        let when = match dice.within(0, 5) {
            0 => When::After(dice.within(1, 1500)),
            1 => When::At(self.at + dice.within(0, 500)),
            _ => When::Now,
        };
        Spec {
            id: TaskId::from(format!("task-{}", self.pushed).as_str()),
            minted: true,
            queue: dice.pick(&QUEUES).into(),
            group: dice.chance(50).then(|| Name::from(dice.pick(&["a", "b"]))),
            priority: dice.within(0, 3) as i32 - 1,
            when,
            key,
            blockers,
            timeout: dice.chance(40).then(|| dice.within(20, 400)),
            retry: RetryPolicy::fixed(dice.within(1, 5) as u32, dice.within(0, 300)),
            expires_at: dice.chance(10).then(|| self.at + dice.within(1, 2000)),
            ..Spec::new(dice.pick(&KINDS), "null")
        }
    }

    /// An operator, who is not told whether it worked.
    fn amend(&mut self) {
        let dice = &mut self.dice;
        let id = TaskId::from(format!("task-{}", dice.within(1, self.pushed + 2)).as_str());
        let target = match dice.within(0, 8) {
            0 => Target::Filter(Filter { queue: Some(dice.pick(&QUEUES).into()), ..Filter::default() }),
            1 => Target::Filter(Filter { views: vec![View::Failed, View::Cancelled], ..Filter::default() }),
            _ => Target::Ids(vec![id]),
        };
        let change = match dice.within(0, 20) {
            0..8 => Amend::Cancel("an operator".into()),
            8..14 => Amend::Retry,
            14 => Amend::Remove,
            15 => Amend::Reschedule(self.at + dice.within(0, 800)),
            16 | 17 => Amend::Promote,
            _ => Amend::Prioritise(dice.within(0, 5) as i32),
        };
        let _ = wait(self.store.amend(target, change));
    }

    pub fn pause(&mut self, queue: &str, paused: bool) {
        let cell = Cell { value: "1".into(), due_at: None };
        let (old, new) = if paused { (None, Some(cell)) } else { (Some(cell.value), None) };
        let _ = wait(self.store.swap(Swap { key: pause_cell(queue), old, new }));
    }
}
