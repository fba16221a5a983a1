//! One step of a node, and the judgement of the claims that a store has given in it: each was allowed, none
//! was passed over for a lesser one, and none is missing.

use task::store::{Advance, LaneClaim, Settled, Turn};
use task::task::{Cause, Claimed, Name, State, TaskId};
use task::time::Millis;

use super::reference::{Reference, Task};

impl Reference {
    /// Plays a step whose answer was `turn`; the error says what is wrong with the answer.
    pub fn advance(&mut self, step: &Advance, turn: &Turn) -> Result<(), String> {
        let settled: Vec<Settled> = step.settlements.iter().map(|end| self.settle(end)).collect();
        expect("settled", &turn.settled, &settled)?;
        let mut ended = Vec::new();
        self.expire(&mut ended);
        self.tell(&mut ended);
        ended.sort();
        let mut told: Vec<TaskId> = turn.ended.clone();
        told.sort();
        expect("ended", &told, &ended)?;
        let mut left: Vec<u32> = step.claims.lanes.iter().map(|lane| lane.max).collect();
        if turn.claimed.len() > step.claims.max as usize {
            return Err("claimed more than asked for in all".into());
        }
        for run in &turn.claimed {
            self.judge(run, &step.claims.lanes, &mut left)?;
            self.start(run, step)?;
        }
        if turn.claimed.len() < step.claims.max as usize
            && let Some(at) = self.candidates(&step.claims.lanes, &left).first()
        {
            return Err(format!("task {} could have been claimed too", self.tasks[*at].spec.id));
        }
        expect("more", &turn.more, &false)?;
        self.judge_next_at(turn.next_at, &step.claims.lanes)
    }

    /// Tasks that may start now.
    fn candidates(&self, lanes: &[LaneClaim], left: &[u32]) -> Vec<usize> {
        let may_start = |task: &Task| {
            let lane = lanes.iter().zip(left).find(|(lane, _)| is_of(task, lane));
            lane.is_some_and(|(lane, left)| *left > 0 && self.may_start(task, lane))
        };
        (0..self.tasks.len()).filter(|at| may_start(&self.tasks[*at])).collect()
    }

    fn may_start(&self, task: &Task, lane: &LaneClaim) -> bool {
        task.is_ready(self.now)
            && !self.is_paused(&task.spec.queue)
            && self.has_places(task, lane)
            && self.rate_of(task, lane).is_none_or(|rate| rate.is_ok())
    }

    /// Neither its kind nor its group runs as often as is allowed.
    fn has_places(&self, task: &Task, lane: &LaneClaim) -> bool {
        let running = |of: &dyn Fn(&Task) -> bool| {
            let runs = |other: &&Task| other.runs() && other.spec.name == task.spec.name && of(other);
            self.tasks.iter().filter(runs).count() as u32
        };
        let in_group = |other: &Task| other.spec.group == task.spec.group;
        lane.total.is_none_or(|total| running(&|_| true) < total)
            && (task.spec.group.is_none() || lane.per_group.is_none_or(|limit| running(&in_group) < limit))
    }

    fn rate_key(task: &Task, lane: &LaneClaim) -> Option<(Name, Option<Name>)> {
        let rate = lane.rate.as_ref()?;
        Some((rate.key.clone(), if rate.by_group { task.spec.group.clone() } else { None }))
    }

    /// The arrival time after one more start, or when to come again.
    fn rate_of(&self, task: &Task, lane: &LaneClaim) -> Option<Result<u64, Millis>> {
        let key = Self::rate_key(task, lane)?;
        let arrival = self.rates.iter().find(|(known, _)| *known == key).map_or(0, |(_, arrival)| *arrival);
        let (next, answer) = lane.rate.as_ref()?.take(arrival, self.now);
        Some(answer.map(|()| next))
    }

