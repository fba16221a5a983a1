//! Those who listen to the events of an executor: one queue for all, each reads at its own pace and loses the oldest.
//!
//! Events are put in under the core's lock, in order, and told with no lock held that a waker could want: whoever finds
//! somebody telling leaves the rest to that one.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use futures_util::Stream;
use futures_util::stream::unfold;
use tokio::sync::broadcast::{Receiver, Sender, channel, error::RecvError};

use crate::engine::{Core, Event};

/// Events that wait for a slow listener.
const KEPT: usize = 4096;

#[derive(Default)]
pub(super) struct Listeners {
    sender: Mutex<Option<Sender<Event>>>,
    waiting: Mutex<VecDeque<Event>>,
    is_telling: AtomicBool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Listeners {
    /// Listens from now on.
    pub fn join(&self) -> Receiver<Event> {
        lock(&self.sender).get_or_insert_with(|| channel(KEPT).0).subscribe()
    }

    /// Takes what the core has to tell, and lets it know when nobody listens any more.
    pub fn take(&self, core: &mut Core) {
        if !core.events.is_listening() {
            return;
        }
        if lock(&self.sender).as_ref().is_none_or(|sender| sender.receiver_count() == 0) {
            core.events.set_listening(false);
            return;
        }
        lock(&self.waiting).extend(core.events.take(usize::MAX));
    }

    /// Tells what was taken.
    pub fn tell(&self) {
        while !lock(&self.waiting).is_empty() && !self.is_telling.swap(true, Ordering::SeqCst) {
            let sender = lock(&self.sender).clone();
            while let Some(event) = self.next() {
                // Nobody may listen any more.
                let _ = sender.as_ref().map(|sender| sender.send(event));
            }
            self.is_telling.store(false, Ordering::SeqCst);
        }
    }

    // In a function of its own, or the lock would be held while the event is told.
    fn next(&self) -> Option<Event> {
        lock(&self.waiting).pop_front()
    }

    /// Nothing more will come.
    pub fn end(&self) {
        let sender = lock(&self.sender).take();
        drop(sender);
    }
}

/// The events that come, until there are no more.
pub(super) fn stream(receiver: Receiver<Event>) -> impl Stream<Item = Event> + Send + 'static {
    unfold(receiver, |mut receiver| async move {
        loop {
            match receiver.recv().await {
                Ok(event) => return Some((event, receiver)),
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return None,
            }
        }
    })
}
