//! Who may use a server, and which servers are used: TLS, users, and what is refused at the start.

use std::path::PathBuf;

use task::store::redis::{RedisOptions, RedisStore};
use task::store::suite::all;
use task::store::{Store, StoreError};
use task::{TaskError, TaskExecutor};

use crate::block_on;
use crate::conformance::{LEASE, Namespace};
use crate::crew::Crew;
use crate::rig::{Server, folder, free_port, port_of};

/// The rights that the module's documentation names.
fn documented() -> Vec<&'static str> {
    let text = include_str!("../../src/store/redis/mod.rs");
    let block =
        text.split("```").nth(1).and_then(|block| block.strip_prefix("text")).expect("the list is there");
    block.split_whitespace().filter(|word| *word != "//!").collect()
}

fn allow(server: &Server, more: &str) {
    let mut words = vec!["ACL", "SETUSER", "worker", "on", ">secret", "-@all"];
    words.extend(documented().into_iter().chain(more.split_whitespace()));
    server.command(&words);
}

fn user(password: &str) -> RedisOptions {
    let (username, password) = (Some("worker".into()), Some(password.into()));
    RedisOptions { username, password, lease: LEASE, ..RedisOptions::default() }
}

#[test]
fn a_user_with_the_documented_rights_can_do_everything() {
    let server: &'static Server = Box::leak(Box::new(Server::plain()));
    // Without `+config|get` the store starts as well, and says so in its log.
    allow(server, "");
    block_on(async {
        for check in all() {
            let namespace = format!("{}.{}", check.topic, check.name);
            let options = RedisOptions { namespace, ..user("secret") };
            check.run(Box::new(Namespace::open(server, options, false).await)).await;
        }
    });
    allow(server, "+select");
    block_on(async {
        // On the server's own clock, and as somebody who listens for hints.
        let crew = Crew::with(&format!("{}?db=1", server.url), "node", user("secret")).await;
        let (pushed, worked) = tokio::join!(crew.push_many(3), async {
            crew.store.changed().await.expect("a hint comes");
            crew.work_off().await.len()
        });
        assert_eq!((pushed.len(), worked), (3, 3));
    });
    assert_eq!(unneeded(server), [""; 0], "rights that are documented and not needed");
}

/// Documented rights to commands that nobody has called on this server.
fn unneeded(server: &Server) -> Vec<&'static str> {
    let redis::Value::BulkString(text) = server.command(&["INFO", "commandstats"]) else {
        panic!("INFO is a text")
    };
    let text = String::from_utf8(text).expect("INFO is UTF-8");
    let is_unneeded = |right: &&str| {
        let command = right.trim_start_matches('+');
        // Redis 6.2 does not count subcommands apart.
        let names = [command, command.split('|').next().unwrap_or(command)];
        let is_any = |line: &str| names.iter().any(|name| line.starts_with(&format!("cmdstat_{name}:")));
        !text.lines().any(is_any)
    };
    documented().into_iter().filter(|right| right.starts_with('+')).filter(is_unneeded).collect()
}

fn cluster_node() -> Server {
    Server::on_port(&["--cluster-enabled", "yes", "--cluster-port", &free_port().to_string()])
}

