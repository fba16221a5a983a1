//! How a Redis store is opened.

use std::fmt;
use std::sync::Arc;

use redis::io::tcp::TcpSettings;
use redis::{ClientTlsConfig, ConnectionInfo, IntoConnectionInfo, TlsCertificates};

use super::sentinel::{Address, Server, Watched};
use crate::store::StoreError;
use crate::store::open::NAMESPACE;
use crate::time::Millis;

/// The form of an address of Sentinels.
const SENTINELS: &str = "it is redis+sentinel://[user:password@]host[:port][,host[:port]...]/name[/database]";

/// Options of `RedisStore::connect`.
#[derive(Clone)]
pub struct RedisOptions {
    /// Everything of a store is kept under this name: 1 to 128 bytes, without control characters. In a cluster
    /// a namespace is one slot, so work is spread by using several.
    pub namespace: String,
    /// A node that has not beaten for so long is dead; at least 1000 ms.
    pub lease: Millis,
    /// Longest wait for a connection or an answer; a long push has longer. At least 100 ms.
    pub timeout: Millis,
    /// Instead of the user of the address.
    pub username: Option<String>,
    /// Instead of the password of the address.
    pub password: Option<String>,
    /// Certificates (PEM) that are trusted instead of the system's, for `rediss://`.
    pub root_certificates: Option<Vec<u8>>,
    /// The client's own certificate and its key (PEM), for `rediss://`.
    pub client_certificate: Option<(Vec<u8>, Vec<u8>)>,
}

impl Default for RedisOptions {
    fn default() -> Self {
        Self {
            namespace: NAMESPACE.into(),
            lease: 30_000,
            timeout: 2000,
            username: None,
            password: None,
            root_certificates: None,
            client_certificate: None,
        }
    }
}

impl fmt::Debug for RedisOptions {
    /// Without what is secret.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("RedisOptions")
            .field("namespace", &self.namespace)
            .field("lease", &self.lease)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

impl RedisOptions {
    pub(super) fn check(&self) -> Result<(), StoreError> {
        let wrong = |what: String| Err(StoreError::Failed(what.into()));
        if let Err(error) = crate::task::check_name(&self.namespace) {
            return wrong(format!("namespace {error}"));
        }
        if self.lease < 1000 {
            return wrong(format!("lease is {} ms; at least 1000 are allowed", self.lease));
        }
        if self.timeout < 100 {
            return wrong(format!("timeout is {} ms; at least 100 are allowed", self.timeout));
        }
        Ok(())
    }

    /// What all keys begin with: the namespace, encoded so that two never meet, as the hash tag.
    pub(super) fn prefix(&self) -> String {
        let mut prefix = String::from("{task:");
        for byte in self.namespace.bytes() {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => prefix.push(byte.into()),
                _ => prefix.push_str(&format!("%{byte:02x}")),
            }
        }
        prefix.push_str("}:");
        prefix
    }

    /// The server that `url` leads to.
    pub(super) fn server(&self, url: &str) -> Result<Server, StoreError> {
        let Some(address) = Address::parse(url) else {
            return Ok(Server::At(Arc::new(self.client(url)?)));
        };
        let wrong = |what| StoreError::Failed(format!("{what} in the address: {SENTINELS}").into());
        let Address { name, like, sentinels } = address.map_err(wrong)?;
        // A name or a password for the server is none for the Sentinels, unless they ask for one.
        let plain = Self { username: None, password: None, ..self.clone() };
        let sentinels = sentinels.iter().map(|url| plain.client(url)).collect::<Result<_, _>>()?;
        Ok(Server::Watched(Arc::new(Watched { name, like: self.client(&like)?, sentinels })))
    }

    /// A client for the server at `url`.
    fn client(&self, url: &str) -> Result<redis::Client, StoreError> {
        // The parser's own words might repeat the address, and with it a password.
        let refused = |_| {
            StoreError::Failed(
                "the address is no redis://, rediss://, redis+sentinel:// or redis+unix:// URL".into(),
            )
        };
        let info: ConnectionInfo = url.into_connection_info().map_err(refused)?;
        // The newer protocol has other forms for the same answers.
        let mut settings = info.redis_settings().clone().set_protocol(redis::ProtocolVersion::RESP2);
        if let Some(username) = &self.username {
            settings = settings.set_username(username);
        }
        if let Some(password) = &self.password {
            settings = settings.set_password(password);
        }
        let info =
            info.set_redis_settings(settings).set_tcp_settings(TcpSettings::default().set_nodelay(true));
        let failed = |error: redis::RedisError| StoreError::Failed(error.category().to_owned().into());
        if !url.starts_with("rediss:") {
            return redis::Client::open(info).map_err(failed);
        }
        // Only one provider is built in, but a program around this library may have brought another.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client_tls = self.client_certificate.clone();
        let client_tls =
            client_tls.map(|(client_cert, client_key)| ClientTlsConfig { client_cert, client_key });
        let certificates = TlsCertificates { client_tls, root_cert: self.root_certificates.clone() };
        redis::Client::build_with_tls(info, certificates).map_err(failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(namespace: &str) -> RedisOptions {
        RedisOptions { namespace: namespace.into(), ..RedisOptions::default() }
    }

    #[test]
    fn prefixes_are_one_hash_tag_and_never_meet() {
        let names = ["a", "A", "a:", "{a}", "a}", "%61", "a%7d", "\u{e9}", "e\u{301}", "a b"];
        let mut prefixes: Vec<_> = names.iter().map(|name| named(name).prefix()).collect();
        for prefix in &prefixes {
            assert!(prefix.starts_with('{') && prefix.find('}') == Some(prefix.len() - 2), "{prefix}");
        }
        prefixes.sort();
        prefixes.dedup();
        assert_eq!(prefixes.len(), names.len());
    }

    #[test]
    fn bad_options_are_named() {
        let wrong = |options: RedisOptions| options.check().unwrap_err().to_string();
        assert!(wrong(named("")).contains("namespace is empty"));
        assert!(wrong(RedisOptions { lease: 999, ..RedisOptions::default() }).contains("lease is 999 ms"));
        assert!(wrong(RedisOptions { timeout: 0, ..RedisOptions::default() }).contains("timeout is 0 ms"));
    }

    #[test]
    fn a_password_is_never_shown() {
        let options = RedisOptions { password: Some("secret".into()), ..RedisOptions::default() };
        let address = options.client("redis://user:secret@[::bad").unwrap_err();
        let scheme = options.client("http://user:secret@host").unwrap_err();
        let sentinel = options.server("redis+sentinel://user:secret@a,/main").unwrap_err();
        let server = options.server("redis+sentinel://user:secret@a,b/main").unwrap();
        let all = format!("{options:?} {address} {scheme} {address:?} {sentinel} {server:?}");
        assert!(!all.contains("secret"), "{all}");
        assert!(all.contains(SENTINELS), "{all}");
    }
}
