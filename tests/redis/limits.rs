//! What limits promise, on this store.

use std::sync::Arc;

use task::store::Store;
use task::store::redis::{RedisOptions, RedisStore};

use crate::rig::Server;
use crate::{block_on, promises};

async fn store(server: &Server) -> Arc<dyn Store> {
    Arc::new(RedisStore::connect(&server.url, RedisOptions::default()).await.expect("the server is up"))
}

#[test]
fn a_shared_rate_holds_for_four_executors() {
    let server = Server::plain();
    block_on(async {
        let [a, b, c, d] =
            [store(&server).await, store(&server).await, store(&server).await, store(&server).await];
        promises::a_shared_rate_holds_for_four([a, b, c, d]).await;
    });
}

#[test]
fn a_dead_upstream_is_left_alone() {
    let server = Server::plain();
    block_on(async { promises::a_dead_upstream_is_left_alone(store(&server).await).await });
}

#[test]
fn a_breaker_is_shared_by_name() {
    let server = Server::plain();
    block_on(async {
        promises::a_breaker_is_shared_by_name([store(&server).await, store(&server).await]).await;
    });
}