/// Waits until all slots of a cluster are served, as this node sees it.
fn until_whole(server: &Server) {
    let state = || match server.command(&["CLUSTER", "INFO"]) {
        redis::Value::BulkString(info) => String::from_utf8_lossy(&info).into_owned(),
        other => panic!("{other:?} is no text"),
    };
    let began = std::time::Instant::now();
    while !state().starts_with("cluster_state:ok") || !state().contains("cluster_slots_ok:16384") {
        assert!(began.elapsed() < std::time::Duration::from_secs(30), "{}", state());
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

/// A task is enqueued and run by an executor in this namespace, and by no other.
async fn runs_in(url: &str, namespace: &str) {
    let executor = TaskExecutor::builder().persistence(url).namespace(namespace).build();
    let executor = executor.expect("good settings");
    let own = namespace.to_owned();
    let who = move |asked: String| {
        let answer = format!("{own} for {asked}");
        async { Ok::<_, TaskError>(answer) }
    };
    executor.register("who", who).expect("a good name");
    executor.start().await.expect("it starts");
    let handle = executor.enqueue("who", namespace).await.expect("it is accepted");
    let output: String = handle.result().await.expect("it completes").parse().expect("a text");
    assert_eq!(output, format!("{namespace} for {namespace}"));
    executor.close().await;
}

#[test]
fn namespaces_are_found_on_whatever_node_of_a_cluster_they_are() {
    let nodes = [cluster_node(), cluster_node(), cluster_node()];
    for (node, slots) in nodes.iter().zip([["0", "5000"], ["5001", "11000"], ["11001", "16383"]]) {
        node.command(&["CLUSTER", "ADDSLOTSRANGE", slots[0], slots[1]]);
    }
    let bus = |node: &Server| {
        let redis::Value::Array(pair) = node.command(&["CONFIG", "GET", "cluster-port"]) else {
            panic!("no pair")
        };
        redis::from_redis_value::<String>(pair[1].clone()).expect("a port")
    };
    for node in &nodes[1..] {
        node.command(&["CLUSTER", "MEET", "127.0.0.1", &port_of(&nodes[0]).to_string(), &bus(&nodes[0])]);
    }
    nodes.iter().for_each(until_whole);
    block_on(async {
        let mut slots = [0; 3];
        for name in ["a", "b", "c", "d", "e", "f"] {
            let redis::Value::Int(slot) =
                nodes[0].command(&["CLUSTER", "KEYSLOT", &format!("{{task:{name}}}")])
            else {
                panic!("a slot is a number")
            };
            slots[match slot {
                0..=5000 => 0,
                5001..=11000 => 1,
                _ => 2,
            }] += 1;
            for (n, node) in nodes.iter().enumerate() {
                let options = RedisOptions { namespace: name.into(), ..RedisOptions::default() };
                let crew = Crew::with(&node.url, &format!("node-{n}"), options).await;
                crew.push_many(5).await;
                crew.store.pulse(crew.node.clone()).await.expect("the second line finds its way too");
                assert_eq!(crew.work_off().await.len(), 5, "namespace {name} by node {n}");
            }
        }
        assert!(slots.iter().all(|slots| *slots > 0), "the names spread: {slots:?}");
        for name in ["one", "two", "three", "four", "five", "six"] {
            runs_in(&nodes[0].url, name).await;
        }
        for node in &nodes {
            let redis::Value::Array(keys) = node.command(&["KEYS", "{task:*}:m"]) else { panic!("no keys") };
            assert!(!keys.is_empty(), "nobody works on {}", node.url);
        }
    });
}

#[test]
fn everything_of_a_namespace_is_in_one_slot_of_a_cluster() {
    // A cluster refuses scripts that touch keys of more than one slot, even where it has one node only.
    let server: &'static Server = Box::leak(Box::new(cluster_node()));
    server.command(&["CLUSTER", "ADDSLOTSRANGE", "0", "16383"]);
    until_whole(server);
    block_on(async {
        for check in all() {
            let namespace = format!("{}.{}", check.topic, check.name);
            let options = RedisOptions { namespace, lease: LEASE, ..RedisOptions::default() };
            check.run(Box::new(Namespace::open(server, options, false).await)).await;
        }
    });
}

#[test]
fn a_wrong_password_is_no_passing_error_and_is_not_repeated() {
    let server = Server::on_port(&[]);
    allow(&server, "");
    block_on(async {
        let error = RedisStore::connect(&server.url, user("not-the-secret")).await.expect_err("it is wrong");
        assert!(matches!(error, StoreError::Failed(_)), "{error:?}");
        assert!(!format!("{error} {error:?}").contains("not-the-secret"));
        let url = format!("redis://worker:also-wrong@127.0.0.1:{}", port_of(&server));
        let error = RedisStore::connect(&url, RedisOptions::default()).await.expect_err("it is wrong");
        assert!(
            matches!(error, StoreError::Failed(_)) && !format!("{error} {error:?}").contains("also-wrong")
        );
        let url = format!("redis://worker:secret@127.0.0.1:{}", port_of(&server));
        let store = RedisStore::connect(&url, RedisOptions::default()).await.expect("it is right");
        assert!(!format!("{store:?}").contains("secret"));
        server.command(&["CONFIG", "SET", "requirepass", "now-there-is-one"]);
        let error =
            RedisStore::connect(&server.url, RedisOptions::default()).await.expect_err("it is missing");
        assert!(matches!(error, StoreError::Failed(_)), "{error:?}");
    });
}

#[test]
fn a_server_that_evicts_is_refused() {
    let server = Server::plain();
    server.command(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]);
    block_on(async {
        let error =
            RedisStore::connect(&server.url, RedisOptions::default()).await.expect_err("it would lose tasks");
        assert!(
            matches!(error, StoreError::Failed(_)) && error.to_string().contains("allkeys-lru"),
            "{error}"
        );
    });
}

#[test]
fn a_replica_is_refused() {
    let server = Server::plain();
    server.command(&["REPLICAOF", "127.0.0.1", "1"]);
    block_on(async {
        let error =
            RedisStore::connect(&server.url, RedisOptions::default()).await.expect_err("it takes no writes");
        assert!(matches!(error, StoreError::Failed(_)) && error.to_string().contains("replica"), "{error}");
    });
}

#[test]
fn nobody_there_is_a_passing_error() {
    block_on(async {
        let url = format!("redis://127.0.0.1:{}", free_port());
        let error = RedisStore::connect(&url, RedisOptions::default()).await.expect_err("nobody listens");
        assert!(matches!(error, StoreError::Unreachable(_)), "{error:?}");
    });
}

#[test]
fn a_newer_layout_is_refused() {
    let server = Server::plain();
    server.command(&["HSET", "{task:default}:m", "version", "2"]);
    block_on(async {
        let error = RedisStore::connect(&server.url, RedisOptions::default()).await.expect_err("it is newer");
        assert_eq!(error, StoreError::Version { found: 2, known: 1 });
    });
}

#[test]
fn namespaces_never_meet_whatever_they_are_called() {
    let server = Server::plain();
    block_on(async {
        let names = ["a", "A", "a:", "{a}", "a}", "%61", "a b", "\u{e9}", "e\u{301}", "*", "m"];
        let mut crews = Vec::new();
        for name in names {
            let options = RedisOptions { namespace: name.into(), ..RedisOptions::default() };
            crews.push(Crew::with(&server.url, "node", options).await);
        }
        for (n, crew) in crews.iter().enumerate() {
            crew.push_many(n + 1).await;
        }
        for (n, crew) in crews.iter().enumerate() {
            assert_eq!(crew.work_off().await.len(), n + 1, "namespace {:?}", names[n]);
        }
    });
}

/// A server that speaks TLS only, with a certificate for `name` that was made for it.
fn tls(name: &str) -> (Server, Vec<u8>) {
    let made = rcgen::generate_simple_self_signed(vec![name.to_owned()]).expect("a certificate");
    let certificate = made.cert.pem().into_bytes();
    let folder = folder();
    let file = |name: &str, bytes: &[u8]| -> PathBuf {
        std::fs::write(folder.join(name), bytes).expect("a folder of our own");
        folder.join(name)
    };
    let (cert, key) = (file("cert", &certificate), file("key", made.signing_key.serialize_pem().as_bytes()));
    let port = free_port().to_string();
    let words = ["--port", "0", "--tls-port", &port, "--bind", "127.0.0.1", "--tls-auth-clients", "no"];
    let mut arguments: Vec<String> = words.map(str::to_owned).to_vec();
    for (option, file) in
        [("--tls-cert-file", &cert), ("--tls-key-file", &key), ("--tls-ca-cert-file", &cert)]
    {
        arguments.extend([option.to_owned(), file.display().to_string()]);
    }
    (Server::start(folder, format!("rediss://127.0.0.1:{port}"), arguments), certificate)
}

async fn connect(url: &str, root: Option<Vec<u8>>) -> Result<RedisStore, StoreError> {
    let options = RedisOptions { root_certificates: root, ..RedisOptions::default() };
    let mut last = RedisStore::connect(url, options.clone()).await;
    // The server has just been started.
    for _ in 0..100 {
        match &last {
            Err(error) if error.to_string().contains("refused") => {}
            _ => return last,
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        last = RedisStore::connect(url, options.clone()).await;
    }
    last
}

#[test]
fn tls_is_spoken_and_certificates_are_checked() {
    let (server, certificate) = tls("127.0.0.1");
    block_on(async {
        let store = connect(&server.url, Some(certificate)).await.expect("the certificate is known");
        store.pulse("node".into()).await.expect("the second line speaks it too");
        assert_eq!(store.counts(None).await.expect("it works").unfinished(), 0);
        let error = connect(&server.url, None).await.expect_err("the system does not know the certificate");
        assert!(error.to_string().to_lowercase().contains("certificate"), "{error}");
    });
}

#[test]
fn a_certificate_for_another_name_is_refused() {
    let (server, certificate) = tls("elsewhere.example");
    block_on(async {
        let error = connect(&server.url, Some(certificate)).await.expect_err("it is for another name");
        assert!(error.to_string().to_lowercase().contains("certificate"), "{error}");
    });
}
