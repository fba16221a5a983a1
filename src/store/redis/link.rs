//! A connection that is made again whenever it is lost.
//!
//! Every new connection first says hello: the server must be one that takes writes and is new enough, and the
//! namespace hears of a restart or a failover. A call on a connection that fails is not repeated here: whoever
//! called knows whether it may be.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::{Arc, PoisonError};
use std::task::Poll;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Cmd, ConnectionAddr, Value};
use tokio::runtime::Handle;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

use super::codec::FAR;
use super::fault::{breaks, told, wants_script};
use super::script::{BEAT, Script};
use super::sentinel::{Server, at};
use super::wire::Items;
use crate::store::StoreError;
use crate::time::Clock;

/// Version of the layout of the keys.
const LAYOUT: i64 = 1;

/// Nodes of a cluster that are asked one after the other.
const MOVES: usize = 4;

/// Time between two attempts to find a primary that may just be changing.
const AGAIN: Duration = Duration::from_millis(100);

/// The oldest server that will do.
const OLDEST: (u32, u32) = (6, 2);

pub(super) struct Link {
    server: Server,
    /// In a cluster: the node that has the namespace, as the others have told.
    owner: std::sync::Mutex<Option<redis::Client>>,
    runtime: Handle,
    /// The one declared key of every script.
    key: String,
    patience: Duration,
    /// Who calls: no two processes have the same.
    sender: Arc<str>,
    /// Instead of the server's clock, in tests.
    clock: Option<Arc<dyn Clock>>,
    line: Mutex<Line>,
}

#[derive(Default)]
struct Line {
    /// The connection and its number.
    open: Option<(u64, MultiplexedConnection)>,
    made: u64,
    /// When the latest attempt failed, and why.
    failed: Option<(Instant, StoreError)>,
}

/// What the server says about itself.
struct About {
    version: (u32, u32),
    is_replica: bool,
    is_cluster: bool,
    run: String,
}

impl Link {
    pub fn new(
        server: Server,
        prefix: &str,
        sender: Arc<str>,
        patience: Duration,
        clock: Option<Arc<dyn Clock>>,
    ) -> Arc<Self> {
        Arc::new(Self {
            server,
            owner: std::sync::Mutex::default(),
            runtime: Handle::current(),
            key: format!("{prefix}m"),
            patience,
            sender,
            clock,
            line: Mutex::default(),
        })
    }

    pub fn runtime(&self) -> &Handle {
        &self.runtime
    }

    /// A call of a script, to which its arguments are added.
    pub fn command(&self, script: &Script, arguments: usize, bytes: usize) -> Cmd {
        let mut command = Cmd::with_capacity(arguments + 5, bytes + 128);
        command.arg("EVALSHA").arg(script.digest()).arg(1).arg(&self.key);
        match &self.clock {
            None => command.arg(&*self.sender),
            Some(clock) => command.arg(format!("{} {}", self.sender, clock.now().min(FAR))),
        };
        command
    }

    /// Runs a call to its end, even if nobody waits for the answer any more; it may take `extra` longer.
    pub async fn run(
        self: &Arc<Self>,
        script: &'static Script,
        command: Cmd,
        extra: Duration,
    ) -> Result<Value, StoreError> {
        self.run_and_tell(script, command, extra, || {}).await
    }

    /// The same; `sent` is called as soon as every later call comes after this one.
    pub async fn run_and_tell(
        self: &Arc<Self>,
        script: &'static Script,
        command: Cmd,
        extra: Duration,
        sent: impl Fn() + Send + Sync + 'static,
    ) -> Result<Value, StoreError> {
        let link = self.clone();
        let call = self.runtime.spawn(async move { link.call(script, &command, extra, &sent).await });
        call.await.unwrap_or_else(|error| Err(StoreError::Failed(error.to_string().into())))
    }

    async fn call(
        &self,
        script: &Script,
        command: &Cmd,
        extra: Duration,
        sent: &(dyn Fn() + Send + Sync),
    ) -> Result<Value, StoreError> {
        let (number, mut connection) = self.connection().await?;
        match self.send(number, &mut connection, command, extra, sent).await? {
            Err(error) if wants_script(&error) => {
                self.send(number, &mut connection, &script.load(), extra, &|| {})
                    .await?
                    .map_err(|error| told(&error))?;
                let again = self.send(number, &mut connection, command, extra, sent).await?;
                again.map_err(|error| told(&error))
            }
            answer => answer.map_err(|error| told(&error)),
        }
    }

