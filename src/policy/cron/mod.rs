//! Cron expressions: which instants they name in a time zone.
//!
//! Everything here is pure: instants are arguments and answers, in milliseconds since 1970 UTC. Slots are
//! whole seconds from 1970 to the end of the year 9998.
//!
//! # The rule where clocks are moved
//!
//! As in Vixie cron (Debian): an expression whose second, minute or hour field begins with `*` follows
//! *elapsed time*: nothing in a gap, both halves of an overlap. Any other means the *clock on the wall*, and
//! fires when the clock first reaches or passes a time that it names: runs inside a gap become one run at
//! the first instant after it, and in an overlap only the first half counts. Said as one rule: a
//! reading fires at the instant at which the greatest reading so far reaches it.
//!
//! # Why not a crate
//!
//! `cron` has neither five fields nor this rule, `croner` accepts expressions that are wrong and searches
//! thousands of years for dates that never come. Both are compared with where they agree.
//!
//! The parts: `parse` (text), `calendar` (dates on bit sets), `zone` (clocks), and here the two together.

mod calendar;
mod civil;
mod error;
mod parse;
#[cfg(test)]
mod tests;
mod zone;

use std::fmt;
use std::iter::FusedIterator;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::time::Millis;
use calendar::Calendar;
use civil::Reading;
use zone::{Span, WIDEST};

pub use error::{CronError, Field};
pub use parse::MAX_LENGTH;
pub use zone::{Zone, tzdb_version};

/// The first second after all slots: the year 9999, as far as the zones reach.
const END: i64 = 253_370_764_800;

/// No search goes further than this, in seconds: the calendar repeats after 400 years, and so does every
/// zone once its last rule holds.
const FURTHEST: i64 = 500 * 366 * civil::DAY;

/// A reading beyond all that a search can meet.
const NEVER: Reading = i64::MAX / 2;

/// A cron expression in a time zone that fires at least once. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Source", into = "Source")]
pub struct Cron {
    text: Arc<str>,
    calendar: Arc<Calendar>,
    zone: Zone,
}

/// The form in which it is stored.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Source {
    cron: Arc<str>,
    time_zone: Arc<str>,
}

/// The slots of an expression, in order; see `Cron::after`.
#[derive(Clone, Debug)]
pub struct Slots<'a> {
    search: Search<'a>,
    next_from: i64,
}

/// A search for slots. It remembers the stretch of the zone that it was in, and counts what it has done.
#[derive(Clone, Debug)]
struct Search<'a> {
    cron: &'a Cron,
    span: Option<Span>,
    /// Months and stretches that it has looked at.
    steps: u32,
}

impl Cron {
    /// Reads an expression: 5 fields, 6 with the second first, 7 with the year last, or a word such as
    /// `@daily`. One that can never fire in this zone is an error.
    pub fn new(text: &str, zone: Zone) -> Result<Self, CronError> {
        let calendar = Arc::new(parse::parse(text)?);
        let cron = Self { text: text.into(), calendar, zone };
        if cron.search().next(0).is_none() {
            let zone = cron.zone.name().to_owned();
            return Err(CronError::NeverFires { given: text.to_owned(), zone });
        }
        Ok(cron)
    }

    /// The expression as it was given.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The time zone.
    pub fn zone(&self) -> &Zone {
        &self.zone
    }

    /// The first slot after an instant.
    pub fn next(&self, after: Millis) -> Option<Millis> {
        self.after(after).next()
    }

    /// The last slot before an instant.
    pub fn previous(&self, before: Millis) -> Option<Millis> {
        // A slot lies before an instant if it lies before the second that the instant is in, or begins it.
        let before = i64::try_from(before.div_ceil(1000)).unwrap_or(END).min(END);
        self.search().previous(before).map(millis)
    }

