//! Specs and records as bytes.
//!
//! A spec is kept as one text that the scripts do not look into, but for its first four bytes, which say where
//! its input begins. What the scripts need stands packed beside it (`book.lua` has the form): a task is such a
//! packed text of its own, and everything that may be long is kept apart.

use std::sync::{Arc, LazyLock};

use redis::Value;

use super::wire::{Items, Reader, Writer, bytes, corrupt};
use crate::store::StoreError;
use crate::task::{
    Attempt, Blockers, Cause, Claimed, Conflict, Key, Name, OnBlockerFailure, Quiet, Record, Spec, State,
    Status, TaskId, When,
};
use crate::time::Millis;

/// Form of the text of a spec.
const VERSION: u64 = 1;

/// Names and ids are shorter than this, in bytes.
const MAX_NAME: usize = 255;

/// The latest date that fits: some 8900 years from now.
pub(super) const FAR: Millis = (1 << 48) - 1;

/// A spec with nothing special about it: its retry policy is kept as no text at all.
static PLAIN: LazyLock<Spec> = LazyLock::new(|| Spec::new("", ""));

const STATES: [State; 5] =
    [State::Waiting, State::Running, State::Completed, State::Failed, State::Cancelled];

/// Its number in the scripts, where 0 is none.
pub(super) fn cause_number(cause: Cause) -> u64 {
    cause.number() as u64 + 1
}

/// The cause with this number, `None` for 0.
pub(super) fn cause_of(number: u64) -> Result<Option<Cause>, StoreError> {
    match number {
        0 => Ok(None),
        _ => Cause::ALL.get(number as usize - 1).copied().map(Some).ok_or_else(|| corrupt("a cause")),
    }
}

/// A name goes behind a length of one byte.
pub(super) fn check_name(name: &str) -> Result<(), StoreError> {
    if name.len() <= MAX_NAME {
        return Ok(());
    }
    let size = name.len();
    Err(StoreError::Failed(
        format!("a name or an id has {size} bytes; at most {MAX_NAME} are allowed").into(),
    ))
}

fn check(spec: &Spec) -> Result<(), StoreError> {
    let blockers = spec.blockers.iter().flat_map(|blockers| &blockers.ids).map(TaskId::as_str);
    let key = spec.key.iter().map(|key| &*key.text);
    let own = [spec.id.as_str(), &*spec.name, &*spec.queue];
    own.into_iter()
        .chain(spec.group.as_deref())
        .chain(spec.flow.as_deref())
        .chain(key)
        .chain(blockers)
        .try_for_each(check_name)
}

/// The field of a queue and something in it.
fn in_queue(queue: &str, name: &str) -> Vec<u8> {
    let mut field = Writer::default();
    field.text(1, queue).0.extend_from_slice(name.as_bytes());
    field.0
}

/// When it may start: a debounced one after the quiet time.
fn starts(spec: &Spec) -> When {
    match spec.key.as_ref().map(|key| key.quiet) {
        Some(Quiet::Debounce { wait, .. }) => When::After(wait),
        _ => spec.when,
    }
}

/// What `admit.lua` reads of a spec, but for its text.
pub(super) struct Meta {
    /// How it comes to be a task.
    pub head: Vec<u8>,
    /// The tail of the packed task, from the date of its end on.
    pub tail: Vec<u8>,
}

