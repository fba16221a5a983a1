//! One executor of one JavaScript environment: its engine, and what waits to be fetched.

use std::sync::{Arc, Mutex, PoisonError};

use napi::Result;

use crate::engine::{Engine, Host, STORED, Waiter};
use crate::policy::RetryPolicy;
use crate::store::memory::MemoryStore;
use crate::task::{Failure, Name, Outcome, TaskId};

use super::mail::Post;
use super::malformed;
use super::options::{Definition, Options};
use super::wake::Wake;

pub(super) struct Session {
    pub engine: Arc<Engine>,
    pub post: Arc<Post>,
    pub wake: Arc<Wake>,
    pub definitions: Mutex<Vec<Arc<Definition>>>,
    pub max_queue: Option<u64>,
}

impl Session {
    pub fn new(options: &str, wake: Arc<Wake>) -> Result<Self> {
        let options: Options = serde_json::from_str(options).map_err(malformed)?;
        let store = Arc::new(MemoryStore::new());
        let engine = Engine::new(options.config(), store, options.retention(), wake.clone());
        Ok(Self {
            engine: Arc::new(engine),
            post: Arc::default(),
            wake,
            definitions: Mutex::default(),
            max_queue: options.max_queue,
        })
    }

    /// Makes or changes a kind of task; gives its number.
    pub fn define(&self, text: &str) -> Result<u32> {
        let definition: Definition = serde_json::from_str(text).map_err(malformed)?;
        let at = self.engine.core().add_kind(definition.kind());
        let mut definitions = self.definitions.lock().unwrap_or_else(PoisonError::into_inner);
        let definition = Arc::new(definition);
        // Kinds and definitions are numbered alike: both are made here and nowhere else.
        match definitions.get_mut(at as usize) {
            Some(known) => *known = definition,
            None => definitions.push(definition),
        }
        self.engine.nudge();
        Ok(at)
    }

    pub fn definition(&self, at: usize) -> Option<Arc<Definition>> {
        self.definitions.lock().unwrap_or_else(PoisonError::into_inner).get(at).cloned()
    }

    /// Makes a retry policy for local tasks known; gives its number.
    pub fn policy(&self, text: &str) -> Result<u32> {
        let policy: RetryPolicy = serde_json::from_str(text).map_err(malformed)?;
        Ok(u32::from(self.engine.core().add_policy(policy)))
    }

    /// The handler of a run is about to be called; false if it was taken back.
    pub fn begin(&self, slot: u32, run: u32) -> bool {
        let now = self.engine.now();
        let (begun, wake_at) = {
            let mut core = self.engine.core();
            let begun = match slot & STORED {
                0 => core.begin_local(slot, run, now),
                _ => core.begin_stored(slot, run, now),
            };
            (begun, core.wake_at())
        };
        self.engine.expect(wake_at);
        begun
    }

    /// What `ctx.cancelled` says.
    pub fn stopped(&self, slot: u32, run: u32) -> bool {
        let core = self.engine.core();
        match slot & STORED {
            0 => core.is_stopped_local(slot, run),
            _ => core.is_stopped_stored(slot, run),
        }
    }

    /// How stored runs ended: lines of slot, run, and a letter with what belongs to it.
    pub fn report(&self, text: &str) -> Result<()> {
        let ends =
            text.split('\n').filter(|line| !line.is_empty()).map(end_of).collect::<Result<Vec<_>>>()?;
        let now = self.engine.now();
        {
            let mut core = self.engine.core();
            for (slot, run, outcome) in ends {
                core.ended(slot, run, outcome, now);
            }
        }
        self.engine.nudge();
        Ok(())
    }

    /// Asks for outcomes: lines of a token and an id; a line that begins with `-` withdraws.
    pub fn watch(&self, text: &str) -> Result<()> {
        for line in text.split('\n').filter(|line| !line.is_empty()) {
            let (withdrawn, line) = line.strip_prefix('-').map_or((false, line), |rest| (true, rest));
            let (token, id) = line.split_once(' ').ok_or_else(|| malformed("no id"))?;
            let (token, id) = (token.parse().map_err(malformed)?, TaskId::from(id));
            match withdrawn {
                true => self.engine.watch().cancel(&id, token),
                false => self.engine.watch().wait(id, Waiter::Token(token)),
            }
        }
        self.engine.nudge();
        Ok(())
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
}

impl Drop for Session {
    fn drop(&mut self) {
        self.end();
    }
}

/// `<slot> <run> <letter><rest>`: o(utput), e(rror), s(nooze), c(ancelled by the handler itself).
fn end_of(line: &str) -> Result<(u32, u32, Outcome)> {
    let mut parts = line.splitn(3, ' ');
    let mut next = || parts.next().ok_or_else(|| malformed("an end without its parts"));
    let (slot, run, end) = (next()?, next()?, next()?);
    let (kind, rest) = end.split_at_checked(1).ok_or_else(|| malformed("an end without a kind"))?;
    let outcome = match kind {
        "o" => Outcome::Ok(rest.into()),
        "s" => Outcome::Snooze(rest.parse().map_err(malformed)?),
        "e" => {
            let failure: Thrown = serde_json::from_str(rest).map_err(malformed)?;
            Outcome::Error(Arc::new(failure.into()))
        }
        "c" => Outcome::Cancelled(Name::from(rest)),
        _ => return Err(malformed("an end of an unknown kind")),
    };
    Ok((slot.parse().map_err(malformed)?, run.parse().map_err(malformed)?, outcome))
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
}

impl From<Thrown> for Failure {
    fn from(thrown: Thrown) -> Self {
        let Thrown { name, message, code, stack, fatal, retry_after } = thrown;
        Self { name, message, code, stack, fatal, retry_after }
    }
}
