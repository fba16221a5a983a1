//! Nodes: beats, and what the dead have left.

use std::sync::Arc;
use std::time::Duration;

use redis::Cmd;

use super::codec::{Decoder, check_name, optional};
use super::link::Link;
use super::script::{BEAT, Script};
use super::wire::{Items, corrupt};
use crate::store::{Node, NodeId, Pulse, StoreError, host};
use crate::task::{Claimed, TaskId};
use crate::time::Millis;

/// Runs a short call whose answer is a list.
pub(super) async fn ask(
    link: &Arc<Link>,
    script: &'static Script,
    command: Cmd,
) -> Result<Items, StoreError> {
    Items::of(link.run(script, command, Duration::ZERO).await?)
}

pub(super) async fn pulse(link: &Arc<Link>, node: &str, lease: Millis) -> Result<Pulse, StoreError> {
    check_name(node)?;
    let mut command = link.command(&BEAT, 5, 256);
    command.arg("pulse").arg(node).arg(&*host()).arg(std::process::id()).arg(lease);
    let mut answer = ask(link, &BEAT, command).await?;
    let now = answer.number()? as Millis;
    let dead = answer.texts()?.into_iter().map(NodeId::from).collect();
    let stop = answer.items()?.map(|item| {
        let mut item = Items::of(item)?;
        let (id, epoch) = (TaskId::from(&*item.text()?), item.number()? as u64);
        Ok((id, epoch, item.text()?.into()))
    })?;
    let paused = answer.texts()?.into_iter().map(Into::into).collect();
    Ok(Pulse { now, dead, stop, paused, declared_dead: answer.number()? == 1, trouble: None })
}

pub(super) async fn leave(link: &Arc<Link>, node: &str) -> Result<(), StoreError> {
    let mut command = link.command(&BEAT, 2, 64);
    command.arg("leave").arg(node);
    link.run(&BEAT, command, Duration::ZERO).await.map(drop)
}

pub(super) async fn nodes(link: &Arc<Link>) -> Result<Vec<Node>, StoreError> {
    let mut command = link.command(&BEAT, 1, 32);
    command.arg("nodes");
    let mut nodes = ask(link, &BEAT, command).await?.map(|item| {
        let mut item = Items::of(item)?;
        let (id, host, pid) = (item.text()?.into(), item.text()?.into(), item.number()? as u32);
        let (running, beat_at) = (item.number()? as u64, item.number()? as Millis);
        Ok(Node { id, host, pid, running, beat_at })
    })?;
    nodes.sort_by(|a, b| a.id.cmp(&b.id));
    Ok(nodes)
}

pub(super) async fn orphans(
    link: &Arc<Link>,
    nodes: &[NodeId],
    max: usize,
) -> Result<Vec<Claimed>, StoreError> {
    let mut command = link.command(&BEAT, nodes.len() + 2, 64 * nodes.len());
    command.arg("orphans").arg(max.min(1000));
    nodes.iter().for_each(|node| {
        command.arg(&**node);
    });
    let mut answer = ask(link, &BEAT, command).await?;
    let now = answer.number()? as Millis;
    let mut decoder = Decoder::default();
    answer.items()?.map(|item| {
        let mut item = Items::of(item)?;
        let (raw, text, blockers) = (item.value()?, item.value()?, item.bytes()?);
        let (raw, text) = (optional(raw)?, optional(text)?);
        if raw.is_empty() {
            return Err(corrupt("a run without a task"));
        }
        decoder.claimed(&raw, &text, &blockers, now)
    })
}
