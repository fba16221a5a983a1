//! `get`, `list` and `counts`, and the scan that lists and amendments stand on.

use std::sync::Arc;
use std::time::{Duration, Instant};

use redis::Value;

use super::codec::Decoder;
use super::link::Link;
use super::nodes::ask;
use super::script::READ;
use super::wire::Items;
use crate::store::query::{MARK, has_text, no_cursor};
use crate::store::{Counts, Filter, Found, Page, Query, StoreError};
use crate::task::{TaskId, View};
use crate::time::Millis;

/// Ids of one call.
const CHUNK: usize = 500;

/// Records that one call brings, which may be long; and chunks of 100 tasks that it looks at.
const RECORDS: usize = 200;
const CHUNKS: usize = 50;

/// How long a page is looked for: after that it is what was found, and says where to go on.
const PATIENCE: Duration = Duration::from_secs(1);

pub(super) async fn get(link: &Arc<Link>, ids: &[TaskId]) -> Result<Found, StoreError> {
    let mut found = Found::default();
    let mut decoder = Decoder::default();
    // Without ids there is still the clock to be told.
    let chunks = if ids.is_empty() { vec![ids] } else { ids.chunks(CHUNK).collect() };
    for chunk in chunks {
        let mut command = link.command(&READ, chunk.len() + 1, 40 * chunk.len());
        command.arg("get");
        chunk.iter().for_each(|id| {
            command.arg(id.as_str());
        });
        let mut answer = ask(link, &READ, command).await?;
        found.now = answer.number()? as Millis;
        found.records.extend(answer.items()?.map(|record| decoder.record(record))?);
    }
    Ok(found)
}

/// Which tasks a scan is after, as the script reads it.
pub(super) struct Scan {
    forward: bool,
    views: String,
    group: String,
    flow: String,
    before: Option<Millis>,
    after: Option<Millis>,
    is_brief: bool,
    lanes: Option<Vec<String>>,
}

/// One portion of a scan.
pub(super) struct Portion {
    pub now: Millis,
    /// Where it goes on; empty at the end.
    pub next: String,
    /// Serials and what is told of their tasks.
    pub found: Vec<(String, Value)>,
}

/// The views of a filter, by their numbers in the scripts.
pub(super) fn views_of(filter: &Filter) -> String {
    let digit = |view: &View| char::from(b'1' + *view as u8);
    filter.views.iter().map(digit).collect()
}

impl Scan {
    /// A scan in the order of creation, or against it. A brief one tells packed tasks only.
    pub async fn new(
        link: &Arc<Link>,
        filter: &Filter,
        forward: bool,
        is_brief: bool,
    ) -> Result<Self, StoreError> {
        let lanes = match (&filter.queue, &filter.name) {
            (None, None) => None,
            (queue, name) => {
                let mut command = link.command(&READ, 1, 32);
                command.arg("lanes");
                let all =
                    ask(link, &READ, command).await?.map(|item| Items::of(item)?.map(super::wire::text))?;
                let fits = |lane: &Vec<String>| {
                    queue.as_ref().is_none_or(|queue| **queue == *lane[1])
                        && name.as_ref().is_none_or(|name| **name == *lane[2])
                };
                Some(all.into_iter().filter(fits).map(|mut lane| lane.swap_remove(0)).collect())
            }
        };
        Ok(Self {
            forward,
            views: views_of(filter),
            group: filter.group.as_deref().unwrap_or_default().into(),
            flow: filter.flow.as_deref().unwrap_or_default().into(),
            before: filter.created_before,
            after: filter.created_after,
            is_brief,
            lanes,
        })
    }

    /// Looks on from `cursor`, for at most `max` tasks.
    pub async fn next(&self, link: &Arc<Link>, cursor: &str, max: usize) -> Result<Portion, StoreError> {
        let date = |date: Option<Millis>| date.map_or_else(String::new, |date| date.to_string());
        let mut command = link.command(&READ, 16, 256);
        command.arg("scan").arg(if self.forward { "+" } else { "-" }).arg(cursor);
        command.arg(max).arg(if max == 0 { 0 } else { CHUNKS }).arg(&self.views).arg(&self.group);
        command.arg(date(self.before)).arg(date(self.after)).arg(u8::from(self.is_brief)).arg(&self.flow);
        match &self.lanes {
            None => command.arg("-1"),
            Some(lanes) => command.arg(lanes.len()).arg(lanes),
        };
        let mut answer = ask(link, &READ, command).await?;
        let (now, next) = (answer.number()? as Millis, answer.text()?);
        let found = answer.items()?.map(|item| {
            let mut item = Items::of(item)?;
            Ok((item.text()?, item.value()?))
        })?;
        Ok(Portion { now, next, found })
    }
}

pub(super) async fn list(link: &Arc<Link>, query: &Query) -> Result<Page, StoreError> {
    let began = Instant::now();
    let mut cursor = match &query.cursor {
        None => String::new(),
        Some(cursor) => serial_at(link, cursor).await?,
    };
    let scan = Scan::new(link, &query.filter, false, false).await?;
    let text = query.filter.text();
    let mut page = Page::default();
    let mut serials: Vec<String> = Vec::new();
    let mut decoder = Decoder::default();
    if query.limit == 0 {
        page.now = scan.next(link, &cursor, 0).await?.now;
        return Ok(page);
    }
    loop {
        // One more than wanted tells whether there is a page after this one.
        let wanted = query.limit - serials.len().min(query.limit) + 1;
        let portion = scan.next(link, &cursor, wanted.min(RECORDS)).await?;
        page.now = portion.now;
        for (serial, record) in portion.found {
            let Some(record) = decoder.record(record)? else { continue };
            if text.as_ref().is_some_and(|text| !has_text(&record.spec, &record.status, text)) {
                continue;
            }
            if serials.len() == query.limit {
                page.cursor = serials.last().map(|serial| format!("{MARK}{serial}").into());
                return Ok(page);
            }
            serials.push(serial);
            page.records.push(record);
        }
        if portion.next.is_empty() {
            return Ok(page);
        }
        cursor = portion.next;
        if began.elapsed() > PATIENCE {
            page.cursor = Some(format!("{MARK}{cursor}").into());
            return Ok(page);
        }
    }
}

/// The serial behind a cursor: one that a page has brought, or the id of a task.
async fn serial_at(link: &Arc<Link>, cursor: &str) -> Result<String, StoreError> {
    let wrong = || no_cursor(cursor);
    if let Some(serial) = cursor.strip_prefix(MARK) {
        let is_serial = serial.len() == 16 && serial.bytes().all(|byte| byte.is_ascii_digit());
        return if is_serial { Ok(serial.into()) } else { Err(wrong()) };
    }
    let mut command = link.command(&READ, 2, 64);
    command.arg("serial").arg(cursor);
    let serial = super::wire::text(link.run(&READ, command, Duration::ZERO).await?)?;
    if serial.is_empty() { Err(wrong()) } else { Ok(serial) }
}

pub(super) async fn counts(link: &Arc<Link>, queue: Option<&str>) -> Result<Counts, StoreError> {
    let mut command = link.command(&READ, 2, 64);
    command.arg("counts").arg(queue.unwrap_or_default());
    let totals = ask(link, &READ, command).await?.map(super::wire::number)?;
    let mut counts = Counts::default();
    for (count, total) in counts.by_view.iter_mut().zip(totals) {
        *count = u64::try_from(total).unwrap_or(0);
    }
    Ok(counts)
}
