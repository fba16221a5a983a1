//! A batch of tasks to push: two lines each, the number of the kind with what differs from its defaults,
//! and the input. JSON text has no raw line breaks, so a line is found without parsing.

use std::sync::{Arc, PoisonError};

use napi::Result;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::engine::{Host, PushResult};
use crate::error::TaskError;
use crate::policy::RetryPolicy;
use crate::store::Push;
use crate::task::{Blockers, Conflict, Key, Name, OnBlockerFailure, Quiet, Spec, TaskId, When};
use crate::time::Millis;

use super::mail::Ack;
use super::options::Definition;
use super::session::Session;
use super::{malformed, refused};

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Enqueue {
    id: Option<Name>,
    queue: Option<Name>,
    priority: Option<i32>,
    timeout: Option<Millis>,
    retry: Option<RetryPolicy>,
    delay: Option<Millis>,
    run_at: Option<Millis>,
    key: Option<Name>,
    on_conflict: Option<Conflicts>,
    debounce: Option<Debounce>,
    throttle: Option<Millis>,
    group: Option<Name>,
    flow: Option<Name>,
    /// The id was made here, and nobody else has it.
    #[serde(default)]
    minted: bool,
    /// Blockers by their places in the batch; they come before those of `after`.
    #[serde(default)]
    refs: Vec<u32>,
    after: Option<Vec<Name>>,
    on_blocker_failure: Option<BlockerFailure>,
    expires_at: Option<Millis>,
    metadata: Option<Box<RawValue>>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Conflicts {
    Ignore,
    Replace,
    Error,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "camelCase")]
enum BlockerFailure {
    Cancel,
    Run,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Debounce {
    wait: Millis,
    max_wait: Millis,
}

impl Session {
    /// Pushes a batch, each task on its own or, where the first line is `*`, all or nothing; the answer comes
    /// by mail under this number. The text is read on a thread of the engine.
    pub fn enqueue(&self, batch: u32, size: u32, text: String) -> Result<()> {
        if self.engine.is_closing() {
            return Err(refused(&TaskError::Closed));
        }
        if size as usize > text.len() {
            return Err(malformed("more tasks than text"));
        }
        let definitions = self.definitions.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let max_waiting = self.max_queue;
        let pushes = move || read(&definitions, &text, size as usize, max_waiting);
        let (post, wake, engine) = (self.post.clone(), self.wake.clone(), Arc::downgrade(&self.engine));
        let reply = move |answers: std::result::Result<Vec<PushResult>, TaskError>| {
            let ack = Ack::new(batch, size as usize, answers);
            if let Some(engine) = engine.upgrade() {
                // In small portions: the loop of the host may wait for this lock.
                for tasks in ack.pushed().collect::<Vec<_>>().chunks(64) {
                    let mut watch = engine.watch();
                    tasks.iter().for_each(|task| watch.hold(task.id.clone(), task.created));
                }
            }
            post.acknowledge(ack);
            wake.wake();
        };
        self.engine.push(Box::new(pushes), Box::new(reply));
        Ok(())
    }
}

pub(super) type Definitions = Arc<Vec<Arc<Definition>>>;

fn read(
    definitions: &Definitions,
    text: &str,
    size: usize,
    max_waiting: Option<u64>,
) -> std::result::Result<Vec<Push>, TaskError> {
    let (together, text) = text.strip_prefix("*\n").map_or((false, text), |rest| (true, rest));
    let specs = read_specs(definitions, text.split('\n'), size)?;
    Ok(match together {
        true => vec![Push { max_waiting, ..Push::of(specs) }],
        false => specs.into_iter().map(|spec| Push { max_waiting, ..Push::of([spec]) }).collect(),
    })
}

/// Specs from pairs of lines, as many as they say, whose blockers may be others of them.
pub(super) fn read_specs<'a>(
    definitions: &Definitions,
    mut lines: impl Iterator<Item = &'a str>,
    size: usize,
) -> std::result::Result<Vec<Spec>, TaskError> {
    let (mut specs, mut tied) = (Vec::with_capacity(size), Vec::new());
    while let (Some(head), Some(input)) = (lines.next(), lines.next()) {
        let (mut spec, refs) = spec(definitions, head, input)?;
        // Tasks of a flow share its name.
        if let Some(flow) = specs.last().and_then(|last: &Spec| last.flow.as_ref())
            && spec.flow.as_ref() == Some(flow)
        {
            spec.flow = Some(flow.clone());
        }
        if !refs.is_empty() {
            tied.push((specs.len(), refs));
        }
        specs.push(spec);
    }
    for (at, refs) in tied {
        let ids = refs.iter().map(|place| specs.get(*place as usize).map(|spec| spec.id.clone()));
        let mut ids: Vec<TaskId> = ids
            .collect::<Option<_>>()
            .ok_or_else(|| TaskError::Engine("a malformed batch: no such place".into()))?;
        let blockers = specs[at]
            .blockers
            .get_or_insert_with(|| Blockers { ids: Vec::new(), on_failure: OnBlockerFailure::Cancel });
        ids.append(&mut blockers.ids);
        blockers.ids = ids;
    }
    for spec in &mut specs {
        spec.blockers = spec.blockers.take().filter(|blockers| !blockers.ids.is_empty());
    }
    Ok(specs)
}

