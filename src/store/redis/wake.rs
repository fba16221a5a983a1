//! Hears of changes that other processes make: a hint, which may come late or never.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures_util::StreamExt;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::sentinel::Server;

/// Why a line is of no use: it does not matter.
type Lost = Box<dyn std::error::Error + Send + Sync>;

/// Wait between two attempts to listen.
const PAUSE: Duration = Duration::from_millis(250);

/// After so much silence the line is tried; and how long that, or making a line, may take.
const SILENCE: Duration = Duration::from_secs(2);
const PATIENCE: Duration = Duration::from_secs(2);

/// The channel of a namespace, and who waits for a word on it.
pub(super) struct Wake {
    server: Server,
    channel: String,
    /// What this process calls itself: its own words are no news to it.
    sender: Arc<str>,
    heard: Arc<Notify>,
    /// Those who wait for a word.
    waiting: Arc<()>,
    listener: OnceLock<JoinHandle<()>>,
}

impl Wake {
    pub fn new(server: Server, prefix: &str, sender: Arc<str>) -> Self {
        Self {
            server,
            channel: format!("{prefix}wake"),
            sender,
            heard: Arc::default(),
            waiting: Arc::default(),
            listener: OnceLock::new(),
        }
    }

    /// Something was done by this process.
    pub fn tell(&self) {
        self.heard.notify_waiters();
    }

    /// The same, by one of those who wait: alone it need not be told.
    pub fn tell_others(&self) {
        if Arc::strong_count(&self.waiting) > 2 {
            self.tell();
        }
    }

    /// Resolves at the next word; registered before it is awaited, so that nothing in between is missed.
    pub fn next(&self, runtime: &tokio::runtime::Handle) -> impl Future<Output = ()> + Send + use<> {
        // Before the listener is: its first word, that it listens, may come at once.
        let mut wake = Box::pin(self.heard.clone().notified_owned());
        wake.as_mut().enable();
        self.listener.get_or_init(|| {
            let (server, channel, heard) = (self.server.clone(), self.channel.clone(), self.heard.clone());
            let sender = self.sender.clone();
            runtime.spawn(async move {
                loop {
                    let _ = listen(&server, &channel, &sender, &heard).await;
                    // Whatever was said in between was missed.
                    heard.notify_waiters();
                    tokio::time::sleep(PAUSE).await;
                }
            })
        });
        let waiting = self.waiting.clone();
        async move {
            let _waiting = waiting;
            wake.await;
        }
    }
}

impl Drop for Wake {
    fn drop(&mut self) {
        if let Some(listener) = self.listener.get() {
            listener.abort();
        }
    }
}

async fn listen(server: &Server, channel: &str, sender: &str, heard: &Notify) -> Result<(), Lost> {
    let subscribing = async {
        let (mut sink, messages) = server.find().await?.get_async_pubsub().await?.split();
        sink.subscribe(channel).await?;
        Ok::<_, Lost>((sink, messages))
    };
    let (mut sink, mut messages) = timeout(PATIENCE, subscribing).await??;
    heard.notify_waiters();
    loop {
        match timeout(SILENCE, messages.next()).await {
            Ok(Some(word)) if word.get_payload_bytes() == sender.as_bytes() => {}
            Ok(Some(_)) => heard.notify_waiters(),
            Ok(None) => return Ok(()),
            // A half open line is as silent as a quiet one.
            Err(_) => match timeout(PATIENCE, sink.ping::<redis::Value>()).await {
                Ok(answer) => drop(answer?),
                Err(_) => return Ok(()),
            },
        }
    }
}
