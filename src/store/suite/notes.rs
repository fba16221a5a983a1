//! What runs note down: results of steps, how far they have come, lines of a log.

use std::sync::Arc;

use crate::policy::RetryPolicy;
use crate::store::{Amend, Keep, Retention};
use crate::task::{Claimed, KEPT_LINES, MAX_STEPS, Note, NoteKind, Noted, Outcome, Spec, TaskId, Unnoted};

use super::stage::{Stage, done, failure, id, spec};

fn step(key: &str, value: &str) -> Note {
    Note::Step { key: key.into(), value: value.into() }
}

fn line(no: u32, text: &str) -> Note {
    Note::Line { no, text: text.into() }
}

async fn note(on: &Stage, run: &Claimed, notes: Vec<Note>) -> Vec<Result<(), Unnoted>> {
    let noted = |note| Noted { id: run.spec.id.clone(), epoch: run.epoch, note };
    let notes: Arc<[Noted]> = notes.into_iter().map(noted).collect();
    on.store().note(notes).await.expect("the store works")
}

async fn notes(on: &Stage, task: &str, kind: NoteKind) -> Vec<(String, String)> {
    let ids = vec![TaskId::from("nobody"), id(task)];
    let mut found = on.store().notes(ids, kind).await.expect("the store works");
    assert_eq!(found.len(), 2, "one answer for each id");
    assert!(found[0].is_empty(), "of a task that is not there");
    found.remove(1).iter().map(|(key, text)| (key.to_string(), text.to_string())).collect()
}

fn pairs(of: &[(&str, &str)]) -> Vec<(String, String)> {
    of.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect()
}

/// A task that may fail often, and its run.
async fn started(on: &Stage, task: &str) -> Claimed {
    on.add(Spec { retry: RetryPolicy::fixed(9, 0), ..spec(task) }).await;
    on.claim_one("node").await
}

pub async fn steps_are_kept_for_the_next_run(on: &Stage) {
    let run = started(on, "task").await;
    let nasty = "\u{1f980} '; -- \"\\";
    assert_eq!(note(on, &run, vec![step("b", "2"), step(nasty, "\"x\"")]).await, [Ok(()), Ok(())]);
    on.end("node", &run, failure()).await;
    let run = on.claim_one("node").await;
    assert_eq!(note(on, &run, vec![step("a", "1")]).await, [Ok(())]);
    on.end("node", &run, Outcome::Lost).await;
    let all = pairs(&[("a", "1"), ("b", "2"), (nasty, "\"x\"")]);
    assert_eq!(notes(on, "task", NoteKind::Steps).await, all, "by their keys");
    assert!(notes(on, "task", NoteKind::Lines).await.is_empty());
}

pub async fn a_step_may_be_noted_again(on: &Stage) {
    let run = started(on, "task").await;
    for _ in 0..2 {
        assert_eq!(note(on, &run, vec![step("a", "1")]).await, [Ok(())], "an answer may get lost");
    }
    assert_eq!(notes(on, "task", NoteKind::Steps).await, pairs(&[("a", "1")]));
}

pub async fn a_thousand_steps_and_not_one_more(on: &Stage) {
    let run = started(on, "task").await;
    let many: Vec<Note> = (0..MAX_STEPS).map(|n| step(&n.to_string(), "1")).collect();
    assert!(note(on, &run, many).await.iter().all(Result::is_ok));
    let said = note(on, &run, vec![step("more", "1"), step("7", "2"), line(0, "\"l\"")]).await;
    assert_eq!(said, [Err(Unnoted::Full), Ok(()), Ok(())]);
    assert_eq!(notes(on, "task", NoteKind::Steps).await.len(), MAX_STEPS);
}

pub async fn steps_end_with_the_success(on: &Stage) {
    for (task, outcome, kept) in [("failed", failure(), 1), ("completed", done(), 0)] {
        on.add(spec(task)).await;
        let run = on.claim_one("node").await;
        note(on, &run, vec![step("a", "1")]).await;
        on.end("node", &run, outcome).await;
        on.amend(&id(task), Amend::Retry).await;
        assert_eq!(notes(on, task, NoteKind::Steps).await.len(), kept, "of a {task} task that runs again");
        on.run_one("node").await;
    }
}

