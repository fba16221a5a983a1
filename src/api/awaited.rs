//! The outcome of a task that was handed to the engine. Dropped unheard, it withdraws the task.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::sync::oneshot;

use crate::error::TaskError;

use super::Ended;
use super::host::RustHost;
use super::lane::Place;

pub(super) struct Awaited {
    host: Arc<RustHost>,
    place: Place,
    /// `None` once it has been heard, or need not be.
    outcome: Option<oneshot::Receiver<Ended>>,
}

impl Awaited {
    pub fn new(host: Arc<RustHost>, place: Place, outcome: oneshot::Receiver<Ended>) -> Self {
        Self { host, place, outcome: Some(outcome) }
    }

    /// The task goes on, and nobody waits for it.
    pub fn leave(mut self) {
        self.outcome = None;
    }
}

impl Future for Awaited {
    type Output = Ended;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Ended> {
        let Some(outcome) = &mut self.outcome else { return Poll::Pending };
        let polled = Pin::new(outcome).poll(context);
        if polled.is_ready() {
            self.outcome = None;
        }
        polled.map(|sent| sent.unwrap_or(Err(TaskError::Closed)))
    }
}

impl Drop for Awaited {
    fn drop(&mut self) {
        if self.outcome.is_some() {
            self.host.withdraw(self.place);
        }
    }
}
