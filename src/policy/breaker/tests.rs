use proptest::prelude::*;

use super::*;

fn me() -> Arc<str> {
    "me".into()
}

fn breaker() -> Breaker {
    Breaker::new(BreakerPolicy::default()).unwrap()
}

/// A call that takes no time.
fn call(breaker: &mut Breaker, now: Millis, verdict: Verdict) -> bool {
    let permit = breaker.take(now, &me());
    breaker.give(permit, verdict, now)
}

/// Opened at 0 by ten failures, until 30 s.
fn tripped() -> Breaker {
    let mut breaker = breaker();
    for n in 1..=10 {
        assert_eq!(call(&mut breaker, 0, Verdict::Failed), n == 10);
    }
    breaker
}

fn closed(reopens_at: Option<Millis>) -> Room {
    Room { slots: 0, reopens_at }
}

#[test]
fn half_of_at_least_ten_open_it() {
    let mut calm = breaker();
    for n in 0..1000 {
        let verdict = if n % 20 > 10 { Verdict::Failed } else { Verdict::Succeeded };
        assert!(!call(&mut calm, n, verdict));
    }
    assert_eq!(calm.room(1000), Room::OPEN);
    assert_eq!(tripped().room(0), closed(Some(30_000)));
    assert_eq!(tripped().admit(29_999, &me()), Err(Some(30_000)));
}

#[test]
fn what_says_nothing_counts_nothing() {
    let mut breaker = breaker();
    for _ in 0..9 {
        call(&mut breaker, 0, Verdict::Failed);
        call(&mut breaker, 0, Verdict::Unknown);
    }
    assert_eq!(breaker.room(0), Room::OPEN);
    assert!(call(&mut breaker, 0, Verdict::Failed));
}

#[test]
fn one_probe_closes_it() {
    let mut breaker = tripped();
    assert_eq!(breaker.room(30_000).slots, 1);
    let probe = breaker.take(30_000, &me());
    assert_eq!(breaker.room(99_000), closed(None), "the probe is out, and only its verdict counts");
    assert_eq!(breaker.admit(99_000, &me()), Err(None));
    assert!(breaker.give(probe, Verdict::Succeeded, 99_000));
    assert_eq!(breaker.room(99_000), Room::OPEN);
    for _ in 0..9 {
        assert!(!call(&mut breaker, 99_000, Verdict::Failed), "the window is empty again");
    }
}

#[test]
fn failing_probes_double_the_time_up_to_a_bound() {
    let mut breaker = tripped();
    let mut now = 30_000;
    for length in [60_000, 120_000, 240_000, 300_000, 300_000] {
        assert!(call(&mut breaker, now, Verdict::Failed));
        assert_eq!(breaker.room(now), closed(Some(now + length)));
        now += length;
    }
    assert!(call(&mut breaker, now, Verdict::Succeeded));
    for n in 1..=10 {
        assert_eq!(call(&mut breaker, now, Verdict::Failed), n == 10);
    }
    assert_eq!(breaker.room(now), closed(Some(now + 30_000)), "it begins anew");
}

#[test]
fn a_probe_without_verdict_or_without_holder_frees_its_place() {
    let mut breaker = tripped();
    assert!(!call(&mut breaker, 30_000, Verdict::Unknown));
    assert_eq!(breaker.room(30_000).slots, 1);
    let probe = breaker.take(30_000, &"gone".into());
    breaker.lost("another");
    assert_eq!(breaker.room(30_000).slots, 0);
    breaker.lost("gone");
    assert_eq!(breaker.room(30_000).slots, 1);
    assert!(!breaker.give(probe, Verdict::Failed, 30_000), "it comes back from the dead");
    assert_eq!(breaker.room(30_000).slots, 1);
}

