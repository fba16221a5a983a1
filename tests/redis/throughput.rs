//! How fast tasks go through: push, claim and settle in steps of 1000. Says figures and judges none:
//! `cargo test --release --features redis --test redis -- --ignored --nocapture throughput`

use std::sync::Arc;
use std::time::Instant;

use task::store::redis::{RedisOptions, RedisStore};
use task::store::{Advance, Claims, LaneClaim, Push, Store};
use task::task::{Cause, Claimed, Settlement, Spec};

use crate::block_on;
use crate::rig::Server;

const TASKS: usize = 100_000;
const STEP: usize = 1000;

fn done(run: &Claimed) -> Settlement {
    Settlement {
        id: run.spec.id.clone(),
        epoch: run.epoch,
        cause: Cause::Complete,
        delay: 0,
        failures: run.failures,
        losses: run.losses,
        output: Some("true".into()),
        attempt: None,
        spawn: Vec::new(),
    }
}

/// Processor time that the server has taken, in seconds, and commands that clients have sent.
fn spent(server: &Server) -> (f64, u64) {
    let redis::Value::BulkString(text) = server.command(&["INFO", "all"]) else { panic!("INFO is a text") };
    let text = String::from_utf8(text).expect("INFO is UTF-8");
    let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).expect("INFO has it");
    let time: f64 =
        ["used_cpu_user:", "used_cpu_sys:"].map(|name| field(name).parse::<f64>().unwrap()).iter().sum();
    let calls = field("cmdstat_evalsha:calls=").split(',').next().unwrap().parse().unwrap();
    (time, calls)
}

fn steps(arguments: &[&str]) {
    let server = Server::with(arguments);
    block_on(async {
        let store =
            RedisStore::connect(&server.url, RedisOptions::default()).await.expect("the server is up");
        let (before, calls_before) = spent(&server);
        let began = Instant::now();
        for _ in 0..TASKS / STEP {
            let specs = (0..STEP)
                .map(|n| Spec::new("work", format!("{{\"n\":{n},\"to\":\"somebody@example.org\"}}")));
            store.push(Arc::new([Push::of(specs)])).await.unwrap().remove(0).unwrap();
        }
        let (pushed, pushed_at) = (spent(&server).0, began.elapsed());
        let (mut runs, mut ended, mut turn_no): (Vec<Claimed>, usize, u64) = (Vec::new(), 0, 0);
        while ended < TASKS {
            turn_no += 1;
            let claims = Claims { max: STEP as u32, lanes: vec![LaneClaim::of("work", STEP as u32)] };
            let settlements: Vec<Settlement> = runs.iter().map(done).collect();
            ended += settlements.len();
            let step = Advance { node: "node".into(), turn_no, settlements, claims };
            runs = store.advance(Arc::new(step)).await.unwrap().claimed.clone();
        }
        let took = began.elapsed();
        let (after, calls) = spent(&server);
        let each = |seconds: f64| seconds * 1e6 / TASKS as f64;
        println!(
            "{arguments:?}: {:.0} tasks/s in all, {:.0} pushes/s; server {:.2} us a push, {:.2} us a claim and its \
             end; {:.4} commands a task",
            TASKS as f64 / took.as_secs_f64(),
            TASKS as f64 / pushed_at.as_secs_f64(),
            each(pushed - before),
            each(after - pushed),
            (calls - calls_before) as f64 / TASKS as f64,
        );
    });
}

#[test]
#[ignore = "a measurement"]
fn throughput() {
    for _ in 0..2 {
        steps(&[]);
        steps(&["--appendonly", "yes", "--appendfsync", "everysec"]);
    }
}
