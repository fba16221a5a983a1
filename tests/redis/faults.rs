//! The server gives way: it crashes, runs out of memory, forgets scripts and connections, loads, turns replica.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use task::store::{Amend, Push, Query, Settled, Store, StoreError, Swap, Target};
use task::task::{Cause, Spec, State};

use crate::block_on;
use crate::crew::{Crew, KIND, success, until_done};
use crate::rig::Server;
use crate::verify::verify;

/// Recovery is promised within two seconds; a busy machine gets some more.
const SOON: Duration = Duration::from_secs(6);

/// Waits until a step works, and no longer than recovery may take.
async fn recovers(crew: &Crew) {
    let began = Instant::now();
    until_done(|| crew.store.list(Query::default())).await;
    crew.step(Vec::new(), 0).await;
    assert!(began.elapsed() < SOON, "it took {:?}", began.elapsed());
}

fn checks_out(server: &Server) {
    verify(&mut server.connection(), "default").expect("no contradictions");
}

#[test]
fn a_crash_of_a_server_that_logs_loses_nothing() {
    let mut server = Server::with(&["--appendonly", "yes", "--appendfsync", "everysec"]);
    block_on(async {
        let crew = Crew::join(&server.url, "node").await;
        let (mut pushed, mut done, mut epochs) = (HashSet::new(), Vec::new(), HashSet::new());
        for round in 0..4 {
            pushed.extend(crew.push_many(300).await);
            let runs = crew.claim(200).await;
            let settled = crew.step(runs[..100].iter().map(success).collect(), 0).await;
            assert!(settled.settled.iter().all(|one| *one == Settled::Applied(Cause::Complete)));
            done.extend(runs[..100].iter().map(|run| run.spec.id.clone()));
            server.crash_and_restart(Duration::from_millis(300 * round));
            recovers(&crew).await;
            checks_out(&server);
            // What ran goes on: its claims are those of before.
            let settled = crew.step(runs[100..].iter().map(success).collect(), 0).await.settled.clone();
            assert!(settled.iter().all(|one| *one == Settled::Applied(Cause::Complete)));
            done.extend(runs[100..].iter().map(|run| run.spec.id.clone()));
            for run in runs {
                assert!(epochs.insert(run.epoch), "epoch {} was drawn twice", run.epoch);
            }
        }
        done.extend(crew.work_off().await);
        assert_eq!(done.len(), pushed.len(), "each was run once");
        assert_eq!(done.into_iter().collect::<HashSet<_>>(), pushed);
    });
}

#[test]
fn a_server_that_has_lost_everything_draws_no_epoch_twice_in_what_it_still_knows() {
    let server = Server::plain();
    block_on(async {
        let crew = Crew::join(&server.url, "node").await;
        crew.push_many(2).await;
        let before = crew.claim(1).await[0].epoch;
        // Another server takes over, as its run id tells; what it knows of epochs may be out of date.
        server.command(&["HSET", "{task:default}:m", "run", "another", "epoch", "1000"]);
        server.command(&["CLIENT", "KILL", "TYPE", "normal"]);
        recovers(&crew).await;
        let after = crew.claim(1).await[0].epoch;
        assert!(after > before + 1_000_000, "{after} may have been drawn before");
    });
}

#[test]
fn where_memory_has_run_out_pushes_are_refused_and_ends_are_kept() {
    let server = Server::plain();
    block_on(async {
        let crew = Crew::join(&server.url, "node").await;
        let ids = crew.push_many(300).await;
        let runs = crew.claim(100).await;
        server.command(&["CONFIG", "SET", "maxmemory", "1mb"]);
        let refused = crew.store.push(Arc::new([Push::of([Spec::new(KIND, "null")])])).await;
        assert!(matches!(refused, Err(StoreError::Full(_))), "{refused:?}");
        let keyed = Spec { minted: false, ..Spec::new(KIND, "null") };
        let refused = crew.store.push(Arc::new([Push::of([keyed])])).await;
        assert!(matches!(refused, Err(StoreError::Full(_))), "{refused:?}");
        let turn = crew.try_step(runs.iter().map(success).collect(), 50).await.expect("ends are recorded");
        assert!(turn.settled.iter().all(|one| *one == Settled::Applied(Cause::Complete)));
        assert_eq!(turn.claimed.len(), 50, "and work goes on");
        crew.store.pulse(crew.node.clone()).await.expect("beats are heard");
        let swap = Swap { key: "pause/default".into(), old: None, new: None };
        crew.store.swap(swap).await.expect("cells can be changed").unwrap();
        let cancelled =
            crew.store.amend(Target::Ids(vec![ids[299].clone()]), Amend::Cancel("no".into())).await;
        assert_eq!(cancelled.expect("operators can make room").changed.len(), 1);
        checks_out(&server);
        server.command(&["CONFIG", "SET", "maxmemory", "0"]);
        crew.push_many(1).await;
        checks_out(&server);
    });
}

