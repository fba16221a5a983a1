//! A filter as the condition of a statement. Texts of users are bound, never written into it.

use rusqlite::types::Value;
use rusqlite::{Connection, Result, params_from_iter};

use crate::store::Filter;
use crate::store::query::has_text;
use crate::task::{Name, View};
use crate::time::Millis;

use super::ledger::Ledger;
use super::row::{self, Names, Task, signed};
use super::statements::select_task;

/// A filter, ready to be asked with.
pub(super) struct Chosen {
    /// After `WHERE`, without the lanes.
    pub condition: String,
    pub values: Vec<Value>,
    /// The lanes; `None`: all.
    pub lanes: Option<Vec<i64>>,
    text: Option<String>,
}

impl Chosen {
    pub fn new(filter: &Filter, lanes: Option<Vec<i64>>, now: Millis) -> Self {
        let (mut condition, mut values) = (String::from("1"), Vec::new());
        if !filter.views.is_empty() {
            let views: Vec<String> = filter.views.iter().map(|view| condition_of(*view, now)).collect();
            condition.push_str(&format!(" AND ({})", views.join(" OR ")));
        }
        let mut and = |text: &str, value: Value| {
            condition.push_str(text);
            values.push(value);
        };
        if let Some(group) = &filter.group {
            and(" AND t.grp = ?", Value::Text(group.to_string()));
        }
        if let Some(flow) = &filter.flow {
            and(" AND t.flow = ?", Value::Text(flow.to_string()));
        }
        if let Some(at) = filter.created_before {
            and(" AND t.created_at < ?", Value::Integer(signed(at)));
        }
        if let Some(at) = filter.created_after {
            and(" AND t.created_at > ?", Value::Integer(signed(at)));
        }
        Self { condition, values, lanes, text: filter.text() }
    }

    pub fn of(ledger: &mut Ledger<'_>, filter: &Filter) -> Result<Self> {
        let lanes = lanes_of(ledger.db, filter.queue.as_ref(), filter.name.as_ref())?;
        Ok(Self::new(filter, lanes, ledger.now))
    }

    /// Tasks that fit, in the order of their creation or against it, after one number up to another; at most `max`.
    pub fn batch(
        &self,
        ledger: &mut Ledger<'_>,
        (after, upto): (i64, i64),
        backward: bool,
        max: usize,
    ) -> Result<Vec<Task>> {
        let (beyond, within, order) = if backward { ("<", ">=", "DESC") } else { (">", "<=", "ASC") };
        let lanes = match &self.lanes {
            None => String::new(),
            Some(lanes) => format!(" AND t.lane IN ({})", list(lanes)),
        };
        let sql = format!(
            "{} WHERE t.serial {beyond} ? AND t.serial {within} ?{lanes} AND {} ORDER BY t.serial {order} LIMIT {max}",
            select_task!(""),
            self.condition
        );
        let mut statement = ledger.db.prepare_cached(&sql)?;
        let bounds = [Value::Integer(after), Value::Integer(upto)];
        let (_, mut names) = ledger.split();
        let mut rows = statement.query(params_from_iter(bounds.iter().chain(&self.values)))?;
        let mut found = Vec::new();
        while let Some(row) = rows.next()? {
            found.push(row::task(row, &mut names)?);
        }
        Ok(found)
    }

    /// Whether the text that is searched for is in a task.
    pub fn is_in(&self, task: &Task) -> bool {
        self.text.as_ref().is_none_or(|text| has_text(&task.spec, &task.status, text))
    }

    pub fn searches(&self) -> bool {
        self.text.is_some()
    }
}

/// The lanes of a queue, of a kind, or of both; `None`: every lane.
pub(super) fn lanes_of(
    db: &Connection,
    queue: Option<&Name>,
    name: Option<&Name>,
) -> Result<Option<Vec<i64>>> {
    if queue.is_none() && name.is_none() {
        return Ok(None);
    }
    let sql = "SELECT no FROM lane WHERE (?1 IS NULL OR queue = ?1) AND (?2 IS NULL OR name = ?2)";
    let lanes =
        row::all(&mut *db.prepare_cached(sql)?, [queue.map(|q| &**q), name.map(|n| &**n)], |row| row.get(0));
    lanes.map(Some)
}

pub(super) fn list(numbers: &[i64]) -> String {
    numbers.iter().map(i64::to_string).collect::<Vec<_>>().join(",")
}

/// A row of `select_task!` is shown like this at `now`.
pub(super) fn condition_of(view: View, now: Millis) -> String {
    let now = signed(now);
    let waits = "coalesce(s.state, 0) = 0 AND r.serial IS NULL AND coalesce(s.blockers, 0)";
    match view {
        View::Scheduled => format!("{waits} = 0 AND coalesce(s.run_at, 0) > {now}"),
        View::Waiting => format!("{waits} = 0 AND coalesce(s.run_at, 0) <= {now}"),
        View::Blocked => format!("{waits} > 0"),
        View::Running => "r.serial IS NOT NULL".into(),
        View::Completed => "s.state = 2".into(),
        View::Failed => "s.state = 3".into(),
        View::Cancelled => "s.state = 4".into(),
    }
}

/// Names as a reader looks them up: from its connection, for one answer.
pub(super) struct Dictionary<'d> {
    db: &'d Connection,
    lanes: row::Shared<(Name, Name)>,
    retries: row::Shared<crate::task::RetryPolicy>,
    nodes: row::Shared<crate::store::NodeId>,
}

impl<'d> Dictionary<'d> {
    pub fn new(db: &'d Connection) -> Self {
        Self { db, lanes: Default::default(), retries: Default::default(), nodes: Default::default() }
    }
}

impl Names for Dictionary<'_> {
    fn lane(&mut self, no: i64) -> Result<(Name, Name)> {
        let db = self.db;
        self.lanes.get(no, || {
            let mut sql = db.prepare_cached("SELECT queue, name FROM lane WHERE no = ?1")?;
            row::first(&mut sql, [no], |row| Ok((row.get(0)?, row.get(1)?)))
        })
    }

    fn retry(&mut self, no: i64) -> Result<crate::task::RetryPolicy> {
        let db = self.db;
        self.retries.get(no, || {
            let mut sql = db.prepare_cached("SELECT policy FROM retry WHERE no = ?1")?;
            row::first(&mut sql, [no], |row| {
                serde_json::from_str(row.get_ref(0)?.as_str()?).map_err(|error| row::broken(0, error))
            })
        })
    }

    fn node(&mut self, no: i64) -> Result<crate::store::NodeId> {
        let db = self.db;
        self.nodes.get(no, || {
            let mut sql = db.prepare_cached("SELECT id FROM node WHERE no = ?1")?;
            row::first(&mut sql, [no], |row| row.get::<_, std::sync::Arc<str>>(0))
        })
    }
}
