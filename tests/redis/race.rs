//! Several nodes on one namespace, each with connections of its own, some in a process of their own.

use std::collections::HashSet;
use std::process::Command;

use task::store::Store;
use task::task::Spec;

use crate::block_on;
use crate::crew::{Crew, KIND};
use crate::rig::Server;
use crate::verify::verify;

const TASKS: usize = 4000;

/// Says to this very program, run again as a process of its own, where the server is.
const SERVER: &str = "TASK_TEST_RACE_SERVER";

#[test]
fn no_task_is_run_twice_by_nodes_that_race() {
    if let Ok(url) = std::env::var(SERVER) {
        return race(&url);
    }
    let server = Server::plain();
    block_on(async {
        let producer = Crew::join(&server.url, "producer").await;
        let specs = |from: usize| (from..from + 500).map(|n| Spec::new(KIND, n.to_string())).collect();
        for from in (0..TASKS).step_by(500) {
            producer.push(specs(from)).await;
        }
    });
    let this = std::env::current_exe().expect("this program");
    let other = || {
        let mut command = Command::new(&this);
        command.args(["--exact", "race::no_task_is_run_twice_by_nodes_that_race", "--nocapture"]);
        command.env(SERVER, &server.url).output()
    };
    let outputs = std::thread::scope(|threads| {
        let racers: Vec<_> = (0..2).map(|_| threads.spawn(other)).collect();
        racers.into_iter().map(|racer| racer.join().unwrap().expect("it runs")).collect::<Vec<_>>()
    });
    let mut run = HashSet::new();
    for output in outputs {
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{text}");
        for id in text.lines().filter_map(|line| line.strip_prefix("RUN ")) {
            assert!(run.insert(id.to_owned()), "{id} was run twice");
        }
    }
    assert_eq!(run.len(), TASKS);
    block_on(async {
        let counts =
            Crew::join(&server.url, "judge").await.store.counts(None).await.expect("the server is up");
        assert_eq!(counts.unfinished(), 0);
    });
    verify(&mut server.connection(), "default").expect("no contradictions");
}

/// Three nodes of this process work off what they can get, and say what they have run.
fn race(url: &str) {
    block_on(async {
        let name = |n: usize| format!("{}-{n}", std::process::id());
        let (a, b, c) = (
            Crew::join(url, &name(1)).await,
            Crew::join(url, &name(2)).await,
            Crew::join(url, &name(3)).await,
        );
        let (x, y, z) = tokio::join!(a.work_off(), b.work_off(), c.work_off());
        println!();
        for id in x.iter().chain(&y).chain(&z) {
            println!("RUN {id}");
        }
    });
}