/// `lane` is the number of its lane among those of the call; `leads`: others of the same workflow wait for it.
pub(super) fn meta(spec: &Spec, lane: usize, leads: bool) -> Result<Meta, StoreError> {
    check(spec)?;
    let mut head = Writer::default();
    let keyed = spec.key.is_some();
    let (grouped, flows) = (spec.group.is_some(), spec.flow.is_some());
    let flags =
        [spec.minted, keyed, spec.blockers.is_some(), grouped, spec.expires_at.is_some(), flows, leads];
    let flags = flags.iter().rev().fold(0, |flags, flag| flags << 1 | u64::from(*flag));
    let (kind, time) = match starts(spec) {
        When::Now => (0, 0),
        When::After(wait) => (1, wait),
        When::At(at) => (2, at),
    };
    head.number(1, flags).number(1, kind).number(6, time).number(2, lane as u64);
    head.0.extend_from_slice(&spec.priority.to_be_bytes());
    if let Some(key) = &spec.key {
        let conflict = match key.conflict {
            Conflict::Ignore => 0,
            Conflict::Replace => 1,
            Conflict::Refuse => 2,
        };
        let (quiet, wait, most) = match key.quiet {
            Quiet::Off => (0, 0, 0),
            Quiet::Debounce { wait, max_wait } => (1, wait, max_wait),
            Quiet::Throttle(time) => (2, time, 0),
        };
        head.number(1, conflict).number(1, quiet).number(6, wait).number(6, most);
    }
    if let Some(blockers) = &spec.blockers {
        let run_anyway = blockers.on_failure == OnBlockerFailure::Run;
        head.number(1, u64::from(run_anyway)).number(4, blockers.ids.len() as u64);
        blockers.ids.iter().for_each(|id| {
            head.text(1, id.as_str());
        });
    }
    let mut tail = Writer(Vec::with_capacity(96));
    tail.number(6, 0).number(6, spec.expires_at.map_or(0, |at| at.max(1))).number(5, spec.input.len() as u64);
    let blockers = spec.blockers.as_ref().map_or(0, |blockers| blockers.ids.len());
    tail.number(4, 0)
        .number(4, 0)
        .number(4, blockers as u64)
        .0
        .extend_from_slice(&spec.priority.to_be_bytes());
    tail.text(1, spec.group.as_deref().unwrap_or_default()).text(1, spec.id.as_str());
    let key = spec.key.as_ref().map_or_else(Vec::new, |key| in_queue(&spec.queue, &key.text));
    tail.text(1, spec.flow.as_deref().unwrap_or_default());
    tail.number(2, key.len() as u64).0.extend_from_slice(&key);
    Ok(Meta { head: head.0, tail: tail.0 })
}

/// The text that readers get of a spec.
pub(super) fn text(spec: &Spec) -> Result<Vec<u8>, StoreError> {
    let mut text = Writer(Vec::with_capacity(96 + spec.input.len()));
    text.number(4, 0).number(1, VERSION).number(1, u64::from(spec.minted));
    text.text(1, &spec.name).text(1, &spec.queue).text(1, spec.group.as_deref().unwrap_or_default());
    text.text(1, spec.flow.as_deref().unwrap_or_default());
    text.0.extend_from_slice(&spec.priority.to_be_bytes());
    match starts(spec) {
        When::Now => text.number(1, 0),
        When::After(wait) => text.number(1, 1).number(8, wait),
        When::At(at) => text.number(1, 2).number(8, at),
    };
    for date in [spec.timeout, spec.expires_at] {
        match date {
            None => text.number(1, 0),
            Some(date) => text.number(1, 1).number(8, date),
        };
    }
    match &spec.key {
        None => text.number(1, 0),
        Some(key) => {
            text.number(1, 1 + key.conflict as u64).text(1, &key.text);
            match key.quiet {
                Quiet::Off => text.number(1, 0),
                Quiet::Debounce { wait, max_wait } => text.number(1, 1).number(8, wait).number(8, max_wait),
                Quiet::Throttle(time) => text.number(1, 2).number(8, time),
            }
        }
    };
    text.text(4, spec.metadata.as_deref().unwrap_or_default());
    let retry = if spec.retry == PLAIN.retry {
        String::new()
    } else {
        serde_json::to_string(&spec.retry).map_err(|error| StoreError::Failed(error.to_string().into()))?
    };
    text.text(4, &retry);
    let header = text.0.len() as u32 - 4;
    text.0[..4].copy_from_slice(&header.to_be_bytes());
    text.0.extend_from_slice(spec.input.as_bytes());
    Ok(text.0)
}

/// Reads specs and records; names and policies that come again and again are shared.
#[derive(Default)]
pub(super) struct Decoder {
    latest: Option<Arc<Spec>>,
    latest_retry: Vec<u8>,
}

/// A packed task.
struct Packed<'a> {
    status: Status,
    id: &'a str,
}

