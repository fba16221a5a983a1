//! Questions and orders that are rare: one JSON text each, answered by mail under their number.

use std::fmt::Write;
use std::sync::{Arc, Weak};

use napi::Result;
use serde::Deserialize;

use crate::engine::{Engine, Hold, Host};
use crate::error::TaskError;
use crate::store::{Amend, Amended, Counts, Filter, Found, Node, Query, Target};
use crate::task::{Name, Record, State, TaskId, Text, View};
use crate::time::Millis;

use super::mail::{quote, write_attempt};
use super::malformed;
use super::session::Session;

#[derive(Deserialize)]
#[serde(tag = "op", rename_all = "camelCase", rename_all_fields = "camelCase")]
enum Request {
    Get { id: Name },
    List { filter: Filters },
    Counts { queue: Option<Name> },
    Amend { ids: Option<Vec<Name>>, filter: Option<Filters>, change: Change },
    Pause { queue: Name, paused: bool },
    Nodes,
    Start,
    Idle,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Filters {
    state: Vec<Name>,
    queue: Option<Name>,
    name: Option<Name>,
    group: Option<Name>,
    flow: Option<Name>,
    search: Option<Name>,
    created_before: Option<Millis>,
    created_after: Option<Millis>,
    limit: Option<usize>,
    cursor: Option<Name>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
enum Change {
    Cancel(Name),
    Retry,
    Remove,
    Reschedule(Millis),
    Promote,
    Prioritise(i32),
}

impl Session {
    pub fn request(&self, number: u32, text: &str) -> Result<()> {
        let request: Request = serde_json::from_str(text).map_err(malformed)?;
        let engine = Arc::downgrade(&self.engine);
        let (post, wake) = (self.post.clone(), self.wake.clone());
        crate::engine::runtime().spawn(async move {
            let reply = answer(engine, request).await;
            post.reply(number, reply);
            wake.wake();
        });
        Ok(())
    }
}

/// The engine is held only while it is asked: a question must not keep it from ending.
async fn answer(engine: Weak<Engine>, request: Request) -> std::result::Result<Text, TaskError> {
    let engine = engine.upgrade().ok_or(TaskError::Closed)?;
    match request {
        Request::Get { id } => {
            let Found { now, records } = engine.get(vec![TaskId::from(&*id)]).await?;
            let mut text = String::new();
            match records.into_iter().flatten().next() {
                Some(record) => write_record(&mut text, &record, now, &engine),
                None => text.push_str("null"),
            }
            Ok(text.into())
        }
        Request::List { filter } => {
            let (limit, cursor) = (filter.limit.unwrap_or(100), filter.cursor.clone());
            let page = engine.list(Query { filter: filter.into(), limit, cursor }).await?;
            let mut text = String::from("{\"records\":[");
            for (at, record) in page.records.iter().enumerate() {
                text.push_str(if at > 0 { "," } else { "" });
                write_record(&mut text, record, page.now, &engine);
            }
            text.push_str("],\"cursor\":");
            match &page.cursor {
                Some(cursor) => quote(&mut text, cursor),
                None => text.push_str("null"),
            }
            text.push('}');
            Ok(text.into())
        }
        Request::Counts { queue } => Ok(counts(&engine.counts(queue).await?).into()),
        Request::Amend { ids, filter, change } => {
            let target = match (ids, filter) {
                (Some(ids), _) => Target::Ids(ids.iter().map(|id| TaskId::from(&**id)).collect()),
                (None, filter) => Target::Filter(filter.unwrap_or_default().into()),
            };
            let Amended { changed, .. } = engine.amend(target, change.into()).await?;
            Ok(changed.len().to_string().into())
        }
        Request::Pause { queue, paused } => {
            engine.set_queue_paused(&queue, paused).await?;
            Ok("null".into())
        }
        Request::Start => {
            engine.open().await?;
            Ok("null".into())
        }
        Request::Nodes => Ok(nodes(&engine.nodes().await?).into()),
        Request::Idle => {
            engine.idle().await?;
            Ok("null".into())
        }
    }
}

impl From<Filters> for Filter {
    fn from(filter: Filters) -> Self {
        Self {
            views: filter.state.iter().filter_map(|word| View::from_word(word)).collect(),
            queue: filter.queue,
            name: filter.name,
            group: filter.group,
            flow: filter.flow,
            created_before: filter.created_before,
            created_after: filter.created_after,
            search: filter.search,
        }
    }
}

impl From<Change> for Amend {
    fn from(change: Change) -> Self {
        match change {
            Change::Cancel(reason) => Amend::Cancel(reason),
            Change::Retry => Amend::Retry,
            Change::Remove => Amend::Remove,
            Change::Reschedule(at) => Amend::Reschedule(at),
            Change::Promote => Amend::Promote,
            Change::Prioritise(priority) => Amend::Prioritise(priority),
        }
    }
}

fn nodes(nodes: &[Node]) -> String {
    let mut text = String::from("[");
    for (at, node) in nodes.iter().enumerate() {
        text.push_str(if at > 0 { ",{\"id\":" } else { "{\"id\":" });
        quote(&mut text, &node.id);
        text.push_str(",\"host\":");
        quote(&mut text, &node.host);
        let (pid, running, beat_at) = (node.pid, node.running, node.beat_at);
        let _ = write!(text, ",\"pid\":{pid},\"running\":{running},\"lastBeat\":{beat_at}}}");
    }
    text.push(']');
    text
}

fn counts(counts: &Counts) -> String {
    let fields: Vec<String> =
        View::ALL.iter().map(|view| format!("\"{}\":{}", view.as_str(), counts.of(*view))).collect();
    format!("{{{}}}", fields.join(","))
}

fn write_record(text: &mut String, record: &Record, now: Millis, engine: &Engine) {
    let Record { spec, status } = record;
    text.push_str("{\"id\":");
    quote(text, spec.id.as_str());
    text.push_str(",\"name\":");
    quote(text, &spec.name);
    text.push_str(",\"queue\":");
    quote(text, &spec.queue);
    let view = status.view(now);
    let _ = write!(
        text,
        ",\"state\":\"{}\",\"priority\":{},\"attempt\":{},\"maxAttempts\":{},\"losses\":{},\"input\":{}",
        view.as_str(),
        status.priority,
        status.attempt().min(spec.retry.attempts),
        spec.retry.attempts,
        status.losses,
        spec.input
    );
    if let Some(output) = &status.output {
        let _ = write!(text, ",\"output\":{output}");
    }
    if let (Some(reason), true) = (&status.cancel, status.state == State::Cancelled) {
        text.push_str(",\"reason\":");
        quote(text, reason);
    }
    text.push_str(",\"errors\":[");
    for (at, attempt) in status.attempts.iter().enumerate() {
        text.push_str(if at > 0 { "," } else { "" });
        write_attempt(text, attempt);
    }
    let _ = write!(text, "],\"createdAt\":{},\"runAt\":{}", status.created_at, status.run_at);
    for (field, at) in [("startedAt", status.started_at), ("finishedAt", status.finished_at)] {
        if let Some(at) = at {
            let _ = write!(text, ",\"{field}\":{at}");
        }
    }
    if let Some(group) = &spec.group {
        text.push_str(",\"group\":");
        quote(text, group);
    }
    let _ = write!(text, ",\"metadata\":{}", spec.metadata.as_deref().unwrap_or("{}"));
    if let Some(hold) = held_by(record, view, now, engine) {
        let _ = write!(text, ",\"waitingFor\":{{\"reason\":\"{}\"", hold.reason);
        if let Some(name) = hold.name {
            text.push_str(",\"name\":");
            quote(text, &name);
        }
        if let Some(time) = hold.opens_in {
            let _ = write!(text, ",\"until\":{}", now.saturating_add(time));
        }
        text.push('}');
    }
    text.push('}');
}

/// What holds a task that has not started.
fn held_by(record: &Record, view: View, now: Millis, engine: &Engine) -> Option<Hold> {
    let Record { spec, status } = record;
    let plain = |reason| Hold { reason, name: None, opens_in: None };
    let mut core = engine.core();
    match view {
        View::Scheduled => Some(Hold { opens_in: Some(status.run_at.saturating_sub(now)), ..plain("time") }),
        View::Blocked => Some(plain("blocker")),
        View::Waiting if core.is_paused(&spec.queue) => {
            Some(Hold { name: Some(spec.queue.as_ref().into()), ..plain("pause") })
        }
        View::Waiting if !core.can_run(&spec.name) => {
            Some(Hold { name: Some(spec.name.as_ref().into()), ..plain("no-handler") })
        }
        View::Waiting => {
            Some(core.holds(&spec.name, &spec.queue, engine.now()).unwrap_or(plain("concurrency")))
        }
        _ => None,
    }
}