#[test]
fn several_probes_all_have_to_succeed() {
    let policy = BreakerPolicy { probes: 3, ..BreakerPolicy::default() };
    let mut breaker = Breaker { policy: policy.into(), ..tripped() };
    let probes = [0; 3].map(|_| breaker.take(30_000, &me()));
    assert_eq!(breaker.room(30_000), closed(None));
    let [one, two, three] = probes;
    assert!(!breaker.give(one, Verdict::Succeeded, 30_000));
    assert!(!breaker.give(two, Verdict::Succeeded, 30_000));
    assert_eq!(breaker.room(30_000).slots, 0, "two have succeeded, one is out");
    assert!(breaker.give(three, Verdict::Failed, 30_000));
    assert_eq!(breaker.room(30_000), closed(Some(90_000)));
}

#[test]
fn late_outcomes_of_an_earlier_turn_count_nothing() {
    let mut breaker = breaker();
    let late: Vec<Permit> = (0..30).map(|_| breaker.take(0, &me())).collect();
    for _ in 0..10 {
        call(&mut breaker, 0, Verdict::Failed);
    }
    let probe = breaker.take(30_000, &me());
    for permit in late {
        assert!(!breaker.give(permit, Verdict::Failed, 30_000));
    }
    assert!(breaker.give(probe, Verdict::Succeeded, 30_000));
    assert_eq!(*breaker.circuit().phase(), Phase::Closed(VecDeque::new()));
}

#[test]
fn by_hand() {
    let mut breaker = breaker();
    breaker.open(0, Some(1000));
    assert_eq!(breaker.room(0), closed(Some(1000)));
    assert!(call(&mut breaker, 1000, Verdict::Failed));
    assert_eq!(breaker.room(1000), closed(Some(31_000)), "a probe that fails opens it for the first time");
    breaker.open(1000, None);
    assert_eq!(breaker.room(u64::MAX), closed(None));
    breaker.close();
    assert_eq!(breaker.room(1000), Room::OPEN);
}

#[test]
fn a_clock_set_back_does_not_keep_it_shut() {
    let mut breaker = breaker();
    breaker.open(9_000_000, Some(30_000));
    assert_eq!(breaker.room(0), closed(Some(30_000)));
    breaker.look(0);
    assert_eq!(breaker.room(29_999), closed(Some(30_000)));
    assert_eq!(breaker.room(30_000).slots, 1);
}

#[test]
fn slow_calls_fail() {
    let policy = BreakerPolicy { slow_call: Some(100), ..BreakerPolicy::default() };
    assert_eq!(policy.judge(Verdict::Succeeded, 100), Verdict::Succeeded);
    assert_eq!(policy.judge(Verdict::Succeeded, 101), Verdict::Failed);
    assert_eq!(policy.judge(Verdict::Unknown, 101), Verdict::Unknown);
    assert_eq!(BreakerPolicy::default().judge(Verdict::Succeeded, u64::MAX), Verdict::Succeeded);
}

#[test]
fn refusals_name_the_option() {
    let said = |policy: BreakerPolicy| policy.check().unwrap_err().to_string();
    let base = BreakerPolicy::default;
    assert_eq!(
        said(BreakerPolicy { min_calls: 21, ..base() }),
        "minCalls is 21, allowed are whole numbers from 1 to window, which is 20"
    );
    for (policy, option) in [
        (BreakerPolicy { window: 0, ..base() }, "window"),
        (BreakerPolicy { window: 1001, ..base() }, "window"),
        (BreakerPolicy { min_calls: 0, ..base() }, "minCalls"),
        (BreakerPolicy { failure_rate: 0.0, ..base() }, "failureRate"),
        (BreakerPolicy { failure_rate: 1.1, ..base() }, "failureRate"),
        (BreakerPolicy { failure_rate: f64::NAN, ..base() }, "failureRate"),
        (BreakerPolicy { slow_call: Some(0), ..base() }, "slowCall"),
        (BreakerPolicy { open_for: 0, ..base() }, "openFor"),
        (BreakerPolicy { max_open_for: 29_999, ..base() }, "maxOpenFor"),
        (BreakerPolicy { probes: 0, ..base() }, "probes"),
    ] {
        assert_eq!(policy.check().unwrap_err().option, option);
    }
}

