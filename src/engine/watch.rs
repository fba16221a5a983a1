//! Who wants to know how a task ends.
//!
//! Whoever pushes a task holds an interest in it, so that its outcome can be had even when the store has
//! pruned the task meanwhile. An interest ends when its holder lets it go.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use tokio::sync::oneshot;

use crate::error::TaskError;
use crate::task::{Cause, Failure, Record, State, TaskId, Text};

use super::stored::End;

/// How a task ended: its output, or why there is none.
pub type Final = Result<Text, TaskError>;

/// An outcome for the host. A token that the host has taken back gets one too, so that it knows when it can use
/// the number again.
#[derive(Debug)]
pub struct Notice {
    /// The host's number.
    pub token: u32,
    /// The task, where it did not end well.
    pub id: Option<TaskId>,
    /// How it ended.
    pub outcome: Final,
}

/// Where an outcome is to be sent.
#[derive(Debug)]
pub enum Waiter {
    /// To the host, under this number.
    Token(u32),
    /// To a Rust future.
    Channel(oneshot::Sender<Final>),
}

/// First waits that are kept to be asked about; whoever comes beyond it waits for a round.
const FRESH: usize = 1000;

/// See the module.
#[derive(Default)]
pub struct Watch {
    interests: HashMap<TaskId, Interest>,
    /// Outcomes for the host.
    notices: VecDeque<Notice>,
    /// Tasks whose outcome somebody waits for and that this process has not seen: worth asking the store.
    unseen: Vec<TaskId>,
    /// Tasks that somebody has begun to wait for: they may have ended elsewhere in between.
    fresh: Vec<TaskId>,
    /// Tasks that have ended without a run here.
    ended: Vec<TaskId>,
    /// Awaited tasks that have not been asked about in this round.
    round: Vec<TaskId>,
    /// Whoever asks the store comes again by itself.
    is_timed: bool,
    /// And so soon that those who have begun to wait need not tell it.
    is_soon: bool,
    /// The store is being asked about some of them.
    asking: bool,
    /// Nothing more will be known.
    refused: Option<TaskError>,
    /// Of the outcomes that are kept, about.
    bytes: usize,
    /// Tasks whose outcome somebody waits for.
    waits: usize,
}

/// How long nobody has to ask.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Rest {
    /// Until the next question about those who have just begun to wait.
    Soon,
    /// Until the next round.
    Round,
    /// Nobody waits.
    Told,
}

#[derive(Default)]
struct Interest {
    holders: u32,
    outcome: Option<Final>,
    /// The task is older than the interest: it may have ended before.
    unsure: bool,
    /// Nearly always one or none.
    waiter: Option<Waiter>,
    others: Vec<Waiter>,
}

impl Interest {
    fn is_awaited(&self) -> bool {
        self.waiter.is_some() || !self.others.is_empty()
    }

    fn add(&mut self, waiter: Waiter) {
        match &self.waiter {
            None => self.waiter = Some(waiter),
            Some(_) => self.others.push(waiter),
        }
    }

    fn take_waiters(&mut self) -> impl Iterator<Item = Waiter> + use<> {
        self.waiter.take().into_iter().chain(std::mem::take(&mut self.others))
    }

    /// False where nobody waits under this token.
    fn remove(&mut self, token: u32) -> bool {
        let is_it = |waiter: &Waiter| matches!(waiter, Waiter::Token(other) if *other == token);
        if self.waiter.as_ref().is_some_and(is_it) {
            self.waiter = None;
            return true;
        }
        let before = self.others.len();
        self.others.retain(|waiter| !is_it(waiter));
        self.others.len() < before
    }
}

impl Watch {
    /// One more holder is interested.
    pub fn hold(&mut self, id: TaskId, is_new: bool) {
        let interest = self.interests.entry(id).or_default();
        interest.holders += 1;
        interest.unsure |= !is_new && interest.outcome.is_none();
    }

    /// A holder has lost its interest.
    pub fn let_go(&mut self, id: &TaskId) {
        if let Some(interest) = self.interests.get_mut(id) {
            interest.holders = interest.holders.saturating_sub(1);
            self.forget_if_done(id);
        }
    }

