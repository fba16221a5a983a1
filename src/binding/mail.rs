//! What JavaScript fetches when a turn says that there is mail: one JSON text with acknowledged pushes, runs
//! to begin and to stop, outcomes, events, and replies to requests.
//!
//! A text is kept near 1 MiB, so that fetching it never holds the loop for long; the rest comes next turn.

use std::collections::{HashMap, VecDeque};
use std::fmt::Write;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::engine::{Event, Notice, PushResult, Stall, Start, Stop, What};
use crate::error::TaskError;
use crate::store::Pushed;
use crate::task::{Attempt, TaskId, Text};

use super::session::Session;

/// Bytes after which a mail is closed.
const FULL: usize = 1 << 20;
/// Records of the log that wait for a blocked loop.
const LOGS: usize = 1000;
/// Outcomes and events of one mail.
const MANY: usize = 4096;

/// The answer to a batch of pushes.
pub(super) struct Ack {
    batch: u32,
    tasks: Vec<Result<Pushed, TaskError>>,
    held: Vec<Option<TaskId>>,
}

/// Answers that wait to be fetched.
#[derive(Default)]
pub(super) struct Post {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    acks: Vec<Ack>,
    replies: Vec<(u32, Result<Text, TaskError>)>,
    /// Records of the log, as JSON; a reader that is slow loses the oldest.
    logs: VecDeque<String>,
    /// Ids of each batch whose handles may still be alive.
    held: HashMap<u32, Vec<Option<TaskId>>>,
}

impl Ack {
    /// `n` tasks, pushed one by one or all in one push.
    pub fn new(batch: u32, n: usize, answers: Result<Vec<PushResult>, TaskError>) -> Self {
        let all = |error: TaskError| vec![Err(error); n];
        let tasks = match answers.map(<[PushResult; 1]>::try_from) {
            Err(error) | Ok(Ok([Err(error)])) => all(error),
            Ok(Ok([Ok(pushed)])) => pushed.into_iter().map(Ok).collect(),
            Ok(Err(answers)) => {
                answers.into_iter().map(|answer| answer.map(|mut pushed| pushed.remove(0))).collect()
            }
        };
        let id = |task: &Result<Pushed, TaskError>| Some(task.as_ref().ok()?.id.clone());
        Self { batch, held: tasks.iter().map(id).collect(), tasks }
    }

    pub fn pushed(&self) -> impl Iterator<Item = &Pushed> {
        self.tasks.iter().filter_map(|task| task.as_ref().ok())
    }
}

impl Post {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn is_full(&self) -> bool {
        let inner = self.inner();
        !inner.acks.is_empty() || !inner.replies.is_empty() || !inner.logs.is_empty()
    }

    pub fn acknowledge(&self, ack: Ack) {
        self.inner().acks.push(ack);
    }

    pub fn reply(&self, number: u32, reply: Result<Text, TaskError>) {
        self.inner().replies.push((number, reply));
    }

    pub fn log(&self, record: String) {
        let mut inner = self.inner();
        if inner.logs.len() == LOGS {
            inner.logs.pop_front();
        }
        inner.logs.push_back(record);
    }

    /// The tokens and ids of triples of token, batch and place; what is not held any more is left out.
    pub fn ids_of(&self, asked: &[u32]) -> Vec<(u32, TaskId)> {
        let inner = self.inner();
        let find = |one: &[u32]| Some((one[0], inner.held.get(&one[1])?.get(one[2] as usize)?.clone()?));
        asked.chunks_exact(3).filter_map(find).collect()
    }

    /// A task whose handle has the number of a batch to itself.
    pub fn hold(&self, batch: u32, id: TaskId) {
        self.inner().held.insert(batch, vec![Some(id)]);
    }

    pub fn forget(&self, batch: u32) -> Vec<TaskId> {
        self.inner().held.remove(&batch).unwrap_or_default().into_iter().flatten().collect()
    }
}

