//! The limits that only a store can keep exactly over several nodes.

use crate::store::{Claims, LaneClaim, Rate};
use crate::task::{Name, Outcome, Spec};

use super::stage::{KIND, LONG, Stage, done, fate, id, ids, spec, specs};

fn total(limit: u32) -> Vec<LaneClaim> {
    vec![LaneClaim { total: Some(limit), ..LaneClaim::of(KIND, 99) }]
}

fn per_group(limit: u32) -> Vec<LaneClaim> {
    vec![LaneClaim { per_group: Some(limit), ..LaneClaim::of(KIND, 99) }]
}

/// `burst` at once, then one in `interval` ms.
fn rate(burst: u32, interval: u64, by_group: bool) -> Vec<LaneClaim> {
    let rate = Rate { key: "rate".into(), by_group, interval_us: interval * 1000, burst };
    vec![LaneClaim { rate: Some(rate), ..LaneClaim::of(KIND, 99) }]
}

fn grouped(task: &str, group: &str) -> Spec {
    Spec { group: Some(Name::from(group)), ..spec(task) }
}

pub async fn the_total_of_a_kind_spans_nodes_and_queues(on: &Stage) {
    on.push(specs("task", 5)).await;
    on.add(Spec { queue: "other".into(), ..spec("elsewhere") }).await;
    on.add(Spec { name: "free".into(), ..spec("free") }).await;
    let first = on.claim_lanes("a", total(2)).await;
    assert_eq!(first.len(), 2);
    let mut lanes = total(3);
    lanes.push(LaneClaim::of("free", 9));
    assert_eq!(ids(&on.claim_lanes("b", lanes).await), ["task-2", "free"], "other kinds are not held up");
    assert!(on.claim_lanes("c", total(3)).await.is_empty());
    on.settle("a", first.iter().map(|run| fate(run, done())).collect()).await;
    assert_eq!(on.claim_lanes("c", total(3)).await.len(), 2, "every end makes room");
}

pub async fn the_end_of_a_run_makes_room_in_the_same_step(on: &Stage) {
    on.push(specs("task", 2)).await;
    let run = on.claim_lanes("node", total(1)).await.remove(0);
    let turn = on.step("node", vec![fate(&run, done())], Claims { max: 9, lanes: total(1) }).await;
    assert_eq!(ids(&turn.claimed), ["task-1"]);
}

pub async fn the_limit_of_a_group_spans_nodes_and_queues(on: &Stage) {
    let elsewhere = Spec { queue: "other".into(), ..grouped("a-elsewhere", "a") };
    on.push(vec![grouped("a-0", "a"), grouped("a-1", "a"), elsewhere, grouped("b-0", "b")]).await;
    on.push(specs("ungrouped", 3)).await;
    let first = on.claim_lanes("one", per_group(1)).await;
    let mut claimed = ids(&first);
    claimed.sort();
    assert_eq!(claimed, ["a-0", "b-0", "ungrouped-0", "ungrouped-1", "ungrouped-2"]);
    assert!(on.claim_lanes("two", per_group(1)).await.is_empty());
    let a = first.iter().find(|run| run.spec.id == id("a-0")).unwrap();
    on.end("one", a, Outcome::Released).await;
    assert_eq!(ids(&on.claim_lanes("two", per_group(1)).await), ["a-0"]);
    assert_eq!(ids(&on.claim_lanes("two", per_group(2)).await).len(), 1, "a larger limit counts what runs");
}

pub async fn full_groups_do_not_hold_up_the_others(on: &Stage) {
    let crowd =
        (0..300).flat_map(|n| (0..2).map(move |task| grouped(&format!("{n}-{task}"), &format!("g{n}"))));
    on.push(crowd.collect()).await;
    on.add(grouped("last", "late")).await;
    let claimed = on.claim_lanes("node", vec![LaneClaim { max: 300, ..per_group(1).remove(0) }]).await;
    assert!(claimed.iter().all(|run| run.spec.id.as_str().ends_with("-0")));
    assert_eq!(ids(&on.claim_lanes("node", per_group(1)).await), ["last"]);
}