    /// Sends the outcome to `waiter`, now or when there is one.
    pub fn wait(&mut self, id: TaskId, waiter: Waiter) {
        let refused = self.refused.clone().map(Err);
        let known = self.interests.get_mut(&id);
        let outcome = known.as_ref().and_then(|interest| interest.outcome.clone()).or(refused);
        if let Some(outcome) = outcome {
            return self.send(waiter, &id, outcome);
        }
        let begins = known.as_ref().is_none_or(|interest| !interest.is_awaited());
        if known.is_none_or(|interest| std::mem::take(&mut interest.unsure)) {
            self.unseen.push(id.clone());
        } else if begins && self.fresh.len() < FRESH {
            self.fresh.push(id.clone());
        }
        self.waits += usize::from(begins);
        self.interests.entry(id).or_default().add(waiter);
    }

    /// Nobody waits under this token any more.
    pub fn cancel(&mut self, id: &TaskId, token: u32) {
        if let Some(interest) = self.interests.get_mut(id)
            && interest.remove(token)
        {
            self.waits -= usize::from(!interest.is_awaited());
            self.notices.push_back(Notice { token, id: None, outcome: Ok("null".into()) });
            self.forget_if_done(id);
        }
    }

    /// A task has ended.
    pub fn end(&mut self, id: &TaskId, outcome: &Final) {
        let Some(interest) = self.interests.get_mut(id) else { return };
        self.waits -= usize::from(interest.is_awaited());
        let before = interest.outcome.replace(outcome.clone());
        self.bytes = self.bytes + size_of_outcome(Some(outcome)) - size_of_outcome(before.as_ref());
        for waiter in interest.take_waiters() {
            self.send(waiter, id, outcome.clone());
        }
        self.forget_if_done(id);
    }

    /// An ended task runs again.
    pub fn reopen(&mut self, id: &TaskId) {
        if let Some(interest) = self.interests.get_mut(id) {
            let before = interest.outcome.take();
            self.bytes -= size_of_outcome(before.as_ref());
        }
    }

    /// What the outcomes take that are kept for those who may still ask, in bytes, about.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Somebody is interested in this task.
    pub fn knows(&self, id: &TaskId) -> bool {
        self.interests.contains_key(id)
    }

    /// A task may have ended in the very push that made it.
    pub fn doubt(&mut self, id: &TaskId) {
        let Some(interest) = self.interests.get_mut(id).filter(|interest| interest.outcome.is_none()) else {
            return;
        };
        match interest.is_awaited() {
            true => self.unseen.push(id.clone()),
            false => interest.unsure = true,
        }
    }

    /// These have ended without a run here: the store knows how.
    pub(super) fn ended_elsewhere(&mut self, ids: &[TaskId]) {
        self.ended.extend_from_slice(ids);
    }

    /// Tasks to ask the store about at once, those that are awaited and those that have ended; `asked` has to follow.
    pub(super) fn take_unseen(&mut self, max: usize) -> (Vec<TaskId>, Vec<TaskId>) {
        let rest = |of: &mut Vec<TaskId>| of.split_off(of.len().saturating_sub(max));
        let (unseen, ended) = (rest(&mut self.unseen), rest(&mut self.ended));
        self.asking = !unseen.is_empty() || !ended.is_empty();
        (unseen, ended)
    }

    /// Tasks that somebody has begun to wait for and still does; `asked` has to follow.
    pub(super) fn take_fresh(&mut self) -> Vec<TaskId> {
        let mut fresh = std::mem::take(&mut self.fresh);
        fresh.retain(|id| self.interests.get(id).is_some_and(Interest::is_awaited));
        self.asking = !fresh.is_empty();
        fresh
    }

    /// The store has answered, or these are to be asked about again.
    pub(super) fn asked(&mut self, (unseen, ended): (Vec<TaskId>, Vec<TaskId>)) {
        self.asking = false;
        self.unseen.extend(unseen);
        self.ended.extend(ended);
    }

    /// An answer of the store is on its way to somebody who waits.
    pub fn is_asking(&self) -> bool {
        self.asking || self.has_unseen()
    }

    fn has_unseen(&self) -> bool {
        !self.unseen.is_empty() || !self.ended.is_empty()
    }

    /// Whoever asks the store rests: until it is told, or until what the answer says.
    pub(super) fn rest(&mut self) -> Rest {
        self.is_timed = self.is_awaiting();
        self.is_soon = !self.fresh.is_empty();
        match (self.is_soon, self.is_timed) {
            (true, _) => Rest::Soon,
            (false, true) => Rest::Round,
            (false, false) => Rest::Told,
        }
    }

    /// Whoever asks the store has to be told.
    pub(super) fn wakes_asker(&mut self) -> bool {
        let begins = self.is_awaiting() && !self.is_timed;
        self.is_timed |= begins;
        let fresh = !self.fresh.is_empty() && !self.is_soon;
        self.is_soon |= fresh;
        begins || fresh || self.has_unseen()
    }

