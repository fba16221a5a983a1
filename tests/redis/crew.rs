//! What the tests of faults have in common: a store with a node that counts its turns, and patience.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use task::store::redis::{RedisOptions, RedisStore};
use task::store::{Advance, Claims, LaneClaim, Push, Store, StoreError, Turn};
use task::task::{Claimed, Outcome, Rules, Settlement, Spec, TaskId, settle};

pub const KIND: &str = "work";

/// A store and one node of it.
pub struct Crew {
    pub store: RedisStore,
    pub node: Arc<str>,
    turn_no: AtomicU64,
}

impl Crew {
    pub async fn join(url: &str, node: &str) -> Self {
        Self::with(url, node, RedisOptions::default()).await
    }

    pub async fn with(url: &str, node: &str, options: RedisOptions) -> Self {
        let store = RedisStore::connect(url, options).await.expect("the server is up");
        Self { store, node: node.into(), turn_no: AtomicU64::new(0) }
    }

    /// Pushes tasks with minted ids; as often as it takes, if the calls fail for a while.
    pub async fn push(&self, specs: Vec<Spec>) -> Vec<TaskId> {
        let push: Arc<[Push]> = Arc::new([Push::of(specs)]);
        let answers = until_done(|| self.store.push(push.clone())).await;
        answers
            .into_iter()
            .next()
            .unwrap()
            .expect("nothing refuses it")
            .into_iter()
            .map(|one| one.id)
            .collect()
    }

    pub async fn push_many(&self, count: usize) -> Vec<TaskId> {
        self.push((0..count).map(|_| Spec::new(KIND, "null")).collect()).await
    }

    fn advance(&self, settlements: Vec<Settlement>, max: u32) -> Arc<Advance> {
        let claims = Claims { max, lanes: vec![LaneClaim::of(KIND, max)] };
        let turn_no = self.turn_no.fetch_add(1, Ordering::SeqCst) + 1;
        Arc::new(Advance { node: self.node.clone(), turn_no, settlements, claims })
    }

    /// One step, as often as it takes.
    pub async fn step(&self, settlements: Vec<Settlement>, max: u32) -> Arc<Turn> {
        let step = self.advance(settlements, max);
        until_done(|| self.store.advance(step.clone())).await
    }

    /// One step, once.
    pub async fn try_step(&self, settlements: Vec<Settlement>, max: u32) -> Result<Arc<Turn>, StoreError> {
        self.store.advance(self.advance(settlements, max)).await
    }

    pub async fn claim(&self, max: u32) -> Vec<Claimed> {
        self.step(Vec::new(), max).await.claimed.clone()
    }

    /// Claims and completes until nothing is ready; answers what was run.
    pub async fn work_off(&self) -> Vec<TaskId> {
        let (mut done, mut runs) = (Vec::new(), Vec::new());
        loop {
            let ends: Vec<Settlement> = runs.iter().map(success).collect();
            runs = self.step(ends, 100).await.claimed.clone();
            if runs.is_empty() {
                return done;
            }
            done.extend(runs.iter().map(|run| run.spec.id.clone()));
        }
    }
}

pub fn success(run: &Claimed) -> Settlement {
    settle(&run.standing(), &Outcome::Ok("\"done\"".into()), &Rules::default())
}

/// Repeats a call while its errors pass.
pub async fn until_done<T, F: Future<Output = Result<T, StoreError>>>(call: impl Fn() -> F) -> T {
    let began = Instant::now();
    loop {
        match call().await {
            Ok(answer) => return answer,
            Err(error) if error.is_passing() && began.elapsed() < Duration::from_secs(60) => {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            Err(error) => panic!("{error}"),
        }
    }
}
