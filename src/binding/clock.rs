//! Clocks that tests move, as JavaScript holds them: an object of functions for each, and a number by which executors
//! name it. The number is free again when the last of the functions is gone.

use std::sync::{LazyLock, Mutex, PoisonError};

use napi::bindgen_prelude::Object;
use napi::{Env, Result};
use napi_derive::napi;
use serde::Deserialize;
use slab::Slab;

use crate::time::{Millis, Time, Timeline};

use super::limits::{Numbered, add};
use super::malformed;

/// All of this process; worker threads have theirs among them.
static CLOCKS: LazyLock<Mutex<Slab<std::sync::Arc<Timeline>>>> = LazyLock::new(Mutex::default);

/// The time of an executor: that of the machine, or of a clock by its number.
#[derive(Clone, Copy, Default, Deserialize)]
#[serde(transparent)]
pub(super) struct ClockNumber(Option<usize>);

impl ClockNumber {
    pub fn time(self) -> Result<Time> {
        let Some(number) = self.0 else { return Ok(Time::default()) };
        let clocks = CLOCKS.lock().unwrap_or_else(PoisonError::into_inner);
        clocks.get(number).map(Timeline::time).ok_or_else(|| malformed("no such clock"))
    }
}

/// Makes a clock that shows this date, and gives the functions to move it. Internal.
#[napi(catch_unwind, ts_return_type = "Record<string, any>")]
#[allow(clippy::unit_arg, reason = "functions without an answer read like the others")]
pub fn clock<'env>(env: &'env Env, date: f64) -> Result<Object<'env>> {
    let it = Numbered::enter(&CLOCKS, Timeline::at(date as Millis));
    let mut object = Object::new(env)?;
    object.set("number", it.number as u32)?;
    add(env, &mut object, "date", &it, |line, _| Ok(line.time().wall() as f64))?;
    add(env, &mut object, "moment", &it, |line, _| Ok(line.time().monotonic() as f64))?;
    // The next moment at which something happens by itself, or -1.
    add(env, &mut object, "next", &it, |line, _| Ok(line.next_step().map_or(-1.0, |at| at as f64)))?;
    add(env, &mut object, "move", &it, |line, call| Ok(line.move_to(call.get::<f64>(0)? as Millis)))?;
    // How often something has begun to work, or -1 while something does.
    add(env, &mut object, "beats", &it, |line, _| {
        let beats = line.beats();
        Ok(if line.is_busy() { -1.0 } else { beats as f64 })
    })?;
    add(env, &mut object, "running", &it, |line, _| Ok(line.running() as u32))?;
    Ok(object)
}
