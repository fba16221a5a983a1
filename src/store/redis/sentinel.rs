//! Where the server of a store is: at one address, or wherever Sentinels say that the primary is.
//!
//! Sentinels are asked before every new connection, all at once, and the first that knows is believed: whether the
//! server it names takes writes is seen by whoever connects. Nothing is remembered, so a failover needs no word.
//! A Sentinel that asks for a password is given that of the server.

use std::fmt;
use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use redis::{AsyncConnectionConfig, Client, ConnectionAddr, RedisError};

use super::fault::told;
use crate::store::StoreError;

/// Whom to connect to.
#[derive(Clone)]
pub(super) enum Server {
    At(Arc<Client>),
    Watched(Arc<Watched>),
}

/// A primary that Sentinels watch.
pub(super) struct Watched {
    /// The name that they know it by.
    pub name: String,
    /// How to connect to a server, but for its address.
    pub like: Client,
    pub sentinels: Vec<Client>,
}

/// The parts of `redis+sentinel://user:password@host:port,host:port/name/database`, all but the name as the
/// addresses of servers.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Address {
    pub name: String,
    /// The first Sentinel with the user and the database of the server, which it does not have itself.
    pub like: String,
    pub sentinels: Vec<String>,
}

/// The port of a Sentinel whose address names none.
const PORT: u16 = 26_379;

impl Address {
    /// The parts of an address that names Sentinels; nothing for any other address.
    pub fn parse(url: &str) -> Option<Result<Self, &'static str>> {
        let (scheme, rest) = match url.split_once("+sentinel://")? {
            (scheme @ ("redis" | "rediss"), rest) => (scheme, rest),
            _ => return None,
        };
        Some(Self::of_parts(scheme, rest))
    }

    fn of_parts(scheme: &str, rest: &str) -> Result<Self, &'static str> {
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (user, hosts) = authority.rsplit_once('@').map_or(("", authority), |(user, hosts)| (user, hosts));
        let (name, database) = path.split_once('/').unwrap_or((path, ""));
        if name.is_empty() || name.contains(['?', '#']) {
            return Err("the name of the primary is missing");
        }
        if hosts.split(',').any(str::is_empty) {
            return Err("a Sentinel is without a host");
        }
        let sentinels: Vec<_> =
            hosts.split(',').map(|host| format!("{scheme}://{}", with_port(host))).collect();
        let at = if user.is_empty() { String::new() } else { format!("{user}@") };
        let first = hosts.split(',').next().map(with_port).unwrap_or_default();
        Ok(Self { name: name.into(), like: format!("{scheme}://{at}{first}/{database}"), sentinels })
    }
}

/// The colons of an IPv6 address stand in brackets.
fn with_port(host: &str) -> String {
    let is_named = host.rsplit(']').next().is_some_and(|end| end.contains(':'));
    if is_named { host.to_owned() } else { format!("{host}:{PORT}") }
}

impl Server {
    /// A client for the server as it is known now.
    pub async fn find(&self) -> Result<Client, StoreError> {
        match self {
            Self::At(client) => Ok(Client::clone(client)),
            Self::Watched(watched) => watched.find().await,
        }
    }

    /// Whether another server may take its place.
    pub fn may_move(&self) -> bool {
        matches!(self, Self::Watched(_))
    }
}

impl Watched {
    async fn find(&self) -> Result<Client, StoreError> {
        let mut answers: FuturesUnordered<_> =
            self.sentinels.iter().map(|sentinel| self.ask(sentinel)).collect();
        let mut failure = None;
        while let Some(answer) = answers.next().await {
            match answer {
                Ok(Some((host, port))) => return at(&self.like, &host, port),
                Ok(None) => (),
                Err(error) => failure = Some(error),
            }
        }
        Err(match failure {
            Some(error) => StoreError::Unreachable(format!("no Sentinel knows the primary: {error}").into()),
            None => StoreError::Failed(format!("no Sentinel watches a primary named {:?}", self.name).into()),
        })
    }

    /// Host and port of the primary, where this Sentinel knows it.
    async fn ask(&self, sentinel: &Client) -> Result<Option<(String, u16)>, StoreError> {
        let config = AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None);
        let connecting = sentinel.get_multiplexed_async_connection_with_config(&config);
        let mut connection = connecting.await.map_err(|error| told(&error))?;
        let mut question = redis::cmd("SENTINEL");
        question.arg("get-master-addr-by-name").arg(&self.name);
        let mut answer = question.query_async(&mut connection).await;
        if answer.as_ref().is_err_and(|error: &RedisError| error.code() == Some("NOAUTH"))
            && let Some(password) = self.like.get_connection_info().redis_settings().password()
        {
            let mut auth = redis::cmd("AUTH");
            auth.arg(self.like.get_connection_info().redis_settings().username()).arg(password);
            auth.exec_async(&mut connection).await.map_err(|error| told(&error))?;
            answer = question.query_async(&mut connection).await;
        }
        answer.map_err(|error| told(&error))
    }
}

impl fmt::Debug for Server {
    /// Without what is secret.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::At(_) => out.write_str("At"),
            Self::Watched(watched) => write!(out, "Watched({:?})", watched.name),
        }
    }
}

/// A client like this one, for the server at another address.
pub(super) fn at(like: &Client, host: &str, port: u16) -> Result<Client, StoreError> {
    let info = like.get_connection_info();
    let host = host.to_owned();
    let address = match info.addr() {
        ConnectionAddr::TcpTls { insecure, tls_params, .. } => {
            ConnectionAddr::TcpTls { host, port, insecure: *insecure, tls_params: tls_params.clone() }
        }
        _ => ConnectionAddr::Tcp(host, port),
    };
    Client::open(info.clone().set_addr(address)).map_err(|error| told(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(url: &str) -> Address {
        Address::parse(url).expect("it names Sentinels").expect("it is whole")
    }

    #[test]
    fn an_address_names_several_sentinels_and_one_primary() {
        let all = parts("rediss+sentinel://me:p%40ss@a:1,b,[::1],[::2]:5/main/3");
        assert_eq!(all.name, "main");
        assert_eq!(all.like, "rediss://me:p%40ss@a:1/3");
        assert_eq!(
            all.sentinels,
            ["rediss://a:1", "rediss://b:26379", "rediss://[::1]:26379", "rediss://[::2]:5"]
        );
        let short = parts("redis+sentinel://a/main");
        assert_eq!((short.like.as_str(), short.sentinels.len()), ("redis://a:26379/", 1));
    }

    #[test]
    fn what_is_missing_is_named_and_other_addresses_are_none_of_ours() {
        let wrong = |url| Address::parse(url).expect("it names Sentinels").unwrap_err();
        for url in
            ["redis+sentinel://a", "redis+sentinel://a/", "redis+sentinel://a//1", "redis+sentinel://a/?b"]
        {
            assert!(wrong(url).contains("name of the primary"), "{url}");
        }
        for url in ["redis+sentinel:///main", "redis+sentinel://a,/main", "redis+sentinel://me@/main"] {
            assert!(wrong(url).contains("without a host"), "{url}");
        }
        for url in ["redis://a/b", "http+sentinel://a/b", "redis+unix://a", ""] {
            assert_eq!(Address::parse(url), None, "{url}");
        }
    }
}
