//! A primary and its replica: the primary dies, the replica takes its place at the same address.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use task::store::Settled;
use task::task::TaskId;

use crate::block_on;
use crate::crew::{Crew, success};
use crate::proxy;
use crate::rig::{Server, port_of};
use crate::verify::verify;

/// Recovery is promised within two seconds; a busy machine gets some more.
const SOON: Duration = Duration::from_secs(6);

/// A server that copies this one, and has all of it.
fn replica_of(primary: &Server) -> Server {
    let replica = Server::on_port(&["--repl-diskless-load", "swapdb"]);
    replica.command(&["REPLICAOF", "127.0.0.1", &port_of(primary).to_string()]);
    let began = Instant::now();
    let info = || match replica.command(&["INFO", "replication"]) {
        redis::Value::BulkString(text) => String::from_utf8_lossy(&text).into_owned(),
        other => panic!("{other:?} is no text"),
    };
    while !info().contains("master_link_status:up") {
        assert!(began.elapsed() < Duration::from_secs(30), "{}", info());
        std::thread::sleep(Duration::from_millis(20));
    }
    replica
}

/// Waits until the replica has what the primary has written so far.
fn until_copied(primary: &Server) {
    let mut connection = primary.connection();
    redis::cmd("SET").arg("copied").arg(1).exec(&mut connection).expect("it takes writes");
    let copies: i64 = redis::cmd("WAIT").arg(1).arg(10_000).query(&mut connection).expect("it has a replica");
    assert_eq!(copies, 1, "the replica keeps up");
}

#[test]
fn a_replica_takes_over_and_only_what_it_had_not_heard_of_is_lost() {
    let mut primary = Server::on_port(&["--repl-diskless-sync-delay", "0"]);
    let replica = replica_of(&primary);
    block_on(async {
        let (port, address) = proxy::start(port_of(&primary));
        let crew = Crew::join(&format!("redis://127.0.0.1:{port}"), "node").await;
        let pushed: HashSet<TaskId> = crew.push_many(300).await.into_iter().collect();
        let runs = crew.claim(100).await;
        let settled = crew.step(runs[..50].iter().map(success).collect(), 0).await.settled.clone();
        assert!(settled.iter().all(|one| matches!(one, Settled::Applied(_))));
        until_copied(&primary);

        // From here on the replica hears nothing: what is acknowledged now is what a failover takes.
        replica.command(&["REPLICAOF", "127.0.0.1", "1"]);
        let unheard: HashSet<TaskId> = crew.push_many(20).await.into_iter().collect();
        let late = crew.claim(30).await;
        crew.step(runs[50..60].iter().map(success).collect(), 0).await;
        primary.crash();
        replica.command(&["REPLICAOF", "NO", "ONE"]);
        address.leads_to.store(port_of(&replica), Ordering::SeqCst);

        let began = Instant::now();
        let again = crew.step(Vec::new(), 30).await;
        assert!(began.elapsed() < SOON, "it took {:?}", began.elapsed());
        verify(&mut replica.connection(), "default").expect("no contradictions");
        let newest = late.iter().chain(&runs).map(|run| run.epoch).max().expect("there are claims");
        assert!(again.claimed.iter().all(|run| run.epoch > newest), "no epoch is drawn twice");

        // Claims of the lost part are stale, and do not disturb those that were copied.
        let late_ids: HashSet<_> = late.iter().map(|run| run.spec.id.clone()).collect();
        let ends = late.iter().chain(&runs[50..]).map(success).collect();
        let settled = crew.step(ends, 0).await.settled.clone();
        assert!(settled[..30].iter().all(|one| *one == Settled::Stale), "{settled:?}");
        assert!(settled[30..].iter().all(|one| matches!(one, Settled::Applied(_))), "{settled:?}");

        let mut ran: HashMap<TaskId, u32> = HashMap::new();
        let claimed: Vec<_> = again.claimed.iter().map(|run| run.spec.id.clone()).collect();
        crew.step(again.claimed.iter().map(success).collect(), 0).await;
        for id in claimed.into_iter().chain(crew.work_off().await) {
            *ran.entry(id).or_default() += 1;
        }
        assert!(ran.values().all(|times| *times == 1), "nothing is done twice on the new server");
        let done: HashSet<TaskId> =
            runs.iter().map(|run| run.spec.id.clone()).chain(ran.into_keys()).collect();
        assert_eq!(done, pushed, "all that the replica had heard of, and nothing else");
        assert!(done.is_disjoint(&unheard) && late_ids.is_subset(&done));
        verify(&mut replica.connection(), "default").expect("no contradictions");
    });
}
