//! Small shared values.

use std::sync::Arc;

use redis::Cmd;

use super::codec::FAR;
use super::link::Link;
use super::nodes::ask;
use super::script::CELLS;
use super::wire::Items;
use crate::store::{Cell, Due, StoreError, Swap};
use crate::task::Name;

/// A compare-and-set as the scripts read it; a date is sent as one more than it is, 0 for none.
pub(super) fn write_swap(command: &mut Cmd, swap: &Swap) {
    command.arg(&*swap.key);
    command.arg(u8::from(swap.old.is_some())).arg(swap.old.as_deref().unwrap_or_default());
    let new = swap.new.as_ref();
    command.arg(u8::from(new.is_some())).arg(new.map_or("", |cell| &*cell.value));
    command.arg(new.and_then(|cell| cell.due_at).map_or(0, |at| at.min(FAR - 1) + 1));
}

pub(super) async fn swap(link: &Arc<Link>, swap: &Swap) -> Result<Result<(), Option<Cell>>, StoreError> {
    let mut command = link.command(&CELLS, 8, 256);
    command.arg("swap");
    write_swap(&mut command, swap);
    let mut answer = ask(link, &CELLS, command).await?;
    if answer.number()? == 1 {
        return Ok(Ok(()));
    }
    Ok(Err(cell(&mut answer)?))
}

pub(super) async fn read(link: &Arc<Link>, key: &str) -> Result<Option<Cell>, StoreError> {
    let mut command = link.command(&CELLS, 2, 64);
    command.arg("read").arg(key);
    cell(&mut ask(link, &CELLS, command).await?)
}

fn cell(items: &mut Items) -> Result<Option<Cell>, StoreError> {
    if items.len() == 0 {
        return Ok(None);
    }
    let (value, due) = (items.text()?.into(), items.number()?);
    Ok(Some(Cell { value, due_at: u64::try_from(due - 1).ok() }))
}

pub(super) async fn due(link: &Arc<Link>, max: usize) -> Result<Due, StoreError> {
    let mut command = link.command(&CELLS, 2, 64);
    command.arg("due").arg(max);
    let mut answer = ask(link, &CELLS, command).await?;
    let cells = answer.items()?.map(|item| {
        let mut item = Items::of(item)?;
        let key = Name::from(item.text()?);
        Ok((key, Cell { value: item.text()?.into(), due_at: item.date()? }))
    })?;
    Ok(Due { cells, next_at: answer.date()?, now: answer.date()?.unwrap_or_default() })
}

pub(super) async fn page(
    link: &Arc<Link>,
    prefix: &str,
    after: Option<&str>,
    max: usize,
) -> Result<Vec<(Name, Cell)>, StoreError> {
    let mut command = link.command(&CELLS, 4, 128);
    let after = after.filter(|after| *after >= prefix).unwrap_or_default();
    command.arg("page").arg(prefix).arg(after).arg(max);
    let mut answer = ask(link, &CELLS, command).await?;
    answer.items()?.map(|item| {
        let mut item = Items::of(item)?;
        let (key, value, due) = (Name::from(item.text()?), item.text()?.into(), item.number()?);
        Ok((key, Cell { value, due_at: u64::try_from(due - 1).ok() }))
    })
}
