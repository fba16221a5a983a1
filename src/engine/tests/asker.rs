//! Questions about tasks that end elsewhere: at once for whoever begins to wait, in rounds for whoever waits on.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::oneshot;

use super::faults::{push, run};
use super::*;
use crate::engine::watch::{Rest, Watch};
use crate::engine::{Engine, Host, Waiter};
use crate::store::faulty::{Fault, Faulty, Method};
use crate::store::memory::MemoryStore;
use crate::store::{Claims, LaneClaim, Retention, Store};
use crate::task::settle;

/// Runs nothing: the tasks end elsewhere.
struct Idle;

impl Host for Idle {
    fn wake(&self) {}
}

fn held(watch: &mut Watch, id: &TaskId) {
    watch.hold(id.clone(), true);
    watch.wait(id.clone(), Waiter::Token(0));
}

#[test]
fn whoever_begins_to_wait_is_asked_for_between_two_rounds() {
    let (mut watch, first, second) = (Watch::default(), TaskId::new(), TaskId::new());
    held(&mut watch, &first);
    assert!(watch.wakes_asker());
    assert_eq!(watch.take_fresh(), std::slice::from_ref(&first));
    assert_eq!(watch.rest(), Rest::Round, "the first waits on");
    assert!(!watch.wakes_asker());
    held(&mut watch, &second);
    assert!(watch.wakes_asker(), "the second does not wait for the round of the first");
    assert!(!watch.wakes_asker(), "once told is enough");
    assert_eq!(watch.rest(), Rest::Soon, "it was too early to ask");
    assert!(!watch.wakes_asker(), "it comes by itself");
    assert_eq!(watch.take_fresh(), [second]);
    watch.wait(first, Waiter::Token(1));
    assert_eq!(watch.take_fresh(), [], "somebody waits for it already");
}

#[test]
fn nobody_is_asked_for_who_has_an_answer_or_has_gone() {
    let (mut watch, ended, gone) = (Watch::default(), TaskId::new(), TaskId::new());
    held(&mut watch, &ended);
    held(&mut watch, &gone);
    watch.end(&ended, &Ok("1".into()));
    watch.cancel(&gone, 0);
    assert_eq!(watch.take_fresh(), []);
    assert_eq!(watch.rest(), Rest::Told);
    for _ in 0..1_500 {
        held(&mut watch, &TaskId::new());
    }
    assert_eq!(
        (watch.take_fresh().len(), watch.awaited(2_000).len()),
        (1_000, 1_500),
        "the rest is for a round"
    );
}

#[test]
fn what_ended_elsewhere_is_known_after_one_question_however_many_others_wait() {
    run(async {
        let questions = Arc::new(AtomicU64::new(0));
        let (seen, store) = (questions.clone(), Arc::new(MemoryStore::new()));
        let plan = move |method, _| {
            seen.fetch_add(u64::from(method == Method::Get), Ordering::SeqCst);
            Fault::None
        };
        let watched = Arc::new(Faulty::by_method(store.clone(), Box::new(plan)));
        let engine = Engine::new(config(4), watched, Retention::default(), Arc::new(Idle));
        let first = spec();
        push(&engine, vec![first.clone()]).await.unwrap()[0].as_ref().unwrap();
        let others: Vec<Spec> = (0..5_000).map(|_| spec()).collect();
        push(&engine, others.clone()).await.unwrap();
        for id in others.iter().chain([&first]).map(|spec| &spec.id) {
            engine.watch().hold(id.clone(), true);
        }
        for (token, other) in others.iter().enumerate() {
            engine.wait(other.id.clone(), Waiter::Token(token as u32));
        }
        while questions.load(Ordering::SeqCst) < 2 {
            tokio::task::yield_now().await;
        }
        // Another node ends the one that nobody waits for yet.
        let claims = Claims { max: 1, lanes: vec![LaneClaim::of("work", 1)] };
        let step = |turn_no, settlements, claims| {
            store.advance(Arc::new(Advance { node: "other".into(), turn_no, settlements, claims }))
        };
        let turn = step(1, Vec::new(), claims).await.unwrap();
        assert_eq!(turn.claimed[0].spec.id, first.id);
        let end = settle(&turn.claimed[0].standing(), &ok(), &Rules { max_losses: 3, seed: 0 });
        step(2, vec![end], Claims::default()).await.unwrap();
        let before = questions.load(Ordering::SeqCst);
        let (sender, outcome) = oneshot::channel();
        engine.wait(first.id.clone(), Waiter::Channel(sender));
        assert_eq!(&*outcome.await.unwrap().unwrap(), "1");
        let asked = questions.load(Ordering::SeqCst) - before;
        // Besides its own there may be one of a round; five rounds would have led to it, too.
        assert!((1..=2).contains(&asked), "{asked} questions");
        engine.stop();
    });
}