impl Decoder {
    fn shared(&self, text: &str, of: impl Fn(&Spec) -> Option<&Name>) -> Name {
        match self.latest.as_deref().and_then(of) {
            Some(name) if **name == *text => name.clone(),
            _ => Name::from(text),
        }
    }

    fn spec(&mut self, id: &str, text: &[u8], blockers: &[u8]) -> Result<Arc<Spec>, StoreError> {
        let mut reader = Reader::new(text);
        let size = reader.number(4)? as usize;
        let mut header = Reader::new(reader.take(size)?);
        let version = header.number(1)?;
        if version != VERSION {
            return Err(StoreError::Version { found: version as u32, known: VERSION as u32 });
        }
        let minted = header.number(1)? == 1;
        let name = self.shared(header.text(1)?, |spec| Some(&spec.name));
        let queue = self.shared(header.text(1)?, |spec| Some(&spec.queue));
        let group = header.text(1)?;
        let group = (!group.is_empty()).then(|| self.shared(group, |spec| spec.group.as_ref()));
        let flow = header.text(1)?;
        let flow = (!flow.is_empty()).then(|| self.shared(flow, |spec| spec.flow.as_ref()));
        let priority = header.short()? as i32;
        let when = match header.number(1)? {
            0 => When::Now,
            1 => When::After(header.number(8)?),
            _ => When::At(header.number(8)?),
        };
        let mut date = || Ok(if header.number(1)? == 0 { None } else { Some(header.number(8)?) });
        let (timeout, expires_at) = (date()?, date()?);
        let key = key_of(&mut header)?;
        let metadata = Some(header.text(4)?).filter(|text| !text.is_empty()).map(Into::into);
        let retry_text = header.text(4)?.as_bytes();
        let retry = match &self.latest {
            _ if retry_text.is_empty() => PLAIN.retry.clone(),
            Some(latest) if self.latest_retry == retry_text => latest.retry.clone(),
            _ => serde_json::from_slice(retry_text).map_err(|_| corrupt("a retry policy"))?,
        };
        let input = std::str::from_utf8(reader.rest()).map_err(|_| corrupt("an input"))?.into();
        let (id, blockers) = (TaskId::from(id), blockers_of(blockers)?);
        let spec = Arc::new(Spec {
            id,
            minted,
            name,
            queue,
            group,
            priority,
            when,
            input,
            key,
            blockers,
            flow,
            timeout,
            retry,
            expires_at,
            metadata,
        });
        if self.latest_retry != retry_text {
            self.latest_retry = retry_text.to_vec();
        }
        self.latest = Some(spec.clone());
        Ok(spec)
    }

    /// A running task as its node sees it.
    pub fn claimed(
        &mut self,
        raw: &[u8],
        text: &[u8],
        blockers: &[u8],
        now: Millis,
    ) -> Result<Claimed, StoreError> {
        let Packed { status, id } = packed(raw)?;
        Ok(Claimed {
            spec: self.spec(id, text, blockers)?,
            epoch: status.epoch,
            priority: status.priority,
            failures: status.failures,
            losses: status.losses,
            elapsed: now.saturating_sub(status.first_started_at.unwrap_or(now)),
        })
    }

    /// What `record` of `read.lua` tells; nothing for an empty list.
    pub fn record(&mut self, value: Value) -> Result<Option<Record>, StoreError> {
        let mut parts = Items::of(value)?;
        if parts.len() == 0 {
            return Ok(None);
        }
        let (raw, text, output) = (parts.bytes()?, parts.bytes()?, parts.text()?);
        let (attempts, reason, blockers, owner) =
            (parts.bytes()?, parts.text()?, parts.bytes()?, parts.text()?);
        let Packed { mut status, id } = packed(&raw)?;
        let spec = self.spec(id, &text, &blockers)?;
        status.output = (status.state == State::Completed).then(|| output.into());
        status.attempts = attempts_of(&attempts)?;
        status.cancel = (!reason.is_empty()).then(|| reason.into());
        status.owner = (!owner.is_empty()).then(|| owner.into());
        Ok(Some(Record { spec, status }))
    }
}

