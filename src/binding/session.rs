//! One executor of one JavaScript environment: its engine, and what waits to be fetched.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use napi::{Env, Result};

use crate::engine::{Engine, Host, STORED, Waiter};
use crate::policy::RetryPolicy;
use crate::task::{Failure, Outcome, Text};

use super::log::{self, Logger};
use super::mail::Post;
use super::options::{Definition, Options};
use super::wake::Wake;
use super::{malformed, refused};

pub(super) struct Session {
    pub engine: Arc<Engine>,
    pub post: Arc<Post>,
    pub wake: Arc<Wake>,
    /// Shared with the batches that are on their way.
    pub definitions: Mutex<Arc<Vec<Arc<Definition>>>>,
    pub max_queue: Option<u64>,
    /// Memory of ours that V8 has been told of, in bytes.
    told: AtomicI64,
}

impl Session {
    pub fn new(options: &str, wake: Arc<Wake>) -> Result<Self> {
        let options: Options = serde_json::from_str(options).map_err(malformed)?;
        let time = options.clock.time()?;
        let (config, post) = (options.config(time.clone()), Arc::<Post>::default());
        log::open(options.logs.then(|| Logger::new(&config.node, &post, &wake)))
            .map_err(|error| refused(&error))?;
        let store = options.store(&time).map_err(|error| refused(&error.into()))?;
        let engine = Engine::new(config, store, options.retention(), wake.clone());
        options.limit(&mut engine.core());
        if options.metrics {
            engine.enable_metrics();
        }
        Ok(Self {
            engine: Arc::new(engine),
            post,
            wake,
            definitions: Mutex::default(),
            max_queue: options.max_queue,
            told: AtomicI64::default(),
        })
    }

    /// Tells V8 how much its handles keep alive here: a heap of tiny handles would not be worth a collection.
    pub fn account(&self, env: &Env) -> Result<()> {
        self.tell(env, self.engine.watch().bytes() as i64)
    }

    fn tell(&self, env: &Env, held: i64) -> Result<()> {
        let before = self.told.swap(held, Ordering::Relaxed);
        if held != before {
            env.adjust_external_memory(held - before)?;
        }
        Ok(())
    }

    /// Makes or changes a kind of task; gives its number.
    pub fn define(&self, text: &str) -> Result<u32> {
        let definition: Definition = serde_json::from_str(text).map_err(malformed)?;
        let at = self.engine.core().add_kind(definition.kind());
        let mut definitions = self.definitions.lock().unwrap_or_else(PoisonError::into_inner);
        let definition = Arc::new(definition);
        // Kinds and definitions are numbered alike: both are made here and nowhere else.
        let definitions = Arc::make_mut(&mut definitions);
        match definitions.get_mut(at as usize) {
            Some(known) => *known = definition,
            None => definitions.push(definition),
        }
        self.engine.nudge();
        Ok(at)
    }

    /// What the next outcome in this slot says to circuit breakers.
    pub fn judged(&self, slot: u32, verdict: u32) -> Result<()> {
        let verdict = super::limits::verdict(verdict)?;
        self.engine.core().judged(slot, verdict);
        Ok(())
    }

    /// The handler in this slot has said when to come back.
    pub fn heed(&self, slot: u32, delay: f64) {
        self.engine.core().heed(slot, delay as u64, self.engine.now());
    }

    /// Why the closure in this slot was refused: an error as JSON.
    pub fn refusal(&self, slot: u32) -> String {
        let refusal = self.engine.core().refusal(slot);
        let retry_after = refusal.as_ref().and_then(|hold| hold.opens_in);
        let error = refusal.map_or(crate::error::TaskError::Closed, Into::into);
        let mut text = String::new();
        super::mail::write_error(&mut text, &error);
        if let Some(time) = retry_after {
            text.pop();
            text.push_str(&format!(",\"retryAfter\":{time}}}"));
        }
        text
    }

    /// Makes a retry policy for local tasks known; gives its number.
    pub fn policy(&self, text: &str) -> Result<u32> {
        let policy: RetryPolicy = serde_json::from_str(text).map_err(malformed)?;
        Ok(self.engine.core().add_policy(policy))
    }

    /// Nothing in JavaScript has this policy any more.
    pub fn drop_policy(&self, number: u32) {
        self.engine.core().drop_policy(number);
    }

    /// The handler of a run is about to be called; false if it was taken back.
    pub fn begin(&self, slot: u32, run: u32) -> bool {
        let now = self.engine.now();
        let (begun, wake_at, heard) = {
            let mut core = self.engine.core();
            self.engine.stamp(&mut core);
            let begun = match slot & STORED {
                0 => core.begin_local(slot, run, now),
                _ => core.begin_stored(slot, run, now),
            };
            (begun, core.wake_at(), begun && core.events.is_listening())
        };
        self.engine.expect(wake_at);
        // One that may not begin any more goes back to its store.
        if heard || !begun {
            self.engine.nudge();
        }
        begun
    }

    /// The handler of a closure's run has ended and its outcome will be reported; false if the engine has
    /// ended the run before, and a word says so soon.
    pub fn finish(&self, slot: u32, run: u32) -> bool {
        self.engine.core().finish_local(slot, run, self.engine.now())
    }

