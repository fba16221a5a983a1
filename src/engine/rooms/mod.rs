//! The rooms: what an engine does by itself, each a loop with one job.
//!
//! - `ticker`: what has a moment is on time; it never waits for the store.
//! - `pusher`: what came in goes to the store, in order, as one call for all that is at hand.
//! - `advancer`: settles, claims and hands over; one step under way.
//! - `beat`: tells that this node lives, and learns what it should know; settles what dead nodes ran.
//! - `asker`: how tasks stand that somebody waits for and that end elsewhere.
//! - `noter`: what runs note down goes to the store.
//! - `circuits`: circuit breakers that nodes share; it rests where there are none.
//! - `retention`: forgets what ended, in small steps.
//! - `scheduler`: fires schedules whose time has come.
//!
//! Pusher and advancer share one tokio task: where the store answers at once, nothing hops between threads, and
//! where it does not, both of their calls are under way and can share a commit. The others have tasks of their own.
//! A call that failed for a passing reason is made again, with growing pauses; all of them may be repeated.

mod advancer;
mod asker;
mod beat;
mod circuits;
mod noter;
mod pusher;
mod retention;
#[cfg(feature = "cron")]
mod scheduler;
mod ticker;

use std::future::poll_fn;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use tracing::Instrument;

use crate::time::{Millis, monotonic};

use super::shared::Shared;

/// What is done under a lock that the host may wait for.
const PORTION: usize = 64;
/// First pause after a failure of the store; the next ones are longer.
const FIRST_PAUSE: Millis = 10;
/// Longest pause after a failure of the store.
const MAX_PAUSE: Millis = 1000;

/// Opens all rooms; they are left when the engine is over, whatever they wait for.
pub(super) fn open(shared: &Arc<Shared>) {
    let exchange = {
        let (pusher, advancer) =
            (keep(shared, "pusher", pusher::run), keep(shared, "advancer", advancer::run));
        async move {
            tokio::join!(pusher, advancer);
        }
    };
    spawn(shared, exchange);
    spawn(shared, keep(shared, "ticker", ticker::run));
    spawn(shared, keep(shared, "beat", beat::run));
    spawn(shared, keep(shared, "asker", asker::run));
    spawn(shared, keep(shared, "noter", noter::run));
    spawn(shared, keep(shared, "retention", retention::run));
    spawn(shared, keep(shared, "circuits", circuits::run));
    #[cfg(feature = "cron")]
    spawn(shared, keep(shared, "scheduler", scheduler::run));
}

fn spawn(shared: &Arc<Shared>, room: impl Future<Output = ()> + Send + 'static) {
    let shared = shared.clone();
    let (span, shared_time) = (shared.span.clone(), shared.time.clone());
    let work = async move {
        tokio::select! {
            biased;
            () = shared.over() => {}
            () = room => {}
        }
    };
    super::runtime().spawn(shared_time.attend(work.instrument(span)));
}

/// A panic is a defect, of ours or of a store: what it interrupted is refused or made again, and the room opens
/// again.
fn keep<R, F>(
    shared: &Arc<Shared>,
    name: &'static str,
    room: F,
) -> impl Future<Output = ()> + Send + use<R, F>
where
    R: Future<Output = ()> + Send,
    F: Fn(Arc<Shared>) -> R + Send + 'static,
{
    let shared = shared.clone();
    async move {
        while AssertUnwindSafe(room(shared.clone())).catch_unwind().await.is_err() {
            tracing::error!(target: "task::engine", room = name, "a room failed and opens again");
            sleep(MAX_PAUSE).await;
        }
    }
}

/// For so long by the clock of the machine: a pause for the engine's own sake.
async fn sleep(length: Millis) {
    tokio::time::sleep(Duration::from_millis(length)).await;
}

/// Until this moment of the machine's clock, or for ever.
async fn pause_until(at: Option<Millis>) {
    match at {
        Some(at) => sleep(at.saturating_sub(monotonic())).await,
        None => std::future::pending().await,
    }
}

/// Until this moment of the time that the engine lives in, or for ever.
async fn sleep_until(shared: &Shared, at: Option<Millis>) {
    match at {
        Some(at) => shared.time.sleep_until(at).await,
        None => std::future::pending().await,
    }
}

fn micros_since(moment: Instant) -> u64 {
    moment.elapsed().as_micros() as u64
}

/// Lets others of the same thread go first.
async fn give_way() {
    let mut gave = false;
    poll_fn(|context| match std::mem::replace(&mut gave, true) {
        true => Poll::Ready(()),
        false => {
            context.waker().wake_by_ref();
            Poll::Pending
        }
    })
    .await;
}
