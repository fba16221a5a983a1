//! Rate limiters and circuit breakers as JavaScript holds them: an object of functions for each, and a number by which
//! executors name it. The number is free again when the last of the functions is gone.

use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

use napi::bindgen_prelude::{FunctionCallContext, Object, ToNapiValue};
use napi::{Env, Result};
use napi_derive::napi;
use serde::Deserialize;
use slab::Slab;

use crate::engine::Limits;
use crate::error::TaskError;
use crate::policy::breaker::{BreakerPolicy, Verdict};
use crate::policy::rate::RateLimit;
use crate::policy::shared_rate::Excess;
use crate::policy::{BreakerRules, OptionError, RateRules, SharedBreaker, SharedRate};
use crate::time::Millis;

use super::{malformed, refused};

/// All of this process; worker threads have theirs among them.
static RATES: LazyLock<Mutex<Slab<SharedRate>>> = LazyLock::new(Mutex::default);
static BREAKERS: LazyLock<Mutex<Slab<SharedBreaker>>> = LazyLock::new(Mutex::default);

fn lock<T>(all: &Mutex<Slab<T>>) -> MutexGuard<'_, Slab<T>> {
    all.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A place in one of the lists, which is left when nobody names it any more.
pub(super) struct Numbered<T: 'static> {
    of: &'static Mutex<Slab<T>>,
    pub number: usize,
    it: T,
}

impl<T: Clone> Numbered<T> {
    pub fn enter(of: &'static Mutex<Slab<T>>, it: T) -> Arc<Self> {
        let number = lock(of).insert(it.clone());
        Arc::new(Self { of, number, it })
    }
}

impl<T> Drop for Numbered<T> {
    fn drop(&mut self) {
        lock(self.of).try_remove(self.number);
    }
}

/// Limits by their numbers.
#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Numbers {
    rate_limit: Option<usize>,
    circuit_breaker: Option<usize>,
}

impl Numbers {
    pub fn is_empty(self) -> bool {
        self.rate_limit.is_none() && self.circuit_breaker.is_none()
    }

