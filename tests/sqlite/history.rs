//! Judges what actors have said against what the file says: a pure function of both.

use std::collections::{BTreeMap, BTreeSet};

use task::task::{Record, State};

use crate::parts::BULK;
use crate::process::Line;

/// What happened to a task, as it was told.
#[derive(Default)]
struct Life {
    /// Epoch and actor of each start.
    starts: BTreeMap<u64, usize>,
    commits: Vec<u64>,
    losses: BTreeSet<u64>,
}

/// What was seen.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Seen {
    pub acknowledged: usize,
    pub starts: usize,
    pub commits: usize,
    pub losses: usize,
    pub stale: usize,
}

/// All tasks of the file have to have ended; `killed` are the actors that were. No acknowledged task is lost,
/// each completes once, under its last epoch, no run begins before the one before it was lost, no task is lost
/// more often than workers died, and a bulk is there as a whole or not at all.
pub fn judge(lines: &[Line], killed: &BTreeSet<usize>, tasks: &[Record]) -> Result<Seen, String> {
    let mut seen = Seen::default();
    let mut lives: BTreeMap<&str, Life> = BTreeMap::new();
    let mut epochs: BTreeMap<u64, &str> = BTreeMap::new();
    let mut acknowledged: BTreeSet<&str> = BTreeSet::new();
    for line in lines {
        let mut words = line.text.split(' ');
        let (Some(word), Some(id)) = (words.next(), words.next()) else { continue };
        if word == "ACK" {
            acknowledged.insert(id);
            continue;
        }
        // A line that a kill has cut off says nothing.
        let Some(epoch) = words.next().and_then(|text| text.parse::<u64>().ok()) else { continue };
        let life = lives.entry(id).or_default();
        match word {
            "START" => {
                seen.starts += 1;
                life.starts.insert(epoch, line.actor);
                if let Some(other) = epochs.insert(epoch, id) {
                    return Err(format!("epoch {epoch} was drawn for {other} and for {id}"));
                }
            }
            "COMMIT" => life.commits.push(epoch),
            "LOSS" => {
                life.losses.insert(epoch);
            }
            "STALE" => seen.stale += 1,
            _ => {}
        }
    }
    seen.acknowledged = acknowledged.len();
    let found: BTreeMap<&str, &Record> = tasks.iter().map(|task| (task.spec.id.as_str(), task)).collect();
    if let Some(id) = acknowledged.iter().find(|id| !found.contains_key(*id)) {
        return Err(format!("{id} was acknowledged and is gone"));
    }
    if let Some(id) = lives.keys().find(|id| !found.contains_key(*id)) {
        return Err(format!("{id} has run and is gone"));
    }
    for (id, task) in &found {
        let nothing = Life::default();
        let life = lives.get(id).unwrap_or(&nothing);
        judge_one(id, life, killed, task)?;
        seen.commits += life.commits.len();
        seen.losses += task.status.losses as usize;
    }
    whole_bulks(&found)?;
    Ok(seen)
}

fn judge_one(id: &str, life: &Life, killed: &BTreeSet<usize>, task: &Record) -> Result<(), String> {
    let status = &task.status;
    if status.state != State::Completed {
        return Err(format!("{id} has not completed: {status:?}"));
    }
    if life.commits.len() > 1 {
        return Err(format!("{id} was completed {} times: {:?}", life.commits.len(), life.commits));
    }
    if let Some(epoch) = life.commits.first().filter(|epoch| **epoch != status.epoch) {
        return Err(format!("{id} was completed under {epoch}, the file says {}", status.epoch));
    }
    if life.commits.is_empty() && life.starts.get(&status.epoch).is_some_and(|actor| !killed.contains(actor))
    {
        return Err(format!("{id} was completed, and its worker lives and was not told"));
    }
    for (epoch, actor) in &life.starts {
        if *epoch > status.epoch {
            return Err(format!("{id} began under {epoch}, its last claim is {}", status.epoch));
        }
        // The claim was given up by somebody, who may have died before saying so: then its worker had too.
        if *epoch < status.epoch && !life.losses.contains(epoch) && !killed.contains(actor) {
            return Err(format!("{id} began anew while its run {epoch} was under way"));
        }
    }
    let losses = status.losses as usize;
    if losses > killed.len() || life.starts.len() > losses + 1 || life.losses.len() > losses {
        let Life { starts, losses: told, .. } = life;
        let deaths = killed.len();
        return Err(format!("{id} began {starts:?}, losses {losses} (told {told:?}), deaths {deaths}"));
    }
    Ok(())
}

fn whole_bulks(found: &BTreeMap<&str, &Record>) -> Result<(), String> {
    let mut bulks: BTreeMap<&str, usize> = BTreeMap::new();
    for id in found.keys().filter(|id| id.contains("-bulk-")) {
        let (bulk, _) = id.rsplit_once('-').expect("the number of the task");
        *bulks.entry(bulk).or_default() += 1;
    }
    match bulks.iter().find(|(_, count)| **count != BULK) {
        Some((bulk, count)) => Err(format!("{count} of {BULK} tasks of {bulk} are there")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use task::store::memory::MemoryStore;
    use task::store::{Push, Store};

    use super::*;
    use crate::bench::now;
    use crate::parts::task;

    fn completed(id: &str, epoch: u64, losses: u32) -> Record {
        let store = MemoryStore::new();
        now(store.push(Arc::new([Push::of([task(id)])]))).remove(0).expect("pushed");
        let mut record = now(store.get(vec![id.into()])).records.remove(0).expect("a record");
        let status = &mut record.status;
        (status.state, status.epoch, status.losses) = (State::Completed, epoch, losses);
        record
    }

    fn judged(said: &[(usize, &str)], killed: &[usize], tasks: &[Record]) -> String {
        let line = |(actor, text): &(usize, &str)| Line { actor: *actor, text: (*text).into() };
        let lines: Vec<Line> = said.iter().map(line).collect();
        judge(&lines, &killed.iter().copied().collect(), tasks).err().unwrap_or_default()
    }

    #[test]
    fn a_loss_and_a_second_run_are_right() {
        let said = [(0, "START a 1"), (1, "START a 2"), (1, "COMMIT a 2")];
        assert_eq!(judged(&said, &[0], &[completed("a", 2, 1)]), "");
    }

    #[test]
    fn what_is_wrong_is_named() {
        let one = [completed("a", 2, 1)];
        let said = [(0, "START a 1"), (1, "START a 2"), (1, "COMMIT a 2")];
        assert!(judged(&said, &[], &one).contains("began anew"));
        assert!(judged(&[(0, "ACK b")], &[], &one).contains("is gone"));
        let twice = [(0, "COMMIT a 1"), (1, "COMMIT a 2")];
        assert!(judged(&twice, &[0], &one).contains("completed 2 times"));
        assert!(judged(&[(0, "COMMIT a 1")], &[0], &one).contains("under 1"));
        assert!(judged(&[(0, "START a 1"), (0, "START b 1")], &[0], &one).contains("was drawn"));
        assert!(judged(&[], &[], &one).contains("losses 1"));
        assert!(judged(&[], &[], &[completed("p-bulk-1-0", 1, 0)]).contains("1 of 100"));
    }
}