    /// What `ctx.cancelled` says.
    pub fn stopped(&self, slot: u32, run: u32) -> bool {
        let core = self.engine.core();
        match slot & STORED {
            0 => core.is_stopped_local(slot, run),
            _ => core.is_stopped_stored(slot, run),
        }
    }

    /// How stored runs ended: pairs of slot and run, and for each a line of a letter and what belongs to it.
    pub fn report(&self, ended: &[u32], text: &str) -> Result<()> {
        let mut ends = Vec::with_capacity(ended.len() / 2);
        for (run, line) in ended.chunks_exact(2).zip(text.split('\n')) {
            match line.strip_prefix('t') {
                Some(failure) => {
                    let failure: Thrown = serde_json::from_str(failure).map_err(malformed)?;
                    let now = self.engine.now();
                    self.engine.core().judge_timeout(run[0], run[1], failure.into(), now);
                }
                None => ends.push((run[0], run[1], self.outcome_of(line)?)),
            }
        }
        self.engine.runs_ended(ends);
        Ok(())
    }

    /// Asks for outcomes: triples of a token, a batch, and a place in it.
    pub fn watch(&self, asked: &[u32]) {
        let wanted = self.post.ids_of(asked);
        {
            let mut watch = self.engine.watch();
            for (token, id) in wanted {
                match token & WITHDRAWN {
                    0 => watch.wait(id, Waiter::Token(token)),
                    _ => watch.cancel(&id, token & !WITHDRAWN),
                }
            }
        }
        self.engine.look();
    }

    /// The handles of a batch are gone: nobody asks for those outcomes any more.
    pub fn forget(&self, batch: u32) {
        let ids = self.post.forget(batch);
        let mut watch = self.engine.watch();
        ids.iter().for_each(|id| watch.let_go(id));
    }

    pub fn pause(&self, paused: bool) {
        self.engine.core().set_paused(paused);
        self.engine.nudge();
    }

    pub fn listen(&self, listening: bool) {
        self.engine.core().events.set_listening(listening);
    }

    /// Begins to close; the reply with number 0 says when it is done.
    pub fn close(&self, grace: u64) {
        let (engine, post, wake) = (self.engine.clone(), self.post.clone(), self.wake.clone());
        crate::engine::runtime().spawn(async move {
            engine.close(grace).await;
            post.reply(0, Ok("null".into()));
            wake.wake();
        });
    }

    /// Ends everything at once: the environment ends, or nobody holds the executor any more. Only on the JS
    /// thread.
    pub fn end(&self) {
        self.wake.end();
        self.engine.stop();
    }

    /// The same, when nothing in JavaScript is left that could ask for an outcome.
    pub fn leave(&self, env: &Env) -> Result<()> {
        self.end();
        self.tell(env, 0)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.end();
    }
}

/// Bit of a token: nobody waits under it any more.
const WITHDRAWN: u32 = 1 << 31;

impl Session {
    /// A letter and what belongs to it: o(utput), w(ith spawned tasks), e(rror), s(nooze); t(imeout) is for `report`.
    fn outcome_of(&self, line: &str) -> Result<Outcome> {
        let (kind, rest) = line.split_at_checked(1).ok_or_else(|| malformed("an end without a kind"))?;
        Ok(match kind {
            "o" => Outcome::Ok(rest.into()),
            "w" => {
                let Spawning { output, spawn } = serde_json::from_str(rest).map_err(malformed)?;
                let definitions = self.definitions.lock().unwrap_or_else(PoisonError::into_inner).clone();
                let specs = super::enqueue::read_specs(
                    &definitions,
                    spawn.iter().map(|line| &**line),
                    spawn.len() / 2,
                );
                let specs = specs.map_err(|error| refused(&error))?;
                Outcome::Spawned(output, specs.into_iter().map(Arc::new).collect())
            }
            "s" => Outcome::Snooze(rest.parse().map_err(malformed)?),
            "e" => {
                let failure: Thrown = serde_json::from_str(rest).map_err(malformed)?;
                Outcome::Error(Arc::new(failure.into()))
            }
            _ => return Err(malformed("an end of an unknown kind")),
        })
    }
}

/// An output, and the lines of the tasks to spawn: see `enqueue`.
#[derive(serde::Deserialize)]
struct Spawning {
    output: Text,
    spawn: Vec<Text>,
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct Thrown {
    name: String,
    message: String,
    #[serde(default)]
    code: Option<String>,
    #[serde(default)]
    stack: Option<String>,
    #[serde(default)]
    fatal: bool,
    #[serde(default)]
    retry_after: Option<u64>,
    #[serde(default)]
    blames: Option<bool>,
}

impl From<Thrown> for Failure {
    fn from(thrown: Thrown) -> Self {
        let Thrown { name, message, code, stack, fatal, retry_after, blames } = thrown;
        let stack = stack.filter(|stack| !stack.is_empty());
        Self { name, message, code, stack, fatal, retry_after, blames, original: None }
    }
}
