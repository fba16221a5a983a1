//! Questions and orders that are rare: one JSON text each, answered by mail under their number.

use std::fmt::Write;
use std::sync::{Arc, PoisonError, Weak};

use napi::Result;
use serde::Deserialize;

use crate::engine::metrics::Cost;
use crate::engine::{Engine, Hold, Host};
use crate::error::TaskError;
use crate::store::{Amend, Amended, Counts, Filter, Found, Node, Query, Target};
use crate::task::{Cause, Name, Record, State, TaskId, Text, View};
use crate::time::Millis;

use super::mail::{Post, quote, write_attempt};
use super::malformed;
use super::schedule::{Definitions, Order, carry_out};
use super::session::Session;
use super::workflow::{self, write_records};

#[derive(Deserialize)]
#[serde(tag = "op", rename_all = "camelCase", rename_all_fields = "camelCase")]
enum Request {
    Get { id: Name },
    List { filter: Filters },
    Counts { queue: Option<Name> },
    Amend { ids: Option<Vec<Name>>, filter: Option<Filters>, change: Change },
    Pause { queue: Name, paused: bool },
    Nodes,
    Schedule { order: Order },
    Steps { slot: u32, run: u32 },
    Step { slot: u32, run: u32, key: Name, value: Text },
    Results { slot: u32, run: u32 },
    Logs { id: Name },
    Follow { id: Name, seen: Option<Text> },
    Flow { id: Name },
    FlowEnded { flow: Name },
    RetryFlow { flow: Name },
    Metrics(Process),
    MetricsText(Process),
    Doctor,
    Start,
    Idle,
    IsIdle,
}

/// What JavaScript knows better.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Process {
    cpu_seconds: f64,
    rss_bytes: u64,
}

impl From<Process> for Cost {
    fn from(process: Process) -> Self {
        Self { cpu_seconds: Some(process.cpu_seconds), rss_bytes: Some(process.rss_bytes) }
    }
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
        let definitions = self.definitions.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let work = async move {
            let reply = answer(engine, &post, &definitions, request).await;
            post.reply(number, reply);
            wake.wake();
        };
        crate::engine::runtime().spawn(self.engine.time().attend(work));
        Ok(())
    }
}

/// The engine is held only while it is asked: a question must not keep it from ending.
async fn answer(
    engine: Weak<Engine>,
    post: &Post,
    definitions: &Definitions,
    request: Request,
) -> std::result::Result<Text, TaskError> {
    let engine = engine.upgrade().ok_or(TaskError::Closed)?;
    match request {
        Request::Get { id } => {
            let Found { now, records } = engine.get(vec![TaskId::from(&*id)]).await?;
            let mut text = String::new();
            match records.into_iter().flatten().next() {
                Some(record) => write_records(&mut text, &[record], now, &engine).await?,
                None => text.push_str("null"),
            }
            Ok(text.into())
        }
        Request::List { filter } => {
            let (limit, cursor) = (filter.limit.unwrap_or(100), filter.cursor.clone());
            let page = engine.list(Query { filter: filter.into(), limit, cursor }).await?;
            let mut text = String::from("{\"records\":[");
            write_records(&mut text, &page.records, page.now, &engine).await?;
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
            let Amended { changed, .. } = match (target, change) {
                (Target::Ids(ids), Change::Retry) => engine.retry(ids).await?,
                (target, change) => engine.amend(target, change.into()).await?,
            };
            Ok(changed.len().to_string().into())
        }
        Request::Pause { queue, paused } => {
            engine.set_queue_paused(&queue, paused).await?;
            Ok("null".into())
        }
        Request::Steps { slot, run } => workflow::steps(&engine, slot, run).await,
        Request::Step { slot, run, key, value } => {
            engine.note_step(slot, run, key, value).await?;
            Ok("null".into())
        }
        Request::Results { slot, run } => workflow::results(&engine, slot, run).await,
        Request::Logs { id } => workflow::logs(&engine, id).await,
        Request::Follow { id, seen } => workflow::follow(&engine, id, seen).await,
        Request::Flow { id } => workflow::flow(&engine, id).await,
        Request::FlowEnded { flow } => {
            engine.flow_ended(&flow).await?;
            Ok("null".into())
        }
        Request::RetryFlow { flow } => Ok(engine.retry_flow(&flow).await?.changed.len().to_string().into()),
        Request::Start => {
            engine.open().await?;
            Ok("null".into())
        }
        Request::Nodes => Ok(nodes(&engine.nodes().await?).into()),
        Request::Schedule { order } => carry_out(&engine, definitions, post, order).await,
        Request::Metrics(process) => {
            let metrics = engine.metrics(process.into()).await?;
            Ok(super::metrics::to_json(metrics).into())
        }
        Request::MetricsText(process) => {
            let mut text = String::new();
            quote(&mut text, &engine.metrics_text(process.into()).await);
            Ok(text.into())
        }
        Request::Doctor => {
            let report = engine.examine().await;
            Ok(serde_json::to_string(&report).expect("plain values under text keys").into())
        }
        Request::IsIdle => Ok(if engine.is_idle().await? { "true" } else { "false" }.into()),
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

/// One record as people see it.
pub(super) fn write_record(
    text: &mut String,
    record: &Record,
    progress: Option<&str>,
    awaited: &[&TaskId],
    now: Millis,
    engine: &Engine,
) {
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
    // One that expired was claimed at most, and has never begun.
    let started_at = status.started_at.filter(|_| status.cause != Some(Cause::Expire));
    for (field, at) in [("startedAt", started_at), ("finishedAt", status.finished_at)] {
        if let Some(at) = at {
            let _ = write!(text, ",\"{field}\":{at}");
        }
    }
    if let Some(progress) = progress {
        let _ = write!(text, ",\"progress\":{progress}");
    }
    if let Some(flow) = &spec.flow {
        text.push_str(",\"flow\":");
        quote(text, flow);
    }
    if let Some(blockers) = &spec.blockers {
        text.push_str(",\"after\":[");
        for (at, id) in blockers.ids.iter().enumerate() {
            text.push_str(if at > 0 { "," } else { "" });
            quote(text, id.as_str());
        }
        text.push(']');
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
        for (at, id) in awaited.iter().enumerate() {
            text.push_str(if at > 0 { "," } else { ",\"tasks\":[" });
            quote(text, id.as_str());
        }
        text.push_str(if awaited.is_empty() { "" } else { "]" });
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
