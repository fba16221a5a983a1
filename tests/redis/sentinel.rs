//! A primary that Sentinels watch: it dies, they decide, and the store goes where they say.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use task::store::redis::{RedisOptions, RedisStore};
use task::store::{Store, StoreError};
use task::task::TaskId;

use crate::block_on;
use crate::crew::{Crew, success};
use crate::rig::{Server, folder, free_port, port_of};
use crate::verify::verify;

const PASSWORD: &str = "p@ss";
/// The same in an address.
const ESCAPED: &str = "p%40ss";

/// A pair of servers with a password, the second a copy of the first, and three Sentinels that watch them.
struct Pair {
    primary: Server,
    replica: Server,
    sentinels: Vec<Server>,
}

impl Pair {
    fn start() -> Self {
        let secret = ["--requirepass", PASSWORD, "--masterauth", PASSWORD, "--repl-diskless-sync-delay", "0"];
        let primary = Server::on_port(&secret);
        let port = port_of(&primary).to_string();
        let copy = ["--replicaof", &format!("127.0.0.1 {port}")];
        let replica = Server::on_port(&[&secret[..], &copy[..]].concat());
        let mut pair = Self { primary, replica, sentinels: Vec::new() };
        pair.until("the replica copies", |pair| {
            pair.ask(&pair.replica, &["INFO", "replication"]).contains("master_link_status:up")
        });
        // One of them asks for a password too.
        pair.sentinels = (0..3).map(|number| sentinel(&port, number == 0)).collect();
        pair.until("the Sentinels know each other and the replica", |pair| {
            pair.sentinels.iter().all(|one| {
                let line = pair.ask(one, &["INFO", "sentinel"]);
                line.contains("status=ok") && line.contains("slaves=1,sentinels=3")
            })
        });
        pair
    }

    /// The address by which a store finds the primary. The first of the Sentinels is not there at all.
    fn address(&self) -> String {
        let mut hosts = vec![format!("127.0.0.1:{}", free_port())];
        hosts.extend(self.sentinels.iter().map(|one| format!("127.0.0.1:{}", port_of(one))));
        format!("redis+sentinel://:{ESCAPED}@{}/main", hosts.join(","))
    }

    fn connection(&self, server: &Server) -> redis::Connection {
        let url = format!("redis://127.0.0.1:{}", port_of(server));
        let mut connection =
            redis::Client::open(url).and_then(|client| client.get_connection()).expect("it answers");
        // A Sentinel without a password takes none.
        let _ = redis::cmd("AUTH").arg(PASSWORD).exec(&mut connection);
        connection
    }

    fn ask(&self, server: &Server, words: &[&str]) -> String {
        let mut command = redis::cmd(words[0]);
        command.arg(&words[1..]);
        command.query(&mut self.connection(server)).unwrap_or_else(|error| panic!("{words:?}: {error}"))
    }

    fn until(&self, what: &str, is_so: impl Fn(&Self) -> bool) {
        let began = Instant::now();
        while !is_so(self) {
            assert!(began.elapsed() < Duration::from_secs(60), "still waiting until {what}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

fn sentinel(port: &str, has_password: bool) -> Server {
    let folder = folder();
    let own = free_port();
    let password = if has_password { format!("requirepass {PASSWORD}\n") } else { String::new() };
    // They speak with each other, so all of them need the word that one asks for.
    let text = format!(
        "port {own}\nbind 127.0.0.1\nsentinel sentinel-pass {PASSWORD}\n{password}\
         sentinel monitor main 127.0.0.1 {port} 2\nsentinel auth-pass main {PASSWORD}\n\
         sentinel down-after-milliseconds main 500\nsentinel failover-timeout main 3000\n"
    );
    let file = folder.join("sentinel.conf");
    std::fs::write(&file, text).expect("a folder of our own");
    let arguments = vec![file.display().to_string(), "--sentinel".into()];
    Server::start(folder, format!("redis://127.0.0.1:{own}"), arguments)
}

#[test]
fn the_primary_that_sentinels_choose_is_found_before_and_after_a_failover() {
    let mut pair = Pair::start();
    block_on(async {
        let address = pair.address();
        let crew = Crew::join(&address, "node").await;
        let pushed: HashSet<TaskId> = crew.push_many(200).await.into_iter().collect();
        let runs = crew.claim(50).await;
        let mut primary = pair.connection(&pair.primary);
        redis::cmd("SET").arg("copied").arg(1).exec(&mut primary).expect("it takes writes");
        let copies: i64 =
            redis::cmd("WAIT").arg(1).arg(10_000).query(&mut primary).expect("it has a replica");
        assert_eq!(copies, 1, "the replica keeps up");

        pair.primary.crash();
        let mut done: HashSet<TaskId> = runs.iter().map(|run| run.spec.id.clone()).collect();
        // Waits for the new primary by itself.
        crew.step(runs.iter().map(success).collect(), 0).await;
        for id in crew.work_off().await {
            assert!(done.insert(id), "nothing is done twice");
        }
        assert_eq!(done, pushed, "all that the replica had heard of");
        verify(&mut pair.connection(&pair.replica), "default").expect("no contradictions");

        // Whoever comes now is led to the new one at once, and words of wake-up come from there.
        let late = RedisStore::connect(&address, RedisOptions::default()).await.expect("it is found");
        let heard = late.changed();
        crew.push_many(1).await;
        heard.await.expect("a word");
        assert_eq!(late.counts(None).await.expect("it answers").unfinished(), 1);
    });
}

#[test]
fn a_name_that_no_sentinel_knows_is_an_error_that_does_not_pass() {
    let server = Server::on_port(&[]);
    let watch = sentinel(&port_of(&server).to_string(), false);
    block_on(async {
        let at = |hosts: &str, name: &str| format!("redis+sentinel://:secret@{hosts}/{name}");
        let known = format!("127.0.0.1:{}", port_of(&watch));
        let refused = async |url: String| match RedisStore::connect(&url, RedisOptions::default()).await {
            Ok(_) => panic!("{url} leads nowhere"),
            Err(error) => error,
        };
        let error = refused(at(&known, "other")).await;
        assert!(matches!(&error, StoreError::Failed(what) if what.contains("\"other\"")), "{error:?}");
        // One that cannot be asked might know it.
        let nobody = format!("{known},127.0.0.1:{}", free_port());
        let error = refused(at(&nobody, "other")).await;
        assert!(matches!(&error, StoreError::Unreachable(_)), "{error:?}");
        assert!(!error.to_string().contains("secret"));
    });
}
