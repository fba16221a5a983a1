//! Schedules: the calls that make, change and list them, and the pure functions that tell their slots.

use std::sync::Arc;

use napi::Result;
use napi::bindgen_prelude::Float64Array;
use napi_derive::napi;
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;

use crate::engine::Engine;
use crate::engine::schedule::{Pause, Scheduled, Template};
use crate::error::TaskError;
use crate::policy::RetryPolicy;
use crate::policy::cron::tzdb_version;
use crate::policy::schedule::{Every, Wanted, When};
use crate::task::{Name, Text};

use super::mail::Post;
use super::options::Definition;
use super::{malformed, refused};

#[derive(Deserialize)]
#[serde(tag = "act", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub(super) enum Order {
    Schedule { key: Name, kind: usize, options: Wanted, input: String },
    Unschedule { key: Name },
    Pause { key: Name, paused: bool },
    Trigger { key: Name, batch: u32 },
    List,
}

pub(super) type Definitions = Arc<Vec<Arc<Definition>>>;

/// The first slots after an instant, or with `back` the last ones before it, newest first, in epoch milliseconds; at
/// most `count`. Internal.
#[napi(catch_unwind)]
pub fn slots(options: String, from: f64, count: u32, back: bool) -> Result<Float64Array> {
    let wanted: Wanted = serde_json::from_str(&options).map_err(malformed)?;
    let from = from.max(0.0) as u64;
    let plan = wanted.plan(from).map_err(|error| refused(&error.into()))?;
    let count = count as usize;
    let slots = if back { plan.review(from, count) } else { plan.preview(from, count) };
    Ok(Float64Array::new(slots.into_iter().map(|slot| slot as f64).collect()))
}

/// The version of the time zones inside this library.
#[napi(catch_unwind)]
pub fn time_zone_data() -> String {
    tzdb_version().to_owned()
}

/// Does what is asked for; a task that a trigger has made is held under the number of a batch.
pub(super) async fn carry_out(
    engine: &Engine,
    definitions: &Definitions,
    post: &Post,
    order: Order,
) -> std::result::Result<Text, TaskError> {
    Ok(match order {
        Order::Schedule { key, kind, options, input } => {
            let definition = definitions.get(kind).ok_or_else(|| TaskError::Engine("no such kind".into()))?;
            let input = RawValue::from_string(input)
                .map_err(|_| TaskError::Engine("an input that is no JSON".into()))?;
            let scheduled = engine.schedule(&key, &options, template(definition, input)).await?;
            told(&scheduled).to_string()
        }
        Order::Unschedule { key } => engine.unschedule(&key).await?.to_string(),
        Order::Pause { key, paused } => told(&engine.set_schedule_paused(&key, paused).await?).to_string(),
        Order::Trigger { key, batch } => {
            let pushed = engine.trigger(&key).await?;
            engine.watch().hold(pushed.id.clone(), pushed.created);
            post.hold(batch, pushed.id.clone());
            json!([pushed.id.as_str(), pushed.created]).to_string()
        }
        Order::List => {
            let all: Vec<_> = engine.schedules().await?.iter().map(told).collect();
            json!(all).to_string()
        }
    }
    .into())
}

fn template(definition: &Definition, input: Box<RawValue>) -> Template {
    Template {
        name: definition.name.clone(),
        queue: definition.queue.clone(),
        priority: definition.priority,
        timeout: definition.timeout,
        retry: definition.retry.clone().unwrap_or_else(RetryPolicy::none),
        input,
        once: false,
    }
}

/// What `ScheduleInfo` is made of.
fn told(Scheduled { key, entry, due_at }: &Scheduled) -> serde_json::Value {
    let plan = &entry.plan;
    let mut told = json!({
        "key": key,
        "name": entry.task.name,
        "catchUp": plan.catch_up,
        "overlap": plan.overlap,
        "jitter": plan.jitter,
        "paused": entry.pause.is_some(),
        "nextRun": due_at,
        "lastRun": entry.last.as_ref().map(|last| last.at),
    });
    let mut add = |name: &str, value: serde_json::Value| told[name] = value;
    match &plan.when {
        When::Cron(cron) => {
            add("cron", cron.text().into());
            add("timeZone", cron.zone().name().into());
        }
        When::Every(Every { every, .. }) => add("every", (*every).into()),
    }
    for (name, value) in [("startAt", plan.start_at), ("endAt", plan.end_at), ("limit", plan.limit)] {
        if let Some(value) = value {
            add(name, value.into());
        }
    }
    if entry.pause == Some(Pause::NotRepeatable) {
        add("reason", "NotRepeatable".into());
    }
    told
}