impl Session {
    /// The mail; `"more":1` where something was left for the next one.
    pub fn mail(&self) -> String {
        let mut text = String::with_capacity(4096);
        text.push('{');
        let mut more = self.write_post(&mut text);
        let (starts, stops, events, trouble, warning, jump, stall, gates) = {
            let mut core = self.engine.core();
            let (mut starts, mut bytes) = (Vec::new(), 0);
            while bytes < FULL
                && let Some(start) = core.next_start()
            {
                bytes += start.spec.input.len() + 128;
                starts.push(start);
            }
            more |= !core.outbox.starts.is_empty();
            let stops = std::mem::take(&mut core.outbox.stops);
            let events = core.events.take(MANY);
            let (trouble, warning) = (core.events.take_trouble(), core.events.take_warning());
            let (jump, stall) = (core.events.take_jump(), core.events.take_stall());
            (starts, stops, events, trouble, warning, jump, stall, core.events.take_gates())
        };
        let definitions = self.definitions.lock().unwrap_or_else(PoisonError::into_inner).clone();
        list(&mut text, "starts", &starts, |text, start| {
            write_start(text, start, &definitions[start.kind as usize].queue);
        });
        if !starts.is_empty() {
            text.push_str("\"ids\":");
            write_ids(&mut text, starts.iter().map(|start| Some(&start.spec.id)));
            text.push(',');
        }
        list(&mut text, "stops", &stops, write_stop);
        let ends = self.take_ends(&mut more);
        list(&mut text, "ends", &ends, write_end);
        let now = (self.engine.date(), self.engine.now());
        if let Some(error) = trouble {
            text.push_str("\"trouble\":");
            write_error(&mut text, &error.into());
            text.push(',');
        }
        if let Some(warning) = warning {
            text.push_str("\"warning\":");
            quote(&mut text, &warning);
            text.push(',');
        }
        list(&mut text, "gates", &gates, |text, (name, state)| {
            text.push_str("{\"name\":");
            quote(text, name);
            let _ = write!(text, ",\"state\":\"{state}\"}}");
        });
        if let Some(by) = jump {
            let _ = write!(text, "\"clockJump\":{by},");
        }
        if let Some(stall) = &stall {
            text.push_str("\"stalled\":");
            write_stall(&mut text, stall, now);
            text.push(',');
        }
        list(&mut text, "events", &events, |text, event| write_event(text, event, now));
        more |= events.len() == MANY;
        let _ = write!(text, "\"more\":{}}}", u8::from(more));
        text
    }

    fn take_ends(&self, more: &mut bool) -> Vec<Notice> {
        let mut watch = self.engine.watch();
        let (mut ends, mut bytes) = (Vec::new(), 0);
        while bytes < FULL && ends.len() < MANY {
            let mut next = watch.take_notices(64);
            if next.is_empty() {
                break;
            }
            let size = |notice: &Notice| notice.outcome.as_ref().map_or(256, |output| output.len());
            bytes += next.iter().map(size).sum::<usize>();
            ends.append(&mut next);
        }
        *more |= watch.has_notices();
        ends
    }

    fn write_post(&self, text: &mut String) -> bool {
        let (acks, replies, logs) = {
            let mut inner = self.post.inner();
            let mut acks = std::mem::take(&mut inner.acks);
            for ack in &mut acks {
                inner.held.insert(ack.batch, std::mem::take(&mut ack.held));
            }
            (acks, std::mem::take(&mut inner.replies), Vec::from(std::mem::take(&mut inner.logs)))
        };
        list(text, "acks", &acks, write_ack);
        list(text, "logs", &logs, |text, record| text.push_str(record));
        list(text, "replies", &replies, |text, (number, reply)| match reply {
            Ok(json) => {
                let _ = write!(text, "[{number},0,{json}]");
            }
            Err(error) => {
                let _ = write!(text, "[{number},1,");
                write_error(text, error);
                text.push(']');
            }
        });
        false
    }
}