/// A task, and the places of those of its blockers that come in the same batch.
fn spec(
    definitions: &Definitions,
    head: &str,
    input: &str,
) -> std::result::Result<(Spec, Vec<u32>), TaskError> {
    let defect = |what: &str| TaskError::Engine(format!("a malformed batch: {what}").into());
    let (kind, options) = head.split_once(' ').unwrap_or((head, ""));
    let definition = kind.parse().ok().and_then(|kind: usize| definitions.get(kind));
    let definition = definition.ok_or_else(|| defect("no such kind"))?;
    let mut spec = Spec {
        queue: definition.queue.clone(),
        priority: definition.priority,
        timeout: definition.timeout,
        ..Spec::new(definition.name.clone(), input)
    };
    if let Some(retry) = &definition.retry {
        spec.retry = retry.clone();
    }
    let mut refs = Vec::new();
    if !options.is_empty() {
        let mut options: Enqueue =
            serde_json::from_str(options).map_err(|error| defect(&error.to_string()))?;
        refs = std::mem::take(&mut options.refs);
        options.apply(&mut spec, definition);
    }
    Ok((spec, refs))
}

impl Enqueue {
    fn apply(self, spec: &mut Spec, definition: &Definition) {
        if let Some(id) = self.id {
            (spec.id, spec.minted) = (TaskId::from(&*id), self.minted);
        }
        spec.queue = self.queue.unwrap_or_else(|| definition.queue.clone());
        spec.priority = self.priority.unwrap_or(definition.priority);
        spec.timeout = self.timeout.or(definition.timeout);
        if let Some(retry) = self.retry {
            spec.retry = RetryPolicy { own: true, ..retry };
        }
        spec.when = match (self.delay, self.run_at) {
            (Some(delay), _) => When::After(delay),
            (None, Some(at)) => When::At(at),
            (None, None) => When::Now,
        };
        let quiet = match (self.debounce, self.throttle) {
            (Some(Debounce { wait, max_wait }), _) => Quiet::Debounce { wait, max_wait },
            (None, Some(time)) => Quiet::Throttle(time),
            (None, None) => Quiet::Off,
        };
        let conflict = match self.on_conflict {
            None | Some(Conflicts::Ignore) => Conflict::Ignore,
            Some(Conflicts::Replace) => Conflict::Replace,
            Some(Conflicts::Error) => Conflict::Refuse,
        };
        spec.key = self.key.map(|text| Key { text, conflict, quiet });
        let on_failure = match self.on_blocker_failure {
            None | Some(BlockerFailure::Cancel) => OnBlockerFailure::Cancel,
            Some(BlockerFailure::Run) => OnBlockerFailure::Run,
        };
        spec.blockers = self
            .after
            .filter(|ids| !ids.is_empty() || on_failure == OnBlockerFailure::Run)
            .map(|ids| Blockers { ids: ids.iter().map(|id| TaskId::from(&**id)).collect(), on_failure });
        (spec.group, spec.flow) = (self.group, self.flow);
        spec.expires_at = self.expires_at;
        spec.metadata = self.metadata.map(|text| text.get().into());
    }
}