pub async fn a_note_needs_the_latest_claim(on: &Stage) {
    let run = started(on, "task").await;
    on.end("node", &run, Outcome::Lost).await;
    let next = on.claim_one("other").await;
    let all = || vec![step("a", "1"), Note::Progress("1".into()), line(0, "\"l\"")];
    assert_eq!(note(on, &run, all()).await, [Err(Unnoted::Stale); 3]);
    assert_eq!(note(on, &next, all()).await, [Ok(()); 3]);
    let unknown = Claimed { spec: Arc::new(spec("unknown")), ..next };
    assert_eq!(note(on, &unknown, all()).await, [Err(Unnoted::Stale); 3]);
}

pub async fn the_last_words_of_a_run_may_come_after_its_end(on: &Stage) {
    for (task, outcome) in [("completed", done()), ("failed", failure())] {
        on.add(spec(task)).await;
        let run = on.claim_one("node").await;
        on.end("node", &run, outcome).await;
        let said = note(on, &run, vec![Note::Progress("100".into()), line(0, "\"l\""), step("a", "1")]).await;
        assert_eq!(said, [Ok(()), Ok(()), Err(Unnoted::Stale)], "but no step");
        assert_eq!(notes(on, task, NoteKind::Progress).await, pairs(&[("", "100")]));
    }
}

pub async fn the_newest_progress_is_what_counts(on: &Stage) {
    let run = started(on, "task").await;
    assert!(notes(on, "task", NoteKind::Progress).await.is_empty());
    for value in ["1", "{\"at\":2}"] {
        note(on, &run, vec![Note::Progress("0".into()), Note::Progress(value.into())]).await;
        assert_eq!(notes(on, "task", NoteKind::Progress).await, pairs(&[("", value)]));
    }
}

pub async fn lines_come_in_order_and_once(on: &Stage) {
    let run = started(on, "task").await;
    let first: Vec<Note> = (0..12).map(|no| line(no, &format!("\"a{no}\""))).collect();
    note(on, &run, first.clone()).await;
    note(on, &run, first).await;
    on.end("node", &run, failure()).await;
    let run = on.claim_one("node").await;
    note(on, &run, vec![line(0, "\"b0\"")]).await;
    let lines = notes(on, "task", NoteKind::Lines).await;
    let wanted: Vec<String> = (0..12).map(|no| format!("\"a{no}\"")).chain(["\"b0\"".into()]).collect();
    assert_eq!(lines.into_iter().map(|(_, text)| text).collect::<Vec<_>>(), wanted);
}

pub async fn the_newest_lines_are_kept(on: &Stage) {
    let run = started(on, "task").await;
    let many: Vec<Note> = (0..KEPT_LINES as u32 + 3).map(|no| line(no, &format!("\"{no}\""))).collect();
    note(on, &run, many).await;
    let lines = notes(on, "task", NoteKind::Lines).await;
    assert_eq!((lines.len(), lines[0].1.as_str()), (KEPT_LINES, "\"3\""));
}

pub async fn notes_go_with_their_task(on: &Stage) {
    for how in ["pruned", "removed"] {
        let run = started(on, "task").await;
        note(on, &run, vec![step("a", "1"), Note::Progress("1".into()), line(0, "\"l\"")]).await;
        on.end("node", &run, done()).await;
        if how == "removed" {
            on.amend(&id("task"), Amend::Remove).await;
        } else {
            let keep = Keep { count: Some(0), ..Keep::default() };
            let limits = Retention { completed: keep, failed: keep, cancelled: keep };
            on.store().prune(limits, 10).await.expect("the store works");
        }
        on.add(spec("task")).await;
        for kind in [NoteKind::Steps, NoteKind::Progress, NoteKind::Lines] {
            assert!(notes(on, "task", kind).await.is_empty(), "{how}: {kind:?}");
        }
        on.run_one("node").await;
        on.amend(&id("task"), Amend::Remove).await;
    }
}
