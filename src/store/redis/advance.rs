//! `advance`: one call of one script.

use std::sync::Arc;
use std::time::Duration;

use redis::{Cmd, Value};

use super::codec::{Decoder, FAR, attempt_text, cause_number, cause_of, check_name, meta, optional, text};
use super::link::Link;
use super::push::write_lanes;
use super::runs::{Runs, SERIAL};
use super::script::ADVANCE;
use super::wire::{Items, Writer, corrupt, number};
use crate::store::{Advance, Claims, Settled, StoreError, Turn, host};
use crate::task::{Attempt, Cause, Claimed, Name, Settlement, TaskId};
use crate::time::Millis;

/// What a call may take longer for each settlement and claim.
const EACH: Duration = Duration::from_micros(100);

pub(super) async fn advance(
    link: &Arc<Link>,
    runs: &Runs,
    step: &Advance,
    lease: Millis,
) -> Result<Arc<Turn>, StoreError> {
    check_name(&step.node)?;
    let lanes = spawn_lanes(&step.settlements);
    let bytes = step.settlements.iter().map(|end| 160 + end.output.as_ref().map_or(0, |output| output.len()));
    let arguments = 16 + 5 * step.settlements.len() + 9 * step.claims.lanes.len();
    let mut command = link.command(&ADVANCE, arguments, 512 + bytes.sum::<usize>());
    command.arg(attempt_text(&Attempt::expired(0)));
    command.arg(&*step.node).arg(&*host()).arg(std::process::id()).arg(step.turn_no);
    // Whoever has been silent for so long has been given up; its answer is of no use to anybody.
    command.arg(lease.saturating_mul(4).clamp(60_000, FAR));
    write_lanes(&mut command, &lanes);
    command.arg(step.settlements.len());
    for settlement in &step.settlements {
        write_settlement(&mut command, settlement, runs, &lanes)?;
    }
    write_claims(&mut command, &step.claims);
    let size = step.settlements.len() + step.claims.max as usize;
    let answer = link.run(&ADVANCE, command, EACH * size.min(100_000) as u32).await?;
    let turn = turn(answer, runs)?;
    runs.forget(&step.settlements);
    Ok(Arc::new(turn))
}

fn spawn_lanes(settlements: &[Settlement]) -> Vec<(Name, Name)> {
    let mut lanes = Vec::new();
    for spec in settlements.iter().flat_map(|settlement| &settlement.spawn) {
        let lane = (spec.queue.clone(), spec.name.clone());
        if !lanes.contains(&lane) {
            lanes.push(lane);
        }
    }
    lanes
}

fn write_settlement(
    command: &mut Cmd,
    end: &Settlement,
    runs: &Runs,
    lanes: &[(Name, Name)],
) -> Result<(), StoreError> {
    check_name(end.id.as_str())?;
    let mut epoch = Writer::default();
    epoch.number(7, end.epoch);
    match runs.serial_of(&end.id, end.epoch) {
        Some(serial) => command.arg(&serial),
        None => command.arg(format!("\0{}", end.id)),
    };
    command.arg(epoch.0);
    let mut said = Writer::default();
    if let (Cause::Complete, Some(output), None, []) = (end.cause, &end.output, &end.attempt, &end.spawn[..])
    {
        said.number(4, end.failures.into()).number(4, end.losses.into());
        command.arg(said.0).arg(output.as_bytes());
        return Ok(());
    }
    said.number(1, cause_number(end.cause)).number(6, end.delay);
    said.number(4, end.failures.into()).number(4, end.losses.into());
    said.number(4, end.attempt.as_ref().map_or(0, |attempt| attempt.number.into()));
    said.number(1, end.output.is_some().into()).number(1, end.attempt.is_some().into());
    said.number(4, end.spawn.len() as u64);
    command.arg(said.0);
    if let Some(output) = &end.output {
        command.arg(output.as_bytes());
    }
    if let Some(attempt) = &end.attempt {
        command.arg(attempt_text(attempt));
    }
    for spec in &end.spawn {
        let lane = lanes.iter().position(|(queue, name)| *queue == spec.queue && *name == spec.name);
        let meta = meta(spec, lane.map_or(0, |lane| lane + 1), false)?;
        command.arg(meta.head).arg(meta.tail).arg(text(spec)?);
    }
    Ok(())
}

fn write_claims(command: &mut Cmd, claims: &Claims) {
    let limit = |limit: Option<u32>| limit.map_or_else(String::new, |limit| limit.to_string());
    command.arg(claims.max).arg(claims.lanes.len());
    for lane in &claims.lanes {
        command.arg(&*lane.name).arg(lane.queue.as_deref().unwrap_or_default()).arg(lane.max);
        command.arg(limit(lane.total)).arg(limit(lane.per_group));
        match &lane.rate {
            None => command.arg(""),
            Some(rate) => {
                command.arg(&*rate.key).arg(u8::from(rate.by_group));
                command.arg(rate.interval_us.min(FAR)).arg(rate.burst.max(1))
            }
        };
    }
}

fn turn(answer: Value, runs: &Runs) -> Result<Turn, StoreError> {
    let mut answer = Items::of(answer)?;
    let now = answer.number()? as Millis;
    let settled = answer
        .bytes()?
        .into_iter()
        .map(|cause| Ok(cause_of(cause.into())?.map_or(Settled::Stale, Settled::Applied)));
    let settled = settled.collect::<Result<_, StoreError>>()?;
    let ended = answer.texts()?.iter().map(|id| TaskId::from(&**id)).collect();
    let (more, next_at) = (answer.number()? == 1, answer.date()?);
    let (mut raws, mut texts) = (answer.items()?, answer.items()?);
    let mut blockers = vec![Vec::new(); raws.len()];
    let mut lists = answer.items()?;
    while lists.len() > 0 {
        let at = number(lists.value()?)? as usize;
        *blockers.get_mut(at.wrapping_sub(1)).ok_or_else(|| corrupt("a list of nobody"))? =
            optional(lists.value()?)?;
    }
    let serials = answer.bytes()?;
    if serials.len() != SERIAL * raws.len() {
        return Err(corrupt("claims without serials"));
    }
    let mut decoder = Decoder::default();
    let claimed =
        blockers.iter().map(|blockers| decoder.claimed(&raws.bytes()?, &texts.bytes()?, blockers, now));
    let claimed: Vec<Claimed> = claimed.collect::<Result<_, _>>()?;
    runs.note(&claimed, &serials);
    Ok(Turn { now, settled, claimed, ended, more, next_at })
}
