//! What is counted is what has happened, by kind and queue.

use super::*;
use crate::engine::metrics::{Cost, Metrics, Totals};
use crate::store::{Push, Pushed};

fn read(core: &mut Core, now: Millis) -> Metrics {
    core.read_metrics(now).finish()
}

fn totals(core: &mut Core) -> Totals {
    read(core, 1000).totals
}

#[test]
fn closures_and_how_they_end() {
    let mut core = core(2);
    let policy = core.add_policy(RetryPolicy::fixed(2, 10));
    core.submit(local(0));
    core.submit(Submission { policy: Some(policy), ..local(1) });
    core.submit(local(2));
    core.submit(timed(3, 50));
    core.poll(0);
    core.done(0, Done::Ok, 1);
    core.done(1, failed(), 2);
    core.withdraw(2, 3);
    core.poll(3);
    assert!(core.begin_local(3, 1, 3));
    core.tick(20);
    core.done(1, failed(), 21);
    core.tick(60);
    let wanted = Totals {
        enqueued: 4,
        completed: 1,
        failed: 2,
        retried: 1,
        cancelled: 1,
        abandoned: 1,
        ..Totals::default()
    };
    assert_eq!(totals(&mut core), wanted);
    let metrics = read(&mut core, 60);
    assert_eq!((metrics.live, metrics.abandoned_now), (0, 1));
    assert_eq!(metrics.per_task["(closure)"].totals, wanted);
    // The handler that was left behind ends after all: the count of what happened stays.
    core.late_end();
    let metrics = read(&mut core, 61);
    assert_eq!((metrics.totals.abandoned, metrics.abandoned_now), (1, 0));
}

#[test]
fn stored_runs_count_when_the_store_has_taken_their_end() {
    let mut core = started(config(4));
    let specs = vec![spec(), spec(), spec(), spec()];
    let starts = claim(&mut core, specs, 5);
    for start in &starts {
        assert!(core.begin_stored(start.slot, start.run, 5));
    }
    core.ended(starts[0].slot, starts[0].run, ok(), 6);
    core.ended(starts[1].slot, starts[1].run, error(), 6);
    core.ended(starts[2].slot, starts[2].run, Outcome::Lost, 6);
    core.stop(&starts[3].spec.id, 4, &"enough".into(), 6);
    core.ended(starts[3].slot, starts[3].run, ok(), 7);
    assert_eq!(totals(&mut core), Totals::default());
    settle(&mut core, 8);
    let wanted = Totals { completed: 1, retried: 1, lost: 1, cancelled: 1, ..Totals::default() };
    assert_eq!(totals(&mut core), wanted);
    assert_eq!(read(&mut core, 8).per_task["work"].totals, wanted);
}

#[test]
fn an_end_that_came_too_late_is_stale_and_nothing_else() {
    let mut core = started(config(1));
    let start = begin(&mut core, spec(), 5);
    core.ended(start.slot, start.run, ok(), 6);
    let _ = core.step(7).expect("there is an end");
    let turn = Turn { settled: vec![Settled::Stale], ..Turn::default() };
    core.answered(&Arc::new(turn), 8);
    assert_eq!(totals(&mut core), Totals { stale: 1, ..Totals::default() });
}

#[test]
fn pushes_count_where_they_made_a_task() {
    let mut core = core(1);
    core.add_kind(Kind::new("work"));
    let specs: Vec<Arc<Spec>> = (0..3).map(|_| Arc::new(spec())).collect();
    let answer = |spec: &Arc<Spec>, created| Pushed { id: spec.id.clone(), created, ousted: None };
    let answers = vec![Ok(vec![answer(&specs[0], true), answer(&specs[1], false), answer(&specs[2], true)])];
    core.count_pushed(&[Push::of(specs)], &answers, 0);
    let unknown = vec![Arc::new(Spec::new("elsewhere", "1"))];
    let answers = vec![Ok(vec![answer(&unknown[0], true)])];
    core.count_pushed(&[Push::of(unknown)], &answers, 0);
    let metrics = read(&mut core, 0);
    assert_eq!((metrics.totals.enqueued, metrics.per_task["work"].totals.enqueued), (3, 2));
    // A name that nobody has registered here is no label.
    assert_eq!(metrics.per_task["other"].totals.enqueued, 1);
    assert!(!metrics.per_task.contains_key("elsewhere"));
}

#[test]
fn times_are_measured_when_they_are_wanted() {
    let mut core = started(config(1));
    let start = begin(&mut core, spec(), 5);
    core.ended(start.slot, start.run, ok(), 30);
    settle(&mut core, 30);
    assert_eq!(read(&mut core, 30).duration.count, 0);

    core.tally.enable();
    let start = begin(&mut core, spec(), 40);
    core.ended(start.slot, start.run, ok(), 65);
    settle(&mut core, 65);
    core.host_turned(70);
    core.submit(local(0));
    core.poll(80);
    core.done(0, Done::Ok, 180);
    let metrics = read(&mut core, 180);
    assert_eq!((metrics.duration.count, metrics.duration.min, metrics.duration.max), (2, 0.025, 0.1));
    assert_eq!(metrics.per_task["work"].duration.count, 1);
    assert!(metrics.enabled && (metrics.per_task["(closure)"].wait_time.max - 0.01).abs() < 1e-9);
}

#[test]
fn the_text_names_kinds_and_queues_and_escapes_them() {
    let mut core = started(config(1));
    core.add_kind(Kind { per_node: Some(1), ..Kind::new("a \"b\"\\c") });
    let quoted = Spec { retry: RetryPolicy::none(), ..Spec::new("a \"b\"\\c", "\"secret\"") };
    core.hint();
    let start = begin(&mut core, quoted, 1);
    core.ended(start.slot, start.run, error(), 2);
    settle(&mut core, 3);
    let mut metrics = read(&mut core, 3);
    metrics.performance.cost = Cost { cpu_seconds: Some(1.5), rss_bytes: Some(4096) };
    let text = metrics.to_text();
    for line in [
        "# TYPE task_failed_total counter",
        r#"task_failed_total{queue="default",task="a \"b\"\\c"} 1"#,
        r#"task_gate_open{gate="task a \"b\"\\c",kind="concurrency"} 1"#,
        "task_process_cpu_seconds_total 1.5",
        "task_process_resident_memory_bytes 4096",
        "task_store_up 0",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
    }
    assert!(!text.contains("secret") && !text.contains(start.spec.id.as_str()));
}
