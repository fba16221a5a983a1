//! Rows of tasks: what a record is written as, and read back from.
//!
//! Invariants: a spec that is read back is the one that was pushed, but for a date to start (`run_at` has it)
//! and the input that a debounce has replaced; what cannot be read is corruption, never a panic.

use std::collections::HashMap;
use std::sync::Arc;

use rusqlite::types::Type;
use rusqlite::{Result, Row, Statement};
use serde::{Deserialize, Serialize};

use crate::store::NodeId;
use crate::task::{
    Attempt, Blockers, Cause, Conflict, Key, Name, OnBlockerFailure, Quiet, Record, RetryPolicy, Spec, State,
    Status, TaskId, When,
};
use crate::time::Millis;

use super::numbers::Numbered;

/// It has a unique key.
pub(super) const KEYED: u8 = 1;
/// Others may wait for it.
pub(super) const AWAITED: u8 = 2;
/// Its key was taken while it ran.
pub(super) const SUPERSEDED: u8 = 4;
/// Its id is the caller's.
pub(super) const GIVEN: u8 = 8;
/// A debounce has replaced its input.
pub(super) const SLID: u8 = 16;
/// It was ready when it was pushed, with nothing that could change its turn: after the cursor of its lane it
/// is ready without a row that says so.
pub(super) const PLAIN: u8 = 32;
/// There are notes of it.
pub(super) const NOTED: u8 = 64;

/// A task as the writer works on it.
#[derive(Clone, Debug)]
pub(super) struct Task {
    pub serial: i64,
    pub spec: Arc<Spec>,
    pub status: Status,
    pub lane: i64,
    pub place: i64,
    pub wait_no: i64,
    pub end_no: Option<i64>,
    pub expires_at: Option<Millis>,
    pub flags: u8,
}

impl Task {
    pub fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    pub fn bytes(&self) -> u64 {
        (self.spec.input.len() + self.status.output.as_ref().map_or(0, |output| output.len())) as u64
    }

    pub fn record(self) -> Record {
        Record { spec: self.spec, status: self.status }
    }
}

/// Names that rows give by number: lanes, retry policies, nodes.
pub(super) trait Names {
    /// Queue and kind.
    fn lane(&mut self, no: i64) -> Result<(Name, Name)>;
    /// A retry policy.
    fn retry(&mut self, no: i64) -> Result<RetryPolicy>;
    /// The id of a node.
    fn node(&mut self, no: i64) -> Result<NodeId>;
}

/// A row of `select_task!`.
pub(super) fn task(row: &Row<'_>, names: &mut dyn Names) -> Result<Task> {
    let (serial, lane, flags) = (row.get(0)?, row.get(2)?, row.get(3)?);
    let node: Option<i64> = row.get(30)?;
    let state = match (row.get::<_, Option<i64>>(11)?.unwrap_or(0), node) {
        (0, None) => State::Waiting,
        (0, Some(_)) => State::Running,
        (2, _) => State::Completed,
        (3, _) => State::Failed,
        (4, _) => State::Cancelled,
        (other, _) => return Err(broken(11, format!("there is no state {other}"))),
    };
    let pushed: i32 = row.get(4)?;
    let priority = row.get::<_, Option<i32>>(19)?.unwrap_or(pushed);
    let created_at = limit(row, 5)?.unwrap_or(0);
    let terms = Terms { flags, priority, retry: row.get(6)?, timeout: limit(row, 8)?, group: row.get(9)? };
    let id = TaskId::from(row.get_ref(1)?.as_str()?);
    let spec = terms.spec(id, lane, row.get(7)?, row.get_ref(10)?.as_str_or_null()?, names)?;
    let started_at = limit(row, 31)?;
    let status = Status {
        state,
        cause: match (state, row.get::<_, Option<i64>>(12)?) {
            (State::Running, _) => Some(Cause::Claim),
            (_, cause) => cause.map(cause_of).transpose()?,
        },
        priority,
        run_at: limit(row, 20)?.unwrap_or(created_at),
        blockers: number(row, 23)?,
        epoch: row.get::<_, Option<i64>>(29)?.or(row.get(13)?).unwrap_or(0) as u64,
        owner: node.map(|no| names.node(no)).transpose()?,
        failures: number(row, 24)?,
        losses: number(row, 25)?,
        cancel: row.get(27)?,
        superseded: flags & SUPERSEDED != 0,
        created_at,
        first_started_at: limit(row, 15)?.or(started_at),
        started_at: started_at.or(limit(row, 14)?),
        finished_at: limit(row, 16)?,
        output: row.get(18)?,
        attempts: match row.get_ref(28)?.as_str_or_null()? {
            None => Vec::new(),
            Some(text) => read_attempts(text)?,
        },
    };
    let place = row.get::<_, Option<i64>>(21)?.unwrap_or(serial);
    let wait_no = row.get::<_, Option<i64>>(22)?.unwrap_or(serial);
    let (end_no, expires_at) = (row.get(17)?, limit(row, 26)?);
    Ok(Task { serial, spec: Arc::new(spec), status, lane, place, wait_no, end_no, expires_at, flags })
}

