//! Lost answers: what is asked again is answered again and done once.

use std::sync::Arc;

use crate::store::{Advance, Claims, LaneClaim, Settled};
use crate::task::{Cause, State};

use super::stage::{KIND, Stage, done, failure, fate, id, ids, spec, specs};

fn wants(max: u32) -> Claims {
    Claims { max, lanes: vec![LaneClaim::of(KIND, max)] }
}

pub async fn the_same_turn_gives_the_same_claims(on: &Stage) {
    on.push(specs("task", 4)).await;
    let turn_no = on.turn_of("node");
    let step = Arc::new(Advance { node: "node".into(), turn_no, settlements: Vec::new(), claims: wants(2) });
    let first = on.repeat(&step).await;
    for _ in 0..3 {
        let again = on.repeat(&step).await;
        assert_eq!(ids(&again.claimed), ids(&first.claimed));
        let epochs = |turn: &crate::store::Turn| turn.claimed.iter().map(|run| run.epoch).collect::<Vec<_>>();
        assert_eq!(epochs(&again), epochs(&first), "no claim is drawn twice");
    }
    assert_eq!(ids(&on.claim("node", 9).await), ["task-2", "task-3"], "no claim is stranded");
}

pub async fn the_same_turn_settles_once(on: &Stage) {
    on.push(specs("task", 2)).await;
    let runs = on.claim("node", 2).await;
    let settlements = vec![fate(&runs[0], done()), fate(&runs[1], failure())];
    let turn_no = on.turn_of("node");
    let step = Arc::new(Advance { node: "node".into(), turn_no, settlements, claims: Claims::default() });
    let first = on.repeat(&step).await;
    assert_eq!(first.settled, [Settled::Applied(Cause::Complete), Settled::Applied(Cause::Fail)]);
    on.pass(5).await;
    let again = on.repeat(&step).await;
    assert_eq!(again.settled, first.settled, "the answer is not that they are stale");
    assert_eq!(on.get(&id("task-1")).await.status.attempts.len(), 1);
}

pub async fn the_same_turn_says_again_what_ended(on: &Stage) {
    let now = on.now().await;
    on.add(crate::task::Spec { expires_at: Some(now + 100), ..spec("task") }).await;
    on.pass(200).await;
    let turn_no = on.turn_of("node");
    let step = Arc::new(Advance {
        node: "node".into(),
        turn_no,
        settlements: Vec::new(),
        claims: Claims::default(),
    });
    for _ in 0..2 {
        assert_eq!(on.repeat(&step).await.ended, [id("task")]);
    }
}

pub async fn every_node_counts_its_own_turns(on: &Stage) {
    on.push(specs("task", 3)).await;
    let step = |node: &str| {
        Arc::new(Advance { node: node.into(), turn_no: 1, settlements: Vec::new(), claims: wants(1) })
    };
    let (a, b) = (on.repeat(&step("a")).await, on.repeat(&step("b")).await);
    assert_eq!((ids(&a.claimed), ids(&b.claimed)), (vec!["task-0".into()], vec!["task-1".into()]));
    assert_eq!(ids(&on.repeat(&step("a")).await.claimed), ["task-0"]);
}

pub async fn a_repeated_push_adds_nothing_even_after_the_end(on: &Stage) {
    let minted = crate::task::Spec { minted: true, ..spec("task") };
    on.push(vec![minted.clone()]).await;
    on.run_one("node").await;
    assert!(on.push(vec![minted]).await[0].created, "the answer is that of the first time");
    assert_eq!(on.state(&id("task")).await, State::Completed);
    assert!(on.claim("node", 9).await.is_empty());
}