    /// Sends a command; gives the connection up when it is of no use any more.
    async fn send(
        &self,
        number: u64,
        connection: &mut MultiplexedConnection,
        command: &Cmd,
        extra: Duration,
        sent: &(dyn Fn() + Send + Sync),
    ) -> Result<Result<Value, redis::RedisError>, StoreError> {
        let limit = self.patience + extra;
        let query = async {
            let mut query = pin!(command.query_async::<Value>(connection));
            // The first look gives the command to the line, which keeps the order.
            let first = poll_fn(|context| Poll::Ready(query.as_mut().poll(context))).await;
            sent();
            match first {
                Poll::Ready(answer) => answer,
                Poll::Pending => query.await,
            }
        };
        match timeout(limit, query).await {
            Err(_) => {
                self.give_up(number).await;
                Err(StoreError::Unreachable(format!("no answer within {} ms", limit.as_millis()).into()))
            }
            Ok(Err(error)) if breaks(&error) => {
                self.give_up(number).await;
                Ok(Err(error))
            }
            Ok(answer) => Ok(answer),
        }
    }

    async fn give_up(&self, number: u64) {
        let mut line = self.line.lock().await;
        if line.open.as_ref().is_some_and(|(open, _)| *open == number) {
            line.open = None;
        }
    }

    async fn connection(&self) -> Result<(u64, MultiplexedConnection), StoreError> {
        let began = Instant::now();
        let mut line = self.line.lock().await;
        if let Some((number, connection)) = &line.open {
            return Ok((*number, connection.clone()));
        }
        if let Some((failed_at, error)) = &line.failed
            && *failed_at > began
        {
            // Another caller has just found out; trying in turn would make a queue of waits.
            return Err(error.clone());
        }
        let made = match timeout(self.patience, self.connect(false)).await {
            Ok(made) => made,
            Err(_) => Err(StoreError::Unreachable("no connection in time".into())),
        };
        match made {
            Ok(connection) => {
                line.made += 1;
                line.open = Some((line.made, connection.clone()));
                Ok((line.made, connection))
            }
            Err(error) => {
                line.failed = Some((Instant::now(), error.clone()));
                Err(error)
            }
        }
    }

    /// The first connection, which is stricter: a server that cannot do is an error that does not pass.
    pub async fn open(&self) -> Result<(), StoreError> {
        let began = Instant::now();
        let patience = self.patience.max(Duration::from_secs(5));
        let connection = loop {
            let connect = timeout(patience, self.connect(true));
            match connect.await.map_err(|_| StoreError::Unreachable("no connection in time".into()))? {
                // A Sentinel may not have heard yet that the primary is another one.
                Err(StoreError::Unreachable(_)) if self.server.may_move() && began.elapsed() < patience => {
                    tokio::time::sleep(AGAIN).await;
                }
                made => break made?,
            }
        };
        let mut line = self.line.lock().await;
        line.made += 1;
        line.open = Some((line.made, connection));
        Ok(())
    }

    /// Connects to the server, or to the node of its cluster that has the namespace.
    async fn connect(&self, at_start: bool) -> Result<MultiplexedConnection, StoreError> {
        let owner = || self.owner.lock().unwrap_or_else(PoisonError::into_inner);
        let known = owner().clone();
        let mut client = match known {
            Some(client) => client,
            None => self.server.find().await?,
        };
        for _ in 0..MOVES {
            match self.connect_to(&client, at_start).await {
                Ok(Reached::Owner(connection)) => return Ok(connection),
                Ok(Reached::Other(address)) => {
                    client = moved(&client, &address)?;
                    *owner() = Some(client.clone());
                }
                Err(error) => {
                    // Next time the server of the address is asked again.
                    *owner() = None;
                    return Err(error);
                }
            }
        }
        Err(StoreError::Unreachable("the nodes of the cluster send us round in circles".into()))
    }