fn list<T>(text: &mut String, name: &str, items: &[T], mut write_item: impl FnMut(&mut String, &T)) {
    if items.is_empty() {
        return;
    }
    let _ = write!(text, "\"{name}\":[");
    for (at, item) in items.iter().enumerate() {
        if at > 0 {
            text.push(',');
        }
        write_item(text, item);
    }
    text.push_str("],");
}

/// `[batch, ids, [index of a task that was there before, ...], [[index, error], ...]]`
fn write_ack(text: &mut String, ack: &Ack) {
    let _ = write!(text, "[{},", ack.batch);
    write_ids(text, ack.tasks.iter().map(|task| task.as_ref().ok().map(|pushed| &pushed.id)));
    text.push_str(",[");
    let found =
        ack.tasks.iter().enumerate().filter(|(_, task)| task.as_ref().is_ok_and(|pushed| !pushed.created));
    for (n, (at, _)) in found.enumerate() {
        let _ = write!(text, "{}{at}", if n > 0 { "," } else { "" });
    }
    text.push_str("],[");
    let errors =
        ack.tasks.iter().enumerate().filter_map(|(at, task)| task.as_ref().err().map(|error| (at, error)));
    for (n, (at, error)) in errors.enumerate() {
        let _ = write!(text, "{}[{at},", if n > 0 { "," } else { "" });
        write_error(text, error);
        text.push(']');
    }
    text.push_str("]]");
}

/// One text where all ids were made by the engine and have its length; otherwise a list.
fn write_ids<'a>(text: &mut String, ids: impl Iterator<Item = Option<&'a TaskId>> + Clone) {
    let plain = |id: &TaskId| id.as_str().len() == TaskId::LENGTH && id.as_str().bytes().all(is_plain);
    if ids.clone().all(|id| id.is_some_and(plain)) {
        text.push('"');
        ids.flatten().for_each(|id| text.push_str(id.as_str()));
        text.push('"');
        return;
    }
    for (at, id) in ids.enumerate() {
        text.push(if at > 0 { ',' } else { '[' });
        match id {
            Some(id) => quote(text, id.as_str()),
            None => text.push_str("null"),
        }
    }
    text.push(']');
}

fn is_plain(byte: u8) -> bool {
    (0x20..0x7f).contains(&byte) && byte != b'"' && byte != b'\\'
}

/// `slot, run, kind, attempt, attempts, own, metadata, input`; own: 1 where the retry policy is the task's and not its
/// kind's, `[own, queue]` where the queue is not that of its kind either. One list for all starts, since a list for each
/// is garbage for the loop.
fn write_start(text: &mut String, start: &Start, queue: &str) {
    let Start { slot, run, kind, attempt, spec } = start;
    let metadata = spec.metadata.as_deref().unwrap_or("null");
    let (attempts, own) = (spec.retry.attempts, u8::from(spec.retry.own));
    let _ = write!(text, "{slot},{run},{kind},{attempt},{attempts},");
    if *spec.queue == *queue {
        let _ = write!(text, "{own}");
    } else {
        let _ = write!(text, "[{own},");
        quote(text, &spec.queue);
        text.push(']');
    }
    let _ = write!(text, ",{metadata},{}", spec.input);
}

/// `[slot, run, error]`, or `[slot, run, error, kind, attempt]` where the shim decides what follows the timeout.
fn write_stop(text: &mut String, (slot, run, stop): &(u32, u32, Stop)) {
    let error = match stop {
        Stop::Cancelled(reason) => TaskError::Cancelled(reason.clone()),
        Stop::Timeout(limit) | Stop::Asks { limit, .. } => TaskError::Timeout(*limit),
        Stop::Lost | Stop::Doubtful => TaskError::Lost(1),
    };
    let _ = write!(text, "[{slot},{run},");
    write_error(text, &error);
    if let Stop::Asks { kind, attempt, .. } = stop {
        let _ = write!(text, ",{kind},{attempt}");
    }
    text.push(']');
}

