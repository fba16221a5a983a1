//! A schedule as somebody asks for it, before it is known to be one.

use serde::Deserialize;
use thiserror::Error;

use super::super::cron::{Cron, CronError, Zone};
use super::super::option::{OptionError, allow};
use super::{CatchUp, Every, Overlap, Plan, When};
use crate::time::Millis;

/// Options of a schedule; what is not given has its default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Wanted {
    /// A cron expression. Either this or `every`.
    pub cron: Option<String>,
    /// The zone of the expression. Default: UTC.
    pub time_zone: Option<String>,
    /// The time between two slots.
    pub every: Option<Millis>,
    /// What becomes of slots that were missed.
    pub catch_up: CatchUp,
    /// What a slot does while the run of an earlier one has not ended.
    pub overlap: Overlap,
    /// See `Plan::jitter`.
    pub jitter: Millis,
    /// No slot before; the first slot of `every`.
    pub start_at: Option<Millis>,
    /// No slot after.
    pub end_at: Option<Millis>,
    /// Runs in all.
    pub limit: Option<u64>,
}

/// Why there is no such schedule.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum WantedError {
    /// The expression or its zone.
    #[error(transparent)]
    Cron(#[from] CronError),
    /// Another option.
    #[error(transparent)]
    Option(#[from] OptionError),
}

impl Wanted {
    /// The plan. Where there is no `start_at`, the slots of `every` are counted from `anchor`.
    pub fn plan(&self, anchor: Millis) -> Result<Plan, WantedError> {
        let when = match (&self.cron, self.every) {
            (Some(text), None) => When::Cron(Cron::new(text, self.zone()?)?),
            (None, Some(every)) => {
                allow(self.time_zone.is_none(), "timeZone", "given", "zones of a cron expression")?;
                When::Every(Every { every, anchor: self.start_at.unwrap_or(anchor) })
            }
            (Some(_), Some(_)) => return Err(refused("every", "given beside cron", "one of the two")),
            (None, None) => {
                return Err(refused("cron", "missing", "an expression, or every instead of it"));
            }
        };
        let Self { catch_up, overlap, jitter, start_at, end_at, limit, .. } = *self;
        Ok(Plan { catch_up, overlap, jitter, start_at, end_at, limit, ..Plan::new(when) })
    }

    fn zone(&self) -> Result<Zone, CronError> {
        self.time_zone.as_deref().map_or_else(|| Ok(Zone::utc()), Zone::named)
    }
}

fn refused(option: &'static str, given: &str, allowed: &str) -> WantedError {
    OptionError { option, given: given.into(), allowed: allowed.into() }.into()
}

impl Plan {
    /// These slots are those of `other`: how far that one has come is how far this one has.
    ///
    /// `every` is anchored where it began; asked for again, without a first slot of its own, it goes on there.
    pub fn goes_on(&mut self, other: &Plan) -> bool {
        match (&mut self.when, &other.when) {
            (When::Cron(new), When::Cron(old)) => new == old,
            (When::Every(new), When::Every(old)) if self.start_at.is_none() && other.start_at.is_none() => {
                new.anchor = if new.every == old.every { old.anchor } else { new.anchor };
                new == old
            }
            (When::Every(new), When::Every(old)) => new == old,
            _ => false,
        }
    }
}
