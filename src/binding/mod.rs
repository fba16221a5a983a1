//! The bridge to Node.js: the only place that knows Node-API.
//!
//! One export, `open`, gives JavaScript an object of functions backed by closures (they cost a quarter of a
//! class method). The hot one is `turn`: it takes what was submitted and done since the last time, in arrays
//! that JavaScript has allocated, and fills `ready` with words about local runs. Everything about stored
//! tasks crosses as text: `enqueue`, `report` and `request` in, `mail` out, one text per batch.
//!
//! Rules that keep the host process alive:
//! - one ThreadsafeFunction per engine, which only wakes; its last reference is dropped on the JS thread;
//! - after the environment's clean-up hook has run, no thread of ours touches Node-API;
//! - no promise, reference or value of JavaScript is kept on this side, but for the three arrays, which
//!   belong to the closure of `turn`;
//! - a panic becomes a JavaScript error.

// In a test build nothing is registered with Node, so nothing of this is called.
#![cfg_attr(test, allow(dead_code))]

mod clock;
mod enqueue;
mod limits;
mod log;
mod mail;
mod metrics;
mod options;
mod request;
mod schedule;
mod session;
mod turn;
mod wake;
mod workflow;

use std::cell::RefCell;
use std::sync::Arc;

use napi::bindgen_prelude::{Function, FunctionCallContext, Object, ToNapiValue, Uint32Array};
use napi::{Env, Error, Result};
use napi_derive::napi;

use session::Session;
use turn::Arrays;
use wake::Wake;

/// The version of this library.
#[napi(catch_unwind)]
pub fn version() -> String {
    env!("CARGO_PKG_VERSION").to_owned()
}

/// Starts an engine for this environment and gives the functions to drive it. Internal.
#[napi(catch_unwind, ts_return_type = "Record<string, (...args: unknown[]) => unknown>")]
#[allow(clippy::unit_arg, reason = "functions without an answer read like the others")]
pub fn open<'env>(
    env: &'env Env,
    options: String,
    arrays: Vec<Uint32Array>,
    wake: Function<'env, (), ()>,
) -> Result<Object<'env>> {
    let wake = Wake::new(&wake)?;
    let session = Arc::new(Session::new(&options, wake)?);
    // Hooks run last in, first out: this one before that of the ThreadsafeFunction.
    env.add_env_cleanup_hook(Arc::downgrade(&session), |session| {
        if let Some(session) = session.upgrade() {
            session.end();
        }
    })?;
    let mut functions = Object::new(env)?;
    let [submitted, done, ready, ended, asked] =
        <[Uint32Array; 5]>::try_from(arrays).map_err(|_| malformed("five arrays are needed"))?;
    let arrays = RefCell::new(Arrays { submitted, done, ready });
    let mut add = Functions { env, object: &mut functions, session };
    add.add("turn", move |session, call| session.turn(&mut arrays.borrow_mut(), call.get(0)?, call.get(1)?))?;
    add.add("begin", |session, call| Ok(session.begin(call.get(0)?, call.get(1)?)))?;
    add.add("finish", |session, call| Ok(session.finish(call.get(0)?, call.get(1)?)))?;
    add.add("stopped", |session, call| Ok(session.stopped(call.get(0)?, call.get(1)?)))?;
    add.add("mail", |session, call| {
        session.account(call.env)?;
        Ok(session.mail())
    })?;
    add.add("report", move |session, call| {
        session.report(upto(&ended, call.get(0)?)?, &call.get::<String>(1)?)
    })?;
    add.add("enqueue", |session, call| session.enqueue(call.get(0)?, call.get(1)?, call.get(2)?))?;
    add.add("progress", |session, call| Ok(session.progress(call.get(0)?, call.get(1)?, call.get(2)?)))?;
    add.add("log", |session, call| {
        let (level, message, fields) =
            (call.get::<String>(2)?, call.get::<String>(3)?, call.get::<String>(4)?);
        Ok(session.log(call.get(0)?, call.get(1)?, &level, &message, &fields))
    })?;
    add.add("watch", move |session, call| Ok(session.watch(upto(&asked, call.get(0)?)?)))?;
    add.add("forget", |session, call| {
        session.forget(call.get(0)?);
        session.account(call.env)
    })?;
    add.add("define", |session, call| session.define(&call.get::<String>(0)?))?;
    add.add("policy", |session, call| session.policy(&call.get::<String>(0)?))?;
    add.add("dropPolicy", |session, call| Ok(session.drop_policy(call.get(0)?)))?;
    add.add("judged", |session, call| session.judged(call.get(0)?, call.get(1)?))?;
    add.add("heed", |session, call| Ok(session.heed(call.get(0)?, call.get(1)?)))?;
    add.add("refusal", |session, call| Ok(session.refusal(call.get(0)?)))?;
    add.add("request", |session, call| session.request(call.get(0)?, &call.get::<String>(1)?))?;
    add.add("start", |session, _| Ok(session.engine.start()))?;
    add.add("pause", |session, call| Ok(session.pause(call.get(0)?)))?;
    add.add("enableMetrics", |session, _| Ok(session.engine.enable_metrics()))?;
    add.add("listen", |session, call| Ok(session.listen(call.get(0)?)))?;
    add.add("close", |session, call| Ok(session.close(call.get::<f64>(0)? as u64)))?;
    add.add("free", |session, _| Ok(session.end()))?;
    add.add("leave", |session, call| session.leave(call.env))?;
    Ok(functions)
}

struct Functions<'a, 'env> {
    env: &'env Env,
    object: &'a mut Object<'env>,
    session: Arc<Session>,
}

impl Functions<'_, '_> {
    fn add<T: ToNapiValue>(
        &mut self,
        name: &str,
        run: impl Fn(&Session, &FunctionCallContext) -> Result<T> + 'static,
    ) -> Result<()> {
        let session = self.session.clone();
        let run = move |call: FunctionCallContext| run(&session, &call);
        let function = self.env.create_function_from_closure::<(), T, _>(name, run)?;
        self.object.set(name, function)
    }
}

/// The used part of an array.
fn upto(array: &Uint32Array, n: u32) -> Result<&[u32]> {
    array.get(..n as usize).ok_or_else(|| malformed("more words than there is room for"))
}

/// An error for JavaScript whose message is `CODE: text`; the shim makes a `TaskError` of it.
fn refused(error: &crate::error::TaskError) -> Error {
    Error::from_reason(format!("{}: {error}", error.code()))
}

fn malformed(error: impl std::fmt::Display) -> Error {
    Error::from_reason(format!("ERR_ENGINE: malformed message: {error}"))
}