pub async fn a_shared_rate_lets_a_burst_through_and_then_one_at_a_time(on: &Stage) {
    on.push(specs("task", 20)).await;
    let began = on.now().await;
    let mut started = on.claim_lanes("a", rate(3, 400, false)).await.len() as u64;
    started += on.claim_lanes("b", rate(3, 400, false)).await.len() as u64;
    assert!(started >= 3);
    for _ in 0..4 {
        on.pass(450).await;
        let now = on.claim_lanes("a", rate(3, 400, false)).await.len() as u64;
        assert!(now > 0, "it has room again");
        started += now;
    }
    let elapsed = on.now().await - began;
    assert!(started <= 3 + elapsed / 400, "{started} starts in {elapsed} ms");
}

pub async fn a_rate_says_when_it_has_room_again(on: &Stage) {
    on.push(specs("task", 2)).await;
    let claims = Claims { max: 9, lanes: rate(1, LONG, false) };
    let before = on.now().await;
    let turn = on.step("node", Vec::new(), claims).await;
    assert_eq!(turn.claimed.len(), 1);
    assert!(turn.next_at.is_some_and(|at| at >= before + LONG && at <= turn.now + LONG));
}

/// On whatever clock the store has: as many start as the arithmetic gives at the time that the answer tells, in every
/// step. So what is left of a limit is neither lost nor lent, and a load uses all of it.
pub async fn every_place_under_a_rate_is_used(on: &Stage) {
    on.push(specs("task", 200)).await;
    let lanes = rate(5, 7, false);
    let rate = lanes[0].rate.clone().unwrap();
    let mut tat = 0;
    for pause in [0, 1, 7, 20, 0, 6, 100, 3, 40, 0, 8, 21, 36, 5] {
        on.pass(pause).await;
        let turn = on.step("node", Vec::new(), Claims { max: 99, lanes: lanes.clone() }).await;
        let mut places = 0;
        let reopens_at = loop {
            let (next, answer) = rate.take(tat, turn.now);
            tat = next;
            match answer {
                Ok(()) => places += 1,
                Err(at) => break at,
            }
        };
        assert_eq!(turn.claimed.len(), places, "after {pause} ms");
        assert_eq!(turn.next_at, Some(reopens_at));
    }
}

pub async fn a_rate_by_group_gives_every_group_its_own(on: &Stage) {
    let tasks = (0..3).flat_map(|n| ["a", "b"].map(|group| grouped(&format!("{group}-{n}"), group)));
    on.push(tasks.collect()).await;
    on.push(specs("ungrouped", 2)).await;
    let mut first = ids(&on.claim_lanes("node", rate(1, LONG, true)).await);
    first.sort();
    assert_eq!(first, ["a-0", "b-0", "ungrouped-0"]);
    assert!(on.claim_lanes("other", rate(1, LONG, true)).await.is_empty());
}

pub async fn a_rate_is_spent_only_on_starts(on: &Stage) {
    assert!(on.claim_lanes("node", rate(1, LONG, false)).await.is_empty(), "there is nothing yet");
    on.push(specs("task", 2)).await;
    let mut lanes = rate(1, LONG, false);
    lanes[0].total = Some(0);
    assert!(on.claim_lanes("node", lanes).await.is_empty());
    on.pause("default").await;
    assert!(on.claim_lanes("node", rate(1, LONG, false)).await.is_empty());
    on.swap(&crate::store::pause_cell("default"), Some("1"), None).await.unwrap();
    assert_eq!(on.claim_lanes("node", rate(1, LONG, false)).await.len(), 1);
}

pub async fn a_limited_kind_does_not_hold_up_another(on: &Stage) {
    on.push(specs("task", 50)).await;
    on.add(Spec { name: "free".into(), priority: -9, ..spec("free") }).await;
    for limited in [total(0), rate(1, LONG, false)] {
        let mut lanes = limited;
        lanes.push(LaneClaim::of("free", 9));
        for run in on.claim_lanes("node", lanes).await {
            on.end("node", &run, Outcome::Released).await;
        }
    }
    let mut lanes = rate(1, LONG, false);
    lanes.push(LaneClaim::of("free", 9));
    assert_eq!(ids(&on.claim_lanes("node", lanes).await), ["free"]);
}
