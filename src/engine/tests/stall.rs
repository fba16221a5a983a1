//! A blocked event loop is named while it is blocked, and told of when it turns again.

use super::*;

fn looped() -> Core {
    started(Config { has_loop: true, ..config(2) })
}

/// The loop has answered, and then nothing more; what is logged half a second after it was asked again.
fn silent(core: &mut Core, since: Millis) -> Vec<String> {
    let asked_at = core.wake_at().expect("it will be asked").max(since);
    core.tick(asked_at);
    assert!(core.wants_sample(asked_at));
    core.host_called(asked_at);
    let (stall, noticed_at) = loop {
        let at = core.wake_at().expect("it is looked after");
        core.tick(at);
        if let Some(stall) = core.take_stall(at) {
            break (stall, at);
        }
    };
    assert!((900..=1500).contains(&(noticed_at - since)), "{noticed_at}");
    assert!(core.take_stall(noticed_at).is_none(), "once is enough");
    stall.culprit.names.iter().map(|name| name.to_string()).collect()
}

#[test]
fn the_stored_task_that_began_last_is_named() {
    let mut core = looped();
    core.host_turned(10);
    let start = begin(&mut core, spec(), 12);
    assert_eq!(silent(&mut core, 12), ["work"]);
    core.host_turned(3012);
    let stall = core.events.take_stall().expect("listeners are told afterwards");
    let (told, attempt) = stall.culprit.task.expect("it is known");
    assert_eq!((stall.length, told.id.clone(), attempt), (3000, start.spec.id.clone(), 1));
    // It is named again only when it blocks again.
    core.host_turned(3020);
    assert!(core.events.take_stall().is_none());
}

#[test]
fn a_closure_is_named_as_one_and_a_kind_by_its_name() {
    let mut core = looped();
    core.host_turned(10);
    core.submit(local(0));
    core.poll(10);
    assert_eq!(silent(&mut core, 10), ["(closure)"]);

    let mut core = looped();
    let kind = core.add_kind(Kind::new("resize"));
    core.host_turned(10);
    core.submit(Submission { kind: Some(kind), ..local(0) });
    core.poll(10);
    assert!(core.begin_local(0, 1, 11));
    assert_eq!(silent(&mut core, 11), ["resize"]);
}

#[test]
fn where_nothing_has_begun_since_all_that_run_are_named() {
    let mut core = looped();
    let kind = core.add_kind(Kind::new("resize"));
    core.submit(Submission { kind: Some(kind), ..local(0) });
    core.host_turned(10);
    core.poll(10);
    begin(&mut core, spec(), 12);
    // The loop has turned since then: what goes on now is no beginning.
    core.host_turned(400);
    assert_eq!(silent(&mut core, 400), ["resize", "work"]);
}

#[test]
fn a_loop_that_has_nothing_to_do_is_left_alone() {
    let mut core = looped();
    core.host_turned(10);
    assert_eq!(core.wake_at(), None);
    assert!(!core.wants_sample(100_000));
    // But for one whose delay is measured.
    core.tally.enable();
    core.host_turned(20);
    let at = core.wake_at().expect("a sample is due");
    assert!(core.wants_sample(at));
    core.host_called(at);
    core.tick(at + 60_000);
    assert!(core.take_stall(at + 60_000).is_none(), "nothing runs that could block it");
}

#[test]
fn a_host_without_a_loop_is_not_asked() {
    let mut core = started(config(2));
    core.host_turned(10);
    core.submit(local(0));
    core.poll(10);
    core.tally.enable();
    assert_eq!(core.wake_at(), None);
}