fn number(row: &Row<'_>, at: usize) -> Result<u32> {
    Ok(row.get::<_, Option<u32>>(at)?.unwrap_or(0))
}

/// What a spec is made of, besides its texts.
pub(super) struct Terms {
    pub flags: u8,
    pub priority: i32,
    pub retry: i64,
    pub timeout: Option<Millis>,
    pub group: Option<Name>,
}

impl Terms {
    pub fn spec(
        self,
        id: TaskId,
        lane: i64,
        input: Arc<str>,
        extra: Option<&str>,
        names: &mut dyn Names,
    ) -> Result<Spec> {
        let (queue, name) = names.lane(lane)?;
        let mut spec = Spec {
            id,
            minted: self.flags & GIVEN == 0,
            name,
            queue,
            group: self.group,
            priority: self.priority,
            when: When::Now,
            input,
            key: None,
            blockers: None,
            flow: None,
            timeout: self.timeout,
            retry: names.retry(self.retry)?,
            expires_at: None,
            metadata: None,
        };
        if let Some(extra) = extra {
            let extra: Extra = serde_json::from_str(extra).map_err(|error| broken(10, error))?;
            extra.fill(&mut spec);
        }
        Ok(spec)
    }
}

/// What few specs have. The words are those of the public interface.
#[derive(Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Extra {
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<Name>,
    #[serde(skip_serializing_if = "Option::is_none")]
    on_conflict: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    debounce: Option<(Millis, Millis)>,
    #[serde(skip_serializing_if = "Option::is_none")]
    throttle: Option<Millis>,
    #[serde(skip_serializing_if = "Option::is_none")]
    after: Option<Vec<Arc<str>>>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    run_anyway: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    flow: Option<Name>,
    #[serde(skip_serializing_if = "Option::is_none")]
    delay: Option<Millis>,
    #[serde(skip_serializing_if = "Option::is_none")]
    run_at: Option<Millis>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<Millis>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<Arc<str>>,
}

const CONFLICTS: [Conflict; 3] = [Conflict::Ignore, Conflict::Replace, Conflict::Refuse];

/// The text of what few specs have; `None` for most.
pub(super) fn extra(spec: &Spec) -> Option<String> {
    let plain = spec.key.is_none() && spec.blockers.is_none() && spec.metadata.is_none();
    if plain && spec.flow.is_none() && spec.when == When::Now && spec.expires_at.is_none() {
        return None;
    }
    let key = spec.key.as_ref();
    let blockers = spec.blockers.as_ref();
    let extra = Extra {
        key: key.map(|key| key.text.clone()),
        on_conflict: key
            .and_then(|key| CONFLICTS.iter().position(|one| *one == key.conflict))
            .map(|at| at as u8),
        debounce: match key.map(|key| key.quiet) {
            Some(Quiet::Debounce { wait, max_wait }) => Some((wait, max_wait)),
            _ => None,
        },
        throttle: match key.map(|key| key.quiet) {
            Some(Quiet::Throttle(time)) => Some(time),
            _ => None,
        },
        after: blockers.map(|blockers| blockers.ids.iter().map(TaskId::to_text).collect()),
        flow: spec.flow.clone(),
        run_anyway: blockers.is_some_and(|blockers| blockers.on_failure == OnBlockerFailure::Run),
        delay: match spec.when {
            When::After(delay) => Some(delay),
            _ => None,
        },
        run_at: match spec.when {
            When::At(at) => Some(at),
            _ => None,
        },
        expires_at: spec.expires_at,
        metadata: spec.metadata.clone(),
    };
    serde_json::to_string(&extra).ok()
}