    fn judge(&mut self, run: &Claimed, lanes: &[LaneClaim], left: &mut [u32]) -> Result<(), String> {
        let id = &run.spec.id;
        let candidates = self.candidates(lanes, left);
        let at = candidates.iter().copied().find(|at| self.tasks[*at].spec.id == *id);
        let task = &self.tasks[at.ok_or(format!("task {id} must not start"))?];
        let others = || candidates.iter().map(|at| &self.tasks[*at]);
        let priority = task.status.priority;
        if let Some(better) = others().find(|other| other.status.priority > priority) {
            return Err(format!("task {id} starts before {} of a larger priority", better.spec.id));
        }
        let equals = || others().filter(|other| other.status.priority == priority);
        let lane_of = |task: &Task| (task.spec.queue.clone(), task.spec.name.clone());
        let is_earlier = |other: &&Task| other.place < task.place;
        let same_line =
            |other: &&Task| lane_of(other) == lane_of(task) && other.spec.group == task.spec.group;
        // Between lines that take turns the order is the store's; without groups there are none.
        let turns = equals().any(|other| other.spec.group.is_some());
        if let Some(first) = equals().filter(is_earlier).find(|other| !turns || same_line(other)) {
            return Err(format!("task {id} starts before {}, which came earlier", first.spec.id));
        }
        let lane = lanes.iter().position(|lane| is_of(task, lane)).expect("it is a candidate");
        let taken =
            Self::rate_key(task, &lanes[lane]).zip(self.rate_of(task, &lanes[lane]).and_then(Result::ok));
        left[lane] -= 1;
        if let Some((key, arrival)) = taken {
            self.rates.retain(|(known, _)| *known != key);
            self.rates.push((key, arrival));
        }
        Ok(())
    }

    fn start(&mut self, run: &Claimed, step: &Advance) -> Result<(), String> {
        if run.epoch <= self.epoch {
            return Err(format!("epoch {} of task {} is not new", run.epoch, run.spec.id));
        }
        self.epoch = run.epoch;
        let at = self.at(&run.spec.id).expect("it was judged");
        let (now, status) = (self.now, &mut self.tasks[at].status);
        status.state = State::Running;
        status.cause = Some(Cause::Claim);
        status.owner = Some(step.node.clone());
        (status.epoch, status.started_at) = (run.epoch, Some(now));
        let first = *status.first_started_at.get_or_insert(now);
        let expected = (status.priority, status.failures, status.losses, now - first);
        expect("claimed", &(run.priority, run.failures, run.losses, run.elapsed), &expected)
    }

    fn judge_next_at(&self, next_at: Option<Millis>, lanes: &[LaneClaim]) -> Result<(), String> {
        let timed = |task: &Task| {
            (task.waits_for.is_empty() && !task.is_ready(self.now)).then_some(task.status.run_at)
        };
        let waiting = || self.tasks.iter().filter(|task| task.waits());
        let dated = waiting().filter_map(timed).chain(waiting().filter_map(|task| task.expires_at)).min();
        let rates = waiting()
            .filter_map(|task| self.rate_of(task, lanes.iter().find(|lane| is_of(task, lane))?)?.err());
        let is_right = next_at == dated || dated.is_none_or(|dated| next_at.is_some_and(|at| at < dated));
        let is_dated = next_at == dated || rates.into_iter().any(|at| next_at == Some(at));
        if is_right && is_dated {
            Ok(())
        } else {
            Err(format!("next at {next_at:?}, with dates from {dated:?}"))
        }
    }
}

fn is_of(task: &Task, lane: &LaneClaim) -> bool {
    task.spec.name == lane.name && lane.queue.as_ref().is_none_or(|queue| task.spec.queue == *queue)
}

/// Compares what the store says with what is right.
pub fn expect<T: PartialEq + std::fmt::Debug>(what: &str, found: &T, right: &T) -> Result<(), String> {
    if found == right { Ok(()) } else { Err(format!("{what}: {found:?} instead of {right:?}")) }
}
