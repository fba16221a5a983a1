//! The Redis store: any number of nodes on a Redis 6.2 or later, or a Valkey.
//!
//! Layout: `script` names the scripts of `lua`, in which every decision that nodes race for is taken; `codec`
//! and `wire` say how specs, records and answers look; `link` keeps a connection, `push` sends what is pushed
//! together, and the other files are the methods of the trait.
//!
//! What holds:
//! - Every method that changes something is one script (a filter or a large prune: one script a step), which
//!   looks at everything that a caller can get wrong before it writes. The server runs scripts one at a time.
//! - All keys begin with the namespace as their one hash tag; names are never part of a key where they could be
//!   taken for something else. Inputs and outputs are not looked into.
//! - Dates are the server's clock. Whole milliseconds up to 2^48 are kept; later ones become that.
//! - Where memory has run out, pushes are refused (`StoreError::Full`) and everything else goes on: every other
//!   script begins by giving something back, and a server refuses a script only at its first write.
//! - An epoch is drawn from one counter of the namespace. A restart or a failover may lose the newest writes,
//!   and with them draws: every new connection compares the server's run with the one that is noted, and where
//!   it differs skips a thousand million epochs. So no epoch is drawn twice, and what was claimed in the lost
//!   part settles as stale, or, if the task is running under that very epoch on the new server too, counts.
//!   What was acknowledged in the lost part is gone; this store cannot bring it back. Not noticed is a server
//!   that was made a replica and a primary again while a connection to it stayed open and unused.
//! - Where nobody has beaten for half a lease (a pause of the server, a failover) nobody is dead for a lease.
//! - In a cluster a namespace is on one node. The address may name any; the store goes where it is sent.
//! - The last answer to every node is kept for some leases, so that a repeated `advance` is answered again. It
//!   leaves out claims that the node has lost since.
//!
//! A user of the server needs these rights beside a password (a namespace of its own in place of the stars);
//! with `+config|get` the store can also see for itself that nothing is evicted, and a database other than 0 needs
//! `+select`:
//!
//! ```text
//! resetchannels ~{task:*}:* &{task:*}:* +evalsha +script|load +info +ping +subscribe +publish +time
//! +get +set +unlink +exists +rename +hget +hset +hdel +hexists +hmget +hgetall +hlen +hincrby
//! +zadd +zrem +zrange +zrangebyscore +zrevrangebyscore +zremrangebyrank +zremrangebyscore +zcard +zscore
//! +rpush +lpop +lindex +llen +lrange +sadd +srem +smembers +sismember
//! ```
//!
//! What does not: names and ids of more than 255 bytes are an error here. A page of a list may be short and
//! still have a cursor, when a second of looking was not enough. `amend` by more than 1000 ids, other than
//! `Retry`, is several steps.

mod advance;
mod cells;
mod codec;
mod fault;
mod link;
mod nodes;
mod notes;
mod operating;
mod options;
mod push;
mod reading;
mod runs;
mod script;
mod sentinel;
mod wake;
mod wire;

use std::sync::Arc;
use std::time::Duration;

use super::{
    Advance, Amend, Amended, Answer, Cell, Counts, Due, Found, Node, NodeId, Page, Pulse, Push, Pushed,
    Query, Refusal, Retention, Store, StoreError, Swap, Target, Turn,
};
use crate::task::{Claimed, Name, NoteKind, Noted, Notes, TaskId, Unnoted};
use crate::time::{Clock, Millis};

pub use options::RedisOptions;

use link::Link;
use operating::Round;
use push::Pusher;
use runs::Runs;
use wake::Wake;

/// Tasks on a Redis server, shared by all processes that use the same namespace.
pub struct RedisStore {
    data: Arc<Link>,
    /// Apart from the data, so that a beat never stands behind a long call of this process.
    beat: Arc<Link>,
    pusher: Arc<Pusher>,
    wake: Arc<Wake>,
    round: Round,
    runs: Runs,
    lease: Millis,
}

impl RedisStore {
    /// Says what is wrong with an address, without a look at the server.
    pub fn check(url: &str) -> Result<(), StoreError> {
        RedisOptions::default().server(url).map(drop)
    }

    /// Opens the namespace on the server at `url` (`redis://`, `rediss://`, `redis+unix://`), or on the primary that
    /// Sentinels name (`redis+sentinel://host:port,host:port/name`, `rediss+sentinel://...`), within a tokio
    /// runtime. Refused are servers before 6.2, replicas, and those that may evict keys.
    pub async fn connect(url: &str, options: RedisOptions) -> Result<Self, StoreError> {
        Self::open(url, options, None).await
    }

