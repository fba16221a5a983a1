//! The line gives way: answers are lost, late or in pieces; connections are cut, refused or half open.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use task::store::redis::RedisOptions;
use task::store::{Query, Store};

use crate::block_on;
use crate::crew::{Crew, until_done};
use crate::proxy::{self, Weather};
use crate::rig::{Server, port_of};
use crate::verify::verify;

/// A server behind a line, and a crew that is patient for so long.
async fn behind(server: &Server, timeout: u64) -> (Crew, Arc<Weather>) {
    let (port, weather) = proxy::start(port_of(server));
    let options = RedisOptions { timeout, ..RedisOptions::default() };
    (Crew::with(&format!("redis://127.0.0.1:{port}"), "node", options).await, weather)
}

#[test]
fn cut_connections_and_lost_answers_lose_and_double_nothing() {
    let server = Server::on_port(&[]);
    block_on(async {
        let (crew, weather) = behind(&server, 1000).await;
        for cuts_after in [9, 7, 8] {
            weather.cuts_after.store(cuts_after, Ordering::SeqCst);
            let mut pushed = Vec::new();
            for _ in 0..10 {
                pushed.extend(crew.push_many(10).await);
            }
            let mut done = crew.work_off().await;
            done.sort();
            pushed.sort();
            assert_eq!(done, pushed, "cut after every {cuts_after} answers");
        }
        weather.cuts_after.store(0, Ordering::SeqCst);
        verify(&mut server.connection(), "default").expect("no contradictions");
    });
}

#[test]
fn a_half_open_line_is_left_after_a_while() {
    let server = Server::on_port(&[]);
    block_on(async {
        let (crew, weather) = behind(&server, 500).await;
        let ids = crew.push_many(30).await;
        weather.swallows.store(true, Ordering::SeqCst);
        let began = Instant::now();
        let error = crew.store.list(Query::default()).await.expect_err("nothing comes back");
        assert!(error.is_passing() && began.elapsed() < Duration::from_secs(5), "{error}");
        let healing = async {
            tokio::time::sleep(Duration::from_millis(1200)).await;
            weather.swallows.store(false, Ordering::SeqCst);
            Instant::now()
        };
        let (done, healed_at) = tokio::join!(crew.work_off(), healing);
        assert_eq!(done.len(), ids.len());
        assert!(healed_at.elapsed() < Duration::from_secs(6), "claims go on soon after");
    });
}

#[test]
fn a_server_that_refuses_is_asked_again() {
    let server = Server::on_port(&[]);
    block_on(async {
        let (crew, weather) = behind(&server, 500).await;
        crew.push_many(5).await;
        weather.refuses.store(true, Ordering::SeqCst);
        weather.cut_all();
        for _ in 0..3 {
            assert!(crew.store.list(Query::default()).await.expect_err("it is gone").is_passing());
        }
        weather.refuses.store(false, Ordering::SeqCst);
        let began = Instant::now();
        until_done(|| crew.store.list(Query::default())).await;
        assert!(began.elapsed() < Duration::from_secs(5));
        assert_eq!(crew.work_off().await.len(), 5);
    });
}

#[test]
fn answers_may_be_late_and_in_pieces() {
    let server = Server::on_port(&[]);
    block_on(async {
        let (crew, weather) = behind(&server, 2000).await;
        weather.splits.store(true, Ordering::SeqCst);
        weather.delay.store(20, Ordering::SeqCst);
        let pushed = crew.push_many(200).await;
        assert_eq!(crew.work_off().await, pushed);
    });
}

#[test]
fn the_others_hear_of_a_push_even_after_their_line_was_cut() {
    let server = Server::on_port(&[]);
    block_on(async {
        let (listener, weather) = behind(&server, 1000).await;
        let producer = Crew::join(&server.url, "producer").await;
        for _ in 0..3 {
            let began = Instant::now();
            // A hint may be missed while the line is made: as long as somebody pushes, one arrives.
            let pushing = async {
                loop {
                    producer.push_many(1).await;
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            };
            tokio::select! {
                heard = listener.store.changed() => heard.expect("a hint is no error"),
                () = pushing => unreachable!("it pushes for ever"),
            }
            assert!(began.elapsed() < Duration::from_secs(5));
            weather.cut_all();
        }
    });
}