    /// All slots after an instant; cheaper than to ask for them one by one.
    pub fn after(&self, after: Millis) -> Slots<'_> {
        let second = i64::try_from(after / 1000).unwrap_or(END).min(END);
        Slots { search: self.search(), next_from: second + 1 }
    }

    /// The first `count` slots after an instant.
    pub fn preview(&self, after: Millis, count: usize) -> Vec<Millis> {
        self.after(after).take(count).collect()
    }

    fn search(&self) -> Search<'_> {
        Search { cron: self, span: None, steps: 0 }
    }
}

impl fmt::Debug for Cron {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} in {:?}", self.text, self.zone)
    }
}

impl TryFrom<Source> for Cron {
    type Error = CronError;

    fn try_from(source: Source) -> Result<Self, CronError> {
        Self::new(&source.cron, Zone::named(&source.time_zone)?)
    }
}

impl From<Cron> for Source {
    fn from(cron: Cron) -> Self {
        Self { time_zone: cron.zone.name().into(), cron: cron.text }
    }
}

impl Iterator for Slots<'_> {
    type Item = Millis;

    fn next(&mut self) -> Option<Millis> {
        let slot = self.search.next(self.next_from);
        self.next_from = slot.map_or(END, |slot| slot + 1);
        slot.map(millis)
    }
}

impl FusedIterator for Slots<'_> {}

impl Search<'_> {
    /// The first slot at or after an instant.
    ///
    /// In each stretch of constant offset the calendar names the next reading. If the stretch ends before
    /// it, and began long enough ago that no later clock can show anything in between, the search goes on
    /// shortly before that reading; if not, with the next stretch.
    fn next(&mut self, from: i64) -> Option<i64> {
        let Calendar { elapsed, .. } = *self.cron.calendar;
        let end = from.saturating_add(FURTHEST).min(END);
        let mut at = from;
        while at < end {
            let span = self.span(at);
            let shown = at + span.offset;
            let floor = if elapsed || at - WIDEST - WIDEST >= span.from {
                shown
            } else {
                self.first_unseen(at, span)
            };
            let reading = self.cron.calendar.next(floor, &mut self.steps).unwrap_or(NEVER);
            let slot = (reading - span.offset).max(at);
            if slot < span.until {
                return Some(slot).filter(|slot| *slot < end);
            }
            let settled = shown + WIDEST <= span.until;
            at = if settled { span.until.max(reading - WIDEST) } else { span.until };
        }
        None
    }

    /// The last slot before an instant; the mirror image of `next`.
    fn previous(&mut self, before: i64) -> Option<i64> {
        let Calendar { elapsed, .. } = *self.cron.calendar;
        let end = before - FURTHEST;
        let mut before = before;
        while before > end.max(0) {
            let span = self.span(before - 1);
            let shown = before - 1 + span.offset;
            let bottom = match span.from {
                i64::MIN => i64::MIN,
                from if elapsed => from + span.offset,
                from => self.cron.zone.shown_before(from),
            };
            let reading = self.cron.calendar.previous(shown, &mut self.steps).unwrap_or(-NEVER);
            if reading >= bottom {
                return Some((reading - span.offset).max(span.from)).filter(|slot| *slot >= 0);
            }
            let settled = shown - WIDEST >= span.from;
            before = if settled { span.from.min(reading + WIDEST + 1) } else { span.from };
        }
        None
    }

    /// The first reading that has not been shown before an instant of this stretch.
    fn first_unseen(&self, at: i64, span: Span) -> Reading {
        let before = self.cron.zone.shown_before(span.from);
        if at == span.from { before } else { before.max(at + span.offset) }
    }

    fn span(&mut self, at: i64) -> Span {
        match self.span {
            Some(span) if (span.from..span.until).contains(&at) => span,
            _ => {
                self.steps += 1;
                *self.span.insert(self.cron.zone.span(at))
            }
        }
    }
}

fn millis(second: i64) -> Millis {
    second.unsigned_abs() * 1000
}