    /// The same on this clock instead of the server's; for tests, which cannot wait for hours.
    pub async fn with_clock(url: &str, options: RedisOptions, clock: impl Clock) -> Result<Self, StoreError> {
        Self::open(url, options, Some(Arc::new(clock))).await
    }

    async fn open(
        url: &str,
        options: RedisOptions,
        clock: Option<Arc<dyn Clock>>,
    ) -> Result<Self, StoreError> {
        options.check()?;
        let (server, prefix) = (options.server(url)?, options.prefix());
        let patience = Duration::from_millis(options.timeout);
        let sender = TaskId::new().to_text();
        let data = Link::new(server.clone(), &prefix, sender.clone(), patience, clock.clone());
        let beat = Link::new(server.clone(), &prefix, sender.clone(), patience, clock);
        data.open().await?;
        let wake = Arc::new(Wake::new(server, &prefix, sender));
        let pusher = Pusher::new(data.clone(), wake.clone());
        Ok(Self {
            data,
            beat,
            pusher,
            wake,
            round: Round::default(),
            runs: Runs::default(),
            lease: options.lease,
        })
    }
}

impl std::fmt::Debug for RedisStore {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("RedisStore").field("lease", &self.lease).finish_non_exhaustive()
    }
}

impl Store for RedisStore {
    fn push(&self, pushes: Arc<[Push]>) -> Answer<'_, Vec<Result<Vec<Pushed>, Refusal>>> {
        Box::pin(async move { self.pusher.push(pushes).await })
    }

    fn advance(&self, step: Arc<Advance>) -> Answer<'_, Arc<Turn>> {
        Box::pin(async move {
            let turn = advance::advance(&self.data, &self.runs, &step, self.lease).await?;
            if !turn.settled.is_empty() || !turn.ended.is_empty() {
                self.wake.tell_others();
            }
            Ok(turn)
        })
    }

    fn orphans(&self, nodes: Vec<NodeId>, max: usize) -> Answer<'_, Vec<Claimed>> {
        Box::pin(async move { nodes::orphans(&self.data, &nodes, max).await })
    }

    fn due(&self, max: usize) -> Answer<'_, Due> {
        Box::pin(cells::due(&self.data, max))
    }

    fn amend(&self, target: Target, change: Amend) -> Answer<'_, Amended> {
        Box::pin(async move {
            let amended = operating::amend(&self.data, &self.round, &target, &change).await;
            self.wake.tell();
            amended
        })
    }

    fn note(&self, notes: Arc<[Noted]>) -> Answer<'_, Vec<Result<(), Unnoted>>> {
        Box::pin(async move { notes::note(&self.data, &notes).await })
    }

    fn notes(&self, ids: Vec<TaskId>, kind: NoteKind) -> Answer<'_, Vec<Notes>> {
        Box::pin(async move { notes::read(&self.data, &ids, kind).await })
    }

    fn get(&self, ids: Vec<TaskId>) -> Answer<'_, Found> {
        Box::pin(async move { reading::get(&self.data, &ids).await })
    }

    fn list(&self, query: Query) -> Answer<'_, Page> {
        Box::pin(async move { reading::list(&self.data, &query).await })
    }

    fn counts(&self, queue: Option<Name>) -> Answer<'_, Counts> {
        Box::pin(async move { reading::counts(&self.data, queue.as_deref()).await })
    }

    fn prune(&self, limits: Retention, max: usize) -> Answer<'_, usize> {
        Box::pin(async move { operating::prune(&self.data, &limits, max).await })
    }

    fn swap(&self, swap: Swap) -> Answer<'_, Result<(), Option<Cell>>> {
        Box::pin(async move {
            let swapped = cells::swap(&self.data, &swap).await;
            self.wake.tell();
            swapped
        })
    }

    fn read(&self, key: Name) -> Answer<'_, Option<Cell>> {
        Box::pin(async move { cells::read(&self.data, &key).await })
    }

    fn cells(&self, prefix: Name, after: Option<Name>, max: usize) -> Answer<'_, Vec<(Name, Cell)>> {
        Box::pin(async move { cells::page(&self.data, &prefix, after.as_deref(), max).await })
    }

    fn changed(&self) -> Answer<'_, ()> {
        let next = self.wake.next(self.data.runtime());
        Box::pin(async move {
            next.await;
            Ok(())
        })
    }

    fn pulse(&self, node: NodeId) -> Answer<'_, Pulse> {
        Box::pin(async move { nodes::pulse(&self.beat, &node, self.lease).await })
    }

    fn leave(&self, node: NodeId) -> Answer<'_, ()> {
        Box::pin(async move { nodes::leave(&self.beat, &node).await })
    }

    fn nodes(&self) -> Answer<'_, Vec<Node>> {
        Box::pin(nodes::nodes(&self.beat))
    }
}