/// `token, 0, output` or `token, 1, [error, id]`: one list for all ends.
fn write_end(text: &mut String, Notice { token, id, outcome }: &Notice) {
    match outcome {
        Ok(output) => {
            let _ = write!(text, "{token},0,{output}");
        }
        Err(error) => {
            let _ = write!(text, "{token},1,[");
            write_error(text, error);
            if let Some(id) = id {
                text.push(',');
                quote(text, id.as_str());
            }
            text.push(']');
        }
    }
}

/// `{"code", "message", "name"?, "stack"?}`
pub(super) fn write_error(text: &mut String, error: &TaskError) {
    let (name, stack) = match error {
        TaskError::Failed(failure) => (Some(failure.name.as_str()), failure.stack.as_deref()),
        _ => (None, None),
    };
    let message = match error {
        TaskError::Failed(failure) => failure.message.clone(),
        other => other.to_string(),
    };
    text.push_str("{\"code\":");
    quote(text, error.code());
    text.push_str(",\"message\":");
    quote(text, &message);
    for (field, value) in [("name", name), ("stack", stack)] {
        if let Some(value) = value {
            let _ = write!(text, ",\"{field}\":");
            quote(text, value);
        }
    }
    text.push('}');
}

fn write_event(text: &mut String, event: &Event, (wall, mono): (u64, u64)) {
    let at = wall.saturating_sub(mono.saturating_sub(event.at));
    let _ = write!(text, "{{\"type\":\"{}\",\"id\":", event.what.as_str());
    quote(text, event.spec.id.as_str());
    text.push_str(",\"name\":");
    quote(text, &event.spec.name);
    text.push_str(",\"queue\":");
    quote(text, &event.spec.queue);
    let _ = write!(text, ",\"attempt\":{},\"at\":{at}", event.attempt);
    match &event.what {
        What::Completed { output, took } => {
            let _ = write!(text, ",\"duration\":{took},\"output\":{output}");
        }
        What::Failed { error, retry_in } => {
            text.push_str(",\"error\":");
            write_attempt(text, error);
            let _ = write!(text, ",\"willRetry\":{}", retry_in.is_some());
            if let Some(delay) = retry_in {
                let _ = write!(text, ",\"retryAt\":{}", at.saturating_add(*delay));
            }
        }
        _ => {}
    }
    text.push('}');
}

/// `{"blockedFor", "names", "task"?}`
fn write_stall(text: &mut String, stall: &Stall, (wall, mono): (u64, u64)) {
    let _ = write!(text, "{{\"blockedFor\":{},\"names\":[", stall.length);
    for (at, name) in stall.culprit.names.iter().enumerate() {
        text.push_str(if at > 0 { "," } else { "" });
        quote(text, name);
    }
    text.push(']');
    if let Some((spec, attempt)) = &stall.culprit.task {
        text.push_str(",\"task\":{\"id\":");
        quote(text, spec.id.as_str());
        text.push_str(",\"name\":");
        quote(text, &spec.name);
        text.push_str(",\"queue\":");
        quote(text, &spec.queue);
        let at = wall.saturating_sub(mono.saturating_sub(stall.began_at));
        let _ = write!(text, ",\"attempt\":{attempt},\"at\":{at}}}");
    }
    text.push('}');
}

/// `{"attempt", "at", "code", "name", "message", "stack"?}`
pub(super) fn write_attempt(text: &mut String, attempt: &Attempt) {
    let _ = write!(text, "{{\"attempt\":{},\"at\":{},\"code\":", attempt.number, attempt.at);
    quote(text, &attempt.code);
    for (field, value) in [
        ("name", Some(&attempt.name)),
        ("message", Some(&attempt.message)),
        ("stack", attempt.stack.as_ref()),
    ] {
        if let Some(value) = value {
            let _ = write!(text, ",\"{field}\":");
            quote(text, value);
        }
    }
    text.push('}');
}

/// Appends `value` as a JSON string.
pub(super) fn quote(text: &mut String, value: &str) {
    if value.bytes().all(is_plain) {
        text.push('"');
        text.push_str(value);
        text.push('"');
    } else {
        text.push_str(&serde_json::to_string(value).unwrap_or_else(|_| "\"\"".into()));
    }
}