    pub fn limits(self) -> Limits {
        Limits {
            rate: self.rate_limit.and_then(|number| lock(&RATES).get(number).cloned()),
            breaker: self.circuit_breaker.and_then(|number| lock(&BREAKERS).get(number).cloned()),
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Rate {
    limit: u32,
    per: Millis,
    burst: u32,
    #[serde(default)]
    name: Option<Arc<str>>,
    #[serde(default)]
    by_group: bool,
    #[serde(default)]
    shared: Option<bool>,
    #[serde(default)]
    rejects: bool,
    #[serde(default)]
    heeds_retry_after: bool,
}

impl Rate {
    fn limit(&self) -> Result<RateLimit> {
        RateLimit::new(self.limit, self.per).and_then(|limit| limit.with_burst(self.burst)).map_err(wrong)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Fuse {
    policy: BreakerPolicy,
    #[serde(default)]
    name: Option<Arc<str>>,
    #[serde(default)]
    shared: Option<bool>,
    #[serde(default)]
    fails: bool,
}

fn wrong(error: OptionError) -> napi::Error {
    refused(&TaskError::option(error.to_string()))
}

/// Makes a rate limiter and gives the functions to use it. Internal.
#[napi(catch_unwind, ts_return_type = "Record<string, any>")]
#[allow(clippy::unit_arg, reason = "functions without an answer read like the others")]
pub fn limiter<'env>(env: &'env Env, options: String) -> Result<Object<'env>> {
    let options: Rate = serde_json::from_str(&options).map_err(malformed)?;
    let limit = options.limit()?;
    let Rate { name, by_group, shared, rejects, heeds_retry_after, .. } = options;
    let rules = RateRules { name, by_group, shared, rejects, heeds_retry_after };
    let it = Numbered::enter(&RATES, SharedRate::new(limit, rules));
    let mut object = Object::new(env)?;
    object.set("number", it.number as u32)?;
    // 0: taken; more: to be asked again after so many ms; less: too many keys.
    add(env, &mut object, "take", &it, |rate, call| {
        let (key, now): (Option<String>, _) = (call.get(0)?, rate.time().monotonic());
        Ok(match rate.try_take(key.as_deref(), now) {
            Ok(()) => 0.0,
            Err(Excess::Until(at)) => at.saturating_sub(now).max(1) as f64,
            Err(Excess::Keys) => -1.0,
        })
    })?;
    add(env, &mut object, "hold", &it, |rate, call| {
        Ok(rate.hold(rate.time().monotonic().saturating_add(call.get::<f64>(0)? as Millis)))
    })?;
    add(env, &mut object, "change", &it, |rate, call| {
        let options: Rate = serde_json::from_str(&call.get::<String>(0)?).map_err(malformed)?;
        Ok(rate.change(options.limit()?, rate.time().monotonic()))
    })?;
    Ok(object)
}

/// Makes a circuit breaker and gives the functions to use it. Internal.
#[napi(catch_unwind, ts_return_type = "Record<string, any>")]
#[allow(clippy::unit_arg, reason = "functions without an answer read like the others")]
pub fn breaker<'env>(env: &'env Env, options: String) -> Result<Object<'env>> {
    let Fuse { policy, name, shared, fails } = serde_json::from_str(&options).map_err(malformed)?;
    let holder = crate::task::TaskId::new().to_text();
    let rules = BreakerRules { name, shared, fails, holder };
    let it = Numbered::enter(&BREAKERS, SharedBreaker::new(policy, rules).map_err(wrong)?);
    let mut object = Object::new(env)?;
    object.set("number", it.number as u32)?;
    // Of a closed breaker, where so many calls of a turn have succeeded: the turn of one more, or -1.
    add(env, &mut object, "pass", &it, |breaker, call| {
        let turn = breaker.pass(call.get::<f64>(0)? as u64, call.get(1)?);
        Ok(turn.map_or(-1.0, |turn| turn as f64))
    })?;
    // The turn of the permit, or less than 0: -1 where nobody knows when to come back, else -2 and the ms until then.
    add(env, &mut object, "enter", &it, |breaker, _| {
        let now = breaker.time().monotonic();
        Ok(match breaker.enter(now) {
            Ok(turn) => turn as f64,
            Err(None) => -1.0,
            Err(Some(at)) => -2.0 - at.saturating_sub(now) as f64,
        })
    })?;
    // The permit, 0 for a success, 1 for a failure, 2 for neither, and how long it took.
    add(env, &mut object, "leave", &it, |breaker, call| {
        let verdict = verdict(call.get(1)?)?;
        let (turn, took) = (call.get::<f64>(0)? as u64, call.get::<f64>(2)? as Millis);
        Ok(breaker.leave(turn, verdict, took, breaker.time().monotonic()))
    })?;
    add(env, &mut object, "word", &it, |breaker, _| Ok(breaker.word(breaker.time().monotonic())))?;
    add(env, &mut object, "open", &it, |breaker, call| {
        let length: Option<f64> = call.get(0)?;
        Ok(breaker.open(breaker.time().monotonic(), length.map(|length| length as Millis)))
    })?;
    add(env, &mut object, "close", &it, |breaker, _| Ok(breaker.close()))?;
    Ok(object)
}

/// What an outcome says, as a number of JavaScript.
pub(super) fn verdict(number: u32) -> Result<Verdict> {
    match number {
        0 => Ok(Verdict::Succeeded),
        1 => Ok(Verdict::Failed),
        2 => Ok(Verdict::Unknown),
        _ => Err(malformed("a verdict of an unknown kind")),
    }
}

pub(super) fn add<T: Clone + 'static, R: ToNapiValue>(
    env: &Env,
    object: &mut Object<'_>,
    name: &str,
    it: &Arc<Numbered<T>>,
    run: impl Fn(&T, &FunctionCallContext) -> Result<R> + 'static,
) -> Result<()> {
    let it = it.clone();
    let run = move |call: FunctionCallContext| run(&it.it, &call);
    object.set(name, env.create_function_from_closure::<(), R, _>(name, run)?)
}