    async fn connect_to(&self, client: &redis::Client, at_start: bool) -> Result<Reached, StoreError> {
        let config = AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None);
        let connecting = client.get_multiplexed_async_connection_with_config(&config);
        let mut connection = connecting.await.map_err(|error| told(&error))?;
        let about = about(&mut connection).await?;
        if about.version < OLDEST {
            let ((major, minor), (old_major, old_minor)) = (about.version, OLDEST);
            let what =
                format!("the server has version {major}.{minor}; at least {old_major}.{old_minor} is needed");
            return Err(StoreError::Failed(what.into()));
        }
        let replica = || {
            let what = "the server is a replica, which takes no writes".into();
            if at_start && !self.server.may_move() {
                StoreError::Failed(what)
            } else {
                StoreError::Unreachable(what)
            }
        };
        if about.is_replica && !about.is_cluster {
            return Err(replica());
        }
        if at_start {
            check_eviction(&mut connection).await?;
        }
        if let Some(address) = self.hello(&mut connection, &about.run).await? {
            return Ok(Reached::Other(address));
        }
        if about.is_replica { Err(replica()) } else { Ok(Reached::Owner(connection)) }
    }

    /// Says hello; answers which node of a cluster has the namespace, where this one has not.
    async fn hello(
        &self,
        connection: &mut MultiplexedConnection,
        run: &str,
    ) -> Result<Option<String>, StoreError> {
        let mut command = self.command(&BEAT, 3, 128);
        command.arg("hello").arg(run).arg(LAYOUT);
        let mut answer = command.query_async::<Value>(connection).await;
        if answer.as_ref().is_err_and(wants_script) {
            BEAT.load().query_async::<Value>(connection).await.map_err(|error| told(&error))?;
            answer = command.query_async::<Value>(connection).await;
        }
        if let Err(error) = &answer
            && let Some((address, _)) = error.redirect_node()
        {
            return Ok(Some(address.to_owned()));
        }
        let mut answer = Items::of(answer.map_err(|error| told(&error))?)?;
        let (found, is_new_run) = (answer.number()?, answer.number()? == 1);
        if found > LAYOUT {
            return Err(StoreError::Version { found: found as u32, known: LAYOUT as u32 });
        }
        if is_new_run {
            tracing::warn!("the server was restarted or another one has taken over");
        }
        Ok(None)
    }
}

/// Whom a connection leads to.
enum Reached {
    Owner(MultiplexedConnection),
    /// The node at this address has the namespace.
    Other(String),
}

/// A client like this one for another node of the same cluster.
fn moved(client: &redis::Client, address: &str) -> Result<redis::Client, StoreError> {
    let wrong = || StoreError::Unreachable("the cluster names a node without an address".into());
    let (to, port) = address.rsplit_once(':').ok_or_else(wrong)?;
    let port = port.parse().map_err(|_| wrong())?;
    let own = match client.get_connection_info().addr() {
        ConnectionAddr::Tcp(host, _) | ConnectionAddr::TcpTls { host, .. } => host,
        _ => "localhost",
    };
    at(client, if to.is_empty() { own } else { to }, port)
}

async fn about(connection: &mut MultiplexedConnection) -> Result<About, StoreError> {
    let mut text = String::new();
    for section in ["server", "replication"] {
        let mut command = redis::cmd("INFO");
        command.arg(section);
        let value = command.query_async::<Value>(connection).await.map_err(|error| told(&error))?;
        text.push_str(&super::wire::text(value)?);
        text.push('\n');
    }
    let field = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.unwrap_or_default().trim()
    };
    let mut version = field("redis_version").split('.').map(|part| part.parse().unwrap_or(0));
    Ok(About {
        version: (version.next().unwrap_or(0), version.next().unwrap_or(0)),
        is_replica: field("role") == "slave",
        is_cluster: field("redis_mode") == "cluster",
        run: format!("{}:{}", field("run_id"), field("master_replid")),
    })
}

async fn check_eviction(connection: &mut MultiplexedConnection) -> Result<(), StoreError> {
    let mut command = redis::cmd("CONFIG");
    command.arg("GET").arg("maxmemory-policy");
    let answer = command.query_async::<Value>(connection).await;
    let policy = answer.ok().and_then(|value| Items::of(value).ok()?.map(super::wire::text).ok()?.pop());
    match policy.as_deref() {
        Some("noeviction") => Ok(()),
        Some(other) => Err(StoreError::Failed(
            format!("maxmemory-policy is {other}: tasks would be lost without a word; set it to noeviction")
                .into(),
        )),
        None => {
            tracing::warn!("the server does not tell its maxmemory-policy; it has to be noeviction");
            Ok(())
        }
    }
}