#[test]
fn memory_that_runs_out_under_load_stops_producers_only() {
    let server = Server::plain();
    server.command(&["CONFIG", "SET", "maxmemory", "6mb"]);
    block_on(async {
        let crew = Crew::join(&server.url, "node").await;
        let (mut pushed, mut done, mut refused, mut runs) = (HashSet::new(), HashSet::new(), 0, Vec::new());
        // Producers are faster than the worker until nothing more fits; then the worker alone goes on.
        while refused < 20 {
            let specs = (0..50).map(|n| Spec::new(KIND, format!("\"{n}{}\"", "x".repeat(500))));
            let push: Arc<[Push]> = Arc::new([Push::of(specs)]);
            match crew.store.push(push).await {
                Ok(answers) => {
                    let answer = answers.into_iter().next().unwrap().expect("nothing refuses it");
                    pushed.extend(answer.into_iter().map(|one| one.id));
                }
                Err(StoreError::Full(_)) => refused += 1,
                Err(error) => panic!("{error}"),
            }
            let turn =
                crew.try_step(runs.iter().map(success).collect(), 20).await.expect("ends are recorded");
            assert!(turn.settled.iter().all(|one| *one == Settled::Applied(Cause::Complete)));
            assert_eq!(turn.claimed.len(), 20, "and work goes on");
            runs = turn.claimed.clone();
            done.extend(runs.iter().map(|run| run.spec.id.clone()));
        }
        checks_out(&server);
        crew.try_step(runs.iter().map(success).collect(), 0).await.expect("ends are recorded");
        done.extend(crew.work_off().await);
        assert_eq!(done, pushed, "all that was accepted, and nothing else");
        checks_out(&server);
    });
}

#[test]
fn scripts_that_were_forgotten_are_sent_again() {
    let server = Server::plain();
    block_on(async {
        let crew = Crew::join(&server.url, "node").await;
        for _ in 0..3 {
            server.command(&["SCRIPT", "FLUSH"]);
            let ids = crew.push_many(3).await;
            server.command(&["SCRIPT", "FLUSH"]);
            let turn = crew.try_step(Vec::new(), 3).await.expect("no error for it");
            server.command(&["SCRIPT", "FLUSH"]);
            crew.store.pulse(crew.node.clone()).await.expect("no error for it");
            crew.try_step(turn.claimed.iter().map(success).collect(), 0).await.expect("no error for it");
            let found = crew.store.get(ids).await.expect("no error for it");
            assert!(found.records.iter().flatten().all(|task| task.status.state == State::Completed));
        }
    });
}

#[test]
fn connections_that_were_killed_are_made_again() {
    let server = Server::plain();
    block_on(async {
        let crew = Crew::join(&server.url, "node").await;
        let mut done = 0;
        for _ in 0..10 {
            crew.push_many(20).await;
            server.command(&["CLIENT", "KILL", "TYPE", "normal"]);
            recovers(&crew).await;
            done += crew.work_off().await.len();
            server.command(&["CLIENT", "KILL", "TYPE", "normal"]);
            until_done(|| crew.store.pulse(crew.node.clone())).await;
        }
        assert_eq!(done, 200, "no task twice, none lost");
        checks_out(&server);
    });
}

#[test]
fn a_server_that_loads_is_waited_for() {
    let mut server = Server::with(&["--enable-debug-command", "yes"]);
    block_on(async {
        let crew = Crew::join(&server.url, "node").await;
        crew.push_many(50).await;
        server.command(&["DEBUG", "POPULATE", "2000", "filler", "1100"]);
        server.command(&["SAVE"]);
        server.crash();
        server.restart_slowly(1500);
        let error = loop {
            match crew.store.list(Query::default()).await {
                Err(error) if error.to_string().contains("LOADING") => break error,
                Err(error) => assert!(error.is_passing(), "{error}"),
                Ok(_) => panic!("it has loaded before anybody could see it"),
            }
        };
        assert!(error.is_passing());
        assert_eq!(crew.work_off().await.len(), 50);
    });
}

#[test]
fn a_server_that_turns_replica_is_no_longer_written_to() {
    let server = Server::plain();
    block_on(async {
        let crew = Crew::join(&server.url, "node").await;
        crew.push_many(10).await;
        let before = crew.claim(1).await;
        server.command(&["REPLICAOF", "127.0.0.1", "1"]);
        let error = crew.try_step(Vec::new(), 1).await.expect_err("replicas take no writes");
        assert!(matches!(error, StoreError::Unreachable(_)), "{error}");
        let error = crew.try_step(Vec::new(), 1).await.expect_err("nor does the next connection");
        assert!(matches!(error, StoreError::Unreachable(_)), "{error}");
        server.command(&["REPLICAOF", "NO", "ONE"]);
        recovers(&crew).await;
        assert!(
            crew.claim(1).await[0].epoch > before[0].epoch + 1_000_000,
            "it has been another server's replica"
        );
        let settled = crew.step(before.iter().map(success).collect(), 0).await.settled.clone();
        assert_eq!(settled, [Settled::Applied(Cause::Complete)], "its epoch is the current one there");
    });
}

#[test]
fn a_server_that_stands_still_is_nobodys_death() {
    let server = Server::plain();
    block_on(async {
        let options = || task::store::redis::RedisOptions { lease: 1000, timeout: 300, ..Default::default() };
        let (a, b) =
            (Crew::with(&server.url, "a", options()).await, Crew::with(&server.url, "b", options()).await);
        a.push_many(1).await;
        for crew in [&a, &b] {
            crew.store.pulse(crew.node.clone()).await.unwrap();
        }
        a.claim(1).await;
        server.stop_for(Duration::from_millis(1800));
        let first = until_done(|| b.store.pulse(b.node.clone())).await;
        assert!(first.dead.is_empty(), "nobody could beat");
        assert!(!until_done(|| a.store.pulse(a.node.clone())).await.declared_dead);
        // But whoever is silent while others beat is dead after a lease.
        let began = Instant::now();
        while b.store.pulse(b.node.clone()).await.unwrap().dead.is_empty() {
            assert!(began.elapsed() < SOON, "it is silent for good");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        assert!(began.elapsed() > Duration::from_millis(700), "not before its lease is over");
    });
}
