//! Keeps circuit breakers that nodes share like each other: see `circuits`.

use std::sync::Arc;

use crate::store::StoreError;
use crate::time::Millis;

use super::super::circuits::{Clocks, Kept};
use super::super::shared::Shared;
use super::sleep;

/// Time between two looks at the cells.
const ROUND: Millis = 250;

pub(super) async fn run(shared: Arc<Shared>) {
    let mut kept: Vec<Kept> = Vec::new();
    loop {
        tokio::select! {
            () = shared.circuits.notified() => {}
            () = sleep(ROUND), if !kept.is_empty() => {}
        }
        for (name, breaker) in shared.core().shared_breakers() {
            if !kept.iter().any(|one| one.is(&breaker)) {
                kept.push(Kept::new(breaker, &name));
            }
        }
        if let Err(error) = look(&shared, &mut kept).await {
            shared.trouble(&error);
            kept.iter_mut().for_each(Kept::leave_alone);
        }
    }
}

async fn look(shared: &Shared, kept: &mut [Kept]) -> Result<(), StoreError> {
    if kept.is_empty() {
        return Ok(());
    }
    let me = shared.core().node().clone();
    let lease = shared.core().lease();
    let store = shared.store.get(Vec::new()).await?.now;
    let at = Clocks { store, here: shared.now() };
    let mut cells = Vec::with_capacity(kept.len());
    for one in kept.iter() {
        cells.push(shared.store.read(one.key().clone()).await?);
    }
    let asks = cells.iter().flatten().any(|cell| cell.value.contains("halfOpen"));
    let nodes = if asks { shared.store.nodes().await? } else { Vec::new() };
    let lives = |name: &str| {
        nodes.iter().any(|node| *node.id == *name && node.beat_at.saturating_add(lease) > at.store)
    };
    for (one, cell) in kept.iter_mut().zip(cells) {
        if let Some(change) = one.look(cell.as_ref(), at, &me, lives)
            && shared.store.swap(change.swap.clone()).await?.is_ok()
        {
            one.changed(change, at);
        }
    }
    Ok(())
}