impl Extra {
    fn fill(self, spec: &mut Spec) {
        let quiet = match (self.debounce, self.throttle) {
            (Some((wait, max_wait)), _) => Quiet::Debounce { wait, max_wait },
            (None, Some(time)) => Quiet::Throttle(time),
            (None, None) => Quiet::Off,
        };
        let conflict =
            self.on_conflict.and_then(|at| CONFLICTS.get(usize::from(at)).copied()).unwrap_or_default();
        spec.key = self.key.map(|text| Key { text, conflict, quiet });
        let on_failure = if self.run_anyway { OnBlockerFailure::Run } else { OnBlockerFailure::Cancel };
        spec.blockers = self
            .after
            .map(|ids| Blockers { ids: ids.iter().map(|id| TaskId::from(&**id)).collect(), on_failure });
        spec.when = match (self.delay, self.run_at) {
            (Some(delay), _) => When::After(delay),
            (None, Some(at)) => When::At(at),
            (None, None) => When::Now,
        };
        (spec.expires_at, spec.metadata, spec.flow) = (self.expires_at, self.metadata, self.flow);
    }
}

/// One failed attempt, in an array to stay short: there are up to twenty.
type Told = (u32, Millis, String, String, String, Option<String>);

pub(super) fn write_attempts(attempts: &[Attempt]) -> Option<String> {
    let told = |attempt: &Attempt| -> Told {
        let Attempt { number, at, code, name, message, stack } = attempt.clone();
        (number, at, code, name, message, stack)
    };
    match attempts {
        [] => None,
        _ => serde_json::to_string(&attempts.iter().map(told).collect::<Vec<_>>()).ok(),
    }
}

fn read_attempts(text: &str) -> Result<Vec<Attempt>> {
    let told: Vec<Told> = serde_json::from_str(text).map_err(|error| broken(28, error))?;
    let attempt =
        |(number, at, code, name, message, stack)| Attempt { number, at, code, name, message, stack };
    Ok(told.into_iter().map(attempt).collect())
}

pub(super) fn number_of(cause: Cause) -> i64 {
    cause.number() as i64
}

fn cause_of(number: i64) -> Result<Cause> {
    usize::try_from(number)
        .ok()
        .and_then(|number| Cause::ALL.get(number))
        .copied()
        .ok_or_else(|| broken(12, format!("there is no cause {number}")))
}

/// A number as files keep it: they know no unsigned ones.
pub(super) fn signed(at: Millis) -> i64 {
    i64::try_from(at).unwrap_or(i64::MAX)
}

pub(super) fn limit(row: &Row<'_>, at: usize) -> Result<Option<Millis>> {
    row.get::<_, Option<i64>>(at).map(|date| date.map(|date| date.max(0) as Millis))
}

/// What a row says cannot be.
pub(super) fn broken(
    column: usize,
    why: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, Type::Text, why.into())
}

/// The first row of a statement, read.
pub(super) fn first<T>(
    statement: &mut Statement<'_>,
    params: impl rusqlite::Params,
    read: impl FnOnce(&Row<'_>) -> Result<T>,
) -> Result<Option<T>> {
    let mut rows = statement.query(params)?;
    rows.next()?.map(read).transpose()
}

/// Every row of a statement, read.
pub(super) fn all<T>(
    statement: &mut Statement<'_>,
    params: impl rusqlite::Params,
    mut read: impl FnMut(&Row<'_>) -> Result<T>,
) -> Result<Vec<T>> {
    let mut rows = statement.query(params)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(read(row)?);
    }
    Ok(found)
}

/// Texts that many rows share, by number.
pub(super) struct Shared<T>(HashMap<i64, T, Numbered>);

impl<T> Default for Shared<T> {
    fn default() -> Self {
        Self(HashMap::default())
    }
}

impl<T: Clone> Shared<T> {
    pub fn get(&mut self, no: i64, read: impl FnOnce() -> Result<Option<T>>) -> Result<T> {
        if let Some(known) = self.0.get(&no) {
            return Ok(known.clone());
        }
        let found = read()?.ok_or_else(|| broken(0, format!("number {no} is not in its table")))?;
        self.0.insert(no, found.clone());
        Ok(found)
    }

    pub fn forget(&mut self) {
        self.0.clear();
    }
}
