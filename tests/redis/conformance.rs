//! The contract of a store on one server: every check in a namespace of its own, in the calm and in the storm.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};

use task::store::Store;
use task::store::redis::{RedisOptions, RedisStore};
use task::store::suite::{Fixture, check};
use task::time::{Clock, Millis, WallClock};

use crate::rig::Server;
use crate::storm::Stubborn;
use crate::{block_on, verify};

pub const LEASE: Millis = 30_000;

static SERVER: LazyLock<Server> = LazyLock::new(Server::plain);

/// A clock that goes, and is put forward by hand.
#[derive(Clone, Default)]
struct Ahead(Arc<AtomicU64>);

impl Clock for Ahead {
    fn now(&self) -> Millis {
        WallClock.now() + self.0.load(Ordering::SeqCst)
    }
}

/// A namespace whose clock is moved by hand.
pub struct Namespace {
    store: Arc<RedisStore>,
    storm: Option<Stubborn<RedisStore>>,
    clock: Ahead,
    check: Box<dyn Fn() -> Result<(), String> + Send + Sync>,
}

impl Namespace {
    /// A namespace of this name on a server.
    pub async fn open(server: &'static Server, options: RedisOptions, in_a_storm: bool) -> Self {
        let clock = Ahead::default();
        let namespace = options.namespace.clone();
        let store =
            RedisStore::with_clock(&server.url, options, clock.clone()).await.expect("the server is up");
        let store = Arc::new(store);
        let storm = in_a_storm.then(|| Stubborn::new(&store));
        let check = Box::new(move || verify::verify(&mut server.connection(), &namespace));
        Self { store, storm, clock, check }
    }
}

impl Fixture for Namespace {
    fn store(&self) -> &dyn Store {
        match &self.storm {
            Some(stubborn) => stubborn,
            None => &*self.store,
        }
    }

    fn pass(&self, time: Millis) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        self.clock.0.fetch_add(time, Ordering::SeqCst);
        Box::pin(std::future::ready(()))
    }

    fn lease(&self) -> Millis {
        LEASE
    }

    fn verify(&self) -> Result<(), String> {
        (self.check)()
    }
}

fn run(topic: &str, name: &str, in_a_storm: bool) {
    block_on(async {
        let namespace = format!("{topic}.{name}.{in_a_storm}");
        let options = RedisOptions { namespace, lease: LEASE, ..RedisOptions::default() };
        let fixture = Namespace::open(&SERVER, options, in_a_storm).await;
        check(topic, name).expect("the name comes from the list").run(Box::new(fixture)).await;
    });
}

macro_rules! calm {
    ($($topic:ident: [$($name:ident,)*])*) => {$(
        mod $topic {$(
            #[test]
            fn $name() {
                super::super::run(stringify!($topic), stringify!($name), false);
            }
        )*}
    )*};
}

macro_rules! stormy {
    ($($topic:ident: [$($name:ident,)*])*) => {$(
        mod $topic {$(
            #[test]
            fn $name() {
                super::super::run(stringify!($topic), stringify!($name), true);
            }
        )*}
    )*};
}

mod in_the_calm {
    task::store_checks!(calm);
}

mod in_a_storm {
    task::store_checks!(stormy);
}
