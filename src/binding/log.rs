//! Where the engine's `tracing` records go in Node: to stderr, as `TASK_LOG` says, and to the loggers of executors.
//!
//! One subscriber for the process, set when the first executor wants a log; a program that embeds this library in Rust
//! sets one of its own and never comes here. stderr is written to by whatever thread has something to say, so that a
//! blocked event loop is named while it is blocked. A logger is a JavaScript function: it is told by mail, when its
//! loop turns again. The spans of the rooms carry the name of their node: a record reaches the loggers of that
//! executor only; what belongs to none reaches all.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt::{Debug, Write as _};
use std::io::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock, Weak};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

use crate::engine::Host;
use crate::error::TaskError;
use crate::store::NodeId;

use super::mail::{Post, quote};
use super::wake::Wake;

/// Targets of this library begin so.
const OURS: &str = "task";
/// The least that a logger is told.
const FOR_LOGGERS: Level = Level::DEBUG;

/// Where records for one executor's `logger` go.
pub(super) struct Logger {
    node: NodeId,
    post: Weak<Post>,
    wake: Weak<Wake>,
}

/// The subscriber of the process.
struct Log {
    /// What stderr is told, if anything.
    stderr: Option<Level>,
    loggers: RwLock<Vec<Logger>>,
    /// Nodes of spans, and how many hold each span.
    spans: Mutex<HashMap<u64, (Arc<str>, usize)>>,
    next: AtomicU64,
}

thread_local! {
    static ENTERED: RefCell<Vec<u64>> = const { RefCell::new(Vec::new()) };
}

static LOG: OnceLock<Arc<Log>> = OnceLock::new();

impl Logger {
    pub fn new(node: &NodeId, post: &Arc<Post>, wake: &Arc<Wake>) -> Self {
        Self { node: node.clone(), post: Arc::downgrade(post), wake: Arc::downgrade(wake) }
    }
}

/// Begins to log for an executor, if `TASK_LOG` or its options ask for it; an error for a `TASK_LOG` that says nothing.
pub(super) fn open(logger: Option<Logger>) -> Result<(), TaskError> {
    let stderr = wanted(&std::env::var("TASK_LOG").unwrap_or_default())?;
    if stderr.is_none() && logger.is_none() {
        return Ok(());
    }
    let log = LOG.get_or_init(|| {
        let (loggers, spans) = (RwLock::default(), Mutex::default());
        let log = Arc::new(Log { stderr, loggers, spans, next: AtomicU64::new(1) });
        // Nobody else in this library of its own could have set one.
        let _ = tracing::subscriber::set_global_default(log.clone());
        log
    });
    if let Some(logger) = logger {
        let mut loggers = log.loggers.write().unwrap_or_else(PoisonError::into_inner);
        loggers.retain(|logger| logger.post.strong_count() > 0);
        loggers.push(logger);
        drop(loggers);
        tracing::callsite::rebuild_interest_cache();
    }
    Ok(())
}

fn wanted(word: &str) -> Result<Option<Level>, TaskError> {
    Ok(Some(match word {
        "" | "off" => return Ok(None),
        "error" => Level::ERROR,
        "warn" => Level::WARN,
        "info" => Level::INFO,
        "debug" => Level::DEBUG,
        "trace" => Level::TRACE,
        _ => {
            let allowed = "off, error, warn, info, debug or trace";
            return Err(TaskError::option(format!("TASK_LOG must be {allowed}; got {word:?}")));
        }
    }))
}