    /// Somebody waits for an outcome.
    pub fn is_awaiting(&self) -> bool {
        self.waits > 0
    }

    /// Up to `max` tasks whose outcome somebody waits for: others each time, until all have had their turn.
    pub fn awaited(&mut self, max: usize) -> Vec<TaskId> {
        let mut next = self.rest_of_round(max);
        if next.is_empty() {
            self.round = self.all_awaited();
            next = self.rest_of_round(max);
        }
        next
    }

    fn rest_of_round(&mut self, max: usize) -> Vec<TaskId> {
        let mut next = Vec::new();
        while next.len() < max {
            let Some(id) = self.round.pop() else { break };
            if self.interests.get(&id).is_some_and(Interest::is_awaited) {
                next.push(id);
            }
        }
        next
    }

    fn all_awaited(&self) -> Vec<TaskId> {
        let awaited = self.interests.iter().filter(|(_, interest)| interest.is_awaited());
        awaited.map(|(id, _)| id.clone()).collect()
    }

    /// Everybody who still waits gets this error, and so does whoever comes later.
    pub fn refuse_all(&mut self, error: &TaskError) {
        self.refused = Some(error.clone());
        let ids = self.all_awaited();
        for id in ids {
            self.end(&id, &Err(error.clone()));
        }
    }

    /// Outcomes for the host, at most `max`.
    pub fn take_notices(&mut self, max: usize) -> Vec<Notice> {
        let n = max.min(self.notices.len());
        self.notices.drain(..n).collect()
    }

    /// The host has something to fetch.
    pub fn has_notices(&self) -> bool {
        !self.notices.is_empty()
    }

    fn send(&mut self, waiter: Waiter, id: &TaskId, outcome: Final) {
        match waiter {
            Waiter::Token(token) => {
                let id = outcome.is_err().then(|| id.clone());
                self.notices.push_back(Notice { token, id, outcome });
            }
            // The other side may have stopped waiting: that is its right.
            Waiter::Channel(sender) => drop(sender.send(outcome)),
        }
    }

    fn forget_if_done(&mut self, id: &TaskId) {
        if self.interests.get(id).is_some_and(|interest| interest.holders == 0 && !interest.is_awaited()) {
            let gone = self.interests.remove(id);
            self.bytes -= size_of_outcome(gone.and_then(|interest| interest.outcome).as_ref());
        }
    }
}

/// With what an interest itself takes.
fn size_of_outcome(outcome: Option<&Final>) -> usize {
    match outcome {
        Some(Ok(text)) => text.len() + 256,
        Some(Err(_)) => 1024,
        None => 0,
    }
}

/// The outcome of an accepted final settlement.
pub(super) fn final_of_end(end: &End) -> Option<Final> {
    let settlement = &end.settlement;
    match settlement.cause {
        Cause::Complete => Some(Ok(settlement.output.clone().unwrap_or_else(|| "null".into()))),
        Cause::Fail | Cause::Poison => {
            Some(Err(error_of(settlement.attempt.as_ref(), end.spec.timeout, settlement.losses)))
        }
        Cause::Supersede => Some(Err(TaskError::Cancelled("superseded".into()))),
        // Why it was cancelled, only the store knows.
        _ => None,
    }
}

/// The outcome of a record; `None` while it has not ended.
pub fn final_of(record: &Record) -> Option<Final> {
    let status = &record.status;
    match status.state {
        State::Waiting | State::Running => None,
        State::Completed => Some(Ok(status.output.clone().unwrap_or_else(|| "null".into()))),
        State::Failed => Some(Err(error_of(status.attempts.last(), record.spec.timeout, status.losses))),
        State::Cancelled => {
            Some(Err(TaskError::Cancelled(status.cancel.clone().unwrap_or_else(|| "on request".into()))))
        }
    }
}

fn error_of(attempt: Option<&crate::task::Attempt>, timeout: Option<u64>, losses: u32) -> TaskError {
    let Some(attempt) = attempt else { return TaskError::Lost(losses) };
    match attempt.code.as_str() {
        "ERR_TASK_TIMEOUT" => TaskError::Timeout(timeout.unwrap_or_default()),
        "ERR_TASK_LOST" => TaskError::Lost(losses),
        "ERR_TASK_EXPIRED" => TaskError::Expired,
        _ => TaskError::Failed(Arc::new(Failure {
            name: attempt.name.clone(),
            message: attempt.message.clone(),
            code: Some(attempt.code.clone()),
            stack: attempt.stack.clone(),
            ..Failure::default()
        })),
    }
}