#[test]
fn the_state_can_be_shared_as_json() {
    let mut breaker = tripped();
    let text = serde_json::to_string(breaker.circuit()).unwrap();
    assert_eq!(text, r#"{"turn":1,"openings":1,"phase":{"open":{"until":30000,"length":30000}}}"#);
    let mut other = self::breaker();
    other.adopt(serde_json::from_str(&text).unwrap());
    let probe = other.take(30_000, &me());
    breaker.adopt(serde_json::from_str(&serde_json::to_string(other.circuit()).unwrap()).unwrap());
    assert_eq!(breaker.room(30_000), closed(None), "one probe in all");
    assert!(other.give(probe, Verdict::Succeeded, 30_000));
    assert_eq!(
        serde_json::to_string(other.circuit()).unwrap(),
        r#"{"turn":3,"openings":0,"phase":{"closed":[]}}"#
    );
    let policy: BreakerPolicy = serde_json::from_str(r#"{"window":5,"minCalls":2}"#).unwrap();
    assert_eq!(policy, BreakerPolicy { window: 5, min_calls: 2, ..BreakerPolicy::default() });
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Wait(Millis),
    Start,
    End(usize, Verdict),
    Lose(usize),
    Open(Option<Millis>),
    Close,
}

fn step() -> impl Strategy<Value = Step> {
    let verdict =
        prop_oneof![2 => Just(Verdict::Failed), 2 => Just(Verdict::Succeeded), 1 => Just(Verdict::Unknown)];
    prop_oneof![
        2 => (0..400u64).prop_map(Step::Wait),
        6 => Just(Step::Start),
        6 => (any::<prop::sample::Index>(), verdict).prop_map(|(at, verdict)| Step::End(at.index(64), verdict)),
        1 => (0..3usize).prop_map(Step::Lose),
        1 => prop::option::of(0..500u64).prop_map(Step::Open),
        1 => Just(Step::Close),
    ]
}

/// The breaker as a list of all that ever happened, read anew for each question.
#[derive(Default)]
struct Model {
    /// Verdicts that counted since it was last closed.
    outcomes: Vec<Verdict>,
    /// When and until when it was opened, for each opening since it was last closed; by hand or not.
    openings: Vec<(Option<Millis>, bool)>,
    /// Calls: their holder, the changes of phase that they have seen, and whether they have ended.
    calls: Vec<(usize, usize, bool)>,
    changes: usize,
    probing: bool,
}

impl Model {
    fn probes_out(&self) -> usize {
        self.calls.iter().filter(|(_, seen, ended)| *seen == self.changes && !ended).count()
    }

    fn room(&self, now: Millis, policy: &BreakerPolicy) -> u32 {
        match self.openings.last() {
            None => u32::MAX,
            Some(_) if self.probing => {
                let succeeded =
                    self.outcomes.iter().filter(|verdict| **verdict == Verdict::Succeeded).count();
                policy.probes - (succeeded + self.probes_out()) as u32
            }
            Some((until, _)) if until.is_some_and(|until| until <= now) => policy.probes,
            Some(_) => 0,
        }
    }

    fn change(&mut self) {
        self.changes += 1;
        self.outcomes.clear();
        self.probing = false;
    }

    fn start(&mut self, holder: usize) {
        if !self.openings.is_empty() && !self.probing {
            self.change();
            self.probing = true;
        }
        self.calls.push((holder, self.changes, false));
    }

    fn end(&mut self, call: usize, verdict: Verdict, now: Millis, policy: &BreakerPolicy) {
        let (_, seen, ended) = &mut self.calls[call];
        let counts = *seen == self.changes && !*ended;
        *ended = true;
        if !counts || verdict == Verdict::Unknown {
            return;
        }
        self.outcomes.push(verdict);
        let failed = |verdict: &&Verdict| **verdict == Verdict::Failed;
        if self.probing {
            if verdict == Verdict::Failed {
                self.trip(now, policy);
            } else if self.outcomes.len() as u32 == policy.probes {
                self.close();
            }
        } else {
            let newest = self.outcomes.iter().rev().take(policy.window as usize);
            let (count, failures) = (newest.clone().count(), newest.filter(failed).count());
            if count as u32 >= policy.min_calls && failures as f64 / count as f64 >= policy.failure_rate {
                self.trip(now, policy);
            }
        }
    }

    fn trip(&mut self, now: Millis, policy: &BreakerPolicy) {
        let before = self.openings.iter().filter(|(_, by_hand)| !by_hand).count();
        let mut length = policy.open_for;
        (0..before).for_each(|_| length = (length * 2).min(policy.max_open_for));
        self.change();
        self.openings.push((Some(now + length), false));
    }

    fn close(&mut self) {
        self.change();
        self.openings.clear();
    }
}

proptest! {
    #[test]
    fn it_does_what_a_list_of_outcomes_says(
        steps in prop::collection::vec(step(), 1..300),
        (window, min_calls, probes) in (2..8u32, 1..8u32, 1..4u32),
        failure_rate in prop::sample::select(vec![0.25, 0.5, 1.0]),
    ) {
        let min_calls = min_calls.min(window);
        let policy = BreakerPolicy {
            window, min_calls, probes, failure_rate, slow_call: None, open_for: 100, max_open_for: 350,
        };
        let (mut breaker, mut model) = (Breaker::new(policy.clone()).unwrap(), Model::default());
        let mut permits: Vec<Option<Permit>> = Vec::new();
        let mut now = 0;
        for step in steps {
            match step {
                Step::Wait(time) => now += time,
                Step::Start if breaker.room(now).slots > 0 => {
                    let holder = permits.len() % 3;
                    permits.push(Some(breaker.take(now, &holder.to_string().into())));
                    model.start(holder);
                }
                Step::Start => prop_assert!(breaker.admit(now, &me()).is_err()),
                Step::End(at, verdict) => {
                    let at = at % permits.len().max(1);
                    if let Some(permit) = permits.get_mut(at).and_then(Option::take) {
                        breaker.give(permit, verdict, now);
                        model.end(at, verdict, now, &policy);
                    }
                }
                Step::Lose(holder) => {
                    breaker.lost(&holder.to_string());
                    for (at, (of, _, ended)) in model.calls.iter_mut().enumerate() {
                        if *of == holder {
                            *ended = true;
                            permits[at] = None;
                        }
                    }
                }
                Step::Open(length) => {
                    breaker.open(now, length);
                    model.change();
                    model.openings.push((length.map(|length| now + length), true));
                }
                Step::Close => {
                    breaker.close();
                    model.close();
                }
            }
            prop_assert_eq!(breaker.room(now).slots, model.room(now, &policy), "after {:?} at {}", step, now);
            let text = serde_json::to_string(breaker.circuit()).unwrap();
            prop_assert_eq!(&serde_json::from_str::<Circuit>(&text).unwrap(), breaker.circuit());
        }
    }
}

proptest! {
    #[test]
    fn the_short_way_counts_as_one_call_after_the_other(window in 1..8u32, runs in prop::collection::vec((0..12u32, any::<bool>()), 1..30)) {
        let policy = BreakerPolicy { window, min_calls: 1, failure_rate: 1.0, ..BreakerPolicy::default() };
        let (mut short, mut long) = (Breaker::new(policy.clone()).unwrap(), Breaker::new(policy).unwrap());
        let me: Arc<str> = "me".into();
        for (succeeded, fails) in runs {
            let Some(turn) = short.pass(0, 0) else { break };
            prop_assert_eq!(short.pass(turn, succeeded), Some(turn));
            for _ in 0..succeeded {
                let permit = long.take(0, &me);
                long.give(permit, Verdict::Succeeded, 0);
            }
            if fails {
                for breaker in [&mut short, &mut long] {
                    let permit = breaker.take(0, &me);
                    breaker.give(permit, Verdict::Failed, 0);
                }
            }
            prop_assert_eq!(short.circuit(), long.circuit());
        }
    }
}