fn key_of(header: &mut Reader<'_>) -> Result<Option<Key>, StoreError> {
    let conflict = match header.number(1)? {
        0 => return Ok(None),
        1 => Conflict::Ignore,
        2 => Conflict::Replace,
        _ => Conflict::Refuse,
    };
    let text = header.text(1)?.into();
    let quiet = match header.number(1)? {
        0 => Quiet::Off,
        1 => Quiet::Debounce { wait: header.number(8)?, max_wait: header.number(8)? },
        _ => Quiet::Throttle(header.number(8)?),
    };
    Ok(Some(Key { text, conflict, quiet }))
}

fn blockers_of(list: &[u8]) -> Result<Option<Blockers>, StoreError> {
    if list.is_empty() {
        return Ok(None);
    }
    let mut reader = Reader::new(list);
    let on_failure = if reader.number(1)? == 1 { OnBlockerFailure::Run } else { OnBlockerFailure::Cancel };
    let size = reader.number(4)?;
    let ids = (0..size).map(|_| reader.text(1).map(TaskId::from)).collect::<Result<_, _>>()?;
    Ok(Some(Blockers { ids, on_failure }))
}

fn packed(raw: &[u8]) -> Result<Packed<'_>, StoreError> {
    let mut fields = Reader::new(raw);
    let state = *STATES.get(fields.number(1)? as usize).ok_or_else(|| corrupt("a state"))?;
    let cause = cause_of(fields.number(1)?)?;
    let superseded = fields.number(1)? & 1 == 1;
    fields.take(8)?;
    let epoch = fields.number(7)?;
    let mut date = |size| fields.number(size).map(|at| Some(at).filter(|at| *at > 0));
    let (started_at, first_started_at) = (date(6)?, date(6)?);
    fields.take(14)?;
    let (created_at, run_at) = (fields.number(6)?, fields.number(6)?);
    let finished_at = Some(fields.number(6)?).filter(|at| *at > 0);
    fields.take(11)?;
    let (failures, losses, blockers) = (fields.short()?, fields.short()?, fields.short()?);
    let priority = fields.short()? as i32;
    let (_group, id) = (fields.text(1)?, fields.text(1)?);
    let status = Status {
        state,
        cause,
        priority,
        run_at,
        blockers,
        epoch,
        owner: None,
        failures,
        losses,
        cancel: None,
        superseded,
        created_at,
        first_started_at,
        started_at,
        finished_at,
        output: None,
        attempts: Vec::new(),
    };
    Ok(Packed { status, id })
}

/// The id and the status of a packed task, without what is kept apart.
pub(super) fn status(raw: &[u8]) -> Result<(TaskId, Status), StoreError> {
    packed(raw).map(|packed| (TaskId::from(packed.id), packed.status))
}

/// What is said of a failed attempt; its number and its time stand before it.
pub(super) fn attempt_text(attempt: &Attempt) -> Vec<u8> {
    let mut text = Writer::default();
    text.text(4, &attempt.code).text(4, &attempt.name).text(4, &attempt.message);
    if let Some(stack) = &attempt.stack {
        text.text(4, stack);
    }
    text.0
}

fn attempts_of(frames: &[u8]) -> Result<Vec<Attempt>, StoreError> {
    let (mut reader, mut attempts) = (Reader::new(frames), Vec::new());
    while !reader.is_empty() {
        let (at, number) = (reader.number(6)?, reader.short()?);
        let size = reader.number(4)? as usize;
        let mut text = Reader::new(reader.take(size)?);
        let mut part = || text.text(4).map(str::to_owned);
        let (code, name, message) = (part()?, part()?, part()?);
        let stack = if text.is_empty() { None } else { Some(text.text(4)?.to_owned()) };
        attempts.push(Attempt { number, at, code, name, message, stack });
    }
    Ok(attempts)
}

/// The bytes of an item that may be missing.
pub(super) fn optional(value: Value) -> Result<Vec<u8>, StoreError> {
    match value {
        Value::Nil => Ok(Vec::new()),
        other => bytes(other),
    }
}
