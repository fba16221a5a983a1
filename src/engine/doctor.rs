//! What an engine finds when it looks at itself and at its store.

use std::time::Instant;

use serde::Serialize;

use crate::error::TaskError;

use super::engine::Engine;

/// An answer of the store takes longer than this: worth a word.
const SLOW_MS: f64 = 100.0;
/// The clocks of store and machine differ by more than this: worth a word.
const SKEW_MS: i64 = 1000;

/// The state of an engine and of its store.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Examination {
    /// Version of this library.
    pub version: &'static str,
    /// What it was built for.
    pub target: String,
    /// Name of this executor among those of its store.
    pub node: String,
    /// The store has answered.
    pub store_answers: bool,
    /// How long that took, in milliseconds.
    pub store_answered_in: f64,
    /// How far the store's clock is ahead of this machine's, in milliseconds.
    pub clock_skew: i64,
    /// Executors that work on the store.
    pub nodes: usize,
    /// What will hurt.
    pub warnings: Vec<String>,
}

impl Engine {
    /// Looks at itself and at its store. A store that does not answer is a finding.
    pub async fn examine(&self) -> Examination {
        let asked_at = Instant::now();
        let found = self.ask_clock().await;
        let took = asked_at.elapsed().as_secs_f64() * 1000.0;
        let wall = self.date() as i64;
        let mut warnings = Vec::new();
        let (skew, nodes) = match &found {
            Ok((clock, nodes)) => (*clock as i64 - wall, *nodes),
            Err(error) => {
                warnings.push(format!("the store does not answer: {error}"));
                (0, 0)
            }
        };
        if took > SLOW_MS {
            warnings.push(format!("the store took {took:.0} ms for two small questions"));
        }
        if skew.abs() > SKEW_MS + took as i64 {
            warnings.push(format!("the store's clock and this machine's differ by {} ms", skew.abs()));
        }
        warnings.extend(self.own_warnings());
        Examination {
            version: env!("CARGO_PKG_VERSION"),
            target: target(),
            node: self.core().node().to_string(),
            store_answers: found.is_ok(),
            store_answered_in: took,
            clock_skew: skew,
            nodes,
            warnings,
        }
    }

    async fn ask_clock(&self) -> Result<(u64, usize), TaskError> {
        let clock = self.get(Vec::new()).await?.now;
        Ok((clock, self.nodes().await?.len()))
    }

    fn own_warnings(&self) -> Vec<String> {
        let core = self.core();
        let processors = std::thread::available_parallelism().map_or(1, |n| n.get() as u32);
        let config = core.config();
        let mut warnings = Vec::new();
        if config.has_loop && config.stall_limit < 5_000 {
            let limit = config.stall_limit;
            warnings
                .push(format!("a stallLimit of {limit} ms takes tasks from an event loop that is only busy"));
        }
        if config.durable && config.lease < 5_000 {
            let lease = config.lease;
            warnings.push(format!("a lease of {lease} ms takes tasks from a process that is only paused"));
        }
        if !config.has_loop && config.concurrency > 1000 * processors {
            warnings.push(format!("a concurrency of {} for {processors} processors", config.concurrency));
        }
        if core.abandoned() > 0 {
            let abandoned = core.abandoned();
            warnings.push(format!("{abandoned} handlers outlived their attempts and still run"));
        }
        if core.is_started() && core.has_queues() && !core.is_working() {
            warnings.push("it has started and has no handler: nothing is claimed".into());
        }
        warnings
    }
}

fn target() -> String {
    let flavour = match () {
        () if cfg!(target_env = "musl") => "-musl",
        () if cfg!(target_env = "gnu") => "-gnu",
        () if cfg!(target_env = "msvc") => "-msvc",
        () => "",
    };
    format!("{}-{}{flavour}", std::env::consts::ARCH, std::env::consts::OS)
}