impl Log {
    fn has_loggers(&self) -> bool {
        !self.loggers.read().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    fn is_for_stderr(&self, level: Level) -> bool {
        self.stderr.is_some_and(|most| level <= most)
    }

    fn spans(&self) -> std::sync::MutexGuard<'_, HashMap<u64, (Arc<str>, usize)>> {
        self.spans.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Of the span of this event, else of the innermost one that this thread is in.
    fn node(&self, event: &Event<'_>) -> Option<Arc<str>> {
        let entered = || ENTERED.with_borrow(|entered| entered.last().copied());
        let span = event.parent().map(Id::into_u64).or_else(entered)?;
        self.spans().get(&span).map(|(node, _)| node.clone())
    }

    fn tell_loggers(&self, record: &str, node: Option<&str>) {
        let loggers = self.loggers.read().unwrap_or_else(PoisonError::into_inner);
        for logger in loggers.iter().filter(|logger| node.is_none_or(|node| node == &*logger.node)) {
            if let (Some(post), Some(wake)) = (logger.post.upgrade(), logger.wake.upgrade()) {
                post.log(record.to_owned());
                wake.wake();
            }
        }
    }
}

impl Subscriber for Log {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        let level = *metadata.level();
        let is_ours = metadata.target().split(':').next() == Some(OURS);
        is_ours && (self.is_for_stderr(level) || (level <= FOR_LOGGERS && self.has_loggers()))
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let mut fields = Fields::default();
        span.record(&mut fields);
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        if let Some((_, node)) = fields.0.into_iter().find(|(name, _)| *name == "node") {
            self.spans().insert(id, (node.into(), 1));
        }
        Id::from_u64(id)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let (level, target) = (*event.metadata().level(), event.metadata().target());
        let mut fields = Fields::default();
        event.record(&mut fields);
        let at = fields.0.iter().position(|(name, _)| *name == "message");
        let message = at.map(|at| fields.0.remove(at).1).unwrap_or_default();
        let node = self.node(event);
        if self.is_for_stderr(level) {
            let mut line = format!("{} {target}: {message}", level.as_str().to_lowercase());
            for (name, value) in &fields.0 {
                let _ = write!(line, " {name}={value:?}");
            }
            // One write, so that lines of several threads do not mix; nobody can be told that it failed.
            line.push('\n');
            let _ = std::io::stderr().write_all(line.as_bytes());
        }
        if level <= FOR_LOGGERS && self.has_loggers() {
            self.tell_loggers(&as_json(level, target, &message, &fields.0), node.as_deref());
        }
    }

    fn enter(&self, span: &Id) {
        ENTERED.with_borrow_mut(|entered| entered.push(span.into_u64()));
    }

    fn exit(&self, span: &Id) {
        ENTERED.with_borrow_mut(|entered| {
            if let Some(at) = entered.iter().rposition(|id| *id == span.into_u64()) {
                entered.remove(at);
            }
        });
    }

    fn clone_span(&self, span: &Id) -> Id {
        if let Some((_, holders)) = self.spans().get_mut(&span.into_u64()) {
            *holders += 1;
        }
        span.clone()
    }

    fn try_close(&self, span: Id) -> bool {
        let mut spans = self.spans();
        let Some((_, holders)) = spans.get_mut(&span.into_u64()) else { return false };
        *holders -= 1;
        let is_last = *holders == 0;
        if is_last {
            spans.remove(&span.into_u64());
        }
        is_last
    }
}

fn as_json(level: Level, target: &str, message: &str, fields: &[(&'static str, String)]) -> String {
    let mut text = format!("{{\"level\":\"{}\",\"target\":", level.as_str().to_lowercase());
    quote(&mut text, target);
    text.push_str(",\"message\":");
    quote(&mut text, message);
    text.push_str(",\"fields\":{");
    for (at, (name, value)) in fields.iter().enumerate() {
        text.push_str(if at > 0 { "," } else { "" });
        quote(&mut text, name);
        text.push(':');
        quote(&mut text, value);
    }
    text.push_str("}}");
    text
}

#[derive(Default)]
struct Fields(Vec<(&'static str, String)>);

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.push((field.name(), value.to_owned()));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.push((field.name(), format!("{value:?}")));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_task_log_says() {
        assert_eq!(wanted("").unwrap(), None);
        assert_eq!(wanted("warn").unwrap(), Some(Level::WARN));
        let error = wanted("loud").unwrap_err();
        assert!(error.code() == "ERR_OPTION" && error.to_string().contains("\"loud\""), "{error}");
    }
}
